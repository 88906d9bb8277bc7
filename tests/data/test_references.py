"""Gold answers equal themselves: a committed sample, and every one of the data sets where RLREADY_DATA names their folder."""

import json
import os
import re
from pathlib import Path

import pytest
from helpers.confirmed import is_confirmed

from rlready.verifier import extract_boxed, is_readable, verify
from rlready.verifier.equivalence.decide import read_plain

DATA = Path(os.environ.get("RLREADY_DATA", "absent"))
# Looser spelling that a model may use for the same answer.
SAMPLE = [
    *("72", "-3", "027", "27.0", "1,080", "142.0", "3.50", "0.0011_{2}", "-221_3", "152A_{11}", "2e33", "5.6e-4"),
    *(
        "\\frac{3}{7}",
        "-\\frac43",
        "\\dfrac 38",
        "\\tfrac{15}{4}",
        "3\\frac{1}{2}",
        "137 \\frac{1}{2}",
        "\\frac{12}{5,\\!525}",
    ),
    *(
        "11\\sqrt2",
        "\\sqrt[3]{4}",
        "\\frac{1+\\sqrt{5}}{2}",
        "2\\pi",
        "\\frac{\\pi^2}{8}",
        "1-\\frac1e",
        "3+4i",
        "\\frac{1}{2004!}",
    ),
    *(
        "2^{100}-1",
        "2\\cos 15^{\\circ}",
        "\\log_2 3",
        "\\arctan \\frac12",
        "\\binom{2n}{n}",
        "\\lfloor\\sqrt{n-1}\\rfloor",
    ),
    *(
        "50\\%",
        "17.5\\%",
        "\\$18.90",
        "90^\\circ",
        "5\\text{ cm}",
        "440\\text{ cm}^2",
        "12 \\text{ square units}",
        "10\\text{ miles}",
    ),
    *("3:1", "8:30", "9:24 \\text{ p.m.}", "\\text{Monday}", "\\text{(B)}", "(\\text{E})", "\\text{B,C}", "C"),
    *("(0,9) \\cup (9,36)", "\\left[-3,-\\frac43\\right)", "(-\\infty, 0) \\cup\\{1\\}", "\\{-1,0,1\\}", "\\emptyset"),
    *(
        "\\left( 3, \\frac{\\pi}{2} \\right)",
        "(6,235^\\circ)",
        "2, 3, \\text{ and } 4",
        "12\\text{ and }13",
        "1\\pm\\sqrt{19}",
    ),
    *("\\begin{pmatrix} -4\\\\-3 \\end{pmatrix}", "\\begin{pmatrix} 1/2 & 0 \\\\ 0 & -1 \\end{pmatrix}"),
    *(
        "x=5",
        "y = 3x^2 - 34x + 88",
        "$f(x)=2 x$",
        "20x + 23y - 69 = 0",
        "s^2 \\le 8r^2",
        "$k \\geqslant 2$",
        "x \\in [-2,7]",
    ),
    *("080 or 081 (both were accepted)",),
]


@pytest.mark.parametrize("gold", SAMPLE)
def test_a_gold_of_the_sample_equals_itself_and_its_looser_spelling(gold):
    assert is_readable(gold, "boxed")
    looser = re.sub(r",(?!\d{3})", ", ", gold.replace("frac", "frac "))
    assert verify(f"So $\\boxed{{ {looser} }}$.", gold, "boxed")


def list_golds(folder):
    """Yields (file, row, gold, format) of every answer in a folder of data sets."""
    for path in sorted(folder.rglob("*.jsonl")):
        name = path.relative_to(folder).parts[0]
        for number, line in enumerate(path.open()):
            row = json.loads(line)
            letter = name in ("mmlu", "tal_scq5k_en")
            if name == "mathvista":
                continue
            if name == "gsm8k":
                gold = row["answer"].rpartition("####")[2]
            elif name == "math":
                gold = extract_boxed(row["solution"])
            elif name == "mmlu":
                gold = "ABCD"[row["answer"]]
            elif name == "olympiadbench":
                gold = ", ".join(row["final_answer"])
            elif name == "dapo_math_17k":
                gold = row["reward_model"]["ground_truth"]
            else:
                gold = next(row[key] for key in ("answer", "Answer", "answer_value", "Short Answer") if key in row)
            gold = "" if gold is None else str(gold).strip()
            yield f"{path.relative_to(folder)}", number, gold, "letter" if letter else "boxed"


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason="RLREADY_DATA names no folder")
def test_every_gold_of_the_data_equals_itself_but_two_empty_boxes():
    golds = list(list_golds(DATA))
    unreadable = [(name, row) for name, row, gold, answer_format in golds if not is_readable(gold, answer_format)]
    assert len(golds) > 40_000
    assert unreadable == [("math/train.jsonl", 5341), ("math/train.jsonl", 5343)]


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason="RLREADY_DATA names no folder")
def test_the_second_check_reads_almost_every_gold():
    golds = {gold for _, _, gold, answer_format in list_golds(DATA) if answer_format == "boxed"}
    hard = [gold for gold in golds if read_plain(gold) is None]
    unread = [gold for gold in hard if not is_confirmed(gold, gold)]
    print(f"{len(unread)} of {len(hard)} golds that are no plain number are equal only to the same text: {unread}")
    assert len(unread) < len(hard) / 100
