"""Pairs of settings that RL turned, against simulated studies in which it is known which."""

import numpy as np
import pytest
from helpers.outcomes import make_outcome

from rlready.analysis.comparison import read_rows
from rlready.analysis.quality import find_reversals
from rlready.analysis.sweep_result import SweepResult
from rlready.stages.report.predictor_sections import describe_reversals


def make_study(before, after, noise, seed=0, seeds=3, collapsed=None):
    draw = np.random.default_rng(seed)
    outcomes = []
    for number, (sft, rl) in enumerate(zip(before, after, strict=True)):
        for repetition in range(seeds):
            pass_at_1, score = (value + noise * draw.normal() for value in (sft, rl))
            name = f"random-{2**number}-s{repetition}"
            score = 0.1 if name == collapsed else score
            outcomes.append(make_outcome("random", 2**number, pass_at_1, 0.7, 0.6, score, name, seed=repetition))
    return read_rows(SweepResult(outcomes, None, {}))[0]


def test_a_pair_that_turns_far_beyond_the_noise_is_found():
    turned = find_reversals(make_study([0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.7, 0.55], 0.005))
    found = turned.pairs
    assert turned.looked == 6 and not turned.scattered
    assert [(pair.ahead, pair.behind) for pair in found] == [("random-8", "random-4"), ("random-8", "random-2")]
    assert found[0].lead == pytest.approx(0.1, abs=0.02) and found[0].loss == pytest.approx(0.15, abs=0.02)


@pytest.mark.parametrize(
    ("before", "after"),
    [([0.2] * 8, [0.5] * 8), ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8], [0.5] * 8), ([0.2] * 8, np.arange(8) / 10)],
)
def test_noise_turns_a_pair_in_at_most_5_of_100_studies(before, after):
    false = [bool(find_reversals(make_study(before, after, 0.03, seed)).pairs) for seed in range(300)]
    assert np.mean(false) <= 0.05


def test_a_setting_that_scatters_does_not_hide_the_pairs_of_the_others():
    """One run of the first setting collapsed, as shortest-256x4 did in the study: pooled, its noise is everybody's."""
    rows = make_study([0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.7, 0.55], 0.005, collapsed="random-1-s1")
    turned = find_reversals(rows)
    assert turned.scattered == ["random-1"] and turned.looked == 3
    assert [(pair.ahead, pair.behind) for pair in turned.pairs] == [("random-8", "random-4"), ("random-8", "random-2")]
    said = describe_reversals(rows).texts
    assert said == [
        "Beyond the noise between seeds, 2 of 3 pairs swapped ranks.",
        "Excluded, because their seeds scatter more: random-1.",
    ]


def test_without_repetitions_nothing_is_claimed():
    rows = make_study([0.1, 0.2], [0.6, 0.5], 0.0, seeds=1)
    assert find_reversals(rows) is None
    assert "The noise between seeds is unknown" in describe_reversals(rows).texts[0]
    alone = make_study([0.1], [0.6], 0.01, seeds=2)
    assert describe_reversals(alone).texts[0].startswith("Fewer than two settings")
