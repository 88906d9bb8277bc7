"""Problems, solutions, noise and verifier of Countdown: reach a number with others, each used at most once.

The problem `3 5 7 2>21?` means: make 21 of 3, 5, 7 and 2. A solution is a list of steps, `5+2=7,7*3=21`; each replaces two
numbers by their sum, difference or product, and the last result is the target. Many solutions are right, so the verifier
follows the steps. The module is a plug-in like those of other packages.
"""

import json
import operator
import random
import re
import zlib
from collections.abc import Iterator

OPERATIONS = {"+": operator.add, "-": operator.sub, "*": operator.mul}
SPLITS = ("sft", "rl", "evaluation")
GREATEST = 99  # of all numbers; the least is 1
ALPHABET = "0123456789 >?=," + "".join(OPERATIONS)
STEP = re.compile(r"([1-9]\d?)([+*-])([1-9]\d?)=([1-9]\d?)", re.ASCII)


def draw_steps(rng: random.Random, numbers: list[int], slip: float = 0.0) -> list[tuple[int, str, int, int]]:
    """Draws steps that use all numbers, each as (number, sign, number, result), which is wrong with the probability `slip`."""
    while True:
        left, steps = list(numbers), []
        while len(left) > 1:
            rng.shuffle(left)
            one, other = left.pop(), left.pop()
            results = {sign: apply(one, other) for sign, apply in OPERATIONS.items()}
            allowed = [sign for sign, result in results.items() if 1 <= result <= GREATEST]
            if not allowed:
                break
            sign = rng.choice(allowed)
            off = rng.choice((-10, -2, -1, 1, 2, 10)) if rng.random() < slip else 0
            left.append(min(GREATEST, max(1, results[sign] + off)))
            steps.append((one, sign, other, left[-1]))
        if len(left) == 1:
            return steps


def write_solution(steps: list[tuple[int, str, int, int]]) -> str:
    """Returns steps as text."""
    return ",".join("{}{}{}={}".format(*step) for step in steps)


def write_question(numbers: list[int], target: int) -> str:
    """Returns the text of a problem."""
    return f"{' '.join(map(str, numbers))}>{target}?"


def generate_rows(split: str, seed: int) -> Iterator[dict[str, str]]:
    """Yields endless rows of a split, no question twice or in two splits; equal for equal seeds.

    `sft` has 2 to 4 numbers, `rl` and `evaluation` 3 or 4. A row has a question, a reference answer (the task as JSON) and, in
    `sft`, a solution.
    """
    rng, seen = random.Random(f"{seed}/{split}"), set()
    while True:
        numbers = [rng.randint(1, 9) for _ in range(rng.randint(2 if split == "sft" else 3, 4))]
        steps = draw_steps(rng, numbers)
        target = steps[-1][-1]
        question = write_question(numbers, target)
        if question in seen or zlib.crc32(question.encode()) % len(SPLITS) != SPLITS.index(split):
            continue
        seen.add(question)
        row = {"question": question, "answer": json.dumps({"numbers": numbers, "target": target})}
        if split == "sft":
            row["solution"] = write_solution(steps)
        yield row


def extract(completion: str) -> str | None:
    """Returns the steps, if the completion consists of steps."""
    return completion.strip() or None


def check(answer: str, reference: str) -> bool:
    """Returns True if each step calculates rightly with numbers that are left, and the last result is the target."""
    task = json.loads(reference)
    left, result = list(task["numbers"]), None
    for step in answer.split(","):
        found = STEP.fullmatch(step)
        if not found:
            return False
        one, sign, other, result = int(found[1]), found[2], int(found[3]), int(found[4])
        for number in (one, other):
            if number not in left:
                return False
            left.remove(number)
        if OPERATIONS[sign](one, other) != result:
            return False
        left.append(result)
    return result == task["target"]


def is_readable(reference: str) -> bool:
    """Returns True if the reference answer is a task: numbers and a target."""
    try:
        task = json.loads(reference)
        return all(type(number) is int for number in [*task["numbers"], task["target"]])
    except (ValueError, TypeError, KeyError):
        return False
