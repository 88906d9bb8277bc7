"""Tests the hypotheses of the second study: python docs/study/analyse.py CURVES [CURVES_WITH_MORE_PROBLEMS].

The tests were committed before any run of the draws that they test; the median of costs, the plateau, the correlations of
single predictors and the last three lines on all draws came later. Figures are means over draws of data with Student's
interval; a draw is one number.
"""

import dataclasses
import functools
import itertools
import math
import statistics
import sys
from collections.abc import Sequence

import numpy as np
from scipy.special import stdtr
from scipy.stats import pearsonr

from rlready import SweepResult, read_curves
from rlready.analysis.calibration import BOTH, GATE, CalibrationRun, FrontierPoint, calibrate, judge, measure_rules, set_up
from rlready.analysis.comparison import Row, compare, group_settings, list_scores, read_rows
from rlready.analysis.plateau import look_for_plateau
from rlready.analysis.policies import rank_by, trace
from rlready.analysis.pool import find_pools, find_probes
from rlready.analysis.predictor import Predictor, pick_main, score_settings, select_finished
from rlready.stats.correlation import spearman
from rlready.stats.intervals import bound_mean, bound_share

LEARNING = 1  # the draw that gate and race are learned on; it tests nothing
TOLERATED = 0.01  # regret, and the target's
MOST_COST = 0.3
K = 64


def level_costs(sweep: SweepResult) -> SweepResult:
    """Returns the sweep with the median cost of RL for all, because other work ran beside some trainings."""
    records = [one.rl for one in sweep.outcomes if one.rl]
    seconds = statistics.median(record.seconds for record in records)
    checked = statistics.median(record.validation.seconds for record in records)
    outcomes = []
    for one in sweep.outcomes:
        if one.rl:  # not that of a failed one
            validation = dataclasses.replace(one.rl.validation, seconds=checked)
            one = dataclasses.replace(one, rl=dataclasses.replace(one.rl, seconds=seconds, validation=validation))
        outcomes.append(one)
    return dataclasses.replace(sweep, outcomes=outcomes)


def rank_quality(rows: list[Row], predictor: Predictor) -> float:
    """Returns Spearman's correlation of a predictor with the result, over settings."""
    settings = group_settings(select_finished(rows, predictor))
    values = score_settings(settings, predictor)
    found = None if values is None else spearman(values, [statistics.fmean(setting.scores) for setting in settings])
    return math.nan if found is None else found


def describe(values: Sequence[float], tests: bool = True) -> str:
    """Returns the mean over draws with its interval and, where 0 is of interest, signs and p."""
    known = [value for value in values if not math.isnan(value)]
    interval, sign = bound_mean(known), "+" if tests else ""
    mean, *ends = (f"{value:{sign}.3f}" for value in (statistics.fmean(known), *(interval or ())))
    if interval is None:
        return f"{mean} (all {len(known)} draws alike)"
    p = find_p(known)
    said = "" if not tests else f", p = {p:.4f}" if p >= 0.0001 else ", p < 0.0001"
    return f"{mean} [{', '.join(ends)}]{said}, {len(known)} draws"


def find_p(values: Sequence[float]) -> float:
    """Returns the two-sided p of Student's test that the mean over draws is 0; 1 if all draws are 0 alike."""
    known = [value for value in values if not math.isnan(value)]
    deviation = statistics.stdev(known)
    if not deviation:
        return float(not any(known))
    t = statistics.fmean(known) / deviation * math.sqrt(len(known))
    return float(2 * stdtr(len(known) - 1, -abs(t)))


def adjust(ps: Sequence[float]) -> list[float]:
    """Returns Holm's adjusted p."""
    order, adjusted, highest = np.argsort(ps), [0.0] * len(ps), 0.0
    for place, number in enumerate(order):
        highest = max(highest, min(1.0, (len(ps) - place) * ps[number]))
        adjusted[number] = highest
    return adjusted


def choose(frontier: list[FrontierPoint]) -> tuple[FrontierPoint, FrontierPoint]:
    """Returns the funnel, gate and race, learned for a regret of 0.01, and the dearest gate alone that costs no more.

    If no gate costs as little, it is the cheapest.
    """
    funnel = next(point for point in frontier if point.kind == BOTH and point.tolerated == TOLERATED)
    gates = [point for point in frontier if point.kind == GATE]
    affordable = [point for point in gates if point.share <= funnel.share]
    gate = max(affordable, key=lambda point: point.share) if affordable else min(gates, key=lambda point: point.share)
    return funnel, gate


def play(point: FrontierPoint, bench: CalibrationRun) -> tuple[float, float]:
    """Returns cost and regret of a learned rule on another draw."""
    paid, taken = judge(point.rule, bench)
    found = measure_rules(bench, paid.T[..., None], taken.T[..., None], np.ones((1, len(bench.names))))
    return float(found[0, 0, 0]), float(found[1, 0, 0])


def count_reversals(rows: list[Row]) -> tuple[int, int]:
    """Returns how many pairs RL reversed, of how many: both orders are sure, at a level for all pairs of the draw."""
    finished = [row for row, _ in list_scores(rows)]
    pairs = list(itertools.combinations(finished, 2))
    reversed_pairs = 0
    for one, other in pairs:
        ahead, behind = sorted((one, other), key=lambda row: -(row.sft_pass_at_1 or 0.0))
        before = compare(ahead, behind, "pass_at_1", comparisons=len(pairs))
        reversed_pairs += before.sure and compare(behind, ahead, comparisons=len(pairs)).sure
    return reversed_pairs, len(pairs)


def read_pass_at(k: int, row: Row) -> float | None:
    """Returns Pass@k of a candidate."""
    return row.predictors.get_pass_at(k)


def take_best(bench: CalibrationRun, cost: float) -> tuple[float, float]:
    """Returns cost and regret of as many of the best by SFT Pass@1 as cost no more; at least of one."""
    ranked = [rank_by(bench.pool, pick_main(K).sft_pass_at_1, most) for most in range(1, bench.pool.size + 1)]
    ends = trace(bench.pool, [policy for policy in ranked if policy])
    return max((end for end in ends if end[0] <= cost), default=ends[0])


def settle(sweep: SweepResult) -> dict[int, float]:
    """Returns Spearman's correlation of validation at each step with the result."""
    rows, base, _ = read_rows(sweep)
    pool = find_pools(rows, base)[0]
    return {probe.step: spearman(probe.reached, pool.scores) or math.nan for probe in find_probes(pool)}


def print_hypotheses(learning: SweepResult, runs: list[SweepResult]) -> None:
    """Prints the four tests with Holm's correction, and what the funnel costs and loses."""
    main = pick_main(K)
    rows = [read_rows(run)[0] for run in runs]

    def differ(one: Predictor, other: Predictor) -> list[float]:
        return [rank_quality(of_run, one) - rank_quality(of_run, other) for of_run in rows]

    tests = {
        "H1: Pass@64 minus SFT Pass@1, random subsets": differ(main.pass_at_k.restrict(), main.sft_pass_at_1.restrict()),
        "H2: minus the loss minus SFT Pass@1, random subsets": differ(main.loss, main.sft_pass_at_1.restrict()),
        "H3: Pass@64 minus SFT Pass@1, all subsets": differ(main.pass_at_k, main.sft_pass_at_1),
    }
    funnel, gate = choose(calibrate([set_up(learning, "the draw to learn from")]))
    benches = [set_up(run, f"draw {run.parameters['curate_seed']}") for run in runs]
    ends = {point.kind: [play(point, bench) for bench in benches] for point in (funnel, gate)}
    tests["H4: regret of the gate minus the funnel's"] = [
        g[1] - f[1] for g, f in zip(ends[gate.kind], ends[funnel.kind], strict=True)
    ]
    for (name, values), p in zip(tests.items(), adjust([find_p(values) for values in tests.values()]), strict=True):
        print(f"{name}: {describe(values)}; Holm {p:.4f}")
    for point in (funnel, gate):
        costs, regrets = zip(*ends[point.kind], strict=True)
        above = sum(regret > TOLERATED for regret in regrets)
        low, high = bound_share(above, len(regrets))
        print("\n  ".join([f"{point.kind}:", *point.rule.write_recipe(12)]))
        print(f"  cost {describe(costs, tests=False)}")
        # Without an interval: Student's covers a single regret in 27 to 88% of studies only.
        mean = statistics.fmean(regrets)
        print(f"  regret {mean:.3f}; more than {TOLERATED:g} in {above} of {len(regrets)} draws [{low:.2f}, {high:.2f}]")
        print(f"  by draw: {' '.join(f'{regret:.3f}' for regret in regrets)}")
    best = [take_best(bench, cost) for bench, (cost, _) in zip(benches, ends[funnel.kind], strict=True)]
    paid = describe([cost for cost, _ in best], tests=False)
    print(f"best few by SFT Pass@1 at the funnel's cost: {paid}; regret minus the funnel's:")
    print(f"  {describe([one[1] - other[1] for one, other in zip(best, ends[funnel.kind], strict=True)])}")
    cost, regret = (statistics.fmean(values) for values in zip(*ends[funnel.kind], strict=True))
    print(
        f"target of at most {MOST_COST:g} and {TOLERATED:g}: {'met' if cost <= MOST_COST and regret <= TOLERATED else 'missed'}"
    )


def print_others(runs: list[SweepResult]) -> None:
    """Prints what is described without a test."""
    rows = [read_rows(run)[0] for run in runs]
    main = pick_main(K)
    first = main.sft_pass_at_1.restrict()
    for name, one in (("SFT Pass@1", main.sft_pass_at_1), ("Pass@64", main.pass_at_k), ("minus the loss", main.loss)):
        by_draw = [rank_quality(of_run, one.restrict()) for of_run in rows]
        print(f"{name} with the result, random subsets: {describe(by_draw)}")
    for k in (2, 4, 8, 16, 32, 64, 128):
        one = Predictor(f"Pass@{k}", (functools.partial(read_pass_at, k),), restricted=True)
        better = [rank_quality(of_run, one) - rank_quality(of_run, first) for of_run in rows]
        print(f"Pass@{k} minus SFT Pass@1, random subsets: {describe(better)}")
    found = [count_reversals(of_run) for of_run in rows]
    pairs, of = map(sum, zip(*found, strict=True))
    print(f"pairs that RL reversed: {pairs} of {of}, in {sum(one > 0 for one, _ in found)} of {len(found)} draws")
    settled = [settle(run) for run in runs]
    for step in sorted(set.intersection(*map(set, settled))):
        print(f"validation at step {step} with the result: {describe([draw[step] for draw in settled])}")
    ends = [look_for_plateau(of_run) for of_run in rows]
    still, level = (sum(found) for found in ([end.rising for end in ends], [not end.rising and end.all.level for end in ends]))
    print(f"RL surely still rose in {still} of {len(ends)} draws, had plateaued in {level}")
    scores = [[score for _, score in list_scores(of_run)] for of_run in rows]
    print(f"deviation of results within a draw: {describe([statistics.stdev(draw) for draw in scores], tests=False)}")
    before = [read_rows(run)[1].score or math.nan for run in runs]
    gains = [statistics.fmean(draw) - base for draw, base in zip(scores, before, strict=True)]
    print(f"mean result minus the base model without RL: {describe(gains, tests=False)}")
    errors = [row.benchmark.standard_error for of_run in rows for row, _ in list_scores(of_run)]
    print(f"standard error of one result: {statistics.fmean(error for error in errors if error is not None):.3f}")


def print_closeness(runs: list[SweepResult], more: list[SweepResult]) -> None:
    """Prints whether results spread less with more problems of RL: the test of Pitman and Morgan, within draws."""
    sums, differences = [], []
    known = {run.parameters["curate_seed"]: run for run in runs}
    for run in more:
        few, many = (
            {row.name: score for row, score in list_scores(read_rows(one)[0])}
            for one in (known[run.parameters["curate_seed"]], run)
        )
        names = sorted(few.keys() & many.keys())
        pair = np.array([[few[name], many[name]] for name in names])
        pair -= pair.mean(0)
        sums += pair.sum(1).tolist()
        differences += (pair[:, 0] - pair[:, 1]).tolist()
        print(f"draw {run.parameters['curate_seed']}: deviations {pair.std(0, ddof=1).round(4).tolist()}")
    test = pearsonr(sums, differences)
    print(f"spread with few minus with many problems of RL: correlation {test.statistic:+.2f}, p = {test.pvalue:.4f}")


if __name__ == "__main__":
    found = [[level_costs(sweep) for sweep in read_curves(path)] for path in sys.argv[1:]]
    learning, *tested = found[0]  # in the order of their draws
    if learning.parameters["curate_seed"] != LEARNING:
        sys.exit(f"{sys.argv[1]}: draw {LEARNING}, on which gate and race are learned, is missing")
    print_hypotheses(learning, tested)
    print_others(tested)
    if len(found) > 1:
        print_closeness(tested, found[1])
