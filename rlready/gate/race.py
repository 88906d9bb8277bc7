"""The race: which of the candidates that began RL go on after a part of its steps, by validation on the same problems."""

import dataclasses
import hashlib
import math

from rlready.config import Race
from rlready.errors import InputError
from rlready.gate.lead import Lead
from rlready.records.outcome import Outcome, ValidationPoint
from rlready.records.verdicts import RaceVerdict
from rlready.stats.steps import Steps
from rlready.stats.ties import count_share


def judge_race(outcomes: list[Outcome], settings: Race, seed: int, run: str | None) -> list[RaceVerdict]:
    """Decides which candidates go on: those that are not clearly behind the best, at most `keep`, and a draw of the others.

    Each is compared with the best on the same problems; the intervals hold together for all pairs, since any may have been the
    best by luck. A candidate whose RL
    ended early is compared by its last validation: more steps would not change it.

    Args:
        outcomes: The candidates that RL was begun for.
        settings: Steps, budget and audit.
        seed: Of the draw of the audit, together with the run.
        run: Id of the run.

    Returns:
        One verdict per candidate, in the same order.

    Raises:
        InputError: If a candidate was not validated, or on other problems than the best.
    """
    alive = [outcome for outcome in outcomes if not outcome.failure]
    points = {outcome.candidate.candidate_id: find_point(outcome, settings.steps) for outcome in alive}
    ranked = sorted(alive, key=lambda outcome: _order(outcome, points))
    verdicts = {}
    for place, outcome in enumerate(ranked, 1):
        name = outcome.candidate.candidate_id
        lead = measure_race_lead(outcome, ranked[0], settings.steps, math.comb(len(ranked), 2)) if place > 1 else Lead(0.0)
        verdicts[name] = _decide(outcome, points[name], ranked, place, lead, settings.keep)
    dropped = [name for name, verdict in verdicts.items() if not verdict.goes_on]
    count = count_share(settings.audit_fraction, len(dropped))
    by = f"{seed}/race/" if run is None else f"{run}/{seed}/race/"
    drawn = sorted(dropped, key=lambda name: hashlib.sha256(f"{by}{name}".encode()).digest())[:count]
    for name in dropped:
        propensity = count / len(dropped)
        verdict = dataclasses.replace(verdicts[name], propensity=propensity, drawn_by=run if count else None)
        if name in drawn:
            reason = f"{verdict.reason} (audit: goes on whatever the verdict)"
            verdict = dataclasses.replace(verdict, goes_on=True, audited=True, reason=reason)
        verdicts[name] = verdict
    for outcome in outcomes:
        if outcome.failure:
            reason = f"{outcome.failure.stage} failed: {outcome.failure.reason}"
            verdicts[outcome.candidate.candidate_id] = RaceVerdict(False, reason, propensity=0.0)
    return [verdicts[outcome.candidate.candidate_id] for outcome in outcomes]


def find_point(outcome: Outcome, step: int) -> ValidationPoint:
    """Returns the validation at a step, or the last one of an RL that ended before it.

    Raises:
        InputError: If there is none.
    """
    measured = outcome.rl.validation if outcome.rl else None
    known = [point for point in measured.points if point.step <= step] if measured else []
    if not known or (known[-1].step < step <= (outcome.rl.steps or 0)):
        raise InputError(
            f"{outcome.candidate.candidate_id}: not validated at step {step}, so it cannot race; rl_eval_steps must be above 0"
        )
    return known[-1]


def measure_race_lead(one: Outcome, other: Outcome, step: int, comparisons: int) -> Lead:
    """Measures how far one candidate is ahead of another in validation at a step, paired by problem.

    Samples without a verdict may be right or wrong: the interval covers both. `comparisons` intervals hold together.

    Raises:
        InputError: If they were validated on other problems, or with another number of samples.
    """
    mine, theirs = (find_point(outcome, step) for outcome in (one, other))
    records = [outcome.rl.validation for outcome in (one, other)]
    if records[0].problem_ids != records[1].problem_ids or records[0].samples != records[1].samples:
        raise InputError(
            f"{one.candidate.candidate_id}: validated on other problems or samples than {other.candidate.candidate_id}"
        )
    points = [theirs, mine]
    right, unknown = [point.correct for point in points], [point.unknown for point in points]
    pair = Steps.of(right, unknown, records[0].samples or 1, 1 + comparisons)
    return Lead(mine.pass_at_1 - theirs.pass_at_1, *pair.estimate_gain(1, 0))


def _order(outcome: Outcome, points: dict[str, ValidationPoint]) -> tuple:
    name = outcome.candidate.candidate_id
    return -sum(points[name].correct), name


def _decide(outcome: Outcome, point: ValidationPoint, ranked: list[Outcome], place: int, lead: Lead, keep: int) -> RaceVerdict:
    best = ranked[0].candidate.candidate_id
    reason = f"place {place} of {len(ranked)} after {point.step} steps, validation Pass@1 {point.pass_at_1:.3f}"
    behind, over = lead.high is not None and lead.high < 0, bool(keep) and place > keep
    if place > 1:
        shown = f"{-lead.ahead:z.3f} [{-lead.high:+.3f}, {-lead.low:+.3f}] behind {best}"
        reason += f", {shown}, {'clearly' if behind else 'not clearly'}"
    if over and not behind:
        reason += f"; race_keep {keep}"
    return RaceVerdict(
        not (behind or over), reason, point.step, place, len(ranked), lead.ahead, lead.low, lead.high, propensity=1.0
    )
