"""The work of gate and report, on candidates made up at random."""

import dataclasses
import random
from pathlib import Path
from tempfile import TemporaryDirectory

from rlready.analysis.sweep_result import SweepResult
from rlready.config import Gate
from rlready.evaluation.suite import record_pass_at_k
from rlready.gate.decide import decide, rank
from rlready.records.outcome import BenchmarkRecord, Candidate, Outcome, RlRecord, SampleStatistics, SftRecord
from rlready.stages.report.report import write_report

PROBLEMS = 128


def make_outcomes(count: int, samples: int = 64) -> list[Outcome]:
    """Returns candidates with counts of every problem before and after RL, at random."""
    rng = random.Random(0)
    names = [{"problem_id": f"p{number}"} for number in range(PROBLEMS)]
    found = []
    for seed in range(count):
        before, after = ([rng.randint(0, samples) for _ in names] for _ in range(2))
        predictors = record_pass_at_k(
            names, samples, before, generalization_loss=0.4, by_products=SampleStatistics(verifier_disagreement=0.0)
        )
        scored = record_pass_at_k(names, samples, after)
        benchmark = BenchmarkRecord(
            scored.get_pass_at(1), 0.01, scored.intervals["1"], 0.1, problems=PROBLEMS, samples=samples,
            problem_ids=scored.problem_ids, correct=after,
        )  # fmt: skip
        found.append(
            Outcome(
                Candidate(f"c{seed}", 1, "random", 8, 1e-3, seed),
                sft=SftRecord([[0, 0.5], [1, 0.4]], 1, 1, seconds=1.0, device="CPU thread", devices=1),
                predictors=predictors,
                rl=RlRecord([[step, rng.random()] for step in range(1, 41)], 40, seconds=1.0),
                benchmark=benchmark,
            )
        )
    return found


def judge(outcomes: list[Outcome]) -> list[Outcome]:
    """Judges and ranks candidates as the gate does."""
    settings = Gate(max_rl_runs=3)
    verdicts = rank(decide(outcomes, outcomes[0], settings), outcomes, settings)
    return [dataclasses.replace(outcome, verdict=v) for outcome, v in zip(outcomes, verdicts, strict=True)]


def write(outcomes: list[Outcome]) -> None:
    """Judges candidates and writes the report."""
    with TemporaryDirectory() as folder:
        sweep = SweepResult(judge(outcomes), outcomes[0], {"base_model": "bench"})
        write_report(sweep, Path(folder) / "r.html", Path(folder) / "r.md")
