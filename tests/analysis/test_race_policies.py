"""Races and successive halving as policies: as the race judges, with all that they cost; by hand and against the race."""

import dataclasses

import numpy as np
import pytest
from helpers.policies import BASE, make_row
from helpers.races import draw_counts, make_raced, validate

from rlready.analysis.comparison import read_row
from rlready.analysis.policies import BOTH, HALVING, RACE, list_families, list_halvings, list_policies, price, race, trace
from rlready.analysis.pool import find_pools, find_probes
from rlready.config import Race
from rlready.gate.race import judge_race
from rlready.stages.report.gate_sections import NO_RACE, describe_policies

FLAT = [[0] * 60, [1] * 60, [2] * 60, [3] * 60]


def pool_of(rows):
    (pool,) = find_pools(rows, BASE)
    return pool, {probe.step: probe for probe in find_probes(pool)}


@pytest.mark.parametrize("keep", [0, 1, 3])
@pytest.mark.parametrize("seed", range(4))
def test_a_race_takes_those_whom_the_race_lets_go_on(seed, keep):
    generator = np.random.default_rng(seed)
    levels = generator.normal(0, 0.7, 9)
    rows = [make_raced(generator, n, {0: -1, 25: level, 100: level}, 0.5, approved=n % 2) for n, level in enumerate(levels)]
    pool, probes = pool_of(rows)
    assert [*probes] == [25]  # neither before the first step nor after the last
    for before, racing in ((None, rows), (next(p for p in list_policies(pool, 64) if p.label == "The gate"), rows[1::2])):
        policy, left = race(RACE, probes[25], keep, before), np.arange(pool.size)
        for one in policy.rounds:
            left = left[one.choose(left).list_places()]
        judged = judge_race([row.outcome for row in racing], Race(25, keep), 0, None)
        assert [pool.settings[n].rows[0].name for n in left] == [
            row.name for row, verdict in zip(racing, judged, strict=True) if verdict.goes_on
        ]


def make_flat():
    """Four candidates that are 0, 1, 2 and 3 of 4 right at 25 and 50 steps; RL costs 200, validation 80, a benchmark 20."""
    rows = [make_row(n, "random", 0.1, 0.5, 0.4, 0.3, 0.1 * n, 140.0, n != 3) for n in range(4)]
    counts = [{step: right for step in (0, 25, 50, 100)} for right in FLAT]
    return [read_row(validate(row.outcome, one), 64) for row, one in zip(rows, counts, strict=True)]


def test_races_and_halvings_pay_for_all_that_they_use():
    pool, probes = pool_of(make_flat())
    assert pool.full.tolist() == [220] * 4 and probes[25].checks.tolist() == [40] * 4  # two of four validations
    found = {policy.label: price(policy, pool) for policy in list_policies(pool, 64, [*probes.values()])}
    full, measured = 4 * 220, 4 * 20 + 40
    expected = {
        RACE: (1, 4 * (50 + 40) + 150 + 20, 0.0),  # a quarter of RL and two validations for all, the rest for the best
        BOTH: (1, measured + 3 * (50 + 40) + 150 + 20, 0.1),  # the gate rejected the best
        # Two of four, then one of two: at 25 and 50 steps for 2; at 33, so 25, for 3.
        HALVING[2]: (1, 4 * (50 + 40) + 2 * (50 + 20) + 100 + 20, 0.0),
        HALVING[3]: (1, 4 * (50 + 40) + 150 + 20, 0.0),
        "RL for all": (4, full, 0.0),
    }
    for label, (taken, cost, regret) in expected.items():
        assert (found[label].taken, found[label].share * full, found[label].regret) == pytest.approx((taken, cost, regret))
    assert len(list_halvings(pool, [*probes.values()], 2)) == 2 and not list_halvings(pool, [], 2)


def test_at_every_budget_more_is_paid_and_less_lost():
    generator = np.random.default_rng(5)
    levels = generator.normal(0, 1, 9)
    rows = [make_raced(generator, n, {25: level, 50: level}, 0.5 + 0.1 * level) for n, level in enumerate(levels)]
    pool, probes = pool_of(rows)
    families = list_families(pool, 64, [*probes.values()])
    labels = [family.label for family in families]
    assert "a race at step 25, 1, 2, ... go on" in labels and "the gate, a race at step 25, 1, 2, ... go on" in labels
    for family in families:
        shares, regrets = zip(*trace(pool, family.policies), strict=True)
        if "halving" not in family.label:
            assert len(shares) == 9 and (np.diff(shares) >= 0).all() and (np.diff(regrets) <= 0).all()


def test_seeds_of_a_setting_race_as_one_and_other_problems_do_not_race():
    generator = np.random.default_rng(6)
    rows = [make_raced(generator, n, {25: n - 1, 100: n}, 0.1 * n, seed=seed) for n in range(3) for seed in (0, 1)]
    pool, probes = pool_of(rows)
    assert pool.size == 3 and probes[25].reached == pytest.approx([
        np.mean([row.validated[0][1] for row in setting.rows]) for setting in pool.settings
    ])  # fmt: skip
    fewer = draw_counts(generator, {25: 0, 100: 0})
    other = read_row(validate(rows[0].outcome, {step: counts[:50] for step, counts in fewer.items()}), 64)
    assert not pool_of([other, *rows[1:]])[1]
    assert NO_RACE in describe_policies([other, *rows[1:]], BASE, 64).texts


def test_the_section_prices_races_beside_the_others():
    section = describe_policies(make_flat(), BASE, 64)
    assert [row[0] for row in section.table if "race" in row[0].lower() or "halving" in row[0].lower()] == [
        RACE, BOTH, HALVING[2], HALVING[3],
    ]  # fmt: skip
    assert "Races are at step 25, without race_keep." in section.texts
    assert all(name in section.plots[0].drawing for name in ("a race at step 25", "successive halving"))


def test_rl_that_stopped_early_races_by_its_last_validation():
    rows = make_flat()
    rl = rows[0].outcome.rl
    points = rl.validation.points[:2]
    ended = dataclasses.replace(rl, steps=25, stopped="no signal", validation=dataclasses.replace(rl.validation, points=points))
    rows[0] = read_row(dataclasses.replace(rows[0].outcome, rl=ended), 64)
    probe = pool_of(rows)[1][50]
    assert probe.step == 50 and probe.places[0] == 3
    assert probe.cost[0] == pytest.approx(280)  # all of its RL
