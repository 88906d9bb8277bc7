"""Logs that lm-evaluation-harness, Inspect, lighteval and verl write themselves rank as their samples do, judged one by one.

Needs the first two tools beside the package, LIGHTEVAL_PYTHON: the Python of an environment with lighteval, and VERL: a folder
with verl and orjson, without what else verl needs. make test-logs
"""

import ast
import itertools
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from helpers import logs

from rlready.list_machine.problems import generate_rows
from rlready.measured.curve import read_curve
from rlready.measured.read import load_samples
from rlready.measured.sweep import rank
from rlready.models.load import BUILTIN
from rlready.verifier import verify

pytestmark = pytest.mark.logs
SAMPLES = 4
TASK = """
task: sums
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
repeats: {samples}
generation_kwargs: {{do_sample: true, temperature: 1.0, max_gen_toks: 12, until: ["\\n\\n"]}}
metric_list: [{{metric: exact_match}}]
filter_list: [{{name: all, filter: [{{function: regex, regex_pattern: "([a-j])"}}, {{function: take_first_k, k: {samples}}}]}}]
"""


LIGHTEVAL = """
from lighteval.metrics.metrics import Metrics
from lighteval.tasks.lighteval_task import LightevalTaskConfig
from lighteval.tasks.requests import Doc

def prompt(line, task_name=None):
    return Doc(task_name=task_name, query=line["question"], choices=[line["answer"]], gold_index=0)

TASKS_TABLE = [LightevalTaskConfig(
    name="lists", prompt_function=prompt, hf_repo={folder!r}, hf_subset="default", hf_avail_splits=["test"],
    evaluation_splits=["test"], few_shots_split=None, few_shots_select=None, generation_size=48,
    metrics=[Metrics.pass_at_k(sample_params=dict(k=1, n={samples}))], stop_sequence=[], version=0,
)]
"""


def count_pass_at_2(right):
    """Pass@2 of each problem by all pairs of its samples; the mean over problems."""
    pairs = [[any(pair) for pair in itertools.combinations(row, 2)] for row in right]
    return sum(sum(row) / len(row) for row in pairs) / len(pairs)


def test_a_log_of_lm_evaluation_harness(tiny_model, tmp_path):
    data = logs.write_jsonl(
        tmp_path / "data.jsonl", [{"question": f"U:{letter}bc?", "answer": letter} for letter in "abcdefgh"]
    )
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "sums.yaml").write_text(TASK.format(file=data, samples=SAMPLES))
    command = [
        sys.executable,
        "-m",
        "lm_eval",
        "run",
        "--model",
        "hf",
        "--model_args",
        f"pretrained={tiny_model}",
        "--device",
        "cpu",
    ]
    command += ["--tasks", "sums", "--include_path", str(tmp_path / "tasks"), "--log_samples", "--batch_size", "8"]
    subprocess.run([*command, "--output_path", str(tmp_path / "out")], check=True)
    log = load_samples(tmp_path / "out")
    (file,) = (tmp_path / "out").rglob("samples_*.jsonl")
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    right = [[verify(f"\\boxed{{{a}}}", row["target"], "boxed") for a in row["filtered_resps"][0]] for row in rows]
    assert log.correct == [sum(row) for row in right] and log.samples == SAMPLES and sum(log.correct) > 0
    assert log.settings == {"temperature": 1.0, "max_tokens": 12}
    (outcome,) = rank({"a": log}).outcomes
    assert outcome.predictors.get_pass_at(2) == pytest.approx(count_pass_at_2(right))


@pytest.mark.parametrize("form", ["eval", "json"])
def test_a_log_of_inspect(form, tmp_path):
    import inspect_ai
    from inspect_ai.dataset import Sample
    from inspect_ai.model import ModelAPI, ModelOutput, get_model, modelapi
    from inspect_ai.scorer import match
    from inspect_ai.solver import generate

    chance = random.Random(0)

    @modelapi(name=f"scripted{form}")
    class Scripted(ModelAPI):
        async def generate(self, input, tools, tool_choice, config):
            return ModelOutput.from_content(self.model_name, f"try {chance.random()}: {chance.choice('45')}")

        async def count_text_tokens(self, text):
            return 1

        async def count_tokens(self, *arguments, **options):
            return 1

    task = inspect_ai.Task(
        dataset=[Sample(input=f"{n} + 2?", target="4", id=n) for n in range(6)], solver=generate(), scorer=match()
    )
    (told,) = inspect_ai.eval(
        task,
        model=get_model(f"scripted{form}/m"),
        epochs=SAMPLES,
        temperature=1.0,
        log_dir=str(tmp_path),
        log_format=form,
        display="none",
    )
    right = [[s.scores["match"].value == "C" for s in told.samples if s.id == n] for n in range(6)]
    log = load_samples(tmp_path)
    assert log.correct == [sum(row) for row in right] and 0 < sum(log.correct) < 6 * SAMPLES
    assert load_samples(tmp_path, judged=True, answer_format="boxed").no_answer is not None
    (outcome,) = rank({"a": log}).outcomes
    assert outcome.predictors.get_pass_at(2) == pytest.approx(count_pass_at_2(right))


def test_a_log_of_lighteval(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    problems = list(itertools.islice(generate_rows("evaluation", 7), 20))
    logs.write_jsonl(data / "test.jsonl", problems)
    (tmp_path / "task.py").write_text(LIGHTEVAL.format(folder=str(data), samples=SAMPLES))
    model = shutil.copytree(BUILTIN["builtin:list-machine"], tmp_path / "model")
    (model / "generation_config.json").write_text('{"do_sample": true}')  # or lighteval asks for greedy samples
    command = [os.environ["LIGHTEVAL_PYTHON"], "-m", "lighteval", "accelerate"]
    command += [f"model_name={model},generation_parameters={{temperature:1.0}},dtype=float32", "lists"]
    command += ["--custom-tasks", str(tmp_path / "task.py"), "--save-details", "--output-dir", str(tmp_path / "out")]
    subprocess.run(command, check=True, env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"})
    (file,) = (tmp_path / "out").rglob("*.parquet")
    log = load_samples(file.parent, answer_format="word")
    rows = pq.read_table(file).to_pylist()
    right = [[verify(text, row["doc"]["choices"][0], "word") for text in row["model_response"]["text"]] for row in rows]
    assert log.correct == [sum(row) for row in right] and log.samples == SAMPLES
    assert log.truncated is None and log.mean_tokens is None  # the backend fills completions up
    asked = {(row["doc"]["query"], row["doc"]["choices"][0]) for row in rows}
    assert asked == {(problem["question"], problem["answer"]) for problem in problems}
    (outcome,) = rank({"a": log}).outcomes
    assert outcome.predictors.get_pass_at(2) == pytest.approx(count_pass_at_2(right))


def load_from_verl(file, name, monkeypatch):
    """A function or class of verl, without its module, which imports Ray."""
    monkeypatch.syspath_prepend(os.environ["VERL"])
    import orjson

    tree = ast.parse(Path(os.environ["VERL"], "verl", file).read_text())
    (found,) = [node for node in ast.walk(tree) if getattr(node, "name", None) == name]
    found.decorator_list = []
    scope = {"os": os, "json": json, "orjson": orjson}
    exec(compile(ast.Module([found], []), file, "exec"), scope)
    return scope[name]


def test_a_dump_and_a_curve_of_verl(tmp_path, monkeypatch):
    write = load_from_verl("trainer/ppo/ray_trainer.py", "_write_generations", monkeypatch)
    dice = random.Random(3)
    problems = [row for row in itertools.islice(generate_rows("evaluation", 7), 10) for _ in range(SAMPLES)]
    said = [dice.choice([row["answer"], "zzz"]) + f" {number}" for number, row in enumerate(problems)]
    right = [text.startswith(row["answer"]) for text, row in zip(said, problems, strict=True)]
    asked, gold = [row["question"] for row in problems], [row["answer"] for row in problems]
    write(asked, said, gold, [float(r) for r in right], {"acc": right, "pred": said}, str(tmp_path / "dump"), 20)
    log = load_samples(tmp_path / "dump")
    assert log.tool == "verl" and log.samples == SAMPLES
    assert sorted(log.correct) == sorted(sum(right[at : at + SAMPLES]) for at in range(0, len(right), SAMPLES))

    monkeypatch.setenv("VERL_FILE_LOGGER_PATH", str(tmp_path / "curve.jsonl"))
    logger = load_from_verl("utils/tracking.py", "FileLogger", monkeypatch)("project", "run")
    rewards = [0.1, 0.2, 0.4]
    for step, reward in enumerate(rewards, 1):
        logger.log({"critic/score/mean": reward, "actor/lr": 1e-6, "training/global_step": step}, step)
    logger.finish()
    assert read_curve(tmp_path / "curve.jsonl") == ("critic/score/mean", [[step, r] for step, r in enumerate(rewards, 1)])


def test_the_verifier_scores_in_inspect(tmp_path):
    import inspect_ai
    from inspect_ai.dataset import Sample
    from inspect_ai.model import ModelAPI, ModelOutput, get_model, modelapi
    from inspect_ai.solver import generate

    from rlready.rewards.scorers import verifier_scorer

    @modelapi(name="halves")
    class Halves(ModelAPI):
        async def generate(self, input, tools, tool_choice, config):
            return ModelOutput.from_content(self.model_name, "so \\boxed{\\frac{1}{2}}")

        async def count_text_tokens(self, text):
            return 1

        async def count_tokens(self, *arguments, **options):
            return 1

    samples = [Sample(input="1/2?", target=target, id=n) for n, target in enumerate(("0.5", "0.6", "[?!@"))]
    task = inspect_ai.Task(dataset=samples, solver=generate(), scorer=verifier_scorer())
    (told,) = inspect_ai.eval(task, model=get_model("halves/m"), temperature=1.0, log_dir=str(tmp_path), display="none")
    assert [sample.scores["rlready"].value for sample in told.samples[:2]] == [1.0, 0.0]
    log = load_samples(tmp_path)
    assert log.correct == [1, 0, 0] and log.unknown == pytest.approx(1 / 3)


def test_the_verifier_filters_in_lm_evaluation_harness(tiny_model, tmp_path):
    import lm_eval
    from lm_eval.tasks import TaskManager

    from rlready.rewards.scorers import register_filter

    register_filter()
    data = logs.write_jsonl(
        tmp_path / "data.jsonl", [{"question": f"U:{letter}bc?", "answer": letter} for letter in "abcdefgh"]
    )
    text = TASK.format(file=data, samples=1)
    text = (
        text[: text.index("filter_list")] + "filter_list: [{name: judged, filter: [{function: rlready, answer_format: word}]}]"
    )
    (tmp_path / "sums.yaml").write_text(text)
    manager = TaskManager(include_path=str(tmp_path))
    found = lm_eval.simple_evaluate("hf", f"pretrained={tiny_model}", ["sums"], task_manager=manager, device="cpu")
    for row in found["samples"]["sums"]:
        right = verify(row["resps"][0][0], row["target"], "word")
        assert row["filtered_resps"] == [[row["target"] if right else "[wrong]"]] and row["exact_match"] == float(right)
