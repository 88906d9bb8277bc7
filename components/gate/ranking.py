"""The order of the candidates before RL, and how sure it is."""

import dataclasses
from itertools import pairwise

from rlready.components.config import Gate
from rlready.components.core.estimators.difference import estimate_difference
from rlready.components.core.estimators.intervals import Z95
from rlready.components.core.estimators.pass_at_k import estimate_curve
from rlready.components.core.records import Outcome
from rlready.components.core.verdicts import Standing, Verdict
from rlready.components.gate.decide import measure_distance


def rank(verdicts: list[Verdict], outcomes: list[Outcome], settings: Gate) -> list[Verdict]:
    """Returns the verdicts with the place of every candidate that was measured, whatever was decided.

    Args:
        verdicts: In any order.
        outcomes: In the same order.
        settings: What to rank by; ties go to the lower loss.

    Returns:
        The same verdicts. How far a candidate is ahead of the next is told with a 95 % interval: of Pass@k over the problems
        that both were measured on, so that what is hard for both cancels out; of the loss over held-out examples.
    """
    measured = [
        (verdict, outcome)
        for verdict, outcome in zip(verdicts, outcomes, strict=True)
        if not outcome.failure and getattr(verdict.numbers, settings.rank_by) is not None
    ]
    sign = 1 if settings.rank_by == "generalization_loss" else -1

    def key(entry: tuple[Verdict, Outcome]) -> tuple:
        numbers, loss = entry[0].numbers, entry[0].numbers.generalization_loss
        return sign * getattr(numbers, settings.rank_by), loss is None, loss or 0.0, entry[0].candidate_id

    ordered = [outcome for _, outcome in sorted(measured, key=key)]
    standings = {}
    for place, (outcome, following) in enumerate(pairwise([*ordered, None]), 1):
        lead = (following.candidate.candidate_id, *measure_lead(outcome, following, settings)) if following else ()
        standings[outcome.candidate.candidate_id] = Standing(place, len(ordered), *lead)
    return [dataclasses.replace(verdict, standing=standings.get(verdict.candidate_id)) for verdict in verdicts]


def measure_lead(one: Outcome, other: Outcome, settings: Gate) -> tuple[float, float | None, float | None]:
    """Returns how far one candidate is ahead of another in what the gate ranks by, with its 95 % interval."""
    distance, error = measure_distance(one, other, settings)
    if settings.rank_by == "generalization_loss":
        return -distance, -distance - Z95 * error, -distance + Z95 * error
    k = settings.k if settings.rank_by == "pass_at_k" else 1
    curves = [estimate_curve(o.predictors.correct, o.predictors.samples)[:, k - 1] for o in (one, other)]
    return distance, *estimate_difference(*curves)
