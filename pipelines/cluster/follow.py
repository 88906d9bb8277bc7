"""Follows a run on a KFP server."""

import time
from collections.abc import Iterator

import kfp_server_api as api

from rlready.components.config import InputError
from rlready.pipelines.cluster.server import Server, call

FINAL = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
LOST = 12  # answers in a row that may fail while a run is followed
PATIENCE = 180  # seconds that a pod may wait until it is said; KFP tells that one does, and neither which nor why


def follow(server: Server, run: str, pause: float = 5) -> Iterator[str]:
    """Yields a line whenever a task of a run changes, and once when a pod waits for long, until the run ends.

    Args:
        server: Where it runs.
        run: Its id.
        pause: Seconds between two questions.

    Raises:
        InputError: If the run does not succeed, or the server is lost; the run goes on then.
    """
    runs, seen, lost, waits = api.RunServiceApi(server.client), {}, 0, None
    while True:
        try:
            now = call(server.client, runs.run_service_get_run, run)
            lost = 0
        except InputError as error:
            lost += 1
            if lost == LOST or "(403)" in str(error):
                raise InputError(f"{error}\nthe run goes on: {server.locate(f'runs/details/{run}')}") from error
            time.sleep(pause)
            continue
        tasks = (now.run_details and now.run_details.task_details) or []
        for task in tasks:
            name, state = task.display_name or "", task.state or "PENDING"
            # The run itself is a task too, and so are the pod of each task and KFP's own, the drivers.
            if (
                seen.get(task.task_id, "PENDING") != state
                and name
                and not name.endswith(("driver", "root", "executor"))
            ):
                yield f"{name}: {state.lower()}"
            seen[task.task_id] = state
        if now.state in FINAL:
            break
        if not tasks or any((task.state or "PENDING") == "PENDING" for task in tasks):
            waits = waits or time.monotonic()
            if time.monotonic() - waits > PATIENCE:
                yield (
                    f"a pod has been waiting for {PATIENCE // 60} minutes; whether for a GPU, its queue, an image or a secret "
                    f"is seen with: kubectl get pods --all-namespaces -l pipeline/runid={run}"
                )
                waits = float("inf")  # said once, until everything runs
        else:
            waits = None
        time.sleep(pause)
    if now.state != "SUCCEEDED":
        failed = [f"{t.display_name}: {t.error.message if t.error else 'failed'}" for t in tasks if t.state == "FAILED"]
        said = [now.error.message] if now.error and now.error.message else []
        raise InputError("\n".join([f"the run ended as {now.state.lower()}", *said, *failed]))
