"""The report: what it says of the result, that its numbers are right, and that it is one safe page."""

import dataclasses
import itertools
import math
import re
import statistics
import subprocess
import sys

import numpy as np
import pytest
from helpers.outcomes import BASE, fail, flatten_all, make_audited, make_outcome
from scipy.stats import f_oneway, linregress, spearmanr

from rlready.analysis.comparison import read_row
from rlready.analysis.costs import balance, list_entries
from rlready.analysis.gate_audit import audit_rejections
from rlready.analysis.noise import measure_noise
from rlready.analysis.predictor import pick_main
from rlready.analysis.quality import check_forecasts, choose
from rlready.analysis.sweep_result import SweepResult
from rlready.config import Gate
from rlready.evaluation.samples import KINDS
from rlready.gate.decide import decide, rank
from rlready.records.candidate import LogSource
from rlready.records.outcome import (
    BenchmarkRecord,
    Candidate,
    ElsewhereRecord,
    Excerpt,
    FalsePositives,
    KeptSamples,
    Outcome,
    PredictorsRecord,
    SampleStatistics,
    SequenceRecord,
    SftRecord,
)
from rlready.records.verdicts import Forecast, GateNumbers, Verdict
from rlready.stages.report.figure import name_points, start
from rlready.stages.report.report import write_report
from rlready.stats.intervals import Z95

RUNS = [  # subset, epochs, SFT Pass@1, Pass@64, loss, post-RL Pass@1
    ("random", 1, 0.18, 0.74, 0.71, 0.40),
    ("random", 4, 0.23, 0.78, 0.65, 0.44),
    ("random", 16, 0.29, 0.73, 0.78, 0.42),
    ("random", 32, 0.31, 0.59, 1.21, None),
    ("shortest", 4, 0.26, 0.56, 0.09, 0.33),
    ("mixed", 4, 0.22, 0.77, 2.60, 0.43),
]


def make_sweep(settings=10, seeds=3, scatter=0.01):
    """A sweep in which Pass@64 tells the result, Pass@1 after SFT does not, and seeds scatter."""
    generator = np.random.default_rng(0)
    sweep = []
    for setting, seed in itertools.product(range(settings), range(seeds)):
        subset, epochs = ("random", "mixed")[setting % 2], setting // 2
        score = 0.3 + 0.02 * setting + scatter * generator.normal()
        predictors = generator.uniform(0.1, 0.3), 0.5 + 0.04 * setting + 0.02 * generator.normal(), 1 - 0.05 * setting
        sweep.append(make_outcome(subset, epochs, *predictors, score, f"{subset}-{epochs}-s{seed}", seed=seed, mode="audit"))
    return sweep


def adjust(x, y, settings):
    return max(0.0, 1 - (1 - linregress(x, y).rvalue ** 2) * (settings - 1) / (settings - 2))


def test_predictor_table_equals_an_independent_computation(report):
    rows = report([make_outcome(*run) for run in RUNS]).quality
    finished = [run for run in RUNS if run[5] is not None]
    random = [run for run in finished if run[0] == "random"]
    assert len(random) < len(finished)
    for name, column, sign, runs in (
        ("SFT Pass@1 (T=1)", 2, 1, finished),
        ("SFT greedy Pass@1", 2, 1, finished),
        ("Pass@64", 3, 1, finished),
        ("Pass@64, corrected", 3, 1, finished),
        ("Minus generalization loss (random subsets)", 4, -1, random),
        ("Minus generalization loss (all subsets, not comparable)", 4, -1, finished),
    ):
        x, y = [sign * run[column] for run in runs], [run[5] for run in runs]
        expected = spearmanr(x, y).statistic, adjust(x, y, len(runs))
        assert rows[name][:3] == [str(len(runs)), *(f"{value:.2f} [–]" for value in expected)]
        assert rows[name][3] == "not enough settings"


def test_intervals_equal_those_of_another_bootstrap_over_settings(report):
    sweep = make_sweep()
    points = np.array([[o.predictors.curve[1][1], o.benchmark.pass_at_1] for o in sweep])
    generator, correlations = np.random.default_rng(9), []
    for _ in range(1000):
        drawn = np.concatenate([points[3 * i : 3 * i + 3] for i in generator.integers(0, 10, 10)])
        correlations.append(spearmanr(*drawn.T).statistic)
    r = linregress(*points.T).rvalue
    fisher = np.tanh(np.arctanh(r) + np.array([-1.96, 1.96]) / np.sqrt(10 - 3)) ** 2
    cells = report(sweep).quality["Pass@64"]
    assert cells[0] == "30 in 10 settings"
    for cell, ends, estimate in zip(
        cells[1:3],
        (np.quantile(correlations, [0.025, 0.975]), fisher),
        (spearmanr(*points.T).statistic, adjust(*points.T, 10)),
        strict=True,
    ):
        value, low, high = (float(number) for number in re.findall(r"-?\d\.\d\d", cell))
        assert value == pytest.approx(estimate, abs=0.006)
        assert [low, high] == pytest.approx(ends, abs=0.03)
    assert re.fullmatch(r"0\.\d\d ± 0\.\d\d", cells[3])


def test_the_difference_to_pass_at_1_has_a_paired_interval(report):
    rows = report(make_sweep()).tables["Better than SFT Pass@1?"]
    points, one, other, difference = rows["Pass@64"]
    assert points == "30"
    value, low, high = (float(number) for number in re.findall(r"[-+]\d\.\d\d", difference))
    assert value == pytest.approx(float(one) - float(other), abs=0.011)
    assert 0 < low < value < high


def test_two_predictors_are_not_fitted_to_three_points(report):
    both = report([make_outcome(*run) for run in RUNS]).quality["Pass@64 and loss (random subsets)"]
    assert both[0] == "3"
    assert both[2] == "not enough points"


def test_settings_are_summed_up_where_seeds_repeat(report):
    sweep = make_sweep()
    page = report(sweep)
    scores = [outcome.benchmark.pass_at_1 for outcome in sweep[-3:]]
    shown = f"{statistics.fmean(scores):.3f} ± {statistics.stdev(scores):.3f}"
    assert page.tables["Settings"]["mixed-4"][-2:] == [shown, shown]  # sampled and greedy
    names = [name for name in page.tables["Settings"] if name.endswith(tuple("01234"))]
    assert (len(names), names[0], names[-1]) == (10, "mixed-4", "random-0")
    best = f"mixed-4 has the highest Pass@1 after RL, {shown} (standard deviation over 3 seeds), greedy {shown[:5]}."
    assert f"{best} Not clearly worse: " in page.markdown
    assert "Each result is from one seed" not in page.markdown
    assert "10 settings, 30 candidates: 30 approved, 0 rejected." in page.markdown
    assert re.search(
        r"was not the highest after RL: [-\w]+ led with 0\.\d+ and ended at .*?, (0\.\d+) \[[-+]0\.\d+, \+0\.\d+\] lower",
        page.markdown,
    )
    assert "<details>" in page.html


def test_the_noise_of_repeated_runs_is_that_of_an_analysis_of_variance(report):
    sweep = make_sweep(scatter=0.03)
    groups = [[o.benchmark.pass_at_1 for o in sweep[3 * i : 3 * i + 3]] for i in range(10)]
    within = math.sqrt(statistics.fmean(statistics.variance(group) for group in groups))
    bare = math.sqrt(statistics.fmean(statistics.variance(group) for group in groups[:2]))
    expected = f_oneway(*groups)
    text = report(sweep).markdown
    assert f"Between seeds of one setting the score has a standard deviation of {within:.4f}" in text
    assert "; 20 degrees of freedom), pooled over 10 settings." in text
    assert f"on the base model without SFT, it has a standard deviation of {bare:.4f}" in text
    assert f"F(9, 20) = {expected.statistic:.1f}, p < 0.001" in text.replace("&lt;", "<")
    assert "The spread between settings is larger than the noise" in text
    flat = [change(o, "benchmark", pass_at_1=0.3 + 0.01 * (i % 3)) for i, o in enumerate(sweep)]
    assert "is not shown to be larger than the noise" in report(flat).markdown


CHOICES = [  # settings as (Pass@1, Pass@64, scores of the seeds); by; chosen, score, best, random, by Pass@1, reach
    ([(0.3, 0.5, [0.40]), (0.2, 0.8, [0.44])], "sft_pass_at_1", ["a"], 0.40, 0.44, 0.42, 0.40, Z95 * math.sqrt(0.0002)),
    ([(0.3, 0.5, [0.40]), (0.2, 0.8, [0.44])], "pass_at_k", ["b"], 0.44, 0.44, 0.42, 0.40, None),
    # A setting is its mean over seeds: one lucky seed of a, 0.50, does not make it the best. The noise is pooled:
    # variances 0.0050 and 0.0002 with one degree of freedom each, and a mean of two seeds has half of it.
    (
        [(0.1, 0.9, [0.50, 0.40]), (0.2, 0.8, [0.47, 0.49])],
        "pass_at_k", ["a"], 0.45, 0.48, 0.465, 0.48, 4.3027 * math.sqrt(0.0026 / 2 + 0.0026 / 2),
    ),
    # Ties: one is drawn, so the mean of both counts, which no single difference has an interval for.
    (
        [(0.1, 1.0, [0.3]), (0.2, 1.0, [0.4]), (0.3, 0.5, [0.6])],
        "pass_at_k", ["a", "b"], 0.35, 0.60, 1.3 / 3, 0.60, None,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "by", "chosen", "score", "best", "random", "favourite", "reach"), CHOICES)
def test_regret_of_choosing(settings, by, chosen, score, best, random, favourite, reach):
    rows = flatten_all(
        make_outcome("random", epochs, pass_at_1, pass_at_64, 0.5, value, f"{'abc'[epochs]}-s{seed}", seed=seed)
        for epochs, (pass_at_1, pass_at_64, scores) in enumerate(settings)
        for seed, value in enumerate(scores)
    )
    choice = choose(rows, getattr(pick_main(64), by), measure_noise(rows))
    assert choice.chosen == chosen
    assert [choice.score, choice.best, choice.random, choice.by_pass_at_1] == pytest.approx([score, best, random, favourite])
    assert choice.regret == pytest.approx(best - score)
    if reach is None:
        assert choice.lead is None
    else:
        regret = best - score
        assert choice.lead == pytest.approx((regret, regret - reach, regret + reach), abs=1e-5)


def test_choices_stand_in_the_report(report):
    rows = report([make_outcome(*run) for run in RUNS]).tables["Regret of choosing by a predictor"]
    assert rows["SFT Pass@1 (T=1)"] == ["5", "random-16", "0.420", "0.440", "0.404", "0.420", "0.020 [-0.008, +0.048]"]
    assert rows["Pass@64"] == ["5", "random-4", "0.440", "0.440", "0.404", "0.420", "0.000"]


AUDITS = [  # approved scores; rejected as (score or None, propensity); false, rate, regret
    ([0.40, 0.44], [(0.50, 1.0), (0.40, 1.0), (0.45, 1.0), (0.10, 1.0)], 2, 0.5, 0.0175),
    ([0.40], [(0.50, 0.5), (0.30, 0.5), (None, 0.5), (None, 0.5)], 1, 0.5, 0.05),
    ([0.40], [(0.30, 0.25), (None, 0.25), (None, 0.25), (None, 0.25)], 0, 0.0, 0.0),
    ([0.40], [(0.40, 1.0)], 0, 0.0, 0.0),
    ([0.3], [(0.1 + 0.2, 1.0)], 0, 0.0, 0.0),
    # Weights 4 and 2: the rarely seen stands for more.
    ([0.40], [(0.46, 0.25), (0.30, 0.5), (None, 0.25)], 1, 4 / 6, 0.06 * 4 / 6),
]


@pytest.mark.parametrize(("approved", "rejected", "false", "rate", "regret"), AUDITS)
def test_audit_weights_by_inverse_propensity(approved, rejected, false, rate, regret):
    audit = audit_rejections(flatten_all(make_audited(approved, rejected)))
    assert (audit.rejected, audit.observed, audit.false) == (
        len(rejected),
        sum(score is not None for score, _ in rejected),
        false,
    )
    assert [audit.rate, audit.regret] == pytest.approx([rate, regret])
    for interval, value in ((audit.rate_interval, rate), (audit.regret_interval, regret)):
        if len({propensity for _, propensity in rejected}) > 1:
            assert interval is None  # too few for the bootstrap
        elif audit.observed == audit.rejected:
            assert interval == pytest.approx((value, value))
        else:
            assert interval[0] <= value < interval[1]


def test_the_audit_is_unbiased_and_covers_over_all_its_draws():
    scores, drawn = [0.50, 0.38, 0.45, 0.10, 0.42, 0.39, 0.20, 0.30], 3
    truth = audit_rejections(flatten_all(make_audited([0.40], [(score, 1.0) for score in scores])))
    audits = []
    for seen in itertools.combinations(range(len(scores)), drawn):
        rejected = [(score if i in seen else None, drawn / len(scores)) for i, score in enumerate(scores)]
        audits.append(audit_rejections(flatten_all(make_audited([0.40], rejected))))
    assert np.mean([audit.rate for audit in audits]) == pytest.approx(truth.rate)
    assert np.mean([audit.regret for audit in audits]) == pytest.approx(truth.regret)
    for name in ("rate", "regret"):
        intervals = [getattr(audit, f"{name}_interval") for audit in audits]
        assert np.mean([low <= getattr(truth, name) <= high for low, high in intervals]) >= 0.95


def test_different_propensities_have_an_estimate_and_no_interval(report):
    rejected = [(0.35 + 0.01 * i, 0.25 + 0.5 * (i % 2)) for i in range(12)]
    outcomes = make_audited([0.40], [*rejected, (None, 0.25)])
    audit = audit_rejections(flatten_all(outcomes))
    assert 0 < audit.rate < 1 and audit.rate_interval is audit.regret_interval is None
    assert "no interval: the candidates were drawn with different probabilities" in report(outcomes).markdown


@pytest.mark.parametrize(
    ("outcomes", "said"),
    [
        (make_audited([0.4], [(None, 0.0), (None, 0.0)]), "Unknown: RL ran for none of"),
        (make_audited([0.4], []), "The gate rejected no candidate that it judged"),
        (make_audited([], [(0.4, 0.5), (None, 0.5)]), "no result of an approved one to compare with"),
        (make_audited([0.4], [(0.5, None)]), "the probability with which RL ran for the rejected is not recorded"),
        (
            make_audited([0.4], [(None, 0.5)]) + [fail(make_audited([], [(0.5, 0.5)])[0], "rl")],
            "failed for 1 audited candidate",
        ),
        ([make_outcome(*RUNS[0], mode="off", decision="undecided")], "The gate was off"),
    ],
)
def test_an_audit_that_cannot_be_computed_says_why(report, outcomes, said):
    text = report(outcomes).markdown
    assert said in text
    assert "false-rejection rate" not in text
    if "Unknown" in said:
        assert "gate_audit_fraction" in text and "gate_mode=audit" in text


def test_one_candidate_of_several_is_singular(report):
    assert "RL ran for the only rejected candidate, but" in report(make_audited([], [(0.4, 1.0)])).markdown
    approved, chosen, unseen = make_audited([0.4], [(0.5, 0.0), (None, 0.0)])
    theirs = dataclasses.replace(chosen, rl=None, benchmark=None, elsewhere=ElsewhereRecord(0.5, 0.01))
    sized = dataclasses.replace(approved, benchmark=dataclasses.replace(approved.benchmark, problems=1, samples=1))
    page = report([sized, theirs, unseen]).markdown
    assert "1 of 2 rejected candidates has an external result" in page and "; it beat the best approved one" in page
    assert "External, and shown as recorded: 1 of 2 RL results;" in page and "1 problem x 1 sample on the benchmark" in page


def test_the_audit_stands_in_the_report(report):
    page = report(make_audited([0.40], [(0.50, 0.5), (0.30, 0.5), (None, 0.5), (None, 0.5)]))
    assert "RL ran for 2 of them, drawn at random; each result is weighted by inverse propensity." in page.markdown
    assert "1, beyond chance; 2 results observed. Estimated false-rejection rate 0.50" in page.markdown
    assert "Candidates without RL have no post-RL score, so the correlations leave them out" in page.markdown
    assert page.html.count('<span class="mark">audited</span>') == 2
    assert page.tables["Candidates"]["out-0"][0] == "rejected (audited)"


def test_undecided_candidates_are_part_of_the_audit_where_they_were_drawn_from(report):
    outcomes = make_audited([0.40], [(0.50, 0.5), (0.30, 0.5), (None, 0.5), (None, 0.5)])
    left_out = report([change(o, "verdict", decision="undecided", propensity=0.0) if not i else o
                       for i, o in enumerate(outcomes[::-1])])  # fmt: skip
    assert (
        "Rejected: 3 candidates." in left_out.markdown and "Not counted: 1 undecided candidate without RL." in left_out.markdown
    )
    drawn = [change(o, "verdict", decision="undecided") if o.verdict.decision == "rejected" else o for o in outcomes]
    audit = audit_rejections(flatten_all(drawn))
    assert (audit.rejected, audit.drawn, audit.false, audit.rate) == (4, 2, 1, 0.5)
    page = report(drawn).markdown
    assert "Unapproved: 4 candidates. RL ran for 2 of them" in page and "RL ran for 2 of 4 unapproved candidates anyway" in page


def test_what_no_error_is_known_of_is_not_clear(report):
    outcomes = make_audited([0.40], [(0.50, 1.0), (0.45, 1.0)])
    outcomes[1] = change(outcomes[1], "benchmark", standard_error=None)
    audit = audit_rejections(flatten_all(outcomes))
    assert (audit.false, audit.clear, audit.unknown) == (2, 1, 1)
    said = ": 2, 1 of them beyond chance, 1 unclear, without counts or standard errors; 2 results observed."
    assert said in report(outcomes).markdown


def test_forecasts_are_held_against_what_came(report):
    forecasts = [(0.35, 0.45), (0.30, 0.40), (0.42, 0.50)]
    outcomes = [
        make_outcome(*run, forecast=Forecast(sum(f) / 2, f[0], f[1], 9, "pass_at_64"))
        for run, f in zip(RUNS, forecasts, strict=False)
    ]
    outcomes += [make_outcome(*RUNS[4], forecast=Forecast(reason="insufficient data: 3 finished runs, 8 needed"))]
    found = check_forecasts(flatten_all(outcomes))
    assert (found.finished, found.made, found.inside) == (4, 3, 2)
    assert found.error == pytest.approx((0.0 + 0.09 + 0.04) / 3)
    page = report(outcomes)
    assert "A forecast was logged before the RL result of 3 of 4 candidates." in page.markdown
    said = "2 of 3, a share of 0.67 (exact 95% interval 0.09 to 0.99); the mean absolute error is 0.043."
    assert f"Inside the 95% prediction interval: {said}" in page.markdown
    assert "Outside: random-4." in page.markdown
    assert "Reasons for no forecast: insufficient data: 3 finished runs, 8 needed." in page.markdown
    assert page.tables["Candidates"]["random-4"][7] == "0.350 [0.30, 0.40]"


def test_without_forecasts_the_report_says_insufficient_data(report):
    text = report([make_outcome(*run) for run in RUNS]).markdown
    assert "so there is nothing to check. Reasons for no forecast: insufficient data." in text


def test_ledger_sums_device_seconds_by_stage():
    entries, unknown = list_entries(flatten_all(make_outcome(*run) for run in RUNS), read_row(BASE, 64))
    # Two devices each; six candidates, five with RL, and the base model.
    assert [(e.stage, e.device, e.runs, e.cost) for e in entries] == [
        ("sft", "CPU thread", 6, 120.0),
        ("predictors", "CPU thread", 7, 242.0),
        ("rl", "CPU thread", 5, 10000.0),
        ("benchmark", "CPU thread", 6, 302.0),
    ]
    assert unknown == 0


def change(outcome, stage, **values):
    return dataclasses.replace(outcome, **{stage: dataclasses.replace(getattr(outcome, stage), **values)})


def test_balance_is_what_was_avoided_minus_what_was_spent(report):
    outcomes = [make_outcome(*run) for run in RUNS]
    found = balance(flatten_all(outcomes), read_row(BASE, 64))
    assert (found.spent, found.avoided, found.error, found.skipped) == (242.0, 2060.0, 0.0, 1)
    assert found.net == 1818.0
    cheap = [change(o, "rl", seconds=40.0 + 10 * i) if o.rl else o for i, o in enumerate(outcomes)]
    found = balance(flatten_all(cheap), read_row(BASE, 64))
    costs = [2 * (seconds + 30) for seconds in (40, 50, 60, 80, 90)]
    assert found.avoided == pytest.approx(statistics.fmean(costs))
    assert found.error == pytest.approx(statistics.stdev(costs) * math.sqrt(1 + 1 / 5))
    assert found.net < 0
    assert "Net: -54 device-seconds; the gate cost more than it saved." in report(cheap).markdown


def test_no_saving_is_claimed_where_none_was_approved(report):
    page = report(make_audited([], [(0.5, 0.5), (None, 0.5)]))
    assert "Net saving: none, because no candidate was approved" in page.markdown
    assert "saved more than" not in page.markdown and "this is no saving, because no candidate was approved." in page.markdown
    alone = report(make_audited([], [(None, 0.5)])).markdown
    assert "Whether a candidate without RL would have gained from RL is unknown" in alone
    one = report(make_audited([0.4], [(0.5, 0.5), (None, 0.5)])).markdown
    assert "RL ran for 1 of them, drawn at random; each result is weighted" in one and "The other one was not run." in one


def test_where_all_got_rl_the_audit_paid_for_it_or_nothing_was_avoided(report):
    outcomes = make_audited([0.4], [(0.3, 1.0), (0.2, 1.0)])
    text = report([change(o, "verdict", mode="audit") for o in outcomes]).markdown
    assert "RL and benchmark of 2 candidates that the gate had not approved took 4,120: the cost of the audit." in text
    assert "Net, excluding the audit: +3,998 device-seconds; the gate saved more than it cost." in text
    text = report(make_audited([0.4, 0.3], [])).markdown
    assert "It kept no candidate from RL, so nothing was saved. Net: -82 device-seconds" in text


@pytest.mark.parametrize(
    ("stage", "values", "said"),
    [
        ("predictors", {"seconds": None}, "1 of the costs needed was not recorded"),
        ("rl", {"devices": None}, "1 of the costs needed was not recorded"),
        ("rl", {"device": "NVIDIA H200"}, "different kinds of devices (CPU thread, NVIDIA H200)"),
    ],
)
def test_a_balance_that_cannot_be_computed_says_why(report, stage, values, said):
    page = report([change(make_outcome(*RUNS[0]), stage, **values), make_outcome(*RUNS[3])])
    assert said in page.markdown
    assert "Net:" not in page.markdown


def test_rows_stand_in_the_order_of_the_result_and_then_pass_at_k(report):
    unranked = make_outcome("longest", 4, 0.2, 0.6, 0.7, None)
    names = list(report([*(make_outcome(*run) for run in RUNS), unranked]).tables["Candidates"])
    assert names[2:] == [
        "random-4",
        "mixed-4",
        "random-16",
        "random-1",
        "shortest-4",
        "longest-4",
        "random-32",
        "base model, no RL",
    ]


def test_headline_says_that_the_best_after_sft_was_not_the_best_after_rl(report):
    text = report([make_outcome(*run) for run in RUNS]).markdown
    lead = "random-4 has the highest Pass@1 after RL, 0.440 ± 0.010 (greedy 0.440). Not clearly worse: mixed-4, random-16."
    assert lead in text
    assert "Each result is from one seed, so this holds for these checkpoints, not for their settings" in text
    assert "6 candidates: 5 approved, 1 rejected." in text
    assert "0.310, belongs to random-32, which has no result of RL (rejected)" in text
    assert "random-16 led with 0.290 and ended at 0.420 ± 0.010, 0.020 [-0.008, +0.048] lower, which may be chance" in text
    assert "weak evidence" in text


def test_headline_says_that_the_best_after_sft_was_the_best_after_rl(report):
    text = report([make_outcome(*run) for run in RUNS[:2]]).markdown
    assert "0.230, was also the highest after RL." in text
    assert "random-4 ended best after RL, with Pass@1 0.440 ± 0.010 (greedy 0.440): ahead of random-1 beyond chance." in text


def test_candidates_with_the_same_score_are_level(report):
    text = report([make_outcome("random", 1, 0.3, 0.7, 0.8, 0.4), make_outcome("mixed", 1, 0.2, 0.8, 0.7, 0.4)]).markdown
    assert "mixed-1 has the highest Pass@1 after RL" in text and "Equal to it: random-1." in text
    assert "Winner: mixed-1, equal to random-1, Pass@1 0.400" in text and "Not clearly worse" not in text
    assert "ended best" not in text and "0.300, was also the highest after RL." in text


def test_no_finished_rl_leaves_everything_open(report):
    page = report([make_outcome(*run[:5], None) for run in RUNS], drawn=True)
    assert "No candidate has finished RL" in page.markdown
    for cells in list(page.quality.values())[2:]:
        assert cells == ["0", "not enough points", "not enough points", "not enough settings", "nothing to choose from"]
    assert "nothing to show: no candidate has both Pass@64 and a result of RL" in page.html
    for said in (
        "Unknown: RL ran for none of",
        "What the gate saved cannot be computed: no candidate has finished RL",
        "The noise of RL is unknown",
        "No candidate with an RL result had a forecast",
    ):
        assert said in page.markdown


def test_no_candidates_at_all(report):
    page = report([], Outcome(BASE.candidate), drawn=True)
    assert "0 candidates: 0 approved, 0 rejected." in page.markdown


def test_one_candidate_has_nothing_to_be_compared_with(report):
    page = report([make_outcome(*RUNS[0])])
    assert "Only random-1 has finished RL, with Pass@1 0.400 ± 0.010 (greedy 0.400), so there is nothing" in page.markdown
    assert page.quality["Pass@64"] == [
        "1",
        "not enough points",
        "not enough points",
        "not enough settings",
        "nothing to choose from",
    ]


def test_missing_numbers_are_dashes(report):
    unknown = PredictorsRecord(
        generalization_loss=None,
        loss_interval=None,
        greedy_pass_at_1=None,
        curve=[[1, None]],
        corrected=[[64, None]],
        false_positives=FalsePositives(None, 0, None, None, None),
        by_products=SampleStatistics(entropy=float("nan")),
        correct=[None, 3],
        samples=64,
        seconds=None,
    )
    benchmark = BenchmarkRecord(float("nan"), None, greedy_pass_at_1=None, seconds=None)
    verdict = Verdict("lost", "undecided", False, "loss missing", "audit", numbers=GateNumbers(k=64))
    sft = SftRecord([[0, None]], seconds=None)
    lost = Outcome(Candidate("lost", 4, "random", 1, 1e-5, 0), sft, unknown, verdict, None, benchmark)
    page = report([lost, Outcome(Candidate("bare", 1, "random", 1, 1e-5, 0))], Outcome(BASE.candidate), drawn=True)
    assert "| lost | undecided | 4 | random | loss missing |" in page.markdown  # what is known of none has no column
    assert "| bare | – | 1 | random | – |" in page.markdown
    assert "2 candidates: 0 approved, 0 rejected, 1 undecided, 1 without a verdict." in page.markdown
    assert page.tables["Cost"]["Not recorded"] == ["–", "3", "–"]
    assert page.html.count("nothing to show: ") == 7
    assert "nan" not in page.markdown


def test_sequential_sampling_shows_the_interval_and_no_correlation(report):
    nothing = PredictorsRecord(
        generalization_loss=0.7,
        greedy_pass_at_1=0.2,
        sequence=SequenceRecord(64, 0.614, 0.721, 0.5, "above"),
    )
    page = report([dataclasses.replace(make_outcome(*run), predictors=nothing) for run in RUNS])
    assert page.tables["Candidates"]["random-4"][5] == "0.61-0.72 (sequential)"
    assert page.quality["Pass@64"][:2] == ["0", "not enough points"]
    assert page.quality["SFT greedy Pass@1"][0] == "5"
    assert "Pass@64 was sampled sequentially, so only an interval is known" in page.markdown


def test_a_k_beside_the_curve_comes_from_the_counts():
    outcome = change(make_outcome(*RUNS[0]), "predictors", correct=[0, 1, 4], samples=4)
    row = read_row(outcome, 3)
    assert row.pass_at_k == pytest.approx((0 + 0.75 + 1) / 3)
    assert row.pass_at_k_interval[0] < row.pass_at_k < row.pass_at_k_interval[1]
    assert row.corrected < row.pass_at_k


def test_coverage_kept_stands_beside_what_the_base_model_keeps_of_itself(report):
    kept = GateNumbers(k=64, coverage_kept=0.8125, coverage_kept_low=0.7, coverage_kept_high=0.9)
    sweep = [make_outcome(*run) for run in RUNS]
    assert "Coverage kept" not in report(sweep).markdown
    sweep[0] = make_outcome(*RUNS[0], numbers=kept)
    counted = dataclasses.replace(BASE.predictors, correct=[128, 64, 1], samples=128)
    shown = report(sweep, dataclasses.replace(BASE, predictors=counted))
    column = shown.tables["Candidates"]["Candidate"].index("Coverage kept")
    assert shown.tables["Candidates"]["random-1"][column] == "0.812 [0.70, 0.90]"
    assert shown.tables["Candidates"]["random-4"][column] == "–"
    # A problem that 1 of 128 solves is solved in 64 half of the time, and never in both halves.
    assert shown.tables["Candidates"]["base model, no RL"][column].startswith("0.800 [")
    assert shown.quality["Coverage kept"][0] == "1"


def test_a_checkpoint_of_a_longer_training_is_marked_and_explained(report):
    end = make_outcome(*RUNS[1])
    midway = dataclasses.replace(end, candidate=dataclasses.replace(end.candidate, kept_epochs=[4, 8], candidate_id="middle"))
    page = report([end, midway])
    assert "4 of 8" in page.tables["Candidates"]["middle"] and "taken before the learning rate had decayed" in page.markdown
    assert "decayed" not in report([end]).markdown.split("## Cost")[0]


def test_guessing_is_shown_where_it_scores(report):
    guessed = [change(make_outcome(*run), "benchmark", chance=0.25) for run in RUNS[:2]]
    assert "Guessing scores 0.250." in report(guessed).markdown
    assert "Guessing" not in report([make_outcome(*run) for run in RUNS]).markdown


def test_hostile_text_stays_text_in_both_outputs(report):
    name = "_<script>alert(1)</script>|$\\bad{$\n[x](y)"
    hostile = make_outcome(*RUNS[0], name=name, reason=f"1 < 2 {name}", forecast=Forecast(reason=name))
    hostile = change(hostile, "rl", device=name)
    hostile = dataclasses.replace(hostile, candidate=dataclasses.replace(hostile.candidate, subset=name))
    others = [make_outcome(*run) for run in RUNS[1:]]
    again = dataclasses.replace(hostile, candidate=dataclasses.replace(hostile.candidate, candidate_id=f"{name}-s1", seed=1))
    for outcomes in ([hostile, *others], [hostile, again, *others]):
        page = report(outcomes, drawn=True)
        assert "<script" not in page.html.lower() + page.markdown.lower()
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.html
        raw = page.markdown.replace("[–]", "")
        for block in re.findall(r"(?:^\|.*\n)+", raw, re.MULTILINE):
            assert len({line.count("|") for line in block.splitlines()}) == 1
        assert name.strip() not in raw


def keep(outcome, text):
    """Returns an outcome with an excerpt of every kind, as long as a record holds them."""
    excerpts = [Excerpt(kind, "p", 0, text, text, text[:120], "7", 9) for kind in KINDS]
    kept = KeptSamples(2056, 3, {"right": 5, "wrong": 2043, "unknown": 0}, excerpts)
    outcome = change(outcome, "predictors", kept=kept)
    return change(outcome, "benchmark", kept=kept) if outcome.benchmark else outcome


def test_the_page_shows_what_the_models_wrote_folded_and_harmless(report):
    hostile = "<script>alert(1)</script>\x1b[2J\u202e\n" * 9
    page = report([keep(make_outcome(*RUNS[0]), hostile), make_outcome(*RUNS[1]), *(make_outcome(*run) for run in RUNS[2:])])
    section = page.html.split("<h2>What the models wrote</h2>")[1].split("<h2>")[0]
    assert section.count("<details><summary>random-1, before RL: 5 right, 2043 wrong; 3 samples without text") == 1
    assert section.count("<details>") == 2 and section.count("<dt>prompt</dt>") == 2 * len(KINDS)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;␛[2J&lt;U+202E&gt;" in section
    assert "<script" not in page.html and "\x1b" not in page.html and "\u202e" not in page.html
    assert "What the models wrote" not in page.markdown


def test_the_page_stays_small_with_64_candidates(report):
    runs = [make_outcome(*RUNS[0], name=f"c{number}", seed=number) for number in range(64)]
    bare, full = report(runs).html, report([keep(run, "long " * 100) for run in runs]).html
    assert "c63, after RL" in full and len(full) - len(bare) < 250_000


def test_brackets_of_names_are_no_links_in_markdown(tmp_path):
    paths = tmp_path / "report.html", tmp_path / "report.md"
    hostile = make_outcome(*RUNS[0], name="[x](y)", forecast=Forecast(reason="[z](y)"))
    write_report(SweepResult([hostile], BASE, {"base_model": "[a](b)"}), *paths)
    assert not re.search(r"\[\w\]", paths[1].read_text())


def test_page_needs_nothing_from_outside(report):
    for outcomes, plots in (([make_outcome(*run) for run in RUNS], 6), (make_sweep(), 7)):
        page = report(outcomes, drawn=True).html
        assert page.count("<svg ") == plots
        assert not re.search(r"https?:|//\w|<(script|link|img|iframe)\b|@import|url\((?!#)", page)
        ids = re.findall(r' id="([^"]*)"', page)
        assert len(ids) == len(set(ids))


def test_plots_of_many_candidates_name_subsets_and_not_candidates(report):
    page = report(make_sweep(), drawn=True).html
    drawings = "".join(re.findall(r"<svg .*?</svg>", page, re.DOTALL))
    assert "random (15 candidates)" in drawings and "mixed (15 candidates)" in drawings
    assert "random-0-s0" not in drawings


def test_names_of_points_do_not_overlap():
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    named = {"random-128x16-lr0.001": (0.59, 0.625), "random-128x1-lr0.001": (0.70, 0.63), "no-sft": (0.65, 0.638),
             "random-256x1-lr0.001": (0.73, 0.641), "random-128x8-lr0.0003": (0.77, 0.665)}  # fmt: skip
    figure, axes = start()
    axes.plot(*zip(*named.values(), strict=True), "o")
    name_points(axes, [(x, y, name) for name, (x, y) in named.items()])
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [text.get_window_extent(renderer) for text in axes.texts]
    assert len(boxes) == 5 and not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))


def make_log(name, **shares):
    """Returns a candidate of a log: Pass@k of 40 problems and no cost, loss, greedy decoding or entropy."""
    seen = SampleStatistics(**{"truncated": None, "unreadable": None} | shares)
    correct = [min(8, n % 9 + len(name)) for n in range(40)]
    predictors = PredictorsRecord(curve=[[1, 0.4], [64, 0.8]], correct=correct, samples=64, problems=40, by_products=seen)
    candidate = Candidate(name, 0, "", 0, 0.0, 0, log=LogSource(f"{name}.jsonl"))
    return Outcome(candidate, predictors=predictors, links={"tool": "plain"})


def test_a_report_of_logs_says_nothing_that_holds_for_rlreadys_own_runs_only(report):
    outcomes = [make_log(name, truncated=0.95, unreadable=0.96) for name in ("a", "bb")]
    gate = Gate(k=64, min_pass_at_k=0.0)
    verdicts = rank(decide(outcomes, None, gate, trains=False), outcomes, gate)
    judged = [dataclasses.replace(o, verdict=v) for o, v in zip(outcomes, verdicts, strict=True)]
    page = report(judged, None, drawn=True, rl_steps=0, sampling_max_tokens=512)
    assert "use logs of more problems or samples." in page.markdown and "; sample longer completions." in page.lead
    for name in ("curate_", "sampling_max_tokens", "predictors_samples", "rl_num_generations", "greedy", "(T=1)"):
        assert name not in page.markdown
    for name in ("Dotted", "<h2>Cost</h2>", "<h2>More plots</h2>", "held-out"):
        assert name not in page.html
    assert page.tables["Sample statistics"]["Candidate"] == ["Truncated", "No answer"]


def test_importing_the_report_imports_nothing_slow():
    code = (
        "import sys, rlready.stages.report.report;"
        "sys.exit(any(m in sys.modules for m in ('scipy', 'matplotlib', 'torch', 'mlflow', 'kfp')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def make_zeros(count=3, **shares):
    outcomes = [make_outcome("random", epochs, 0.0, 0.1, 0.5, 0.0) for epochs in range(1, count + 1)]
    zeros = {"standard_error": 0.0, "interval": [0.0, 0.178], "problems": 20}
    return [change(outcome, "benchmark", **zeros, **shares) for outcome in outcomes]


def test_candidates_that_failed_are_named_first_and_are_no_rejections(report):
    outcomes = [make_outcome(*run) for run in RUNS]
    outcomes += [
        fail(make_outcome("random", 64, 0.9, 0.9, 0.5, 0.9), "sft"),
        fail(make_outcome(*RUNS[4][:4], 0.1, 0.5, "x"), "rl"),
    ]
    page = report(outcomes, gate_min_pass_at_k=0.5)
    head = page.markdown.split("\n## ")[0]
    assert "random-64: SFT failed: out of memory (CUDA tried to allocate 2 GiB); lower sft_device_batch_size" in head
    assert "x: RL failed: out of memory" in head and """sweep_attempts='{"random-64": 2, "x": 2}'""" in head
    assert "8 candidates: 6 approved, 1 rejected, 1 failed before the gate; 1 failed after the gate." in head
    assert page.tables["Candidates"]["random-64"][0] == "SFT failed"
    assert page.tables["Candidates"]["x"][0] == "approved (RL failed)"
    assert page.tables["Candidates"]["x"][-1].startswith("out of memory")
    assert page.tables["Candidates"]["random-64"][-1].startswith("out of memory")
    assert '<span class="badge failed">SFT failed</span>' in page.html
    assert "RL ran for no rejected candidate" in page.markdown
    assert page.tables["Cost"]["SFT, failed"] == ["–", "1", "at least 12.5"]
    assert "For 1 candidate without RL, RL and benchmark would have taken" in page.markdown


def test_what_failed_is_no_part_of_the_audit(report):
    outcomes = make_audited([0.40], [(0.50, 1.0), (0.30, 1.0)])
    page = report([*outcomes, fail(outcomes[-1], "predictors"), fail(outcomes[-1], "rl")])
    assert "Rejected: 2 candidates. RL ran for all of them" in page.markdown
    assert "Not counted: 2 failed candidates, 1 of them rejected." in page.markdown


def test_a_sweep_in_which_all_failed_says_so(report):
    page = report([fail(make_outcome(*run), "sft") for run in RUNS], drawn=True)
    failures = page.markdown.split("\n\n")[4]
    assert page.lead == "**No candidate has a result: all failed.**"
    assert failures.startswith("random-1, random-4, random-16, random-32, shortest-4, mixed-4: SFT failed: out of memory")
    assert "6 candidates: 0 approved, 0 rejected, 6 failed before the gate." in page.markdown
    assert "The gate rejected no candidate that it judged" in page.markdown


def test_a_sweep_in_which_rl_failed_for_the_only_approved_says_so(report):
    page = report([fail(make_outcome(*RUNS[1]), "rl"), *(make_outcome(*run[:5], None) for run in RUNS[2:])])
    assert (
        "No candidate has finished RL: it or its benchmark failed for the only candidate sent to it, random-4." in page.markdown
    )
    assert "5 candidates: 1 approved, 4 rejected; 1 failed after the gate." in page.markdown


def test_a_sweep_in_which_nobody_was_approved_names_the_best_and_shows_the_curves(report):
    outcomes = [
        make_outcome(*run[:5], None, reason="Pass@64 0.740 < 0.9, not clearly below; loss rise 2 > 1.5") for run in RUNS
    ]
    page = report(outcomes, drawn=True, gate_min_pass_at_k=0.9)
    assert "**No candidate has finished RL, because the gate approved none of them.**" in page.markdown
    why = "random-4 has the highest Pass@k and is rejected: Pass@64 0.740 &lt; 0.9, not clearly below."
    assert why in page.markdown
    first, second = re.findall(r"<h3>(.*?)</h3>", page.html)[:2]
    assert (first, second) == ("Pass@k before RL", "Held-out loss during SFT")
    assert "minimum Pass@64 for RL: 0.9" in page.html


def test_the_page_begins_with_the_answer_and_the_two_plots_that_show_it(report):
    html = report([make_outcome(*run) for run in RUNS], drawn=True).html
    lead = html.index("random-4 has the highest Pass@1 after RL")
    first, second = (html.index(f"<h3>{title}</h3>") for title in ("Pass@1 before and after RL", "Predicted by Pass@64"))
    assert lead < first < second < html.index("6 candidates: 5 approved")


def test_the_best_of_zeros_is_not_crowned_and_zeros_have_an_interval(report):
    page = report(make_zeros(), BASE)
    lead = page.lead
    assert "No candidate that finished RL solved a problem of the benchmark" in lead and "as high as 0.178" in lead
    assert "curate_benchmark_problems, benchmark_samples" in lead
    assert "ended best" not in page.markdown and "the highest" not in page.markdown
    assert page.tables["Candidates"]["random-1"][1] == "0.000 [0.000, 0.178]"
    assert page.tables["Candidates"]["random-1"][2] == "0.000 [0.00, 0.18]"
    assert "± 0.000" not in page.markdown


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ((0.98, 0.99), "98% of the samples were truncated by the length limit; raise sampling_max_tokens (now 24)"),
        ((0.02, 0.97), "97% of the samples have no final answer in the form the prompt asks for; change the"),
        ((None, 0.97), "97% of the samples have no final answer; whether they were truncated is unknown"),
    ],
)
def test_where_nearly_all_answers_are_lost_that_is_the_headline(report, shares, said):
    page = report(make_zeros(truncated=shares[0], unreadable=shares[1]), sampling_max_tokens=24)
    assert page.lead.startswith(f"**The scores say little: {said}")
    named = [f"{what} {100 * share:.0f}%" for what, share in zip(("truncated", "no answer"), shares, strict=True) if share]
    assert page.tables["Candidates"]["random-1"][1] == f"0.000 [0.000, 0.178]; {', '.join(named)}"


def test_scores_that_no_sample_was_judged_for_are_unknown_and_not_0(report):
    page = report(make_zeros(truncated=0.0, unreadable=0.1, unknown=1.0))
    assert page.lead.startswith("**The scores say little: 100% of the samples could not be judged by the verifier")
    assert "true Pass@1 may still be as high as 1.000" in page.markdown
    assert "Winner: none, no result of RL is above 0" in page.markdown


def test_one_candidate_whose_answers_are_lost_is_named_below_the_headline(report):
    outcomes = [change(make_outcome(*run), "benchmark", truncated=0.1, unreadable=0.1) for run in RUNS if run[5]]
    outcomes[0] = change(outcomes[0], "benchmark", truncated=0.95, unreadable=0.96)
    page = report(outcomes)
    assert page.lead.startswith("**random-4 has the highest")
    assert "Nearly all samples of random-1 were truncated by the length limit; raise sampling_max_tokens." in page.markdown
    assert page.markdown.count("Nearly all") == 1


def test_reasons_are_short_in_the_table_and_whole_on_demand(report):
    reason = "Pass@64 0.310 < 0.5, not clearly below: 95% interval [0.20, 0.52]; loss rise 1.800 > 1.25"
    page = report([make_outcome(*RUNS[3], reason=reason)]).html.replace("&lt;", "<").replace("&gt;", ">")
    assert (
        f"<details><summary>Pass@64 0.310 < 0.5, not clearly below: 95% interval [0.20, 0.52] …</summary>{reason}</details>"
        in page
    )
