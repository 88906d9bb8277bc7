"""Forecasts: intervals that cover although seeds of one setting belong together, or the words insufficient data."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.policies import make_row
from helpers.populations import draw_settings
from helpers.races import validate
from scipy import stats

from rlready.analysis import forecast
from rlready.records.outcome import Candidate, Outcome
from rlready.records.verdicts import GateNumbers, Verdict
from rlready.stats.regression import MIN_SETTINGS, predict_known_setting, predict_new_setting
from rlready.tracking.runs import Finished


@pytest.mark.parametrize("sizes", [[3] * 13, [3] * 5, [2] * 6, [1, 1, 1, 2, 2, 3, 3, 5]], ids=str)
@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_the_prediction_for_a_new_setting_covers_however_seeds_resemble_each_other(sizes, share):
    generator, studies, covered = np.random.default_rng(9), 1500, 0
    for _ in range(studies):
        x, y, settings = draw_settings(generator, sizes, share, known=False)
        _, low, high = predict_new_setting(x[:-1], y[:-1], settings[:-1], x[-1])
        covered += low <= y[-1] <= high
    assert 0.93 <= covered / studies <= 0.97


@pytest.mark.parametrize("sizes", [[3] * 3, [4] * 2, [2] * 4], ids=str)
def test_settings_that_are_too_few_for_a_line_are_told_by_their_own_seeds_only(sizes):
    generator, studies, covered = np.random.default_rng(10), 1500, 0
    assert len(sizes) < MIN_SETTINGS
    for _ in range(studies):
        x, y, settings = draw_settings(generator, sizes, 0.9, known=True)
        assert predict_new_setting(x[:-1], y[:-1], settings[:-1], x[-1]) is None
        _, low, high = predict_known_setting(y[:-1], settings[:-1], settings[-1])
        covered += low <= y[-1] <= high
    assert 0.93 <= covered / studies <= 0.97


def test_a_setting_that_scatters_widens_its_own_interval_and_nobody_elses():
    """One run of it collapsed, as shortest-256x4 did in the study."""
    settings = np.repeat(np.arange(6), 3)
    y = 0.5 + 0.02 * settings + np.tile([-0.01, 0.0, 0.01], 6)
    calm = predict_known_setting(y, settings, 2)
    y[0] = 0.1
    predicted, low, high = predict_known_setting(y, settings, 0)
    assert predicted == pytest.approx(np.mean(y[:3])) and (low, high) == pytest.approx(
        predicted + np.array([-1, 1]) * stats.t.ppf(0.975, 2) * np.std(y[:3], ddof=1) * math.sqrt(4 / 3)
    )
    _, low, high = predict_known_setting(y, settings, 2)
    assert high - low == pytest.approx((calm[2] - calm[1]) * stats.t.ppf(0.975, 10) / stats.t.ppf(0.975, 12))


def test_what_cannot_show_its_scatter_is_not_predicted():
    x = np.arange(8.0)
    assert predict_new_setting(x, 2 * x, range(8), 3.0) is None  # a perfect fit
    assert predict_known_setting(x, range(8), 3) is None  # nothing is repeated
    assert predict_known_setting(x, [0, 0, 1, 1, 2, 2, 3, 3], 4) is None  # the setting has no point


def test_the_gate_tells_seeds_of_a_finished_setting_by_it_and_makes_no_line_of_two_settings(monkeypatch):
    finished = {
        f"random-256x{setting}-s{seed}": Finished(0.5 + setting / 10, 0.3 + setting / 10 + seed / 100, seed == 0)
        for setting in range(2)
        for seed in range(4)
    }
    monkeypatch.setattr(forecast, "find_finished", lambda *_: finished)
    names = ("random-256x1-s4", "random-256x2-s0", "random-256x1-s0")
    numbers = GateNumbers(k=64, pass_at_k=0.55)
    known, new, old = forecast.forecast([Verdict(name, "approved", True, "", numbers=numbers) for name in names], "one")
    assert known.elsewhere == 2
    assert known.predicted == pytest.approx(0.415) and known.low < 0.4 < 0.43 < known.high and known.points == 8
    assert new.reason == "insufficient data: 2 finished settings, 5 needed" and not new.made
    assert old.reason == "an earlier run has its result already"


@pytest.mark.parametrize("name", ["random-256x1-s9", "random-256x9-s0"])
def test_a_forecast_stays_where_a_pass_at_1_can_be(monkeypatch, name):
    """One of three seeds collapsed: Student's interval of its setting would reach from -0.8 to 1.6."""
    finished = {
        f"random-256x{setting}-s{seed}": Finished(0.1 * setting, score)
        for setting, scores in enumerate([[0.6, 0.61, 0.6], [0.55, 0.13, 0.53], *([[0.62, 0.6, 0.63]] * 6)])
        for seed, score in enumerate(scores)
    }
    monkeypatch.setattr(forecast, "find_finished", lambda *_: finished)
    numbers = GateNumbers(k=64, pass_at_k=40.0)
    (found,) = forecast.forecast([Verdict(name, "approved", True, "", numbers=numbers)], "one")
    assert 0 <= found.low <= found.predicted <= found.high <= 1 and found.high - found.low == 1


@pytest.mark.parametrize(("sizes", "most"), [([1] * 30, 0.5), ([1] * 30, 1.0), ([2] * 16, 0.5), ([3] * 10, 0.7)])
@pytest.mark.parametrize("share", [0.0, 0.6, 1.0])
def test_the_forecast_at_a_race_covers_although_only_the_best_there_have_finished(monkeypatch, sizes, most, share):
    """Settings finish whose validation at the race is among the highest; a new one that is not outside gets a forecast."""
    generator, covered, made, studies = np.random.default_rng(12), 0, 0, 1200
    for _ in range(studies):
        x, y, settings = draw_settings(generator, sizes, share, known=False)
        names = [f"c{setting}-s{number}" for number, setting in enumerate(settings)]
        last = np.quantile(x[:-1], 1 - most)
        known = {n: Finished(float(a), float(b)) for n, a, b in zip(names[:-1], x[:-1], y[:-1], strict=True) if a >= last}
        monkeypatch.setattr(forecast, "find_finished", lambda *_, known=known: known)
        monkeypatch.setattr(forecast, "find_runner", lambda *_, at=x[-1]: SimpleNamespace(pass_at_1=float(at)))
        (found,) = forecast.forecast_race([Outcome(Candidate(names[-1], 1, "random", 8, 1e-3, 0))], 50, "one")
        made += found.made
        covered += found.made and found.low <= y[-1] <= found.high
        assert found.made or "insufficient data: no finished run was as low" in found.reason
    assert made > 0.3 * studies and 0.93 <= covered / made <= 0.98


@pytest.mark.parametrize(("at", "made"), [(0.05, False), (0.1, True), (0.8, True), (0.85, False)])
def test_the_line_at_a_race_ends_where_the_finished_runs_do(monkeypatch, at, made):
    known = {f"c{number}": Finished(number / 10, number / 20 + number % 2 / 50) for number in range(1, 9)}
    monkeypatch.setattr(forecast, "find_finished", lambda *_: known)
    monkeypatch.setattr(forecast, "find_runner", lambda *_: SimpleNamespace(pass_at_1=at))
    (found,) = forecast.forecast_race([Outcome(Candidate("new", 1, "random", 8, 1e-3, 0))], 50, "one")
    assert found.made == made and ("no finished run was as low, or none as high" in found.reason) != made


def test_a_race_without_enough_finished_runs_says_so(monkeypatch):
    few = {f"c{number}": Finished(number / 10, number / 10) for number in range(7)}
    monkeypatch.setattr(forecast, "find_finished", lambda experiment, k, step: few if (experiment, step) == ("one", 50) else {})
    new = make_row(0, "random", 0.1, 0.5, 0.4, 0.3, 0.5, 100.0, True)
    new = validate(new.outcome, {0: [1] * 60, 50: [2] * 60, 100: [2] * 60})
    outcomes = [new, replace(new, rl=replace(new.rl, stopped="no signal"))]
    reasons = [found.reason for found in forecast.forecast_race(outcomes, 50, "one")]
    assert reasons == ["insufficient data: 7 finished runs, 8 needed", "its RL has ended"]
