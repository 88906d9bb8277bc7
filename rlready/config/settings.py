"""The settings of a stage, which are the key of its cache: the parameters that it reads and what plan found, as JSON."""

import dataclasses
import functools
import inspect
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from rlready.config.experiment import SECTIONS, Experiment

Condition = Callable[[Experiment], bool]


def _always(_: Experiment) -> bool:
    return True


def _is_sequential(experiment: Experiment) -> bool:
    return experiment.predictors.sampling == "sequential"


def _limits_pass_rates(experiment: Experiment) -> bool:
    return experiment.curate.needs_pass_rates


def _reads_base(experiment: Experiment) -> bool:
    return experiment.curate.needs_tokens or experiment.curate.needs_pass_rates


def _counts_per_problem(experiment: Experiment) -> bool:
    return not (_is_sequential(experiment) and experiment.predictors.sequential_budget)


def _races(experiment: Experiment) -> bool:
    return experiment.race.steps > 0


def _scores(experiment: Experiment) -> bool:
    return experiment.benchmark.samples > 0


STAGE_READS: dict[str, dict[str, Condition]] = {
    "curate": {
        "curate": _always,
        "curate.pass_rate_samples": _limits_pass_rates,
        "base": _reads_base,
        "sampling": _limits_pass_rates,
    },
    "sft": {"sft": _always, "training": _always},
    "predictors": {
        "predictors": _always,
        "predictors.samples": _counts_per_problem,
        "predictors.sequential_alpha": _is_sequential,
        "predictors.sequential_budget": _is_sequential,
        # The sequential test compares Pass@k with the gate's threshold.
        "gate.k": _is_sequential,
        "gate.min_pass_at_k": _is_sequential,
        "sampling": _always,
        "samples": _always,
    },
    "gate": {"gate": _always},
    "rl": {
        "rl": _always,
        "training": _always,
        "sampling.max_tokens": _always,
        "sampling.stop": _always,
        "sampling.engine": _always,
        "sampling.tensor_parallel": _always,
        "race.steps": _races,
    },
    "race": {"race": _always, "gate.seed": _always},
    "benchmark": {"benchmark": _always, "sampling": _scores, "samples": _scores},
}
"""Sections and single parameters that each stage reads, with a condition; a parameter's condition replaces its section's."""


def write_settings(experiment: Experiment, stage: str, more: dict | None = None) -> str:
    """Returns the JSON settings of a stage: only what it reads, so that other changes leave its cache valid, and `more`."""
    reads = STAGE_READS[stage]
    sections: dict[str, dict[str, Any]] = {}
    for section in SECTIONS:
        for name, value in dataclasses.asdict(getattr(experiment, section)).items():
            read = reads.get(f"{section}.{name}") or reads.get(section)
            if read and read(experiment):
                sections.setdefault(section, {})[name] = value
    return json.dumps(sections | (more or {}), sort_keys=True)


def read_settings(text: str) -> SimpleNamespace:
    """Returns a stage's settings, e.g. `.sft.batch_size`, from the JSON of `write_settings`, with attributes for these only."""
    sections = json.loads(text).items()
    return SimpleNamespace(**{name: _restore(name, held) if name in SECTIONS else held for name, held in sections})


def _restore(section: str, held: dict[str, Any]) -> Any:
    whole: type = SECTIONS[section]
    names = tuple(item.name for item in dataclasses.fields(whole) if item.name in held)
    return (whole if len(names) == len(dataclasses.fields(whole)) else _narrow(whole, names))(**held)


@functools.cache
def _narrow(section: type, names: tuple[str, ...]) -> type:
    """Returns the class of a section with some of its parameters only; a default would hide that another one is read."""
    items = {name: item for name, item in vars(section).items() if not name.startswith("__")}
    methods = {name: item for name, item in items.items() if inspect.isfunction(item) or isinstance(item, property)}
    return dataclasses.make_dataclass(section.__name__, names, namespace=methods, frozen=True)
