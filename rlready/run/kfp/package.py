"""The compiled pipeline, which KFP calls a package: compiled for a cluster, loaded and checked."""

import ast
import contextlib
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml

from rlready.config import fold_parameters, list_form, name_fields
from rlready.errors import InputError
from rlready.placement import images
from rlready.placement.placement import PLACEMENT, Placement, Placements, write_placement
from rlready.placement.train_job_manifest import describe_train_job

PIPELINE = "rlready"
# What `check_package` checks, as doctor lists it.
CONSTRUCTS = (
    "no OneOf",
    "no loop over artifacts",
    "no condition in the graph of its loop",
    "no importer in a loop",
    "no loop in an exit handler",
    "no retries of KFP's own",
)


def write_package(path: Path, parameters: dict, placement: Placements, image: str | None) -> None:
    """Compiles the pipeline for a cluster: the same file, byte for byte, for the same input.

    Args:
        path: YAML file to write.
        parameters: Every parameter by its flat name; they become the form's defaults.
        placement: Where each stage runs.
        image: Image of the stages; None names images that exist on no registry.
    """
    # A component is compiled when its module is imported: with the image and the placement of that moment.
    for name in [*sys.modules]:
        if name.startswith("rlready.") and name.endswith((".component", ".pipelines.experiment")):
            del sys.modules[name]
    with _set_environment({PLACEMENT: write_placement(placement)} | ({images.IMAGE: image} if image else {})):
        from kfp import compiler

        from rlready.pipelines.experiment import experiment

        compiler.Compiler().compile(experiment, str(path), pipeline_parameters=fold_parameters(parameters))
    pipeline, *others = yaml.safe_load_all(path.read_text())
    _drop_texts(pipeline)
    _write_form(pipeline["root"])
    # Without KFP's own heading, which says the parameters once more, maps in a random order.
    path.write_text(yaml.safe_dump_all([pipeline, *others], width=120))


def _write_form(root: dict[str, Any]) -> None:
    """Names the fields of the form and adds examples and choices, which kfp's compiler does not know."""
    fields, entries = name_fields(), root["inputDefinitions"]["parameters"]
    for name, parameter in list_form().items():
        entry = entries[fields[name]] = entries.pop(name)
        if parameter.choices:
            entry["literals"] = list(parameter.choices)
        if parameter.example is not None and not entry["defaultValue"]:
            entry["defaultValue"] = parameter.example
    for task in root["dag"]["tasks"].values():
        for source in task.get("inputs", {}).get("parameters", {}).values():
            if "componentInputParameter" in source:
                source["componentInputParameter"] = fields[source["componentInputParameter"]]


def _drop_texts(pipeline: dict[str, Any]) -> None:
    """Removes docstrings and descriptions: Argo keeps them in every workflow, whose size is limited."""
    for component in pipeline["components"].values():
        for kind in ("inputDefinitions", "outputDefinitions"):
            for group in component.get(kind, {}).values():
                for entry in group.values():
                    entry.pop("description", None)
    for executor in pipeline["deploymentSpec"]["executors"].values():
        container = executor.get("container", {})
        container["command"] = [_drop_docstrings(text) for text in container.get("command", [])]


def _drop_docstrings(text: str) -> str:
    """Returns the source of a component without its docstring; any other text as it is."""
    if "\ndef " not in text:
        return text
    dropped: set[int] = set()
    for function in ast.parse(text).body:
        if isinstance(function, ast.FunctionDef) and ast.get_docstring(function) is not None:
            dropped |= {*range(function.body[0].lineno, (function.body[0].end_lineno or 0) + 1)}
    return "\n".join(line for number, line in enumerate(text.splitlines(), 1) if number not in dropped) + "\n"


@contextlib.contextmanager
def _set_environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def describe_package(path: Path) -> str:
    """Returns the description of a compiled pipeline; KFP's UI shows only one that comes with the upload."""
    return next(yaml.safe_load_all(path.read_text()))["pipelineInfo"]["description"].partition("\n\nParameters:")[0]


def digest_package(path: Path) -> str:
    """Returns a digest of a compiled pipeline that depends neither on the YAML's layout nor on the version of kfp."""
    pipeline, *others = yaml.safe_load_all(path.read_text())
    said = [{key: value for key, value in pipeline.items() if key != "sdkVersion"}, *others]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def name_version(package: Path, recipe: str) -> str:
    """Returns the name of a package's pipeline version, which stays the same while the recipe does."""
    label = re.sub(r"[^a-z0-9]+", "-", recipe.lower()).strip("-")
    return f"{label}-{digest_package(package)[:12]}"


def write_manifests(path: Path, package: Path, recipe: str, namespace: str | None) -> None:
    """Writes a package as the Kubernetes resources Pipeline and PipelineVersion, under the names that `rlready submit` gives.

    Args:
        path: YAML file to write.
        package: The compiled pipeline.
        recipe: Name of its recipe.
        namespace: Of the resources; None leaves it to whoever applies them.
    """
    from kfp import compiler, components

    options = compiler.KubernetesManifestOptions(
        pipeline_name=PIPELINE,
        pipeline_version_name=name_version(package, recipe),
        namespace=namespace,
        include_pipeline_manifest=True,
    )
    pipeline = components.load_component_from_file(str(package))
    pipeline.description = describe_package(package)
    compiler.Compiler().compile(pipeline, str(path), kubernetes_manifest_format=True, kubernetes_manifest_options=options)


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
