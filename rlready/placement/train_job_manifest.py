"""The TrainJob of a stage that trains in several pods, as far as its placement tells it."""

from typing import Any

from rlready.placement.placement import HUB_CACHE, TRAIN_JOB, Placement, count_seconds, list_queue_labels
from rlready.training import train_job


def describe_train_job(placement: Placement, image: str) -> dict[str, Any]:
    """Returns the manifest of the TrainJob that a placement asks for; the task adds its name, owner and command.

    Args:
        placement: That of a stage with `train_job`.
        image: Image of the stage.
    """
    asked = TRAIN_JOB | placement.train_job
    limits = {placement.accelerator: str(placement.gpus)} if placement.gpus else {}
    limits |= {"memory": placement.memory} if placement.memory else {}
    limits |= {"ephemeral-storage": placement.storage} if placement.storage else {}
    # No limit of CPU: it would only throttle.
    requests = limits | ({"cpu": f"{placement.cpus:g}"} if placement.cpus else {})
    environment = [{"name": variable, "value": value} for variable, value in placement.environment.items()]
    for secret, variables in placement.secrets.items():
        for key, variable in variables.items():
            environment.append({"name": variable, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}})
    claims = {"train-job": (asked["volume"], train_job.FOLDER)}
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
    pod = {
        "containers": [{"name": train_job.NODE, "volumeMounts": mounts, "securityContext": security}],
        "volumes": volumes,
        "nodeSelector": placement.node_selector,
        "tolerations": [{_write_key(key): v for key, v in item.items()} for item in placement.tolerations],
        "imagePullSecrets": [{"name": secret} for secret in placement.image_pull_secrets],
    }
    job = {"name": train_job.NODE, "template": {"spec": {"template": {"spec": {k: v for k, v in pod.items() if v}}}}}
    patch = {
        "manager": "rlready.io/placement",
        "trainingRuntimeSpec": {"template": {"spec": {"replicatedJobs": [job]}}},
    }
    trainer: dict[str, Any] = {
        "image": image,
        "numNodes": asked["nodes"],
        "numProcPerNode": max(1, placement.gpus),
        "env": environment,
    }
    if requests:
        trainer["resourcesPerNode"] = {"requests": requests} | ({"limits": limits} if limits else {})
    runtime = {"apiGroup": train_job.API[0], "kind": "ClusterTrainingRuntime", "name": asked["runtime"]}
    spec: dict[str, Any] = {"runtimeRef": runtime, "trainer": trainer, "runtimePatches": [patch]}
    if placement.timeout:
        spec["activeDeadlineSeconds"] = count_seconds(placement.timeout)
    labels = {"app.kubernetes.io/part-of": "rlready"} | list_queue_labels(placement)
    return {
        "apiVersion": "/".join(train_job.API),
        "kind": "TrainJob",
        "metadata": {"labels": labels},
        "spec": spec,
    }


def _write_key(key: str) -> str:
    """Returns a key of a toleration as Kubernetes writes it."""
    return "tolerationSeconds" if key == "toleration_seconds" else key
