"""The power simulation: its correlation, intervals and covariances against other ways to calculate them."""

import runpy

import numpy as np
import pytest
from helpers import ROOT

from rlready.stats.correlation import spearman

POWER = runpy.run_path(str(ROOT / "docs" / "study" / "power.py"))
simulate, parts = POWER["simulate"], POWER["estimate"]()


def test_the_candidates_are_those_of_the_first_study():
    found = POWER["read_candidates"](POWER["HERE"] / "study-report.md")
    assert len(found) == 11 and all(len(seeds) == 3 for seeds in found.values())
    assert np.mean([seed[3] for seed in found["random-1024x4"]]) == pytest.approx(0.686, abs=1e-3)
    means = np.array([np.mean(seeds, 0) for seeds in found.values()])
    assert spearman(means[:, 1], means[:, 3]) == pytest.approx(0.90)


def test_correlations_are_spearmans():
    studies = simulate(np.random.default_rng(0), parts, 3, 11, 2, 1, 64, True)
    found = POWER["measure_differences"](studies)
    for study, draw in np.ndindex(3, 2):
        one, at_k, _, after = studies[study, draw].T
        assert found[study, draw] == pytest.approx(spearman(at_k, after) - spearman(one, after))


def test_what_is_simulated_has_the_covariances_given():
    studies = simulate(np.random.default_rng(0), parts, 20_000, 1, 2, 3, 128, False)[:, :, 0]
    between = np.cov(studies[:, 0].T, studies[:, 1].T)[:4, 4:]
    assert np.allclose(between, parts.setting, atol=3e-4)
    assert np.allclose(np.cov(studies[:, 0].T), parts.setting + parts.draw / 2 + parts.seed / 3, atol=4e-4)


@pytest.mark.parametrize("difference", [0.0, 0.4])
def test_a_difference_that_is_set_is_there(difference):
    changed = POWER["set_difference"](parts, difference)
    studies = simulate(np.random.default_rng(0), changed, 60, 400, 1, 1, 64, True)
    assert POWER["measure_differences"](studies).mean() == pytest.approx(difference, abs=0.03)


def test_student_over_draws_covers_new_settings_only_if_each_draw_has_its_own():
    generator = np.random.default_rng(0)
    truth = POWER["measure_differences"](simulate(generator, parts, 20_000, 11, 1, 1, 64, True)).mean()
    covered = []
    for fresh in (True, False):
        differences = POWER["measure_differences"](simulate(generator, parts, 1500, 11, 8, 1, 64, fresh))
        centre, half = POWER["bound_by_draws"](differences)
        covered.append(np.mean(np.abs(centre - truth) <= half))
    assert 0.93 <= covered[0] <= 0.97 and covered[1] < 0.7
