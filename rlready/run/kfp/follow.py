"""Follows a run on a KFP server to its end."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from rlready.analysis.sweep_result import SweepResult, read_sweep
from rlready.errors import InputError
from rlready.run.kfp.artifacts import read_artifact
from rlready.run.kfp.nodes import list_stage_nodes
from rlready.run.kfp.progress import RunProgress
from rlready.run.kfp.runs import FINAL, get_run, read_workflow, was_stopped
from rlready.run.kfp.server import Server

LOST = 12  # failed requests in a row after which a run is no longer followed


def follow(server: Server, run: str, pause: float = 5) -> Iterator[str]:
    """Yields one text for everything that happens in a run, until it ends.

    Args:
        server: The KFP server.
        run: Id of the run.
        pause: Seconds between two requests.

    Raises:
        InputError: If the run does not succeed, or if the server is lost while it goes on.
    """
    progress, lost, page = RunProgress(server, run), 0, server.locate(f"runs/details/{run}")
    while True:
        begun = time.monotonic()
        try:
            now, workflow = get_run(server, run), read_workflow(server, run)
            lost = 0
        except InputError as error:
            lost += 1
            if lost == LOST or "(403)" in str(error):
                raise InputError(f"{error}\nthe run goes on: {page}") from error
            time.sleep(pause)
            continue
        ended, stopped = now.state in FINAL, was_stopped(now, workflow)
        if not stopped:
            yield from progress.tell(workflow, ended)
        if ended:
            break
        # A large run is asked for less often: its workflow is megabytes.
        time.sleep(max(pause, 5 * (time.monotonic() - begun)))
    if stopped:
        raise InputError("the run ended as canceled, because it was terminated")
    if now.state != "SUCCEEDED":
        said = [now.error.message] if now.error and now.error.message else []
        reasons = "\n".join(progress.failures or said)
        raise InputError(f"the run ended as {now.state.lower()}: {reasons or page}")


def read_result(server: Server, run: str) -> SweepResult | None:
    """Returns the result in the report of a run; None if the server does not serve it.

    Raises:
        InputError: If the server does not answer, or the report is not one of this version.
    """
    workflow = read_workflow(server, run)
    nodes = list_stage_nodes(workflow) if workflow else []
    node = next((node for node in nodes if node.stage == "report" and node.given), None)
    held = read_artifact(server, node.find_output("records")) if node else None
    if held is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "outcomes.json"
        path.write_bytes(held)
        return read_sweep(path)
