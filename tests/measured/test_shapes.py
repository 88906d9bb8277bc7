"""Logs in the shapes that versions of the tools, resumed runs and own stacks give them are counted right, or refused."""

import json
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import logs

from rlready.cli.samples import describe_samples
from rlready.errors import InputError
from rlready.evaluation.samples import SAMPLES
from rlready.measured.curve import read_curve
from rlready.measured.loss import read_loss
from rlready.measured.read import load_samples


@pytest.mark.parametrize("form", ["completion", "sample", "neither"])
def test_joined_copies_of_a_log_are_not_counted_twice(form, tmp_path):
    rows = [{"problem": f"p{n % 12}", "correct": n % 5 < 2, "temperature": 1} for n in range(48)]
    if form != "neither":
        rows = [row | {form: f"number {n}"} for n, row in enumerate(rows)]
    once = load_samples(logs.write_plain(tmp_path, rows=rows))
    twice = logs.write_plain(tmp_path, rows=rows + rows)
    with pytest.raises(InputError, match="every sample is there 2 times.*--allow-repeats"):
        load_samples(twice)
    assert load_samples(twice, repeats=True).correct == [2 * correct for correct in once.correct]
    assert (
        load_samples(logs.write_plain(tmp_path, rows=[{"problem": f"p{n % 12}", "correct": 0} for n in range(48)])).samples == 4
    )


def test_a_row_may_list_the_samples_of_its_problem_and_a_completion_may_be_a_chat(tmp_path):
    rows = [{"problem": "a", "correct": [True, False, None]}, {"problem": 1.0, "correct": ["yes", "1.00", "FAIL"]}]
    log = load_samples(logs.write_plain(tmp_path, rows=rows))
    assert (log.problems, log.correct, log.samples, log.unknown) == (["a", "1"], [1, 2], 3, pytest.approx(1 / 6))
    chats = [[{"role": "assistant", "content": f"\\boxed{{\\frac{{1}}{{{n}}}}}"}] for n in (2, 3)]
    row = {"problem": "a", "completion": chats, "reference": ["0.5", "7"]}
    parts = {"response": [{"type": "text", "text": "\\boxed"}, {"type": "text", "text": "{4}"}], "answer": 4.0}
    assert load_samples(logs.write_plain(tmp_path, rows=[{"id": "a"} | parts])).correct == [1]
    outputs = {"output": [{"text": "\\boxed{4}"}, {"text": "\\boxed{5}"}], "target": "4"}
    log = load_samples(logs.write_plain(tmp_path, rows=[{"id": "a"} | outputs]))
    assert (log.correct, log.samples) == ([1], 2)
    log = load_samples(logs.write_plain(tmp_path, rows=[row, row | {"problem": "b", "completion": ["\\boxed{7}", "none"]}]))
    assert (log.correct, log.samples, log.unknown) == ([1, 1], 2, 0)


def test_lm_eval_logs_of_versions_that_name_no_metric_count_by_it(tmp_path):
    path = logs.write_lm_eval(tmp_path)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for right, row in zip((1.0, 0.0, 1.0), rows, strict=True):
        del row["filter"], row["metrics"]
        asked = [*row["arguments"]["gen_args_0"].values()]
        row |= {"arguments": [asked], "resps": [["no box"]], "filtered_resps": ["no box"], "exact_match": right}
    log = load_samples(logs.write_jsonl(path, rows))
    assert (log.correct, log.notes) == ([1, 0, 1], ["sums: filter none, metric exact_match"])
    assert log.settings == {"temperature": 1.0, "max_tokens": 16}


def test_a_sample_that_inspect_wrote_again_counts_once_and_as_it_was_written_last(tmp_path):
    path = logs.write_inspect(tmp_path, packed=False)
    with zipfile.ZipFile(path, "a") as archive:
        name = next(name for name in archive.namelist() if name.startswith("samples/1"))
        again = json.loads(archive.read(name)) | {"scores": {"match": {"value": "C"}}}
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr(name, json.dumps(again))
    log = load_samples(path)
    assert (log.correct, log.samples, log.notes) == ([2, 1, 3], 4, ["scorer match"])


def test_scores_of_inspect_are_those_of_its_results(tmp_path):
    path = logs.unpack_inspect(tmp_path)
    log = json.loads(path.read_text())
    log["eval"]["scorers"] = [{"name": "of_no_sample"}]
    for sample in log["samples"]:
        right = sample["scores"]["match"]["value"] == "C"
        sample["scores"] = {"pattern": {"value": {"style": 1, "exact": "C" if right else "N"}}}
    parts = [{"name": name, "scorer": "pattern"} for name in ("style", "exact")]
    path.write_text(json.dumps(log | {"results": {"scores": parts}}))
    assert load_samples(path).correct == [4, 4, 4]
    found = load_samples(path, "exact")
    assert (sorted(found.correct), found.unknown) == (sorted(logs.CORRECT), 0)
    path.write_text(json.dumps(log | {"results": {"scores": []}}))
    found = load_samples(path)
    assert (sorted(found.correct), found.notes) == (sorted(logs.CORRECT), ["no scores; judged by rlready's verifier"])


def test_each_task_of_lighteval_has_a_metric_of_its_own(tmp_path):
    rows = pq.read_table(logs.write_lighteval(tmp_path)).to_pylist()
    for task, metric in (("one", "exact"), ("two", "extractive_match")):
        for row in rows:
            row["doc"] |= {"task_name": task, "gold_index": [0]}
            row["model_response"] |= {"text": ["x"], "output_tokens": [[1, 2]]}
            row["metric"] = {metric: float(row["doc"]["id"] == "1")}
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / f"details_{task}.parquet")
    (tmp_path / "details_sums_2026-11-29.parquet").unlink()
    log = load_samples(tmp_path)
    assert (log.correct, log.unknown, log.notes) == ([0, 1, 0] * 2, 0, ["metric exact", "metric extractive_match"])


def test_a_reward_that_the_first_row_lacks_is_one_of_the_rewards(tmp_path):
    path = logs.write_trl(tmp_path, style=1.0)
    rows = pq.read_table(path).to_pylist()
    rows[0]["accuracy"] = None
    pq.write_table(pa.Table.from_pylist(rows), path)
    with pytest.raises(InputError, match="rewards are style, accuracy; name one"):
        load_samples(path)


def test_open_instruct_writes_its_metadata_beside_the_rollouts(tmp_path):
    logs.write_open_instruct(tmp_path)
    logs.write_jsonl(tmp_path / "run_metadata.jsonl", [{"run_name": "run", "git_commit": "0", "model_name": "m"}])
    assert load_samples(tmp_path).correct == logs.CORRECT


def test_a_csv_file_of_tensorboard_is_a_curve(tmp_path):
    (tmp_path / "run-tag-train_reward.csv").write_text("Wall time,Step,Value\n1.7e9,1,0.5\n1.7e9,2,0.7\n")
    assert read_curve(tmp_path / "run-tag-train_reward.csv")[1] == [[1, 0.5], [2, 0.7]]


@pytest.mark.parametrize(
    "text", ['{"log_history": [1]}', '{"metrics": [1]}', '{"metrics": [{"key": "reward"}]}', '{"data": 5}', "[[1, 2]]"]
)
def test_a_curve_with_something_else_inside_is_refused(text, tmp_path):
    (tmp_path / "curve.json").write_text(text)
    with pytest.raises(InputError, match="curve.json"):
        read_curve(tmp_path / "curve.json")
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "reward").write_bytes(b"\xff 0.5 1")
    with pytest.raises(InputError, match="reward: "):
        read_curve(tmp_path / "metrics" / "reward")


@pytest.mark.parametrize("other", [None, 5, [1]])
def test_samples_of_rlready_with_another_column_are_read_refused_or_shown(other, tmp_path):
    told = {
        "problem_id": "p",
        "verdict": "right",
        "completion": "x",
        "gold": "4",
        "prompt": "q",
        "temperature": 1.0,
        "sample": 0,
    }
    row = dict.fromkeys(SAMPLES.names) | told | {"finished": True, "tokens": 5}
    for name in row:
        file = tmp_path / "samples.parquet"
        pq.write_table(pa.Table.from_pylist([row | {name: other}]), file)
        try:
            assert load_samples(file).samples == 1
        except InputError as error:
            assert str(file) in str(error)
        assert "judgement" in "".join(describe_samples([file], []))


def test_the_eval_loss_of_a_trainer_is_also_in_its_results(tmp_path):
    (tmp_path / "all_results.json").write_text('{"epoch": 1.0, "eval_loss": 1.25, "train_loss": 2.0}')
    assert read_loss(str(tmp_path / "all_results.json")).value == 1.25


def test_a_column_that_score_names_makes_rows_plain(tmp_path):
    log = load_samples(logs.write_plain(tmp_path, rows=[{"id": "a", "judge": mark} for mark in ("pass", "NA", "0.0")]), "judge")
    assert (log.correct, log.samples, log.unknown) == ([1], 3, pytest.approx(1 / 3))
