"""A stage in several pods: its KFP task creates a Kubeflow TrainJob, follows it, and copies the outputs from a shared volume.

A recipe's placement sets `train_job` for such a stage. The SDK connects and deletes; the TrainJob is created and read with its
Kubernetes clients: the SDK's `train()` takes no owner and no secret, its `get_job()` fails on pods without a GPU that it knows.
"""

import contextlib
import json
import os
import shutil
import signal
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlready.errors import InputError, StageFailed, one_line
from rlready.runtime.events import tell_once

MANIFEST = "RLREADY_TRAIN_JOB"  # the TrainJob of a stage without what `complete_manifest` adds
FOLDER = "/train-job"  # mount path of the shared volume, in the task's pod and in those of the TrainJob
POD_NAME, POD_UID = "RLREADY_POD_NAME", "RLREADY_POD_UID"
NODE = "node"  # the container that trains, in every runtime of Kubeflow Trainer
API = ("trainer.kubeflow.org", "v1alpha1")
INPUTS = {"sft": ("data",), "rl": ("data", "model", "before", "probe")}
OUTPUTS = {"sft": ("model", "outcome"), "rl": ("trained", "outcome")}
# Set in the task by KFP or its MLflow plugin, and passed on to the trainers.
PASSED_ON = ("RLREADY_RUN_ID", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME")
STARTING = ("ContainerCreating", "PodInitializing")
PAUSE = 5  # seconds between two requests
LOST = 60  # requests in a row that may fail
TIMEOUT = (5, 60)  # seconds to connect and to answer
LAST_LINES = 50


def run(stage: str, candidate_id: str, arguments: dict[str, str]) -> None:
    """Runs `run(**arguments)` of sft or rl of a candidate as a TrainJob, in every process of every pod.

    The candidate's folder on the volume is removed when the stage is done and kept when it fails, so that a retry resumes from
    its checkpoints. The TrainJob is deleted in either case; if this process is killed, it goes with its owner, the task's pod,
    or at its deadline. Raises InputError if the TrainJob cannot be created, and StageFailed if it fails.
    """
    if not Path(FOLDER).is_dir():
        raise InputError(f"{FOLDER} is missing: placement.{stage}.train_job needs its volume mounted in this pod")
    folder = Path(FOLDER, os.environ.get("RLREADY_RUN_ID", "run"), f"{stage}-{candidate_id}")
    manifest = complete_manifest(json.loads(os.environ[MANIFEST]), stage, folder)
    inputs = [name for name in INPUTS[stage] if arguments.get(name)]
    moved = {name: str(folder / name) for name in (*inputs, *OUTPUTS[stage])}
    folder.mkdir(parents=True, exist_ok=True)
    for name in inputs:
        if not (folder / name).exists():  # a retry finds it there
            _copy(Path(arguments[name]), folder / f"{name}.new")
            (folder / f"{name}.new").rename(folder / name)
    for name in OUTPUTS[stage]:
        _remove(folder / name)
    (folder / "run.json").write_text(json.dumps(arguments | moved))
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit("the task was stopped"))
    try:
        _run(manifest)
    finally:
        signal.signal(signal.SIGTERM, before)
    for name in OUTPUTS[stage]:
        if not (folder / name).exists():
            raise InputError(f"the TrainJob succeeded without writing {folder / name}; is the volume of mode ReadWriteMany?")
        _copy(folder / name, Path(arguments[name]))
    shutil.rmtree(folder)


def complete_manifest(manifest: dict[str, Any], stage: str, folder: Path) -> dict[str, Any]:
    """Returns the manifest with name, owner, command and environment, which only the run knows."""
    metadata = manifest["metadata"] | {"name": f"rlready-{stage}-{uuid.uuid4().hex[:8]}"}
    if POD_UID in os.environ:
        owner = {"apiVersion": "v1", "kind": "Pod", "name": os.environ[POD_NAME], "uid": os.environ[POD_UID]}
        metadata["ownerReferences"] = [owner]
    trainer = manifest["spec"]["trainer"]
    passed_on = {name: {"name": name, "value": os.environ[name]} for name in PASSED_ON if name in os.environ}
    environment = passed_on | {entry["name"]: entry for entry in trainer["env"]}
    command = ["torchrun", "-m", "rlready.run.launch", stage, "--config", str(folder / "run.json")]
    trainer = trainer | {"command": command, "env": [*environment.values()]}
    return manifest | {"metadata": metadata, "spec": manifest["spec"] | {"trainer": trainer}}


def _copy(source: Path, target: Path) -> None:
    _remove(target)
    shutil.copytree(source, target) if source.is_dir() else shutil.copyfile(source, target)


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _run(manifest: dict[str, Any]) -> None:
    try:
        from kubeflow.trainer import TrainerClient
        from kubernetes.config import ConfigException
    except ImportError as error:
        raise InputError(f"the image lacks the kubeflow SDK ({error}); install rlready[train-job] in it") from error
    try:
        cluster = TrainerClient().backend
    except ConfigException as error:
        raise InputError(f"train_job: no access to a Kubernetes cluster from here ({error})") from error
    name = manifest["metadata"]["name"]
    shown = f"TrainJob {cluster.namespace}/{name}"
    resource = (*API, cluster.namespace, "trainjobs")
    try:
        cluster.custom_api.create_namespaced_custom_object(*resource, manifest, _request_timeout=TIMEOUT)
    except Exception as error:  # of the client or urllib3
        raise InputError(f"{shown}: {_explain(error)}") from error
    print(f"{shown}: created; waiting for its pods", flush=True)
    try:
        _follow(cluster, name, shown)
    finally:
        try:
            cluster.delete_job(name)
        except RuntimeError as error:
            if getattr(error.__cause__, "status", None) != 404:
                print(f"{shown}: could not be deleted ({error.__cause__}); kubectl delete trainjob {name}", flush=True)


def _explain(error: Any) -> str:
    """Returns an error of the Kubernetes API, or of the connection to it, in one line."""
    if not getattr(error, "status", None):
        return f"the Kubernetes API cannot be reached ({error})"
    said = error.reason or ""
    with contextlib.suppress(TypeError, ValueError, KeyError):
        said = json.loads(error.body)["message"]
    said = one_line(said, 500)
    if error.status == 403 and "denied the request" not in said:  # as an admission webhook says
        return f"not allowed ({said}); give the account of the pods the rights of manifests/train-job"
    if error.status == 404:
        return f"the cluster has no TrainJobs ({said}); install Kubeflow Trainer 2"
    return f"refused ({error.status}): {said}"


def _follow(cluster: Any, name: str, shown: str) -> None:
    """Waits for the end of a TrainJob; prints the log of its first pod, and why pods do not start."""
    readers: dict[str, threading.Thread] = {}
    resource, label = (*API, cluster.namespace, "trainjobs", name), f"jobset.sigs.k8s.io/jobset-name={name}"
    lost = 0
    while True:
        try:
            job = cluster.custom_api.get_namespaced_custom_object(*resource, _request_timeout=TIMEOUT)
            pods = cluster.core_api.list_namespaced_pod(cluster.namespace, label_selector=label, _request_timeout=TIMEOUT).items
            lost = 0
        except Exception as error:  # of the client or urllib3: the API server may be unavailable for a while
            status, lost = getattr(error, "status", None), lost + 1
            if status == 404:
                raise StageFailed(f"{shown}: it was deleted") from error
            if status == 403 or lost == LOST:
                raise InputError(f"{shown}: {_explain(error)}") from error
            time.sleep(PAUSE)
            continue
        for pod in pods:
            first = (pod.metadata.labels or {}).get("batch.kubernetes.io/job-completion-index") == "0"
            if first and pod.status.phase in ("Running", "Succeeded", "Failed") and pod.metadata.name not in readers:
                reader = threading.Thread(target=_print_log, args=(cluster, pod.metadata.name), daemon=True)
                readers[pod.metadata.name] = reader
                reader.start()
        conditions = (job.get("status") or {}).get("conditions") or []
        held = {condition["type"]: condition for condition in conditions if condition["status"] == "True"}
        for line in _find_obstacles(held, pods):
            tell_once(f"{shown}: {line}")
        if held.keys() & {"Complete", "Failed"}:
            for reader in readers.values():
                reader.join(2 * PAUSE)  # the last lines
        if "Complete" in held:
            return
        if "Failed" in held:
            for pod in pods:
                if pod.status.phase == "Failed" and pod.metadata.name not in readers:
                    _print_end(cluster, pod.metadata.name)
            reason, message = held["Failed"].get("reason", ""), held["Failed"].get("message", "")
            raise StageFailed(f"{shown} failed: {reason}: {' '.join(message.split())}; its log is above")
        time.sleep(PAUSE)


def _find_obstacles(held: dict[str, Any], pods: list[Any]) -> Iterator[str]:
    """Yields a line for each reason why a TrainJob does not start."""
    if held.get("Suspended"):
        yield "suspended; it waits until its queue admits it"
    for pod in pods:
        for condition in pod.status.conditions or []:
            if condition.type == "PodScheduled" and condition.status == "False":
                yield f"pod {pod.metadata.name} has no node: {condition.message}"
        for container in pod.status.container_statuses or []:
            waiting = container.state.waiting if container.state else None
            if waiting and waiting.reason and waiting.reason not in STARTING:
                yield f"pod {pod.metadata.name} does not start: {waiting.reason}: {waiting.message or ''}".rstrip(": ")


def _print_log(cluster: Any, pod: str) -> None:
    from kubernetes import watch

    follow = watch.Watch().stream(cluster.core_api.read_namespaced_pod_log, pod, cluster.namespace, container=NODE)
    try:
        for line in follow:
            print(line, flush=True)
    except Exception as error:  # training continues without its log
        print(f"the log of pod {pod} was interrupted ({one_line(error)})", flush=True)


def _print_end(cluster: Any, pod: str) -> None:
    """Prints the end of a failed pod's log, which is deleted with the TrainJob."""
    try:
        options = {"container": NODE, "tail_lines": LAST_LINES, "_request_timeout": TIMEOUT}
        log = cluster.core_api.read_namespaced_pod_log(pod, cluster.namespace, **options)
    except Exception as error:  # the failure itself matters more
        log = f"no log ({one_line(error)})"
    print(f"--- pod {pod} ends with:\n{log}", flush=True)
