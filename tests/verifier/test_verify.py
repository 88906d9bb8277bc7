"""Right and wrong answers from a table, hostile ones within their limits, and the processes behind them."""

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path

import pytest
import yaml
from helpers import CASES
from helpers.confirmed import is_confirmed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rlready.errors import InputError
from rlready.verifier import Judgement, is_readable, judge, verify
from rlready.verifier.equivalence.evaluator import Evaluator
from rlready.verifier.equivalence.parser import parse
from rlready.verifier.equivalence.tokens import tokenize
from rlready.verifier.formats import boxed
from rlready.verifier.formats.extract import extract_boxed
from rlready.verifier.processes import workers
from rlready.verifier.processes.workers import TIME_LIMIT

FOLDER = CASES
CASES = yaml.safe_load((FOLDER / "verify.yaml").read_text())
HOSTILE = yaml.safe_load((FOLDER / "verify_hostile.yaml").read_text())
SLACK = 4  # seconds for a busy machine, and for another worker to start


def start_worker():
    assert verify("\\boxed{\\sqrt{8}}", "2\\sqrt{2}", "boxed")


def forget():
    boxed._compare.cache_clear()
    boxed.timeouts.clear()


@pytest.fixture(autouse=True)
def no_memory():
    forget()


@pytest.mark.parametrize(("completion", "answer", "answer_format", "right"), CASES)
def test_judgement_of_an_answer(completion, answer, answer_format, right):
    assert verify(completion, answer, answer_format) is right


@pytest.mark.parametrize("case", HOSTILE, ids=lambda case: case["name"])
def test_a_hostile_answer_is_not_right_in_time_and_the_next_one_is_still_judged(case, monkeypatch):
    monkeypatch.setattr(workers, "TIME_LIMIT", 0.5)
    times = case.get("times", 1)
    start_worker()
    begun = time.monotonic()
    assert verify(f"\\boxed{{{case['text'] * times + case.get('then', '') * times}}}", "\\sqrt{2}", "boxed") is not True
    assert time.monotonic() - begun < workers.TIME_LIMIT + SLACK
    forget()
    start_worker()


@pytest.mark.parametrize("answer_format", ["word", "boxed", "letter", "exact"])
def test_a_lone_surrogate_is_wrong_in_every_format(answer_format):
    for text in ("\ud800", "#\udfff", "\\boxed{\ud800+x}", "\\boxed{\ud800", "\udc00 B\ud800"):
        assert verify(text, "x", answer_format) is False
        assert verify(text, "x\ud801", answer_format) is not True


PIECES_OF_LATEX = r"""
\frac{1}{2} \frac \sqrt{ \sqrt[3] \boxed{ \text{ \left( \right) \pm \cup \begin{pmatrix} \end{pmatrix} \\ \circ \infty \pi
\sin \log_ \in \% { } ( ) [ ] \{ \} | ^ _ + - * / = < \le , : ! x y i e 12 0 3.5 . $ & # ' cm or"""
PIECES = st.sampled_from([*PIECES_OF_LATEX.split(), " ", "\n", "\0"])
LATEX = st.lists(PIECES, max_size=14).map("".join) | st.text(max_size=40)


def test_no_text_raises_or_takes_longer_than_the_limit_and_the_next_one_is_still_judged():
    @settings(max_examples=120, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(LATEX, LATEX)
    def check(found, reference):
        begun = time.monotonic()
        for answer_format in ("word", "boxed", "letter"):
            assert isinstance(judge(f"\\boxed{{{found}}}", reference, answer_format), Judgement)
        assert time.monotonic() - begun < TIME_LIMIT + SLACK

    check()
    start_worker()


@settings(max_examples=600, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(LATEX, LATEX)
def test_the_exact_check_reads_any_text_and_is_symmetric(found, reference):
    assert is_confirmed(found, reference) is is_confirmed(reference, found)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(LATEX)
def test_an_answer_that_is_extracted_whole_equals_itself(text):
    if (extract_boxed(f"\\boxed{{{text}}}") or "").strip() == text.strip() != "":
        assert is_readable(text, "boxed")


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.fractions(max_denominator=10**6), st.fractions(max_denominator=10**6))
def test_fractions_are_equal_exactly_when_they_are(a, b):
    for left, right in ((a, b), (a, a), (a, a + 1)):
        written = f"\\boxed{{\\frac{{{left.numerator}}}{{{left.denominator}}}}}"
        assert verify(written, str(right), "boxed") is (left == right)


LEAVES = st.integers(0, 12).map(lambda number: (Fraction(number), str(number), 4))


def combine(children):
    """Returns expressions of two others as (value, LaTeX, how tightly it binds), with brackets where they are needed."""

    def bracket(part, tightest):
        return part[1] if part[2] >= tightest else f"\\left({part[1]}\\right)"

    def build(operation, a, b):
        if operation in "+-":
            sum_ = a[0] + b[0] if operation == "+" else a[0] - b[0]
            return sum_, bracket(a, 1) + operation + bracket(b, 2), 1
        if operation in ("\\cdot ", "\\times ", "*"):
            return a[0] * b[0], bracket(a, 2) + operation + bracket(b, 3), 2
        if operation == "()":
            return a[0] * b[0], f"({a[1]})({b[1]})", 2
        if operation == "^":
            return a[0] ** 3, bracket(a, 4) + "^{3}", 3
        if b[0] == 0:
            return a
        if operation == "/":
            return a[0] / b[0], bracket(a, 2) + "/" + bracket(b, 3), 2
        return a[0] / b[0], f"\\frac{{{a[1]}}}{{{b[1]}}}", 4

    return st.builds(build, st.sampled_from(["+", "-", "\\cdot ", "\\times ", "*", "()", "^", "/", "frac"]), children, children)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.recursive(LEAVES, combine, max_leaves=8))
def test_the_exact_check_computes_arithmetic(expression):
    value, latex, _ = expression
    assert Evaluator(50, {}).evaluate(parse(tokenize(latex))) == value


def test_a_judgement_holds_the_answer_and_what_went_wrong():
    assert judge("so \\boxed{ 72 }", "72.0", "boxed") == Judgement(True, "72", None)
    assert judge("no answer", "72", "boxed") == Judgement(False, None, None)
    assert judge("\\boxed{?!@}", "72", "boxed") == Judgement(False, "?!@", "unreadable")
    assert judge("\\boxed{72}", "[?!@", "boxed") == Judgement(None, "72", "unreadable")
    assert judge("\\boxed{I do not know}", "72", "boxed") == Judgement(False, "I do not know", None)


def test_an_unknown_format_is_named():
    with pytest.raises(InputError, match="'essay' is not one of word, boxed, letter"):
        judge("1", "1", "essay")


def test_unreadable_references_are_recognised():
    readable = {"boxed": ["72", "\\frac{1}{2}", "\\text{Monday}"], "word": ["abc"], "letter": ["A", "J"]}
    unreadable = {"boxed": ["", " ", "{", "x" * 301], "word": ["", "a#b"], "letter": ["", "a", "K", "AB"]}
    for references, expected in ((readable, True), (unreadable, False)):
        for answer_format, answers in references.items():
            assert [is_readable(answer, answer_format) for answer in answers] == [expected] * len(answers)


def test_threads_judge_in_parallel_and_each_gets_its_own_judgement():
    judged = {}

    def work(number):
        for step in range(8):
            judged[number, step] = verify(f"\\boxed{{\\sqrt{{{number}}}}}", f"\\sqrt{{{number + step % 2}}}", "boxed")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2, 8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert judged == {(number, step): step % 2 == 0 for number in range(2, 8) for step in range(8)}


def judge_in_child(_):
    return [verify(f"\\boxed{{\\sqrt{{{n}}}}}", f"\\sqrt{{{4 * n}}}/2", "boxed") for n in range(2, 8)]


def test_forks_of_a_process_with_a_worker_get_their_own():
    start_worker()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(judge_in_child, range(2)) == [[True] * 6] * 2
    start_worker()


def test_a_worker_that_died_is_replaced_and_leaves_no_zombie():
    start_worker()
    dead = workers.find_pool(workers.MATHEMATICS, "the verifier").idle[-1].process.pid
    os.kill(dead, 9)
    time.sleep(0.2)
    forget()
    start_worker()
    assert not Path(f"/proc/{dead}").exists()


def test_a_worker_ends_with_its_parent_even_while_it_works():
    code = (
        "import os, threading, time\n"
        "from rlready.verifier import verify\nfrom rlready.verifier.processes import workers\n"
        "verify('\\\\boxed{\\\\sqrt{8}}', '2\\\\sqrt{2}', 'boxed')\n"
        "print(workers.find_pool(workers.MATHEMATICS, 'the verifier').idle[0].process.pid, flush=True)\n"
        "threading.Thread(target=verify, args=('\\\\boxed{9^{9^{9^{9}}}}', 'x', 'boxed')).start()\n"
        "time.sleep(0.3); os._exit(1)\n"
    )
    worker = int(subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE).stdout)
    deadline = time.monotonic() + TIME_LIMIT + SLACK
    while time.monotonic() < deadline and Path(f"/proc/{worker}").exists():
        if "\nState:\tZ" in Path(f"/proc/{worker}/status").read_text():
            break
        time.sleep(0.1)
    else:
        assert not Path(f"/proc/{worker}").exists()


def test_a_worker_that_cannot_start_is_an_error_and_no_wrong_answer(monkeypatch):
    monkeypatch.setattr(workers, "_pools", {})
    monkeypatch.setattr(workers.sys, "executable", "/bin/false")
    with pytest.raises(InputError, match="does not start"):
        verify("\\boxed{\\sqrt{8}}", "2\\sqrt{2}", "boxed")
