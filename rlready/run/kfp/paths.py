"""Checks that a pod on a cluster sees the files and folders that parameters name."""

from pathlib import Path
from typing import Any

from rlready.config import parse_parameters
from rlready.data.registry import find_source, list_benchmarks
from rlready.errors import InputError
from rlready.stages.plan.sweep import expand_sweep


def check_paths(parameters: dict[str, Any]) -> None:
    """Checks that no file or folder is named by a path that only this machine knows.

    Args:
        parameters: Every parameter by its flat name.

    Raises:
        InputError: With a line for each such path; or if a source is unknown.
    """
    curate = parse_parameters(parameters).curate
    data = {
        "curate_sft_data": [curate.sft_data],
        "curate_rl_data": [curate.rl_data],
        "curate_evaluation_data": list_benchmarks(curate),
        "curate_predictor_data": [curate.predictor_data],
        "curate_decontaminate": curate.decontaminate,
        "curate_sources": [*curate.sources],
    }
    local = []
    for name, texts in data.items():
        for text in filter(None, texts):
            source = find_source(text, "datasets", curate.sources)
            if _is_local(source.path) and (name == "curate_sources" or text not in curate.sources):
                local.append(f"{name}: {source.path}")
    experiment, mirror = parse_parameters(parameters), parameters["curate_mirror"]
    models = {experiment.base.model: "base_model"}
    models |= {c.checkpoint.location: "sweep_candidates" for c in expand_sweep(experiment.sweep) if c.checkpoint}
    for model, name in models.items():
        if model.startswith((".", "~")) or (_is_local(model) and Path(model).is_dir()):
            local.append(f"{name}: {model}")
    if _is_local(mirror):
        local.append(f"curate_mirror: {mirror}")
    if local:
        ending = "is a path on this machine; a pod needs a hub id or a path in its image"
        raise InputError("\n".join(f"{path} {ending}" for path in local))


def _is_local(path: str) -> bool:
    return bool(path) and "://" not in path and not path.startswith("/")
