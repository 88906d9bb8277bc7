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
    """The result of one check.

    Attributes:
        level: ok, warning or failure.
        subject: What was checked.
        text: What was found and, unless it is ok, what to do.
    """

    level: str
    subject: str
    text: str


def examine(
    parameters: dict[str, Any],
    placement: Placements,
    image: str | None,
    host: str | None,
    namespace: str | None,
    work: Path,
) -> Iterator[Finding]:
    """Yields the findings one by one.

    Args:
        parameters: Every parameter of the recipe by its flat name.
        placement: Where each stage runs on a cluster.
        image: Image of the stages, if one is known.
        host: Address of a KFP server; without it and KFP_HOST, neither server nor cluster is checked.
        namespace: Where the pods run; defaults to that of KFP for a single user.
        work: Folder for runs.
    """
    yield _guard("libraries", _find_libraries)
    yield _guard("devices", lambda: _find_devices(placement))
    yield _guard("disk", lambda: _find_disk(work))
    yield _guard("model", lambda: _find_model(parameters))
    yield _guard("data", lambda: _find_data(parameters))
    yield _guard("tracking", _find_tracking)
    yield _guard("pipeline", lambda: _find_pipeline(parameters, placement, image))
    if host or os.environ.get("KFP_HOST") or os.environ.get("KF_PIPELINES_ENDPOINT"):
        yield _guard("server", lambda: _find_server(host, namespace))
        yield _guard("lineage", lambda: _find_left_open(host, namespace))
        yield _guard("cluster", lambda: _find_cluster(placement, namespace or "kubeflow"))


def _guard(subject: str, look: Callable[[], tuple[str, str]]) -> Finding:
    try:
        level, text = look()
    except InputError as error:
        level, text = "failure", " ".join(str(error).split())
    return Finding(level, subject, text)


def _find_libraries() -> tuple[str, str]:
    wrong = []
    required = [Requirement(text) for text in importlib.metadata.requires("rlready") or []]
    for need in required:
        if need.marker and not need.marker.evaluate({"extra": ""}):
            continue
        try:
            version = importlib.metadata.version(need.name)
        except importlib.metadata.PackageNotFoundError:
            version = None
        if version is None or not need.specifier.contains(version, prereleases=True):
            wrong.append(f"{need.name} {version} is not {need.specifier}" if version else f"{need.name} is missing")
    if wrong:
        return "failure", f"{', '.join(wrong)}: pip install --constraint constraints.txt --editable ."
    return "ok", ", ".join(f"{name} {importlib.metadata.version(name)}" for name in SHOWN)


def _find_devices(placement: Placements) -> tuple[str, str]:
    from rlready.runtime.devices import describe_device

    found = describe_device()
    text = f"{found['devices']} x {found['device']}"
    asked = max(entries.gpus for entries in placement.values())
    here = 0 if found["device"] == "CPU thread" else int(found["devices"])
    if asked > here:
        return "warning", f"{text}; the placement asks for {asked} GPUs, so run it on a cluster and not on this machine"
    return "ok", text


def _find_disk(work: Path) -> tuple[str, str]:
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


def _find_model(parameters: dict[str, Any]) -> tuple[str, str]:
    from rlready.models.load import find_model

    if not parameters["base_model"]:
        return "ok", "none: finished checkpoints, without RL"
    with error_context("base_model"):
        base = find_model(parameters["base_model"], parameters["base_revision"])
    return "ok", f"{parameters['base_model']} at {base.revision or base.digest}"


def _find_data(parameters: dict[str, Any]) -> tuple[str, str]:
    from rlready.data.files import list_files
    from rlready.data.registry import find_source, get_mirror, list_sources
    from rlready.verifier import find_format, find_origin

    curate = parse_parameters(parameters).curate
    uses = [*list_sources(curate).values(), *((name, "benchmarks") for name in curate.decontaminate)]
    local: set[str] = set()  # each source once, however many stages read it
    remote: dict[str, None] = {}
    problems: dict[str, None] = {}
    needed: dict[str, str] = {}
    for text, registry in dict.fromkeys(uses):
        try:
            source = find_source(text, registry, curate.sources, get_mirror(curate.mirror))
            if source.path:
                list_files(source.path, source.folders, source.split)
            if source.format:
                find_format(source.format).find_prompt()  # raises if it cannot be loaded
                origin = find_origin(source.format)
                needed |= {origin.name: f"{origin.package} {origin.version}"} if origin.digest else {}
            local.add(text) if source.path else remote.setdefault(text)
        except InputError as error:
            problems[str(error)] = None
    if problems:
        return "failure", "; ".join(problems)
    parts = [f"{len(local)} sources are there"] * bool(local) + [f"plan looks at {', '.join(remote)}"] * bool(remote)
    parts += [f"the image must have {package} too, for the format {name}" for name, package in needed.items()]
    return "ok", "; ".join(parts)


def _find_tracking() -> tuple[str, str]:
    from rlready.tracking.client import check_server, show_address

    address = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not address.startswith("http"):
        return "ok", show_address(address) or "MLFLOW_TRACKING_URI is not set: a run here logs to a file of its own"
    try:
        check_server(address)
    except InputError as error:
        return "warning", f"{error}; a run goes on without it, as with the variable unset"
    return "ok", show_address(address)


def _find_pipeline(parameters: dict[str, Any], placement: Placements, image: str | None) -> tuple[str, str]:
    from rlready.run.kfp.limits import check_size
    from rlready.run.kfp.package import CONSTRUCTS, check_package, read_package, write_package

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rlready.yaml"
        write_package(path, parameters, placement, image)
        problems = check_package(path, placement)
        executors = len(read_package(path).executors)
        if problems:
            return "failure", f"{'; '.join(problems)}: this version of rlready or of kfp should not run"
        try:
            size = check_size(path, parameters)
        except InputError as error:
            return "warning", f"too large for a cluster: {error}"
    return "ok", f"{executors} executors that ask for what the placement says; {', '.join(CONSTRUCTS)}; {size}"


def _find_server(host: str | None, namespace: str | None) -> tuple[str, str]:
    from rlready.run.kfp.progress import UNCACHED
    from rlready.run.kfp.runs import has_cache, list_newest_runs
    from rlready.run.kfp.server import connect, list_lacks

    server = connect(host, namespace)
    list_newest_runs(server)  # asks for a right, which `connect` does not
    version = server.version or "of an unknown version"
    text, cached = "; ".join([f"{server.host}, KFP {version}", *list_lacks(server.version)]), has_cache(server)
    if cached is False:
        return "warning", f"{text}; as its newest run shows, {UNCACHED}: its administrator sets CacheEnabled"
    return "ok", f"{text}; {'its newest run had a cache' if cached else 'whether it caches shows with its first run'}"


def _find_left_open(host: str | None, namespace: str | None) -> tuple[str, str]:
    from rlready.run.kfp.runs import close_ended_runs
    from rlready.run.kfp.server import connect

    if not os.environ.get("MLFLOW_TRACKING_URI"):
        return (
            "ok",
            "MLFLOW_TRACKING_URI is not set: whether runs that were stopped stand there as running was not looked at",
        )
    server, (level, text) = connect(host, namespace), _find_tracking()
    if level != "ok":
        return level, f"not looked at: {text}"
    closed = close_ended_runs(server)
    return (
        "ok",
        f"ended in MLflow as on the server: {', '.join(closed)}" if closed else "no run that ended stands as running",
    )


def _find_cluster(placement: Placements, namespace: str) -> tuple[str, str]:
    from rlready.run.kfp.preflight import compare_with_cluster

    try:
        missing, doubts = compare_with_cluster(placement, namespace)
    except InputError as error:
        return "warning", str(error)
    if missing or doubts:
        return "failure" if missing else "warning", f"namespace {namespace}: {'; '.join(missing + doubts)}"
    return "ok", f"namespace {namespace} has all that the placement names"
