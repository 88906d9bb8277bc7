"""Validation during RL: GRPO is the same with it and without, and the kept step is the latest that is not clearly worse."""

import numpy as np
import pytest
from helpers.training import curate_few

from rlready.config import parse_parameters, read_settings, write_settings
from rlready.config.experiment import list_validated_steps
from rlready.errors import InputError
from rlready.models.load import BUILTIN, digest_weights
from rlready.records.outcome import Candidate, RlRecord, ValidationRecord
from rlready.records.serialization import from_json, to_json
from rlready.stages.rl import stage
from rlready.stages.rl.stopping import explain_collapse, explain_convergence
from rlready.stages.rl.validation import choose_step, explain_last, make_point
from rlready.stats.steps import Steps

SMALL = {"rl_prompts_per_step": 4, "rl_num_generations": 8, "sampling_max_tokens": 40, "rl_learning_rate": 1e-3}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return curate_few(tmp_path_factory.mktemp("data") / "data", 32)


def train(data, out, seed=0, **parameters):
    settings = read_settings(write_settings(parse_parameters(SMALL | parameters), "rl"))
    model = BUILTIN["builtin:list-machine"]
    return stage.train(Candidate("c", 1, "random", 8, 1e-3, seed), settings, data, str(model), out)


def test_rl_is_the_same_to_the_bit_with_and_without_validation(data, tmp_path, monkeypatch):
    monkeypatch.delenv("RLREADY_CHECKPOINTS", raising=False)
    without = train(data, tmp_path / "without", rl_steps=4, rl_eval_steps=0)
    validated = train(data, tmp_path / "with", rl_steps=4, rl_eval_steps=2, rl_keep="best")
    assert validated.rewards == without.rewards and len({reward for _, reward in without.rewards}) > 1
    assert without.validation is None and without.kept_step == 4
    found = validated.validation
    assert [point.step for point in found.points] == [0, 2, 4] and len(found.problem_ids) == len(found.points[0].correct) == 2
    assert found.tokens > 0 and 0 < found.seconds < validated.seconds
    if validated.kept_step == 4:
        assert digest_weights(tmp_path / "with") == digest_weights(tmp_path / "without")
    assert from_json(RlRecord, to_json(validated)) == validated
    # Candidates and steps share random numbers: another one with the same seed starts with the same samples.
    assert train(data, tmp_path / "again", rl_steps=1, rl_eval_steps=1).validation.points[0] == found.points[0]


def make_record(*correct, samples=4, unknown=None):
    """Returns a record of these right samples of each problem, at the steps 0, 10, 20..."""
    unknown = unknown or [[0] * len(counts) for counts in correct]
    pairs = zip(correct, unknown, strict=True)
    points = [make_point(10 * n, list(counts), missing, samples) for n, (counts, missing) in enumerate(pairs)]
    return ValidationRecord(points, samples, len(points), [])


LOW, MIDDLE, HIGH = [1] * 32, [2] * 32, [3] * 32
SLIGHTLY = [3] * 31 + [2]


@pytest.mark.parametrize(
    ("correct", "step", "said"),
    [
        ((LOW, MIDDLE, HIGH), 20, "step 20, the best in validation (Pass@1 0.750)"),
        ((LOW, HIGH, SLIGHTLY), 20, "not clearly worse in validation than the best, step 10 (Pass@1 0.742 and 0.750)"),
        ((LOW, HIGH, MIDDLE), 10, "step 10, the best in validation (Pass@1 0.750); all later ones are clearly worse"),
        ((LOW, HIGH, SLIGHTLY, LOW), 20, "all later ones are clearly worse"),
        ((HIGH, LOW, LOW), 0, "step 0, the best"),
        ((LOW,), 0, "step 0, the best"),
    ],
)
def test_the_latest_step_that_is_not_clearly_worse_than_the_best_is_kept(correct, step, said):
    chosen, why = choose_step(make_record(*correct))
    assert chosen == step and said in why


@pytest.mark.parametrize(
    ("steps", "every", "race", "validated"),
    [(100, 50, 0, [0, 50, 100]), (100, 50, 30, [0, 30, 50, 100]), (100, 50, 50, [0, 50, 100]), (100, 0, 30, [])],
)
def test_a_race_adds_a_validation_of_its_own(steps, every, race, validated):
    given = parse_parameters({"rl_steps": steps, "rl_eval_steps": every, "race_steps": race})
    assert list_validated_steps(given) == validated
    assert list_validated_steps(read_settings(write_settings(given, "rl"))) == validated


def test_samples_without_a_verdict_make_no_step_clearly_worse():
    unknown = [[0] * 32, [0] * 32, [2] * 32]
    assert choose_step(make_record(LOW, HIGH, LOW, unknown=unknown))[0] == 20
    assert choose_step(make_record(LOW, HIGH, LOW))[0] == 10


def test_the_weights_of_one_step_are_enough_to_keep():
    rng = np.random.default_rng(0)
    for _ in range(300):
        planned = rng.integers(2, 9)
        right = rng.binomial(4, rng.uniform(0.1, 0.9, (planned, 1)), (planned, 24))
        kept = []
        for end in range(1, planned + 1):
            chosen = Steps.of(right[:end], 0 * right[:end], 4, planned).choose_latest()
            assert chosen == end - 1 or chosen == kept[-1]
            kept.append(chosen)


def test_keeping_the_last_step_says_that_an_earlier_one_was_better():
    assert explain_last(make_record(LOW, HIGH)) == "the last step (rl_keep: last)"
    assert "although clearly worse in validation than step 0 (Pass@1 0.250 and 0.750)" in explain_last(make_record(HIGH, LOW))
    assert explain_last(ValidationRecord()) == "the last step (rl_keep: last)"


def make_history(entropies, lengths):
    """Returns a log of ten steps with each of these values."""
    pairs = [pair for pair in zip(entropies, lengths, strict=True) for _ in range(10)]
    return [
        {"step": n, "frac_reward_zero_std": 0.1, "reward": 0.5, "entropy": entropy, "completions/mean_length": length}
        for n, (entropy, length) in enumerate(pairs, 1)
    ]


@pytest.mark.parametrize(
    ("correct", "entropies", "lengths", "said"),
    [
        ((LOW, HIGH, LOW), (0.5, 0.1), (20, 20), "and the mean entropy went from 0.5 to 0.1"),
        ((LOW, HIGH, LOW), (0.5, 2.0), (20, 20), "entropy"),
        ((LOW, HIGH, LOW), (0.5, 0.4), (20, 60), "completion length went from 20 to 60"),
        ((LOW, HIGH, LOW), (0.5, 0.4), (20, 30), None),  # a fall alone
        ((LOW, HIGH, HIGH), (0.5, 0.1), (20, 60), None),  # nothing fell
        ((LOW, HIGH, SLIGHTLY), (0.5, 0.1), (20, 60), None),  # not clearly
        ((HIGH, LOW), (0.1,), (60,), None),  # nothing to compare the first steps with
        ((LOW, HIGH, LOW), (None, None), (None, None), None),
    ],
)
def test_a_collapse_is_a_clear_fall_with_entropy_or_length_far_from_what_it_was(correct, entropies, lengths, said):
    found = explain_collapse(make_record(*correct), make_history(entropies, lengths))
    assert (found is None) == (said is None) and (said or "") in (found or "")
    assert found is None or found.startswith("collapse: validation Pass@1 fell from 0.750 at step 10 to 0.250, and")


@pytest.mark.parametrize(
    ("correct", "patience", "since"),
    [
        ((LOW, HIGH, HIGH, HIGH), 20, 10),
        ((LOW, HIGH, HIGH, HIGH), 30, None),  # it gained since the start
        ((LOW, HIGH, HIGH, HIGH), 40, None),  # too early
        ((LOW, MIDDLE, HIGH), 10, None),
        ((LOW, HIGH, SLIGHTLY), 10, 10),
        ((LOW, LOW, LOW), 0, None),  # off
    ],
)
def test_rl_has_converged_if_no_later_step_is_clearly_better(correct, patience, since):
    found = explain_convergence(make_record(*correct), patience)
    assert found == (None if since is None else f"converged: no clear gain in validation Pass@1 since step {since}")


def test_one_problem_too_few_is_an_error():
    with pytest.raises(InputError):
        make_point(0, [], [], 4)
