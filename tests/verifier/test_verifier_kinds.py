"""Right and wrong answers by kind: a table, pairs that are equal or different by construction, and what is unknown."""

import os
import signal
import threading
import time

import pytest
import yaml
from helpers import CASES
from helpers.answer_pairs import make_pairs
from helpers.confirmed import is_confirmed

from rlready.verifier import (
    Judgement,
    clean_reference,
    describe_reference,
    extract_boxed,
    judge,
    measure_disagreement,
    measure_trouble,
    verify,
)
from rlready.verifier.formats import boxed
from rlready.verifier.formats.extract import extract_letter
from rlready.verifier.processes import workers

FOLDER = CASES
KINDS = [yaml.safe_load((FOLDER / f"verifier_{name}.yaml").read_text()) for name in ("kinds", "siblings", "written")]
CASES = [
    (case["gold"], answer, case.get("format", "boxed"), right)
    for kinds in KINDS
    for cases in kinds.values()
    for case in cases
    for key, right in (("right", True), ("wrong", False))
    for answer in case.get(key, [])
]


@pytest.fixture(autouse=True)
def no_memory():
    boxed._compare.cache_clear()
    boxed.timeouts.clear()


@pytest.mark.parametrize(("reference", "answer", "form", "right"), CASES)
def test_answers_by_kind(reference, answer, form, right):
    whole = "\\boxed" in answer or form == "letter"
    assert verify(answer if whole else f"\\boxed{{{answer}}}", reference, form) is right


def test_answers_equal_or_different_by_construction():
    pairs = make_pairs(seed=20, rounds=3)
    judged = [(*pair, is_confirmed(pair[2], clean_reference(pair[1]))) for pair in pairs]
    assert [pair for pair in judged if pair[4] and not pair[3]] == []
    lost = [pair for pair in judged if pair[3] and not pair[4]]
    assert len(lost) < 0.05 * sum(pair[3] for pair in pairs), lost


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        ("so \\boxed\n{42}", "42"),
        ("\\boxed{1}, \\boxed{2} and \\boxed{3}", "1, 2, 3"),
        ("$\\boxed{k=4}$ \\quad and \\quad $\\boxed{n=2}$.", "k=4, n=2"),
        ("\\boxed{5}, or \\boxed{5}", "5"),
        ("\\boxed{2} or \\boxed{3}", "2, 3"),
        ("\\boxed{2}. No, \\boxed{3}", "3"),
        ("\\boxed{2}\n\n\\boxed{3}", "3"),
        ("\\boxed{x=\\boxed{7}}", "x={7}"),
        ("\\boxed{a=\\boxed{4}, b=\\boxed{5}}", "a={4}, b={5}"),
    ],
)
def test_boxes_that_are_joined_are_a_list_and_others_are_not(completion, answer):
    assert extract_boxed(completion) == answer


LETTERS = yaml.safe_load((FOLDER / "letters.yaml").read_text())


@pytest.mark.parametrize(("letter", "completion"), [(a, text) for a, texts in LETTERS.items() for text in texts])
def test_the_letter_of_a_completion(letter, completion):
    assert extract_letter(completion) == letter


def test_references_are_described_by_how_answers_are_compared_with_them():
    described = {
        "value": [
            "72",
            "\\frac{x}{2}",
            "(1,2)",
            "\\(\\boxed{77}\\)",
            "\\[ a>b \\]",
            "5\\text{ cm}",
            "\\frac{1}{2^{15}",
            "\\emptyset",
        ],
        "words": ["\\text{Monday}", "even"],
        "text": ["Petya will always receive the very last token", "\\int_0^1 x\\,dx"],
        None: ["", " ", "{", "x" * 301],
    }
    for kind, references in described.items():
        assert {reference: describe_reference(reference, "boxed") for reference in references} == dict.fromkeys(
            references, kind
        )
    assert describe_reference("B", "letter") == "words" and describe_reference("(B)", "letter") is None


@pytest.mark.parametrize(
    ("reference", "cleaned"),
    [
        ("$x$", "x"),
        ("\\[ x \\]", "x"),
        ("$x$, $y$", "$x$, $y$"),
        ("\\boxed{6}", "6"),
        ("$\\boxed{ \\frac12} .$", "\\frac12"),
    ],
)
def test_references_are_cleaned(reference, cleaned):
    assert clean_reference(reference) == cleaned


def test_a_stall_of_the_machine_does_not_count_against_an_answer(monkeypatch):
    monkeypatch.setattr(workers, "TIME_LIMIT", 0.5)
    assert verify("\\boxed{\\sqrt{8}}", "2\\sqrt{2}", "boxed")
    worker = workers.find_pool(workers.MATHEMATICS, "the verifier").idle[-1].process.pid
    os.kill(worker, signal.SIGSTOP)
    threading.Timer(1.5, os.kill, (worker, signal.SIGCONT)).start()
    assert verify("\\boxed{\\sqrt{18}}", "3\\sqrt{2}", "boxed") is True


def test_a_process_that_dies_is_replaced_once_and_after_two_deaths_the_judgement_is_unknown_for_a_while(monkeypatch):
    asked, ask, deaths = [], workers.ask, 0

    def die(kind, found, reference):
        asked.append(found)
        return None if len(asked) <= deaths else ask(kind, found, reference)

    monkeypatch.setattr(workers, "ask", die)
    for how_often, right in ((1, True), (2, None)):
        asked.clear()
        deaths = how_often
        boxed._compare.cache_clear()
        judgement = judge("\\boxed{\\sqrt{8}}", "2\\sqrt{2}", "boxed")
        assert judgement == Judgement(right, "\\sqrt{8}", None if right else "timeout")
    assert judge("\\boxed{\\sqrt{8}}", "2\\sqrt{2}", "boxed").right is None and len(asked) == 2  # not long ago
    monkeypatch.setattr(workers, "FORGOTTEN_AFTER", 0.0)
    assert verify("\\boxed{\\sqrt{8}}", "2\\sqrt{2}", "boxed") is True


def test_an_answer_that_computes_too_long_is_unknown_in_time_and_ends_nothing(monkeypatch):
    monkeypatch.setattr(workers, "TIME_LIMIT", 0.05)
    begun = time.monotonic()
    slow = "\\sum_{k=1}^{400} \\sum_{j=1}^{4} \\sin(kj) \\cdot (k+\\sqrt{2})^{j+\\pi}"
    assert judge(f"\\boxed{{{slow}}}", "\\sqrt{2}", "boxed") == Judgement(None, slow, "timeout")
    assert time.monotonic() - begun < 20
    monkeypatch.setattr(workers, "TIME_LIMIT", 2.0)
    assert verify("\\boxed{\\sqrt{8}}", "2\\sqrt{2}", "boxed") is True


def test_an_unreadable_answer_is_wrong_and_an_unreadable_reference_unknown_and_both_are_counted():
    references = ["72", "72", "[?!@", "[?!@", "\\sqrt2"]
    answers = ["?!@", "71", "72", "[?!@", "\\sqrt{2}"]
    judged = [judge(f"\\boxed{{{answer}}}", reference, "boxed") for answer, reference in zip(answers, references, strict=True)]
    assert [judgement.right for judgement in judged] == [False, False, None, True, True]
    shares = {"verifier_timeouts": 0.0, "verifier_unreadable": 2 / 5, "verifier_faulty": 0.0, "verifier_unknown": 1 / 5}
    assert measure_trouble(judged) == pytest.approx(shares)
    assert measure_trouble([]) == dict.fromkeys(shares)


def test_math_verify_checks_a_sample_of_the_refused_answers_and_the_result_is_extrapolated(monkeypatch):
    asked = []

    def ask(kind, found, reference):
        asked.append(found)
        return kind == "math-verify" and found.startswith("x")

    monkeypatch.setattr(workers, "ask", ask)
    refused = [Judgement(False, f"{'xy'[number % 2]}+{number}", None, "z") for number in range(1000)]
    refused += [Judgement(False, "3", None, "4"), Judgement(False, None), Judgement(None, "x", "timeout", "z")]
    right = [Judgement(True, "z", None, "z")] * 500
    share = measure_disagreement(refused * 3 + right)
    assert len(asked) == len(set(asked)) == 128
    assert share == pytest.approx(1500 / 2000, abs=0.1)
    assert measure_disagreement([]) is measure_disagreement([Judgement(False, "3", None, "4")]) is None
