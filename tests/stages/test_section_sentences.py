"""The sentences on plateau, noise, forecasts and policies are true of generated studies with seeds and rewards."""

import dataclasses
import itertools
import re
from statistics import fmean, stdev

import numpy as np
import pytest
from helpers.generated import ERRORS, SHARES, draw_race
from helpers.outcomes import BASE, fail, make_outcome
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, f_oneway

from rlready.analysis.comparison import group_settings, read_rows
from rlready.analysis.format import count_of
from rlready.analysis.noise import describe_noise, measure_noise
from rlready.analysis.plateau import look_for_plateau
from rlready.analysis.sweep_result import SweepResult
from rlready.records.verdicts import Forecast
from rlready.stages.report.gate_sections import describe_policies
from rlready.stages.report.predictor_sections import describe_forecasts, describe_plateau

FIGURE = r"-?\d+\.\d+"
SHAPES = ["none", "short", "flat", "line", "early", "late", "falling"]


@st.composite
def draw_rewards(draw):
    shape, start = draw(st.sampled_from(SHAPES)), draw(st.sampled_from([0.0, 0.1, 0.5]))
    steps, noise = (5 if shape == "short" else 40), draw(st.sampled_from([0.0, 0.01, 0.1]))
    at = np.linspace(0, 1, steps)
    gains = {"line": at, "short": at, "early": 1 - np.exp(-12 * at), "late": np.exp(8 * at - 8), "falling": -at}
    scatter = noise * np.random.default_rng(draw(st.integers(0, 99))).normal(size=steps)
    values = start + 0.4 * gains.get(shape, 0 * at) + scatter
    lost = draw(st.none() | st.integers(0, steps - 1))
    pairs = [[n + 1, None if n == lost else float(value)] for n, value in enumerate(values)]
    return [] if shape == "none" else pairs


@st.composite
def draw_candidate(draw, setting, seed):
    """Returns a candidate of a setting: finished or not, with or without rewards, a forecast, a cost, a signal."""
    score = draw(st.sampled_from([None, 0.0, 0.1, 0.3, 0.3, 0.31, 0.5, 0.8]))
    outcome = make_outcome("random", setting, draw(SHARES), draw(SHARES), 0.7, score, f"c{setting}-s{seed}", seed=seed)
    if draw(st.integers(0, 9)) == 0:
        return fail(outcome, draw(st.sampled_from(["sft", "rl"])))
    figures = draw(st.sampled_from([Forecast(0.3, 0.2, 0.4, 8), Forecast(0.5, 0.0, 1.0, 8), Forecast(reason="too few runs")]))
    decision = draw(st.sampled_from(["approved", "rejected"]))
    verdict = dataclasses.replace(outcome.verdict, forecast=figures, decision=decision)
    outcome = dataclasses.replace(outcome, verdict=verdict)
    if score is None:
        return outcome
    rl = dataclasses.replace(
        outcome.rl, rewards=draw(draw_rewards()), steps=40, stopped=draw(st.sampled_from([None, None, None, "no signal"])),
        seconds=draw(st.sampled_from([1000.0, 1000.0, 1000.0, 500.0, None])),
    )  # fmt: skip
    return dataclasses.replace(outcome, rl=rl, benchmark=dataclasses.replace(outcome.benchmark, standard_error=draw(ERRORS)))


@st.composite
def draw_study(draw):
    sizes = draw(st.lists(st.integers(1, 3), min_size=1, max_size=5))
    drawn = [draw(draw_candidate(n, seed)) for n, seeds in enumerate(sizes, 1) for seed in range(seeds)]
    if draw(st.booleans()):  # a complete study
        drawn = [outcome for outcome in drawn if outcome.benchmark] or drawn
    if draw(st.booleans()):
        drawn = draw(draw_race(st.just(drawn)))
    return read_rows(SweepResult(drawn, BASE, {}))[:2]


def check_plateau(rows):
    plateau, said = look_for_plateau(rows), describe_plateau(rows, 64).texts[0]
    assert "nan" not in said and "-0%" not in said
    trained = [row for row in rows if len(row.rewards) > 10 and not row.stopped and not row.dropped]
    assert said.startswith("Unknown") == (not trained)
    if not trained:
        return
    lines = [fit_last_quarter([pair for pair in row.rewards if pair[1] is not None]) for row in trained]
    gain, late = (sum(values) for values in zip(*lines, strict=True))
    share = re.search(r"(-?\d+)% \[(-?\d+)%, (-?\d+)%\] of the total reward gain came in the last quarter", said)
    assert bool(share) == (gain > 0) != ("the reward did not increase overall" in said)
    clear = re.search(r"; the reward of (.*) clearly still rose\.", said)
    if share:
        at, low, high = map(int, share.groups())
        assert low <= at <= high and at == pytest.approx(100 * late / gain, abs=1 + 0.1 * abs(100 * late / gain))
        assert not said.startswith("RL plateaued") or high <= 10
        assert not said.startswith("RL may not") or low <= 10 <= high
        assert not said.startswith("RL had not") or clear or low >= 10
    assert not said.startswith("RL plateaued") or gain > 0
    for name in clear[1].split(", ") if clear else ():
        assert plateau.rises[name].low > 0


def fit_last_quarter(series):
    """Returns the gain from the first reward to the end of the line through the last quarter, and the gain of that line."""
    last = series[-1][0]
    slope, offset = np.polyfit(*np.array([pair for pair in series if pair[0] > 0.75 * last]).T, 1)
    return slope * last + offset - series[0][1], slope * last / 4


def check_noise(rows):
    said = " ".join(describe_noise(rows, measure_noise(rows)))
    assert "nan" not in said
    groups = [setting.scores for setting in group_settings(rows) if setting.scores]
    excluded = re.search(r"Excluded .* Bonferroni\): (.*?\))\.", said)
    names = re.findall(r"(c\d+) \(", excluded[1]) if excluded else []
    groups = [s.scores for s in group_settings(rows) if s.scores and s.name not in names]
    scores, repeated = list(itertools.chain(*groups)), [group for group in groups if len(group) > 1]
    if "fewer than two candidates" in said:
        assert len(scores) < 2
        return
    if "no setting finished RL with more than one seed" in said:
        assert not repeated
        assert f"standard deviation of {stdev(scores):.4f}" in said
        return
    pooled = re.search(
        rf"score has a standard deviation of ({FIGURE}) \((?:.*?; (\d+) degrees?|.*?)[^)]*\), pooled over (\d+) setting", said
    )
    freedom = len(scores) - len(groups)
    squares = sum((score - fmean(group)) ** 2 for group in groups for score in group)
    assert int(pooled[3]) == len(repeated) and pooled[2] in (None, str(freedom))
    assert float(pooled[1]) == pytest.approx((squares / freedom) ** 0.5, abs=1e-4)
    assert ("interval 0.0000 to 0.0000" in said) is False
    tested = re.search(
        r"The spread between settings (is not shown|is) .*?for (\S+) \[(\S+), (\S+)\].*?F\((\d+), (\d+)\) = (\S+), p", said
    )
    assert bool(tested) == (len(groups) > 1 and squares > 1e-12)
    if tested:
        found = f_oneway(*groups)
        assert [int(tested[5]), int(tested[6])] == [len(groups) - 1, freedom]
        assert float(tested[7]) == pytest.approx(found.statistic, abs=0.06) and (tested[1] == "is") == (found.pvalue < 0.05)
        assert 0 <= float(tested[2]) <= 1 and float(tested[3]) <= float(tested[2]) <= float(tested[4])


def check_forecasts(rows):
    said = describe_forecasts(rows).texts[0]
    finished = [row for row in rows if row.score is not None]
    counted = [row for row in finished if not row.stopped]
    made = [row for row in counted if row.verdict.forecast.made]
    apart = re.search(r"Not counted: (\d+) candidates? whose RL ended early or had no signal\.", said)
    assert int(apart[1] if apart else 0) == len(finished) - len(counted)
    if "nothing to check" in said:
        assert not made
        return
    numbers = re.match(
        r"A forecast was logged before the RL result of (.*?)\. Inside the 95% prediction interval: (\d+) of (\d+), a share of"
        rf" ({FIGURE}) \(.*? interval ({FIGURE}) to ({FIGURE})\);"
        rf" the mean absolute error is ({FIGURE})\.",
        said,
    )
    held = [row for row in made if row.verdict.forecast.low <= row.score <= row.verdict.forecast.high]
    assert numbers.groups()[:3] == (count_of(len(made), len(counted), "candidate"), str(len(held)), str(len(made)))
    interval = binomtest(len(held), len(made)).proportion_ci(0.95, "exact")
    assert [float(n) for n in numbers.groups()[3:6]] == pytest.approx([len(held) / len(made), *interval], abs=6e-3)
    assert float(numbers[7]) == pytest.approx(fmean(abs(r.score - r.verdict.forecast.predicted) for r in made), abs=6e-4)
    outside = re.search(r"Outside: (.*?)\.", said)
    assert bool(outside) == (len(held) < len(made))


def check_policies(rows, base):
    section = describe_policies(rows, base, 64)
    said, alive = " ".join(section.texts), [row for row in rows if not row.failure]
    if ran := re.search(r"Unknown: RL ran for (?:(\d+|none) of (\d+) candidates|no candidate)\.", said):
        finished = sum(row.score is not None for row in rows)
        assert ran.groups() == ((str(finished or "none"), str(len(rows))) if len(rows) > 1 else (None, None))
        assert any(row.score is None for row in alive) and not any(row.dropped for row in alive)
        return
    if "the race dropped candidates" in said:
        assert any(row.dropped for row in alive)
        return
    if "fewer than two settings have a result" in said:
        assert len({row.setting for row in alive}) < 2
        return
    assert all(row.score is not None for row in alive)
    unknown = [row for row in alive if row.outcome.rl.seconds is None]
    assert ("Not all costs were recorded on one kind of device" in said) == bool(unknown)
    pools = {s.name: s for s in group_settings(alive)}
    scores = sorted((fmean(s.scores) for s in pools.values()), reverse=True)
    measures = {"SFT Pass@1": lambda row: row.sft_pass_at_1, "Pass@64": lambda row: row.pass_at_k}
    for most, label in re.findall(r"the best (\d+) by ([^,.]+)", said):
        measure = measures.get(label)
        if not measure:
            continue
        ranked = sorted(pools.values(), key=lambda s: -fmean(measure(row) for row in s.rows))
        cost = sum(fmean(r.outcome.rl.seconds for r in s.rows) for s in ranked[: int(most)]) if not unknown else int(most)
        whole = sum(fmean(r.outcome.rl.seconds for r in s.rows) for s in ranked) if not unknown else len(ranked)
        assert cost / whole <= 0.41
        # With ties the regret is an expectation, at least that of the best possible draw.
        last = fmean(measure(row) for row in ranked[int(most) - 1].rows)
        could = [s for s in ranked if fmean(measure(row) for row in s.rows) >= last - 1e-9]
        assert scores[0] - max(fmean(s.scores) for s in could) <= 0.01 + 1e-9
    for name, among, taken, cost, regret in section.table[1:]:
        assert 0 <= int(taken) <= int(among.split()[0])
        assert regret == "–" or float(regret.split()[0]) >= 0
        assert name != "RL for all" or (float(regret.split()[0]) == 0 and cost in ("100%", "–"))


@settings(max_examples=50, deadline=None, derandomize=True)
@given(draw_study())
def test_sentences_on_plateau_noise_forecasts_and_policies_are_true(study):
    rows, base = study
    check_plateau(rows)
    check_noise(rows)
    check_forecasts(rows)
    check_policies(rows, base)
