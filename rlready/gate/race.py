"""The race: which of the candidates that began RL go on after a part of its steps, by validation on the same problems."""

import dataclasses
import math
from typing import NamedTuple

from rlready.config import Race
from rlready.errors import InputError
from rlready.gate.decide import draw_names
from rlready.gate.lead import Lead
from rlready.records.outcome import Outcome, ValidationPoint
from rlready.records.verdicts import RaceVerdict
from rlready.stats.steps import Steps


class Runner(NamedTuple):
    """A candidate in the race, with the validation that it is judged by."""

    name: str
    point: ValidationPoint
    problem_ids: list[str]
    samples: int

    @property
    def pass_at_1(self) -> float:
        """Its Pass@1 in validation; samples that were not judged count as not right."""
        return sum(self.point.correct) / (self.samples * len(self.problem_ids))


def judge_race(outcomes: list[Outcome], settings: Race, seed: int, run: str | None) -> list[RaceVerdict]:
    """Decides which candidates go on: those that are not clearly behind the best, at most `keep`, and a draw of the others.

    Each is compared with the best on the same problems; the intervals hold together for all pairs, since any may have been the
    best by luck. A candidate whose RL ended early is compared by its last validation: more steps would not change it. `seed`
    and the run's id seed the draw of the audit. Returns one verdict per candidate that RL was begun for, in the same order;
    raises InputError if one was not validated, or on other problems than the best.
    """
    racing = [find_runner(outcome, settings.steps) for outcome in outcomes if not outcome.failure]
    ranked = sorted(racing, key=lambda runner: (-runner.pass_at_1, runner.name))
    verdicts = {runner.name: _decide(runner, ranked, place, settings.keep) for place, runner in enumerate(ranked, 1)}
    dropped = [name for name, verdict in verdicts.items() if not verdict.goes_on]
    drawn, propensity = draw_names(dropped, settings.audit_fraction, f"{seed}/race/", run)
    for name in dropped:
        verdict, audited = verdicts[name], name in drawn
        reason = f"{verdict.reason} (audit: goes on regardless of the verdict)" if audited else verdict.reason
        verdicts[name] = dataclasses.replace(
            verdict, goes_on=audited, audited=audited, reason=reason, propensity=propensity, drawn_by=run if drawn else None
        )
    for outcome in outcomes:
        if outcome.failure:
            reason = f"{outcome.failure.stage} failed: {outcome.failure.reason}"
            verdicts[outcome.candidate.candidate_id] = RaceVerdict(False, reason, propensity=0.0)
    return [verdicts[outcome.candidate.candidate_id] for outcome in outcomes]


def find_runner(outcome: Outcome, step: int) -> Runner:
    """Returns a candidate with its validation at a step, or the last one of an RL that ended before it.

    Raises InputError if there is none.
    """
    name, rl = outcome.candidate.candidate_id, outcome.rl
    if rl and rl.validation and rl.validation.samples:
        known = [point for point in rl.validation.points if point.step <= step]
        if known and not known[-1].step < step <= (rl.steps or 0):
            return Runner(name, known[-1], rl.validation.problem_ids, rl.validation.samples)
    raise InputError(f"{name}: not validated at step {step}, so it cannot race; rl_eval_steps must be above 0")


def measure_race_lead(one: Runner, other: Runner, comparisons: int) -> Lead:
    """Measures how far one candidate is ahead of another in validation, paired by problem.

    Samples that were not judged may be right or wrong: the interval covers both. `comparisons` intervals hold together. Raises
    InputError if they were validated on other problems, or with another number of samples.
    """
    if one.problem_ids != other.problem_ids or one.samples != other.samples:
        raise InputError(f"{one.name}: not validated on the same problems and samples as {other.name}")
    points = [other.point, one.point]
    right, unknown = [point.correct for point in points], [point.unknown for point in points]
    pair = Steps.of(right, unknown, one.samples, 1 + comparisons)
    return Lead(one.pass_at_1 - other.pass_at_1, *pair.estimate_gain(1, 0))


def _decide(runner: Runner, ranked: list[Runner], place: int, keep: int) -> RaceVerdict:
    step, best = runner.point.step, ranked[0]
    lead = measure_race_lead(runner, best, math.comb(len(ranked), 2)) if place > 1 else Lead(0.0)
    reason = f"ranked {place} of {len(ranked)} after step {step}, validation Pass@1 {runner.pass_at_1:.3f}"
    behind, over = lead.high is not None and lead.high < 0, bool(keep) and place > keep
    if place > 1:
        bounds = "" if lead.low is None or lead.high is None else f" [{-lead.high:+.3f}, {-lead.low:+.3f}]"
        clearly = "clearly" if behind else "not clearly"
        reason += f", {best.pass_at_1 - runner.pass_at_1:z.3f}{bounds} behind {best.name}, {clearly}"
    if over and not behind:
        reason += f"; race_keep {keep}"
    goes_on = not (behind or over)
    return RaceVerdict(goes_on, reason, step, place, len(ranked), lead.ahead, lead.low, lead.high, propensity=1.0)
