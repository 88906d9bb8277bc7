"""The table says what runs, what is done, and what came from the cache and therefore wrote no event."""

import io
import json
import re
import time

import pytest
from rich.console import Console

from rlready.config.recipes import load_recipe
from rlready.run.local.progress_table import BASELINE, STAGES, Cell, ProgressTable
from rlready.stages.plan.plan import make_plan


@pytest.fixture
def table():
    return ProgressTable(make_plan(load_recipe("laptop", [])))


def tell(table, stage, candidate, state, **details):
    return table.take({"time": 0.0, "stage": stage, "candidate": candidate, "state": state} | details)


def states(table, row):
    return [table.cells[row, stage].state for stage in ("sft", "predictors", "gate", "rl", "benchmark")]


def test_the_base_model_comes_first_and_marks_nothing_else(table):
    tell(table, "sft", "no-sft-s0", "started")
    assert states(table, BASELINE)[0] == "running"
    assert all(set(states(table, row)) == {"waiting"} for row in table.rows[1:])


def test_only_what_the_cache_holds_counts_as_taken_from_it(table):
    tell(table, "sft", "random-256x4-lr0.001-s0", "started")
    assert states(table, BASELINE)[:2] == ["waiting", "waiting"]
    assert tell(table, "sft", "no-sft-s0", "cached") == f"{BASELINE}: SFT from the cache"
    assert states(table, BASELINE)[:2] == ["cached", "waiting"]


def test_the_base_model_as_a_candidate_is_measured_once_and_trained_after_the_gate(table):
    for stage in ("sft", "predictors", "benchmark"):
        tell(table, stage, "no-sft-s0", "started")
        tell(table, stage, "no-sft-s0", "finished", seconds=2.0)
    assert set(states(table, "no-sft-s0")) == {"waiting"} and states(table, BASELINE)[0] == "done"
    tell(table, "gate", None, "started")
    tell(table, "rl", "no-sft-s0", "started")
    assert states(table, "no-sft-s0")[3] == "running" and states(table, BASELINE)[4] == "done"


def test_checkpoints_of_a_training_wait_for_no_sft_of_their_own_and_are_no_items():
    table = ProgressTable(make_plan(load_recipe("laptop", ["sweep_checkpoints=every-epoch"])))
    early, late = "random-256x1of32-lr0.001-s0", "random-256x32-lr0.001-s0"
    assert states(table, early)[:2] == ["skipped", "waiting"] and table.estimate_rest() > 0
    tell(table, "sft", late, "started")
    tell(table, "sft", late, "finished", seconds=2.0)
    assert states(table, early)[:2] == ["skipped", "waiting"]
    tell(table, "predictors", early, "started")
    assert states(table, early)[:2] == ["skipped", "running"] and states(table, late)[:2] == ["done", "waiting"]


def test_the_predictors_of_a_training_come_from_the_cache_for_all_its_checkpoints():
    table = ProgressTable(make_plan(load_recipe("laptop", ["sweep_checkpoints=every-epoch"])))
    tell(table, "predictors", "random-256x32-lr0.001-s0", "cached")
    assert states(table, "random-256x1of32-lr0.001-s0")[:2] == ["skipped", "cached"]
    assert states(table, "random-256x32-lr0.001-s0")[:2] == ["waiting", "cached"]


def test_the_benchmark_of_the_base_model_says_nothing_of_its_other_stages(table):
    tell(table, "benchmark", "no-sft-s0", "started")
    assert states(table, BASELINE)[:2] == ["waiting", "waiting"]


def test_what_fails_is_said_and_what_comes_after_it_waits_for_nothing(table):
    row = table.rows[2]
    assert tell(table, "sft", row, "failed", message="out of memory") == f"{row}: SFT failed: out of memory"
    tell(table, "predictors", row, "skipped")
    assert states(table, row)[:2] == ["failed", "skipped"]


def test_rl_without_a_signal_is_said(table):
    row = table.rows[2]
    assert tell(table, "rl", row, "stopped", message="no signal: x") == f"{row}: RL had no signal: x"


def test_of_verdicts_from_the_cache_only_what_ran_says_for_whom_rl_was_to_run(table):
    assert "no-sft-s0" in table.plan.shared  # measured with the base model
    assert tell(table, "gate", None, "cached") == "gate from the cache"
    assert states(table, "no-sft-s0") == ["cached", "cached", "cached", "waiting", "waiting"]
    tell(table, "rl", "no-sft-s0", "started")
    assert states(table, "no-sft-s0")[3] == "running" and states(table, BASELINE)[3] == "skipped"
    tell(table, "rl", "no-sft-s0", "finished", seconds=1.0)
    approved, rejected = table.rows[2:4]
    for stage in ("rl", "benchmark"):
        assert tell(table, stage, approved, "cached").endswith("from the cache")
    tell(table, "report", None, "started")
    assert states(table, approved)[3:] == ["cached", "cached"] and states(table, rejected)[3:] == ["skipped", "skipped"]


def test_a_rejected_candidate_waits_for_nothing(table):
    row = table.rows[2]
    line = tell(table, "gate", row, "decided", decision="rejected", reason="why", proceed=False)
    assert line == f"{row}: rejected: why"
    assert states(table, row)[3:] == ["skipped", "skipped"]
    assert table.estimate_rest() > 0


def test_lost_tracking_is_reported_once(table):
    """Every stage is a process of its own and notices by itself."""
    lines = [tell(table, "tracking", None, "lost", message="tracking: lost (refused)") for _ in range(3)]
    assert lines == ["tracking: lost (refused)", None, None] and table.lost


def test_events_are_lines_in_their_order_and_each_is_read_once(table, tmp_path):
    events, row = tmp_path / "events.jsonl", table.rows[3]
    cell = {"time": 0.0, "stage": "predictors", "candidate": row}
    written = [cell | {"stage": "sft", "state": "cached"}, cell | {"state": "started"}]
    written += [cell | {"state": "failed", "message": "out of memory"}]
    events.write_text("".join(json.dumps(event) + "\n" for event in written))
    assert table.read(events) == [f"{row}: SFT from the cache", f"{row}: Predictors failed: out of memory"]
    assert table.read(events) == []


def test_what_runs_is_described_and_the_time_left_is_an_estimate_until_it_was_measured(table):
    row, now = table.rows[2], time.time()
    tell(table, "sft", row, "started", time=now - 10)
    assert table.describe_running()[1] == f"SFT of {row}: 0:10" and table.describe_running()[-1].endswith("go (estimate)")
    tell(table, "sft", row, "progress", done=1, total=4, rate=1234.5, unit="tokens")
    assert table.describe_running()[1] == f"SFT of {row}: 25%, 1,234 tokens/s"
    for stage in ("sft", "predictors", "rl", "benchmark"):
        tell(table, stage, row, "started")
        tell(table, stage, row, "progress", done=9, total=10, rate=1.0, unit="tokens")
        assert table.describe_running()[-1].endswith("(estimate)")
        tell(table, stage, row, "finished", seconds=20.0)
    assert re.fullmatch(r"about \d+:\d\d to go", table.describe_running()[-1])


def test_the_time_left_follows_the_speed_of_what_runs(table):
    """Half of a stage that has taken 100 seconds takes 100 more, whatever the plan expected of this machine."""
    for cell in table.cells.values():
        cell.state = "skipped"
    row = table.rows[2]
    table.cells[row, "sft"].state = "waiting"
    tell(table, "sft", row, "started", time=time.time() - 130)
    tell(table, "sft", row, "progress", time=time.time() - 30, done=2, total=4, rate=1.0, unit="tokens")
    # 70 of them are left now, and no other candidate can take a part of them.
    assert table.estimate_rest() == pytest.approx(70, rel=0.01) and table.workers == 2


def test_a_stage_that_takes_long_lengthens_what_follows(table):
    row, guess = table.rows[2], table.plan.estimate["sft"]["seconds"]
    table.crowding = 1.0
    before = table.estimate_rest()
    tell(table, "sft", row, "started", time=time.time() - 10 * guess)
    assert table.estimate_rest() > 5 * before


def test_the_table_fits_80_columns_and_names_stay_apart(table):
    names = [f"my-own-experiment-with-a-long-name-{number}x32-lr0.001-s0" for number in range(3)]
    table.rows = [*names, table.rows[0]]
    states = [
        Cell("running", 0.0, share=1.0, note="1 tokens/s"),
        Cell("done", seconds=123456.0),
        Cell("done", note="undecided"),
    ]
    table.cells = {(row, stage): cell for row in table.rows for stage, cell in zip(STAGES, [*states, *states[:2]], strict=True)}
    table.current = ""
    console = Console(width=80, file=io.StringIO(), force_terminal=False)
    console.print(table.draw())
    lines = console.file.getvalue().splitlines()
    assert all(title in lines[0] for title in ("candidate", "SFT", "Predictors", "Gate", "RL", "Benchmark"))
    shown = [line.split()[0] for line in lines[1:4]]
    assert len(set(shown)) == 3 and all(line.count("…") == 1 and "123456 s" in line for line in lines[1:4])


def test_a_candidate_that_another_run_computes_is_said(table):
    message = "sft of a: another run in this folder is computing it; waiting for its result"
    assert tell(table, "cache", None, "waiting", message=message) == message
