"""What a placement sets on KFP tasks, and so on their pods and TrainJobs, while the pipeline is compiled for a cluster."""

import json
from collections.abc import Callable
from typing import Any

from kfp import kubernetes
from kfp.dsl.base_component import BaseComponent
from kfp.dsl.structures import ResourceSpec

from rlready.placement.images import resolve_image
from rlready.placement.placement import CHECKPOINTS, HUB_CACHE, SCRATCH, TRAIN_JOB, Placement, read_placement
from rlready.runtime import failures
from rlready.training import checkpoints, train_job

# What is kept on the pod's own volume: checkpoints, temporary files, and downloads unless they have a shared cache.
SCRATCHED = {checkpoints.ROOT: f"{SCRATCH}/checkpoints", "TMPDIR": SCRATCH, "HF_HOME": f"{SCRATCH}/huggingface"}
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
# Every pod of a KFP run has this label, from which a stage knows its run in MLflow.
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
    """Sets on a KFP task what its pod requests; if a TrainJob trains, the pods of the TrainJob request it instead."""
    variables = _set_train_job(task, placement, image) if placement.train_job else _request_resources(task, placement)
    for claim, path in placement.volumes.items():
        kubernetes.mount_pvc(task, claim, path)
    if placement.image_pull_secrets:
        kubernetes.set_image_pull_secrets(task, placement.image_pull_secrets)
    if placement.retries:
        # Not set_retry: Argo does not retry a pod whose process failed, whatever KFP's num_retries is.
        variables[failures.RETRIES] = str(placement.retries)
    if placement.timeout:
        kubernetes.set_timeout(task, _count_seconds(placement.timeout))
    kubernetes.use_field_path_as_env(task, checkpoints.RUN, RUN_LABEL)
    if variables:
        # At once: each call of set_env_variable inspects the whole stack, which takes up to a second if torch is imported.
        task.container_spec.env = variables


def _request_resources(task: Any, placement: Placement) -> dict[str, str]:
    """Sets the resources of a task's own pod, and returns the variables to set."""
    if placement.gpus or placement.cpus or placement.memory:
        # Set directly, like the variables: the task's own functions inspect the stack.
        task.container_spec.resources = ResourceSpec(
            cpu_request=f"{placement.cpus:g}" if placement.cpus else None,
            memory_request=placement.memory or None,
            memory_limit=placement.memory or None,
            accelerator_type=placement.accelerator if placement.gpus else None,
            accelerator_count=str(placement.gpus) if placement.gpus else None,
        )
    if placement.shared_memory:
        kubernetes.empty_dir_mount(task, "shared-memory", "/dev/shm", medium="Memory", size_limit=placement.shared_memory)
    if placement.storage:
        # KFP cannot request ephemeral-storage, but a claim that lives as long as its pod.
        kubernetes.add_ephemeral_volume(task, "scratch", SCRATCH, ["ReadWriteOnce"], placement.storage)
    for label, value in placement.node_selector.items():
        kubernetes.add_node_selector(task, label, value)
    for toleration in placement.tolerations:
        kubernetes.add_toleration(task, **toleration)
    for label, value in _list_queue_labels(placement).items():
        kubernetes.add_pod_label(task, label, value)
    _use_secrets(task, placement)
    # Otherwise each of several pods on one node starts a thread for every core of it, and they wait for one another.
    threads = {"OMP_NUM_THREADS": str(max(1, int(placement.cpus)))} if placement.cpus and not placement.gpus else {}
    variables = threads | (SCRATCHED if placement.storage else {}) | placement.environment
    # After the variables of the pod's own volume: what outlives the pod has precedence.
    lasting = (placement.hub_cache, "HF_HOME", HUB_CACHE), (placement.checkpoints, checkpoints.ROOT, CHECKPOINTS)
    for claim, variable, path in lasting:
        if claim:
            kubernetes.mount_pvc(task, claim, path)
            variables[variable] = path
    return variables


def _use_secrets(task: Any, placement: Placement, prefix: str = "") -> None:
    """Sets the variables from secrets whose names begin with a prefix."""
    for secret, variables in placement.secrets.items():
        if taken := {key: variable for key, variable in variables.items() if variable.startswith(prefix)}:
            kubernetes.use_secret_as_env(task, secret, taken)


def _set_train_job(task: Any, placement: Placement, image: str) -> dict[str, str]:
    """Sets the volume that a task and its TrainJob mount, and what it needs to own it; returns the variables to set."""
    _use_secrets(task, placement, "MLFLOW_")  # it logs a training that fails
    kubernetes.mount_pvc(task, placement.train_job["volume"], train_job.FOLDER)
    kubernetes.use_field_path_as_env(task, train_job.POD_NAME, "metadata.name")
    kubernetes.use_field_path_as_env(task, train_job.POD_UID, "metadata.uid")
    variables = {variable: value for variable, value in placement.environment.items() if variable.startswith("MLFLOW_")}
    return variables | {train_job.MANIFEST: json.dumps(describe_train_job(placement, image))}


def describe_train_job(placement: Placement, image: str) -> dict[str, Any]:
    """Returns the manifest of the TrainJob that a placement requests; the task adds its name, owner and command."""
    settings = TRAIN_JOB | placement.train_job
    gpus = str(placement.gpus or "")
    limits = _drop_empty({placement.accelerator: gpus, "memory": placement.memory, "ephemeral-storage": placement.storage})
    # No limit of CPU: it would only throttle.
    requests = limits | ({"cpu": f"{placement.cpus:g}"} if placement.cpus else {})
    environment = [{"name": variable, "value": value} for variable, value in placement.environment.items()]
    for secret, variables in placement.secrets.items():
        for key, variable in variables.items():
            environment.append({"name": variable, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}})
    claims = {"train-job": (settings["volume"], train_job.FOLDER)}
    claims |= {claim: (claim, path) for claim, path in placement.volumes.items()}
    if placement.hub_cache:
        claims["hub-cache"] = (placement.hub_cache, HUB_CACHE)
        environment.append({"name": "HF_HOME", "value": HUB_CACHE})
    volumes = [{"name": n, "persistentVolumeClaim": {"claimName": claim}} for n, (claim, _) in claims.items()]
    mounts = [{"name": n, "mountPath": path} for n, (_, path) in claims.items()]
    if placement.shared_memory:
        volumes.append({"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": placement.shared_memory}})
        mounts.append({"name": "shared-memory", "mountPath": "/dev/shm"})
    security = {"runAsNonRoot": True, "allowPrivilegeEscalation": False}
    pod = _drop_empty({
        "containers": [{"name": train_job.NODE, "volumeMounts": mounts, "securityContext": security}],
        "volumes": volumes,
        "nodeSelector": placement.node_selector,
        "tolerations": [
            {"tolerationSeconds" if key == "toleration_seconds" else key: value for key, value in item.items()}
            for item in placement.tolerations
        ],
        "imagePullSecrets": [{"name": secret} for secret in placement.image_pull_secrets],
    })  # fmt: skip
    job = {"name": train_job.NODE, "template": {"spec": {"template": {"spec": pod}}}}
    patch = {"manager": "rlready.io/placement", "trainingRuntimeSpec": {"template": {"spec": {"replicatedJobs": [job]}}}}
    resources = _drop_empty({"requests": requests, "limits": limits})
    workers = {"image": image, "numNodes": settings["nodes"], "numProcPerNode": max(1, placement.gpus), "env": environment}
    spec: dict[str, Any] = {
        "runtimeRef": {"apiGroup": train_job.API[0], "kind": "ClusterTrainingRuntime", "name": settings["runtime"]},
        "trainer": workers | ({"resourcesPerNode": resources} if resources else {}),
        "runtimePatches": [patch],
    }
    if placement.timeout:
        spec["activeDeadlineSeconds"] = _count_seconds(placement.timeout)
    labels = {"app.kubernetes.io/part-of": "rlready"} | _list_queue_labels(placement)
    return {"apiVersion": "/".join(train_job.API), "kind": "TrainJob", "metadata": {"labels": labels}, "spec": spec}


def _list_queue_labels(placement: Placement) -> dict[str, str]:
    """Returns the labels by which Kueue admits a pod or a TrainJob."""
    return _drop_empty({"kueue.x-k8s.io/queue-name": placement.queue, "kueue.x-k8s.io/priority-class": placement.priority})


def _count_seconds(duration: str) -> int:
    return int(duration[:-1]) * SECONDS[duration[-1]]


def _drop_empty(entries: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entries.items() if value}
