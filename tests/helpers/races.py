"""Candidates whose RL was validated on the way."""

import dataclasses

import numpy as np

from helpers.policies import DEVICE, make_row
from rlready.records.outcome import ValidationPoint, ValidationRecord

PROBLEMS, SAMPLES, STEPS = 60, 4, 100


def validate(outcome, counts, seconds=40.0, samples=SAMPLES):
    """Returns the outcome with these right samples of each problem, by step; RL had 100 steps."""
    points = []
    for step, correct in counts.items():
        share = sum(correct) / samples / len(correct)
        points.append(ValidationPoint(step, list(correct), share, unknown=[0] * len(correct)))
    ids = [f"p{number}" for number in range(len(points[0].correct))]
    record = ValidationRecord(points, samples, len(points), ids, seconds=seconds)
    return dataclasses.replace(outcome, rl=dataclasses.replace(outcome.rl, validation=record))


def draw_counts(generator, levels):
    """Returns right samples of problems that are equally hard for all candidates, by step, at these levels (logits)."""
    hard = np.random.default_rng(0).normal(size=PROBLEMS)
    return {step: generator.binomial(SAMPLES, 1 / (1 + np.exp(-hard - level))).tolist() for step, level in levels.items()}


def make_raced(generator, number, levels, score, seconds=140.0, approved=True, seed=0, name="random", **figures):
    """Returns the row of a candidate with validation at the steps of `levels`; its RL took `seconds`, validation 40 of them."""
    figures = {"pass_at_1": 0.1, "pass_at_k": 0.5, "loss": 0.4} | figures
    row = make_row(
        number, name, figures["pass_at_1"], figures["pass_at_k"], figures["loss"], 0.3, score, seconds, approved, seed
    )
    outcome = validate(row.outcome, draw_counts(generator, levels))
    return dataclasses.replace(row, outcome=dataclasses.replace(outcome, rl=dataclasses.replace(outcome.rl, **DEVICE)))
