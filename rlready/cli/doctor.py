"""rlready doctor: checks everything that a run needs before it starts, and says for each subject what to do."""

import importlib.metadata
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from rlready.cli.command import IMAGE, RECIPE, SERVER, WORK, Arguments, Command, choose_image, choose_server, read_parameters
from rlready.config import parse_parameters
from rlready.errors import InputError, error_context
from rlready.placement.placement import Placements
from rlready.run.kfp.package import compiled
from rlready.run.kfp.preflight import compare_with_cluster
from rlready.tracking.client import check_server, show_address
from rlready.training.processes import describe_device
from rlready.verifier import find_format, find_origin

LEAST_DISK, ENOUGH_DISK = 2 << 30, 20 << 30  # the laptop recipe writes 0.5 GB; a checkpoint of 8B parameters is 16 GB
SHOWN = ("kfp", "torch", "transformers", "trl", "mlflow")
COMMAND = Command("doctor", "rlready doctor --recipe laptop", *RECIPE, WORK, *IMAGE, *SERVER)
Found = tuple[str, str]  # ok, warning or failure; and what was found and, unless it is ok, what to do


def execute(arguments: Arguments) -> None:
    """Prints a line per check, those of the server and the cluster only if there is an address; exit status 2 if any fails."""
    (parameters, placement), image = read_parameters(arguments), choose_image(arguments)
    host, namespace = choose_server(arguments)
    checks: dict[str, Callable[[], Found]] = {
        "libraries": _check_libraries,
        "devices": lambda: _check_devices(placement),
        "disk": lambda: _check_disk(arguments.work),
        "model": lambda: _check_model(parameters),
        "data": lambda: _check_data(parameters),
        "tracking": _check_tracking,
        "pipeline": lambda: _check_pipeline(parameters, placement, image),
    }
    if host or os.environ.get("KFP_HOST") or os.environ.get("KF_PIPELINES_ENDPOINT"):
        checks["server"] = lambda: _check_server(host, namespace)
        checks["lineage"] = lambda: _check_lineage(host, namespace)
        checks["cluster"] = lambda: _check_cluster(placement, namespace or "kubeflow")  # of KFP for a single user
    failed = False
    for subject, check in checks.items():
        try:
            level, text = check()
        except InputError as error:
            level, text = "failure", " ".join(str(error).split())
        print(f"{level:8} {subject:10} {text}", flush=True)
        failed = failed or level == "failure"
    sys.exit(2 if failed else 0)


# What may be missing is imported by the check that needs it, after this one has named it.
def _check_libraries() -> Found:
    wrong = []
    for need in map(Requirement, importlib.metadata.requires("rlready") or []):
        if need.marker and not need.marker.evaluate({"extra": ""}):
            continue
        try:
            version = importlib.metadata.version(need.name)
            if not need.specifier.contains(version, prereleases=True):
                wrong.append(f"{need.name} {version} is not {need.specifier}")
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{need.name} is missing")
    if wrong:
        return "failure", f"{', '.join(wrong)}: pip install --constraint constraints.txt --editable ."
    return "ok", ", ".join(f"{name} {importlib.metadata.version(name)}" for name in SHOWN)


def _check_devices(placement: Placements) -> Found:
    found = describe_device()
    text = f"{found['devices']} x {found['device']}"
    requested = max(entries.gpus for entries in placement.values())
    here = 0 if found["device"] == "CPU thread" else int(found["devices"])
    if requested > here:
        return "warning", f"{text}; the placement requests {requested} GPUs, so run it on a cluster"
    return "ok", text


def _check_disk(work: Path) -> Found:
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


def _check_model(parameters: dict[str, Any]) -> Found:
    from rlready.models.load import find_model

    if not parameters["base_model"]:
        return "ok", "none: finished checkpoints, without RL"
    with error_context("base_model"):
        base = find_model(parameters["base_model"], parameters["base_revision"])
    return "ok", f"{parameters['base_model']} at {base.revision or base.digest}"


def _check_data(parameters: dict[str, Any]) -> Found:
    from rlready.data.files import list_files
    from rlready.data.registry import find_source, get_mirror, list_sources

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


def _check_tracking() -> Found:
    address = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not address.startswith("http"):
        return "ok", show_address(address) or "MLFLOW_TRACKING_URI is not set: a run on this machine logs to a file of its own"
    try:
        check_server(address)
    except InputError as error:
        return "warning", f"{error}; a run continues without it, as if the variable were not set"
    return "ok", show_address(address)


def _check_pipeline(parameters: dict[str, Any], placement: Placements, image: str | None) -> Found:
    from rlready.run.kfp.limits import check_size

    with compiled(parameters, placement, image) as package:
        try:
            return "ok", f"compiled for a cluster; its workflow takes {check_size(package, parameters)}"
        except InputError as error:
            return "warning", f"too large for a cluster: {error}"


def _check_server(host: str | None, namespace: str | None) -> Found:
    from rlready.run.kfp.runs import UNCACHED, find_newest_run, has_cache
    from rlready.run.kfp.server import connect, list_lacks

    server = connect(host, namespace)
    find_newest_run(server)  # needs a permission that `connect` does not need
    version = server.version or "of unknown version"
    text, cached = "; ".join([f"{server.host}, KFP {version}", *list_lacks(server.version)]), has_cache(server)
    if cached is False:
        return "warning", f"{text}; according to its newest run, {UNCACHED}: its administrator sets CacheEnabled"
    return "ok", f"{text}; {'its newest run had a cache' if cached else 'its first run will show whether it caches'}"


def _check_lineage(host: str | None, namespace: str | None) -> Found:
    from rlready.run.kfp.runs import close_ended_runs
    from rlready.run.kfp.server import connect

    if not os.environ.get("MLFLOW_TRACKING_URI"):
        return "ok", "MLFLOW_TRACKING_URI is not set: not checked whether MLflow shows stopped runs as running"
    server, (level, text) = connect(host, namespace), _check_tracking()
    if level != "ok":
        return level, f"not checked: {text}"
    closed = close_ended_runs(server)
    return "ok", f"ended in MLflow as on the server: {', '.join(closed)}" if closed else "no ended run is shown as running"


def _check_cluster(placement: Placements, namespace: str) -> Found:
    try:
        missing, doubts = compare_with_cluster(placement, namespace)
    except InputError as error:
        return "warning", str(error)
    if missing or doubts:
        return "failure" if missing else "warning", f"namespace {namespace}: {'; '.join(missing + doubts)}"
    return "ok", f"namespace {namespace} has everything that the placement names"
