"""How many near matches of decontamination are the same problem: a sample of the real files, judged by hand.

`RLREADY_DATA=folder make near-matches` draws the sample and prints the precision with its 95 % interval, and in full every
pair that nobody has judged yet. Judgements are in tests/cases/near_matches.yaml, by the ids of the two problems.
"""

import hashlib
import os
from pathlib import Path

import pytest
import yaml
from helpers import CASES
from scipy.stats import binomtest

from rlready.config import Curate
from rlready.data.problems import read_benchmark, read_problem
from rlready.data.registry import find_source, read_registry
from rlready.data.sources import read_rows
from rlready.errors import InputError
from rlready.stages.curate.duplicates.contamination import Contamination, Text

DATA = Path(os.environ.get("RLREADY_DATA", "absent"))
JUDGED = CASES / "near_matches.yaml"
TRAINING = ("gsm8k", "math", "dapo_math_17k")
CHOICES = ("mmlu", "tal_scq5k_en", "mathvista")  # nobody trains on their form
SAMPLE = 60


def read_training(name):
    source = find_source(name, "datasets", {}, str(DATA))
    for _, row in read_rows(source, "rl", 0):
        try:
            yield read_problem(row, False, source)
        except InputError:
            continue


def list_near_matches():
    """Returns (training problem, evaluation set, evaluation problem) of every near match, each pair of problems once."""
    settings, evaluated, ids = Curate(), {}, {}
    for name in sorted(read_registry("benchmarks").keys() - set(CHOICES)):
        problems, _ = read_benchmark(find_source(name, "benchmarks", {}, str(DATA)))
        evaluated[name] = Contamination(settings.contamination_ngram, settings.contamination_overlap)
        evaluated[name].add(name, problems)
        ids |= {problem["question"]: problem["problem_id"] for problem in problems}
    found = {}
    for training in TRAINING:
        for problem in read_training(training):
            text = Text(problem["question"])
            for name, contamination in evaluated.items():
                match = contamination.find(problem["problem_id"], text)
                if match and problem["problem_id"] not in contamination.same:
                    pair = f"{problem['problem_id']} {ids[match.question]}"
                    found.setdefault(pair, (f"{training} / {name}", match.overlap, problem["question"], match.question))
    return found


@pytest.mark.near_matches
@pytest.mark.skipif(not DATA.is_dir(), reason="RLREADY_DATA names no folder")
def test_near_matches_are_the_same_problem():
    found = list_near_matches()
    drawn = sorted(found, key=lambda pair: hashlib.sha256(pair.encode()).hexdigest())[:SAMPLE]
    judged = yaml.safe_load(JUDGED.read_text())
    for number, pair in enumerate(drawn, 1):
        if pair not in judged:
            where, overlap, one, other = found[pair]
            print(f"\n{number}. {pair}  {where}, {overlap:.2f}\n--- {one}\n+++ {other}")
    known = [judged[pair] for pair in drawn if pair in judged]
    print(f"\n{len(found)} near matches, {len(drawn)} drawn, {len(known)} judged")
    if known:
        same = known.count("same")
        low, high = binomtest(same, len(known)).proportion_ci(method="wilson")
        print(f"the same problem: {same} of {len(known)}, {same / len(known):.2f} [{low:.2f}, {high:.2f}]")
