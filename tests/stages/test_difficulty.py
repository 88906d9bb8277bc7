"""Problems that the base model always or never solves leave the RL set, and the card says how many and why."""

import json

import pyarrow.parquet as pq
import pytest
from helpers.rows import make_gsm8k_rows

from rlready.config import complete_parameters, parse_parameters, read_settings, write_settings
from rlready.errors import InputError
from rlready.stages.curate.curate import curate
from rlready.stages.curate.stage import run
from rlready.stages.plan.checks import check_values

SMALL = {
    "base_model": "builtin:list-machine",
    "curate_sft_data": "builtin:list-machine",
    "curate_evaluation_data": "builtin:list-machine",
    "curate_sft_examples": 40,
    "curate_heldout_problems": 8,
    "curate_predictor_problems": 8,
    "curate_benchmark_problems": 8,
    "curate_rl_problems": 24,
    "curate_validation_problems": 0,
    "curate_pass_rate_samples": 8,
    "sampling_max_tokens": 32,
}


def curate_here(tmp_path, **changes):
    found = {"revisions": {"builtin:list-machine": "seed-0"}}
    settings = write_settings(parse_parameters(SMALL | changes), "curate", found)
    out = tmp_path / f"data-{len(list(tmp_path.iterdir()))}"
    run(settings, str(out), str(tmp_path / "card.md"))
    return json.loads((out / "card.json").read_text()), pq.read_table(out / "rl.parquet").to_pylist()


def test_the_base_model_is_asked_and_what_it_never_solves_leaves(tmp_path):
    # All problems that there are: what is kept and what leaves must be the rows that were asked of.
    everything = {"curate_rl_data": "builtin:list-machine", "curate_rl_problems": 6, "curate_min_pass_rate": 0.125}
    card, rows = curate_here(tmp_path, **everything)
    assert len(rows) == 6 and all(1 <= row["base_passes"] <= 8 for row in rows)
    counts = card["pass_rates"]["problems_by_right_samples"]
    assert len(counts) == 9 and counts[0] > 0
    (left,) = (d for d in card["dropped"] if d["reason"] == "the base model solves it too rarely")
    assert left["set"] == "rl" and left["rows"] == counts[0] and left["first"]
    assert "| 0 | " in (tmp_path / "card.md").read_text()
    assert curate_here(tmp_path, **everything) == (card, rows)


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def curate_files(tmp_path, count, **changes):
    from rlready.config import Curate
    from rlready.data.registry import Source
    from rlready.data.sources import examine

    train = write_rows(tmp_path / "train.jsonl", make_gsm8k_rows(300))
    test = write_rows(tmp_path / "test.jsonl", make_gsm8k_rows(20, 1, 900))
    settings = Curate(
        **{
            "sft_data": train, "evaluation_data": test, "heldout_problems": 5, "predictor_problems": 5,
            "benchmark_problems": 5, "rl_problems": 70, "validation_problems": 0, "pass_rate_samples": 4,
            "near_duplicates": 0.0,
        } | changes
    )  # fmt: skip
    revisions = {path: examine(Source(path, path=path), 0).digest for path in (train, test)}
    out = tmp_path / f"out-{len(list(tmp_path.iterdir()))}"
    return curate(settings, revisions, out, None, count), pq.read_table(out / "rl.parquet").to_pylist()


def test_the_limits_belong_to_what_is_kept_and_no_problem_is_asked_twice(tmp_path):
    asked = []

    def count(problems):
        asked.extend(row["problem_id"] for row in problems)
        return [(int(row["problem_id"], 16) % 5, 0) for row in problems]

    card, rows = curate_files(tmp_path, count, min_pass_rate=0.25, max_pass_rate=0.75)
    assert len(rows) == 70 and {row["base_passes"] for row in rows} == {1, 2, 3}
    assert all(row["base_passes"] == int(row["problem_id"], 16) % 5 for row in rows)
    assert len(asked) == len(set(asked)) == sum(card["pass_rates"]["problems_by_right_samples"])
    left = {d["reason"]: d["rows"] for d in card["dropped"] if d["set"] == "rl"}
    counts = card["pass_rates"]["problems_by_right_samples"]
    assert left == {
        "the base model solves it too rarely": counts[0],
        "the base model solves it too often": counts[4],
    }


def test_a_rate_that_the_verifier_cannot_tell_decides_nothing(tmp_path):
    # Right samples and samples without a verdict, of four: 0 to 1, 1 to 4, 1 to 2 and 4 of them may be right.
    seen = [(0, 1), (1, 3), (1, 1), (4, 0)]
    numbers = {}

    def count(problems):
        return [seen[numbers.setdefault(row["problem_id"], int(row["problem_id"], 16) % 4)] for row in problems]

    card, rows = curate_files(tmp_path, count, min_pass_rate=0.25, max_pass_rate=0.75, rl_problems=40)
    assert {numbers[row["problem_id"]] for row in rows} == {2}
    left = {d["reason"]: d["rows"] for d in card["dropped"] if d["set"] == "rl"}
    assert set(left) == {
        "the verifier cannot tell how often the base model solves it",
        "the base model solves it too often",
    }
    asked = list(numbers.values())
    assert left["the verifier cannot tell how often the base model solves it"] == asked.count(0) + asked.count(1)


def test_too_few_problems_of_the_right_difficulty_are_one_line(tmp_path):
    with pytest.raises(InputError, match=r"70 RL rows wanted .* 0 usable \(.*295 x the base model solves it too rarely"):
        curate_files(tmp_path, lambda problems: [(0, 0)] * len(problems), min_pass_rate=0.25, heldout_problems=5)


def test_without_limits_nobody_is_asked_and_sampling_does_not_matter(tmp_path):
    _, rows = curate_files(tmp_path, None)
    assert "base_passes" not in rows[0]
    plain, filtered = (parse_parameters(SMALL | {"curate_max_pass_rate": limit}) for limit in (1.0, 0.5))
    assert not hasattr(read_settings(write_settings(plain, "curate")), "sampling")
    assert read_settings(write_settings(filtered, "curate")).sampling.max_tokens == 32


@pytest.mark.parametrize(("low", "high"), [(0.6, 0.5), (-0.1, 1.0), (0.0, 1.1)])
def test_impossible_limits_are_one_line(low, high):
    given = complete_parameters(SMALL | {"curate_min_pass_rate": low, "curate_max_pass_rate": high})
    said = ("is more than curate_max_pass_rate", "lies outside [0, 1]")
    assert any(text in line for line in check_values(parse_parameters(given)) for text in said)
