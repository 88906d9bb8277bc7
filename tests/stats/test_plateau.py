"""Whether RL had plateaued: the estimate against known curves, and where people read it."""

import dataclasses
import math

import numpy as np
import pytest
from helpers.outcomes import make_outcome
from helpers.outcomes import report as report
from helpers.populations import cover_rise

from rlready.analysis.comparison import read_rows
from rlready.analysis.plateau import look_for_plateau, trace_ranking
from rlready.analysis.predictor import pick_main
from rlready.analysis.sweep_result import SweepResult
from rlready.records.outcome import RlRecord
from rlready.stages.report.headline import tell_result
from rlready.stats.plateau import add_rises, average_blocks, measure_rise
from rlready.tracking.figures import list_metrics

STEPS = range(10, 401, 10)


def approach(speed, noise=0.0, seed=0, start=0.1, height=0.6):
    """Returns rewards that approach a plateau: `speed` times as many steps as it takes to come 63 % of the way."""
    draw = np.random.default_rng(seed)
    return [[s, start + height * (1 - math.exp(-speed * s / 400)) + noise * draw.normal()] for s in STEPS]


def test_an_even_rise_gains_a_quarter_in_the_last_quarter():
    rise = measure_rise([[step, 0.1 + 0.001 * step] for step in range(0, 401, 10)])
    assert rise.share == pytest.approx(0.25) and rise.gain == pytest.approx(0.4)
    assert rise.low == pytest.approx(rise.high) and rise.rising and not rise.level


@pytest.mark.parametrize("speed", [0.5, 1, 1.5, 3, 8])
def test_the_share_is_that_of_the_curve(speed):
    exact = (math.exp(-0.75 * speed) - math.exp(-speed)) / (1 - math.exp(-speed))
    rise = measure_rise(approach(speed))
    assert rise.share == pytest.approx(exact, abs=0.02)
    assert rise.rising == (exact > 0.1) and rise.level == (exact < 0.1)


@pytest.mark.parametrize(("lag", "least"), [(0.0, 0.95), (0.9, 0.92)])
def test_the_interval_holds_the_truth_also_where_the_scatter_drifts(lag, least):
    """With a lag of 0.9 a step, an interval for independent points covers 81 %."""
    assert least <= cover_rise(lag) <= 0.985


@pytest.mark.parametrize(
    ("series", "state"),
    [
        ([], None),
        ([[step, 0.5] for step in (1, 2, 3)], None),
        ([[step, None] for step in STEPS], None),
        ([[step, None if step > 310 else 0.5] for step in STEPS], "unclear"),  # known to step 310; nothing gained
        ([[step, math.nan if step > 50 else 0.5] for step in STEPS], None),
        (approach(8, noise=0.01), "level"),
        (approach(1, noise=0.01), "rising"),
        (approach(2, noise=0.05, seed=11), "unclear"),
        ([[step, 0.5 - 0.001 * step] for step in STEPS], "unclear"),  # it lost all the way: no gain to compare with
        ([[step, 0.5 - 0.001 * min(step, 400 - step)] for step in STEPS], "rising"),  # lost, and coming back
    ],
)
def test_states(series, state):
    rise = measure_rise(series)
    found = rise and ("rising" if rise.rising else "level" if rise.level else "unclear")
    assert found == (None if state is None else state)


@pytest.mark.parametrize("steps", [1, 7, 40, 41, 60, 200, 1000])
def test_blocks_are_equal_but_the_first_and_lose_no_step(steps):
    series = [(step, float(step)) for step in range(1, steps + 1)]
    blocks = average_blocks(series)
    ends = [0, *(end for end, _ in blocks)]
    widths = np.diff(ends)
    assert len(blocks) <= 40 and ends[-1] == steps and len(set(widths[1:])) <= 1 and widths[0] <= widths[-1]
    for (end, mean), width in zip(blocks, widths, strict=True):
        assert mean == pytest.approx(end - (width - 1) / 2)


def test_unknown_rewards_are_left_out_of_their_block():
    assert average_blocks([(1, None), (2, 1.0), (3, None), (4, None)], most=2) == [[2, 1.0], [4, None]]
    assert average_blocks([]) == []


def make_runs(*speeds, noise=0.002):
    """Five settings whose SFT Pass@1 orders the first rewards, and whose Pass@64 the last ones."""
    runs = []
    for number, speed in enumerate(speeds):
        outcome = make_outcome("random", 2**number, 0.5 - 0.05 * number, 0.5 + 0.08 * number, 0.7, 0.3 + 0.05 * number)
        height = 0.2 + 0.08 * number
        rewards = approach(speed, noise, seed=11 + number, start=0.5 - 0.05 * number, height=height)
        runs.append(dataclasses.replace(outcome, rl=RlRecord(rewards, steps=400, seconds=9.0)))
    return runs


def describe(runs):
    rows, base, _ = read_rows(SweepResult(runs, None, {}))
    return list(tell_result(rows, base, 64))


def test_a_rise_is_the_first_that_is_said(report):
    runs = make_runs(1, 8, 1, 8, 8)
    lead = describe(runs)[0]
    assert lead.startswith("RL had not converged, so more steps (rl_steps) may change the ranking: ")
    assert "; the reward of random-4, random-1 clearly still rose." in lead
    assert "random-16 ended best after RL" in lead
    written = report(runs)
    table = written.tables["Did RL plateau?"]
    assert [table[f"random-{2**n}"][-1] for n in range(5)] == ["rising", "plateaued", "rising", "plateaued", "plateaued"]
    assert written.markdown.index("not converged") < written.markdown.index("ended best")


def test_a_plateau_is_said_after_the_answer():
    said = describe(make_runs(8, 8, 8, 8, 9))
    assert said[0].startswith("random-16 ended best") and any(line.startswith("RL plateaued: ") for line in said)


def test_rewards_that_scatter_tell_nothing():
    said = describe(make_runs(2, 2, 2, 2, 2, noise=0.2))
    assert any(line.startswith("RL may not have converged: ") for line in said)


def test_many_candidates_tell_what_one_does_not():
    said = describe(make_runs(1.2, 1.2, 1.2, 1.2, 1.2, noise=0.01))
    rises = look_for_plateau(read_rows(SweepResult(make_runs(1.2, 1.2, 1.2, 1.2, 1.2, noise=0.01), None, {}))[0]).rises
    assert not all(rise.rising for rise in rises.values()) and said[0].startswith("RL had not converged")


def test_the_gain_of_many_is_covered():
    held = 0
    for seed in range(1000):
        draw = np.random.default_rng(seed)
        series = [[[step, 0.001 * step + 0.02 * draw.normal()] for step in STEPS] for _ in range(6)]
        found = add_rises([measure_rise(one) for one in series])
        held += found.low <= 0.6 <= found.high
    assert 0.94 <= held / 1000 <= 0.985


def make_shared(draw, seeds, candidates):
    """Candidates whose rewards scatter with those of their seed, around an even rise of 0.4."""
    runs = []
    for seed in range(seeds):
        shared = 0.02 * draw.normal(size=len(STEPS))
        for number in range(candidates):
            own = 0.01 * draw.normal(size=len(STEPS))
            rewards = [[s, 0.001 * s + a + b] for s, a, b in zip(STEPS, shared, own, strict=True)]
            outcome = make_outcome("random", number + 1, 0.1, 0.5, 0.7, 0.3, f"random-{number + 1}-s{seed}", seed=seed)
            runs.append(dataclasses.replace(outcome, rl=RlRecord(rewards, steps=400, seconds=9.0)))
    return look_for_plateau(read_rows(SweepResult(runs, None, {}))[0])


@pytest.mark.parametrize(("seeds", "candidates"), [(1, 6), (3, 4)])
def test_candidates_that_scatter_with_their_seed_are_covered(seeds, candidates):
    held = as_if_independent = 0
    for number in range(300):
        plateau = make_shared(np.random.default_rng(number), seeds, candidates)
        alone = add_rises(list(plateau.rises.values()))
        assert plateau.all.late == pytest.approx(alone.late) and plateau.all.gain == pytest.approx(alone.gain)
        held += plateau.all.low <= 0.1 * seeds * candidates <= plateau.all.high
        as_if_independent += alone.low <= 0.1 * seeds * candidates <= alone.high
    assert 0.92 <= held / 300 <= 0.99 and as_if_independent / 300 < 0.87


def test_many_level_candidates_do_not_rise_alone_by_chance():
    """Each gains a tenth of its gain in the last quarter, so at 95 % one in forty would be said to rise."""
    told = 0
    for number in range(100):
        draw, runs = np.random.default_rng(number), []
        for one in range(40):
            outcome = make_outcome("random", one + 1, 0.1, 0.5, 0.7, 0.3)
            rewards = [[s, 0.0012 * min(s, 300) + 0.0004 * max(s - 300, 0) + 0.02 * draw.normal()] for s in STEPS]
            runs.append(dataclasses.replace(outcome, rl=RlRecord(rewards, steps=400, seconds=9.0)))
        told += bool(look_for_plateau(read_rows(SweepResult(runs, None, {}))[0]).alone)
    assert told <= 10


def test_a_step_without_a_reward_is_left_out_of_its_candidate_alone():
    runs = make_runs(1, 8, 8, 8, 8)
    runs[2].rl.rewards[-3][1] = None
    plateau = look_for_plateau(read_rows(SweepResult(runs, None, {}))[0])
    assert len(plateau.rises) == 5 and plateau.all.gain == pytest.approx(sum(r.gain for r in plateau.rises.values()))


def test_without_rewards_nothing_is_claimed(report):
    runs = [make_outcome("random", 1, 0.2, 0.7, 0.7, 0.4), make_outcome("random", 2, 0.3, 0.6, 0.7, 0.3)]
    assert not any("plateaued" in line or "converged" in line for line in describe(runs))
    assert "no candidate has rewards for enough steps" in report(runs).markdown


def test_what_mlflow_gets():
    plateau = look_for_plateau(read_rows(SweepResult(make_runs(1, 8, 8, 8, 8), None, {}))[0])
    late, gain = (sum(getattr(rise, name) for rise in plateau.rises.values()) for name in ("late", "gain"))
    assert plateau.list_figures() == {"rl/gain_share_of_last_quarter": pytest.approx(late / gain)}
    assert plateau.list_tags()["rl.plateau"].startswith("RL had not converged")
    metrics = {name: value for name, _, value in list_metrics(make_runs(1)[0], "candidate")}
    assert metrics["rl/gain_of_last_quarter_low"] < metrics["rl/gain_of_last_quarter"] < metrics["rl/gain"]


def test_a_ranking_that_turns_on_the_way_is_traced():
    rows = read_rows(SweepResult(make_runs(4, 4, 4, 4, 4, noise=0.0), None, {}))[0]
    main = pick_main(64)
    head_start, reach = dict(trace_ranking(rows, main.sft_pass_at_1)), dict(trace_ranking(rows, main.pass_at_k))
    assert head_start[min(head_start)] == pytest.approx(1) and head_start[1.0] == pytest.approx(-1)
    assert reach[min(reach)] == pytest.approx(-1) and reach[1.0] == pytest.approx(1)
    assert trace_ranking(rows[:3], main.pass_at_k) == []


@pytest.mark.parametrize("reward", [0.1, 0.3, 1 / 3, 0.7])
@pytest.mark.parametrize("steps", [37, 41, 400])
def test_rewards_that_never_change_gain_nothing(reward, steps):
    rise = measure_rise(average_blocks([(step, reward) for step in range(1, steps + 1)]))
    assert rise.share is None and not rise.rising and not rise.level
