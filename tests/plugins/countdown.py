"""Countdown: reach a number with others, each used once at most. A whole plug-in: a module with two functions and a prompt.

A gold answer is the task itself, {"numbers": [3, 4, 5], "target": 17}; the answer is a formula behind the last `=>`.
"""

import ast
import json
import operator
from collections import Counter
from fractions import Fraction

OPERATIONS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}
LONGEST = 100  # characters

prompt = "{question} End with => formula."


def extract(completion: str) -> str | None:
    """Returns the formula behind the last `=>`."""
    _, arrow, formula = completion.rpartition("=>")
    return formula.strip() or None if arrow else None


def check(answer: str, gold: str) -> bool:
    """Says whether a formula has the value, and uses no number twice."""
    task = json.loads(gold)
    if len(answer) > LONGEST:
        return False
    try:
        value, used = _read(ast.parse(answer, mode="eval").body)
    except (SyntaxError, ValueError, ZeroDivisionError):
        return False
    return value == task["target"] and used <= Counter(task["numbers"])


def is_readable(gold: str) -> bool:
    """Says whether a task has numbers and a target."""
    try:
        task = json.loads(gold)
        return all(type(number) is int for number in [*task["numbers"], task["target"]])
    except (ValueError, TypeError, KeyError):
        return False


def _read(node: ast.expr) -> tuple[Fraction, Counter]:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return Fraction(node.value), Counter([node.value])
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATIONS:
        (left, some), (right, others) = _read(node.left), _read(node.right)
        return OPERATIONS[type(node.op)](left, right), some + others
    raise ValueError("neither a number nor one of + - * /")
