"""Calibration with races: as gate and race decide with the printed recipe, at validated steps; and when rankings settle."""

import dataclasses

import numpy as np
import pytest
from helpers.kfp_server import rlready
from helpers.races import draw_counts, validate
from helpers.sweeps import make_sweep

from rlready.analysis import calibration
from rlready.analysis.calibration import GATE, KINDS, Rule, calibrate, judge, propose, set_up
from rlready.analysis.comparison import read_rows
from rlready.analysis.plateau import describe_settling
from rlready.analysis.pool import find_pools, find_probes
from rlready.analysis.sweep_result import write_sweep
from rlready.config import Gate, Race
from rlready.gate.decide import decide
from rlready.gate.race import judge_race


def make_raced_sweep(seed, count=12, told=0.0, early=0.0, steps=(0, 10, 25, 50, 100)):
    """Settings whose Pass@k says nothing of the result; validation at a step shows a mixture of SFT Pass@1 and the result."""
    generator = np.random.default_rng(seed)
    sweep = make_sweep(generator, count, told=told)
    outcomes = []
    for outcome in sweep.outcomes:
        head, end = generator.normal(), 10 * (outcome.benchmark.pass_at_1 - 0.3)
        shares = {step: early if 0 < step < 50 else float(step == 0) for step in steps}
        levels = {step: share * head + (1 - share) * end for step, share in shares.items()}
        curve = [[1, float(1 / (1 + np.exp(-head)))], *outcome.predictors.curve[1:]]
        predictors = dataclasses.replace(outcome.predictors, curve=curve)
        outcomes.append(validate(dataclasses.replace(outcome, predictors=predictors), draw_counts(generator, levels)))
    return dataclasses.replace(sweep, outcomes=outcomes)


@pytest.fixture(autouse=True)
def few_trials(monkeypatch):
    monkeypatch.setattr(calibration, "PARTITIONS", 3)


@pytest.mark.parametrize("rule", [
    Rule(race_steps=25), Rule(race_steps=50, race_keep=0.25), Rule(0.0, race_steps=10, race_keep=0.5),
    Rule(-1.0, 100.0, 0.5, "pass_at_1", 25, 0.125),
])  # fmt: skip
def test_a_rule_takes_whom_gate_and_race_take_with_its_recipe(rule):
    sweep = make_raced_sweep(0)
    lines = dict(line.partition("#")[0].split(": ") for line in rule.write_recipe(len(sweep.outcomes)))
    gate = {key.removeprefix("gate_"): value.strip() for key, value in lines.items() if key.startswith("gate_")}
    gate = {key: value if key == "rank_by" else float(value) for key, value in gate.items()}
    verdicts = decide(sweep.outcomes, sweep.baseline, Gate(k=64, **gate | {"max_rl_runs": int(gate["max_rl_runs"])}))
    begun = [o for o, verdict in zip(sweep.outcomes, verdicts, strict=True) if verdict.decision == "approved"]
    raced = judge_race(begun, Race(int(lines["race_steps"]), int(lines["race_keep"].strip())), 0, None)
    expected = {o.candidate.candidate_id for o, verdict in zip(begun, raced, strict=True) if verdict.goes_on}
    bench = set_up(sweep, "run")
    paid, ended = judge(rule, bench)[:, 0]
    names = [setting.rows[0].name for setting in bench.pool.settings]
    assert {name for name, held in zip(names, ended, strict=True) if held} == expected
    probe = bench.probes[rule.race_steps]
    for name, cost, of_probe, whole in zip(names, paid, probe.cost, bench.pool.full + probe.checks, strict=True):
        assert cost == pytest.approx(whole if name in expected else of_probe if name in {
            o.candidate.candidate_id for o in begun} else 0)  # fmt: skip


def test_where_only_validation_tells_the_result_a_race_is_proposed_at_a_validated_step():
    found = calibrate([set_up(make_raced_sweep(seed), f"run {seed}") for seed in (1, 2)])
    assert [step.kind for step in found[:: len(found) // 3]] == [*KINDS]
    chosen, gate = propose(found, 0.01), next(step for step in found if (step.kind, step.tolerated) == (GATE, 0.01))
    assert chosen.rule.race_steps in (10, 25, 50) and chosen.regret < chosen.drawn
    assert chosen.share < gate.share and chosen.regret < gate.regret
    assert any(line.startswith("race_steps: ") for line in chosen.rule.write_recipe(12))
    assert propose([gate], 0.01) is gate


def test_only_steps_that_all_runs_validated_are_proposed():
    benches = [set_up(make_raced_sweep(1), "one"), set_up(make_raced_sweep(2, steps=(0, 20, 50, 100)), "other")]
    assert {step for step, _ in calibration._list_races(benches)} == {50}
    none = [benches[0], set_up(make_sweep(np.random.default_rng(3), 12), "without validation")]
    assert calibration._list_races(none) == [] and {step.kind for step in calibrate(none)} == {GATE}


def test_it_is_said_where_rankings_settle_and_that_an_early_race_rewards_the_head_start():
    def describe(early):
        rows, base, _ = read_rows(make_raced_sweep(4, 16, early=early))
        (pool,) = find_pools(rows, base)
        return describe_settling(pool, find_probes(pool))

    settled, trap = describe(early=1.0)
    assert settled == "Validation ranks the settings as the result does (Spearman at least 0.9) from step 50 on."
    assert trap.startswith("Up to step 25 it ranks them more like SFT Pass@1 (") and "chance" not in trap
    assert trap.endswith("a race that early rewards the head start of SFT.")
    assert describe(early=0.0) == [settled.replace("50", "10")]


def test_where_sft_pass_at_1_is_the_same_for_all_nothing_is_said_of_a_head_start():
    for seed in range(8):
        sweep = make_raced_sweep(seed, 8, early=1.0)
        alike = [dataclasses.replace(o.predictors, curve=[[1, 0.1], *o.predictors.curve[1:]]) for o in sweep.outcomes]
        outcomes = [dataclasses.replace(o, predictors=p) for o, p in zip(sweep.outcomes, alike, strict=True)]
        (pool, *_) = find_pools(*read_rows(dataclasses.replace(sweep, outcomes=outcomes))[:2])
        assert len(describe_settling(pool, find_probes(pool))) == 1


def test_a_rule_that_takes_none_loses_nothing_if_the_base_model_is_better_than_all():
    sweep = make_raced_sweep(1)
    best = dataclasses.replace(sweep.baseline.benchmark, pass_at_1=0.9)
    bench = set_up(dataclasses.replace(sweep, baseline=dataclasses.replace(sweep.baseline, benchmark=best)), "run")
    none = np.zeros((len(bench.names), 1, 1))
    assert calibration.measure_rules(bench, none, none, np.ones((1, len(bench.names))))[1].item() == 0


def test_the_command_prints_races_beside_thresholds(tmp_path, monkeypatch, capsys):
    path = tmp_path / "outcomes.json"
    write_sweep(make_raced_sweep(5), path)
    assert rlready(monkeypatch, "calibrate", str(path)) == 0
    said = capsys.readouterr().out
    for shown in ("gate and race", "race at", "Successive halving (eta 3)", "A race", "at random", "Validation ranks the"):
        assert shown in said
