"""The order of the candidates before RL, and how sure it is."""

import dataclasses
from itertools import pairwise

from rlready.config import Gate
from rlready.gate.decide import sort_best
from rlready.gate.lead import measure_lead
from rlready.records.outcome import Outcome
from rlready.records.verdicts import Standing, Verdict


def rank(verdicts: list[Verdict], outcomes: list[Outcome], settings: Gate) -> list[Verdict]:
    """Returns the verdicts with the place of every candidate that was measured, whatever was decided.

    Args:
        verdicts: In any order.
        outcomes: In the same order.
        settings: What to rank by; ties go to the lower loss.

    Returns:
        The same verdicts. How far a candidate is ahead of the next is told with a 95 % interval: of Pass@k over the problems
        that both were measured on, so that what is hard for both cancels out; of the loss over the held-out examples.
    """
    measured = {outcome.candidate.candidate_id: outcome for outcome in outcomes if not outcome.failure}
    known = [v for v in verdicts if v.candidate_id in measured and getattr(v.numbers, settings.rank_by) is not None]
    ordered = [measured[verdict.candidate_id] for verdict in sort_best(known, settings.rank_by)]
    standings = {}
    for place, (outcome, following) in enumerate(pairwise([*ordered, None]), 1):
        lead = ()
        if following:
            ahead = measure_lead(outcome, following, settings.rank_by, settings.k)
            lead = following.candidate.candidate_id, *ahead
        standings[outcome.candidate.candidate_id] = Standing(place, len(ordered), *lead)
    return [dataclasses.replace(verdict, standing=standings.get(verdict.candidate_id)) for verdict in verdicts]
