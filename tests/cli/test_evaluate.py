"""A model on benchmarks: numbers against the stored samples, going on after a kill, intervals, and what is refused."""

import dataclasses
import fcntl
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from types import SimpleNamespace

import mlflow
import numpy as np
import pyarrow.parquet as pq
import pytest

from rlready.cli.evaluate import describe_speed
from rlready.config import Sampling
from rlready.data.registry import Source, find_benchmarks
from rlready.errors import InputError
from rlready.evaluation.evaluate import Results, describe_results, evaluate, plan_evaluation
from rlready.evaluation.parts import EvaluationProgress, choose_size
from rlready.evaluation.samples import PART, write_part
from rlready.evaluation.score import count_samples, share_unknown
from rlready.evaluation.suite import average, score_benchmark, score_suite
from rlready.list_machine.problems import write_problem
from rlready.sampling.engine import Completion, Engine
from rlready.stats.pass_at_k import estimate_pass_at_k

WORDS = "builtin:list-machine"
ROWS = [
    dict(zip(("question", "answer"), write_problem(random.Random(n), 1), strict=True)) | {"format": "word"} for n in range(20)
]


def start(folder, *options, benchmarks=WORDS):
    command = [sys.executable, "-m", "rlready.cli", "evaluate", "--model", WORDS, "--benchmarks", benchmarks]
    command += ["--work", str(folder), "--set", "sampling_max_tokens=32", *options]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW")}
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell has what it starts in the background ignore Ctrl-C, and these tests with it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        env=environment,
    )


def run(folder, *options, **more):
    process = start(folder, *options, **more)
    shown, errors = process.communicate(timeout=300)
    return process.returncode, shown, errors


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    """Returns a benchmark of two subjects, with a row that is left out, as a file."""
    path = tmp_path_factory.mktemp("data") / "mine.jsonl"
    rows = [row | {"type": "even" if n % 2 else "odd"} for n, row in enumerate(ROWS)]
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"question": "", "answer": "x", "type": "odd"}, rows[0]]))
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory, mine):
    """Returns the work folder of an evaluation that nobody stopped, and what it printed."""
    folder = tmp_path_factory.mktemp("whole")
    sources = {"mine": {"path": str(mine), "columns": {"question": "question", "answer": "answer", "subject": "type"}}}
    options = ("--limit", "40", "--samples", "4", "--set", f"curate_sources={json.dumps(sources)}")
    status, shown, errors = run(folder, *options, "--output", str(folder / "out"), benchmarks=f"{WORDS},mine")
    assert status == 0, errors
    return folder, shown, options


def test_the_numbers_are_those_of_the_stored_samples(whole):
    folder, shown, _ = whole
    rows = pq.read_table(folder / "out" / "samples.parquet").to_pylist()
    results = json.loads((folder / "out" / "results.json").read_text())
    assert len(rows) == (40 + 20) * 5
    for score in results["scores"]:
        right = defaultdict(list)
        for row in rows:
            if row["benchmark"] == score["benchmark"] and row["temperature"] == 1:
                right[row["problem_id"]].append(row["verdict"] == "right")
        correct = [sum(some) for some in right.values()]
        assert {len(some) for some in right.values()} == {4}
        assert score["pass_at_1"] == pytest.approx(np.mean(correct) / 4)
        assert score["standard_error"] == pytest.approx(np.std(correct, ddof=1) / 4 / len(correct) ** 0.5)
        for k, value, low, high in score["curve"]:
            assert value == pytest.approx(estimate_pass_at_k(correct, 4, int(k)).value) and low <= value <= high
        greedy = [r["verdict"] == "right" for r in rows if r["benchmark"] == score["benchmark"] and r["temperature"] == 0]
        assert score["greedy"] == pytest.approx(np.mean(greedy))
        assert f"{score['pass_at_1']:.3f} ± {score['standard_error']:.3f}" in shown
    ours = results["scores"][1]
    assert [(name, count) for name, count, *_ in ours["subjects"]] == [("even", 10), ("odd", 10)]
    assert results["left_out"]["mine"] == {"no question": 1, "duplicate": 1}
    assert "left out: 1 x no question; left out: 1 x duplicate" in shown
    assert results["mean"]["pass_at_1"] == pytest.approx(np.mean([score["pass_at_1"] for score in results["scores"]]))
    assert all((row["verdict"] == "right") == (row["answer"] == row["gold"]) for row in rows)
    assert {row["tokens"] > 0 for row in rows} == {True} and len({row["completion"] for row in rows}) > 10


def test_the_same_command_again_draws_nothing_and_logs_once(whole):
    folder, shown, options = whole
    before = (folder / "out" / "samples.parquet").read_bytes()
    status, again, errors = run(folder, *options, "--output", str(folder / "out"), benchmarks=f"{WORDS},mine")
    assert (status, again.strip()) == (0, shown[shown.index("benchmark ") :].strip())
    assert "sampling with" in shown and not errors
    assert (folder / "out" / "samples.parquet").read_bytes() == before
    client = mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    (logged,) = client.search_runs([client.get_experiment_by_name("rlready").experiment_id])
    results = json.loads((folder / "out" / "results.json").read_text())
    assert logged.data.metrics["mine/pass_at_1"] == results["scores"][1]["pass_at_1"]
    assert logged.data.metrics["mean/pass_at_1"] == results["mean"]["pass_at_1"]
    assert {file.path for file in client.list_artifacts(logged.info.run_id)} == {"results.json", "samples.parquet"}
    assert [entry.dataset.name for entry in logged.inputs.dataset_inputs] == [WORDS, "mine"]


def test_a_killed_evaluation_goes_on_and_ends_as_if_it_had_not_been(whole, tmp_path):
    folder, shown, options = whole
    suite = {"benchmarks": f"{WORDS},mine"}
    process = start(tmp_path, *options, "--output", str(tmp_path / "out"), **suite)
    parts = tmp_path / "out" / "parts"
    while not (parts.exists() and list(parts.glob("*.parquet"))):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished = {path: path.stat().st_mtime_ns for path in parts.glob("*.parquet")}
    assert 0 < len(finished) < 4 and not (tmp_path / "out" / "results.json").exists()
    status, again, _ = run(tmp_path, *options, "--output", str(tmp_path / "out"), **suite)
    assert status == 0 and again.splitlines()[:-1] == shown.splitlines()[:-1]
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    for name in ("samples.parquet", "results.json"):
        assert (tmp_path / "out" / name).read_bytes() == (folder / "out" / name).read_bytes()


def test_a_stopped_evaluation_says_how_far_it_is_and_how_to_go_on(tmp_path):
    process = start(tmp_path, "--limit", "400", "--samples", "64", "--output", str(tmp_path / "out"))
    parts = tmp_path / "out" / "parts"
    while not (parts.exists() and list(parts.glob("*.parquet"))):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in errors
    assert f"{WORDS}: 0 of 26000 completions" in errors
    assert "stopped; rerun the same command to resume" in errors and str(tmp_path / "out") in errors


class SlowEngine(Engine):
    """Answers after some seconds of a clock of its own, longer and longer in a benchmark."""

    name, precision, clock = "slow", "float32", 0.0

    def encode(self, row):
        return [0]

    def show(self, row):
        return row["question"]

    def sample(self, prompts, keys, draw, progress=lambda done, tokens: None):
        SlowEngine.clock += sum(1 + number % 7 for number, _ in enumerate(prompts)) / 2
        progress(len(prompts) * draw.samples, len(prompts) * draw.samples * 10)
        return [[Completion("#a", [1] * 10, True)] * draw.samples for _ in prompts]


def test_no_part_takes_a_minute_and_parts_go_on_where_others_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[evaluate.__module__], "_open_engine", lambda *_: SlowEngine())
    clock = SimpleNamespace(monotonic=lambda: SlowEngine.clock)
    monkeypatch.setattr(sys.modules[choose_size.__module__], "time", clock)
    (benchmark,) = find_benchmarks([WORDS])
    plan = plan_evaluation(WORDS, "main", [benchmark], 3, 90, Sampling())
    told = []
    whole = evaluate(plan, tmp_path / "whole", lambda p: told.append(dataclasses.replace(p)))
    assert [p.done for p in told] == sorted(p.done for p in told) and told[-1].done == told[-1].total == 90 * 4
    assert told[-1].tokens == 10 * 90 * 4 and told[0].benchmark == WORDS
    firsts = sorted(int(p.stem.removeprefix("sampled-")) for p in (tmp_path / "whole/parts").glob("sampled-*"))
    sizes = np.diff([*firsts, 90])
    assert firsts[0] == 0 and 1 < max(sizes) <= 20 and len(firsts) > 5  # half a minute at 2 seconds a problem
    killed = evaluate(plan, tmp_path / "killed", lambda p: None)
    for first in firsts[len(firsts) // 2 :]:
        (tmp_path / f"killed/parts/sampled-{first}.parquet").unlink()
    again = evaluate(plan, tmp_path / "killed", lambda p: None)
    assert 0 < again.sampled < 90 * 4 and killed.scores == again.scores == whole.scores
    names = [tmp_path / folder / "samples.parquet" for folder in ("whole", "killed")]
    assert names[0].read_bytes() == names[1].read_bytes()


@pytest.mark.parametrize("left", [".evaluation.json.x1", "evaluation.json"])
def test_an_evaluation_killed_while_its_folder_was_made_starts_again(tmp_path, monkeypatch, left):
    monkeypatch.setattr(sys.modules[evaluate.__module__], "_open_engine", lambda *_: SlowEngine())
    plan = plan_evaluation(WORDS, "main", find_benchmarks([WORDS]), 3, 2, Sampling())
    whole = evaluate(plan, tmp_path / "whole", lambda progress: None)
    written = (tmp_path / "whole/evaluation.json").read_text()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / left).write_text(written if left == "evaluation.json" else written[:9])
    assert evaluate(plan, tmp_path / "out", lambda progress: None).scores == whole.scores


def test_two_processes_do_not_write_one_evaluation(whole):
    folder, _, options = whole
    with open(folder / "out" / ".in-use", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        status, _, errors = run(folder, *options, "--output", str(folder / "out"), benchmarks=f"{WORDS},mine")
    assert status == 2 and "another process evaluates into this folder" in errors


@pytest.mark.parametrize(("problems", "seconds", "size"), [(1, 90, 1), (1, 5, 4), (8, 20, 12), (8, 120, 2), (4, 0.5, 32)])
def test_the_size_of_a_part_follows_from_the_time_that_the_last_one_took(problems, seconds, size):
    assert choose_size(problems, seconds) == size


def test_the_speed_and_the_rest_are_of_this_call():
    assert describe_speed(EvaluationProgress(100, 40, 40, "b", 0), 5.0) == ""
    assert describe_speed(EvaluationProgress(100, 40, 60, "b", 2000), 20.0) == "100 tokens/s, about 0:40 left"
    assert describe_speed(EvaluationProgress(100, 40, 100, "b", 6000), 60.0) == "100 tokens/s"


def test_another_evaluation_is_not_mixed_in(whole):
    folder, _, options = whole
    output = ("--output", str(folder / "out"))
    for changed, named in {("--samples", "3"): "samples", ("--set", "sampling_seed=1"): "sampling"}.items():
        status, _, errors = run(folder, *options, *output, *changed, benchmarks=f"{WORDS},mine")
        assert status == 2 and f"holds another evaluation (other {named})" in errors
    # Another engine or precision, which auto may choose on another machine, is another evaluation.
    written = folder / "out" / "evaluation.json"
    ours = json.loads(written.read_text())
    assert ours["sampling"]["engine"] == "transformers" and ours["precision"] == "float32"
    written.write_text(json.dumps(ours | {"precision": "bfloat16", "sampling": ours["sampling"] | {"engine": "vllm"}}))
    status, _, errors = run(folder, *options, *output, benchmarks=f"{WORDS},mine")
    assert status == 2 and "holds another evaluation (other sampling, precision)" in errors
    written.write_text(json.dumps({key: value for key, value in ours.items() if key != "form"}))
    status, _, errors = run(folder, *options, *output, benchmarks=f"{WORDS},mine")
    assert status == 2 and "an older version of rlready wrote this evaluation; give another --output (rlready samples" in errors
    written.write_text(json.dumps(ours))
    status, _, errors = run(folder, *options, "--output", str(folder))
    assert status == 2 and "is not empty and holds no evaluation" in errors


@pytest.mark.parametrize(
    ("benchmarks", "options", "message"),
    [
        ("gsm8k,gsm8k", [], "two benchmarks, gsm8k and gsm8k, are both called gsm8k"),
        ("gsm8k,openai/gsm8k", [], "gsm8k and openai/gsm8k, are the same data"),
        ("gsm8kk", [], "did you mean gsm8k"),
        (",", [], "no benchmark is named"),
        (WORDS, [], "is infinite; give a number of problems with --limit"),
        (WORDS, ["--limit", "-1"], "must be 0 or more"),
        (WORDS, ["--limit", "3", "--set", "rl_steps=3"], "evaluate takes sampling_"),
        (WORDS, ["--limit", "3", "--set", "sampling_max_tokens=many"], "expected int"),
        (WORDS, ["--limit", "3", "--work", "why?"], "why?: MLflow cannot write below"),
    ],
)
def test_bad_input_is_one_line(tmp_path, benchmarks, options, message):
    status, _, errors = run(tmp_path, *options, benchmarks=benchmarks)
    assert status == 2 and message in errors and len(errors.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_sample_without_a_verdict_counts_as_not_right_and_is_told(tmp_path):
    tallies = []
    for samples, verdicts in {1: ("unknown", "right"), 2: ("right", "unknown", "wrong", "wrong")}.items():
        blank = dict.fromkeys(PART.names) | {"tokens": 1, "finished": True, "logprob": 0.0, "checks": 2}
        write_part(tmp_path / f"{samples}.parquet", [blank | {"verdict": verdict} for verdict in verdicts], 1.0, 1.0)
        tallies.append(count_samples([tmp_path / f"{samples}.parquet"], samples))
    greedy, sampled = tallies
    assert (sampled.correct, greedy.correct) == ([1, 0], [0, 1])
    problems = [{"benchmark": "x", "problem_id": "a"}, {"benchmark": "x", "problem_id": "b"}]
    (score,) = score_suite(problems, 2, sampled.correct, greedy.correct, share_unknown(*tallies))
    assert (score.pass_at_1, score.greedy) == (0.25, 0.5) and score.unknown == 1 / 2
    shown = describe_results(SimpleNamespace(benchmarks=[SimpleNamespace(left_out={})]), Results([score], average([score]), 6))
    assert "not judged: 50.0%, counted as wrong" in shown  # of the greedy answers, which is more than of the samples


def test_a_benchmark_without_a_usable_problem_and_files_of_one_name_are_refused(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "test.jsonl").write_text('{"question": "", "answer": ""}\n')
    names = [str(tmp_path / folder / "test.jsonl") for folder in ("a", "b")]
    with pytest.raises(InputError, match="are both called test; rename a file"):
        find_benchmarks(names)
    with pytest.raises(InputError, match="no usable problem .1 x no question"):
        plan_evaluation(WORDS, "main", [Source(names[0], path=names[0])], 1, 0, Sampling())
    with pytest.raises(InputError, match="./nowhere is neither a folder nor a hub id"):
        plan_evaluation("./nowhere", "main", [Source(WORDS)], 1, 3, Sampling())


def test_multiple_choice_has_a_chance_and_no_pass_at_k():
    score = score_benchmark("b", [{"options": 4}, {"options": 2}], 4, [4, 0], [1, 0])
    assert (score.chance, score.curve, score.pass_at_1) == (0.375, [], 0.5)


@pytest.mark.parametrize("rates", [(0.5, 0.3, 0.7), (0.02, 0.5, 0.9), (0.0, 0.1, 0.05)])
def test_the_interval_of_the_mean_covers(rates):
    """Three benchmarks of 20, 100 and 400 problems whose difficulties are drawn anew."""
    rng, covered, studies, samples = np.random.default_rng(0), 0, 1000, 8
    for _ in range(studies):
        scores = []
        for rate, problems in zip(rates, (20, 100, 400), strict=True):
            easy = rng.beta(2 * rate, 2 * (1 - rate), problems) if rate else np.zeros(problems)
            correct = rng.binomial(samples, easy)
            scores.append(score_benchmark("b", [{}] * problems, samples, correct.tolist(), [0] * problems))
        low, high = average(scores).interval
        covered += low <= np.mean(rates) <= high
    assert covered / studies >= 0.93, covered / studies


def test_a_problem_of_two_benchmarks_counts_once_in_the_standard_error():
    """Of 100 and 80 problems 60 are the same; and a benchmark twice is as uncertain as once."""
    rng, means, errors, covered, studies, samples = np.random.default_rng(0), [], [], 0, 1000, 4
    for _ in range(studies):
        correct = rng.binomial(samples, rng.beta(1, 1, 120))
        parts = [(range(100), "a"), (range(40, 120), "b")]
        scores = [
            score_benchmark(name, [{"problem_id": n} for n in ids], samples, correct[list(ids)].tolist(), [0] * len(ids))
            for ids, name in parts
        ]
        mean = average(scores)
        means.append(mean.pass_at_1)
        errors.append(mean.standard_error)
        covered += mean.interval[0] <= 0.5 <= mean.interval[1]
    assert np.mean(errors) == pytest.approx(np.std(means), rel=0.06)
    assert 0.93 <= covered / studies <= 0.97, covered / studies
    twice = average([scores[0], dataclasses.replace(scores[0], benchmark="c")])
    assert twice.standard_error == pytest.approx(scores[0].standard_error)
    assert twice.interval == pytest.approx(scores[0].interval)
    solved = score_benchmark("a", [{"problem_id": n} for n in range(9)], 1, [1] * 9, [1] * 9)
    assert average([solved, dataclasses.replace(solved)]).interval == pytest.approx(solved.interval)
