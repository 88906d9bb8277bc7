"""The first hour with one's own data: three shapes of one file, a recipe that fits, and a run of it as it stands."""

import itertools
import json
import os
import re
import subprocess
import sys

import pytest
from helpers.kfp_server import rlready
from helpers.warm import start_worker

from rlready.config import parse_parameters
from rlready.config.recipes import load_recipe
from rlready.errors import InputError
from rlready.list_machine.problems import generate_rows
from rlready.records.candidate import BaseModel
from rlready.run import launch
from rlready.stages.plan import workload
from rlready.stages.plan.checks import check_values, propose_split
from rlready.stages.plan.workload import MINUTES, propose_values

SHAPES = {
    "columns": lambda row: row,
    "pairs": lambda row: {"prompt": row["question"], "completion": row["solution"]},
    "chats": lambda row: {
        "messages": [
            {"role": "user", "content": row["question"]},
            {"role": "assistant", "content": row["solution"]},
        ]
    },
}


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, write in SHAPES.items():
        rows = [write(row) | {"format": "word"} for row in itertools.islice(generate_rows("sft", 0), 60)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def init(monkeypatch, *arguments):
    return rlready(monkeypatch, "init", *map(str, arguments))


@pytest.mark.parametrize("shape", SHAPES)
def test_init_writes_a_recipe_that_plan_accepts(shape, files, tiny_model, monkeypatch, capsys):
    assert init(monkeypatch, f"{shape}.jsonl", tiny_model) == 0
    text = (files / f"{shape}.yaml").read_text()
    values = [line for line in text.splitlines() if line.startswith("  ") and not line.startswith(("  #", "    "))]
    assert text.count("  # ") >= len(values) - 4  # model and data need no reason
    assert rlready(monkeypatch, "plan", "--recipe", f"{shape}.yaml") == 0
    planned = capsys.readouterr().out
    assert "the text that SFT trains on, with its end token:" in planned and "<eos>" in planned
    assert f"recipe      {shape}.yaml: {tiny_model} on {shape}.jsonl" in planned
    assert init(monkeypatch, f"{shape}.jsonl", tiny_model) == 2
    assert f"{shape}.yaml exists; remove it" in capsys.readouterr().err


def write_rows(path, count=60, **columns):
    rows = itertools.islice(generate_rows("sft", 0), count)
    path.write_text("".join(json.dumps({name: make(row) for name, make in columns.items()}) + "\n" for row in rows))


def test_init_asks_where_two_columns_could_be_the_answer_and_takes_what_is_named(files, tiny_model, monkeypatch, capsys):
    columns = {"ask": lambda row: f"Solve: {row['question']}", "gold": lambda row: row["answer"]}
    columns |= {"target": lambda row: row["answer"][::-1], "steps": lambda row: f"So {row['solution']}"}
    write_rows(files / "odd.jsonl", **columns)
    assert init(monkeypatch, "odd.jsonl", tiny_model, "--format", "word") == 2
    refused = capsys.readouterr().err
    assert "two columns could be the answer: target ('" in refused and " and gold ('" in refused
    assert init(monkeypatch, "odd.jsonl", tiny_model, "--format", "word", "--columns", "answer=gold") == 0
    (train, test) = load_recipe("odd.yaml", [])["curate_sources"].values()
    assert train["columns"] == {"question": "ask", "answer": "gold", "solution": "steps"} and train["format"] == "word"
    assert test["columns"] == {"question": "ask", "answer": "gold"} and test["share"] == [0.6, 1]
    assert 'sft reads the columns {"question": "ask", "answer": "gold"' in capsys.readouterr().out
    assert init(monkeypatch, "odd.jsonl", tiny_model, "--columns", "gold", "-o", "b.yaml") == 2
    assert "--columns gold: expected NAME=COLUMN" in capsys.readouterr().err


def test_a_column_of_one_text_is_no_question_and_commas_in_names_part_no_files(files, tiny_model, monkeypatch):
    columns = {"prompt": lambda row: "Be brief.", "query": lambda row: f"Go: {row['question']}"}
    columns |= {"answer": lambda row: row["answer"], "steps": lambda row: f"So {row['solution']}"}
    write_rows(files / "own.jsonl", **columns)
    (files / "e,f.jsonl").write_text((files / "chats.jsonl").read_text())
    assert init(monkeypatch, "own.jsonl", tiny_model, "--format", "word", "--evaluation", "e,f.jsonl") == 0
    recipe = load_recipe("own.yaml", [])
    assert recipe["curate_sources"]["own-train"]["columns"]["question"] == "query"
    assert recipe["curate_sources"]["e-f-test"]["path"] == "./e,f.jsonl"


@pytest.mark.parametrize(
    ("text", "message"), [("  1: 2", "the name 1"), ("  ~: 2", "the name None"), ("  - a: 2", "got .{'a'")]
)
def test_parameters_that_are_no_lines_of_names_are_refused(files, text, message):
    (files / "own.yaml").write_text(f"parameters:\n{text}\n")
    with pytest.raises(InputError, match=f"own.yaml: parameters: expected lines of .*{message}"):
        load_recipe("own.yaml", [])


def test_data_without_solutions_becomes_a_recipe_that_ranks(files, tiny_model, monkeypatch, capsys):
    write_rows(files / "bare.jsonl", question=lambda row: row["question"], answer=lambda row: row["answer"],
               format=lambda row: "word")  # fmt: skip
    assert init(monkeypatch, "bare.jsonl", tiny_model) == 0
    told = capsys.readouterr().out
    assert "60 evaluation problems, without worked solutions" in told and "can be RL prompts (curate_rl_data)" in told
    assert rlready(monkeypatch, "plan", "--recipe", "bare.yaml") == 0
    planned = capsys.readouterr().out
    assert "an evaluation problem, as the model sees it:" in planned and "its reference answer:" in planned


def test_splits_of_a_folder_are_trained_on_and_evaluated_with(files, tiny_model, monkeypatch, capsys):
    (files / "both").mkdir()
    rows = (files / "columns.jsonl").read_text().splitlines(keepends=True)
    (files / "both" / "train-0.jsonl").write_text("".join(rows[:40]))
    (files / "both" / "test-0.jsonl").write_text("".join(rows[40:]))
    assert init(monkeypatch, "both", tiny_model) == 0
    assert "SFT uses the split train, evaluation the split test" in capsys.readouterr().out
    read = load_recipe("both.yaml", [])
    assert read["curate_sft_data"] == read["curate_evaluation_data"] == "both" and not read["curate_sources"]


@pytest.mark.parametrize(("training", "evaluation"), [(12, 4), (60, 20), (500, 300), (5000, 640)])
def test_proposed_sizes_fit_the_data_and_the_time(training, evaluation):
    rows = [row | {"format": "word"} for row in itertools.islice(generate_rows("sft", 0), 60)]
    values, minutes = propose_values(BaseModel("builtin:list-machine", "", ""), rows, training, evaluation)
    given = {value.name: value.value for value in values}
    assert check_values(parse_parameters(given)) == [] and all(value.why for value in values)
    heldout, prompts = given["curate_heldout_problems"], given["curate_rl_problems"]
    assert heldout + prompts + given["sweep_examples"][0] <= training
    assert given["curate_predictor_problems"] + given["curate_benchmark_problems"] <= evaluation
    assert min(given["curate_predictor_problems"], given["curate_benchmark_problems"], heldout, prompts) >= 1
    assert minutes <= MINUTES


def test_less_is_proposed_if_there_is_less_time(monkeypatch):
    rows = [row | {"format": "word"} for row in itertools.islice(generate_rows("sft", 0), 60)]
    given = BaseModel("builtin:list-machine", "", ""), rows, 5000, 640
    minutes = propose_values(*given)[1]
    monkeypatch.setattr(workload, "MINUTES", minutes / 2)
    assert propose_values(*given)[1] <= minutes / 2


def test_too_few_problems_are_not_split():
    with pytest.raises(InputError, match="11 usable training problems cannot be split; at least 12 are needed"):
        propose_split("sft", 11)


def test_a_run_of_the_recipe_as_it_stands_comes_to_a_verdict(files, tiny_model, monkeypatch, tmp_path):
    assert init(monkeypatch, "columns.jsonl", tiny_model, "--output", "mine.yaml") == 0
    (tmp_path / "elsewhere").mkdir()
    command = [sys.executable, "-m", "rlready.cli", "run", "--recipe", "../mine.yaml"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW")}
    environment[launch.SOCKET] = start_worker()
    done = subprocess.run(command, cwd=tmp_path / "elsewhere", env=environment, capture_output=True, text=True)
    assert done.returncode in (0, 4), done.stdout + done.stderr  # 4: the gate approves nobody
    (outcomes,) = (tmp_path / "elsewhere" / "runs").glob("*/outcomes.json")
    verdicts = [outcome["verdict"] for outcome in json.loads(outcomes.read_text())["outcomes"]]
    assert len(verdicts) == 2 and all(verdict["decision"] in ("approved", "rejected") for verdict in verdicts)


def test_paths_of_a_recipe_are_relative_to_it_and_those_of_set_to_the_current_folder(files):
    (files / "recipes").mkdir()
    (files / "recipes" / "own.jsonl").write_text("")
    (files / "recipes" / "own.yaml").write_text(
        "parameters: {curate_sft_data: own.jsonl, curate_sources: {a: {path: ./own.jsonl}}, curate_rl_data: gsm8k}"
    )
    read = load_recipe("recipes/own.yaml", ["curate_evaluation_data=pairs.jsonl"])
    assert read["curate_sft_data"] == read["curate_sources"]["a"]["path"] == "recipes/own.jsonl"
    assert (read["curate_rl_data"], read["curate_evaluation_data"]) == ("gsm8k", "pairs.jsonl")


def test_data_without_solutions_may_lack_answers_too(files, tiny_model, monkeypatch, capsys):
    rows = [{"question": f"What is {n} plus 1?", "answer": str(n + 1) if n % 2 else "N/A"} for n in range(60)]
    (files / "half.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert init(monkeypatch, "half.jsonl", tiny_model) == 0
    assert "30 of all 60 rows of half.jsonl left out: no answer" in " ".join(capsys.readouterr().out.split())


def test_a_text_that_yaml_reads_as_a_number_is_to_be_quoted(files, monkeypatch, capsys):
    (files / "own.yaml").write_text("parameters: {base_revision: 1234567}")
    assert rlready(monkeypatch, "plan", "--recipe", "own.yaml") == 2
    assert 'got 1234567; as a text it needs quotes: "1234567"' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([], "own.yaml: unknown parameter 'gate_kk'; did you mean gate_k?"),
        (["gat_k=1"], "--set: unknown parameter 'gat_k'"),
    ],
)
def test_an_unknown_key_names_itself_and_where_it_stands(files, monkeypatch, capsys, overrides, message):
    (files / "own.yaml").write_text("parameters: {gate_k: 1}" if overrides else "parameters: {gate_kk: 1}")
    changes = [part for override in overrides for part in ("--set", override)]
    assert rlready(monkeypatch, "plan", "--recipe", "own.yaml", *changes) == 2
    assert message in capsys.readouterr().err


def test_init_says_why_solutions_cannot_be_used_and_what_guessing_reaches(files, tiny_model, monkeypatch, capsys):
    rows = [{"prompt": f"Is {n} even?", "completion": f"<|think_now|> \\boxed{{{n % 2}}}"} for n in range(60)]
    (files / "tokens.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert init(monkeypatch, "tokens.jsonl", tiny_model) == 2
    assert "60 x the solution holds <|think_now|>, a token of a chat template" in capsys.readouterr().err
    rows = [{"prompt": f"Is {n} even?", "answer": n % 2} for n in range(60)]
    (files / "labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert init(monkeypatch, "labels.jsonl", tiny_model) == 0
    assert (
        "all 60 reference answers looked at are one of 2 (0, 1): guessing alone has Pass@64 = 1.000" in capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("usable", "message"),
    [
        (300, "321 SFT rows wanted .*, 300 usable .1000 x no answer"),
        (400, "sweep_examples: 512 are asked for, and 80 are left after cleaning and splitting"),
    ],
)
def test_plan_curates_what_curates_in_seconds(usable, message, files, tiny_model, monkeypatch, capsys):
    """The first rows look as if there were enough."""
    rows = list(itertools.islice(generate_rows("sft", 0), 60, 60 + usable))  # after those of the evaluation
    rows += [{"question": f"{number}?", "answer": ""} for number in range(1000)]
    (files / "many.jsonl").write_text("".join(json.dumps(row | {"format": "word"}) + "\n" for row in rows))
    given = {
        "curate_sft_data": "many.jsonl",
        "curate_evaluation_data": "columns.jsonl",
        "base_model": tiny_model,
        "rl_steps": 9,
    }
    given |= {"curate_rl_data": "", "curate_sft_examples": 0, "sweep_examples": "[512]", "sweep_candidates": "[]"}
    given |= {"curate_rl_problems": 256, "curate_heldout_problems": 64, "curate_predictor_problems": 16}
    given |= {"curate_benchmark_problems": 16}
    sets = [text for name, value in given.items() for text in ("--set", f"{name}={value}")]
    assert rlready(monkeypatch, "plan", "--recipe", "laptop", *sets) == 2
    assert re.search(message, capsys.readouterr().err)
