"""What the stages said is put together or refused, what failed is named, and old runs stay readable."""

import dataclasses
import json
import shutil
import subprocess
import sys

import pytest
from helpers import CASES

from rlready.analysis.sweep_result import SweepResult, add_results, check_ran, list_failures, read_sweep
from rlready.cli.replay import replay
from rlready.errors import InputError
from rlready.records.outcome import BenchmarkRecord, Candidate, Failure, Outcome, RlRecord, SftRecord
from rlready.records.verdicts import Verdict

CANDIDATE = Candidate("c", 1, "random", 8, 1e-3, 0)
BASELINE = Outcome(Candidate("base", 0, "random", 8, 1e-3, 0))
RUN, SKIP = (Verdict("c", decision, decision == "approved", "") for decision in ("approved", "rejected"))
RL, SCORED = RlRecord([]), BenchmarkRecord(0.5)
OLD = CASES / "outcomes-schema2.json"


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        (Outcome(CANDIDATE), "planned, but has no verdict"),
        (Outcome(CANDIDATE, verdict=RUN), "said run RL, but RL did not run"),
        (Outcome(CANDIDATE, verdict=RUN, rl=RL), "said run RL, but RL did not run"),
        (Outcome(CANDIDATE, verdict=SKIP, rl=RL, benchmark=SCORED), "said do not run RL, but RL ran"),
    ],
)
def test_what_ran_must_be_what_the_gate_decided(outcome, message):
    with pytest.raises(InputError, match=message):
        check_ran([outcome])
    check_ran([Outcome(CANDIDATE, verdict=RUN, rl=RL, benchmark=SCORED), Outcome(CANDIDATE, verdict=SKIP)])


def test_a_stage_that_failed_after_the_gate_contradicts_no_verdict():
    check_ran([Outcome(CANDIDATE, verdict=RUN, failure=Failure("rl", "diverged"))])
    check_ran([Outcome(CANDIDATE, verdict=RUN, rl=RL, failure=Failure("benchmark", "out of memory"))])


def test_an_outcome_is_put_together_from_what_each_stage_said():
    measured = Outcome(CANDIDATE, sft=SftRecord([], steps=1), verdict=RUN, links={"sft_model": "a"})
    result = Outcome(CANDIDATE, rl=RlRecord([], steps=2), benchmark=SCORED, links={"rl_model": "b"})
    scored = dataclasses.replace(BASELINE, benchmark=BenchmarkRecord(0.1))
    whole = add_results(SweepResult([measured], BASELINE, {}), [result], scored)
    (outcome,) = whole.outcomes
    assert outcome.verdict == RUN and outcome.rl.steps == 2
    assert outcome.links == {"sft_model": "a", "rl_model": "b"} and outcome.sft.steps == 1
    assert whole.baseline.benchmark.pass_at_1 == 0.1
    assert add_results(SweepResult([measured], BASELINE, {}), [], scored).outcomes[0].rl is None


def test_figures_of_two_engines_never_meet():
    ours, theirs = BenchmarkRecord(0.9, engine="vllm bfloat16"), BenchmarkRecord(0.1, engine="transformers float32")
    judged = SweepResult([Outcome(CANDIDATE, verdict=RUN)], BASELINE, {})
    whole = add_results(judged, [Outcome(CANDIDATE, rl=RL, benchmark=ours)], dataclasses.replace(BASELINE, benchmark=theirs))
    (outcome,) = whole.outcomes
    assert outcome.benchmark is None and outcome.failure.stage == "benchmark"
    assert "vllm bfloat16 scored it, and transformers float32 the base model" in outcome.failure.reason
    check_ran(whole.outcomes)


def test_what_was_not_measured_has_no_result():
    with pytest.raises(InputError, match="c: has a result, but was not measured"):
        add_results(SweepResult([], BASELINE, {}), [Outcome(CANDIDATE, rl=RL)], BASELINE)


def test_failures_are_named_with_the_reason_and_the_way_to_try_again():
    def fail(name, stage, reason, attempt=1):
        candidate = dataclasses.replace(CANDIDATE, candidate_id=name, attempt=attempt)
        return Outcome(candidate, failure=Failure(stage, reason))

    outcomes = [fail("a", "sft", "out of memory"), fail("b", "rl", "diverged", 2), fail("c", "sft", "out of memory")]
    lines = list_failures(SweepResult([*outcomes, Outcome(CANDIDATE)], BASELINE, {"sweep_attempts": {"b": 2, "z": 3}}))
    assert lines[:2] == ["a, c: SFT failed: out of memory", "b: RL failed: diverged"]
    assert json.loads(lines[2].split("'")[1]) == {"a": 2, "b": 3, "c": 2, "z": 3}
    assert list_failures(SweepResult([Outcome(CANDIDATE)], BASELINE, {})) == []


def test_a_run_of_schema_2_is_read():
    sweep = read_sweep(OLD)
    assert [(o.candidate.candidate_id, o.verdict.decision) for o in sweep.outcomes] == [
        ("random-8x1-lr0.001-s0", "approved"),
        ("longest-8x4-lr0.001-s0", "rejected"),
    ]
    approved, rejected = sweep.outcomes
    assert approved.benchmark.pass_at_1 == 0.5 and approved.verdict.numbers.pass_at_k == pytest.approx(7 / 12)
    assert approved.predictors.by_products.truncated == 0.25 and approved.predictors.by_products.unreadable is None
    assert rejected.rl is None and rejected.failure is None and rejected.candidate.attempt == 1
    assert sweep.baseline.predictors.greedy_pass_at_1 == 0.25


def test_the_verdicts_of_a_run_of_schema_2_come_out_again_and_with_other_thresholds():
    old = read_sweep(OLD)
    renamed = dataclasses.replace(old, parameters=old.parameters | {"rl_name_of_an_older_version": 1})
    assert [entry.differs for entry in replay(renamed, [])] == [[], []]
    changed = replay(read_sweep(OLD), ["gate_min_pass_at_k=0.1"])
    assert [entry.after.decision for entry in changed] == ["approved", "rejected"]
    kept = [entry.after.numbers.coverage_kept for entry in replay(old, ["gate_min_coverage_kept=0.99"])]
    assert all(0 < share < 1 for share in kept)
    assert [entry.after.decision for entry in replay(old, ["gate_min_coverage_kept=0.99"])] == ["rejected", "rejected"]


def test_a_run_of_schema_2_is_reported_and_replayed_on_the_command_line(tmp_path):
    (tmp_path / "old").mkdir()
    shutil.copy(OLD, tmp_path / "old" / "outcomes.json")
    for command, said in (("report", "random-8x1-lr0.001-s0"), ("replay", "every verdict of old is reproduced")):
        line = [sys.executable, "-m", "rlready.cli", command, "old", "--work", str(tmp_path)]
        ended = subprocess.run(line, capture_output=True, text=True)
        assert ended.returncode == 0 and said in ended.stdout, ended.stderr
    assert "Only random-8x1-lr0.001-s0 has finished RL" in (tmp_path / "old" / "report.md").read_text()
