"""Epochs of one training as candidates: each checkpoint is what its place in the training made it, and none is made twice."""

import dataclasses
import json
from pathlib import Path

import pytest
from helpers.outcomes import BASE, make_outcome

from rlready.analysis.comparison import group_settings, read_row
from rlready.analysis.costs import list_entries
from rlready.analysis.sweep_result import list_items
from rlready.config import parse_parameters, write_settings
from rlready.data.curated import encode_heldout
from rlready.models.load import digest_weights, find_model, load_model, load_tokenizer
from rlready.records.outcome import Candidate, Failure, Outcome, PredictorsRecord, SftRecord
from rlready.records.serialization import from_json, read_record, read_records, to_json, write_record, write_records
from rlready.run.launch import launch
from rlready.stages.sft.stage import run
from rlready.stats.generalization_loss import mean_loss, measure_losses
from rlready.training import epochs

KEPT = [1, 3]
TRAINING = Candidate("random-48x3-lr0.001-s0", 3, "random", 48, 1e-3, 0, kept_epochs=KEPT)


@pytest.mark.parametrize("lora", [0, 2], ids=["all weights", "adapters"])
def test_the_end_is_bit_equal_to_a_separate_training_and_each_loss_is_of_its_own_checkpoint(
    lora, tiny_model, data, tmp_path, monkeypatch
):
    monkeypatch.delenv("RLREADY_CHECKPOINTS", raising=False)
    base = find_model(str(tiny_model), "main")
    experiment = parse_parameters({"sft_batch_size": 16, "training_lora_rank": lora})
    settings = write_settings(experiment, "sft", {"base_model": dataclasses.asdict(base)})

    def train(candidate, name):
        folder = tmp_path / name
        folder.mkdir()
        run(to_json(candidate), settings, str(data), str(folder / "model"), "store/model", str(folder / "outcome.json"))
        return folder / "model", read_records(Outcome, folder / "outcome.json")

    models, outcomes = train(TRAINING, "every-epoch")
    alone, (separate,) = train(dataclasses.replace(TRAINING, kept_epochs=None), "separate")
    assert sorted(path.name for path in models.iterdir()) == ["epoch-1", "epoch-3"]
    assert [outcome.candidate for outcome in outcomes] == [TRAINING.at(1), TRAINING]
    first, last = (outcome.sft for outcome in outcomes)
    assert digest_weights(models / "epoch-3") == digest_weights(alone) == last.model_digest == separate.sft.model_digest
    assert last.trajectory == separate.sft.trajectory and first.trajectory == last.trajectory[:2]
    assert first.model_digest == digest_weights(models / "epoch-1") != last.model_digest
    assert (first.steps, last.steps) == (3, 9) and last.train_tokens == 3 * first.train_tokens == separate.sft.train_tokens
    assert (first.seconds, first.devices) == (None, None) and last.seconds > 0 and last.devices
    assert [outcome.links["sft_model"] for outcome in outcomes] == ["store/model/epoch-1", "store/model/epoch-3"]
    tokenizer = load_tokenizer(base)
    for outcome in outcomes:
        model = load_model(models / f"epoch-{outcome.candidate.epochs}")
        assert model.config.use_cache
        loss = mean_loss(measure_losses(model, encode_heldout(data, tokenizer), tokenizer.pad_token_id))
        assert loss == pytest.approx(outcome.sft.trajectory[-1][1], abs=1e-5)


def write_trained(folder, failure=None):
    """Writes what SFT leaves of a training; returns the arguments of its predictors."""
    folder.mkdir()
    records = [Outcome(TRAINING.at(n), SftRecord([], model_digest=f"digest {n}"), failure=failure) for n in KEPT]
    write_records(records, folder / "sft.json")
    (folder / "data").mkdir()
    (folder / "data" / "card.json").write_text(json.dumps({"sets": {}}))
    paths = {name: str(folder / name) for name in ("data", "model", "samples", "outcome")}
    return {
        "candidate": to_json(TRAINING),
        "settings": "{}",
        "before": str(folder / "sft.json"),
        "samples_uri": "s3://a",
    } | paths


def measure(called, dies=None):
    """Returns predictors of one checkpoint, which note what they were called with; those after `dies` epochs are killed."""

    def launch_one(stage, given):
        before = read_record(Outcome, given["before"])
        if before.candidate.epochs == dies:
            raise KeyboardInterrupt
        called.append((stage, from_json(Candidate, given["candidate"]), given["model"]))
        Path(given["samples"]).mkdir(parents=True)
        (Path(given["samples"]) / "samples.parquet").write_text(given["samples_uri"])
        record = PredictorsRecord(tokens=before.candidate.epochs)
        links = {"predictors_samples": given["samples_uri"]}
        write_record(dataclasses.replace(before, predictors=record, links=links), given["outcome"])
        return {"display_name": before.candidate.candidate_id, "pass_at_1": before.candidate.epochs / 10}

    return launch_one


def test_predictors_killed_at_a_checkpoint_keep_those_before_it(tmp_path, monkeypatch):
    monkeypatch.setenv("RLREADY_CHECKPOINTS", str(tmp_path / "checkpoints"))
    called = []
    killed, again = write_trained(tmp_path / "killed"), write_trained(tmp_path / "again")
    with pytest.raises(KeyboardInterrupt):
        epochs.launch_predictors(killed, measure(called, dies=3))
    figures = epochs.launch_predictors(again | {"samples_uri": "s3://b"}, measure(called))
    assert figures == {"display_name": "random-48x3-lr0.001-s0: predictors", "epoch_1_pass_at_1": 0.1, "epoch_3_pass_at_1": 0.3}
    assert [(stage, candidate.candidate_id, model) for stage, candidate, model in called] == [
        ("predictors", "random-48x1of3-lr0.001-s0", f"{killed['model']}/epoch-1"),
        ("predictors", "random-48x3-lr0.001-s0", f"{again['model']}/epoch-3"),
    ]
    outcomes = read_records(Outcome, again["outcome"])
    assert [(o.candidate.epochs, o.sft.model_digest, o.predictors.tokens) for o in outcomes] == [
        (1, "digest 1", 1),
        (3, "digest 3", 3),
    ]
    assert [outcome.links["predictors_samples"] for outcome in outcomes] == ["s3://b/epoch-1", "s3://b/epoch-3"]
    assert (Path(again["samples"]) / "epoch-1" / "samples.parquet").exists() and not [*(tmp_path / "checkpoints").iterdir()]


def test_a_training_that_fails_fails_all_its_checkpoints_with_the_reason(tmp_path, monkeypatch):
    monkeypatch.delenv("RLREADY_RUN_ID", raising=False)
    given = write_trained(tmp_path / "a") | {"outcome": str(tmp_path / "sft.json")}
    # Settings without a model: the stage ends with an error before it loads anything.
    taken = {name: given[name] for name in ("candidate", "settings", "data", "model", "outcome")}
    assert "failed" in launch("sft", **taken, model_uri="")
    failed = read_records(Outcome, given["outcome"])
    assert [outcome.candidate.epochs for outcome in failed] == KEPT
    assert [outcome.failure.reason for outcome in failed] == [failed[0].failure.reason] * 2
    assert failed[0].failure.seconds is None and failed[1].failure.seconds > 0 and failed[1].failure.stage == "sft"
    measured = given | {"before": given["outcome"], "outcome": str(tmp_path / "predictors.json")}
    launch("predictors", **measured)
    assert [o.failure for o in read_records(Outcome, measured["outcome"])] == [outcome.failure for outcome in failed]


@pytest.mark.parametrize("epoch", KEPT)
def test_rl_and_its_benchmark_get_the_checkpoint_that_the_gate_judged(epoch, tmp_path):
    given = write_trained(tmp_path / "a")
    judged = read_records(Outcome, given["before"])[KEPT.index(epoch)]
    (item,) = list_items([judged])
    assert item == {"candidate": to_json(TRAINING), "digest": f"{epoch}/digest {epoch}"}

    def work(stage, arguments):
        chosen = {name: arguments.get(name) for name in ("candidate", "model", "start", "measured_digest")}
        return chosen | {"before": read_record(Outcome, arguments["before"])}

    found = epochs.launch_chosen("rl", given | {"measured_digest": item["digest"]}, work)
    assert found["candidate"] == to_json(judged.candidate) and found["before"] == judged
    assert (found["model"], found["measured_digest"]) == (f"{given['model']}/epoch-{epoch}", f"digest {epoch}")
    # After RL there is one record, and a model that is RL's own.
    write_record(dataclasses.replace(judged, failure=Failure("rl", "why")), given["before"])
    scored = given | {"model": "rl", "start": given["model"]}
    found = epochs.launch_chosen("benchmark", scored, work)
    assert (found["model"], found["start"]) == ("rl", f"{given['model']}/epoch-{epoch}")
    assert found["before"].failure and found["candidate"] == to_json(judged.candidate)


def test_the_cost_of_a_training_counts_once_and_its_checkpoints_are_settings_of_their_own():
    rows = []
    for candidate in (TRAINING.at(1), TRAINING, dataclasses.replace(TRAINING, epochs=1, kept_epochs=None)):
        outcome = make_outcome("random", candidate.epochs, 0.2, 0.7, 0.5, 0.4)
        sft = dataclasses.replace(outcome.sft, **{"seconds": None, "devices": None} if candidate.is_midway else {})
        rows.append(read_row(dataclasses.replace(outcome, candidate=candidate, sft=sft), 64))
    entries, unknown = list_entries(rows, read_row(BASE, 64))
    assert {entry.stage: entry.runs for entry in entries} == {"sft": 2, "predictors": 4, "rl": 3, "benchmark": 4}
    assert unknown == 0 and len(group_settings(rows)) == 3
