"""Rows of data sets and files of them."""

import json
import random


def make_gsm8k_rows(count, seed=0, start=0):
    """Returns rows with the fields and marks of GSM8K; the solutions differ in length."""
    rng = random.Random(seed)
    rows = []
    for number in range(start, start + count):
        a, b = rng.randint(2, 50), rng.randint(2, 50)
        steps = " ".join(["Count again."] * rng.randint(0, 12))
        rows.append(
            {
                "question": f"Item {number}: Ann has {a} pens and buys {b}. How many has she?",
                "answer": f"She has {a}+{b}=<<{a}+{b}={a + b}>>{a + b} pens. {steps}\n#### {a + b}",
            }
        )
    return rows


WORDS = [
    "Ann",
    "Bob",
    "Cara",
    "Dan",
    "pens",
    "maps",
    "cups",
    "bags",
    "red",
    "blue",
    "old",
    "new",
    "sells",
    "buys",
    "finds",
    "keeps",
    "shop",
    "town",
    "fair",
    "park",
    "each",
    "then",
]


def write_problem(number, rng):
    """Returns a problem of some forty words, with a solution of ninety, and numbers of its own."""
    told, solved = (" ".join(rng.choices(WORDS, k=k)) for k in (36, 90))
    return {"question": f"Item {number}: {told} {rng.randint(10, 99)}?", "answer": f"Count: {solved}.\n#### {number}"}


def write_json(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)
