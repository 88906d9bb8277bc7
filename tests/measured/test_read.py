"""Logs of other tools: the same samples give the same counts, and what cannot be used is one line with file and row."""

import bz2
import csv
import functools
import gzip
import json
import lzma
import re
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import logs

from rlready.errors import InputError
from rlready.measured.loss import read_loss
from rlready.measured.read import load_candidates, load_samples


@pytest.mark.parametrize(
    ("write", "tool"),
    [
        (logs.write_lm_eval, "lm-evaluation-harness"),
        (lambda folder: logs.write_lm_eval(folder, filters=("first", "all")), "lm-evaluation-harness"),
        (logs.write_inspect, "Inspect"),
        (lambda folder: logs.write_inspect(folder, packed=False), "Inspect"),
        (logs.write_lighteval, "lighteval"),
        (logs.write_verl, "verl"),
        (lambda folder: logs.write_verl(folder, wrong=-1.0), "verl"),
        (logs.write_trl, "TRL"),
        (logs.write_open_instruct, "open-instruct"),
        (logs.write_plain, "plain"),
        (logs.write_judged, "plain"),
        (logs.write_counts, "plain"),
    ],
)
def test_the_same_samples_give_the_same_counts_whichever_tool_logged_them(write, tool, tmp_path):
    path = write(tmp_path)
    for place in (path, tmp_path):
        log = load_samples(place)
        assert (log.tool, log.correct, log.samples, log.unknown) == (tool, logs.CORRECT, 4, 0)
    value, low, high = log.pass_at_k(2)
    assert value == pytest.approx((5 / 6 + 0 + 1) / 3) and low < value < high
    assert log.to_pandas()["correct"].tolist() == logs.CORRECT


def list_places(value, place=()):
    """Returns the keys that lead to every value within a value, the first of each list."""
    parts = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    return [place, *(below for key, part in parts for below in list_places(part, (*place, key)))][not place :]


def change(value, place, new):
    """Returns a copy with another value at a place, or with none if it is "gone"."""
    copy = json.loads(json.dumps(value))
    *above, key = place
    holder = functools.reduce(lambda part, one: part[one], above, copy)
    holder[key] = new
    if new == "gone":
        del holder[key]
    return copy


@pytest.mark.parametrize("write", [logs.write_lm_eval, logs.unpack_inspect, logs.write_verl, logs.write_open_instruct])
def test_a_log_that_lacks_a_value_or_has_another_is_read_or_refused_by_row(write, tmp_path):
    path = write(tmp_path)
    text = path.read_text()
    rows = [json.loads(text)] if path.suffix == ".json" else list(map(json.loads, text.splitlines()))
    for place in list_places(rows[-1]):
        for new in ("gone", None, "x", -5, [], {}, [None]):
            changed = [*rows[:-1], change(rows[-1], place, new)]
            path.write_text(
                json.dumps(changed[0]) if path.suffix == ".json" else "".join(json.dumps(row) + "\n" for row in changed)
            )
            try:
                log = load_samples(path)
            except InputError as error:
                assert str(tmp_path) in str(error), (place, new)
            else:
                assert all(0 <= correct <= log.samples for correct in log.correct)


@pytest.mark.parametrize(("open_packed", "suffix"), [(gzip.open, ".gz"), (bz2.open, ".bz2"), (lzma.open, ".xz")])
def test_a_compressed_log_is_read_like_any_other(open_packed, suffix, tmp_path):
    plain = logs.write_plain(tmp_path)
    with open_packed(f"{plain}{suffix}", "wb") as file:
        file.write(plain.read_bytes())
    assert load_samples(f"{plain}{suffix}").correct == logs.CORRECT


def test_a_log_and_a_loss_behind_a_url_are_read_and_called_by_it(tmp_path):
    url = logs.write_plain(tmp_path).as_uri()
    log = load_samples(url)
    assert (log.correct, log.path) == (logs.CORRECT, url)
    (tmp_path / "loss.jsonl").write_text('{"nats": 6, "tokens": 3}\n')
    assert read_loss((tmp_path / "loss.jsonl").as_uri()).value == 2
    (tmp_path / "bad.jsonl").write_text('{"problem": "a", "correct": 0.5}\n')
    bad = (tmp_path / "bad.jsonl").as_uri()
    with pytest.raises(InputError, match=f"^{re.escape(bad)} line 1: the score 0.5"):
        load_samples(bad)


def test_a_long_completion_in_a_csv_file_is_read(tmp_path):
    csv.field_size_limit(131_072)  # what csv allows unless told otherwise
    thought = "so " * 60_000
    (tmp_path / "log.csv").write_text(f'problem,completion,reference\na,"{thought}\\boxed{{4}}",4\n')
    assert load_samples(tmp_path).correct == [1]


def test_tables_with_other_separators_and_worked_references_are_read(tmp_path):
    (tmp_path / "log.csv").write_text("problem;correct;samples\na;1;4\n")
    assert load_samples(tmp_path / "log.csv").correct == [1]
    (tmp_path / "log.tsv").write_text("id\tresponse\tanswer\na\t\\boxed{2}\t1+1 #### 2\n")
    assert load_samples(tmp_path / "log.tsv").correct == [1]


def test_what_decides_is_chosen_by_name_and_said(tmp_path):
    path = logs.write_lm_eval(tmp_path, filters=("first", "all"))
    assert load_samples(path).notes == ["sums: filter first, each response judged by rlready's verifier"]
    assert load_samples(path, "all").notes == ["sums: filter all, each response judged by rlready's verifier"]
    assert load_samples(logs.write_verl(tmp_path, acc=1), "acc").correct == [4, 4, 4]
    assert load_samples(logs.write_verl(tmp_path, acc=0)).correct == [0, 0, 0]  # acc before score
    assert load_samples(logs.write_trl(tmp_path, format=0.5), "accuracy").correct == logs.CORRECT


def test_what_a_log_does_not_say_is_unknown_and_never_wrong(tmp_path):
    rows = [{"problem": "a", "correct": value} for value in (1, None, float("nan"), "", 0)]
    log = load_samples(logs.write_plain(tmp_path, rows=rows))
    assert (log.correct, log.samples, log.unknown, log.truncated) == ([1], 5, 0.6, None)
    failed = load_samples(logs.write_inspect(tmp_path, error={"message": "out of memory"}))
    assert failed.correct == [0, 0, 0] and failed.unknown == 1


def test_the_verifier_says_how_often_the_logs_own_score_differs(tmp_path):
    log = load_samples(logs.write_verl(tmp_path, right=0.0, wrong=1.0), judged=True)
    assert log.correct == logs.CORRECT and log.disagreement == (12, 12) and log.checks == 2
    assert "differ on 12 of 12 samples" in log.notes[-1]


def test_only_as_many_samples_count_as_every_problem_has(tmp_path):
    rows = [{"problem": p, "correct": 1} for p in "aaab"] + [{"problem": "b", "correct": 0}]
    log = load_samples(logs.write_plain(tmp_path, rows=rows))
    assert (log.correct, log.samples) == ([2, 1], 2) and "2 to 3 samples per problem" in log.notes[-1]


def test_a_log_names_its_candidates(tmp_path):
    rows = [{"candidate": name, "problem": "a", "correct": name == "x"} for name in "xyxy"]
    found = load_candidates(logs.write_plain(tmp_path, rows=rows))
    assert {name: log.correct for name, log in found.items()} == {"x": [2], "y": [0]}
    with pytest.raises(InputError, match="holds the candidates x, y"):
        load_samples(tmp_path)


def _write(text, name="log.jsonl"):
    def write(folder):
        (folder / name).write_text(text)

    return write


def _rows(*rows):
    return _write("".join(json.dumps(row) + "\n" for row in rows))


def _twice(folder):
    shutil.copy(logs.write_lm_eval(folder), folder / "samples_sums_2026-11-30T00-00-00.000000.jsonl")


def _join(folder):
    path = logs.write_lm_eval(folder)
    path.write_text(path.read_text() * 2)


def _two_steps(folder):
    logs.write_verl(folder, step=100)
    logs.write_verl(folder, step=200)


def _mixed(folder):
    logs.write_verl(folder)
    logs.write_plain(folder)


def _cut(folder):
    path = logs.write_inspect(folder)
    path.write_bytes(path.read_bytes()[:-300])


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (_write(""), "log.jsonl: is empty"),
        (_write("{'problem': 1}\n"), "log.jsonl line 1: not JSON"),
        (_write('{"problem": 1, "problem": 2, "correct": 1}\n'), "line 1: the key 'problem' occurs twice"),
        (_write("[1, 2]\n"), "rows with 0, 1 are of no known tool"),
        (_write('[["problem", "correct"], ["a", 1]]', "log.json"), "row 0: a list, not an object; write each row as"),
        (
            _rows(*({"candidate": name, "problem": "a", "correct": 1} for name in ("x", None))),
            "line 2: some rows name a candidate",
        ),
        (_rows({"loss": 1.2}), "rows with loss are of no known tool"),
        (_rows({"problem": "a", "correct": 1}, {"problem": "a"}), "line 2: has neither 'correct' nor a completion"),
        (_rows({"problem": "a", "correct": 0.5}), "line 1: the score 0.5 is neither right (1) nor wrong (0)"),
        (_rows({"problem": "a", "correct": 5, "samples": 4}), "line 1: 5 correct of 4 samples is impossible"),
        (_rows({"problem": "a", "correct": 1.5, "samples": 4}), "line 1: correct is 1.5, not a whole number"),
        (_rows({"problem": "", "correct": 1}), "line 1: names no problem"),
        (_rows(*({"problem": p, "correct": 1, "samples": n} for p, n in (("a", 4), ("b", 8)))), "counts of 4 to 8 samples"),
        (_rows(*({"problem": "a", "text": t, "correct": 1} for t in "xy")), "line 2: the text or prompt of problem a differs"),
        (_rows(*({"problem": "a", "correct": 1, "completion": "x"} for _ in range(8))), "88% of the samples repeat an earlier"),
        (_rows(*({"problem": "a", "correct": 1, "temperature": t} for t in (1, 0.6))), "line 2: temperature is 0.6"),
        (
            _rows(*({"problem": "a", "correct": 1, "samples": 4} for _ in range(2))),
            "line 2: an earlier row has counts of a",
        ),
        (_write("problem,correct,correct\na,1,1\n", "log.csv"), "the header names 'correct' twice"),
        (_write("problem,correct\na,1,1\n", "log.csv"), "row 0: 3 cells, the header has 2"),
        (_write("problem,correct\na,1\nproblem,correct\na,0\n", "log.csv"), "row 1: the header again"),
        (_write("| problem | correct |\n|---|---|\n| a | 1 |\n", "log.csv"), "line 1: a table of Markdown"),
        (_rows({"problem": float("nan"), "correct": 1}), "line 1: names no problem"),
        (_rows({"problem": "a", "correct": 1, "completion": ["x", "y"]}), "completion and correct must be lists of one length"),
        (_rows({"problem": "a", "completion": [5, 6], "reference": "4"}), "completion lists numbers, not texts"),
        (_rows({"problem": "a", "correct": []}), "line 1: correct must be lists of one length, not empty"),
        (_write("not a table", "log.parquet"), "not a readable Parquet file"),
        (lambda folder: logs.write_lm_eval(folder, temperature=0.0) and _repeat(folder), "sampled at temperature 0"),
        (_twice, "sums was logged more than once"),
        (_join, "line 4: document 0 a second time"),
        (_two_steps, "holds 2 steps (100, 200); keep the rows of one"),
        (lambda folder: logs.write_verl(folder, right=0.9, wrong=0.1) and _add_reward(folder), "score is 0.1, 0.5, 0.9"),
        (lambda folder: logs.write_trl(folder, style=1.0), "rewards are accuracy, style; name one with --score"),
        (lambda folder: logs.write_inspect(folder, status="cancelled"), "did not end well (status cancelled)"),
        (_cut, "not a whole log of Inspect"),
        (_mixed, "holds logs of verl and plain"),
        (lambda folder: None, "holds no log that is recognised"),
    ],
)
def test_what_cannot_be_used_is_one_line_with_file_and_row(write, said, tmp_path):
    write(tmp_path)
    with pytest.raises(InputError, match=re.escape(said)) as caught:
        load_samples(tmp_path)
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)


def _repeat(folder):
    """Every response of a greedy log is the same."""
    (path,) = folder.iterdir()
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    logs.write_jsonl(path, [row | {"resps": [row["resps"][0][:1] * 4]} for row in rows])


def _add_reward(folder):
    (path,) = folder.iterdir()
    row = json.loads(path.read_text().splitlines()[0]) | {"score": 0.5}
    path.write_text(path.read_text() + json.dumps(row) + "\n")


@pytest.mark.parametrize("write", [logs.write_inspect, logs.write_lm_eval, logs.write_trl])
def test_a_score_that_is_not_there_is_refused_with_those_that_are(write, tmp_path):
    with pytest.raises(InputError, match="match, model_graded|exact_match|prompt, completion"):
        load_samples(write(tmp_path), "nothing")


def test_repeats_are_accepted_when_asked_for(tmp_path):
    rows = [{"problem": "a", "correct": 1, "completion": "x"} for _ in range(8)]
    assert load_samples(logs.write_plain(tmp_path, rows=rows), repeats=True).correct == [8]


def test_completions_that_lighteval_filled_up_have_no_known_length(tmp_path):
    path = logs.write_lighteval(tmp_path)
    assert load_samples(path).truncated == 0.25
    rows = pq.read_table(path).to_pylist()
    for row in rows:
        row["model_response"]["output_tokens"] = [
            [*ids, *[1] * (9 - len(ids))] for ids in row["model_response"]["output_tokens"]
        ]
    pq.write_table(pa.Table.from_pylist(rows), path)
    log = load_samples(path)
    assert log.truncated is None and log.mean_tokens is None and log.settings == {"max_tokens": 9}
