"""Thresholds learned from runs: they are the gate's own, judged on what they were not chosen on, and told with their doubts."""

import dataclasses
import itertools
import json

import numpy as np
import pytest
from helpers.kfp_server import rlready
from helpers.policies import enforce, make_row
from helpers.sweeps import PROBLEMS, make_sweep
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from rlready.analysis import calibration
from rlready.analysis.calibration import Rule, calibrate, judge, set_up
from rlready.config import Gate
from rlready.errors import InputError
from rlready.gate.decide import decide
from rlready.records.outcome import BaseModel
from rlready.stats.ties import TIE


def write(sweep, path):
    held = {"baseline": dataclasses.asdict(sweep.baseline), "outcomes": [dataclasses.asdict(o) for o in sweep.outcomes]}
    path.write_text(json.dumps(held | {"parameters": sweep.parameters}))
    return str(path)


@pytest.fixture(autouse=True)
def few_trials(monkeypatch):
    monkeypatch.setattr(calibration, "PARTITIONS", 6)


def as_checkpoint(outcome):
    """A finished checkpoint: nobody saw its training."""
    model = BaseModel(f"/models/{outcome.candidate.candidate_id}", "", outcome.candidate.candidate_id)
    candidate = dataclasses.replace(outcome.candidate, checkpoint=model, subset="", epochs=0, examples=0)
    return dataclasses.replace(outcome, candidate=candidate, sft=dataclasses.replace(outcome.sft, trajectory=[]))


def without_heldout_data(outcome):
    predictors = dataclasses.replace(outcome.predictors, generalization_loss=None, loss_interval=None, heldout_tokens=0)
    return dataclasses.replace(outcome, predictors=predictors, sft=dataclasses.replace(outcome.sft, trajectory=[]))


def distrusted(outcome):
    """Every other one, its verifier's checks disagree, which leaves a candidate undecided."""
    share = 0.5 * (outcome.candidate.epochs % 2)
    seen = dataclasses.replace(outcome.predictors.by_products, verifier_disagreement=share)
    return dataclasses.replace(outcome, predictors=dataclasses.replace(outcome.predictors, by_products=seen))


def repeat(sweep, generator, seeds=3):
    """The sweep with several seeds of every setting, whose counts differ a little."""
    outcomes = []
    for outcome, seed in itertools.product(sweep.outcomes, range(seeds)):
        candidate = outcome.candidate
        name = candidate.candidate_id.removesuffix("-s0") + f"-s{seed}"
        other = np.where(generator.random(PROBLEMS) < 0.15, generator.integers(0, 2, PROBLEMS) * 5, outcome.predictors.correct)
        outcomes.append(
            dataclasses.replace(
                outcome,
                candidate=dataclasses.replace(candidate, candidate_id=name, seed=seed),
                predictors=dataclasses.replace(outcome.predictors, correct=other.tolist()),
            )
        )
    return dataclasses.replace(sweep, outcomes=outcomes)


@pytest.mark.parametrize(
    "change",
    [None, as_checkpoint, without_heldout_data, distrusted, repeat, "longest"],
    ids=lambda change: str(change)[:16],
)
def test_a_rule_approves_what_the_gate_approves_with_its_recipe(change):
    generator = np.random.default_rng(0)
    sweep = make_sweep(generator, 12, subset="longest" if change == "longest" else "random")
    if change is repeat:
        sweep = repeat(sweep, generator)
    elif callable(change):
        sweep = dataclasses.replace(sweep, outcomes=[*map(change, sweep.outcomes)])
    bench, approved = set_up(sweep, "run"), set()
    (low, high, *_), rises = (calibration._divide([bench.numbers[name]]) for name in ("lead", "rise"))
    worn, by_k, by_loss = rises[0] if rises else 100.0, "pass_at_k", "generalization_loss"
    for lead, rise, budget, rank_by in [
        (-1.0, 100.0, 1.0, by_k), (high, 100.0, 1.0, by_k), (low, worn, 0.25, by_k), (-1.0, 100.0, 0.5, "pass_at_1"),
        (low, 100.0, 0.25, by_loss), (-1.0, worn, 0.125, by_loss),
    ]:  # fmt: skip
        rule = Rule(lead, rise, budget, rank_by)
        lines = dict(line.partition("#")[0].split(": ") for line in rule.write_recipe(len(sweep.outcomes)))
        values = {key.removeprefix("gate_"): value.strip() for key, value in lines.items()}
        settings = {key: value if key == "rank_by" else float(value) for key, value in values.items()}
        settings["max_rl_runs"] = int(settings["max_rl_runs"])
        verdicts = decide(sweep.outcomes, sweep.baseline, Gate(k=64, **settings))
        expected = {verdict.candidate_id for verdict in verdicts if verdict.decision == "approved"}
        names = [setting.rows[0].name for setting in bench.pool.settings]
        assert {name for name, held in zip(names, judge(rule, bench)[1, 0], strict=True) if held} == expected
        approved.add(len(expected))
    assert max(approved) == (6 if change is distrusted else len(sweep.outcomes)) and len(approved) > 2


@effort(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=2, max_size=12), st.floats(1e-12, 1e-3))
def test_thresholds_tell_apart_what_they_were_chosen_to_in_the_digits_that_are_printed(values, near):
    values = np.array([*values, values[0] + near])
    for threshold in calibration._divide([values]):
        (line,) = [line for line in Rule(lead=threshold).write_recipe(9) if "over_base" in line]
        assert float(line.split(": ")[1]) == threshold
        assert (np.abs(values - threshold) > TIE).all() and values.min() < threshold < values.max()


def test_where_pass_at_k_tells_the_result_it_is_found_and_beats_chance():
    found = calibrate([set_up(make_sweep(np.random.default_rng(seed), 16), f"run {seed}") for seed in (1, 2)])
    chosen = next(step for step in found if step.tolerated == 0.01)
    assert chosen.share < 0.6 and chosen.regret < 0.03 and chosen.regret < chosen.drawn
    assert chosen.rule.gates >= 1
    assert found[-1].share < found[0].share  # more may be lost, less is paid


def test_where_nothing_tells_it_the_expectation_says_so():
    """In hindsight thresholds can always be found that reject the worst; on settings left out they do not hold."""
    regrets, drawn = [], []
    for seed in range(5):
        steps = calibrate([set_up(make_sweep(np.random.default_rng(seed), 12, told=0.0), "run")])
        chosen = next(step for step in steps if step.tolerated == 0.02)
        regrets.append(chosen.regret)
        drawn.append(chosen.drawn)
    assert np.mean(regrets) > 0.5 * np.mean(drawn)  # no better than chance, give or take


def test_neither_a_setting_nor_its_run_has_a_part_in_its_own_verdict(monkeypatch):
    benches = [set_up(make_sweep(np.random.default_rng(seed), 9), "run") for seed in (3, 4)]
    learned, choose = [], calibration._choose

    def choose_and_remember(known, races):
        learned[:] = known
        return choose(known, races)

    def judge_and_spoil(rule, bench, drawn):
        """What has a part in the rule gets a verdict that no figure survives."""
        taken = judge(rule, bench, drawn)
        taken[..., np.isin(bench.names, [name for known in learned for name in known.names])] = np.nan
        if known is benches:
            assert not any(set(bench.numbers["rise"]) & set(other.numbers["rise"]) for other in learned)
        return taken

    monkeypatch.setattr(calibration, "_choose", choose_and_remember)
    monkeypatch.setattr(calibration, "judge", judge_and_spoil)
    for known in (benches, benches[:1]):
        assert all(np.isfinite([step.share, step.regret]).all() for step in calibrate(known))
        assert learned == known  # what is printed is learned of everything


def test_fewer_than_eight_settings_and_runs_without_an_audit_are_refused(tmp_path, monkeypatch, capsys):
    few = make_sweep(np.random.default_rng(0), 7)
    with pytest.raises(InputError, match="7 settings finished RL; thresholds need at least 8"):
        calibrate([set_up(few, "run")])
    partly = dataclasses.replace(few, outcomes=[*few.outcomes[:6], enforce_rejected(few.outcomes[6])])
    with pytest.raises(InputError, match="run: RL ran for 6 of 7 candidates; .* run it with gate_mode=audit"):
        set_up(partly, "run")
    doubtful = dataclasses.replace(few, parameters={"gate_k": 64, "gate_max_verifier_disagreement": -1.0})
    with pytest.raises(InputError, match="run: the gate approves none of 7, whatever its thresholds: verifier dis"):
        set_up(doubtful, "run")
    assert rlready(monkeypatch, "calibrate", write(few, tmp_path / "few.json")) == 2
    assert "thresholds need at least 8" in capsys.readouterr().err
    assert rlready(monkeypatch, "calibrate", "nowhere", "--work", str(tmp_path)) == 2
    assert "nowhere: neither a file, nor a finished run in" in capsys.readouterr().err
    assert rlready(monkeypatch, "calibrate", "--regret", "0.3") == 2


def enforce_rejected(outcome):
    rejected = dataclasses.replace(outcome.verdict, decision="rejected")
    return enforce(make_row(6, "random", 0.1, 0.5, 0.4, 0.3, 0.5, 1.0, False, verdict=rejected)).outcome


def test_the_command_prints_the_frontier_its_doubts_and_lines_that_a_recipe_takes(tmp_path, monkeypatch, capsys):
    from rlready.config.recipes import load_recipe

    path = write(make_sweep(np.random.default_rng(4), 12), tmp_path / "outcomes.json")
    assert rlready(monkeypatch, "calibrate", path) == 0
    said = capsys.readouterr().out
    assert "Learned from 12 settings of 1 run." in said and "of the cost of RL for all, predictors included" in said
    (tmp_path / "mine.yaml").write_text(said[said.index("parameters:") :])
    parameters = load_recipe(str(tmp_path / "mine.yaml"), [])
    assert parameters["gate_min_pass_at_k"] == 0 and parameters["gate_min_pass_at_k_over_base"] < 1


def test_a_run_in_mlflow_is_found_by_its_id(tmp_path, mlflow_client, monkeypatch, capsys):
    from rlready.tracking.runs import finish_run, open_run

    run_id = "0e1f5c9e-3c1b-4d53-9b57-0c8f2d1d2b11"
    write(make_sweep(np.random.default_rng(5), 10), tmp_path / "there.json")
    monkeypatch.setenv("RLREADY_RUN_ID", run_id)
    open_run("my study", {})
    told = {"figures": {"gate/regret": 0.1}, "tags": {"gate.saving": "said"}}
    finish_run(run_id, {}, {"outcomes.json": tmp_path / "there.json"}, **told)
    assert rlready(monkeypatch, "calibrate", run_id, "--work", str(tmp_path)) == 0
    assert "Learned from 10 settings of 1 run." in capsys.readouterr().out
    (run,) = mlflow_client.search_runs(["1"], "tags.`rlready.role` = 'pipeline'")
    assert run.data.metrics["gate/regret"] == 0.1 and run.data.tags["gate.saving"] == "said"
