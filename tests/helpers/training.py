"""Curated data and the arguments of a training stage."""

import dataclasses

import pytest

from rlready.config import Curate, parse_parameters, write_settings
from rlready.models.load import find_model
from rlready.records.outcome import Candidate, Outcome, SftRecord
from rlready.records.serialization import to_json
from rlready.stages.curate.curate import curate

SOURCE = "builtin:list-machine"


def curate_few(out, examples):
    """Curates a few examples of the list machine, with 8 problems of every other kind, and returns the folder."""
    counts = dict.fromkeys(("heldout_problems", "rl_problems", "predictor_problems", "benchmark_problems"), 8)
    settings = Curate(sft_data=SOURCE, rl_data=SOURCE, evaluation_data=SOURCE, sft_examples=examples, **counts)
    curate(settings, {}, out)
    return out


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return curate_few(tmp_path_factory.mktemp("data") / "data", 64)


def make_arguments(stage, tiny_model, data, folder, learning_rate=1e-3):
    candidate = Candidate("c", 12, "random", 64, learning_rate, 0)
    experiment = parse_parameters({"sft_batch_size": 4, "rl_steps": 20, "rl_prompts_per_step": 4, "sampling_max_tokens": 40})
    return list_arguments(stage, candidate, experiment, str(tiny_model), str(tiny_model), data, folder)


def list_arguments(stage, candidate, experiment, base_model, checkpoint, data, folder):
    """Returns the arguments of SFT, or of RL from a checkpoint."""
    base = find_model(base_model, "main")
    settings = write_settings(experiment, stage, {"base_model": dataclasses.asdict(base)})
    shared = {"candidate": to_json(candidate), "settings": settings, "data": str(data), "model_uri": ""}
    shared |= {"outcome": str(folder / "outcome.json")}
    if stage == "sft":
        return shared | {"model": str(folder / "model")}
    before = folder / "sft.json"
    before.write_text(
        to_json(Outcome(candidate, SftRecord([[0, 1.0]], 0, 0, "digest", seconds=1.0, device="CPU thread", devices=1)))
    )
    shared |= {"before": str(before), "measured_digest": "digest"}
    return shared | {"model": checkpoint, "trained": str(folder / "model")}
