"""Outcomes as they are logged."""

from dataclasses import replace

from rlready.records.outcome import (
    BenchmarkRecord,
    Candidate,
    LengthQuarter,
    Outcome,
    PredictorsRecord,
    RlRecord,
    SampleStatistics,
    SftRecord,
)
from rlready.records.verdicts import Forecast, GateNumbers, Verdict

CANDIDATE = Candidate("e4-random-64-0.1-s0", 4, "random", 64, 0.1, 0)


# What MLflow keeps of it as parameters: that of a candidate that is fine-tuned, without the fields of finished checkpoints.
NAMES = ("candidate_id", "epochs", "subset", "examples", "learning_rate", "seed", "attempt")


SETTING = {name: str(getattr(CANDIDATE, name)) for name in NAMES}


PREDICTORS = PredictorsRecord(
    curve=[[1, 0.2], [2, 0.3], [64, 0.7], [100, 0.8]],
    intervals={"64": [0.6, 0.75]},
    by_products=SampleStatistics(entropy=0.9),
    loss_by_length=[LengthQuarter(1.4), LengthQuarter(1.6)],
    greedy_pass_at_1=0.25,
    generalization_loss=1.5,
)


PARTIAL = Outcome(
    CANDIDATE,
    sft=SftRecord([[0, 2.0], [1, 1.5], [4, float("nan")]], seconds=3.0),
    predictors=PREDICTORS,
    links={
        "data": {
            "sft": {"digest": "ab", "rows": 64, "source": "x.jsonl"},
            "rl": {"digest": "cd", "rows": 9, "source": "y"},
        },
        "base_model": {"location": "builtin:list-machine", "revision": "", "digest": "ef"},
        "sft_model": "s3://bucket/sft",
    },
)


KEPT = GateNumbers(k=64, coverage_kept=0.75, coverage_kept_low=0.7, coverage_kept_high=0.8)


APPROVED = Verdict(CANDIDATE.candidate_id, "approved", True, "Pass@64 is 0.7", numbers=KEPT, forecast=Forecast(0.5, 0.2, 0.8))


BENCHMARK = BenchmarkRecord(
    pass_at_1=0.5,
    standard_error=0.01,
    benchmarks=[["org/set:test", 9, 0.4, None, None], ["file (v2) <b>", 9, 0.6, None, None]],
    seconds=1.0,
)


FULL = replace(
    PARTIAL,
    verdict=APPROVED,
    rl=RlRecord([[1, 0.1], [2, 0.4]], seconds=5.0, steps=2, stopped="no signal: all rewards equal"),
    benchmark=BENCHMARK,
    links={**PARTIAL.links, "rl_model": "s3://bucket/rl"},
)


TAUGHT = replace(FULL, rl=replace(FULL.rl, stopped=None))
