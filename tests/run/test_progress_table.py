"""The board says what runs, what is done, and what came from the cache and therefore wrote no event."""

import json

import pytest

from rlready.config.recipes import load_recipe
from rlready.run.local.progress_table import BASELINE, Board
from rlready.stages.plan.plan import make_plan


@pytest.fixture
def board():
    return Board(make_plan(load_recipe("laptop", [])))


def tell(board, stage, candidate, state, **details):
    return board.take({"time": 0.0, "stage": stage, "candidate": candidate, "state": state, **details})


def states(board, row):
    return [board.cells[row, stage].state for stage in ("sft", "predictors", "gate", "rl", "benchmark")]


def test_the_base_model_comes_first_and_marks_nothing_else(board):
    tell(board, "sft", "no-sft-s0", "started")
    assert states(board, BASELINE)[0] == "running"
    assert all(set(states(board, row)) == {"waiting"} for row in board.rows[1:])


def test_the_base_model_as_a_candidate_is_measured_once_and_trained_after_the_gate(board):
    for stage in ("sft", "predictors", "benchmark"):
        tell(board, stage, "no-sft-s0", "started")
        tell(board, stage, "no-sft-s0", "finished", seconds=2.0)
    assert set(states(board, "no-sft-s0")) == {"waiting"} and states(board, BASELINE)[0] == "done"
    tell(board, "gate", None, "started")
    tell(board, "rl", "no-sft-s0", "started")
    assert states(board, "no-sft-s0")[3] == "running" and states(board, BASELINE)[4] == "done"


def test_the_benchmark_of_the_base_model_says_nothing_of_its_other_stages(board):
    tell(board, "benchmark", "no-sft-s0", "started")
    assert states(board, BASELINE)[:2] == ["waiting", "waiting"] and not board.found


def test_what_fails_is_said_and_what_comes_after_it_waits_for_nothing(board):
    row = board.rows[2]
    assert tell(board, "sft", row, "failed", message="out of memory") == f"{row}: SFT failed: out of memory"
    tell(board, "predictors", row, "skipped")
    assert states(board, row)[:2] == ["failed", "skipped"]


def test_rl_without_a_signal_is_said(board):
    row = board.rows[2]
    assert tell(board, "rl", row, "stopped", message="no signal: x") == f"{row}: RL had no signal: x"


def test_candidates_long_before_one_that_starts_came_from_the_cache(board):
    tell(board, "sft", board.rows[4], "started")
    assert states(board, board.rows[1])[:2] == ["cached", "cached"]
    assert set(states(board, board.rows[5])) == {"waiting"}


def test_after_the_gate_the_second_loop_is_inferred_by_itself(board):
    for row in board.rows[1:4]:
        tell(board, "sft", row, "started")
        tell(board, "sft", row, "finished", seconds=1.0)
    tell(board, "gate", None, "started")
    assert states(board, board.rows[6])[:2] == ["cached", "cached"]
    assert set(states(board, board.rows[6])[2:]) == {"waiting"}
    tell(board, "rl", board.rows[5], "started")
    assert states(board, board.rows[1])[3:] == ["cached", "cached"]
    assert states(board, board.rows[6])[3:] == ["waiting", "waiting"]


def test_a_rejected_candidate_waits_for_nothing(board):
    row = board.rows[2]
    line = tell(board, "gate", row, "decided", decision="rejected", reason="why", proceed=False)
    assert line == f"{row}: rejected: why"
    assert states(board, row)[3:] == ["skipped", "skipped"]
    assert board.estimate_rest() > 0


def test_lost_tracking_is_told_once(board):
    """Every stage is a process of its own and notices by itself."""
    told = [tell(board, "tracking", None, "lost", message="tracking: lost (refused)") for _ in range(3)]
    assert told == ["tracking: lost (refused)", None, None] and board.lost


def test_what_came_from_the_cache_is_a_line_before_that_of_the_event_that_shows_it(board, tmp_path):
    events, row = tmp_path / "events.jsonl", board.rows[2]
    cell = {"time": 0.0, "stage": "predictors", "candidate": row}
    written = [cell | {"state": "started"}, cell | {"state": "failed", "message": "out of memory"}]
    events.write_text("".join(json.dumps(event) + "\n" for event in written))
    lines = board.read(events)
    cached = [f"{BASELINE}: SFT", f"{BASELINE}: Predictors", f"{row}: SFT"]
    assert lines == [*(f"{cell} from the cache" for cell in cached), f"{row}: Predictors failed: out of memory"]
    assert board.read(events) == []
