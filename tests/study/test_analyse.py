"""The analysis of the second study, written before its runs, on simulated runs with known results."""

import dataclasses
import json
import re
import runpy
import shlex
import statistics

import numpy as np
import pytest
from helpers import ROOT
from helpers.policies import BASE
from helpers.races import make_raced
from helpers.sweeps import fill
from scipy.stats import spearmanr, ttest_1samp

from rlready.analysis.calibration import calibrate, set_up
from rlready.analysis.comparison import read_rows
from rlready.analysis.curves import read_curves, write_curves
from rlready.analysis.sweep_result import SweepResult
from rlready.config import parse_parameters
from rlready.config.recipes import load_recipe
from rlready.stages.plan.sweep import expand_sweep
from rlready.stats.pass_at_k import summarize_curve

ANALYSE = runpy.run_path(str(ROOT / "docs" / "study" / "analyse.py"))
DRAWS = runpy.run_path(str(ROOT / "docs" / "study" / "draws.py"))


def make_draw(draw, seeds, many=False):
    """A run of 12 settings: Pass@k follows the result of RL, SFT Pass@1 does not."""
    generator = np.random.default_rng(draw)
    outcomes = []
    for number in range(12):
        name, level = ("random" if number < 9 else "mixed"), generator.normal()
        for seed in range(seeds):
            score = float(np.clip(0.5 + (0.02 if many else 0.08) * level + 0.01 * generator.normal(), 0, 1))
            levels = {25: 0.3 * level, 50: level, 100: 1.5 * level}
            figures = {"loss": 0.4 - 0.02 * level}
            outcome = make_raced(generator, number, levels, score, seconds=400.0, seed=seed, name=name, **figures).outcome
            solved = generator.random(64) < 0.6 + 0.15 * level
            correct = (solved * generator.integers(1, 40, 64)).tolist()
            curve, intervals = summarize_curve(correct, 128)
            known = {"correct": correct, "samples": 128, "curve": curve, "intervals": intervals, "loss_interval": [0.2, 0.7]}
            outcome = fill(dataclasses.replace(outcome, predictors=dataclasses.replace(outcome.predictors, **known)))
            sft = dataclasses.replace(outcome.sft, trajectory=[[0, 1.0], [1, 0.4], [2, 0.42]])
            outcomes.append(dataclasses.replace(outcome, sft=sft))
    base = dataclasses.replace(outcomes[0].predictors, seconds=20.0)
    return SweepResult(outcomes, dataclasses.replace(BASE.outcome, predictors=base), {"gate_k": 64, "curate_seed": draw})


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    path = tmp_path_factory.mktemp("curves") / "curves.parquet"
    write_curves([make_draw(draw, 2 if draw < 3 else 1) for draw in range(1, 7)], path)
    return read_curves(path)


def test_curves_of_several_days_are_those_of_one(runs, tmp_path):
    paths = [tmp_path / name for name in ("all.parquet", "late.parquet", "early.parquet", "both.parquet")]
    write_curves(runs, paths[0])
    write_curves(runs[4:], paths[1])
    write_curves(runs[:4], paths[2])
    runpy.run_path(str(ROOT / "docs" / "study" / "curves.py"))["main"](*map(str, (paths[3], *paths[1:3])))
    assert paths[3].read_bytes() == paths[0].read_bytes()


def test_correlations_are_over_settings_with_their_seeds_inside(runs):
    main = ANALYSE["pick_main"](64)
    for run in runs:
        rows = read_rows(run)[0]
        settings = {}
        for row in rows:
            if row.candidate.subset == "random":
                settings.setdefault(row.candidate.epochs, []).append((row.pass_at_k, row.score))
        means = np.array([np.mean(seeds, 0) for seeds in settings.values()])
        assert len(means) == 9
        found = ANALYSE["rank_quality"](rows, main.pass_at_k.restrict())
        assert found == pytest.approx(spearmanr(means[:, 0], means[:, 1]).statistic)


def test_the_test_is_students_and_the_correction_holms():
    values = [0.3, 0.1, 0.5, 0.2, -0.1]
    assert ANALYSE["find_p"](values) == pytest.approx(ttest_1samp(values, 0).pvalue)
    assert ANALYSE["find_p"]([0.0, 0.0]) == 1 and ANALYSE["find_p"]([0.2, 0.2]) == 0
    assert ANALYSE["adjust"]([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_rules_are_learned_on_some_draws_and_played_on_others(runs):
    benches = [set_up(run, "run") for run in runs]
    funnel, gate = ANALYSE["choose"](calibrate(benches[:2]))
    assert funnel.kind == "gate and race" and gate.kind == "gate"
    for bench in benches[2:]:
        for point in (funnel, gate):
            cost, regret = ANALYSE["play"](point, bench)
            assert 0 < cost < 1.3 and 0 <= regret <= np.ptp(bench.pool.scores) + 0.5
        cost, regret = ANALYSE["take_best"](bench, 0.3)
        assert cost <= 0.3 and regret >= 0
        scores, before = bench.pool.scores, [row.rows[0].sft_pass_at_1 for row in bench.pool.settings]
        taken = round((cost * bench.pool.full.sum() - bench.pool.measured.sum() - bench.pool.base) / bench.pool.full.mean())
        best = sorted(range(len(scores)), key=lambda n: -before[n])[:taken]
        assert regret == pytest.approx(max(scores) - max(scores[n] for n in best))


def test_everything_is_printed(runs, capsys):
    ANALYSE["print_hypotheses"](runs[0], runs[1:])
    ANALYSE["print_others"](runs[1:])
    ANALYSE["print_closeness"](runs[1:], [make_draw(draw, 1, many=True) for draw in (3, 4)])
    said = capsys.readouterr().out
    for start in (
        "H1",
        "H2",
        "H3",
        "H4",
        "target of",
        "Pass@128 minus",
        "pairs that RL reversed: ",
        "validation at step 50",
        "RL surely still rose in ",
        "draw 3",
    ):
        assert start in said
    assert "nan" not in said
    spread = float(said.rsplit("correlation ", 1)[1].split(",")[0])
    assert spread > 0.5  # results are closer with more problems


def test_the_commands_are_draws_with_settings_of_their_own():
    settings = {draw: DRAWS["draw_settings"](draw) for draw in DRAWS["DRAWS"]}
    for draw, found in settings.items():
        kinds = [setting.get("subset", "none") for setting in found]
        others = ["shortest", "longest", "mixed"]
        expected = [*["random"] * 8, *others] if draw == 1 else [*["random"] * 6, others[draw % 3]]
        assert kinds == ["none", *expected]
        assert all(found.count(setting) == 1 for setting in found)
        assert all(setting.get("examples", 0) * setting["epochs"] <= 8192 for setting in found)
    assert len({str(found) for found in settings.values()}) == 11
    assert settings == {draw: DRAWS["draw_settings"](draw) for draw in settings}
    assert statistics.fmean(s["epochs"] for found in settings.values() for s in found[1:]) > 2
    for draw, seeds in ((1, "[1, 2]"), (2, "[1]")):
        command = DRAWS["write_command"]("countdown", draw)
        assert f"--set 'sweep_seeds={seeds}'" in command and f"--set 'curate_seed={draw}'" in command
        words = shlex.split(command)
        changes = [words[place + 1] for place, word in enumerate(words) if word == "--set"]
        experiment = parse_parameters(load_recipe("countdown", changes))
        assert len(expand_sweep(experiment.sweep)) == len(settings[draw]) * len(json.loads(seeds))


def test_gate_and_race_are_learned_on_one_seed_and_judged_on_the_other(tmp_path, capsys, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "study"))
    funnel = runpy.run_path(str(ROOT / "docs" / "study" / "funnel.py"))
    sweep = make_draw(1, 2)
    seeds = funnel["split_seeds"](sweep)
    assert [{one.candidate.seed for one in part.outcomes} for part in seeds] == [{0}, {1}]
    assert sum(len(part.outcomes) for part in seeds) == len(sweep.outcomes)
    point, _ = ANALYSE["choose"](calibrate([set_up(seeds[0], "one")]))
    whole, *drawn = funnel["play"](point, set_up(seeds[1], "other")).T.tolist()
    assert whole == pytest.approx(ANALYSE["play"](point, set_up(seeds[1], "other")))
    assert min(cost for cost, _ in drawn) <= whole[0] <= max(cost for cost, _ in drawn)
    levelled = ANALYSE["level_costs"](sweep).outcomes
    assert {one.rl.seconds for one in levelled} == {statistics.median(one.rl.seconds for one in sweep.outcomes)}
    write_curves([sweep], tmp_path / "curves.parquet")
    funnel["main"](tmp_path / "curves.parquet")
    said = capsys.readouterr().out
    assert "race minus gate and race: cost" in said and "nan" not in said


def test_the_page_on_gate_and_race_has_the_figures_of_its_curves(capsys, monkeypatch):
    folder = ROOT / "docs" / "study"
    monkeypatch.syspath_prepend(str(folder))
    runpy.run_path(str(folder / "funnel.py"))["main"](folder / "list-machine.parquet")
    said = capsys.readouterr().out
    rows = re.findall(
        r"^\| (gate|race|gate and race)\b.* \| (\S+ \[.*?\]) \| (\S+ \[.*?\]) \|$", (folder / "funnel.md").read_text(), re.M
    )
    assert len(rows) == 3
    for name, cost, regret in rows:
        assert f"{name}, mean of both: cost {cost}, regret {regret}\n" in said


@pytest.mark.parametrize(("column", "task"), enumerate(("list-machine", "countdown"), 2))
def test_pages_have_the_figures_of_the_analysis(column, task, capsys, monkeypatch):
    folder = ROOT / "docs" / "study"
    monkeypatch.setattr("sys.argv", ["analyse.py", *(str(folder / f"{name}.parquet") for name in (task, f"{task}-8256"))])
    runpy.run_path(str(folder / "analyse.py"), run_name="__main__")
    said = capsys.readouterr().out
    assert said in (folder / f"{task}.md").read_text()
    table = (ROOT / "README.md").read_text().split("docs/study/analyse.py")[1].split("\n## ")[0]
    cells = [row.split("|")[column] for row in re.findall(r"^\|.*\|$", table, re.M)]
    figures = re.findall(r"[+-]?\d\.\d+(?: \[[^]]*\])?", " ".join(cells))
    assert len(figures) == 6 and [figure for figure in figures if figure not in said] == []
