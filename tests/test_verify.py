"""Right and wrong answers from a table, and hostile ones within their limits."""

import time
from pathlib import Path

import pytest
import yaml

from rlready.components.core.verify import TIME_LIMIT, verify

CASES = yaml.safe_load((Path(__file__).parent / "cases" / "verify.yaml").read_text())


@pytest.mark.parametrize(("completion", "answer", "answer_format", "right"), CASES)
def test_verdict_on_an_answer(completion, answer, answer_format, right):
    assert verify(completion, answer, answer_format) is right


@pytest.mark.parametrize(
    "hostile",
    [
        "9^{9^{9^{9}}}",
        "(10^{9})!",
        "{" * 140 + "}" * 140,
        "\\frac{" * 40 + "1" + "}{2}" * 40,
        "\0" * 50,
        "x" * 1_000_000,
        "\\input{/etc/passwd}",
    ],
)
def test_hostile_answers_end_in_time_and_the_next_one_is_still_judged(hostile):
    verify("\\boxed{\\frac{1}{3}}", "\\frac{2}{6}", "boxed")  # starts the worker, which is not the answer's fault
    begun = time.monotonic()
    assert verify(f"\\boxed{{{hostile}}}", "\\sqrt{2}", "boxed") is False
    assert time.monotonic() - begun < TIME_LIMIT + 2
    assert verify("\\boxed{\\frac{1}{3}}", "\\frac{2}{6}", "boxed") is True
