"""How large a run's workflow is: Argo ends a run whose workflow outgrows what Kubernetes stores."""

import base64
import gzip
from dataclasses import dataclass
from typing import Any

from backend.workflow import Workflow, write_json
from rlready.run.kfp.limits import KIB, WORKFLOW

# A workflow with its nodes compressed (workflow/packer/packer.go:19 of Argo); one string of a command line, which Linux bounds;
# a variable, which Argo would move to a ConfigMap that KFP's roles forbid (workflow/common/common.go:280).
LIMITS = {
    "bytes": WORKFLOW,
    "largest_argument": 128 * KIB,
    "largest_environment": 128 * KIB,
    "largest_inputs": 256 * KIB,
}


@dataclass(frozen=True)
class WorkflowSize:
    """What a run's workflow grows to.

    Attributes:
        nodes: Everything that Argo starts, keeps the state of and never forgets.
        bytes: The whole object, its nodes compressed as Argo compresses them.
        largest_argument: Bytes of the longest string on a container's command line.
        largest_environment: Bytes of the longest variable of a pod.
        largest_inputs: Bytes of the inputs of the node that has most.
    """

    nodes: int
    bytes: int
    largest_argument: int
    largest_environment: int
    largest_inputs: int

    def list_exceeded(self) -> list[str]:
        """Returns the names of what is above its limit."""
        return [name for name, limit in LIMITS.items() if getattr(self, name) > limit]


def list_asked(platforms: list[dict]) -> dict[str, dict]:
    """Returns what each executor asks Kubernetes for, by its label.

    Args:
        platforms: A package's documents after the first: one, or none.
    """
    kubernetes = platforms[0]["platforms"]["kubernetes"] if platforms else {}
    return kubernetes.get("deploymentSpec", {}).get("executors", {})


def weigh(workflow: Workflow, defaults: dict[str, Any]) -> WorkflowSize:
    """Returns the size of a workflow whose nodes are written.

    Args:
        workflow: The workflow.
        defaults: Values of the pipeline's parameters.
    """
    inputs = (node["inputs"]["parameters"] for node in workflow.nodes.values() if "inputs" in node)
    return WorkflowSize(
        nodes=len(workflow.nodes),
        bytes=workflow.count_fixed_bytes(defaults) + count_packed_bytes(workflow.nodes),
        largest_argument=max(workflow.arguments),
        largest_environment=max(workflow.environments),
        largest_inputs=max(sum(len(entry["value"]) for entry in entries) for entries in inputs),
    )


def count_packed_bytes(nodes: dict[str, dict]) -> int:
    """Returns the size of a workflow's nodes, compressed as Argo does (util/file/fileutil.go:86).

    Argo uses pgzip, which compressed the nodes of real runs to 1.11 times what zlib does at its default level, and to at most
    1.04 times what it does at level 5.
    """
    return int(1.04 * len(base64.b64encode(gzip.compress(write_json(nodes).encode(), 5))))
