"""Whether choosing matters: said as often as chance allows where all settings are alike, and not where they differ."""

import numpy as np
import pytest
from helpers.policies import BASE, make_row

from rlready.analysis.noise import describe_small_spread, measure_noise
from rlready.stages.report.headline import tell_result


def make_rows(generator, between, seeds, size=8):
    rows = []
    for number in range(size):
        level = generator.normal(0, between)
        for seed in range(seeds):
            score = float(np.clip(0.5 + level + generator.normal(0, 0.01), 0, 1))
            rows.append(make_row(number, "random", 0.1, 0.5, 0.4, 0.3, score, 100.0, True, seed))
    return sorted(rows, key=lambda row: -row.score)


@pytest.mark.parametrize("seeds", [1, 3])
def test_it_is_said_where_settings_are_alike_and_not_where_they_differ(seeds):
    generator = np.random.default_rng(0)
    for between, least, most in ((0.0, 0.9, 1.0), (0.05, 0.0, 0.02)):
        runs = [make_rows(generator, between, seeds) for _ in range(100)]
        said = np.mean([bool(describe_small_spread(rows, measure_noise(rows))) for rows in runs])
        assert least <= said <= most


def test_it_is_the_first_sentence_of_a_report():
    generator = np.random.default_rng(1)
    alike, apart = make_rows(generator, 0.0, 3), make_rows(generator, 0.1, 3)
    assert next(tell_result(alike, BASE, 64)).startswith("Choosing hardly mattered: the results of 8 settings spread no more")
    assert next(tell_result(apart, BASE, 64)).startswith("random-")
    one_seed = make_rows(generator, 0.0, 1)
    assert "8 candidates spread no more than the noise; best minus worst: 0.0" in next(tell_result(one_seed, BASE, 64))


def test_two_candidates_are_too_few():
    rows = make_rows(np.random.default_rng(2), 0.0, 3, size=2)
    assert describe_small_spread(rows, measure_noise(rows)) == []
