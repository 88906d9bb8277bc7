"""No problem on both sides of a split, whatever its copies look like; each drawn as often as any other; every row counted."""

import dataclasses
import itertools
import random
from types import SimpleNamespace

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pyarrow.parquet as pq
import pytest
from helpers.rows import write_json, write_problem

from rlready.config import Curate
from rlready.stages.curate.card import Dropped, balance_rows
from rlready.stages.curate.curate import curate
from rlready.stages.curate.duplicates.contamination import Contamination, Text, list_words
from rlready.stages.curate.duplicates.near_duplicates import Signatures, sign
from rlready.stages.curate.split import choose_validation, draw_problems
from rlready.stages.plan.sources import look_at_sources

COUNTS = {"heldout_problems": 3, "rl_problems": 8, "validation_problems": 2, "predictor_problems": 3, "benchmark_problems": 3}
KINDS = {
    "trace": lambda row: row | {"answer": "Otherwise: " + " ".join(reversed(row["answer"].split(" ")[1:]))},
    "the same": dict,
    "near": lambda row: row | {"question": row["question"].replace(": ", ": now ", 1), "answer": row["answer"][-40:]},
    "longer": lambda row: row | {"question": f"Read {row['question']} {'Say all that you think of it. ' * 5}"},
    "full width": lambda row: row | {"question": "".join(chr(ord(c) + 0xFEE0) if c.isalnum() else c for c in row["question"])},
    "no answer": lambda row: {"question": row["question"]},
    "no object": lambda row: [row],
    "no question": lambda row: row | {"question": None},
}


@hypothesis.settings(max_examples=4, deadline=None, suppress_health_check=list(hypothesis.HealthCheck))
@hypothesis.given(st.lists(st.tuples(st.integers(0, 25), st.sampled_from(sorted(KINDS))), max_size=60), st.booleans())
def test_every_row_is_in_a_set_or_counted_and_no_problem_on_two_sides(tmp_path_factory, copies, own_rl):
    folder, rng = tmp_path_factory.mktemp("split"), random.Random(0)
    rows = [write_problem(number, rng) for number in range(50)]
    train, evaluation = rows[:16] + rows[36:42], rows[16:26]
    for number, kind in copies:
        (train if number % 3 else evaluation).append(KINDS[kind](rows[number]))
    files = {"sft_data": write_json(folder / "train.jsonl", train)}
    files["evaluation_data"] = write_json(folder / "test.jsonl", evaluation)
    if own_rl:
        files["rl_data"] = write_json(folder / "rl.jsonl", rows[26:36] + train[-12:])
    settings = Curate(**COUNTS, **files, sft_examples=4)
    card = curate(settings, look_at_sources(settings).revisions, folder / "data")
    sets = {path.stem: pq.read_table(path).to_pylist() for path in (folder / "data").glob("*.parquet")}
    for some in card["balance"]:
        assert some["sets"] == {name: len(sets[name]) for name in some["sets"]}
        assert some["read"] == sum(some["sets"].values()) + some["left_out"]
    assert sum(some["read"] for some in card["balance"]) == sum(source["rows"] for source in card["sources"].values())
    assert len(sets["rl"]) + len(sets["validation"]) == 8 and len(sets["validation"]) == 2
    training = ("heldout", "rl", "validation", "sft")
    sides = [("predictors", "benchmark"), *itertools.combinations(training, 2)]
    sides += [(asked, trained) for asked in ("benchmark", "predictors") for trained in training]
    for one, other in sides:
        ones, others = sets[one], sets[other]
        kept = Contamination(settings.contamination_ngram, settings.contamination_overlap)
        kept.add("", ones)
        assert not any(kept.find(row["problem_id"], Text(row["question"])) for row in others), (one, other)
        questions = Signatures(folder / f"{one}-{other}")
        texts = [row["question"] for row in ones + others]
        questions.add(*sign(texts, list(map(list_words, texts)), ["1"] * len(texts)))
        found = questions.find_copies(np.arange(len(ones)), np.arange(len(ones), len(texts)), settings.near_duplicates)
        assert (found < 0).all(), (one, other)


class Drawn(list):
    """A pool of rows that resemble no others."""

    first, questions = 0, Signatures(None)

    def list_questions(self, rows):
        return iter(())


def test_validation_problems_are_the_last_that_are_drawn():
    settings = Curate(rl_problems=8, validation_problems=2, near_duplicates=0.0, contamination_ngram=0)
    chosen = choose_validation(settings, Drawn(range(10)), np.array([3, 0, 5, 9, 1, 4, 8, 2]))
    assert np.flatnonzero(chosen).tolist() == [2, 8]


def test_a_problem_is_drawn_as_often_whatever_the_number_of_its_traces():
    groups = np.repeat(np.arange(1, 21, dtype=np.uint64), [60] * 5 + [1] * 15)
    pool = SimpleNamespace(order=lambda: np.arange(len(groups)))
    often = sum((groups[draw_problems(pool, groups, seed)[:4]] <= 5).mean() for seed in range(300)) / 300
    assert often == pytest.approx(0.25, abs=0.04)  # 5 of 20 problems have 95% of the rows


def test_a_chain_is_no_group(tmp_path):
    words = [f"w{chr(97 + n % 26)}{chr(97 + n // 26)}" for n in range(400)]
    texts = [" ".join(words[start : start + 80]) for start in range(0, 300, 4)]
    signatures = Signatures(tmp_path / "signatures")
    signatures.add(*sign(texts, list(map(list_words, texts)), ["1"] * len(texts)))
    _, sizes = np.unique(signatures.group(np.arange(len(texts)), 0.8), return_counts=True)
    assert 1 < sizes.max() <= 8


def test_a_row_that_is_lost_or_counted_twice_is_an_error():
    dropped = Dropped()
    dropped.add("sft", "duplicate", "line 2")
    sets = {"sft": {"rows": 3}, "heldout": {"rows": 2}, "rl": None}
    assert balance_rows({"sft": 6}, sets, dropped)[0]["left_out"] == 1
    for read in (5, 7):
        with pytest.raises(RuntimeError, match=f"curate read {read} rows as sft"):
            balance_rows({"sft": read}, sets, dropped)


def test_rl_prompts_need_no_sft_data(tmp_path):
    rows = [write_problem(number, random.Random(number)) for number in range(30)]
    files = {"rl_data": write_json(tmp_path / "rl.jsonl", rows[:15]), "sft_data": ""}
    settings = Curate(**COUNTS, **files, evaluation_data=write_json(tmp_path / "test.jsonl", rows[15:]))
    card = curate(settings, look_at_sources(settings).revisions, tmp_path / "data")
    sizes = {name: entry["rows"] for name, entry in card["sets"].items()}
    assert sizes == {"rl": 6, "validation": 2, "predictors": 3, "benchmark": 3}


def test_a_validation_problem_with_the_words_of_a_prompt_becomes_a_prompt(tmp_path):
    rows = [write_problem(number, random.Random(number)) for number in range(24)]
    lengthened = {"question": f"{rows[0]['question']} {'Say all that you think of it and why you do. ' * 3}"}
    files = {"rl_data": write_json(tmp_path / "rl.jsonl", [*rows[:7], rows[0] | lengthened]), "sft_data": ""}
    settings = Curate(**COUNTS, **files, evaluation_data=write_json(tmp_path / "test.jsonl", rows[12:]))
    kept = set()
    for seed in range(8):
        curate(dataclasses.replace(settings, seed=seed), look_at_sources(settings).revisions, tmp_path / f"{seed}")
        sets = {name: pq.read_table(tmp_path / f"{seed}" / f"{name}.parquet")["question"].to_pylist() for name in ("rl",)}
        path = tmp_path / f"{seed}" / "validation.parquet"
        validated = pq.read_table(path)["question"].to_pylist() if path.exists() else []
        assert len(sets["rl"]) + len(validated) == 8
        copies = [any(rows[0]["question"] in question for question in some) for some in (sets["rl"], validated)]
        assert copies != [True, True]
        kept.add(len(validated))
    assert len(kept) > 1  # or no draw had one of the two in each set
