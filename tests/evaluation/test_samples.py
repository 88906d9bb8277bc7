"""Every sample kept: stages that go on after a kill, a file of bounded size, memory bounded by a part, and the command."""

import dataclasses
import json
import os
import pty
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import psutil
import pyarrow.parquet as pq
import pytest

from rlready.cli.samples import list_files
from rlready.config import Curate, parse_parameters, read_settings, write_settings
from rlready.errors import InputError
from rlready.escape import shorten, show_controls
from rlready.evaluation import parts
from rlready.evaluation.samples import PART, SAMPLES, classify, join_parts, keep_samples, read_rows, write_part
from rlready.models.load import find_model
from rlready.records.outcome import Candidate, KeptSamples, Outcome, SftRecord
from rlready.records.serialization import read_record, to_json
from rlready.sampling.transformers_engine import TransformersEngine
from rlready.stages.benchmark import stage as benchmark
from rlready.stages.curate.curate import curate
from rlready.stages.predictors.measure import measure
from rlready.verifier import find_origin

SOURCE = "builtin:list-machine"
CANDIDATE = Candidate("c", 4, "random", 32, 1e-3, 0)
HOSTILE = "\x1b]0;owned\x07\x1b[2J<script>alert(1)</script>\u202egnp.exe\r\ud83d\x00 end"
SETTINGS = {
    "fixed": {"predictors_samples": 192, "gate_k": 16},
    "sequential": {
        "predictors_sampling": "sequential",
        "predictors_sequential_budget": 4000,
        "gate_k": 64,
        "gate_min_pass_at_k": 0.5,
    },
    "benchmark": {"benchmark_samples": 192},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    out = tmp_path_factory.mktemp("data") / "data"
    counts = dict.fromkeys(("heldout_problems", "rl_problems", "predictor_problems", "benchmark_problems"), 8)
    settings = Curate(sft_data=SOURCE, rl_data=SOURCE, evaluation_data=SOURCE, sft_examples=64, **counts)
    curate(settings, {}, out)
    return out


def parse(mode):
    return parse_parameters({"sampling_max_tokens": 40} | SETTINGS[mode])


def measure_here(mode, tiny_model, data, out):
    """Returns the record of a stage that runs in this process."""
    given = read_settings(write_settings(parse(mode), "benchmark" if mode == "benchmark" else "predictors"))
    if mode == "benchmark":
        return benchmark.measure(CANDIDATE, given, data, str(tiny_model), out)[0]
    return measure(CANDIDATE, given, data, str(tiny_model), out)


def start(mode, tiny_model, data, folder, retries=0):
    """Starts a stage as a pod does."""
    stage = "benchmark" if mode == "benchmark" else "predictors"
    before = folder / "before.json"
    before.write_text(to_json(Outcome(CANDIDATE, SftRecord([[0, 1.0]]))))
    base = {"base_model": dataclasses.asdict(find_model(str(tiny_model), "main"))}
    arguments = {
        "candidate": to_json(CANDIDATE),
        "settings": write_settings(parse(mode), stage, base),
        "data": str(data),
        "model": str(tiny_model),
        "before": str(before),
        "samples": str(folder / "samples"),
        "samples_uri": "s3://bucket/samples",
        "outcome": str(folder / "outcome.json"),
    }
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "RLREADY"))}
    environment |= {"RLREADY_CHECKPOINTS": str(folder / "checkpoints"), "RLREADY_RETRIES": str(retries)}
    code = f"from rlready.run.launch import launch; launch({stage!r}, **{arguments!r})"
    return subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def kill_the_work(process, folder, name, count):
    """Kills the child that does a stage's work once it has some parts, and returns how many completions they hold."""
    while len(list(folder.glob(f"checkpoints/*/{name}"))) < count:
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.005)
    (child,) = psutil.Process(process.pid).children()
    child.send_signal(signal.SIGKILL)
    child.wait()
    return sum(pq.read_metadata(part).num_rows for part in folder.glob("checkpoints/*/*.parquet"))


def compare(one, other):
    """Asserts that two records hold the same, times aside; the last bits of log-probabilities depend on the batch."""
    assert min(one.seconds, other.seconds) > 0
    one, other = (dataclasses.asdict(dataclasses.replace(r, seconds=None, kept=None)) for r in (one, other))
    seen = [record.get("by_products", {}) for record in (one, other)]
    entropies = [some.pop("entropy", None) or 0 for some in seen]
    assert entropies[0] == pytest.approx(entropies[1], rel=1e-5)
    for some in seen:
        some.pop("verdicts_per_second", None)
    assert one == other


@pytest.mark.parametrize(
    ("mode", "name", "count"), [("sequential", "draw-*.parquet", 5), ("benchmark", "sampled-*.parquet", 1)]
)
def test_a_killed_stage_goes_on_and_ends_as_if_it_had_not_been(mode, name, count, tiny_model, data, tmp_path, monkeypatch):
    whole = measure_here(mode, tiny_model, data, tmp_path / "whole")
    process = start(mode, tiny_model, data, tmp_path)
    held = kill_the_work(process, tmp_path, name, count)
    process.wait()
    assert read_record(Outcome, tmp_path / "outcome.json").failure and not (tmp_path / "samples/samples.parquet").exists()
    monkeypatch.setenv("RLREADY_CHECKPOINTS", str(tmp_path / "checkpoints"))
    drawn, sample = [], TransformersEngine.sample

    def spy(self, *given):
        completions = sample(self, *given)
        drawn.append(sum(map(len, completions)))
        return completions

    monkeypatch.setattr(TransformersEngine, "sample", spy)
    again = measure_here(mode, tiny_model, data, tmp_path / "again")
    compare(whole, again)
    assert held > 100 and sum(drawn) + held == whole.kept.rows == again.kept.rows
    assert again.kept == whole.kept
    assert not list((tmp_path / "checkpoints").iterdir())
    files = [tmp_path / folder / "samples.parquet" for folder in ("whole", "again")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_stage_that_is_killed_in_its_pod_goes_on_in_the_next_try(tiny_model, data, tmp_path):
    whole = measure_here("fixed", tiny_model, data, tmp_path / "whole")
    process = start("fixed", tiny_model, data, tmp_path, retries=1)
    kill_the_work(process, tmp_path, "sampled-0.parquet", 1)
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0 and "rlready: attempt 1 of 2 failed: its process was killed" in output, output[-2000:]
    outcome = read_record(Outcome, tmp_path / "outcome.json")
    assert outcome.failure is None and outcome.links["predictors_samples"] == "s3://bucket/samples"
    compare(whole, outcome.predictors)
    rows = pq.read_table(tmp_path / "samples" / "samples.parquet").to_pylist()
    assert len(rows) == 8 * 193 == whole.kept.rows
    sampled = [row for row in rows if row["temperature"] == 1]
    for number, right in enumerate(whole.correct):
        some = sampled[number * 192 : (number + 1) * 192]
        assert len({row["problem_id"] for row in some}) == 1 and [row["sample"] for row in some] == list(range(192))
        assert sum(row["verdict"] == "right" for row in some) == right
    counts = {kind: sum(classify(row) == kind for row in sampled) for kind in whole.kept.counts}
    assert counts == whole.kept.counts and counts["truncated"] > 0


@pytest.mark.parametrize("changed", ["model", "engine", "verifier", "problems", "work"])
def test_samples_of_other_work_are_not_taken_for_its_own(changed, tmp_path, monkeypatch):
    def find_folder(model, engine="e", question="q", work="w"):
        (tmp_path / "model").mkdir(exist_ok=True)
        (tmp_path / "model/weights").write_text(model)
        problems = [{"question": question, "format": "boxed"}]
        given = CANDIDATE, SimpleNamespace(identity=engine), str(tmp_path / "model"), problems, [work], tmp_path / "samples"
        with parts.open_parts("benchmark", *given) as (folder, _):
            return folder

    before = find_folder("m")
    assert find_folder("m") == before
    if changed == "verifier":
        monkeypatch.setattr(parts, "find_origin", lambda form: dataclasses.replace(find_origin(form), version="0.0.0"))
    other = {"model": ["x"], "engine": ["m", "x"], "problems": ["m", "e", "x"], "work": ["m", "e", "q", "x"]}
    assert find_folder(*other.get(changed, ["m"])) != before


def make_row(problem, sample, text, verdict="wrong", **more):
    row = dict.fromkeys(PART.names) | {"problem_id": problem, "sample": sample, "completion": text}
    row |= {"benchmark": "", "prompt": "What?", "gold": "7", "answer": "6", "temperature": 1.0, "seed": 0}
    return row | {"verdict": verdict, "tokens": 5, "finished": True, "logprob": -1.0, "engine": "e"} | more


def write_parts(folder, rows, sizes):
    parts, place = [], 0
    for number, size in enumerate(sizes):
        parts.append(folder / f"part-{number}.parquet")
        write_part(parts[-1], rows[place : place + size], 1.0, 0.5)
        place += size
    return parts


@pytest.mark.parametrize(
    ("limit", "kept"),
    [
        (1000, 12),
        (120, 12),
        (119, 11),  # the last sample of one problem goes
        (60, 6),  # two samples of each of three problems
        (70, 7),  # and a third of the first
        (75, 7),
        (9, 0),
        (0, 0),
    ],
)
def test_above_the_limit_samples_keep_all_but_their_text_and_every_problem_keeps_its_first(limit, kept, tmp_path):
    rows = [make_row(p, s, "é234567890"[:9] if s else "1234567890") for p in "abc" for s in range(4)]  # 10 bytes each
    files = []
    for number, sizes in enumerate(([12], [4, 4, 4], [8, 4])):
        (folder := tmp_path / str(number)).mkdir()
        assert join_parts(write_parts(folder, rows, sizes), folder / "samples.parquet", limit) == 12 - kept
        files.append(folder / "samples.parquet")
    assert len({file.read_bytes() for file in files}) == 1
    table = pq.read_table(files[0])
    assert table["completion"].null_count == 12 - kept
    for name in ("verdict", "answer", "tokens", "finished", "prompt"):
        assert table[name].null_count == 0
    held = [row["problem_id"] for row in table.to_pylist() if row["completion"]]
    assert [held.count(problem) for problem in "abc"] == [(kept + more) // 3 for more in (2, 1, 0)]
    assert pq.ParquetFile(files[0]).metadata.row_group(0).column(0).compression == "ZSTD"


def test_the_record_says_what_was_kept_and_shows_one_of_each_kind(tmp_path):
    rows = [
        make_row("a", 0, "x" * 2000, "right"),
        make_row("a", 1, HOSTILE.replace("\ud83d", "")),
        make_row("a", 2, "on and on", answer=None, finished=False),
        make_row("b", 0, "hm", answer=None, trouble=None),
        make_row("b", 1, "9^9^9", "unknown", trouble="timeout", finished=False),
        make_row("b", 2, "again", "right", finished=False),
        make_row("b", 0, "greedy", "right", temperature=0.0),
    ]
    kept = keep_samples(write_parts(tmp_path, rows, [4, 3]), tmp_path / "out", 0)
    assert (kept.rows, kept.without_text) == (7, 7)
    assert kept.counts == {"right": 2, "wrong": 1, "truncated": 1, "unreadable": 1, "unknown": 1}
    assert [(e.kind, e.problem_id, e.sample) for e in kept.excerpts] == [
        ("right", "a", 0), ("wrong", "a", 1), ("truncated", "a", 2), ("unreadable", "b", 0), ("unknown", "b", 1),
    ]  # fmt: skip
    assert max(len(e.completion) for e in kept.excerpts) == 500
    assert dataclasses.replace(kept, excerpts=[]) == KeptSamples(7, 7, kept.counts)


MEASURE = """
import resource, sys
from pathlib import Path
from rlready.evaluation.samples import keep_samples
from rlready.evaluation.parts import EvaluationProgress, sample_problems
from rlready.evaluation.samples import read_rows
from rlready.evaluation.score import count_samples
from rlready.sampling.engine import Completion, Draw, Engine

class Loud(Engine):
    name, precision = "loud", "float32"
    def encode(self, row): return [0]
    def show(self, row): return row["question"]
    def count_fill(self, samples): return 1
    def sample(self, prompts, keys, draw, progress=None):
        return [[Completion(f"{key}{n}" * 1800 + "#a", list(range(4096)), True) for n in range(draw.samples)] for key in keys]

problems = [{"problem_id": f"{n:03}", "question": "q" * 500, "answer": "a", "format": "word"} for n in range(int(sys.argv[1]))]
folder, samples = Path(sys.argv[2]), int(sys.argv[3])
((*parts,),) = sample_problems(Loud(), problems, [Draw(samples, 4096)], folder, EvaluationProgress(len(problems) * samples))
tally = count_samples(parts, samples)
kept = keep_samples(parts, folder / "out", 10_000)
assert tally.correct == [samples] * len(problems) and kept.without_text == 0
text = sum(len(row["completion"]) for row in read_rows([folder / "out" / "samples.parquet"], ["completion"]))
print(text / 1e6, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)
"""


def test_the_memory_needed_is_that_of_a_part_and_not_that_of_all_texts(tmp_path):
    peaks, texts = [], []
    for problems in (12, 48):
        (folder := tmp_path / str(problems)).mkdir()
        command = [sys.executable, "-c", MEASURE, str(problems), str(folder), "256"]
        text, peak = map(float, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
        texts.append(text)
        peaks.append(peak)
    assert texts[1] - texts[0] > 80  # MB
    assert peaks[1] - peaks[0] < 40


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("two\nlines\tand é 漢 🙂", "two\nlines\tand é 漢 🙂"),
        ("\x1b[31mred\x07", "␛[31mred␇"),
        ("\x7f\x9b", "␡<U+009B>"),
        ("a\u202eb\u200b", "a<U+202E>b<U+200B>"),
        ("\ud83d\u2028", "<U+D83D><U+2028>"),
        ("50 %\r100 %", "50 %␍100 %"),
    ],
)
def test_what_would_steer_a_terminal_is_shown_as_a_sign(text, shown):
    assert show_controls(text) == shown


def test_a_long_text_loses_its_middle():
    assert shorten("a" * 10, 10) == "a" * 10
    assert shorten("begin" + "-" * 100 + "end.", 12) == "begi … end."[:4] + " … " + "-end."


@pytest.fixture
def work(tmp_path, empty_store):
    """Returns a work folder with one finished run whose candidate kept samples."""
    run, place = tmp_path / "runs" / "run-1", tmp_path / "runs" / "artifacts" / "samples"
    run.mkdir(parents=True)
    place.mkdir(parents=True)
    rows = [
        make_row("p1", 0, HOSTILE.replace("\ud83d", ""), prompt="What is\n2 + 5?"),
        make_row("p1", 1, None, "right", answer="7"),
        make_row("p2", 0, "cut", answer=None, finished=False, draw=3),
        make_row("p2", 1, "9^9", "unknown", trouble="timeout"),
    ]
    kept = keep_samples(write_parts(place, rows[:1] + rows[2:], [1, 2]), place, 100)
    join_parts(write_parts(place, rows, [2, 2]), place / "samples.parquet")
    from rlready.records.outcome import BenchmarkRecord, PredictorsRecord

    links = {"predictors_samples": str(place), "benchmark_samples": "s3://bucket/samples"}
    outcome = Outcome(CANDIDATE, predictors=PredictorsRecord(kept=kept), links=links)
    base = Outcome(dataclasses.replace(CANDIDATE, candidate_id="no-sft-s0", epochs=0), benchmark=BenchmarkRecord())
    held = {"outcomes": [dataclasses.asdict(outcome)], "baseline": dataclasses.asdict(base), "parameters": {}}
    (run / "outcomes.json").write_text(json.dumps(held))
    return tmp_path / "runs"


def call(*arguments, cwd):
    command = [sys.executable, "-m", "rlready.cli", "samples", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd)


def test_the_command_shows_what_was_asked_for_and_steers_no_terminal(work):
    counts = call("--work", work, cwd=work)
    assert counts.returncode == 0 and "predictors" in counts.stdout, counts.stderr
    assert "truncated  no answer  unknown" in counts.stdout.splitlines()[0]
    assert counts.stdout.splitlines()[1].split() == ["c", "predictors", "3", "0", "1", "1", "0", "1", "0"]
    whole = call("run-1", "--work", work, "--candidate", "c", cwd=work)
    assert whole.returncode == 0 and whole.stdout.count("--- ") == 4, whole.stderr
    assert "␛]0;owned␇␛[2J<script>" in whole.stdout and "<U+202E>gnp.exe␍␀ end" in whole.stdout
    assert all(c == "\n" or ord(c) >= 32 for c in whole.stdout)
    assert "prompt      What is\n            2 + 5?\n" in whole.stdout
    assert "not kept: beyond the limit samples_text_mb" in whole.stdout and "judgement   unknown (timeout)" in whole.stdout
    for options, found in {
        ("--wrong",): 2, ("--right",): 1, ("--truncated",): 1, ("--no-answer", "--right"): 2, ("--unknown",): 1,
    }.items():  # fmt: skip
        shown = call("--work", work, "--candidate", "c", *options, cwd=work).stdout
        assert shown.count(f" of {found} | ") == found == shown.count("--- "), options
    assert (
        "2 of 2 | p2 | draw 3, sample 0 | 5 tokens, truncated"
        in call("--work", work, "--candidate", "c", "--wrong", cwd=work).stdout
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--candidate", "cc"], "--candidate cc: not in this run; did you mean c?"),
        (
            ["--candidate", "c", "--stage", "benchmark"],
            "its samples are not on this machine; they were written to s3://bucket/samples",
        ),
        (["--candidate", "base"], "base: predictors kept no samples in this run"),
        (["run-9"], "no finished run here"),
    ],
)
def test_what_is_not_there_is_one_line(options, said, work):
    done = call(*options, "--work", work, cwd=work)
    assert done.returncode == 2 and said in done.stderr and len(done.stderr.splitlines()) == 1


def test_in_a_terminal_a_pager_shows_them(work):
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "rlready.cli", "samples", "--work", str(work), "--candidate", "c"]
    environment = os.environ | {"PAGER": f"head -n 1 {'--'}"}
    process = subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower, env=environment)
    assert process.wait(timeout=60) == 0
    os.close(follower)
    assert os.read(leader, 10_000).decode().splitlines() == ["--- 1 of 4 | p1 | sample 0 | 5 tokens"]


def test_an_older_evaluation_and_one_that_is_not_finished_can_be_read(tmp_path):
    import pyarrow as pa

    old = {"benchmark": ["b"] * 3, "problem_id": list("abc"), "temperature": [0.0, 1.0, 1.0], "completion": ["x"] * 3}
    old |= {"right": [True, False, None], "finished": [True] * 3, "answer": ["1", None, "2"], "tokens": [1, 2, 3]}
    pq.write_table(pa.table(old), tmp_path / "old.parquet")
    rows = list(read_rows([tmp_path / "old.parquet"], SAMPLES.names))
    assert [row["verdict"] for row in rows] == ["right", "wrong", "unknown"] and rows[0]["draw"] is None
    (tmp_path / "parts").mkdir()
    for name in ("sampled-10", "sampled-2", "greedy-0"):
        (tmp_path / "parts" / f"{name}.parquet").touch()
    assert [part.stem for part in list_files(tmp_path)] == ["greedy-0", "sampled-2", "sampled-10"]
    with pytest.raises(InputError, match="holds no samples"):
        list(read_rows([tmp_path / "parts" / "greedy-0.parquet"], ["verdict"]))
