"""Ranking logs: figures as rlready's own, nothing compared that may not be, no torch, and what a user sees."""

import itertools
import json
import os
import random
import subprocess
import sys

import pytest
from helpers import logs

from rlready.errors import InputError
from rlready.measured.loss import read_loss
from rlready.measured.read import load_samples
from rlready.measured.sweep import rank


def write_counts(path, rates, samples=16, problems=40, seed=0):
    chance = random.Random(seed)
    rows = []
    for problem in range(problems):
        right = chance.betavariate(1, 3) * rates
        rows.append(
            {"problem": f"p{problem}", "correct": sum(chance.random() < right for _ in range(samples)), "samples": samples}
        )
    return logs.write_jsonl(path, rows)


@pytest.fixture
def two(tmp_path):
    return {
        name: write_counts(tmp_path / f"{name}.jsonl", rate, seed=seed)
        for seed, (name, rate) in enumerate({"a": 0.5, "b": 1.0}.items())
    }


def test_figures_are_those_of_the_samples_counted_one_by_one(two):
    sweep = rank({name: load_samples(path) for name, path in two.items()}, parameters={"gate_k": 2})
    for outcome in sweep.outcomes:
        rows = [json.loads(line) for line in two[outcome.candidate.candidate_id].read_text().splitlines()]
        draws = [[n < row["correct"] for n in range(row["samples"])] for row in rows]
        pairs = [sum(map(any, itertools.combinations(drawn, 2))) / (16 * 15 / 2) for drawn in draws]
        assert outcome.predictors.get_pass_at(2) == pytest.approx(sum(pairs) / len(pairs))
    first, second = sweep.outcomes
    assert second.verdict.standing.place == 1 and first.verdict.standing.place == 2
    assert second.verdict.standing.ahead_of == "a" and second.verdict.standing.low < second.verdict.standing.lead


def test_the_gate_judges_as_of_its_own_measurements(two, tmp_path):
    base = load_samples(write_counts(tmp_path / "base.jsonl", 0.7, problems=40, seed=0))
    read = {name: load_samples(path) for name, path in two.items()}
    sweep = rank(read, base, parameters={"gate_k": 4, "gate_min_pass_at_k_over_base": 0.0})
    for outcome in sweep.outcomes:
        ahead = outcome.predictors.get_pass_at(4) - sweep.baseline.predictors.get_pass_at(4)
        assert outcome.verdict.decision == ("approved" if ahead >= 0 else "rejected")
    assert {o.verdict.decision for o in sweep.outcomes} == {"approved", "rejected"}


def test_a_score_unknown_too_often_decides_nothing(tmp_path):
    rows = [{"problem": p, "correct": value} for p in "abcd" for value in (1, None)]
    (outcome,) = rank({"a": load_samples(logs.write_plain(tmp_path, rows=rows))}).outcomes
    assert outcome.verdict.decision == "undecided" and outcome.verdict.numbers.verifier_unknown == 0.5


def change_problem(rows):
    rows[3]["problem"] = "other"


def drop_problem(rows):
    del rows[3]


def change_text(rows):
    rows[3]["text"] = "another"


def change_temperature(rows):
    for row in rows:
        row["temperature"] = 0.6


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (change_problem, "1 of its 40 are missing, 1 are new, e.g. p3"),
        (drop_problem, "1 of its 40 are missing, 0 are new"),
        (change_text, "problem p3 has a different text in a's log"),
        (change_temperature, "temperature is 0.6, a's is 1.0"),
    ],
)
def test_logs_of_different_things_are_not_compared(change, said, two, tmp_path):
    rows = [json.loads(line) | {"text": "?", "temperature": 1.0} for line in two["a"].read_text().splitlines()]
    same, other = logs.write_jsonl(tmp_path / "same.jsonl", rows[::-1]), tmp_path / "other.jsonl"
    rank({"a": load_samples(same), "b": load_samples(logs.write_jsonl(other, rows))})  # another order is the same
    change(rows)
    with pytest.raises(InputError) as caught:
        rank({"a": load_samples(same), "b": load_samples(logs.write_jsonl(other, rows))})
    assert said in str(caught.value) and str(other) in str(caught.value)


def test_fewer_samples_than_k_are_refused_and_without_k_the_largest_is_taken(two, tmp_path):
    read = {name: load_samples(path) for name, path in two.items()}
    with pytest.raises(InputError, match="16 samples per problem, Pass@32 needs 32"):
        rank(read, parameters={"gate_k": 32})
    read["few"] = load_samples(write_counts(tmp_path / "few.jsonl", 0.5, samples=5))
    assert rank(read).parameters["gate_k"] == 4


def test_losses_of_one_kind_are_compared_and_of_two_are_not(two, tmp_path):
    state = tmp_path / "trainer_state.json"
    state.write_text(json.dumps({"log_history": [{"eval_loss": 2.0}, {"loss": 1.0}, {"eval_loss": 1.5}]}))
    examples = logs.write_jsonl(tmp_path / "losses.jsonl", [{"nats": 3.0, "tokens": 2}, {"nats": 1.0, "tokens": 2}])
    assert read_loss(str(state)).value == 1.5 and read_loss(str(examples)).value == 1.0 and read_loss("0.7").value == 0.7
    low, high = read_loss(str(examples)).interval
    assert low <= 1.0 <= high and read_loss("0.7").interval is None
    read = {name: load_samples(path) for name, path in two.items()}
    losses = {"a": read_loss(str(state)), "b": read_loss("1.4")}
    one, other = rank(read, losses=losses).outcomes
    assert one.predictors.generalization_loss == 1.5 and not one.shares_tokens(other)
    judged = rank(
        read, losses={"a": read_loss("1.5"), "b": read_loss("1.4")}, parameters={"gate_max_generalization_loss": 1.45}
    )
    assert [o.verdict.decision for o in judged.outcomes] == ["rejected", "approved"]
    for wrong in ("nan", "-1", "nowhere.json", str(two["a"])):
        with pytest.raises(InputError):
            read_loss(wrong)


def call(tmp_path, *arguments):
    code = (
        "import sys; from rlready.cli import main\n"
        "try: main()\n"
        "finally: assert not {'torch', 'transformers', 'trl', 'datasets', 'kfp', 'mlflow'} & set(sys.modules)"
    )
    command = [sys.executable, "-c", code, "rank", *map(str, arguments), "--work", str(tmp_path / "runs")]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW")}
    return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)


def test_the_command_ranks_without_torch_and_leaves_a_report(two, tmp_path):
    done = call(tmp_path, *(f"{name}={path}" for name, path in two.items()), "--k", 4, "--loss", "a=1.5", "--loss", "b=1.4")
    assert done.returncode == 0, done.stderr
    assert "b comes first by Pass@4" in done.stdout and "plain, 40 problems x 16 samples" in done.stdout
    (folder,) = (tmp_path / "runs").iterdir()
    assert {path.name for path in folder.iterdir()} == {"report.html", "report.md", "verdicts.json", "outcomes.json"}
    assert json.loads((folder / "verdicts.json").read_text())["candidates"][0]["candidate"] == "b"
    assert json.loads((folder / "outcomes.json").read_text())["outcomes"][0]["links"]["tool"] == "plain"


def test_what_the_command_cannot_do_is_one_line(two, tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    for arguments, said in {
        (f"a={two['a']}", str(model)): "name some with --benchmarks",
        (f"base={two['a']}",): "the name base is the base model's",
        (f"x={two['a']}", f"x={two['b']}"): "the name x is that of",
        (f"a={two['a']}", "--loss", "c=1"): "expected NAME=LOSS with a name of a",
        (str(model),): "name some with --benchmarks",
    }.items():
        done = call(tmp_path, *arguments)
        assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_logs_beside_checkpoints_are_candidates_of_one_recipe(two, tmp_path):
    from rlready.cli.rank import COMMAND, choose_parameters

    base = str(write_counts(tmp_path / "base.jsonl", 0.3))
    texts = [f"x={two['a']}", "./ckpt", "owner/name@v2", str(two["b"])]
    texts += ["--benchmarks", "p.jsonl", "--base", base, "--loss", "b=0.7", "--allow-repeats"]
    given = choose_parameters(COMMAND.parse_args(texts))
    how = {"format": "boxed", "judge": False, "allow_repeats": True}
    assert given["sweep_candidates"] == [
        {"model": "./ckpt", "trained_on_sft_data": False},
        {"model": "owner/name", "trained_on_sft_data": False, "revision": "v2"},
        how | {"measured": str(two["a"]), "name": "x", "loss": ""},
        how | {"measured": str(two["b"]), "name": "b", "loss": "0.7"},
    ]
    assert (given["base_model"], given["base_measured"], given["gate_k"], given["rl_steps"]) == ("", base, 16, 0)
    with pytest.raises(InputError, match="expected NAME=LOSS with a name of x, b"):
        choose_parameters(COMMAND.parse_args([*texts, "--loss", "ckpt=1"]))


def test_a_place_may_have_an_equals_sign_in_it_like_a_name(tmp_path):
    from rlready.cli.rank import split_name

    (tmp_path / "lr=0.1,seed=2").mkdir()
    path = str(logs.write_plain(tmp_path / "lr=0.1,seed=2"))
    url = "s3://bucket/step=3/a.jsonl"
    for place in (path, url):
        assert split_name(place) == ("", place) and split_name(f"lr=0.1={place}") == ("lr=0.1", place)
    assert split_name("lr=0.1=owner/model") == ("lr=0.1", "owner/model")
