"""What the stages request of a cluster: the `placement:` part of a recipe. A run on this machine ignores it.

    placement:
      parallelism: 8
      all: {hub_cache: rlready-hub-cache, secrets: {rlready-hub: {token: HF_TOKEN}}}
      rl: {gpus: 1, cpus: 8, memory: 64Gi, shared_memory: 16Gi, timeout: 24h}

`parallelism` is the number of candidates at a time. The keys of a stage replace those of `all`. A placement belongs to a stage,
not to a task: KFP's cache key includes the names of volume claims, and the second loop must find the SFT of the first.
"""

import dataclasses
import json
import os
import re
from dataclasses import dataclass
from typing import Any, get_type_hints

from rlready.config import Parameter, check_keys, coerce, knob
from rlready.config.recipes import read_recipe
from rlready.errors import InputError, error_context
from rlready.records.outcome import STAGES
from rlready.training import train_job

PLACEMENT = "RLREADY_PLACEMENT"  # set while the pipeline is compiled for a cluster: as a recipe has it, in JSON
SIDE_BY_SIDE = "RLREADY_SIDE_BY_SIDE"  # set while the pipeline runs on this machine
PARALLELISM = 8
OF_TRAINING = ("train_job", "checkpoints")  # keys for the stages that train only
TRAIN_JOB = {"volume": "", "nodes": 1, "runtime": "torch-distributed"}  # keys and their defaults
HUB_CACHE = "/cache/huggingface"
CHECKPOINTS = "/checkpoints"
SCRATCH = "/scratch"

NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
# KFP names the volume in the pod like the claim, and Kubernetes allows fewer characters in the name of a volume.
CLAIM = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
CLAIM_FORM = "the name of a volume claim (lower case, digits and -, at most 63)"
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Where a claim may be mounted: not over what belongs to the image, Kubernetes, KFP's launcher or another key.
MOUNT = re.compile(r"/(?!(bin|boot|cache|checkpoints|dev|etc|gcs|kfp\S*|lib\w*|minio|opt|proc|root|run|s3|sbin|scratch|sys|tmp"
                   r"|train-job|usr|var)(/|$))[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")  # fmt: skip
QUANTITY = re.compile(r"[1-9][0-9]*(Ei|Pi|Ti|Gi|Mi|Ki|E|P|T|G|M|K)?")
DURATION = re.compile(r"([1-9][0-9]*)([smhd])")
TEXTS = {  # the form of a text that is not empty, and what to expect
    **dict.fromkeys(("memory", "shared_memory", "gpu_memory", "storage"), (QUANTITY, "an amount such as 64Gi or 512Mi")),
    **dict.fromkeys(("hub_cache", "checkpoints"), (CLAIM, CLAIM_FORM)),
    **dict.fromkeys(("queue", "priority"), (NAME, "the name of a Kubernetes object (lower case, digits, - and .)")),
    "timeout": (DURATION, "a duration such as 90m, 24h or 2d"),
}
CONFIDENTIAL = re.compile(r"TOKEN|SECRET|PASSWORD|CREDENTIAL|_KEY$")
TOLERATION = {"key": None, "operator": ("Equal", "Exists"), "value": None,
              "effect": ("NoSchedule", "PreferNoSchedule", "NoExecute"), "toleration_seconds": None}  # fmt: skip


@dataclass(frozen=True)
class Placement:
    """What the pods of one stage request of the cluster."""

    gpus: int = knob(0, "GPUs per pod", "a light stage needs none")
    accelerator: str = knob("nvidia.com/gpu", "Resource name of the GPUs", "NVIDIA's device plugin")
    gpu_memory: str = knob("", "Memory of one GPU, e.g. 80Gi: plan says whether the model fits", "plan does not check")
    cpus: float = knob(0.0, "CPU cores requested; 0: the cluster's default", "no limit is set, which would only throttle")
    memory: str = knob("", "Memory request and limit, e.g. 64Gi", "the cluster's default")
    shared_memory: str = knob("", "Size of /dev/shm, e.g. 16Gi; counts as memory", "64 MB, too small for NCCL and vLLM")
    node_selector: dict = knob({}, "Labels that a node must have", "any node")
    tolerations: list = knob([], "Taints to accept, e.g. [{key: nvidia.com/gpu, operator: Exists}]", "none")
    queue: str = knob("", "Kueue LocalQueue that admits the pods", "no queue")
    priority: str = knob("", "Kueue WorkloadPriorityClass; KFP cannot set a pod's own priority class", "no priority")
    environment: dict = knob({}, "Variables, e.g. {MLFLOW_TRACKING_URI: http://mlflow.rlready:5000}", "none")
    secrets: dict = knob({}, "Variables from Kubernetes secrets: {secret: {key: VARIABLE}}", "none")
    image_pull_secrets: list = knob([], "Secrets to pull the image with", "a public image")
    hub_cache: str = knob("", f"Volume claim for downloaded models and data, at {HUB_CACHE}", "each pod downloads")
    storage: str = knob(
        "", f"Size of a volume of the pod's own for downloads and checkpoints, e.g. 100Gi, at {SCRATCH}",
        "the node's disk",
    )  # fmt: skip
    checkpoints: str = knob(
        "", f"Volume claim for checkpoints of sft and rl, at {CHECKPOINTS}: it outlives the pod and the run",
        "the pod's own disk: if the pod is lost, training starts again",
    )  # fmt: skip
    volumes: dict = knob({}, "More volume claims, with models or data, e.g. {rlready-models: /models}", "none")
    retries: int = knob(0, "Retries after a process died, in the same pod, from the last checkpoint", "none")
    timeout: str = knob("", "Time limit of a pod, e.g. 90m or 24h", "no limit")
    train_job: dict = knob(
        {},
        "Train in a Kubeflow TrainJob of several pods, for sft and rl: {volume: a ReadWriteMany claim, nodes, runtime}",
        "training fits in the task's own pod",
    )


class Placements(dict[str, Placement]):
    """The placement of every stage by its name, and the number of candidates at a time."""

    def __init__(self, stages: dict[str, Placement], parallelism: int):
        super().__init__(stages)
        self.parallelism = parallelism


def parse_placement(given: Any) -> Placements:
    """Returns the placement of every stage, from a recipe's `placement:` part or None; raises InputError if it is wrong."""
    given = given or {}
    _check_keys("placement", given, ("all", *STAGES, "parallelism"))
    parallelism = coerce(Parameter("placement.parallelism", int, None, "", ""), given.get("parallelism", PARALLELISM))
    if parallelism < 1:
        raise InputError(f"placement.parallelism: expected 1 or more; got {parallelism}")
    shared = _parse_entries("placement.all", given.get("all"))
    placements = {}
    for stage in STAGES:
        where, claims = f"placement.{stage}", dict[str, str]()
        placement = placements[stage] = Placement(**shared | _parse_entries(where, given.get(stage)))
        if placement.train_job and placement.checkpoints:
            raise InputError(f"{where}: a train_job keeps its checkpoints on its own volume; leave checkpoints out")
        for claim, use in list_claims(placement):  # a pod cannot mount one twice
            if claim in claims:
                raise InputError(f"{where}: the claim {claim} is both {claims[claim]} and {use}")
            claims[claim] = use
    return Placements(placements, parallelism)


def list_claims(placement: Placement) -> list[tuple[str, str]]:
    """Returns the volume claims that a stage mounts, each with the key that names it."""
    volume = placement.train_job.get("volume")
    uses = {"hub_cache": placement.hub_cache, "train_job": volume, "checkpoints": placement.checkpoints}
    return [(claim, use) for use, claim in uses.items() if claim] + [(claim, "volumes") for claim in placement.volumes]


def _parse_entries(where: str, entries: Any) -> dict[str, Any]:
    texts, types = {item.name: item.metadata for item in dataclasses.fields(Placement)}, get_type_hints(Placement)
    entries = entries or {}
    _check_keys(where, entries, tuple(texts))
    parsed = {key: coerce(Parameter(f"{where}.{key}", types[key], None, **texts[key]), value) for key, value in entries.items()}
    for key, value in parsed.items():
        _check_value(f"{where}.{key}", key, value)
        if key in OF_TRAINING and value and where.split(".")[-1] not in train_job.INPUTS:
            raise InputError(f"{where}.{key}: only for {' and '.join(train_job.INPUTS)}, the stages that train")
    return parsed


def _check_keys(where: str, given: Any, known: tuple[str, ...]) -> None:
    if not isinstance(given, dict):
        raise InputError(f"{where}: expected a mapping with keys of {', '.join(known)}; got {given!r}")
    check_keys(where, given, known)


def _check_value(name: str, key: str, value: Any) -> None:
    def check(held: object, expected: str, of: Any = value) -> None:
        if not held:
            raise InputError(f"{name}: expected {expected}; got {of!r}")

    if key in ("gpus", "cpus", "retries"):
        check(value >= 0, "0 or more")
    elif key in TEXTS:
        form, expected = TEXTS[key]
        check(not value or form.fullmatch(value), expected)
    elif key == "image_pull_secrets":
        check(all(isinstance(secret, str) and NAME.fullmatch(secret) for secret in value), "a list of names of secrets")
    elif key == "node_selector":
        check(all(isinstance(text, str) for text in value.values()), "labels with texts; quote true, false and numbers")
    elif key == "volumes":
        for claim, path in value.items():
            check(CLAIM.fullmatch(str(claim)), CLAIM_FORM, claim)
            check(isinstance(path, str) and MOUNT.fullmatch(path), "a path of its own, such as /models", path)
        check(len({*value.values()}) == len(value), "a path of its own for each claim")
    elif key == "environment":
        for variable, text in value.items():
            check(VARIABLE.fullmatch(str(variable)) and isinstance(text, str), "variables with texts", {variable: text})
            harmless = not CONFIDENTIAL.search(variable) and not re.search(r"://[^/\s]*@", text)
            check(harmless, "no secrets here; name a Kubernetes secret under secrets", variable)  # without its value, a secret
    elif key == "secrets":
        for secret, variables in value.items():
            check(NAME.fullmatch(str(secret)) and isinstance(variables, dict), "{secret: {key: VARIABLE}}")
            check(all(VARIABLE.fullmatch(str(v)) for v in variables.values()), "{secret: {key: VARIABLE}}", variables)
    elif key == "train_job" and value:
        _check_keys(name, value, tuple(TRAIN_JOB))
        volume, nodes, runtime = (TRAIN_JOB | value).values()
        check(isinstance(volume, str) and CLAIM.fullmatch(volume), f"volume as {CLAIM_FORM}")
        check(isinstance(runtime, str) and NAME.fullmatch(runtime), "runtime as the name of a Kubernetes object")
        check(type(nodes) is int and nodes >= 1, "nodes as 1 or more")
    elif key == "tolerations":
        for item in value:
            _check_keys(name, item, tuple(TOLERATION))
            for part, allowed in TOLERATION.items():
                check(not allowed or item.get(part, allowed[0]) in allowed, f"{part} as one of {allowed}", item)


def read_placement() -> Placements | None:
    """Returns the placement that the pipeline is being compiled with; None if it is not being compiled for a cluster."""
    text = os.environ.get(PLACEMENT)
    return parse_placement(json.loads(text)) if text else None


def read_parallelism() -> int:
    """Returns the number of candidates at a time: that of the placement, or as many as fit into this machine's memory."""
    placement = read_placement()
    return placement.parallelism if placement else int(os.environ.get(SIDE_BY_SIDE, PARALLELISM))


def count_bytes(quantity: str) -> int:
    """Returns the bytes of an amount such as 80Gi; 0 of an empty one."""
    unit = quantity.lstrip("0123456789")
    power = " KMGTPE".index(unit[:1] or " ")
    return int(quantity.removesuffix(unit) or 0) * (1024 if unit.endswith("i") else 1000) ** power


def load_placement(name: str) -> Placements:
    """Returns the placement in a recipe, a shipped one or a YAML file; raises InputError if it is wrong."""
    path, recipe = read_recipe(name)
    with error_context(path.name):
        return parse_placement(recipe.get("placement"))
