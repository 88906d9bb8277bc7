"""The ranking of the candidates before RL, and how certain it is."""

import dataclasses

from rlready.config import Gate
from rlready.gate.decide import sort_best
from rlready.gate.lead import measure_lead
from rlready.records.outcome import Outcome
from rlready.records.verdicts import Standing, Verdict


def rank(verdicts: list[Verdict], outcomes: list[Outcome], settings: Gate) -> list[Verdict]:
    """Returns the verdicts with the standing of every measured candidate, whatever the decision: its place and its lead.

    Verdicts and outcomes are of the same candidates, in any order; ties go to the lower loss.
    """
    measured = {outcome.candidate.candidate_id: outcome for outcome in outcomes if not outcome.failure}
    known = [v for v in verdicts if v.candidate_id in measured and getattr(v.numbers, settings.rank_by) is not None]
    ordered = [measured[verdict.candidate_id] for verdict in sort_best(known, settings.rank_by)]
    standings = {}
    for place, outcome in enumerate(ordered, 1):
        standing = Standing(place, len(ordered))
        for following in ordered[place : place + 1]:
            lead = measure_lead(outcome, following, settings.rank_by, settings.k)
            standing = Standing(place, len(ordered), following.candidate.candidate_id, *lead)
        standings[outcome.candidate.candidate_id] = standing
    return [dataclasses.replace(verdict, standing=standings.get(verdict.candidate_id)) for verdict in verdicts]
