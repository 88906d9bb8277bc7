"""The id of a problem: the same where copies look different, another wherever the question may be another."""

import random

import hypothesis
import hypothesis.strategies as st
import pytest
import yaml
from helpers import CASES

from rlready.data.identity import identify

CASES = yaml.safe_load((CASES / "identity.yaml").read_text())


@pytest.mark.parametrize(("one", "other"), CASES["same"])
def test_copies_that_look_different_are_one_problem(one, other):
    assert identify(one) == identify(other)


@pytest.mark.parametrize(("one", "other"), CASES["different"])
def test_what_may_change_the_question_tells_problems_apart(one, other):
    assert identify(one) != identify(other)


def test_a_thousand_sums_have_a_thousand_ids():
    rng = random.Random(0)
    asked = {f"What is {rng.randint(-99, 99)} {rng.choice('+-*/^')} {rng.choice((3, 1.5, 0.15))}?" for _ in range(1500)}
    assert len({identify(question) for question in asked}) == len(asked) > 900


@hypothesis.given(st.text(st.sampled_from("aB12 .,-+$\\{}'\"é\ud83d")))
def test_any_text_has_an_id_and_blanks_around_it_change_nothing(text):
    assert len(identify(text)) == 16 and identify(f"\n {text}  ") == identify(text)
