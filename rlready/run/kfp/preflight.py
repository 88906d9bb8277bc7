"""Checks that a cluster has what a placement names: secrets with their keys, volume claims, queues, TrainJobs and GPUs."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from rlready.errors import InputError, one_line
from rlready.placement.placement import TRAIN_JOB, Placement, list_claims
from rlready.training import train_job

# Kinds of custom objects, with their API group and product.
OBJECTS = {
    "localqueues": ("kueue.x-k8s.io", "Kueue"),
    "workloadpriorityclasses": ("kueue.x-k8s.io", "Kueue"),
    "clustertrainingruntimes": (train_job.API[0], "Kubeflow Trainer"),
}
SHARED = "ReadWriteMany"
KFP = ("ml-pipeline", "kubeflow")  # the deployment of KFP's API server, and its namespace
TIMEOUT = (5, 30)  # seconds to connect and to answer


def compare_with_cluster(placement: dict[str, Placement], namespace: str) -> tuple[list[str], list[str]]:
    """Looks up everything that a placement names in the Kubernetes API of the current context, or of the pod's own cluster.

    Only names, keys and capacities are read; the values of secrets are not kept. Returns (what is missing, without which pods
    do not start; what is in doubt: GPUs that no node has now, and objects that the account must not read). One line each.
    """
    checks = _Preflight(namespace)
    for check in (checks.check_secrets, checks.check_claims, checks.check_objects, checks.check_nodes):
        check(placement)
    checks.check_cache()
    return checks.missing, checks.doubts


class _Preflight:
    """Answers of the Kubernetes API, with a line for everything that is missing or in doubt."""

    def __init__(self, namespace: str):
        from kubernetes import client, config

        try:
            try:
                config.load_kube_config()
            except config.ConfigException:
                config.load_incluster_config()
        except config.ConfigException as error:
            raise InputError("no kubeconfig here, so secrets, volumes, queues and GPUs were not checked") from error
        self.namespace, self.client, self.core = namespace, client, client.CoreV1Api()
        self.missing: list[str] = []
        self.doubts: list[str] = []

    def read(self, what: str, get: Callable[..., Any], *arguments: str) -> Any:
        """Returns the API's answer; None, with a note, if the object does not exist or must not be read."""
        try:
            return get(*arguments, _request_timeout=TIMEOUT)
        except self.client.ApiException as error:
            if error.status == 404:
                self.missing.append(f"{what} does not exist")
            else:
                self.doubts.append(f"{what}: not checked ({error.status} {error.reason})")
        except Exception as error:  # urllib3's, of a server that does not answer
            raise InputError(f"the Kubernetes API does not answer ({one_line(error)})") from error
        return None

    def check_secrets(self, placement: dict[str, Placement]) -> None:
        users = _list_users(placement, lambda entries: [*entries.image_pull_secrets, *entries.secrets])
        for name, stages in users.items():
            secret = self.read(f"secret {name} of {stages}", self.core.read_namespaced_secret, name, self.namespace)
            keys = {key for entries in placement.values() for key in entries.secrets.get(name, ())}
            absent = sorted(keys - (secret.data or {}).keys()) if secret else []
            self.missing += [f"secret {name} of {stages} has no key {key}" for key in absent]

    def check_claims(self, placement: dict[str, Placement]) -> None:
        for (name, use), stages in _list_users(placement, list_claims).items():
            what = f"volume claim {name} of {stages}"
            claim = self.read(what, self.core.read_namespaced_persistent_volume_claim, name, self.namespace)
            if not claim or SHARED in claim.spec.access_modes:
                continue
            if use == "train_job":
                self.missing.append(f"{what} is not {SHARED}, so the pods of a TrainJob cannot share it")
            elif use == "checkpoints":
                self.doubts.append(f"{what} is not {SHARED}, so one node at a time trains, and the others' pods wait")
            elif use == "volumes" and "ReadOnlyMany" not in claim.spec.access_modes:
                self.doubts.append(f"{what} is on one node at a time, and pods on other nodes wait for it")

    def check_objects(self, placement: dict[str, Placement]) -> None:
        custom = self.client.CustomObjectsApi()
        served = self.read("list of API groups", self.client.ApisApi().get_api_versions)
        versions = {group.name: group.preferred_version.version for group in served.groups} if served else {}
        for (kind, name), stages in _list_users(placement, _list_objects).items():
            (group, product), what = OBJECTS[kind], f"{name} of {stages} ({kind})"
            if group in versions and kind == "localqueues":
                self.read(what, custom.get_namespaced_custom_object, group, versions[group], self.namespace, kind, name)
            elif group in versions:
                self.read(what, custom.get_cluster_custom_object, group, versions[group], kind, name)
            elif served:
                self.missing.append(f"{product} ({group}), for {name} of {stages}, is not installed")

    def check_nodes(self, placement: dict[str, Placement]) -> None:
        wanting = {stage: entries for stage, entries in placement.items() if entries.gpus}
        nodes = self.read("nodes", self.core.list_node) if wanting else None
        for stage, entries in wanting.items():
            if nodes and not any(_fits(node, entries) for node in nodes.items):
                what = f"{entries.gpus} {entries.accelerator} for {stage}"
                self.doubts.append(f"no node has {what} with its labels and taints; pods wait until there is one")

    def check_cache(self) -> None:
        """Checks that no variable of KFP's API server switches caching off; its configuration file cannot be read."""
        try:
            server = self.client.AppsV1Api().read_namespaced_deployment(*KFP, _request_timeout=TIMEOUT)
        except Exception:  # it has another name, or must not be read
            return
        variables = {v.name: v.value for container in server.spec.template.spec.containers for v in container.env or []}
        if (variables.get("CACHEENABLED") or "").lower() in ("false", "0", "f"):
            text = "switches caching off, and RL gets its checkpoint from the cache"
            self.missing.append(f"CACHEENABLED of deployment {KFP[0]} {text}")


def _list_users(placement: dict[str, Placement], name: Callable[[Placement], Iterable[Any]]) -> dict[Any, str]:
    """Returns everything that stages name, each with its stages."""
    users = defaultdict(list)
    for stage, entries in placement.items():
        for item in dict.fromkeys(name(entries)):
            users[item].append(stage)
    return {item: ", ".join(stages) for item, stages in users.items()}


def _list_objects(entries: Placement) -> list[tuple[str, str]]:
    runtime = (TRAIN_JOB | entries.train_job)["runtime"] if entries.train_job else ""
    return [pair for pair in zip(OBJECTS, (entries.queue, entries.priority, runtime), strict=True) if pair[1]]


def _fits(node: Any, entries: Placement) -> bool:
    """Returns True if a pod fits a node by what the node has, not by what is free."""
    labels, taints = node.metadata.labels or {}, node.spec.taints or []
    return (
        int((node.status.allocatable or {}).get(entries.accelerator, 0)) >= entries.gpus
        and entries.node_selector.items() <= labels.items()
        and not node.spec.unschedulable
        and all(_tolerates(entries.tolerations, taint) for taint in taints if taint.effect != "PreferNoSchedule")
    )


def _tolerates(tolerations: list[dict], taint: Any) -> bool:
    """Returns True if one of the tolerations accepts a taint, as the scheduler decides it."""
    return any(
        given.get("key") in (None, taint.key)
        and given.get("effect") in (None, taint.effect)
        and (given.get("operator") == "Exists" or given.get("value") == taint.value)
        for given in tolerations
    )
