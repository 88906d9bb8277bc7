"""Correlations, intervals and splits: equal to independent computations, and covering as often as they say."""

import math

import numpy as np
import pytest
from helpers.populations import cover_r_squared
from scipy import stats

from rlready.errors import InputError
from rlready.stats.correlation import (
    adjust_r_squared,
    bound_r_squared,
    r_squared,
    rank,
    resample_spearman,
    spearman,
    split_r_squared,
)
from rlready.stats.intervals import MIN_POINTS, bootstrap, bound_drawn_share, bound_mean, bound_share, draw_clusters
from rlready.stats.regression import predict_new_setting
from rlready.stats.variation import analyse_variance, bound_deviation, find_scattered, pool_deviation


@pytest.fixture
def points():
    generator = np.random.default_rng(1)
    x = generator.normal(size=(20, 2)).round(1)  # rounded, so that some tie
    return x, (x @ [1.0, -0.5] + generator.normal(size=20)).round(1)


def test_ranks_and_correlations_equal_scipys(points):
    x, y = points
    assert rank(x[:, 0]).tolist() == stats.rankdata(x[:, 0]).tolist()
    assert spearman(x[:, 0], y) == pytest.approx(stats.spearmanr(x[:, 0], y).statistic)
    assert r_squared(x[:, 0], y) == pytest.approx(stats.linregress(x[:, 0], y).rvalue ** 2)


def test_r_squared_of_two_variables_equals_that_of_a_solved_system(points):
    x, y = points
    design = np.column_stack([x, np.ones(len(y))])
    left = ((y - design @ np.linalg.lstsq(design, y)[0]) ** 2).sum()
    assert r_squared(x, y) == pytest.approx(1 - left / ((y - y.mean()) ** 2).sum())
    twice = np.column_stack([x[:, 0], 1000 * x[:, 0]])
    assert r_squared(twice, y) == pytest.approx(r_squared(x[:, 0], y))


@pytest.mark.parametrize(("x", "y"), [([], []), ([1, 2], [1, 2]), ([1, 1, 1], [1, 2, 3]), ([1, 2, 3], [2, 2, 2])], ids=str)
def test_what_is_undefined_is_none(x, y):
    assert spearman(x, y) is None
    assert r_squared(x, y) is None
    assert predict_new_setting(x, y, range(len(x)), 1.0) is None
    assert split_r_squared(x, y, range(len(x))) is None


def test_values_that_differ_by_rounding_only_are_correlated_with_nothing():
    alike, other = [0.3, 0.1 + 0.2] * 5, range(10)
    for x, y in ((alike, other), (other, alike)):
        assert spearman(x, y) is r_squared(x, y) is predict_new_setting(x, y, range(10), 1.0) is None


def test_a_fit_that_any_points_would_have_is_no_fit():
    assert r_squared([[1, 2], [2, 1], [3, 5]], [1, 2, 4]) is None


def test_a_weighted_sample_is_the_sample_with_its_copies(points):
    x, y = points
    weights = draw_clusters(range(20), draws=30)
    correlations = resample_spearman(x[:, 0], y, weights)
    for weight, correlation in zip(weights.astype(int), correlations, strict=True):
        copies_x, copies_y = np.repeat(x, weight, axis=0), np.repeat(y, weight)
        assert correlation == pytest.approx(stats.spearmanr(copies_x[:, 0], copies_y).statistic)


@pytest.mark.parametrize("share", [0.0, 0.6])
@pytest.mark.parametrize(("points", "variables"), [(8, 2), (17, 1)])
def test_the_interval_of_r_squared_covers_and_holds_0_of_noise(points, variables, share):
    held, begun = cover_r_squared(points, variables, share)
    assert 0.925 <= held <= 0.995 and (share or begun <= 0.045)


def test_the_interval_of_r_squared_of_one_variable_is_that_of_the_correlation():
    for found, points in ((0.3, 30), (0.8, 200), (0.98, 60)):
        low, high = np.tanh(math.atanh(math.sqrt(found)) + np.array([-1, 1]) * 1.96 / math.sqrt(points - 3))  # Fisher's
        assert bound_r_squared(found, points, 1) == pytest.approx((low**2, high**2), abs=0.02)
    low, high = bound_r_squared(1.0, 8, 1)
    assert 0.99 < low < high <= 1 and bound_r_squared(0.0, 8, 1) == (0.0, 0.0)
    assert adjust_r_squared(0.5, 11, 1) == pytest.approx(1 - 0.5 * 10 / 9) and adjust_r_squared(0.01, 11, 1) == 0.0
    assert adjust_r_squared(0.9, 3, 2) is None


def test_a_cluster_is_drawn_whole():
    weights = draw_clusters(["a", "b", "a", "c", "b", "a"])
    assert (weights[:, 0] == weights[:, 2]).all() and (weights[:, 0] == weights[:, 5]).all()
    assert (weights[:, 1] == weights[:, 4]).all()
    assert set(weights[:, [0, 1, 3]].sum(1)) == {3}


def test_the_bootstrap_of_a_mean_is_as_wide_as_theory_says():
    values = np.random.default_rng(2).normal(size=200)
    low, high = bootstrap(lambda w: (w * values).sum(1) / w.sum(1), range(200))
    assert high - low == pytest.approx(2 * 1.96 * values.std() / math.sqrt(200), rel=0.1)


def test_too_few_clusters_or_draws_that_all_agree_give_no_interval():
    x = np.arange(3.0 * MIN_POINTS)
    assert bootstrap(lambda w: resample_spearman(x, x, w), range(len(x))) is None
    few = [i // 4 for i in range(len(x))]
    assert len(set(few)) < MIN_POINTS
    assert bootstrap(lambda w: resample_spearman(x, np.sin(x), w), few) is None


@pytest.mark.parametrize("points", [MIN_POINTS, 20])
@pytest.mark.parametrize("rho", [0.0, 0.8])
def test_the_interval_of_spearman_covers(points, rho):
    generator, covered = np.random.default_rng(3), []
    truth = 6 / math.pi * math.asin(rho / 2)  # of a bivariate normal distribution
    for _ in range(200):
        x, y = generator.multivariate_normal([0, 0], [[1, rho], [rho, 1]], points).T
        interval = bootstrap(lambda w, x=x, y=y: resample_spearman(x, y, w), range(points))
        if interval:  # none where the order is perfect
            covered.append(interval[0] <= truth <= interval[1])
    assert len(covered) > 190
    assert np.mean(covered) > 0.9


def test_drawing_settings_covers_where_drawing_seeds_does_not():
    generator, studies = np.random.default_rng(4), 150
    settings, seeds, rho = 13, 3, 0.6
    truth = 6 / math.pi * math.asin(rho * 0.95 / 2)
    covered = {"settings": 0, "seeds": 0}
    for _ in range(studies):
        means = generator.multivariate_normal([0, 0], [[1, rho], [rho, 1]], settings).repeat(seeds, axis=0)
        x, y = (math.sqrt(0.95) * means + math.sqrt(0.05) * generator.normal(size=means.shape)).T
        for name, clusters in (("settings", np.arange(39) // seeds), ("seeds", np.arange(39))):
            low, high = bootstrap(lambda w, x=x, y=y: resample_spearman(x, y, w), clusters.tolist())
            covered[name] += low <= truth <= high
    assert covered["settings"] / studies > 0.9
    assert covered["seeds"] / studies < covered["settings"] / studies - 0.05


def test_splits_agree_with_splits_drawn_otherwise(points):
    x, y = points
    generator, scores = np.random.default_rng(5), []
    for _ in range(1000):
        order = generator.permutation(20)
        fitted, scored = order[:10], order[10:]
        line = stats.linregress(x[fitted, 0], y[fitted])
        left = y[scored] - line.slope * x[scored, 0] - line.intercept
        scores.append(1 - (left**2).sum() / ((y[scored] - y[scored].mean()) ** 2).sum())
    mean, deviation = split_r_squared(x[:, 0], y, range(20), splits=1000)
    assert mean == pytest.approx(np.mean(scores), abs=4 * np.std(scores) / math.sqrt(1000))
    assert deviation == pytest.approx(np.std(scores), rel=0.4)


def test_a_plane_without_noise_is_found_again_on_the_other_half(points):
    x, _ = points
    assert split_r_squared(x, x @ [2.0, 1.0], range(20)) == pytest.approx((1, 0), abs=1e-6)


def test_noise_tells_less_than_the_mean():
    generator = np.random.default_rng(6)
    assert split_r_squared(generator.normal(size=20), generator.normal(size=20), range(20))[0] < 0


def test_seeds_of_a_setting_do_not_leak_into_the_half_that_is_scored():
    # Eight settings, two of them off the line of the others: with a leak every fitted half would know both.
    x = np.arange(8.0).repeat(3)
    y = np.where(x > 5, 10.0, x)
    whole, apart = (split_r_squared(x, y, clusters) for clusters in ((x.tolist()), range(24)))
    assert whole[0] < apart[0]


def test_the_prediction_interval_is_that_of_the_textbook(points):
    x, y = points[0][:, 0], points[1]
    line, at = stats.linregress(x, y), 1.7
    variance = ((y - line.slope * x - line.intercept) ** 2).sum() / 18
    spread = math.sqrt(variance * (1 + 1 / 20) + (line.stderr * (at - x.mean())) ** 2)
    middle, half = line.slope * at + line.intercept, stats.t.ppf(0.975, 18) * spread
    assert predict_new_setting(x, y, range(20), at) == pytest.approx((middle, middle - half, middle + half))
    few = MIN_POINTS - 1
    assert predict_new_setting(x[:few], y[:few], range(few), at) is None


@pytest.mark.parametrize("points", [MIN_POINTS, 20])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_the_prediction_interval_covers(points, level):
    generator, studies = np.random.default_rng(7), 2000
    covered = 0
    for _ in range(studies):
        x = generator.uniform(size=points + 1)
        y = 0.1 + 0.3 * x + 0.05 * generator.normal(size=points + 1)
        _, low, high = predict_new_setting(x[:-1], y[:-1], range(points), x[-1], level)
        covered += low <= y[-1] <= high
    assert covered / studies == pytest.approx(level, abs=4 * math.sqrt(level * (1 - level) / studies))


@pytest.mark.parametrize(("hits", "trials"), [(0, 5), (3, 9), (9, 9), (1, 1)])
def test_the_interval_of_a_share_equals_scipys(hits, trials):
    expected = stats.binomtest(hits, trials).proportion_ci(method="exact")
    assert bound_share(hits, trials) == pytest.approx(tuple(expected))


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_the_interval_of_a_share_equals_the_beta_distributions(level):
    for trials in (1, 2, 7, 100, 5000):
        for hits in {0, 1, trials // 3, trials - 1, trials}:
            tail = (1 - level) / 2
            exact_low = stats.beta.ppf(tail, hits, trials - hits + 1) if hits else 0
            exact_high = stats.beta.ppf(1 - tail, hits + 1, trials - hits) if hits < trials else 1
            assert bound_share(hits, trials, level) == pytest.approx((exact_low, exact_high), abs=1e-10)


@pytest.mark.parametrize(("hits", "trials"), [(2, 1), (-1, 4), (0, 0), (0.5, 2)])
def test_a_share_needs_counts(hits, trials):
    with pytest.raises(InputError, match="a share needs"):
        bound_share(hits, trials)


@pytest.mark.parametrize(("drawn", "population"), [(1, 3), (3, 10), (5, 6), (10, 10), (20, 60)])
def test_the_interval_of_a_drawn_share_covers_whatever_the_truth(drawn, population):
    intervals = {hits: bound_drawn_share(hits, drawn, population) for hits in range(drawn + 1)}
    for truth in range(population + 1):
        covered = sum(
            stats.hypergeom.pmf(hits, population, truth, drawn)
            for hits, (low, high) in intervals.items()
            if low <= truth / population <= high
        )
        assert covered >= 0.95
    if drawn == population:
        assert all(low == high == hits / population for hits, (low, high) in intervals.items())


def test_analysis_of_variance_equals_scipys():
    groups = [[0.3, 0.32, 0.35], [0.4, 0.41], [0.2, 0.26, 0.21, 0.22], [0.5]]
    found = analyse_variance(groups)
    expected = stats.f_oneway(*groups)
    assert (found.f, found.p) == pytest.approx((expected.statistic, expected.pvalue))
    squares = sum(((np.array(group) - np.mean(group)) ** 2).sum() for group in groups)
    assert found.freedom == 6
    assert found.deviation == pytest.approx(math.sqrt(squares / 6))


@pytest.mark.parametrize("groups", [[], [[1.0, 2.0]], [[1.0], [2.0]], [[1.0, 1.0], [2.0, 2.0]], [[], [1.0, 2.0]]], ids=str)
def test_without_repetitions_or_groups_there_is_no_analysis(groups):
    assert analyse_variance(groups) is None


@pytest.mark.parametrize(
    ("groups", "freedom", "level", "critical"),
    [(3, 2, 0.95, 0.8709), (10, 2, 0.95, 0.4450), (5, 9, 0.95, 0.4241), (20, 4, 0.95, 0.1921), (10, 2, 0.99, 0.5358)],
)
def test_a_group_scatters_from_cochrans_published_share_of_the_variances_on(groups, freedom, level, critical):
    """Critical values from the tables of Eisenhart, Hastay and Wallis (1947)."""
    pattern = np.random.default_rng(1).normal(size=freedom + 1)
    pattern = (pattern - pattern.mean()) / pattern.std(ddof=1)  # variance 1

    def judge(share):
        ratio = math.sqrt(share * (groups - 1) / (1 - share))
        return find_scattered([ratio * pattern, *([pattern] * (groups - 1))], level)

    assert judge(critical + 0.002) == [0] and judge(critical - 0.002) == []


def test_groups_that_scatter_alike_seldom_lose_one():
    draw = np.random.default_rng(4)
    assert 0.004 <= np.mean([bool(find_scattered(draw.normal(size=(17, 3)))) for _ in range(4000)]) <= 0.012


def test_all_that_scatter_more_are_found_and_those_that_never_differ_say_nothing():
    quiet = [[number, number + 0.1, number - 0.1] for number in range(9)]
    assert find_scattered([[0, 0, 0], *quiet, [0, 9, 4], [0, 0.1], [5], [], [1, 70, 20]]) == [10, 14]
    assert find_scattered([[0.0, 0.0], [0.0, 0.0], [0.1, 0.3]]) == [] == find_scattered([])


def test_values_that_differ_by_rounding_only_do_not_scatter():
    alike = [[0.1 + 0.2, 0.3], [0.6, 0.2 + 0.4], [0.5, 0.5]]
    assert pool_deviation(alike) == (0.0, 3) and analyse_variance(alike) is None
    assert find_scattered([*alike, [0.1, 0.2], [0.7, 0.8], [0.3, 0.4]]) == []
    assert bound_mean(alike[0]) is None


def test_nothing_repeated_has_no_deviation():
    assert pool_deviation([[1.0], [], [2.0]]) is None


@pytest.mark.parametrize("share", [0.0, 0.7])
def test_intervals_of_the_analysis_of_variance_cover(share):
    generator, studies = np.random.default_rng(8), 1000
    covered = np.zeros(2)
    for _ in range(studies):
        groups = math.sqrt(share) * generator.normal(size=(8, 1)) + math.sqrt(1 - share) * generator.normal(size=(8, 3))
        found = analyse_variance(groups)
        bounds = found.share_interval, bound_deviation(found.deviation, found.freedom)
        covered += [low <= truth <= high for (low, high), truth in zip(bounds, (share, math.sqrt(1 - share)), strict=True)]
    assert covered / studies == pytest.approx(0.95, abs=0.03)
