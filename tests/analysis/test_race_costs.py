"""What a race cost and saved, by hand, and in words."""

from dataclasses import replace

import pytest
from helpers.policies import BASE, make_row

from rlready.analysis.comparison import read_row
from rlready.analysis.costs import balance
from rlready.analysis.saving import weigh_gate
from rlready.records.verdicts import Forecast, RaceVerdict
from rlready.stages.report.gate_sections import describe_audit, describe_costs
from rlready.stages.report.predictor_sections import describe_forecasts

STEP, STEPS = 25, 100


def race(number, approved=True, goes_on=True, audited=False, score=0.5, mode="enforce", proceed=True):
    """A candidate whose RL takes 100 x 2 device-seconds and its benchmark 10 x 2, after a race at a quarter of the steps."""
    row = make_row(number, "random", 0.1, 0.5, 0.4, 0.3, score, 100.0, approved)
    verdict = replace(row.outcome.verdict, mode=mode, proceed=proceed, audited=proceed and not approved)
    verdict = replace(verdict, decision="undecided") if mode == "off" else verdict
    rl = row.outcome.rl if goes_on else replace(row.outcome.rl, steps=STEP, seconds=25.0)
    judged = RaceVerdict(goes_on, "ranked 2 of 3", STEP, 2, 3, -0.1, -0.2, -0.05, audited=audited, propensity=0.5)
    kept = {"rl": rl, "benchmark": row.outcome.benchmark if goes_on else None, "race": judged}
    return read_row(replace(row.outcome, verdict=verdict, **kept if proceed else {"rl": None, "benchmark": None}), 64)


def test_a_dropped_candidate_costs_its_probe_and_avoids_the_mean():
    rows = [race(0), race(1, goes_on=False), race(2, approved=False, goes_on=False), race(3, approved=False, proceed=False)]
    found = balance(rows, BASE)
    assert (found.skipped, found.dropped, found.refused) == (3, 2, 0)
    assert (found.mean, found.spent, found.probed) == pytest.approx((220, 2 * (4 * 10 + 20), 50))  # the audited one is free
    assert found.net == pytest.approx(3 * 220 - 120 - 50)
    said = describe_costs(rows, BASE).texts[0]
    assert "The race cost 50: RL of each approved candidate that it dropped." in said
    assert "For 3 candidates without RL or dropped by the race, RL and benchmark would have taken about 660" in said
    assert said.endswith("Net: +490 device-seconds; gate and race saved more than they cost.")
    assert "the race dropped 1 of the candidates that the gate audit sent" in describe_audit(rows).texts[0]


def test_what_the_race_audited_would_have_cost_its_probe_only():
    rows = [race(0), race(1, audited=True, score=0.6), race(2, goes_on=False)]
    found = balance(rows, BASE)
    assert (found.skipped, found.refused, found.avoidable) == (1, 1, pytest.approx(220 - 50))
    saving = weigh_gate(rows, BASE)
    share = (220 + 170 - 100 - 50) / (3 * 220)
    assert saving.avoided == pytest.approx(share) and saving.regret is None
    assert saving.said == (
        "The gate approved all 3 candidates and the race dropped 2 of them, a net saving of about 36% over running RL on all"
        " of them. RL went on for 1 of 2 dropped candidates anyway; it beat the best that won the race."
    )


def test_the_sentence_names_the_race_and_never_says_that_rl_ran_for_all():
    rows = [race(0), race(1), race(2, goes_on=False), race(3, approved=False, proceed=False)]
    said = weigh_gate(rows, BASE).said
    assert said.startswith("The gate approved 3 of 4 candidates and the race dropped 1 of them, a net saving of about")
    assert "ran for all" not in said and "race_audit_fraction" in said and "gate_audit_fraction" in said
    alone = [race(number, mode="off", approved=False, goes_on=number > 1) for number in range(4)]
    assert weigh_gate(alone, BASE).said.startswith("The race dropped 2 of 4 candidates, a net saving of about")
    assert weigh_gate([race(0), race(1)], BASE).said == "The gate approved both candidates, so it saved nothing."


def test_forecasts_at_the_race_are_checked_apart_from_those_before_rl():
    told = {0: Forecast(0.5, 0.4, 0.6, 9), 1: Forecast(0.7, 0.6, 0.8, 9), 2: Forecast(reason="too few runs")}
    rows = [race(number, goes_on=number != 2) for number in told]
    rows = [
        read_row(replace(row.outcome, race=replace(row.outcome.race, forecast=told[number])), 64)
        for number, row in enumerate(rows)
    ]
    before, at_race = describe_forecasts(rows).texts
    assert before.startswith("No candidate with an RL result had a forecast")
    assert at_race.startswith("At the race: a forecast was logged before the RL result of both candidates. Inside the 95%")
    assert "Outside: random-1-s0. Reasons for no forecast: too few runs." in at_race
