"""Checks everything that a run needs before it starts: one finding per subject, each with what to do."""

import importlib.metadata
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from rlready.config import parse_parameters
from rlready.errors import InputError, error_context
from rlready.placement.placement import Placements

LEAST_DISK, ENOUGH_DISK = 2 << 30, 20 << 30  # the laptop recipe writes 0.5 GB; a checkpoint of 8B parameters is 16 GB
SHOWN = ("kfp", "torch", "transformers", "trl", "mlflow")


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    level: str  # ok, warning or failure
    subject: str  # what was checked
    text: str  # what was found and, unless it is ok, what to do


def examine(
    parameters: dict[str, Any], placement: Placements, image: str | None, host: str | None, namespace: str | None, work: Path
) -> Iterator[Finding]:
    """Yields the findings one by one.

    Without the address of a KFP server, in `host` or KFP_HOST, neither server nor cluster is checked; the namespace of the pods
    is by default that of KFP for a single user.
    """
    checks: dict[str, Callable[[], tuple[str, str]]] = {
        "libraries": _check_libraries,
        "devices": lambda: _check_devices(placement),
        "disk": lambda: _check_disk(work),
        "model": lambda: _check_model(parameters),
        "data": lambda: _check_data(parameters),
        "tracking": _check_tracking,
        "pipeline": lambda: _check_pipeline(parameters, placement, image),
    }
    if host or os.environ.get("KFP_HOST") or os.environ.get("KF_PIPELINES_ENDPOINT"):
        checks["server"] = lambda: _check_server(host, namespace)
        checks["lineage"] = lambda: _check_lineage(host, namespace)
        checks["cluster"] = lambda: _check_cluster(placement, namespace or "kubeflow")
    for subject, check in checks.items():
        try:
            level, text = check()
        except InputError as error:
            level, text = "failure", " ".join(str(error).split())
        yield Finding(level, subject, text)


def _check_libraries() -> tuple[str, str]:
    wrong = []
    for need in map(Requirement, importlib.metadata.requires("rlready") or []):
        if need.marker and not need.marker.evaluate({"extra": ""}):
            continue
        try:
            version = importlib.metadata.version(need.name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{need.name} is missing")
            continue
        if not need.specifier.contains(version, prereleases=True):
            wrong.append(f"{need.name} {version} is not {need.specifier}")
    if wrong:
        return "failure", f"{', '.join(wrong)}: pip install --constraint constraints.txt --editable ."
    return "ok", ", ".join(f"{name} {importlib.metadata.version(name)}" for name in SHOWN)


def _check_devices(placement: Placements) -> tuple[str, str]:
    from rlready.runtime.devices import describe_device

    found = describe_device()
    text = f"{found['devices']} x {found['device']}"
    requested = max(entries.gpus for entries in placement.values())
    here = 0 if found["device"] == "CPU thread" else int(found["devices"])
    if requested > here:
        return "warning", f"{text}; the placement requests {requested} GPUs, so run it on a cluster"
    return "ok", text


def _check_disk(work: Path) -> tuple[str, str]:
    there = next(folder for folder in (work.absolute(), *work.absolute().parents) if folder.exists())
    if not os.access(there, os.W_OK):
        return "failure", f"{there} cannot be written to; give another folder with --work"
    free = shutil.disk_usage(there).free
    text = f"{free / 2**30:.0f} GiB free at {there}"
    if free < LEAST_DISK:
        return "failure", f"{text}: not enough for any run; give another folder with --work"
    if free < ENOUGH_DISK:
        return "warning", f"{text}: enough for the laptop recipe, not for checkpoints of a large model"
    return "ok", text


def _check_model(parameters: dict[str, Any]) -> tuple[str, str]:
    from rlready.models.load import find_model

    if not parameters["base_model"]:
        return "ok", "none: finished checkpoints, without RL"
    with error_context("base_model"):
        base = find_model(parameters["base_model"], parameters["base_revision"])
    return "ok", f"{parameters['base_model']} at {base.revision or base.digest}"


def _check_data(parameters: dict[str, Any]) -> tuple[str, str]:
    from rlready.data.files import list_files
    from rlready.data.registry import find_source, get_mirror, list_sources
    from rlready.verifier import find_format, find_origin

    curate = parse_parameters(parameters).curate
    uses = [*list_sources(curate).values(), *((name, "benchmarks") for name in curate.decontaminate)]
    # As keys of dictionaries, each is named once, however many stages read it.
    local, remote, problems, packages = dict[str, None](), dict[str, None](), dict[str, None](), dict[str, str]()
    for text, registry in dict.fromkeys(uses):
        try:
            source = find_source(text, registry, curate.sources, get_mirror(curate.mirror))
            if source.path:
                list_files(source.path, source.folders, source.split)
            if source.format:
                find_format(source.format).find_prompt()  # raises if it cannot be loaded
                origin = find_origin(source.format)
                packages |= {origin.name: f"{origin.package} {origin.version}"} if origin.digest else {}
            (local if source.path else remote)[text] = None
        except InputError as error:
            problems[str(error)] = None
    if problems:
        return "failure", "; ".join(problems)
    parts = [f"{len(local)} local sources found"] if local else []
    parts += [f"plan checks {', '.join(remote)}"] if remote else []
    parts += [f"the image must also contain {package}, for the format {name}" for name, package in packages.items()]
    return "ok", "; ".join(parts)


def _check_tracking() -> tuple[str, str]:
    from rlready.tracking.client import check_server, show_address

    address = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not address.startswith("http"):
        return "ok", show_address(address) or "MLFLOW_TRACKING_URI is not set: a run on this machine logs to a file of its own"
    try:
        check_server(address)
    except InputError as error:
        return "warning", f"{error}; a run continues without it, as if the variable were not set"
    return "ok", show_address(address)


def _check_pipeline(parameters: dict[str, Any], placement: Placements, image: str | None) -> tuple[str, str]:
    from rlready.run.kfp.limits import check_size
    from rlready.run.kfp.package import write_package

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rlready.yaml"
        write_package(path, parameters, placement, image)
        try:
            return "ok", f"compiled for a cluster; its workflow takes {check_size(path, parameters)}"
        except InputError as error:
            return "warning", f"too large for a cluster: {error}"


def _check_server(host: str | None, namespace: str | None) -> tuple[str, str]:
    from rlready.run.kfp.runs import UNCACHED, find_newest_run, has_cache
    from rlready.run.kfp.server import connect, list_lacks

    server = connect(host, namespace)
    find_newest_run(server)  # needs a permission that `connect` does not need
    version = server.version or "of unknown version"
    text, cached = "; ".join([f"{server.host}, KFP {version}", *list_lacks(server.version)]), has_cache(server)
    if cached is False:
        return "warning", f"{text}; according to its newest run, {UNCACHED}: its administrator sets CacheEnabled"
    return "ok", f"{text}; {'its newest run had a cache' if cached else 'its first run will show whether it caches'}"


def _check_lineage(host: str | None, namespace: str | None) -> tuple[str, str]:
    from rlready.run.kfp.runs import close_ended_runs
    from rlready.run.kfp.server import connect

    if not os.environ.get("MLFLOW_TRACKING_URI"):
        return "ok", "MLFLOW_TRACKING_URI is not set: not checked whether MLflow shows stopped runs as running"
    server, (level, text) = connect(host, namespace), _check_tracking()
    if level != "ok":
        return level, f"not checked: {text}"
    closed = close_ended_runs(server)
    return "ok", f"ended in MLflow as on the server: {', '.join(closed)}" if closed else "no ended run is shown as running"


def _check_cluster(placement: Placements, namespace: str) -> tuple[str, str]:
    from rlready.run.kfp.preflight import compare_with_cluster

    try:
        missing, doubts = compare_with_cluster(placement, namespace)
    except InputError as error:
        return "warning", str(error)
    if missing or doubts:
        return "failure" if missing else "warning", f"namespace {namespace}: {'; '.join(missing + doubts)}"
    return "ok", f"namespace {namespace} has everything that the placement names"
