"""Generated outcomes: failed, refused, audited, external, raced, tied, with and without figures, with cheap and costly RL."""

import dataclasses

from hypothesis import strategies as st

from helpers.outcomes import BASE, DEVICE, fail, make_outcome
from rlready.records.outcome import ElsewhereRecord, RlRecord
from rlready.records.verdicts import Forecast, RaceVerdict

SHARES = st.sampled_from([0.0, 0.1, 0.3, 0.49, 0.5, 0.52, 0.8, 1.0])
ERRORS = st.sampled_from([None, 0.0, 0.01, 0.03])


@st.composite
def draw_outcome(draw, number):
    """Returns a candidate that got as far as it may: failed, refused, with RL here or elsewhere, with or without a figure."""
    score, name = draw(st.none() | SHARES), f"c{number}"
    decision = draw(st.sampled_from(["approved", "rejected", "undecided"]))
    refused = {} if decision == "approved" else {"audited": score is not None, "propensity": draw(st.sampled_from([0.0, 0.5]))}
    outcome = make_outcome("random", number, draw(SHARES), 0.9, 0.7, score, name, decision=decision, **refused)
    if draw(st.integers(0, 9)) == 0:
        return fail(outcome, draw(st.sampled_from(["sft", "predictors", "rl", "benchmark"])))
    if score is None:
        return outcome
    if draw(st.integers(0, 3)) == 0:
        return dataclasses.replace(outcome, rl=None, benchmark=None, elsewhere=ElsewhereRecord(score, draw(ERRORS)))
    seconds = draw(st.sampled_from([None, 1000.0, 1000.0, 1.0]))
    lost = {"truncated": draw(st.none() | SHARES), "unreadable": draw(st.none() | SHARES)}
    figures = {"standard_error": draw(ERRORS), "greedy_pass_at_1": draw(st.none() | SHARES)} | lost
    scored = dataclasses.replace(outcome.benchmark, **figures)
    if seconds == 1.0:  # RL of three steps
        scored = dataclasses.replace(scored, seconds=1.0)
    return dataclasses.replace(outcome, benchmark=scored, rl=dataclasses.replace(outcome.rl, seconds=seconds))


@st.composite
def draw_sweep(draw):
    """Returns 1 to 5 candidates, in some sweeps all tied, all judged in another mode, or all out of one decision."""
    outcomes = [draw(draw_outcome(number)) for number in range(1, draw(st.integers(1, 5)) + 1)]
    mode, decision, tied = (draw(st.sampled_from(some)) for some in (MODES, DECISIONS, [False, False, True]))
    changed = []
    for outcome in outcomes:
        if tied and outcome.benchmark:
            outcome = dataclasses.replace(outcome, benchmark=dataclasses.replace(outcome.benchmark, pass_at_1=0.5))
        early = outcome.failure is not None and outcome.failure.stage in ("sft", "predictors")
        verdict = dataclasses.replace(outcome.verdict, mode=mode)
        if mode == "off" and not early:
            verdict = dataclasses.replace(verdict, decision="undecided", proceed=True)
        elif decision and not early:
            verdict = dataclasses.replace(verdict, decision=decision, audited=decision != "approved" and verdict.audited)
        verdict = dataclasses.replace(
            verdict, proceed=not early and (mode == "off" or verdict.audited or verdict.decision == "approved")
        )
        changed.append(dataclasses.replace(outcome, verdict=verdict))
    return changed


@st.composite
def draw_race(draw, sweeps):
    """Returns a sweep after a race at step 3 of 9: whoever was sent to RL here won it, was dropped or audited, or failed.

    Candidates with a result went on, some of them by an audit; the others were dropped. The best goes on, but may fail later.
    """
    outcomes = [send_audited(outcome) for outcome in draw(sweeps)]
    sent = [outcome for outcome in outcomes if outcome.verdict.proceed and not outcome.elsewhere]
    ended, racing = {}, []
    for outcome in draw(st.permutations(sent)):
        if outcome.failure and draw(st.booleans()):
            reason = f"{outcome.failure.stage} failed: {outcome.failure.reason}"
            lost = dataclasses.replace(outcome, failure=dataclasses.replace(outcome.failure, stage="rl"), rl=None)
            ended[outcome.candidate] = dataclasses.replace(lost, race=RaceVerdict(False, reason, propensity=0.0))
        else:
            racing.append(outcome)
    racing.sort(key=lambda outcome: outcome.benchmark is None and not outcome.failure)  # who went on has the first places
    for place, outcome in enumerate(racing, 1):
        ended[outcome.candidate] = draw(end_race(outcome, place, len(racing)))
    return [ended.get(outcome.candidate, outcome) for outcome in outcomes]


def send_audited(outcome):
    """Returns the outcome as an audit leaves it; the mode audit sends all that can be judged to RL."""
    verdict = outcome.verdict
    if verdict.mode == "enforce" and verdict.audited:  # runs with a race always record the probability
        return dataclasses.replace(outcome, verdict=dataclasses.replace(verdict, propensity=0.5))
    if verdict.mode != "audit" or outcome.elsewhere or (outcome.failure and outcome.failure.stage in ("sft", "predictors")):
        return outcome
    verdict = dataclasses.replace(verdict, proceed=True, audited=verdict.decision != "approved", propensity=1.0)
    return dataclasses.replace(outcome, verdict=verdict)


@st.composite
def end_race(draw, outcome, place, raced):
    forecast = draw(st.sampled_from([Forecast(0.3, 0.2, 0.4, 8), Forecast(reason="too few runs")]))
    verdict = RaceVerdict(True, f"ranked {place} of {raced} after 3 steps", 3, place, raced, propensity=1.0, forecast=forecast)
    rl = outcome.rl or RlRecord([], steps=9, seconds=1000.0, **DEVICE)
    if outcome.benchmark or outcome.failure:
        audited = place > 1 and draw(st.booleans())
        return dataclasses.replace(outcome, race=dataclasses.replace(verdict, audited=audited, propensity=1 - audited / 2))
    if place == 1:
        return dataclasses.replace(fail(outcome, "benchmark"), rl=rl, race=verdict)
    steps, stopped = draw(st.sampled_from([(3, None), (3, None), (2, "converged: every rollout right")]))
    rl = dataclasses.replace(rl, steps=steps, stopped=stopped, seconds=draw(st.sampled_from([None, 300.0, 300.0, 300.0])))
    return dataclasses.replace(outcome, rl=rl, race=dataclasses.replace(verdict, goes_on=False, step=steps, propensity=0.5))


MODES = ["enforce", "enforce", "audit", "off"]
DECISIONS = ["", "", "", "approved", "rejected"]
SWEEPS = draw_sweep()
RACES = draw_race(SWEEPS)
BASES = st.builds(
    lambda score, error, greedy: dataclasses.replace(
        BASE, benchmark=dataclasses.replace(BASE.benchmark, pass_at_1=score, standard_error=error, greedy_pass_at_1=greedy)
    ),
    st.none() | SHARES, ERRORS, st.none() | SHARES,
)  # fmt: skip
