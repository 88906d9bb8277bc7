"""How often the intervals hold the truth, over simulated studies, beside what they were compared with. Printed: make bench."""

from dataclasses import replace

import numpy as np
import pytest
from helpers import coverage_kept, sequential
from helpers.populations import (
    EXTREME,
    POPULATIONS,
    SPREAD,
    cover,
    cover_r_squared,
    cover_rise,
    draw_apart,
    draw_settings,
    draw_studies,
)
from helpers.sweeps import make_sweep
from scipy import stats

from rlready.analysis.calibration import calibrate, judge, set_up
from rlready.evaluation.score import estimate_false_positives
from rlready.evaluation.suite import average, score_benchmark
from rlready.stats.generalization_loss import estimate_loss_interval
from rlready.stats.intervals import bound_share, estimate_intervals
from rlready.stats.regression import predict_known_setting, predict_new_setting

pytestmark = pytest.mark.bench
SHAPES = {
    "3 settings of 3 seeds": [3] * 3,
    "2 settings of 4 seeds": [4] * 2,
    "5 settings of 3 seeds": [3] * 5,
    "6 settings of 2 seeds": [2] * 6,
    "8 settings of 1 seed": [1] * 8,
    "13 settings of 3 seeds": [3] * 13,
    "1, 1, 1, 2, 2, 3, 3, 5": [1, 1, 1, 2, 2, 3, 3, 5],
}
SHARES = (0.0, 0.3, 0.6, 0.9, 1.0)


def predict_from_single_points(x, y, at):
    """Returns (low, high) of Student's interval through all points, as if no two were of one setting."""
    line = stats.linregress(x, y)
    left = y - line.slope * x - line.intercept
    spread = (left @ left / (len(x) - 2) * (1 + 1 / len(x) + (at - x.mean()) ** 2 / (len(x) * x.var()))) ** 0.5
    half = stats.t.ppf(0.975, len(x) - 2) * spread
    return line.slope * at + line.intercept - half, line.slope * at + line.intercept + half


def test_forecasts(studies=2000):
    ways = {
        "new setting": (False, lambda x, y, s: predict_new_setting(x[:-1], y[:-1], s[:-1], x[-1])),
        "known setting": (True, lambda x, y, s: predict_known_setting(y[:-1], s[:-1], s[-1])),
        "new setting, single points": (False, lambda x, y, s: (0, *predict_from_single_points(x[:-1], y[:-1], x[-1]))),
    }
    print(f"\nforecast, share of the variance between settings: {'  '.join(f'{share:5.1f}' for share in SHARES)}")
    for shape, sizes in SHAPES.items():
        for way, (known, predict) in ways.items():
            rng, shown = np.random.default_rng(0), []
            for share in SHARES:
                held = []
                for _ in range(studies):
                    x, y, settings = draw_settings(rng, sizes, share, known)
                    found = predict(x, y, settings)
                    held += [found[1] <= y[-1] <= found[2]] if found else []
                shown.append(f"{np.mean(held):5.3f}" if held else "    -")
            print(f"  {shape:<24}{way:<27}{'  '.join(shown)}")


def test_pass_at_k():
    sizes = ((16, 1), (16, 16), (256, 64))
    print(f"\nPass@k, 32 and 128 problems of (samples, k): {'  '.join(f'{size!s:>13}' for size in sizes)}")
    for name, population in (SPREAD | EXTREME).items():
        rng, shown = np.random.default_rng(7), []
        for n, k in sizes:
            values, truth = draw_studies(population(k), n, k, rng)
            for problems in (32, 128):
                low, high = estimate_intervals(values[:problems])
                shown.append(f"{((low <= truth) & (truth <= high)).mean():.3f}")
        print(f"  {name:<43}{'  '.join(shown)}")


def test_differences(studies=1000):
    sizes = ((24, 16, 4), (128, 16, 1), (128, 64, 4), (128, 256, 4), (128, 64, 8), (128, 256, 64), (512, 64, 8))
    print(f"\ndifference of two models, (problems, samples, k): {'  '.join(f'{size!s:>13}' for size in sizes)}")
    for name, draw in POPULATIONS.items():
        print(f"  {name:<49}{'  '.join(f'{cover(draw, *size, studies):13.3f}' for size in sizes)}", flush=True)


def test_families(studies=1000):
    print(
        "\nproblems of a family alike: Pass@1 as one draw, as one each; the difference of two models as one draw, as one each"
    )
    for size in (2, 4, 8):
        for families in (16, 64):
            rng, shown = np.random.default_rng(0), []
            groups = np.repeat(np.arange(families), size)
            values = np.repeat(rng.beta(0.5, 0.5, (families, studies)), size, axis=0)
            for known in (groups, None):
                low, high = estimate_intervals(rng.binomial(64, values) / 64, groups=known)
                shown.append(((low <= 0.5) & (high >= 0.5)).mean())
            shown += [cover(draw_apart, families * size, 64, 1, studies, size, known) for known in (True, False)]
            print(f"  {families} families of {size}: {'  '.join(f'{share:.3f}' for share in shown)}", flush=True)


def test_coverage_kept():
    print("\ncoverage kept, and what the base model keeps of itself")
    for way in coverage_kept.WAYS:
        coverage_kept.check_coverage_kept(way)


def test_sequential_errors():
    print("\nsequential test at alpha 0.05: wrong decisions over 600 runs")
    for population in sequential.POPULATIONS:
        sequential.check_wrong_decisions(population)


def test_false_positive_rate(studies=2000, problems=128, samples=16):
    print(f"\nfalse positives, {problems} problems x {samples}: over problems, as if all samples were independent")
    for a, b in ((0.02, 5), (0.1, 5), (0.5, 20), (2, 200), (2, 2)):
        rng, truth, held = np.random.default_rng(0), a / (a + b), []
        for _ in range(studies):
            accepted = rng.binomial(samples, rng.beta(a, b, problems)).tolist()
            found = estimate_false_positives({number: (count, samples) for number, count in enumerate(accepted)})
            low, high = bound_share(sum(accepted), problems * samples)
            held.append((found.low <= truth <= found.high, low <= truth <= high))
        print(f"  rates Beta({a}, {b}), mean {truth:.4f}: {'  '.join(f'{share:.3f}' for share in np.mean(held, axis=0))}")


def test_the_mean_over_benchmarks(studies=2000, samples=8):
    print("\nmean of two benchmarks of 100 problems: with what they share, as if they shared nothing")
    for shared in (0, 30, 60, 100):
        rng, held = np.random.default_rng(0), []
        for _ in range(studies):
            correct = rng.binomial(samples, rng.beta(0.7, 1.3, 200 - shared))
            rows = [range(100), range(100 - shared, 200 - shared)]
            intervals = []
            for known in (True, False):
                scores = [
                    score_benchmark(
                        "b",
                        [{"problem_id": n} if known else {} for n in ids],
                        samples,
                        correct[list(ids)].tolist(),
                        [0] * 100,
                    )
                    for ids in rows
                ]
                intervals.append(average(scores).interval)
            held.append([low <= 0.35 <= high for low, high in intervals])
        print(f"  {shared:3} shared: {'  '.join(f'{share:.3f}' for share in np.mean(held, axis=0))}")


def test_plateaus(studies=1000):
    lags = (0.0, 0.5, 0.9, 0.97, 0.99)
    print(f"\nplateau, lag-1 correlation of the steps: {'  '.join(f'{lag:5}' for lag in lags)}")
    for steps in (400, 40):
        print(f"  {steps:3} steps: {'  '.join(f'{cover_rise(lag, steps, studies):5.3f}' for lag in lags)}")


def test_r_squared(studies=1000):
    shares = (0.0, 0.3, 0.6, 0.9)
    print(f"\nR2 of the population {shares}: intervals that hold it, and for noise those that begin above 0")
    for points, variables in ((8, 1), (8, 2), (17, 1), (17, 2)):
        found = [cover_r_squared(points, variables, share, studies) for share in shares]
        print(f"  {points:2} settings, {variables} parts: {'  '.join(f'{held:.3f}' for held, _ in found)}; {found[0][1]:.3f}")


def test_generalization_loss(studies=500):
    print("\ngeneralization loss, examples of 20 to 400 tokens: over examples, as if all tokens were independent")
    for examples in (2, 4, 8, 32, 128, 512):
        rng, held = np.random.default_rng(0), []
        for _ in range(studies):
            counts = rng.integers(20, 401, examples)
            level = rng.lognormal(-0.5, 0.5, examples)  # mean exp(-0.375)
            losses = level[:, None] * rng.exponential(size=(examples, 400)) * (np.arange(400) < counts[:, None])
            sums = losses.sum(1)
            low, high = estimate_loss_interval(list(zip(sums.tolist(), counts.tolist(), strict=True)))
            mean, spread = sums.sum() / counts.sum(), losses[losses > 0].std() / counts.sum() ** 0.5
            held.append((low <= np.exp(-0.375) <= high, abs(mean - np.exp(-0.375)) <= 1.96 * spread))
        print(f"  {examples:3} examples: {'  '.join(f'{share:.3f}' for share in np.mean(held, axis=0))}")


def test_calibration(runs=40, settings=12):
    """Compares what is said of thresholds with what they come to on new runs; their base model is the same or measured anew."""
    print(f"\ncalibrate, {settings} settings: regret said, in new runs; the interval holds their mean, and each of them")
    shared = make_sweep(np.random.default_rng(5), 2).baseline
    for told, base in ((1.0, shared), (0.6, shared), (0.3, shared), (0.6, None)):

        def run(seed, told=told, base=base):
            sweep = make_sweep(np.random.default_rng(seed), settings, told=told)
            return set_up(replace(sweep, baseline=base or sweep.baseline), "run")

        new, rows = [run(10_000 + number) for number in range(40)], []
        for seed in range(runs):
            step = next(step for step in calibrate([run(seed)]) if step.tolerated == 0.01)
            lost = np.array([lose(step.rule, bench) for bench in new])
            if step.regret_interval:
                low, high = step.regret_interval
                each = (low <= lost) & (lost <= high)
                rows.append((step.regret, lost.mean(), low <= lost.mean() <= high, each.mean()))
        said, true, mean, each = np.mean(rows, axis=0)
        named = f"told {told}, base {'shared' if base else 'anew'}"
        print(f"  {named:<24}{said:.3f}, {true:.3f}; {mean:.2f}, {each:.2f} of {len(rows)} runs")


def lose(rule, bench):
    """Returns the regret of a rule in a run."""
    taken, scores = judge(rule, bench)[1, 0] > 0, bench.pool.scores
    return scores.max() - (scores[taken].max() if taken.any() else bench.floor)
