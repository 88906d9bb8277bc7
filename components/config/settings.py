"""What a stage is told of the recipe: the sections that it depends on, and what plan found, as JSON."""

import dataclasses
import json
from types import SimpleNamespace

from rlready.components.config.experiment import SECTIONS, Experiment

# What a stage's settings hold, so that a change elsewhere leaves the stage's cached result valid.
STAGE_SECTIONS = {
    "curate": ("curate",),
    "sft": ("sft", "training"),
    "predictors": ("predictors", "sampling", "samples"),
    "gate": ("gate",),
    "rl": ("rl", "training", "sampling"),
    "benchmark": ("benchmark", "sampling", "samples"),
}


def write_settings(experiment: Experiment, stage: str, more: dict | None = None) -> str:
    """Returns the JSON settings of one stage: the sections it depends on and nothing else.

    Args:
        experiment: Every section.
        stage: Name of the stage.
        more: What plan found that the stage depends on too.
    """
    sections = {name: dataclasses.asdict(getattr(experiment, name)) for name in STAGE_SECTIONS[stage]}
    if stage == "predictors" and experiment.predictors.sampling == "sequential":
        # The test asks whether Pass@k clears the gate's threshold, so these two are its settings too.
        sections["gate"] = {"k": experiment.gate.k, "min_pass_at_k": experiment.gate.min_pass_at_k}
    if stage == "curate" and (experiment.curate.needs_tokens or experiment.curate.needs_pass_rates):
        sections["base"] = dataclasses.asdict(experiment.base)
    if stage == "curate" and experiment.curate.needs_pass_rates:
        sections["sampling"] = dataclasses.asdict(experiment.sampling)
    return json.dumps(sections | (more or {}), sort_keys=True)


def read_settings(text: str) -> SimpleNamespace:
    """Returns a stage's settings, e.g. `.sft.batch_size`, from the JSON of `write_settings`; what plan added as it is."""
    sections = json.loads(text).items()
    return SimpleNamespace(**{name: SECTIONS[name](**held) if name in SECTIONS else held for name, held in sections})
