"""Forecasts: intervals that cover although seeds of one setting belong together, or the words insufficient data."""

import math

import numpy as np
import pytest
from helpers.populations import draw_settings
from scipy import stats

from rlready.records.verdicts import GateNumbers, Verdict
from rlready.stages.gate import forecast
from rlready.stats.forecast import MIN_SETTINGS, estimate_addition, predict_known_setting, predict_new_setting
from rlready.tracking.find import Finished


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
        f"random-256x{setting}-s{seed}": Finished((0.5 + setting / 10, None, None), 0.3 + setting / 10 + seed / 100, seed == 0)
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
        f"random-256x{setting}-s{seed}": Finished((0.1 * setting, None, None), score, False, True)
        for setting, scores in enumerate([[0.6, 0.61, 0.6], [0.55, 0.13, 0.53], *([[0.62, 0.6, 0.63]] * 6)])
        for seed, score in enumerate(scores)
    }
    monkeypatch.setattr(forecast, "find_finished", lambda *_: finished)
    numbers = GateNumbers(k=64, pass_at_k=40.0)
    (found,) = forecast.forecast([Verdict(name, "approved", True, "", numbers=numbers)], "one")
    assert 0 <= found.low <= found.predicted <= found.high <= 1 and found.high - found.low == 1


def test_two_predictors_give_the_interval_of_the_textbook():
    generator = np.random.default_rng(3)
    x, at = generator.normal(size=(12, 2)), [0.3, -1.2]
    y = x @ [0.5, -0.2] + 0.1 * generator.normal(size=12)
    design, row = np.column_stack([np.ones(12), x]), np.array([1, *at])
    beta, left, *_ = np.linalg.lstsq(design, y, rcond=None)
    spread = math.sqrt(left[0] / 9 * (1 + row @ np.linalg.inv(design.T @ design) @ row))
    half = 2.262157 * spread  # Student's t with 9 degrees of freedom
    assert predict_new_setting(x, y, range(12), at) == pytest.approx((row @ beta, row @ beta - half, row @ beta + half))
    assert predict_new_setting(np.column_stack([x[:, 0], x[:, 0]]), y, range(12), at) is None  # nothing tells them apart


def draw_study(generator, weight, settings=13, seeds=3):
    """Returns (x, more, y, settings); y rests on x, and on the other as much as `weight` says."""
    members = np.repeat(np.arange(settings), seeds)
    x, more = (generator.uniform(size=settings)[members] + 0.02 * generator.normal(size=len(members)) for _ in range(2))
    beyond = 0.03 * generator.normal(size=settings)[members] + 0.02 * generator.normal(size=len(members))
    return x, more, 0.3 * x + weight * more + beyond, members.tolist()


def test_a_predictor_that_says_nothing_is_seldom_taken_and_one_that_does_mostly():
    generator = np.random.default_rng(4)
    taken = {
        weight: np.mean([estimate_addition(*draw_study(generator, weight)).better for _ in range(200)]) for weight in (0.0, 0.4)
    }
    assert taken[0.0] <= 0.05 and taken[0.4] >= 0.9
    assert estimate_addition(*draw_study(generator, 0.4, settings=7)) is None


@pytest.mark.parametrize(
    ("weight", "subset", "taken", "tried"),
    [
        (0.4, "random", "pass_at_64 and pass_at_1", {"pass_at_1", "generalization_loss"}),
        (0.0, "random", "pass_at_64", {"pass_at_1", "generalization_loss"}),
        (0.4, "longest", "pass_at_64 and pass_at_1", {"pass_at_1"}),  # its losses are not comparable
    ],
)
def test_the_gate_takes_a_second_predictor_where_it_surely_tells_more(monkeypatch, weight, subset, taken, tried):
    x, more, y, settings = draw_study(np.random.default_rng(5), weight)
    noise = np.random.default_rng(6).uniform(size=len(y))
    finished = {
        f"{subset}-256x{setting}-s{number}": Finished(
            (x[number], more[number], noise[number]), y[number], False, subset == "random"
        )
        for number, setting in enumerate(settings)
    }
    asked = []
    monkeypatch.setattr(forecast, "find_finished", lambda _, names, score: asked.append(names) or finished)
    numbers = GateNumbers(k=64, pass_at_1=0.5, pass_at_k=0.5, generalization_loss=0.5)
    name = f"{subset}-256x99-s0"
    verdicts, comparable = [Verdict(name, "approved", True, "", numbers=numbers)], {name} if subset == "random" else ()
    (found,) = forecast.forecast(verdicts, "one", comparable)
    assert asked == [["sft/pass_at_64", "sft/pass_at_1", "sft/generalization_loss"]]
    assert found.predictor == taken and {name for name, *_ in found.tried} == tried
    assert found.low < 0.15 + weight / 2 < found.high
    for name, without, with_it in found.tried:
        assert (with_it < without) == (f" and {name}" in taken)


@pytest.mark.parametrize("comparable", [True, False])
@pytest.mark.parametrize("finished_compare", [True, False])
def test_a_loss_joins_where_the_candidates_say_that_it_compares_whatever_they_are_called(
    monkeypatch, comparable, finished_compare
):
    x, more, y, settings = draw_study(np.random.default_rng(5), 0.4)
    finished = {
        f"random-looking-{setting}-s{number}": Finished((x[number], None, more[number]), y[number], False, finished_compare)
        for number, setting in enumerate(settings)
    }
    monkeypatch.setattr(forecast, "find_finished", lambda *_: finished)
    numbers = GateNumbers(k=64, pass_at_1=0.5, pass_at_k=0.5, generalization_loss=0.5)
    verdicts = [Verdict("mine", "approved", True, "", numbers=numbers)]
    (found,) = forecast.forecast(verdicts, "one", {"mine"} if comparable else ())
    assert ("generalization_loss" in found.predictor) == (comparable and finished_compare)
