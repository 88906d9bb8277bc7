"""What other policies would have cost and lost: against enumeration, by hand, and in words."""

import dataclasses
import itertools

import numpy as np
import pytest
from helpers.policies import BASE, enforce, make_row

from rlready.analysis.comparison import read_row
from rlready.analysis.policies import (
    ALL,
    GATE,
    RACE,
    Policy,
    Round,
    expect_best,
    list_families,
    list_policies,
    measure_regret,
    price,
    take_best,
    trace,
)
from rlready.analysis.pool import Pool, find_pools
from rlready.analysis.saving import weigh_gate
from rlready.records.outcome import ElsewhereRecord, Failure, RlRecord
from rlready.records.verdicts import Verdict
from rlready.stages.report.gate_sections import describe_costs, describe_policies

SWEEP = [  # subset, SFT Pass@1, Pass@64, loss, reward at a quarter of RL, post-RL Pass@1, seconds of RL, whether approved
    ("random", 0.10, 0.90, 0.30, 0.50, 0.70, 100.0, True),
    ("random", 0.30, 0.70, 0.40, 0.60, 0.50, 200.0, False),
    ("random", 0.20, 0.80, 0.35, 0.40, 0.60, 300.0, True),
    ("longest", 0.40, 0.70, 0.20, 0.70, 0.40, 400.0, False),
]


ROWS = [make_row(number, *values) for number, values in enumerate(SWEEP)]
FULL = sum(values[6] + 10 for values in SWEEP)  # seconds of RL and benchmark
MEASURED = (4 * 10 + 20) / FULL


def test_the_best_of_a_draw_is_expected_as_enumeration_says():
    generator = np.random.default_rng(0)
    for _ in range(200):
        sure, drawn = generator.random(generator.integers(0, 4)), generator.random(generator.integers(1, 7)).round(1)
        slots = int(generator.integers(0 if len(sure) else 1, len(drawn) + 1))
        draws = [max([*sure, *some]) for some in itertools.combinations(drawn, slots)]
        assert expect_best(sure, drawn, slots) == pytest.approx(np.mean(draws))


def test_scores_that_differ_by_rounding_only_are_no_regret():
    scores = np.array([0.1 + 0.2, 0.3, 0.2])
    assert measure_regret(scores, take_best(np.array([0.0, 1.0, 0.0]), 1)) == 0.0


def test_every_policy_has_its_price():
    (pool, _) = find_pools(ROWS, BASE)
    found = {policy.label: price(policy, pool) for policy in list_policies(pool, 64)}
    expected = {  # settings that get RL, cost as a share of all, regret
        ALL: (4, 1.0, 0.0),
        GATE: (2, (110 + 310) / FULL + MEASURED, 0.0),
        "Best 2 by SFT Pass@1 (T=1)": (2, (410 + 210) / FULL + MEASURED, 0.2),
        "Best 2 by Pass@64": (2, (110 + 310) / FULL + MEASURED, 0.0),
        "2 at random": (2, 0.5, np.mean([0.7 - max(pair) for pair in itertools.combinations([0.7, 0.5, 0.6, 0.4], 2)])),
    }
    assert found.keys() == expected.keys()  # the loss does not choose among subsets that are no random draw
    for label, (taken, share, regret) in expected.items():
        assert (found[label].taken, found[label].interval) == (taken, None)
        assert (found[label].share, found[label].regret) == pytest.approx((share, regret))


def test_losses_choose_among_random_subsets_and_ties_are_drawn():
    _, pool = find_pools(ROWS, BASE)
    assert (pool.size, pool.label) == (3, "random subsets")
    labels = [policy.label for policy in list_policies(pool, 64)]
    assert "Best 2 by Minus generalization loss" in labels and "Best 2 by Pass@64 and loss" in labels
    (all_of_them, _) = find_pools(ROWS, BASE)
    by = {family.label: family.policies for family in list_families(all_of_them, 64)}
    shares, regrets = zip(*trace(all_of_them, by["1, 2, ... by Pass@64"]), strict=True)
    assert regrets == pytest.approx((0, 0, 0, 0)) and shares[-1] == pytest.approx(1 + MEASURED)
    assert shares[2] == pytest.approx((110 + 310 + (210 + 410) / 2) / FULL + MEASURED)  # two tie for the third place
    assert len(by) == 3 and list(by)[-1] == "1, 2, ... at random"  # no loss, no race


def test_seeds_are_one_setting_and_a_split_verdict_counts_for_it():
    rows = [make_row(n, *values, seed=seed) for n, values in enumerate(SWEEP) for seed in (0, 1)]
    values = SWEEP[1][:-1]
    rows[3] = make_row(1, *values, True, seed=1)
    (pool, _) = find_pools(rows, BASE)
    assert pool.size == 4
    gate = price(next(policy for policy in list_policies(pool, 64) if policy.label == GATE), pool)
    assert gate.taken == 3


def test_costs_that_are_not_known_count_runs():
    rows = [*ROWS[:3], make_row(3, *SWEEP[3], rl=RlRecord([], 100))]
    (pool, _) = find_pools(rows, BASE)
    gate = price(next(policy for policy in list_policies(pool, 64) if policy.label == GATE), pool)
    assert not pool.priced and gate.share == 0.5
    assert "every RL run counts the same here" in " ".join(describe_policies(rows, BASE, 64).texts)
    saving = weigh_gate(rows, BASE)
    assert "with an unknown net saving: 1 of the costs needed was not recorded" in saving.said and saving.list_figures() == {
        "gate/regret": 0.0
    }
    table, plot = describe_policies(rows, BASE, 64).table, describe_policies(rows, BASE, 64).plots[0]
    assert {row[3] for row in table[1:] if row[1] == "4 settings"} == {"–"} and "% of the runs" in plot.caption


def test_results_of_rl_elsewhere_count_with_the_cost_that_their_owner_says():
    theirs = ElsewhereRecord(0.4, 0.01, device_hours=820 / 3600, device="CPU thread")
    there = make_row(3, *SWEEP[3], rl=None, benchmark=None, elsewhere=theirs)
    (pool, _) = find_pools([*ROWS[:3], there], BASE)
    found = {policy.label: price(policy, pool) for policy in list_policies(pool, 64)}
    assert pool.priced and found[GATE].share == pytest.approx((110 + 310) / FULL + MEASURED)
    assert RACE not in found  # its validation is unknown
    unknown = make_row(3, *SWEEP[3], rl=None, benchmark=None, elsewhere=dataclasses.replace(theirs, device_hours=None))
    assert not find_pools([*ROWS[:3], unknown], BASE)[0].priced
    free = dataclasses.replace(theirs, device_hours=0.0)
    (pool, _) = find_pools([make_row(n, *row, rl=None, benchmark=None, elsewhere=free) for n, row in enumerate(SWEEP)], BASE)
    assert [price(policy, pool).share for policy in list_policies(pool, 64)][:2] == [1.0, 0.5]  # of the runs


def test_what_the_gate_avoided_is_one_sentence():
    audited = weigh_gate(ROWS, BASE)
    assert audited.list_figures() == pytest.approx({"gate/avoided_share": 1 - 420 / FULL - MEASURED, "gate/regret": 0.0})
    assert audited.said == (
        "The gate approved 2 of 4 candidates, a net saving of 54% over running RL on all of them. RL ran for all, which shows"
        " the regret: the best score was missed by 0.000."
    )
    unknown = weigh_gate([enforce(row) for row in ROWS], BASE)
    mean = (110 + 310) / 2
    assert unknown.list_figures() == pytest.approx({"gate/avoided_share": (2 * mean - 60) / (4 * mean)})
    without = "Whether a candidate without RL would have ended best is unknown without an audit"
    assert unknown.said.endswith(f"{without} (gate_mode=audit or gate_audit_fraction).")
    half = [*map(enforce, ROWS[:3]), ROWS[3]]
    said = "RL ran for 1 of 2 rejected candidates anyway; it did not beat the best approved one."
    assert said in weigh_gate(half, BASE).said
    assert weigh_gate(half, BASE).said.endswith("The other one was not run.")
    assert "a net saving of about" in weigh_gate(half, BASE).said and weigh_gate(half, BASE).regret is None


def test_no_verdict_no_sentence_and_a_gate_that_approves_none_has_no_result():
    off = []
    for row in ROWS:
        verdict = dataclasses.replace(row.outcome.verdict, mode="off")
        off.append(read_row(dataclasses.replace(row.outcome, verdict=verdict), 64))
    assert weigh_gate(off, BASE) is None and weigh_gate([], BASE) is None
    rejected = [make_row(number, *values[:-1], False) for number, values in enumerate(SWEEP)]
    found = weigh_gate(rejected, BASE)
    assert found.regret is found.avoided is None and "approved none of 4 candidates" in found.said
    assert found.said.endswith("which would leave no result. RL ran for all 4 candidates anyway.")
    refused = weigh_gate([enforce(row) for row in rejected], BASE)
    assert refused.list_figures() == {} and "approved none of 4 candidates, which leaves no result" in refused.said
    first = enforce(rejected[0], rl=rejected[0].outcome.rl, benchmark=rejected[0].outcome.benchmark)
    drawn = weigh_gate([first, *rejected[1:3], enforce(rejected[3])], BASE)
    assert drawn.list_figures() == {} and drawn.said.endswith("RL ran for 3 of 4 candidates anyway.")
    said = "The gate approved no candidate, which would leave no result. RL ran for the only candidate anyway."
    assert weigh_gate(rejected[:1], BASE).said == said
    all_approved = weigh_gate([make_row(number, *values[:-1], True) for number, values in enumerate(SWEEP)], BASE)
    assert (
        all_approved.avoided == pytest.approx(-MEASURED)
        and all_approved.said == "The gate approved all 4 candidates, so it saved nothing."
    )
    every = [enforce(make_row(number, *values[:-1], True)) for number, values in enumerate(SWEEP)]
    last = dataclasses.replace(every[3].outcome, rl=None, benchmark=None)
    assert weigh_gate([*every[:3], read_row(last, 64)], BASE).said == (
        "The gate approved all 4 candidates, so it saved nothing."
    )
    failed = {"verdict": Verdict(every[2].name, "rejected", False, "SFT failed"), "failure": Failure("sft", "killed")}
    lost = dataclasses.replace(every[2].outcome, predictors=None, rl=None, benchmark=None, **failed)
    assert weigh_gate([*every[:2], read_row(lost, 64), read_row(last, 64)], BASE).said == (
        "The gate approved all 3 candidates that it could judge (1 failed earlier), so it saved nothing."
    )


def test_a_gate_that_approves_all_has_no_regret_before_there_is_a_result():
    rows = [make_row(n, "random", 0.1, 0.6, 1.0, 0.5, 0.5, 50.0, True, rl=None, benchmark=None) for n in range(3)]
    assert weigh_gate(rows, BASE).regret is None and "gate/regret" not in weigh_gate(rows, BASE).list_figures()


def test_what_failed_in_rl_was_judged_and_counts_on_neither_side_of_the_cost():
    rows, failure = [enforce(row) for row in ROWS], Failure("rl", "killed")
    first = next(row for row in rows if row.approved)
    lost = read_row(dataclasses.replace(first.outcome, rl=None, benchmark=None, failure=failure), 64)
    found = weigh_gate([lost if row is first else row for row in rows], BASE)
    assert found.said.startswith("The gate approved 2 of 4 candidates, a net saving of about")
    assert "over running RL on all that did not fail." in found.said and found.net.endswith("candidates that did not fail")
    alone = weigh_gate([lost], BASE)
    assert (alone.said, alone.net) == (
        "The gate approved the only candidate, so it saved nothing.", "none, because no candidate was rejected",
    )  # fmt: skip
    seen = weigh_gate([make_row(4, *SWEEP[3], rl=None, benchmark=None, failure=failure), *ROWS], BASE).said
    assert "RL ran for all that did not fail, which shows the regret" in seen
    rejected = next(row for row in ROWS if not row.approved)
    none = weigh_gate([lost, rejected], BASE)
    why = "RL or its benchmark failed for every candidate that was to finish RL"
    assert none.avoided is None and none.net == f"none, because {why}" and f"with no net saving: {why}." in none.said
    assert f"no saving, because {why}." in " ".join(describe_costs([lost, rejected], BASE).texts)
    refused = next(row for row in rows if not row.approved)
    assert weigh_gate([lost, refused], BASE).said.startswith("The gate approved 1 of 2 candidates, with an unknown net saving")
    elsewhere = read_row(dataclasses.replace(lost.outcome, elsewhere=ElsewhereRecord(0.4, 0.01)), 64)
    assert weigh_gate([elsewhere, refused], BASE).said.startswith("The gate approved 1 of 2 candidates")
    audited = make_row(4, *SWEEP[3], rl=None, benchmark=None, failure=failure)
    assert weigh_gate([*map(enforce, ROWS[:3]), ROWS[3], audited], BASE).said.endswith(
        "RL ran for 1 of 3 rejected candidates anyway (1 more failed); it did not beat the best approved one. The other"
        " one was not run."
    )


def test_seeds_of_one_setting_that_the_gate_judged_differently_count_one_by_one():
    seeds = [
        make_row(0, "random", 0.1, 0.5, 0.5, 0.3, 0.3, 100.0, approved, seed) for seed, approved in enumerate((True, False))
    ]
    other = [make_row(1, "random", 0.1, 0.5, 0.5, 0.3, 0.5, 100.0, False, seed) for seed in (0, 1)]
    found = weigh_gate([*seeds, *other], BASE)
    assert found.said.startswith("The gate approved 1 of 4 candidates, ") and found.regret == pytest.approx(0.2)
    assert "the regret, of settings approved with half of their seeds or more: the best score was missed by 0.200" in found.said


def test_a_run_that_cost_nothing_saved_as_much_as_it_cost():
    def free(row):
        parts = {
            name: dataclasses.replace(getattr(row.outcome, name), seconds=0.0) for name in ("predictors", "rl", "benchmark")
        }
        return read_row(dataclasses.replace(row.outcome, **parts), 64)

    base = read_row(dataclasses.replace(BASE.outcome, predictors=dataclasses.replace(BASE.predictors, seconds=0.0)), 64)
    said = weigh_gate([free(row) for row in ROWS], base).said
    assert "with no net saving: the gate saved as much as it cost. RL ran for all" in said
    said = describe_costs([free(row) for row in ROWS], base).texts[0]
    assert said.endswith("Net, excluding the audit: +0 device-seconds; the gate saved as much as it cost.")


def test_the_section_compares_them_in_a_table_and_a_plot():
    section = describe_policies(ROWS, BASE, 64)
    assert [row[:3] for row in section.table[1:3]] == [[ALL, "4 settings", "4"], [GATE, "4 settings", "2"]]
    assert "the top 1 by Pass@64" in section.texts[0] and "SFT Pass@1" not in section.texts[0]
    assert "<svg" in section.plots[0].drawing and "at random" in section.plots[0].drawing
    partly = describe_policies([enforce(row) for row in ROWS], BASE, 64)
    assert not partly.table and partly.texts == ["Unknown: RL ran for 2 of 4 candidates."]


def test_the_interval_of_a_regret_covers_what_other_settings_would_have_shown():
    """Settings of a population in which a predictor tells the result up to a noise; the truth is the mean regret of draws."""
    generator, count, most, ones = np.random.default_rng(1), 13, 3, np.ones(13)

    def draw(times):
        told = generator.uniform(0.5, 0.9, (times, count))
        return told, told - 0.2 + generator.normal(0, 0.08, told.shape)

    told, scores = draw(20_000)
    chosen = np.take_along_axis(scores, np.argsort(-told, 1)[:, :most], 1)
    truth = (scores.max(1) - chosen.max(1)).mean()
    found = []
    for values, results in zip(*draw(40), strict=True):
        pool = Pool([None] * count, "settings", True, results, ones, ones, ones, 0.0)
        chosen = Round(lambda draw, values=values: take_best(values[draw], most))
        found.append(price(Policy("", (chosen,)), pool).interval)
    known = [interval for interval in found if interval]
    assert len(known) >= 30 and np.mean([low <= truth <= high for low, high in known]) >= 0.85
