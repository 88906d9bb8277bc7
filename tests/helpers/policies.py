"""Rows of a report, for policies."""

import dataclasses

from rlready.analysis.comparison import read_row
from rlready.records.outcome import BenchmarkRecord, Candidate, Outcome, PredictorsRecord, RlRecord, SftRecord
from rlready.records.verdicts import GateNumbers, Verdict

DEVICE = {"device": "CPU thread", "devices": 2}


def make_row(number, subset, pass_at_1, pass_at_k, loss, reward, score, seconds, approved, seed=0, **changes):
    name = f"{subset}-{number}-s{seed}"
    verdict = Verdict(name, "approved" if approved else "rejected", True, "r", "audit", 1.0, not approved, GateNumbers(k=64))
    outcome = Outcome(
        Candidate(name, number + 1, subset, 64, 1e-3, seed),
        sft=SftRecord([[0, 1.0]], seconds=5.0, **DEVICE),
        predictors=PredictorsRecord(generalization_loss=loss, curve=[[1, pass_at_1], [64, pass_at_k]], seconds=10.0, **DEVICE),
        verdict=verdict,
        rl=RlRecord([[5, 0.0], [15, reward], [25, reward], [100, score]], 100, seconds=seconds, **DEVICE),
        benchmark=BenchmarkRecord(score, 0.01, seconds=10.0, **DEVICE),
    )
    return read_row(dataclasses.replace(outcome, **changes), 64)


BASE = read_row(
    Outcome(
        Candidate("base", 0, "random", 0, 0.0, 0),
        predictors=PredictorsRecord(curve=[[1, 0.05], [64, 0.6]], seconds=20.0, **DEVICE),
        benchmark=BenchmarkRecord(0.05, 0.01, seconds=10.0, **DEVICE),
    ),
    64,
)


def enforce(row, **changes):
    """The same where the gate's word counts: RL ran for the approved only, and what changes says."""
    verdict = row.outcome.verdict
    proceed = verdict.decision == "approved"
    kept = {} if proceed else {"rl": None, "benchmark": None}
    told = dataclasses.replace(verdict, mode="enforce", proceed=proceed, audited=False, propensity=1.0 * proceed)
    return read_row(dataclasses.replace(row.outcome, verdict=told, **kept | changes), 64)
