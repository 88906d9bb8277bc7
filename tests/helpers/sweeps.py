"""Sweeps with known results."""

import dataclasses

from helpers.policies import BASE, DEVICE, make_row
from rlready.analysis.sweep_result import SweepResult
from rlready.config import Gate
from rlready.gate.decide import decide
from rlready.records.outcome import PredictorsRecord

PROBLEMS = 40


def measure(generator, reach, samples=64):
    """Counts of right samples of problems that are within reach with this probability."""
    return (generator.random(PROBLEMS) < reach) * generator.integers(1, samples // 2, PROBLEMS)


def make_sweep(generator, count, told=1.0, subset="random"):
    """Settings whose reach tells the result of RL, the more the nearer `told` is to 1; Pass@1 does not."""
    base = PredictorsRecord(
        generalization_loss=0.5, samples=64, correct=measure(generator, 0.5).tolist(), seconds=20.0, **DEVICE
    )
    base = dataclasses.replace(base, curve=[[1, 0.1], [64, 0.5]])
    outcomes = []
    for number in range(count):
        reach = generator.uniform(0.3, 0.9)
        correct = measure(generator, reach)
        score = 0.5 * (told * reach + (1 - told) * generator.uniform(0.3, 0.9)) + generator.normal(0, 0.005)
        row = make_row(number, subset, 0.1, 0.5, 0.4, 0.3, float(score), 100.0, True)
        predictors = dataclasses.replace(
            row.outcome.predictors,
            samples=64,
            correct=correct.tolist(),
            generalization_loss=float(generator.uniform(0.3, 0.6)),
            loss_interval=[0.2, 0.7],
        )
        sft = dataclasses.replace(row.outcome.sft, trajectory=[[0, 1.0], [1, 0.4], [2, float(generator.uniform(0.4, 0.6))]])
        outcomes.append(fill(dataclasses.replace(row.outcome, sft=sft, predictors=predictors)))
    baseline = dataclasses.replace(BASE.outcome, predictors=base)
    verdicts = decide(outcomes, baseline, Gate(k=64, mode="audit", max_verifier_disagreement=1))
    judged = [dataclasses.replace(o, verdict=v) for o, v in zip(outcomes, verdicts, strict=True)]
    return SweepResult(judged, baseline, {"gate_k": 64})


def fill(outcome):
    seen = dataclasses.replace(outcome.predictors.by_products, verifier_disagreement=0.0)
    return dataclasses.replace(outcome, predictors=dataclasses.replace(outcome.predictors, by_products=seen))
