"""Results of RL from logs: paired with the run by problem, scored as the run scores its own, refused if they do not compare."""

import dataclasses
import json
import math

import numpy as np
import pytest
from helpers import logs

from rlready.analysis.comparison import group_settings, read_row, read_rows
from rlready.analysis.plateau import look_for_plateau
from rlready.analysis.sweep_result import SweepResult, record_elsewhere
from rlready.errors import InputError
from rlready.evaluation.suite import average, score_suite
from rlready.gate.lead import SCORE, measure_gain, measure_lead
from rlready.measured.curve import read_curve
from rlready.measured.read import load_candidates, load_samples
from rlready.measured.sweep import measure_results, rank
from rlready.records.outcome import BenchmarkRecord, Candidate, ElsewhereRecord, Outcome
from rlready.stages.report.headline import tell_result
from rlready.stats.difference import estimate_difference

BEFORE, AFTER, SAMPLES = [0, 3, 1, 0, 2, 4, 0, 1], [2, 4, 2, 1, 2, 4, 0, 3], 4


def read_counts(tmp_path, name, correct, **columns):
    rows = [{"problem": f"p{n}", "correct": c, "samples": SAMPLES} | columns for n, c in enumerate(correct)]
    return load_samples(logs.write_jsonl(tmp_path / f"{name}.jsonl", rows[::-1]))


@pytest.fixture
def sweep(tmp_path):
    read = {name: read_counts(tmp_path, name, correct, temperature=1) for name, correct in {"a": BEFORE, "b": AFTER}.items()}
    return rank(read)


def test_the_gain_is_paired_by_problem_and_only_on_the_same_problems(sweep, tmp_path):
    rows = [{"problem": f"p{n}", "correct": c, "samples": SAMPLES} for n, c in enumerate(AFTER)]
    log = load_samples(logs.write_jsonl(tmp_path / "after.jsonl", rows))  # in another order than before RL
    recorded = record_elsewhere(sweep, measure_results(sweep, {"a": log})).outcomes
    gain, shares = measure_gain(recorded[0]), [[c / SAMPLES for c in correct] for correct in (AFTER, BEFORE)]
    assert gain == pytest.approx((np.mean(shares[0]) - np.mean(shares[1]), *estimate_difference(*shares)))
    found = recorded[0].elsewhere
    assert (found.pass_at_1, *found.counted.interval) == pytest.approx(log.pass_at_k(1))
    assert found.standard_error == pytest.approx(np.std(shares[0], ddof=1) / math.sqrt(len(AFTER)))
    assert measure_gain(recorded[1]).ahead is None  # no result
    fewer = load_samples(logs.write_jsonl(tmp_path / "fewer.jsonl", rows[1:]))
    assert measure_gain(record_elsewhere(sweep, measure_results(sweep, {"a": fewer})).outcomes[0]).ahead is None


def test_candidates_of_logs_are_settings_of_their_own_even_with_equal_counts(tmp_path):
    counts = [{"problem": f"p{n}", "correct": c, "samples": SAMPLES} for n, c in enumerate(AFTER)]
    both = [{"candidate": name} | row for name in "ab" for row in counts]
    sweep = rank(load_candidates(logs.write_jsonl(tmp_path / "both.jsonl", both)))
    recorded = record_elsewhere(sweep, {name: ElsewhereRecord(score) for name, score in {"a": 0.25, "b": 0.75}.items()})
    rows, base, _ = read_rows(recorded)
    assert sorted((setting.name, setting.scores) for setting in group_settings(rows)) == [("a", [0.25]), ("b", [0.75])]
    assert "b has the highest Pass@1 after RL" in next(tell_result(rows, base, None))


def test_a_log_on_the_problems_of_the_benchmark_is_scored_as_the_run_scores_its_own():
    ids, groups = ["x", "y", "z", "u", "v"], [0, 0, 1, 2, 3]
    rows = [{"problem_id": i, "group": str(g), "benchmark": b} for i, g, b in zip(ids, groups, "mmnnn", strict=True)]
    own = {}
    for name, correct in {"base": [0, 1, 2, 0, 3], "tuned": [1, 2, 4, 2, 3]}.items():
        scores = score_suite(rows, SAMPLES, correct, [0] * 5, [0.0] * 5)
        sizes = [[s.benchmark, s.problems, s.pass_at_1, s.standard_error, 0.0] for s in scores]
        counts = {"problem_ids": ids, "correct": correct, "samples": SAMPLES, "groups": groups, "benchmarks": sizes}
        own[name] = Outcome(
            Candidate(name, 1, "random", 8, 1e-3, 0), benchmark=BenchmarkRecord(**dataclasses.asdict(average(scores)), **counts)
        )
    log = make_log(dict(zip(ids, own["tuned"].benchmark.correct, strict=True)))
    past = SweepResult([dataclasses.replace(own["tuned"], benchmark=None)], own["base"], {})
    (outcome,) = record_elsewhere(past, measure_results(past, {"tuned": log})).outcomes
    assert outcome.scored.pass_at_1 == own["tuned"].benchmark.pass_at_1 != pytest.approx(log.pass_at_k(1).value)
    assert outcome.scored.interval == own["tuned"].benchmark.interval and outcome.scored.groups == groups
    assert measure_lead(outcome, own["base"], SCORE) == measure_lead(own["tuned"], own["base"], SCORE)


def make_log(correct, **more):
    from rlready.measured.log import MeasuredLog

    names = sorted(correct)
    return MeasuredLog("after.jsonl", "plain", names, [correct[n] for n in names], SAMPLES, [None] * len(names), **more)


def test_results_that_do_not_compare_are_refused(sweep, tmp_path):
    with pytest.raises(InputError, match=r"after.jsonl: temperature is 0.6, the run's is 1"):
        measure_results(sweep, {"a": read_counts(tmp_path, "after", AFTER, temperature=0.6)})
    other = make_log({f"q{n}": 1 for n in range(4)})
    with pytest.raises(InputError, match="the problems differ from the run's: 4 of its 8 are missing, 0 are new"):
        fewer = make_log({f"p{n}": 1 for n in range(4)})
        measure_results(sweep, {"a": make_log({f"p{n}": 1 for n in range(8)}), "b": fewer})
    recorded = record_elsewhere(sweep, measure_results(sweep, {"a": read_counts(tmp_path, "after", AFTER)}))
    with pytest.raises(InputError, match="compare logs of the same problems"):
        measure_results(recorded, {"b": other})
    assert measure_results(recorded, {"a": other, "b": other})["a"].pass_at_1 == 0.25  # both are corrected together


def write_state(path, rewards):
    path.write_text(json.dumps({"log_history": [*({"step": s, "reward": r} for s, r in rewards), {"step": 9, "eval_loss": 1}]}))
    return path


def write_verl(path, rewards):
    rows = [{"step": 0, "data": {"val-core/acc": 0.1}}, *({"step": s, "data": {"critic/score/mean": r}} for s, r in rewards)]
    return logs.write_jsonl(path, rows)


@pytest.mark.parametrize(("write", "key"), [(write_state, "reward"), (write_verl, "critic/score/mean")])
def test_a_curve_shows_whether_rl_plateaued(write, key, sweep, tmp_path):
    flat, rising = ([(s, curve(s)) for s in range(1, 161)] for curve in (lambda s: 1 - math.exp(-s / 10), lambda s: s / 160))
    for rewards, level in ((flat, True), (rising, False)):
        found, blocks = read_curve(write(tmp_path / f"curve.{'json' if write is write_state else 'jsonl'}", rewards))
        assert found == key and len(blocks) == 40 and blocks[-1][0] == 160
        assert blocks[0] == [4, pytest.approx(np.mean([value for _, value in rewards[:4]]), abs=1e-5)]
        results = measure_results(sweep, {"a": read_counts(tmp_path, "after", AFTER)})
        results["a"] = dataclasses.replace(results["a"], rewards=blocks)
        rows = [read_row(outcome, 4) for outcome in record_elsewhere(sweep, results).outcomes]
        plateau = look_for_plateau(rows)
        assert set(plateau.rises) == {"a"} and (plateau.all.level, plateau.rising) == (level, not level)


def test_a_curve_of_mlflow_weights_and_biases_and_nemo_rl(mlflow_client, tmp_path, monkeypatch):
    import pandas as pd
    from mlflow import MlflowClient

    rewards = {step: step / 10 for step in range(1, 9)}
    expected = [[step, value] for step, value in rewards.items()]
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    run = mlflow_client.create_run("0").info.run_id
    files = MlflowClient(f"file://{tmp_path / 'mlruns'}")
    stored = files.create_run("0").info.run_id
    for step, value in rewards.items():
        for client, number in ((mlflow_client, run), (files, stored)):
            client.log_metric(number, "train/reward", value, step=step)
            client.log_metric(number, "loss", 9.0, step=step)
    history = pd.DataFrame([dict(metric) for metric in mlflow_client.get_metric_history(run, "train/reward")])
    history.to_csv(tmp_path / "mlflow.csv", index=False)
    history.to_json(tmp_path / "mlflow.json", orient="records")
    answer = {"metrics": [{"key": "train/reward", "value": v, "timestamp": 1, "step": s} for s, v in rewards.items()]}
    (tmp_path / "rest.json").write_text(json.dumps(answer))
    rows = [{"_step": step, "_runtime": 1.5, "train/reward": value} for step, value in rewards.items()]
    logs.write_jsonl(tmp_path / "wandb.jsonl", [*rows, {"_step": 9, "eval/accuracy": 0.1}])
    pd.DataFrame([*rows, {"_step": 9, "eval/accuracy": 0.1}]).to_csv(tmp_path / "wandb.csv", index=False)
    (tmp_path / "nemo.json").write_text(json.dumps({"train/loss": {"1": 2.0}, "train/reward": rewards}))
    own = tmp_path / "mlruns" / "0" / stored / "metrics" / "train" / "reward"
    names = ("mlflow.csv", "mlflow.json", "rest.json", "wandb.jsonl", "wandb.csv", "nemo.json")
    for path in (*(tmp_path / name for name in names), own):
        assert read_curve(path) == ("train/reward", expected), path
    with pytest.raises(InputError, match="no step has one of reward"):
        read_curve(own.parents[1] / "loss")


def write_chart_of_mlflow(path, runs):
    """Writes what "Export as CSV" of a chart in MLflow's UI has: the metric history of each run shown."""
    rows = [[f"run-{r}", f"id-{r}", "reward", step, 1700000000000 + step, step / 8] for r in runs for step in range(1, 5)]
    lines = ["Run,Run ID,metric,step,timestamp,value", *(",".join(f'"{cell}"' for cell in row) for row in rows)]
    path.write_text("\n".join(lines))


def write_chart_of_wandb(path, runs, axis="train/global_step"):
    """Writes what "CSV Export" of a panel of Weights & Biases has: three columns per run, empty where a run has no point."""
    columns = [f"grpo - {r} - {name}" for r in runs for name in ("_step", "train/reward")]
    header = [axis, *(f"{column}{end}" for column in columns for end in ("", "__MIN", "__MAX"))]
    cells = {step: [cell for _ in runs for cell in (*[2 * step] * 3, step / 8, step / 9, step / 7)] for step in range(1, 5)}
    lines = [[step, *values] for step, values in cells.items()] + [[5, *[""] * (len(header) - 1)]]
    path.write_text("\n".join(",".join(f'"{cell}"' for cell in line) for line in [header, *lines]))


@pytest.mark.parametrize(
    ("write", "key"), [(write_chart_of_mlflow, "reward"), (write_chart_of_wandb, "train/reward")], ids=["mlflow", "wandb"]
)
def test_a_chart_exported_from_a_tracker_is_a_curve_if_it_shows_one_run(write, key, tmp_path):
    write(tmp_path / "one.csv", [1])
    assert read_curve(tmp_path / "one.csv") == (key, [[step, step / 8] for step in range(1, 5)])
    write(tmp_path / "two.csv", [1, 2])
    with pytest.raises(InputError, match=r"two.csv: \S*reward of the runs .*1, .*2; a curve is of one run"):
        read_curve(tmp_path / "two.csv")


def test_the_trainers_step_counts_before_that_of_weights_and_biases(tmp_path):
    # As TRL with log_completions logs: each step has a second row, of the table; pandas writes whole numbers as floats.
    rows = [",_step,train/global_step,train/reward", "0,0,1.0,0.5", "1,1,,", "2,2,2.0,0.7", "3,3,,"]
    (tmp_path / "history.csv").write_text("\n".join(rows))
    assert read_curve(tmp_path / "history.csv") == ("train/reward", [[1, 0.5], [2, 0.7]])
    write_chart_of_wandb(tmp_path / "panel.csv", [1], "Relative Time (Process)")
    with pytest.raises(
        InputError, match="row 0: train/reward without a whole number as step, train/global_step, _step or Step"
    ):
        read_curve(tmp_path / "panel.csv")


def test_a_table_of_runs_is_no_curve(mlflow_client, tmp_path):
    import mlflow

    run = mlflow_client.create_run("0").info.run_id
    mlflow_client.log_metric(run, "reward", 0.5, step=3)
    mlflow.search_runs(["0"]).to_csv(tmp_path / "runs.csv", index=False)
    with pytest.raises(InputError, match=r"no step has one of reward.*; it has run_id, .*metrics.reward"):
        read_curve(tmp_path / "runs.csv")


def test_a_curve_with_gaps_repeats_or_nothing(tmp_path):
    rows = [
        {"step": 2, "reward": 0.5},
        {"step": 1, "reward": math.nan},
        {"step": 2, "reward": 0.7},
        {"step": 3, "reward": None},
    ]
    assert read_curve(logs.write_jsonl(tmp_path / "a.jsonl", rows))[1] == [[1, None], [2, 0.7]]  # a resumed step counts last
    for rows, said in (
        ([{"step": 1, "loss": 2}], "no step has one of reward, critic/score/mean, train/reward; it has step, loss"),
        ([{"reward": 1}], "line 1: reward without a whole number as step"),
        ([{"step": 1, "reward": "high"}], "line 1: the reward 'high' is not a number"),
    ):
        with pytest.raises(InputError, match=said):
            read_curve(logs.write_jsonl(tmp_path / "wrong.jsonl", rows))
