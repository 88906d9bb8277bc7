"""Thresholds learned from runs: they are the gate's own, judged on what they were not chosen on, and told with their doubts."""

import dataclasses
import json

import numpy as np
import pytest
from kfp_server import rlready
from test_policies import BASE, DEVICE, enforce, make_row

from rlready.components.config import Gate, InputError
from rlready.components.core.records import PredictorsRecord
from rlready.components.gate.decide import decide
from rlready.components.report import calibration
from rlready.components.report.assemble import SweepResult
from rlready.components.report.calibration import Rule, calibrate, judge, set_up

PROBLEMS = 40


def measure(generator, reach, samples=64):
    """Counts of right samples of problems that are within reach with this probability."""
    return (generator.random(PROBLEMS) < reach) * generator.integers(1, samples // 2, PROBLEMS)


def make_sweep(generator, count, told=1.0, subset="random"):
    """Settings whose reach tells the result of RL, the more the nearer `told` is to 1; Pass@1 does not."""
    base = PredictorsRecord(0.5, samples=64, correct=measure(generator, 0.5).tolist(), seconds=20.0, **DEVICE)
    base = dataclasses.replace(base, curve=[[1, 0.1], [64, 0.5]])
    outcomes = []
    for number in range(count):
        reach = generator.uniform(0.3, 0.9)
        correct = measure(generator, reach)
        score = 0.5 * (told * reach + (1 - told) * generator.uniform(0.3, 0.9)) + generator.normal(0, 0.005)
        row = make_row(number, subset, 0.1, 0.5, 0.4, 0.3, float(score), 100.0, True)
        predictors = dataclasses.replace(
            row.outcome.predictors,
            samples=64,
            correct=correct.tolist(),
            generalization_loss=float(generator.uniform(0.3, 0.6)),
            loss_interval=[0.2, 0.7],
        )
        sft = dataclasses.replace(
            row.outcome.sft, trajectory=[[0, 1.0], [1, 0.4], [2, float(generator.uniform(0.4, 0.6))]]
        )
        outcomes.append(dataclasses.replace(row.outcome, sft=sft, predictors=predictors))
    baseline = dataclasses.replace(BASE.outcome, predictors=base)
    verdicts = decide(outcomes, baseline, Gate(k=64, mode="audit", max_verifier_disagreement=1))
    judged = [dataclasses.replace(o, verdict=v) for o, v in zip(outcomes, verdicts, strict=True)]
    return SweepResult(judged, baseline, {"gate_k": 64})


def write(sweep, path):
    held = {"baseline": dataclasses.asdict(sweep.baseline), "outcomes": [dataclasses.asdict(o) for o in sweep.outcomes]}
    path.write_text(json.dumps(held | {"parameters": sweep.parameters}))
    return str(path)


@pytest.mark.parametrize("rank_by", calibration.RANKED)
@pytest.mark.parametrize("subset", ["random", "longest"])
def test_a_rule_approves_what_the_gate_approves_with_its_recipe(rank_by, subset):
    generator = np.random.default_rng(0)
    for lead, rise, budget in [
        (-1, np.inf, 1.0),
        (0.05, np.inf, 1.0),
        (-0.1, 1.2, 1.0),
        (-0.1, 1.3, 0.25),
        (-1, np.inf, 0.5),
    ]:
        sweep = make_sweep(generator, 12, subset=subset)
        bench = set_up(sweep, "run")
        rule = Rule(lead, rise, budget, rank_by)
        lines = dict(line.partition("#")[0].split(": ") for line in rule.write_recipe(12))
        values = {key.removeprefix("gate_"): value.strip() for key, value in lines.items()}
        settings = {key: value if key == "rank_by" else float(value) for key, value in values.items()}
        settings["max_rl_runs"] = int(settings["max_rl_runs"])
        # The records have no verifier's disagreement, which the gate wants to know: taken as none.
        outcomes = [fill(outcome) for outcome in sweep.outcomes]
        verdicts = decide(outcomes, sweep.baseline, Gate(k=64, **settings))
        names = [outcome.candidate.candidate_id.removesuffix("-s0") for outcome in outcomes]
        expected = {name for name, verdict in zip(names, verdicts, strict=True) if verdict.decision == "approved"}
        assert {name for name, held in zip(bench.names, judge(rule, bench)[0], strict=True) if held} == expected


def fill(outcome):
    seen = dataclasses.replace(outcome.predictors.by_products, verifier_disagreement=0.0)
    return dataclasses.replace(outcome, predictors=dataclasses.replace(outcome.predictors, by_products=seen))


def test_where_pass_at_k_tells_the_result_it_is_found_and_beats_chance():
    found = calibrate([set_up(make_sweep(np.random.default_rng(seed), 16), f"run {seed}") for seed in (1, 2)])
    chosen = next(step for step in found if step.tolerated == 0.01)
    assert chosen.share < 0.6 and chosen.regret < 0.03 and chosen.regret < chosen.drawn
    assert chosen.rule.parts >= 1
    # More may be lost, less is paid.
    assert [step.share for step in found] == sorted((step.share for step in found), reverse=True)


def test_where_nothing_tells_it_the_expectation_says_so():
    """In hindsight thresholds can always be found that reject the worst; on settings left out they do not hold."""
    regrets, drawn = [], []
    for seed in range(5):
        steps = calibrate([set_up(make_sweep(np.random.default_rng(seed), 12, told=0.0), "run")])
        chosen = next(step for step in steps if step.tolerated == 0.02)
        regrets.append(chosen.regret)
        drawn.append(chosen.drawn)
    assert np.mean(regrets) > 0.5 * np.mean(drawn)  # no better than chance, give or take


def test_a_setting_has_no_part_in_its_own_verdict(monkeypatch):
    sweep = make_sweep(np.random.default_rng(3), 9)
    seen = []
    choose = calibration._choose
    monkeypatch.setattr(
        calibration, "_choose", lambda benches: seen.append([b.names for b in benches]) or choose(benches)
    )
    benches = [set_up(sweep, "one"), set_up(sweep, "two")]
    calibrate(benches)
    *left_out, everything = seen
    assert everything == [benches[0].names] * 2
    for name, kept in zip(benches[0].names, left_out, strict=True):
        assert kept == [[other for other in benches[0].names if other != name]] * 2


def test_fewer_than_eight_settings_and_runs_without_an_audit_are_refused(tmp_path, monkeypatch, capsys):
    few = make_sweep(np.random.default_rng(0), 7)
    with pytest.raises(InputError, match="7 settings finished RL; thresholds need at least 8"):
        calibrate([set_up(few, "run")])
    partly = dataclasses.replace(few, outcomes=[*few.outcomes[:6], enforce_rejected(few.outcomes[6])])
    with pytest.raises(InputError, match="run: RL ran for 6 of 7 candidates; .* run it with gate_mode=audit"):
        set_up(partly, "run")
    assert rlready(monkeypatch, "calibrate", write(few, tmp_path / "few.json")) == 2
    assert "thresholds need at least 8" in capsys.readouterr().err
    assert rlready(monkeypatch, "calibrate", "nowhere", "--work", str(tmp_path)) == 2
    assert "nowhere: no file, no finished run in" in capsys.readouterr().err
    assert rlready(monkeypatch, "calibrate", "--regret", "0.3") == 2


def enforce_rejected(outcome):
    rejected = dataclasses.replace(outcome.verdict, decision="rejected")
    return enforce(make_row(6, "random", 0.1, 0.5, 0.4, 0.3, 0.5, 1.0, False, verdict=rejected)).outcome


def test_the_command_prints_the_frontier_its_doubts_and_lines_that_a_recipe_takes(tmp_path, monkeypatch, capsys):
    from rlready.pipelines.recipes import load_recipe

    path = write(make_sweep(np.random.default_rng(4), 12), tmp_path / "outcomes.json")
    assert rlready(monkeypatch, "calibrate", path) == 0
    said = capsys.readouterr().out
    assert "12 settings of 1 run;" in said and "of the cost of RL for all, predictors included" in said
    (tmp_path / "mine.yaml").write_text(said[said.index("parameters:") :])
    parameters = load_recipe(str(tmp_path / "mine.yaml"), [])
    assert parameters["gate_min_pass_at_k"] == 0 and parameters["gate_min_pass_at_k_over_base"] < 1


def test_a_run_in_mlflow_is_found_by_its_id(tmp_path, mlflow_client, monkeypatch, capsys):
    from rlready.components.core.tracking.runs import finish_run, open_run

    run_id = "0e1f5c9e-3c1b-4d53-9b57-0c8f2d1d2b11"
    write(make_sweep(np.random.default_rng(5), 10), tmp_path / "there.json")
    monkeypatch.setenv("RLREADY_RUN_ID", run_id)
    open_run("my study", {})
    told = {"figures": {"gate/regret": 0.1}, "tags": {"gate.saving": "said"}}
    finish_run(run_id, {}, {"outcomes.json": tmp_path / "there.json"}, **told)
    assert rlready(monkeypatch, "calibrate", run_id, "--work", str(tmp_path)) == 0
    assert "10 settings of 1 run;" in capsys.readouterr().out
    (run,) = mlflow_client.search_runs(["1"], "tags.`rlready.role` = 'pipeline'")
    assert run.data.metrics["gate/regret"] == 0.1 and run.data.tags["gate.saving"] == "said"
