"""What the samples show besides Pass@k, on samples written by hand; and the false positives, on wrong answers only."""

import numpy as np
import pytest

from rlready.components.core.estimators.intervals import bound_share
from rlready.components.core.evaluation.score import (
    Scored,
    count_false_positives,
    estimate_false_positives,
    find_stranger,
)
from rlready.components.core.records import FalsePositives
from rlready.components.core.sampling.engine import Completion
from rlready.components.core.verifier import judge

PROBLEMS = [
    {"problem_id": "a", "question": "?", "answer": "abcd", "format": "word"},
    {"problem_id": "b", "question": "?", "answer": "dcba", "format": "word"},
]


def make_scored(*texts, problems=PROBLEMS):
    completions = [[Completion(t, list(range(len(t))), t[-1] != "x", -0.5 * len(t)) for t in row] for row in texts]
    judgements = [
        [judge(c.text, problem["answer"], problem["format"]) for c in row]
        for problem, row in zip(problems, completions, strict=True)
    ]
    return Scored(completions, judgements, 0.5)


def test_by_products_of_samples_written_by_hand():
    scored = make_scored(["#abcd", "#abcd", "#aaaa", "Rx"], ["#bbbb", "#bbbb", "#bbbb", "#bbbb"])
    assert scored.correct == [2, 0] and scored.tokens == 37
    assert scored.summarize() == {
        "entropy": pytest.approx(0.5),  # every token has probability exp(-1/2)
        "zero_variance": 0.5,  # of the second problem every sample is wrong
        "diversity": pytest.approx((2 / 4 + 1 / 4) / 2),
        "mean_tokens": pytest.approx(37 / 8),
        "truncated": pytest.approx(1 / 8),
        "unreadable": pytest.approx(1 / 8),
        "verifier_disagreement": None,
        "verifier_timeouts": 0.0,
        "verifier_unreadable": 0.0,
        "verifier_unknown": 0.0,
        "verifier_faulty": 0.0,
        "verifier_checks": 1,  # the text is compared as it is
        "verdicts_per_second": pytest.approx(16.0),
    }


def test_what_cannot_be_judged_is_counted_and_nothing_measured_is_no_number():
    problems = [{"problem_id": "p", "question": "?", "answer": "[?!@", "format": "boxed"}]
    scored = make_scored(["\\boxed{[?!@}", "\\boxed{71}", "\\boxed{72}", "nothing"], problems=problems)
    assert scored.correct == [1] and scored.unknown == scored.summarize()["verifier_unknown"] == 1 / 2
    nobody = make_scored(["nothing"], problems=problems)
    assert nobody.summarize()["verifier_disagreement"] is None  # no check calls anything right
    silent = Scored([[Completion("", [], True, 0.0)]], [[judge("", "1", "boxed")]], 0.5)
    assert silent.summarize()["entropy"] is None and silent.summarize()["mean_tokens"] == 0


def test_disagreement_is_a_share_of_what_the_first_check_calls_right():
    problems = [{"problem_id": "e", "question": "?", "answer": "1/2^{99}", "format": "boxed"}]
    scored = make_scored(["\\boxed{1/2^{99}}.", "\\boxed{1/2^{98}}.", "\\boxed{7}.", "nothing."], problems=problems)
    assert scored.correct == [1]
    assert scored.summarize()["verifier_disagreement"] == pytest.approx(1 / 2)


def test_an_answer_that_is_right_for_another_problem_is_right_by_accident():
    scored = make_scored(["#abcd", "#dcba", "#dcba"], ["#dcba", "#abcd", "#aaaa"])
    assert count_false_positives(scored, PROBLEMS) == [(2, 3), (1, 3)]
    same = [PROBLEMS[0], PROBLEMS[1] | {"answer": "abcd"}]
    assert count_false_positives(scored, same) == []


def test_problems_with_equal_answers_are_not_held_against_each_other():
    golds = ["\\frac12", "0.5", "3"]
    problems = [{"problem_id": g, "question": "?", "answer": g, "format": "boxed"} for g in golds]
    assert [find_stranger(problems, number)["answer"] for number in range(3)] == ["3", "3", "\\frac12"]
    scored = make_scored(["\\boxed{0.5}."], ["\\boxed{1/2}."], ["\\boxed{0.5}."], problems=problems)
    assert count_false_positives(scored, problems) == [(0, 1), (0, 1), (1, 1)]
    halves = make_scored(["\\boxed{0.5}."], ["\\boxed{1/2}."], problems=problems[:2])
    assert count_false_positives(halves, problems[:2]) == []


def test_what_was_never_checked_is_unknown():
    assert estimate_false_positives([]) == FalsePositives(0, 0, None, None, None)


@pytest.mark.parametrize(("a", "b"), [(0.1, 5), (0.5, 20), (2, 2)])
def test_the_interval_of_the_false_positive_rate_covers_although_samples_of_a_problem_resemble_each_other(a, b):
    generator, studies, covered, naive = np.random.default_rng(0), 500, 0, 0
    for _ in range(studies):
        accepted = generator.binomial(16, generator.beta(a, b, 128)).tolist()
        found = estimate_false_positives([(count, 16) for count in accepted])
        assert (found.accepted, found.checked) == (sum(accepted), 128 * 16)
        covered += found.low <= a / (a + b) <= found.high
        low, high = bound_share(found.accepted, found.checked)
        naive += low <= a / (a + b) <= high
    assert covered / studies >= 0.93
    assert naive / studies < 0.9
