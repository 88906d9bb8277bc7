"""Generated outcomes: failed, refused, audited, external, tied, with and without figures, with cheap and costly RL."""

import dataclasses

from hypothesis import strategies as st

from helpers.outcomes import BASE, fail, make_outcome
from rlready.records.external import ElsewhereRecord

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


MODES = ["enforce", "enforce", "audit", "off"]
DECISIONS = ["", "", "", "approved", "rejected"]
SWEEPS = draw_sweep()
BASES = st.builds(
    lambda score, error, greedy: dataclasses.replace(
        BASE, benchmark=dataclasses.replace(BASE.benchmark, pass_at_1=score, standard_error=error, greedy_pass_at_1=greedy)
    ),
    st.none() | SHARES, ERRORS, st.none() | SHARES,
)  # fmt: skip
