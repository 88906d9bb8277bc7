"""What the samples show besides Pass@k, on samples written by hand; and the false positives, on wrong answers only."""

import numpy as np
import pytest

from rlready.evaluation import score
from rlready.evaluation.parts import list_rows
from rlready.evaluation.samples import write_part
from rlready.evaluation.score import (
    SampleTally,
    Scored,
    count_false_positives,
    count_samples,
    estimate_false_positives,
    find_control,
    share_unknown,
)
from rlready.evaluation.suite import score_benchmark
from rlready.records.outcome import FalsePositives
from rlready.sampling.engine import Completion, Draw, Engine, ignore_progress
from rlready.stats.intervals import bound_share
from rlready.verifier import Judgement, judge

PROBLEMS = [
    {"problem_id": "a", "question": "?", "answer": "abcd", "format": "word"},
    {"problem_id": "b", "question": "?", "answer": "dcba", "format": "word"},
]


class Written(Engine):
    """An engine whose completions a test has written."""

    name, precision = "written", "float32"

    def show(self, row):
        return row["question"]

    def sample(self, prompts, keys, draw, progress=ignore_progress):
        raise AssertionError("nothing is left to ask")


def make_scored(*texts, problems=PROBLEMS):
    completions = [[Completion(t, list(range(len(t))), t[-1] != "x", -0.5 * len(t)) for t in row] for row in texts]
    judgements = [
        [judge(c.text, problem["answer"], problem["format"]) for c in row]
        for problem, row in zip(problems, completions, strict=True)
    ]
    return Scored(completions, judgements, 0.5)


def make_tally(folder, *texts, problems=PROBLEMS):
    """Returns what samples come to that were written as a part and read again."""
    scored, part = make_scored(*texts, problems=problems), folder / "part.parquet"
    write_part(part, list_rows(Written(), problems, Draw(len(texts[0]), 99), scored), 2.0, scored.verifier_seconds)
    return count_samples([part], len(texts[0]))


def test_by_products_of_samples_written_by_hand(tmp_path):
    tally = make_tally(tmp_path, ["#abcd", "#abcd", "#aaaa", "Rx"], ["#bbbb", "#bbbb", "#bbbb", "#bbbb"])
    assert tally.correct == [2, 0] and tally.tokens == 37
    assert vars(tally.summarize()) == {
        "zero_variance": None,
        "entropy": pytest.approx(0.5),  # every token has probability exp(-1/2)
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


def test_what_cannot_be_judged_is_counted_and_nothing_measured_is_no_number(tmp_path):
    problems = [{"problem_id": "p", "question": "?", "answer": "[?!@", "format": "boxed"}]
    texts = ["\\boxed{[?!@}", "\\boxed{71}", "\\boxed{72}", "nothing"]
    tally = make_tally(tmp_path, texts, problems=problems)
    assert tally.correct == [1] and tally.summarize().verifier_unknown == 1 / 2
    assert share_unknown(tally, make_tally(tmp_path, ["nothing"], problems=problems)) == [1 / 2]
    nobody = make_tally(tmp_path, ["nothing"], problems=problems).summarize()
    assert nobody.verifier_disagreement is None  # no check calls anything right
    silent = SampleTally([[judge("", "1", "boxed")]]).summarize()
    assert silent.entropy is None and silent.mean_tokens == 0


def test_disagreement_is_a_share_of_what_the_first_check_calls_right(tmp_path):
    problems = [{"problem_id": "e", "question": "?", "answer": "1/2^{99}", "format": "boxed"}]
    texts = ["\\boxed{1/2^{99}}.", "\\boxed{1/2^{98}}.", "\\boxed{7}.", "nothing."]
    tally = make_tally(tmp_path, texts, problems=problems)
    assert tally.correct == [1]
    assert tally.summarize().verifier_disagreement == pytest.approx(1 / 2)


def test_an_answer_that_is_right_for_another_problem_is_right_by_accident():
    texts = ["#abcd", "#dcba", "#dcba"], ["#dcba", "#abcd", "#aaaa"]
    assert count_false_positives(texts, PROBLEMS) == {0: (2, 3), 1: (1, 3)}
    same = [PROBLEMS[0], PROBLEMS[1] | {"answer": "abcd"}]
    assert count_false_positives(texts, same) == {}


def test_a_sample_without_a_judgement_is_no_check(monkeypatch):
    rights = [True, None, False, None]
    monkeypatch.setattr(score, "judge_all", lambda rows: [Judgement(one, "x") for one, _ in zip(rights, rows, strict=False)])
    assert count_false_positives([["#x"] * 4, ["#x"]], PROBLEMS) == {0: (1, 2), 1: (1, 1)}


def test_problems_with_equal_answers_are_not_held_against_each_other():
    golds = ["\\frac12", "0.5", "3"]
    problems = [{"problem_id": g, "question": "?", "answer": g, "format": "boxed"} for g in golds]
    assert [find_control(problems, number)["answer"] for number in range(3)] == ["3", "3", "\\frac12"]
    texts = ["\\boxed{0.5}."], ["\\boxed{1/2}."], ["\\boxed{0.5}."]
    assert count_false_positives(texts, problems) == {0: (0, 1), 1: (0, 1), 2: (1, 1)}
    assert count_false_positives(texts[:2], problems[:2]) == {}


def test_one_subject_is_not_listed():
    rows = [{"problem_id": str(number), "subject": "even"} for number in range(4)]
    assert score_benchmark("b", rows, 0, [], [1, 0, 1, 0]).subjects == []
    rows[0]["subject"] = "odd"
    assert [entry[:3] for entry in score_benchmark("b", rows, 0, [], [1, 0, 1, 0]).subjects] == [
        ["even", 3, 1 / 3],
        ["odd", 1, 1],
    ]


def test_what_was_never_checked_is_unknown():
    assert estimate_false_positives({}) == FalsePositives(0, 0, None, None, None)


@pytest.mark.parametrize(("a", "b"), [(0.1, 5), (0.5, 20), (2, 2)])
def test_the_interval_of_the_false_positive_rate_covers_although_samples_of_a_problem_resemble_each_other(a, b):
    generator, studies, covered, naive = np.random.default_rng(0), 500, 0, 0
    for _ in range(studies):
        accepted = generator.binomial(16, generator.beta(a, b, 128)).tolist()
        found = estimate_false_positives({number: (count, 16) for number, count in enumerate(accepted)})
        assert (found.accepted, found.checked) == (sum(accepted), 128 * 16)
        covered += found.low <= a / (a + b) <= found.high
        low, high = bound_share(found.accepted, found.checked)
        naive += low <= a / (a + b) <= high
    assert covered / studies >= 0.93
    assert naive / studies < 0.9


def test_the_interval_of_the_false_positive_rate_is_over_groups_of_problems():
    generator, studies, groups = np.random.default_rng(1), 300, np.repeat(np.arange(17), 8)[:128].tolist()
    held = np.zeros(2)
    for _ in range(studies):
        accepted = generator.binomial(16, generator.beta(0.5, 2, 17)[groups])
        # The third problem has no control.
        counts = {number: (count, 16) for number, count in enumerate(accepted.tolist()) if number != 2}
        found = [estimate_false_positives(counts, known) for known in (groups, None)]
        held += [one.low <= 0.2 <= one.high for one in found]
    assert held[0] / studies >= 0.93 and held[1] / studies < 0.7
