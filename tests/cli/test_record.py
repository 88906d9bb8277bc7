"""Results of RL in another system: files that are refused whole, and what a report makes of those that are not."""

import dataclasses
import itertools
import json
import re
import subprocess
import sys

import numpy as np
import pytest
import yaml
from helpers import CASES, logs
from helpers.outcomes import BASE, DEVICE, fail, flatten_all, make_audited, make_outcome

from rlready import cli
from rlready.analysis.comparison import read_row
from rlready.analysis.costs import balance, list_entries
from rlready.analysis.gate_audit import audit_rejections
from rlready.analysis.sweep_result import SweepResult, read_sweep, record_elsewhere, write_sweep
from rlready.cli.record import read_results
from rlready.errors import InputError
from rlready.measured.read import load_samples
from rlready.measured.sweep import rank
from rlready.records.outcome import ElsewhereRecord
from rlready.stages.report.report import write_report
from rlready.tracking import client, log, runs

CASES = yaml.safe_load((CASES / "results.yaml").read_text())
HEADER = "candidate,score,standard_error,cost"


def make_sweep():
    """A run that approved good, rejected other, lost broken in SFT, and has a result of its own for own."""
    good = dataclasses.replace(make_outcome("random", 1, 0.2, 0.7, 0.6, 0.4, "good"), rl=None, benchmark=None)
    other = make_outcome("longest", 4, 0.3, 0.8, 0.7, None, "other")
    broken = fail(make_outcome("mixed", 4, 0.3, 0.8, 0.7, 0.4, "broken"), "sft")
    own = make_outcome("random", 4, 0.25, 0.75, 0.5, 0.42, "own")
    sweep = [dataclasses.replace(o, links={"experiment": "one"}) for o in (good, other, broken, own)]
    return SweepResult(sweep, BASE, {"base_model": "A sweep", "gate_k": 64})


@pytest.fixture
def folder(tmp_path):
    """The folder of a run whose name is that of the pipeline run in the fixture mlflow_client."""
    write_sweep(make_sweep(), tmp_path / "run-1" / "outcomes.json")
    return tmp_path / "run-1"


def record(monkeypatch, folder, text, *run):
    results = folder.parent / "results.csv"
    results.write_text(text)
    line = ["rlready", "record", *run, "--work", str(folder.parent), "--results", str(results)]
    monkeypatch.setattr(sys, "argv", line)
    cli.main()


def record_logs(monkeypatch, folder, *arguments):
    line = ["rlready", "record", folder.name, "--work", str(folder.parent), *map(str, arguments)]
    monkeypatch.setattr(sys, "argv", line)
    cli.main()


def read_all(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith(".lock")}


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_file_with_anything_wrong_changes_nothing(case, folder, monkeypatch, capsys):
    before = read_all(folder)
    with pytest.raises(SystemExit) as ended:
        record(monkeypatch, folder, case["text"], "run-1")
    said = capsys.readouterr()
    assert ended.value.code == 2 and case["says"] in said.err + said.out
    assert read_all(folder) == before


def test_everything_that_is_wrong_is_said_at_once(tmp_path):
    (tmp_path / "r.csv").write_text("\n".join([HEADER, "a,2,3,-1", *(f"x{i},0.5,," for i in range(30))]))
    with pytest.raises(InputError) as error:
        read_results(tmp_path / "r.csv", ["a"])
    lines = str(error.value).splitlines()
    assert [line.split(", ")[1].split(":")[0] for line in lines[:3]] == ["score", "standard_error", "cost"]
    assert len(lines) == 21 and lines[-1] == "and 13 more"


def test_a_folder_or_bytes_are_no_file_of_results(tmp_path):
    (tmp_path / "r.csv").write_bytes(b"candidate,score\xff\xfe")
    for path in (tmp_path, tmp_path / "r.csv", tmp_path / "missing.csv"):
        with pytest.raises(InputError, match="is not one of|not UTF-8|cannot be read"):
            read_results(path, ["a"])


def test_what_spreadsheets_write_is_read(tmp_path):
    text = f'\ufeff{HEADER},device\r\n"a", 0.5 ,,\t,\r\n\r\nb,0,0.1,1e1,NVIDIA  H100\r\n'
    (tmp_path / "r.csv").write_bytes(text.encode())
    assert read_results(tmp_path / "r.csv", ["a", "b"]) == {
        "a": ElsewhereRecord(0.5),
        "b": ElsewhereRecord(0.0, 0.1, 10.0, "NVIDIA H100"),
    }


def test_recorded_results_are_those_of_the_run_and_marked_everywhere(folder, monkeypatch, capsys, mlflow_client):
    sweep = make_sweep()
    for outcome in sweep.outcomes:
        log.log_outcome(outcome, "run-1")
    record(monkeypatch, folder, f"{HEADER}\ngood,0.5,0.02,6.5\nother,0.61,0.02,\n")
    said = capsys.readouterr().out
    assert "good: 0.500 ± 0.020, 6.5 device-hours" in said and "other: 0.610 ± 0.020, cost unknown" in said
    assert "other ended best after RL, with Pass@1 0.610 ± 0.020 (external): ahead of each of the other 2" in said
    assert re.search(r"own .* approved +0.420 ± 0.010 +–", said)  # its own result is not marked
    assert "External, and shown as recorded: 2 of 3 RL results; whether" in said
    stored = {outcome.candidate.candidate_id: outcome for outcome in read_sweep(folder / "outcomes.json").outcomes}
    assert stored["good"].elsewhere == ElsewhereRecord(0.5, 0.02, 6.5) and stored["own"].elsewhere is None
    assert stored["good"].benchmark is None and stored["good"].rl is None
    page = (folder / "report.md").read_text()
    assert "2 of 3 RL results" in page and "0.500 ± 0.020 (external)" in page
    assert "External: 1 result." in page
    verdicts = {row["candidate"]: row for row in json.loads((folder / "verdicts.json").read_text())["candidates"]}
    assert verdicts["other"]["score_after_rl"] == 0.61 and verdicts["own"]["score_after_rl"] == 0.42
    logged = {run.info.run_name: run.data for run in mlflow_client.search_runs(["1"])}
    assert logged["other"].metrics["rl/pass_at_1"] == 0.61 and logged["good"].metrics["rl/device_hours"] == 6.5
    assert logged["other"].tags["result"] == "elsewhere" and "result" not in logged["own"].tags
    assert "RL (external) 61%" in logged["other"].tags["mlflow.note.content"]
    assert runs.find_finished("one", 64) == {
        "good": (0.7, 0.5, True),
        "other": (0.8, 0.61, True),
        "own": (0.75, 0.42, False),
    }
    assert runs.find_outcomes("run-1") == ("run-1", (folder / "outcomes.json").read_text())


def test_recording_again_replaces_what_the_file_names_and_keeps_the_rest(folder, monkeypatch, capsys, mlflow_client):
    record(monkeypatch, folder, f"{HEADER}\ngood,0.5,0.02,6.5\nother,0.61,0.02,\n")
    before = read_all(folder)
    capsys.readouterr()
    record(monkeypatch, folder, f"{HEADER}\ngood,0.5,0.02,6.5\nother,0.61,0.02,\n")
    assert "good: 0.500 ± 0.020, 6.5 device-hours, unchanged" in capsys.readouterr().out and read_all(folder) == before
    record(monkeypatch, folder, f"{HEADER},device\nother,0.55,,2,H100\n")
    assert "other: 0.550, 2 device-hours H100; replaces 0.610 ± 0.020, cost unknown" in capsys.readouterr().out
    results = {o.candidate.candidate_id: o.elsewhere for o in read_sweep(folder / "outcomes.json").outcomes}
    assert results["other"] == ElsewhereRecord(0.55, None, 2.0, "H100") and results["good"].pass_at_1 == 0.5
    assert runs.find_finished("one", 64)["other"] == (0.8, 0.55, True)


def test_where_mlflow_does_not_take_them_the_run_has_them_and_it_is_said(folder, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setattr(client, "_reported", set())
    monkeypatch.setattr(client, "_unreachable", set())
    record(monkeypatch, folder, f"{HEADER}\ngood,0.5,,\n")
    assert "MLflow did not take the results, so forecasts ignore them" in capsys.readouterr().out
    assert read_sweep(folder / "outcomes.json").outcomes[0].elsewhere == ElsewhereRecord(0.5)


def write_counts(path, correct):
    return logs.write_jsonl(path, [{"problem": f"p{n}", "correct": c, "samples": 4} for n, c in enumerate(correct)])


@pytest.fixture
def ranked(tmp_path):
    """The folder of a run that ranked two logs."""
    read = {name: load_samples(write_counts(tmp_path / f"{name}.jsonl", [0, 1, 2, 0, 3, 1, 0, 2])) for name in "ab"}
    write_sweep(rank(read), tmp_path / "rank-1" / "outcomes.json")
    return tmp_path / "rank-1"


def test_a_log_gives_an_interval_and_a_gain_and_a_curve_the_plateau(ranked, monkeypatch, capsys, mlflow_client):
    after = write_counts(ranked.parent / "after.jsonl", [1, 3, 4, 1, 3, 2, 1, 4])
    curve = logs.write_jsonl(ranked.parent / "curve.jsonl", [{"step": n, "reward": n / 160} for n in range(1, 161)])
    record_logs(monkeypatch, ranked, "--log", f"a={after}", "--curve", f"a={curve}")
    said = capsys.readouterr().out
    assert re.search(
        r"a: 0\.594 \[0\.\d+, 0\.\d+\], 8 problems x 4 samples, cost unknown; gain over the candidate before RL", said
    )
    gain = re.search(r"on the same problems: (0\.312 \[[-+]0\.\d+, \+0\.\d+\])", said)[1]
    page = (ranked / "report.md").read_text().replace("&#91;", "[").replace("&#93;", "]")
    assert f"Gain in Pass@1 by RL, on the problems of the predictors: a {gain}." in page
    assert "RL had not converged" in said and "RL had not converged" in page
    (run,) = [run for run in mlflow_client.search_runs(["1"]) if "rl/pass_at_1" in run.data.metrics]
    assert {"rl/reward", "rl/gain", "rl/pass_at_1_low"} <= run.data.metrics.keys()
    record_logs(monkeypatch, ranked, "--log", f"a={after}")
    assert "cost unknown, unchanged" in capsys.readouterr().out
    first = read_sweep(ranked / "outcomes.json").outcomes[0].elsewhere
    record(monkeypatch, ranked, f"{HEADER}\na,0.5,,2\n", ranked.name)
    record_logs(monkeypatch, ranked, "--log", f"a={after}")
    assert read_sweep(ranked / "outcomes.json").outcomes[0].elsewhere == dataclasses.replace(first, device_hours=2.0)


def test_what_cannot_be_recorded_is_one_line_and_changes_nothing(ranked, monkeypatch, capsys):
    log, before = ranked.parent / "a.jsonl", read_all(ranked)
    curve = logs.write_jsonl(ranked.parent / "curve.jsonl", [{"step": 1, "reward": 0.5}])
    results = ranked.parent / "results.csv"
    results.write_text(f"{HEADER}\na,0.5,,\n")
    for arguments, what in {
        (): "nothing to record: give --results, --log or --curve",
        ("--log", f"c={log}"): "'c' is not a candidate of this run; the run has a, b",
        ("--log", log, "--results", results): "a: has both a row in",
        ("--curve", f"b={curve}"): "b: a curve without a result",
        ("--log", f"a={log}", "--log", f"a={log}"): "the name a is that of",
    }.items():
        with pytest.raises(SystemExit) as ended:
            record_logs(monkeypatch, ranked, *arguments)
        said = capsys.readouterr().err
        assert ended.value.code == 2 and what in said and said.count("\n") == 1, said
        assert read_all(ranked) == before


CLUSTER = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"


def test_a_run_of_a_cluster_is_read_from_mlflow_by_either_id(tmp_path, folder, monkeypatch, mlflow_client, capsys):
    kept = {"outcomes.json": folder / "outcomes.json"}
    runs.finish_run(CLUSTER, {}, kept)
    (parent,) = mlflow_client.search_runs(["1"])
    record(monkeypatch, folder, f"{HEADER}\ngood,0.5,,\n", CLUSTER)
    record(monkeypatch, folder, f"{HEADER}\nother,0.6,,\n", parent.info.run_id)
    for text in ((tmp_path / CLUSTER / "outcomes.json").read_text(), runs.find_outcomes(CLUSTER)[1]):
        (tmp_path / "read.json").write_text(text)
        results = [o.elsewhere and o.elsewhere.pass_at_1 for o in read_sweep(tmp_path / "read.json").outcomes]
        assert results == [0.5, 0.6, None, None]
    with pytest.raises(SystemExit):
        record(monkeypatch, folder, f"{HEADER}\ngood,0.5,,\n", CLUSTER.replace("6f", "7f"))
    assert "neither a finished run in" in capsys.readouterr().err


def test_a_late_failure_of_this_run_stays_and_the_result_from_elsewhere_counts(tmp_path):
    late = fail(make_outcome("random", 1, 0.2, 0.7, 0.6, 0.4, "late"), "rl")
    sweep = record_elsewhere(SweepResult([late], BASE, {}), {"late": ElsewhereRecord(0.6, 0.01)})
    write_report(sweep, tmp_path / "report.html", tmp_path / "report.md")
    page = (tmp_path / "report.md").read_text()
    assert "Only late has finished RL, with Pass@1 0.600 ± 0.010 (external)" in page
    assert "approved (RL failed)" in page
    assert "Hollow: an external result" in (tmp_path / "report.html").read_text()


def add_results(outcomes, **scores):
    results = {name.replace("_", "-"): ElsewhereRecord(score, 0.01) for name, score in scores.items()}
    return record_elsewhere(SweepResult(outcomes, BASE, {}), results).outcomes


def report(outcomes, tmp_path):
    write_report(SweepResult(outcomes, BASE, {}), tmp_path / "report.html", tmp_path / "report.md")
    return (tmp_path / "report.md").read_text()


def test_chosen_rejections_alone_say_nothing_of_the_others(tmp_path):
    outcomes = add_results(make_audited([0.40], [(None, 0.0)] * 5), out_0=0.5, out_1=0.3)
    page = report(outcomes, tmp_path)
    assert "2 of 5 rejected candidates have an external result; 1 of them beat the best approved" in page
    assert "between 1 and 4 of all rejections are wrong" in page and "false-rejection rate" not in page


def test_where_all_rejections_have_a_result_nothing_is_estimated(tmp_path):
    outcomes = add_results(make_audited([0.40], [(0.45, 0.25), *[(None, 0.25)] * 3]), out_1=0.5, out_2=0.3, out_3=0.2)
    audit = audit_rejections(flatten_all(outcomes))
    assert (audit.drawn, audit.chosen, audit.observed, audit.false) == (1, 3, 4, 2)
    assert audit.rate == 0.5 and audit.rate_interval == (0.5, 0.5)
    assert audit.regret == pytest.approx((0.05 + 0.1) / 4) and audit.regret_interval == pytest.approx((0.0375, 0.0375))
    assert "External: 3 results." in report(outcomes, tmp_path)


def test_chosen_results_do_not_bias_the_audit_of_the_drawn(tmp_path):
    """Somebody trains elsewhere the best of those that were not drawn: taken for a draw, that would double the rate."""
    scores, drawn = [0.50, 0.38, 0.45, 0.10, 0.42, 0.39, 0.20, 0.30], 3
    truth = np.mean([score > 0.40 for score in scores])
    rates, held, naive = [], [], []
    for seen in itertools.combinations(range(len(scores)), drawn):
        rejected = [(score if i in seen else None, drawn / len(scores)) for i, score in enumerate(scores)]
        best = max((i for i in range(len(scores)) if i not in seen), key=lambda i: scores[i])
        outcomes = add_results(make_audited([0.40], rejected), **{f"out_{best}": scores[best]})
        audit = audit_rejections(flatten_all(outcomes))
        assert (audit.drawn, audit.chosen, audit.observed) == (3, 1, 4)
        rates.append(audit.rate)
        held.append(audit.rate_interval[0] <= truth <= audit.rate_interval[1])
        naive.append(audit.false / audit.observed)
    # What is certain confines the estimate, which moves its mean a little and each of them towards the truth.
    assert abs(np.mean(rates) - truth) < 0.05 < abs(np.mean(naive) - truth) and np.mean(held) >= 0.95
    page = report(outcomes, tmp_path)
    assert "RL ran for 3 of them, drawn at random" in page and "External: 1 result, chosen and not drawn" in page


def test_what_is_certain_confines_the_estimate():
    rejected = [(0.3, 0.5), (0.2, 0.5), (None, 0.5), (None, 0.5)]
    audit = audit_rejections(flatten_all(add_results(make_audited([0.40], rejected), out_2=0.5)))
    assert audit.rate == 0.25 and audit.rate_interval == (0.25, 0.5)
    assert audit.regret == pytest.approx(0.025) and audit.regret_interval[0] == pytest.approx(0.025)


def test_approved_candidates_without_a_result_are_named(tmp_path):
    waiting = dataclasses.replace(make_outcome("random", 9, 0.2, 0.7, 0.6, 0.4, "waiting"), rl=None, benchmark=None)
    outcomes = add_results([*make_audited([0.40], [(None, 0.0)]), waiting], out_0=0.5)
    assert "1 approved candidate without a result yet" in report(outcomes, tmp_path)


def test_costs_from_elsewhere_count_where_the_kind_of_device_is_the_same(tmp_path):
    hours = {"in-1": (2.0, DEVICE["device"]), "out-0": (1.0, "NVIDIA H100"), "out-1": (None, ""), "out-2": (3.0, "")}
    outcomes = make_audited([0.40, None], [(None, 0.0)] * 4)
    results = {name: ElsewhereRecord(0.3, 0.01, *cost) for name, cost in hours.items()}
    outcomes = record_elsewhere(SweepResult(outcomes, BASE, {}), results).outcomes
    rows, base = flatten_all(outcomes), read_row(BASE, 64)
    entries, unknown = list_entries(rows, base)
    assert [(e.device, e.runs, e.cost) for e in entries if e.stage == "elsewhere"] == [
        ("CPU thread", 1, 7200.0),
        ("NVIDIA H100", 1, 3600.0),
        ("unnamed external device", 1, 10800.0),
    ]
    assert unknown == 1
    found = balance(rows, base)
    # One run of RL here (2 x 1,030 s) and one elsewhere, at their mean for the one candidate without any.
    assert found.skipped == 1 and found.avoided == pytest.approx((2060 + 7200) / 2)
    assert "| External RL | NVIDIA H100 | 1 | 3,600.0 |" in report(outcomes, tmp_path)


def test_costs_of_another_kind_of_device_are_shown_and_not_compared(tmp_path):
    outcomes = add_results(make_audited([None], [(None, 0.0)]), in_0=0.5)
    assert "the cost of external RL is unknown, or is of another kind of device" in report(outcomes, tmp_path)


def test_the_command_line_says_which_run_it_does_not_find(tmp_path):
    (tmp_path / "r.csv").write_text(f"{HEADER}\na,0.5,,\n")
    line = [sys.executable, "-m", "rlready.cli", "record", "--work", str(tmp_path), "--results", "r.csv"]
    ended = subprocess.run(line, capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 2 and "no finished run here; start one with rlready run" in ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["r.csv"]
