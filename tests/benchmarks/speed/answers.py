"""The verifier beside math-verify: pairs of answers that neither has seen."""

import itertools
import random
import re
from pathlib import Path

import pairs
from helpers import answer_pairs
from math_verify import parse
from math_verify import verify as verify_alone

from rlready.measured.records import read_rows
from rlready.verifier import verify


def list_pairs(data: Path | None) -> list[tuple[str, str]]:
    """Returns (reference, answer): each reference of a data set rewritten, with a number changed, and beside another's.

    Without data they are those of the tests, equal or different by construction.
    """
    if data is None:
        return [(reference, answer) for _, reference, answer, _ in answer_pairs.make_pairs(seed=3, rounds=20)]
    rng, found = random.Random(0), []
    references = [str(row["answer"]) for _, row in read_rows(data)]
    for reference, other in zip(references, [*references[1:], references[0]], strict=True):
        found += [(reference, other), (reference, reference.replace(r"\frac", r"\dfrac").replace(",", ", "))]
        found.append((reference, re.sub(r"\\frac\{(\d+)\}\{(\d+)\}", r"(\1/\2)", reference)))
        if places := list(re.finditer(r"\d+", reference)):
            place = rng.choice(places)
            found.append((reference, f"{reference[: place.start()]}{int(place[0]) + 1}{reference[place.end() :]}"))
    return list(dict.fromkeys(found))


def judge(some: list[tuple[str, str]]) -> int:
    """Judges pairs with rlready's verifier."""
    for reference, answer in some:
        verify(rf"\boxed{{{answer}}}", reference, "boxed")
    return len(some)


def judge_alone(some: list[tuple[str, str]]) -> int:
    """Judges pairs with math-verify, as its README has it."""
    for reference, answer in some:
        verify_alone(parse(rf"\boxed{{{reference}}}"), parse(rf"\boxed{{{answer}}}"))
    return len(some)


def run(given) -> None:
    """Prints the rows of the verifier."""
    found = list_pairs(given.references)
    random.Random(1).shuffle(found)
    found = found[: given.pairs]
    judge([("x", r"\frac{x}{2}"), ("|x|", r"\sqrt{x^2}")])  # starts its process, which loads math-verify where it may veto
    size = -(-len(found) // given.rounds)
    parts = iter([found[start : start + size] for start in range(0, len(found), size)])
    both = ((part, part) for part in parts)  # a part is judged once by each
    order = itertools.chain.from_iterable(both)
    works = {"rlready": lambda: pairs.measure(lambda: judge(next(order)))}
    works["math-verify"] = lambda: pairs.measure(lambda: judge_alone(next(order)))
    source = "a data set's references" if given.references else "equal or different by construction"
    pairs.print_pairs(f"new pairs of answers, {source}", pairs.take_turns(works, given.rounds))
