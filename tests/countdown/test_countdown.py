"""Countdown: its solutions are right, its verifier agrees with one that calculates otherwise, and its noise is what it says."""

import itertools
import json
import random
from collections import Counter

import pytest

from rlready.countdown.problems import ALPHABET, check, draw_steps, extract, generate_rows, is_readable, write_solution
from rlready.verifier import judge

TASK = json.dumps({"numbers": [3, 5, 7, 2], "target": 21})


def list_rows(split, count=200, seed=3):
    return list(itertools.islice(generate_rows(split, seed), count))


def test_splits_have_no_question_in_common():
    questions = [{row["question"] for row in list_rows(split, 1500)} for split in ("sft", "rl", "evaluation")]
    assert not any(one & other for one, other in itertools.combinations(questions, 2))


def calculate(solution, numbers, target):
    """Whether a solution is right, by Python's own arithmetic on the text."""
    left = Counter(map(str, numbers))
    for step in solution.split(","):
        formula, _, result = step.partition("=")
        sign = next(sign for sign in "+-*" if sign in formula)
        for number in formula.split(sign):
            if not left[number]:
                return False
            left[number] -= 1
        if str(eval(formula)) != result:
            return False
        left[result] += 1
    return result == str(target)


@pytest.mark.parametrize("split", ["sft", "rl", "evaluation"])
def test_rows_are_problems_that_can_be_solved(split):
    rows = list_rows(split)
    assert len({row["question"] for row in rows}) == len(rows)
    assert rows == list_rows(split) != list_rows(split, seed=4)
    for row in rows:
        task = json.loads(row["answer"])
        assert row["question"] == f"{' '.join(map(str, task['numbers']))}>{task['target']}?" and is_readable(row["answer"])
        assert set(row["question"] + row.get("solution", "")) <= set(ALPHABET)
        assert split != "sft" or check(row["solution"], row["answer"])
        assert 1 <= task["target"] <= 99 and len(task["numbers"]) in ((2, 3, 4)[split != "sft" :])


def test_the_verifier_agrees_with_another_one():
    rng, seen = random.Random(0), Counter()
    for _ in range(3000):
        numbers = [rng.randint(1, 12) for _ in range(rng.randint(2, 5))]
        steps = draw_steps(rng, numbers, slip=0.2)
        target = steps[-1][-1] if rng.random() < 0.7 else 21
        solution = write_solution(steps)
        if rng.random() < 0.2:  # a step is left out
            solution = ",".join(solution.split(",")[1:]) or solution
        right = check(solution, json.dumps({"numbers": numbers, "target": target}))
        assert right == calculate(solution, numbers, target), (numbers, target, solution)
        seen[right] += 1
    assert min(seen.values()) > 500


@pytest.mark.parametrize(
    ("solution", "right"),
    [
        ("5+2=7,7*3=21", True),
        ("7*3=21", True),
        (" 3*7=21\n", True),
        ("7*3=21,5-2=3", False),  # ends elsewhere
        ("7*2=21", False),  # calculates wrongly
        ("7*3=21,5+16=21", False),  # 16 is not left
        ("3*3=9,9+12=21", False),  # 3 is there once
        ("7*3=21,", False),
        ("21", False),
        ("7*3=21 because", False),
        ("7*3=021", False),
        ("٧*3=21", False),
        ("", False),
    ],
)
def test_what_is_right(solution, right):
    assert judge(solution, TASK, "countdown-steps").right is right
    assert extract(solution) is None or check(extract(solution), TASK) is right


@pytest.mark.parametrize("reference", ["21", "{}", '{"numbers": [1, 2]}', '{"numbers": ["1"], "target": 1}', "[", "null"])
def test_references_that_are_no_task(reference):
    assert not is_readable(reference)
