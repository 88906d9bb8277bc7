"""What started a pipeline's run: KFP's own run in MLflow, where its MLflow plugin is on, and the page of KFP's UI.

The plugin (kubeflow/pipelines 2.17, backend/src/apiserver/plugins/mlflow) makes a run for each KFP run and, below it, one for
each task and DAG, and gives a task the id of its own as MLFLOW_RUN_ID. These runs are read and never written to.
"""

import os
import uuid
from typing import Any

PARENT = "mlflow.parentRunId"
KFP_RUN, KFP_PAGE = "kfp.pipeline_run_id", "kfp.pipeline_run_url"  # tags of the plugin's root run
DEEPEST = 20  # levels of tasks in DAGs in DAGs


def is_kfp(run_id: str) -> bool:
    """Says whether this is the id that KFP gave a run: a UUID. On a laptop it is the name of the run's folder."""
    try:
        return str(uuid.UUID(run_id)) == run_id
    except ValueError:
        return False


def describe_origin(client: Any, run_id: str, name: str) -> dict[str, str]:
    """Returns the tags that lead from a pipeline's run in MLflow to KFP's; none on a laptop.

    Args:
        client: MLflow's.
        run_id: Id of the pipeline run.
        name: That the user gave the run.
    """
    if not is_kfp(run_id):
        return {}
    root = _find_root(client, run_id)
    server = os.environ.get("KF_PIPELINES_UI_ENDPOINT", "").rstrip("/")
    page = (root and root.data.tags.get(KFP_PAGE)) or (f"{server}/#/runs/details/{run_id}" if server else "")
    note = f"Run of Kubeflow Pipelines: [{name}]({page})" if page else f"Run of Kubeflow Pipelines: {name}, id {run_id}"
    tags = {"mlflow.note.content": note} | ({"rlready.kfp_page": page} if page else {})
    return tags | ({PARENT: root.info.run_id} if root else {})


def _find_root(client: Any, run_id: str) -> Any:
    """Returns the run that KFP's plugin made for this KFP run: the one at the top over MLFLOW_RUN_ID, if it says so."""
    from mlflow.exceptions import MlflowException

    above = os.environ.get("MLFLOW_RUN_ID")
    for _ in range(DEEPEST):
        try:
            run = client.get_run(above) if above else None
        except MlflowException:  # of another server, or deleted
            return None
        if run is None or run.data.tags.get(KFP_RUN) == run_id:
            return run
        above = run.data.tags.get(PARENT)
    return None
