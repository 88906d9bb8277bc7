"""The compiled pipeline, which KFP calls a package: its YAML, its version's name, and its Kubernetes resources."""

import ast
import contextlib
import copy
import dataclasses
import hashlib
import json
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from rlready.config import RACE, complete_parameters, fold_parameters, list_form, name_fields
from rlready.placement import images
from rlready.placement.placement import PLACEMENT, Placements

PIPELINE = "rlready"


def write_package(path: Path, parameters: dict, placement: Placements, image: str | None) -> None:
    """Compiles the pipeline for a cluster: the same file, byte for byte, for the same input.

    The parameters become the form's defaults. Without an image the stages name images that are in no registry.
    """
    # A component is compiled when its module is imported: with the image and the placement of that moment.
    for name in [*sys.modules]:
        if name.startswith("rlready.") and name.endswith((".component", ".pipelines.experiment")):
            del sys.modules[name]
    before, stages = dict(os.environ), {stage: dataclasses.asdict(entries) for stage, entries in placement.items()}
    os.environ[PLACEMENT] = json.dumps({"parallelism": placement.parallelism, **stages})
    os.environ |= {images.IMAGE: image} if image else {}
    os.environ |= {RACE: "yes"} if complete_parameters(parameters)["race_steps"] else {}
    try:
        from kfp import compiler

        from rlready.pipelines.experiment import experiment

        compiler.Compiler().compile(experiment, str(path), pipeline_parameters=fold_parameters(parameters))
    finally:
        os.environ.clear()
        os.environ.update(before)
    # The graph shows what a loop collects by this name; kfp's own, pipelinechannel--predictors-predictors_record, is cut off.
    path.write_text(re.sub(r"pipelinechannel--\w+-(\w+_record)\b", r"\1s", path.read_text()))
    pipeline, *others = _read(path)
    number_components(pipeline, [platform["platforms"]["kubernetes"]["deploymentSpec"] for platform in others])
    _drop_texts(pipeline)
    _write_form(pipeline["root"])
    # Without KFP's own heading, which repeats the parameters, with maps in a random order.
    path.write_text(yaml.safe_dump_all([pipeline, *others], width=120))


@contextlib.contextmanager
def compiled(parameters: dict, placement: Placements, image: str | None) -> Iterator[Path]:
    """Yields a package that exists while the block runs; see `write_package`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rlready.yaml"
        write_package(path, parameters, placement, image)
        yield path


def _read(path: Path) -> list[dict[str, Any]]:
    """Returns the documents of a compiled pipeline; by libyaml if there is one, which takes a seventh of the time."""
    return list(yaml.load_all(path.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


def number_components(pipeline: dict[str, Any], deployments: list[dict[str, Any]]) -> None:
    """Numbers the components of a stage, and their executors, in the order of a walk from the root.

    kfp numbers them in the order of a map, which differs between processes, and may give two of them one executor.
    """
    components = pipeline["components"]
    dags = {name: component for name, component in components.items() if "dag" in component}
    names: dict[str, str] = {}  # of the stages' components, by the old ones
    counts: Counter[str] = Counter()

    def walk(dag: dict[str, Any]) -> None:
        for _, task in sorted(dag["tasks"].items()):
            old = task["componentRef"]["name"]
            if old in dags:
                walk(dags[old]["dag"])
                continue
            if old not in names:
                stem = re.sub(r"(-\d+)+$", "", old)
                counts[stem] += 1
                names[old] = f"{stem}-{counts[stem]}" if counts[stem] > 1 else stem
            task["componentRef"]["name"] = names[old]

    walk(pipeline["root"]["dag"])
    executors = {old: new.replace("comp-", "exec-", 1) for old, new in names.items()}
    pipeline["components"] = dags | {new: components[old] | {"executorLabel": executors[old]} for old, new in names.items()}
    labels = {executors[old]: components[old]["executorLabel"] for old in names}
    for deployment in (pipeline["deploymentSpec"], *deployments):
        if held := deployment.get("executors"):
            # Copies, because YAML would write one that has two names as a reference.
            deployment["executors"] = {new: copy.deepcopy(held[label]) for new, label in labels.items() if label in held}


def _write_form(root: dict[str, Any]) -> None:
    """Names the fields of the form and adds examples and choices, which kfp's compiler does not support."""
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
    """Removes docstrings and descriptions, because they are part of every workflow, whose size is limited."""
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


def describe_package(path: Path) -> str:
    """Returns the description of a compiled pipeline, without the parameters; KFP's UI shows the one of the upload."""
    return _read(path)[0]["pipelineInfo"]["description"].partition("\n\nParameters:")[0]


def digest_package(path: Path) -> str:
    """Returns a digest of a compiled pipeline that depends neither on the YAML's layout nor on the version of kfp."""
    pipeline, *others = _read(path)
    pipeline.pop("sdkVersion", None)
    return hashlib.sha256(json.dumps([pipeline, *others], sort_keys=True).encode()).hexdigest()


def name_version(package: Path, recipe: str) -> str:
    """Returns the name of a package's pipeline version, which changes only with the recipe."""
    label = re.sub(r"[^a-z0-9]+", "-", recipe.lower()).strip("-")
    return f"{label}-{digest_package(package)[:12]}"


def write_manifests(path: Path, package: Path, recipe: str, namespace: str | None) -> None:
    """Writes a package as Pipeline and PipelineVersion, named as by `rlready submit`; a namespace may be left to kubectl."""
    from kfp import compiler, components

    names = {"pipeline_name": PIPELINE, "pipeline_version_name": name_version(package, recipe), "namespace": namespace}
    options = compiler.KubernetesManifestOptions(**names, include_pipeline_manifest=True)
    pipeline = components.load_component_from_file(str(package))
    pipeline.description = describe_package(package)
    compiler.Compiler().compile(pipeline, str(path), kubernetes_manifest_format=True, kubernetes_manifest_options=options)
