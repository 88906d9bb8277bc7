"""Sets a placement on KFP tasks, and so on their pods, while the pipeline is compiled for a cluster."""

import json
from collections.abc import Callable
from typing import Any

from kfp.dsl.base_component import BaseComponent

from rlready.placement.images import resolve_image
from rlready.placement.placement import (
    CHECKPOINTS,
    HUB_CACHE,
    SCRATCH,
    Placement,
    count_seconds,
    list_queue_labels,
    read_placement,
)
from rlready.placement.train_job_manifest import describe_train_job
from rlready.runtime import failures
from rlready.training import checkpoints, train_job

# What goes to the pod's own volume: checkpoints, temporary files, and downloads unless there is a shared cache for them.
SCRATCHED = {checkpoints.ROOT: f"{SCRATCH}/checkpoints", "TMPDIR": SCRATCH, "HF_HOME": f"{SCRATCH}/huggingface"}
# The label that every pod of a KFP run carries; with it a stage's metrics reach MLflow while it runs.
RUN_LABEL = "metadata.labels['pipeline/runid']"


def with_placement(component: BaseComponent) -> Callable[..., Any]:
    """Returns a stage's component; if compiled for a cluster, with the placement set on each of its tasks."""
    placements = read_placement()
    if placements is None:
        return component
    stage = component.name
    placement = placements[stage]

    def make_task(**inputs: Any) -> Any:
        task = component(**inputs)
        place(task, placement, resolve_image(stage))
        return task

    return make_task


def place(task: Any, placement: Placement, image: str) -> None:
    """Sets on a KFP task what its pod requests; if a TrainJob trains, its pods request it instead, with the stage's image."""
    from kfp import kubernetes

    if placement.train_job:
        _set_train_job(task, placement, image)
    else:
        _request_resources(task, placement)
    for claim, path in placement.volumes.items():
        kubernetes.mount_pvc(task, claim, path)
    if placement.image_pull_secrets:
        kubernetes.set_image_pull_secrets(task, placement.image_pull_secrets)
    if placement.retries:
        # Not set_retry: Argo never tries a pod again whose process failed, whatever KFP's num_retries says.
        task.set_env_variable(failures.RETRIES, str(placement.retries))
    if placement.timeout:
        kubernetes.set_timeout(task, count_seconds(placement.timeout))
    kubernetes.use_field_path_as_env(task, "RLREADY_RUN_ID", RUN_LABEL)


def _request_resources(task: Any, placement: Placement) -> None:
    from kfp import kubernetes

    if placement.gpus:
        task.set_accelerator_type(placement.accelerator).set_accelerator_limit(placement.gpus)
    if placement.cpus:
        task.set_cpu_request(f"{placement.cpus:g}")
    if placement.memory:
        task.set_memory_request(placement.memory).set_memory_limit(placement.memory)
    if placement.shared_memory:
        kubernetes.empty_dir_mount(task, "shared-memory", "/dev/shm", medium="Memory", size_limit=placement.shared_memory)
    if placement.storage:
        # KFP has no request of ephemeral-storage; a claim that lives as long as its pod is what it can ask for.
        kubernetes.add_ephemeral_volume(task, "scratch", SCRATCH, ["ReadWriteOnce"], placement.storage)
        for variable, path in SCRATCHED.items():
            task.set_env_variable(variable, path)
    for label, value in placement.node_selector.items():
        kubernetes.add_node_selector(task, label, value)
    for toleration in placement.tolerations:
        kubernetes.add_toleration(task, **toleration)
    for label, value in list_queue_labels(placement).items():
        kubernetes.add_pod_label(task, label, value)
    _set_variables(task, placement)
    # After the variables of the pod's own volume: what outlives the pod comes first.
    for claim, variable, path in (
        (placement.hub_cache, "HF_HOME", HUB_CACHE),
        (placement.checkpoints, checkpoints.ROOT, CHECKPOINTS),
    ):
        if claim:
            kubernetes.mount_pvc(task, claim, path)
            task.set_env_variable(variable, path)


def _set_variables(task: Any, placement: Placement, prefix: str = "") -> None:
    """Sets the variables of a placement whose names begin with a prefix, those from secrets among them."""
    from kfp import kubernetes

    for variable, value in placement.environment.items():
        if variable.startswith(prefix):
            task.set_env_variable(variable, value)
    for secret, variables in placement.secrets.items():
        if taken := {key: variable for key, variable in variables.items() if variable.startswith(prefix)}:
            kubernetes.use_secret_as_env(task, secret, taken)


def _set_train_job(task: Any, placement: Placement, image: str) -> None:
    """Gives a task the TrainJob to create, the volume that both mount, and what it needs to own the TrainJob."""
    from kfp import kubernetes

    _set_variables(task, placement, "MLFLOW_")  # it logs a training that fails
    task.set_env_variable(train_job.MANIFEST, json.dumps(describe_train_job(placement, image)))
    kubernetes.mount_pvc(task, placement.train_job["volume"], train_job.FOLDER)
    kubernetes.use_field_path_as_env(task, train_job.POD_NAME, "metadata.name")
    kubernetes.use_field_path_as_env(task, train_job.POD_UID, "metadata.uid")
