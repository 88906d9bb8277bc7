"""What a run wrote, read through its KFP server: logs of pods and small artifacts, which the UI's server hands out."""

from urllib.parse import urlsplit

from rlready.components.config import InputError
from rlready.pipelines.cluster.server import Server, ask
from rlready.pipelines.cluster.steps import LOGS, Step

LAST_LINES = 15


def read_artifact(server: Server, address: str) -> bytes | None:
    """Returns an artifact's content; None where it cannot be had, as from the API server alone.

    Args:
        server: The KFP server.
        address: Where the artifact is, e.g. minio://bucket/key.
    """
    place = urlsplit(address)
    query = {"source": place.scheme, "bucket": place.netloc, "key": place.path.lstrip("/")}
    query |= {"namespace": server.namespace} if server.namespace else {}
    try:
        return ask(server, "/artifacts/get", query) if address else None
    except InputError:
        return None


def read_log(server: Server, run: str, namespace: str, step: Step) -> list[str]:
    """Returns the last lines that a step's pod wrote; none where they cannot be had.

    Args:
        server: The KFP server.
        run: Id of the run.
        namespace: Where its pods are.
        step: A step that has a pod.
    """
    query = {"podname": step.pod, "runid": run, "podnamespace": namespace}
    ways = [
        lambda: ask(server, f"/apis/v1alpha1/runs/{run}/nodes/{step.pod}/log"),  # the API server
        lambda: ask(server, "/k8s/pod/logs", query),  # the UI's server
        lambda: read_artifact(server, f"{step.find_output(LOGS)}-{step.attempt}"),
    ]
    for way in ways:
        try:
            text = (way() or b"").decode(errors="replace")
        except InputError:
            continue
        # The API server says 200 before it looks for a log; the UI's answers with a page what it does not know.
        if text.strip() and not text.lstrip().startswith("<") and '{"error_message"' not in text[-2000:]:
            return text.rstrip().splitlines()[-LAST_LINES:]
    return []
