"""Outcomes of candidates and a report of them."""

import dataclasses
import re
from types import SimpleNamespace

import pytest

from rlready.analysis.comparison import read_row
from rlready.analysis.sweep_result import SweepResult
from rlready.records.outcome import (
    BenchmarkRecord,
    Candidate,
    Failure,
    FalsePositives,
    LengthQuarter,
    Outcome,
    PredictorsRecord,
    RlRecord,
    SampleStatistics,
    SftRecord,
)
from rlready.records.verdicts import Forecast, GateNumbers, Verdict
from rlready.stages.report.report import write_report

DEVICE = {"device": "CPU thread", "devices": 2}


def make_outcome(subset, epochs, pass_at_1, pass_at_64, loss, score, name=None, reason="Pass@64 holds", seed=0, **verdict):
    candidate = Candidate(name or f"{subset}-{epochs}", epochs, subset, 1024, 2e-5, seed)
    proceed = score is not None
    judged = Verdict(
        candidate.candidate_id,
        "approved" if proceed else "rejected",
        proceed,
        reason,
        propensity=1.0 * proceed,
        numbers=GateNumbers(k=64),
        forecast=Forecast(reason="insufficient data"),
    )
    return Outcome(
        candidate,
        sft=SftRecord([[0, 1.4], [epochs, loss]], steps=9, train_tokens=9, seconds=10.0, **DEVICE),
        predictors=PredictorsRecord(
            generalization_loss=loss,
            loss_interval=[loss - 0.05, loss + 0.05],
            loss_by_length=[LengthQuarter(loss, 1, 9, 0.0, 1.0)] * 4,
            greedy_pass_at_1=pass_at_1,
            curve=[[1, pass_at_1], [64, pass_at_64], [100, pass_at_64]],
            intervals={"64": [pass_at_64 - 0.04, pass_at_64 + 0.03]},
            corrected=[[1, pass_at_1], [64, pass_at_64 - 0.01]],
            false_positives=FalsePositives(1, 200, 0.005, 0.0, 0.0275),
            by_products=SampleStatistics(entropy=0.3, diversity=0.2, zero_variance=0.1),
            seconds=20.0,
            **DEVICE,
        ),
        verdict=dataclasses.replace(judged, **verdict),
        rl=RlRecord([], steps=9, seconds=1000.0, **DEVICE) if proceed else None,
        benchmark=BenchmarkRecord(score, 0.01, greedy_pass_at_1=score, chance=0.0, seconds=30.0, **DEVICE) if proceed else None,
    )


BASE = Outcome(
    Candidate("base", 0, "random", 0, 0.0, 0),
    predictors=PredictorsRecord(
        generalization_loss=1.4, greedy_pass_at_1=0.1, curve=[[1, 0.1], [64, 0.6]], seconds=1.0, **DEVICE
    ),
    benchmark=BenchmarkRecord(0.11, 0.01, greedy_pass_at_1=0.12, seconds=1.0, **DEVICE),
)


@pytest.fixture
def report(tmp_path, monkeypatch):
    def write(outcomes, baseline=BASE, drawn=False, **parameters):
        if not drawn:  # the plots take most of the time
            monkeypatch.setattr("rlready.stages.report.report.draw_plots", lambda *_: [])
        paths = tmp_path / "report.html", tmp_path / "report.md"
        write_report(SweepResult(outcomes, baseline, {"base_model": "A sweep"} | parameters), *paths)
        monkeypatch.undo()
        html, markdown = (path.read_text() for path in paths)
        tables = {}
        for section in markdown.split("\n## ")[1:]:
            cells = (re.split(r" *(?<!\\)\| *", line)[1:-1] for line in section.splitlines() if line.startswith("|"))
            tables[section.splitlines()[0]] = {first: [unescape(text) for text in rest] for first, *rest in cells}
        quality, lead = tables.get("Predictor quality"), re.search(r"^\*\*.*\*\*$", unescape(markdown), re.M)[0]
        return SimpleNamespace(html=html, markdown=unescape(markdown), tables=tables, quality=quality, lead=lead)

    return write


def unescape(text):
    return text.replace("&#91;", "[").replace("&#93;", "]")


def flatten_all(outcomes):
    return [read_row(outcome, 64) for outcome in outcomes]


def make_audited(approved, rejected):
    outcomes = [make_outcome("random", i, 0.2, 0.7, 0.5, score, f"in-{i}") for i, score in enumerate(approved)]
    for i, (score, propensity) in enumerate(rejected):
        verdict = {"decision": "rejected", "propensity": propensity, "audited": score is not None}
        outcomes.append(make_outcome("mixed", i, 0.2, 0.7, 0.5, score, f"out-{i}", **verdict))
    return outcomes


def fail(outcome, stage, reason="out of memory (CUDA tried to allocate 2 GiB); lower sft_device_batch_size"):
    """Returns the outcome as it is after a stage failed: without what that stage and those after it would have added."""
    stages = ["sft", "predictors", "rl", "benchmark"]
    lost = dict.fromkeys(stages[stages.index(stage) :])
    if stage in ("sft", "predictors"):
        refused = Verdict(outcome.candidate.candidate_id, "rejected", False, f"{stage} failed: {reason}", propensity=0.0)
        lost["verdict"] = refused
    return dataclasses.replace(outcome, failure=Failure(stage, reason, 12.5, 2), **lost)
