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


# Sections and single parameters that each stage reads, with a condition; a parameter's condition replaces its section's.
STAGE_READS: dict[str, dict[str, Condition]] = {
    "curate": {
        "curate": _always,
        "curate.pass_rate_samples": lambda e: e.curate.needs_pass_rates,
        "base": lambda e: e.curate.needs_tokens or e.curate.needs_pass_rates,
        "sampling": lambda e: e.curate.needs_pass_rates,
    },
    "sft": {"sft": _always, "training": _always},
    "predictors": {
        "predictors": _always,
        "predictors.samples": lambda e: not (e.predictors.is_sequential and e.predictors.sequential_budget),
        "predictors.sequential_alpha": lambda e: e.predictors.is_sequential,
        "predictors.sequential_budget": lambda e: e.predictors.is_sequential,
        # The sequential test compares Pass@k with the gate's threshold.
        "gate.k": lambda e: e.predictors.is_sequential,
        "gate.min_pass_at_k": lambda e: e.predictors.is_sequential,
        "sampling": _always,
        "samples": _always,
    },
    "gate": {"gate": _always},
    "rl": {
        "rl": _always,
        "training": _always,
        **dict.fromkeys(("sampling.max_tokens", "sampling.stop", "sampling.engine", "sampling.tensor_parallel"), _always),
        "race.steps": lambda e: e.race.steps > 0,
    },
    "race": {"race": _always, "gate.seed": _always},
    "benchmark": {
        "benchmark": _always,
        "sampling": lambda e: e.benchmark.samples > 0,
        "samples": lambda e: e.benchmark.samples > 0,
    },
}


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
    held = {name: _narrow(name, frozenset(some))(**some) if name in SECTIONS else some for name, some in sections}
    return SimpleNamespace(**held)


@functools.cache
def _narrow(name: str, held: frozenset[str]) -> type:
    """Returns the class of a section with these parameters only; a default would hide that another one is read."""
    section: type = SECTIONS[name]
    names = [item.name for item in dataclasses.fields(section) if item.name in held]
    if len(names) == len(dataclasses.fields(section)):
        return section
    items = {name: item for name, item in vars(section).items() if not name.startswith("__")}
    methods = {name: item for name, item in items.items() if inspect.isfunction(item) or isinstance(item, property)}
    return dataclasses.make_dataclass(section.__name__, names, namespace=methods, frozen=True)
