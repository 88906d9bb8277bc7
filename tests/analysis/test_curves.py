"""Open curves: a run is the same after it was written and read, and policies of files are scored as rlready's own are."""

import dataclasses
import re
import runpy

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import ROOT
from helpers.policies import BASE
from helpers.races import make_raced

from rlready.analysis.comparison import read_rows
from rlready.analysis.curves import read_curves, write_curves
from rlready.analysis.policies import list_policies, trace
from rlready.analysis.policy_table import score_policies
from rlready.analysis.pool import find_pools, find_probes
from rlready.analysis.predictor import pick_main
from rlready.analysis.quality import judge_predictor
from rlready.analysis.sweep_result import SweepResult, write_sweep
from rlready.errors import InputError
from rlready.stages.report.headline import summarize
from rlready.stats.intervals import bound_mean
from rlready.stats.pass_at_k import summarize_curve

BEST = """
def choose(candidates, steps):
    if any(c["trained"] for c in candidates):
        return {}
    best = sorted(candidates, key=lambda c: -c["pass_at"]["64"])[:3]
    return {c["name"]: steps[-1] for c in best}
"""
HALVING = """
def choose(candidates, steps):
    if not any(c["trained"] for c in candidates):
        return {c["name"]: steps[0] for c in candidates}
    if any(c["trained"] == steps[-1] for c in candidates):
        return {}
    best = sorted(candidates, key=lambda c: -c["validation"][-1][1])[: len(candidates) // 4]
    return {c["name"]: steps[-1] for c in best}
"""


def make_run(seed, size=9):
    """A run whose candidates have counts before RL and validation at steps 25, 50 and 100."""
    generator = np.random.default_rng(seed)
    outcomes = []
    for number in range(size):
        level = generator.normal()
        score = float(0.5 + 0.1 * level + 0.02 * generator.normal())
        levels = {25: 0.5 * level, 50: level, 100: 1.5 * level}
        outcome = make_raced(generator, number, levels, score, seconds=100.0 + number, approved=number % 3 == 0).outcome
        correct = generator.binomial(128, generator.uniform(0, 0.02, 40)).tolist()
        curve, intervals = summarize_curve(correct, 128)
        known = {"correct": correct, "samples": 128, "curve": curve, "intervals": intervals, "loss_interval": [0.1, 0.9]}
        outcomes.append(dataclasses.replace(outcome, predictors=dataclasses.replace(outcome.predictors, **known)))
    base = dataclasses.replace(BASE.outcome, predictors=dataclasses.replace(outcomes[0].predictors, seconds=20.0))
    return SweepResult(outcomes, base, {"gate_k": 64, "curate_seed": seed}, {"run": f"run-{seed}"})


@pytest.fixture
def written(tmp_path):
    runs = [make_run(seed) for seed in range(5)]
    write_curves(runs, tmp_path / "curves.parquet")
    return runs, read_curves(tmp_path / "curves.parquet")


def test_summary_names_no_reason_where_curves_keep_none(written):
    for read in written[1]:
        gate = summarize(read, *read_rows(read))[1]
        assert gate.startswith("Gate: approved ") and not gate.endswith((":", ": ")), gate


def test_what_is_read_is_what_was_written(written):
    for run, found in zip(*written, strict=True):
        assert found.parameters == run.parameters and found.origin == run.origin
        pairs = [(run.baseline, found.baseline), *zip(run.outcomes, found.outcomes, strict=True)]
        for one, other in pairs:
            for part in ("candidate", "sft", "predictors", "benchmark"):
                assert getattr(other, part) == getattr(one, part)
            assert other.rl is None if one.rl is None else other.rl.rewards == one.rl.rewards
            assert other.validated == one.validated
        (rows, base, k), (others, other_base, other_k) = read_rows(run), read_rows(found)
        pool, other_pool = find_pools(rows, base)[0], find_pools(others, other_base)[0]
        policies = [trace(p, list_policies(p, k, find_probes(p))) for p in (pool, other_pool)]
        assert policies[0] == policies[1] and k == other_k
        for predictor in pick_main(k):
            assert judge_predictor(rows, predictor) == judge_predictor(others, predictor)


def test_policies_of_files_are_scored_as_own_ones(written, tmp_path):
    (tmp_path / "best.py").write_text(BEST)
    (tmp_path / "halving.py").write_text(HALVING)
    scores = {one.label: one for one in score_policies(written[1], [str(tmp_path / "best.py"), str(tmp_path / "halving.py")])}
    mine, own = scores["best"], scores["Best third by Pass@64"]
    assert (mine.share, mine.regret) == pytest.approx((own.share, own.regret)) and mine.regret_interval == own.regret_interval
    assert mine.gain_interval == pytest.approx(own.gain_interval)

    def halve(run):
        """Cost and regret of the other policy, calculated independently."""
        outcomes = run.outcomes
        reached = [outcome.validated[0][1] for outcome in outcomes]
        best = sorted(range(len(outcomes)), key=lambda n: -reached[n])[: len(outcomes) // 4]
        full, rl = ([2 * o.rl.seconds - 80 + more for o in outcomes] for more in (20, 0))
        first = [seconds / 4 + 80 / 3 for seconds in rl]  # a quarter of RL, and one of three validations
        cost = sum(first) + sum(full[n] + 80 / 3 - first[n] for n in best) + 20.0 * len(outcomes) + 40.0
        points = [outcome.benchmark.pass_at_1 for outcome in outcomes]
        return cost / sum(full), max(points) - max(points[n] for n in best)

    ends = np.array([halve(run) for run in written[0]])
    other = scores["halving"]
    assert (other.share, other.regret) == pytest.approx(tuple(ends.mean(0)))
    assert other.share_interval == pytest.approx(bound_mean(ends[:, 0]))
    assert scores["RL for all"].regret == 0 and scores["The gate"].gain is None


def test_the_policy_of_the_docs_runs_on_curves_that_the_command_wrote(written, tmp_path):
    for number, run in enumerate(written[0]):
        write_sweep(run, tmp_path / f"{number}.json")
    write = runpy.run_path(str(ROOT / "docs" / "study" / "curves.py"))["main"]
    write(str(tmp_path / "again.parquet"), *(str(tmp_path / f"{number}.json") for number in range(5)))
    code = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "guide" / "policies.md").read_text(), re.DOTALL)[1]
    (tmp_path / "mine.py").write_text(code)
    scores = score_policies(read_curves(tmp_path / "again.parquet"), [str(tmp_path / "mine.py")])
    mine = next(one for one in scores if one.label == "mine")
    assert 0 < mine.share < 0.6 and 0 <= mine.regret < 0.3


def test_a_policy_sees_no_result(written, tmp_path):
    (tmp_path / "nosy.py").write_text(
        "def choose(candidates, steps):\n"
        "    names = [c['name'] for c in candidates]\n"
        "    assert names == sorted(names) and all(c['validation'] == [] == c['rewards'] for c in candidates[:1])\n"
        "    known = {'name', 'trained', 'epochs', 'subset', 'examples', 'learning_rate', 'samples', 'correct', 'pass_at',\n"
        "             'loss', 'losses', 'rewards', 'validation'}\n"
        "    assert set(candidates[0]) == known\n"
        "    return {} if candidates[1]['trained'] else {names[1]: steps[-1]}\n"
    )
    assert score_policies(written[1][:1], [str(tmp_path / "nosy.py")])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("choose = 1", "has no function choose"),
        ("def choose(candidates, steps):\n    return 1 / 0", "raised ZeroDivisionError"),
        ("def choose(candidates, steps):\n    return [1]", "not steps by name"),
        ("def choose(candidates, steps):\n    return {'nobody': steps[-1]}", "trains nobody up to step 100"),
        ("def choose(candidates, steps):\n    return {candidates[0]['name']: 33}", "known steps are 25, 50, 100"),
        ("def choose(candidates, steps):\n    return {}", "trains no candidate to the end"),
        ("def choose(candidates, steps):\n    while True: pass", "took too long"),
    ],
)
def test_a_policy_that_fails_is_named(written, tmp_path, text, said):
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(InputError, match=said):
        score_policies(written[1][:1], [str(tmp_path / "mine.py")])


def approve_none(run):
    outcomes = [dataclasses.replace(o, verdict=dataclasses.replace(o.verdict, decision="rejected")) for o in run.outcomes]
    return dataclasses.replace(run, outcomes=outcomes)


def test_a_gate_that_approves_none_in_a_draw_has_an_unknown_regret(written):
    runs = written[1]
    scores = {one.label: one for one in score_policies([*runs[:2], approve_none(runs[2])])}
    gate, third = scores["The gate"], scores["Best third by Pass@64"]
    assert gate.regret is gate.regret_interval is third.gain is third.gain_interval is None and 0 < gate.share < 1
    assert third == dataclasses.replace(
        {one.label: one for one in score_policies(runs[:3])}[third.label], gain=None, gain_interval=None
    )


def test_a_policy_takes_no_more_than_there_are(written):
    scores = {one.label: one for one in score_policies(written[1][:1], take=100)}
    assert scores["100 at random"].regret == scores["Best 100 by Pass@64"].regret == 0 and scores["100 at random"].share == 1
    with pytest.raises(InputError, match="a policy cannot take -1 candidates"):
        score_policies(written[1][:1], take=-1)


def test_seeds_that_all_lose_the_greatest_spread_are_within_bounds(written, tmp_path):
    """The mean of three regrets of 0.1 is above 0.1 in floats."""
    name = min(written[1][0].outcomes, key=lambda outcome: outcome.benchmark.pass_at_1).candidate.candidate_id
    done = "any(c['trained'] for c in candidates)"
    (tmp_path / "worst.py").write_text(
        f"def choose(candidates, steps):\n    return {{}} if {done} else {{{name!r}: steps[-1]}}\n"
    )
    outcomes = [
        dataclasses.replace(o, benchmark=dataclasses.replace(o.benchmark, pass_at_1=0.1 * (o.candidate.candidate_id != name)))
        for o in written[1][0].outcomes
    ]
    worst = score_policies([dataclasses.replace(written[1][0], outcomes=outcomes)] * 3, [str(tmp_path / "worst.py")])
    scored = next(one for one in worst if one.label == "worst")
    assert scored.regret == pytest.approx(0.1) and scored.regret_interval[1] == pytest.approx(0.1)


def test_results_that_are_all_equal_show_no_uncertainty(written):
    outcomes = [
        dataclasses.replace(o, benchmark=dataclasses.replace(o.benchmark, pass_at_1=0.2)) for o in written[1][0].outcomes
    ]
    scores = score_policies([dataclasses.replace(written[1][0], outcomes=outcomes)])
    assert {one.regret for one in scores} == {0.0} and {one.regret_interval for one in scores} == {None}


def test_what_is_no_file_of_curves(tmp_path):
    (tmp_path / "curves.parquet").write_text("no")
    for name in ("curves.parquet", "other.parquet"):
        with pytest.raises(InputError, match="not a file of curves"):
            read_curves(tmp_path / name)
    known = {"rlready": '[{"parameters": {}, "origin": {}}]'}
    pq.write_table(pa.table({"run": [0], "base": [False]}, metadata=known), tmp_path / "curves.parquet")
    with pytest.raises(InputError, match="not a file of curves"):
        read_curves(tmp_path / "curves.parquet")
    run = make_run(0)
    outcomes = [dataclasses.replace(run.outcomes[0], benchmark=None), *run.outcomes[1:]]
    with pytest.raises(InputError, match="no result of RL"):
        write_curves([dataclasses.replace(run, outcomes=outcomes)], tmp_path / "curves.parquet")


@pytest.mark.parametrize("name", ["candidate_id", "kept_epochs", "validation_problem_ids"])
def test_a_column_of_another_kind_is_refused_when_the_file_is_read(name, written, tmp_path):
    table = pq.read_table(tmp_path / "curves.parquet")
    wrong = table.set_column(table.schema.get_field_index(name), name, pa.array([5] * len(table)))
    pq.write_table(wrong, tmp_path / "wrong.parquet")
    with pytest.raises(InputError, match=r"wrong.parquet: not a file of curves \(.*"):
        read_curves(tmp_path / "wrong.parquet")
