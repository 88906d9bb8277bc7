"""A package as the backend loads it, checked for what KFP 2.17 is known to get wrong and against a placement."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml

from rlready.errors import InputError
from rlready.placement.placement import Placement
from rlready.placement.pods import describe_train_job


def read_package(path: Path) -> SimpleNamespace:
    """Loads a compiled pipeline back, as the backend does.

    Args:
        path: The YAML file.

    Returns:
        `pipeline`, a PipelineSpec; `executors` and `kubernetes`, what each executor runs and asks for, by its label.

    Raises:
        InputError: If the file holds anything that KFP's pipeline specification does not know.
    """
    from google.protobuf import json_format
    from kfp.kubernetes.kubernetes_executor_config_pb2 import KubernetesExecutorConfig
    from kfp.pipeline_spec import pipeline_spec_pb2 as spec

    try:
        first, *others = yaml.safe_load_all(path.read_text())
        pipeline = json_format.ParseDict(first, spec.PipelineSpec())
        deployment = json_format.ParseDict(json_format.MessageToDict(pipeline.deployment_spec), spec.PipelineDeploymentConfig())
        platform = json_format.ParseDict(others[0] if others else {}, spec.PlatformSpec())
        kubernetes = {
            label: json_format.ParseDict(json_format.MessageToDict(entry), KubernetesExecutorConfig())
            for label, entry in platform.platforms["kubernetes"].deployment_spec.executors.items()
        }
    except (OSError, ValueError, yaml.YAMLError, json_format.ParseError) as error:
        raise InputError(f"{path}: not a pipeline of KFP: {' '.join(str(error).split())}") from error
    return SimpleNamespace(pipeline=pipeline, executors=dict(deployment.executors), kubernetes=kubernetes)


def check_package(path: Path, placement: Mapping[str, Placement] | None = None) -> list[str]:
    """Checks a compiled pipeline for what an executor must have and for what KFP 2.17 is known to get wrong.

    Args:
        path: The YAML file.
        placement: What the executors must ask the cluster for.

    Returns:
        One line per problem found.

    Raises:
        InputError: If the file is not a pipeline of KFP.
    """
    package = read_package(path)
    problems = _check_constructs(package)
    for label, executor in package.executors.items():
        if executor.WhichOneof("spec") != "container":
            continue
        if not executor.container.image:
            problems.append(f"{label}: no image")
        if not executor.container.command:
            problems.append(f"{label}: no command")
        problems += _check_placed(label, executor.container, package.kubernetes.get(label), placement or {})
    return problems


def _check_constructs(package: SimpleNamespace) -> list[str]:
    components = package.pipeline.components
    problems: list[str] = []

    def visit(name: str, component: Any, looped: bool, exits: bool) -> None:
        problems.extend(f"{name}: {said}" for said in _find_one_of(components, component.dag))
        for task_name, task in component.dag.tasks.items():
            where, inner = f"{name}/{task_name}", task.component_ref.name
            if task.retry_policy.max_retry_count:
                problems.append(f"{where}: num_retries, but Argo never tries a process again that failed")
            if task.HasField("artifact_iterator"):
                problems.append(f"{where}: loops over a list of artifacts, which is not implemented")
            loops = task.HasField("parameter_iterator") or task.HasField("artifact_iterator")
            if loops and exits:
                problems.append(f"{where}: a loop in an exit handler does not end (kubeflow/pipelines#12390)")
            if loops and any(t.trigger_policy.condition for t in components[inner].dag.tasks.values()):
                problems.append(f"{where}: a condition in the graph of its loop; put it into a nested pipeline")
            inside, handled = looped or loops, exits or inner.startswith("comp-exit-handler")
            kind = package.executors.get(components[inner].executor_label)
            if inside and kind is not None and kind.WhichOneof("spec") == "importer":
                problems.append(f"{where}: an importer in a loop fails (kubeflow/pipelines#10860)")
            visit(where, components[inner], inside, handled)

    visit(package.pipeline.pipeline_info.name, package.pipeline.root, False, False)
    return list(dict.fromkeys(problems))


def _find_one_of(components: Any, dag: Any) -> list[str]:
    """Returns the problems with outputs of a graph that come from one of several branches."""
    problems = []
    for key, given in dag.outputs.artifacts.items():
        if len(given.artifact_selectors) > 1:
            problems.append(f"the output {key} comes out of OneOf, which fails where its branch is from the cache")
    for key, given in dag.outputs.parameters.items():
        looped = dag.tasks.get(given.value_from_parameter.producer_subtask)
        if given.WhichOneof("kind") == "value_from_oneof":
            problems.append(f"the output {key} comes out of OneOf, which fails where its branch is from the cache")
        elif looped and looped.HasField("parameter_iterator") and _leads_to_one_of(components, dag, key):
            problems.append(f"the output {key} collects a parameter that comes out of OneOf, over which the driver fails")
    return problems


def _leads_to_one_of(components: Any, dag: Any, key: str) -> bool:
    """Returns True if an output parameter of a graph comes from OneOf, at any depth."""
    given = dag.outputs.parameters[key]
    source = given.value_from_parameter
    if given.WhichOneof("kind") == "value_from_oneof":
        return True
    inner, key = components[dag.tasks[source.producer_subtask].component_ref.name].dag, source.output_parameter_key
    return key in inner.outputs.parameters and _leads_to_one_of(components, inner, key)


def _check_placed(label: str, container: Any, asked: Any, placement: Mapping[str, Placement]) -> list[str]:
    arguments = list(container.args)
    function = arguments[arguments.index("--function_to_execute") + 1] if "--function_to_execute" in arguments else ""
    wanted = placement.get(function)
    if wanted is None:
        return []
    if wanted.train_job:
        manifest = json.dumps(describe_train_job(wanted, container.image))
        held = manifest in {entry.value for entry in container.env} and wanted.train_job["volume"] in str(asked)
        return [] if held else [f"{label}: does not make the TrainJob that the placement says"]
    resources, mounts = container.resources, {m.mount_path for m in asked.empty_dir_mounts} if asked else set()
    claims = {m.constant for m in asked.pvc_mount} if asked else set()
    found = {
        "gpus": not wanted.gpus or resources.accelerator.resource_count == str(wanted.gpus),
        "cpus": not wanted.cpus or resources.resource_cpu_request == f"{wanted.cpus:g}",
        "memory": not wanted.memory or resources.resource_memory_limit == wanted.memory,
        "shared_memory": not wanted.shared_memory or "/dev/shm" in mounts,
        "secrets": not wanted.secrets or {s.secret_name for s in asked.secret_as_env} == set(wanted.secrets),
        "storage": not wanted.storage or wanted.storage in {v.size for v in asked.generic_ephemeral_volume},
        "hub_cache": not wanted.hub_cache or wanted.hub_cache in claims,
        "checkpoints": not wanted.checkpoints or wanted.checkpoints in claims,
        "volumes": claims.issuperset(wanted.volumes),
    }
    return [f"{label}: does not ask for {key} as the placement says" for key, held in found.items() if not held]
