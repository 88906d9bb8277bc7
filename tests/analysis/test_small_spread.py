"""Whether choosing matters: said as often as chance allows where all settings are alike, and not where they differ."""

import dataclasses

import numpy as np
import pytest
from helpers.kfp_server import rlready
from helpers.policies import BASE, make_row
from helpers.sweeps import make_sweep

from rlready.analysis.noise import describe_small_spread, measure_noise
from rlready.analysis.sweep_result import write_sweep
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


@pytest.mark.parametrize("alike", [True, False])
def test_calibration_says_so_before_rl(alike, tmp_path, monkeypatch, capsys):
    generator = np.random.default_rng(3)
    sweep = make_sweep(generator, 10)
    if alike:
        scores = generator.normal(0.5, 0.005, 10).tolist()
        outcomes = [
            dataclasses.replace(one, benchmark=dataclasses.replace(one.benchmark, pass_at_1=score))
            for one, score in zip(sweep.outcomes, scores, strict=True)
        ]
        sweep = dataclasses.replace(sweep, outcomes=outcomes)
    write_sweep(sweep, tmp_path / "outcomes.json")
    assert rlready(monkeypatch, "calibrate", str(tmp_path / "outcomes.json")) == 0
    assert ("Choosing hardly mattered: the results of 10 candidates" in capsys.readouterr().out) is alike
