"""Gate and race learned on one seed and judged on the other: python docs/study/funnel.py docs/study/list-machine.parquet.

The first draw of the curves has two seeds of each setting, and RL for all. Intervals draw settings; the rules stay.
"""

import dataclasses
import sys

import numpy as np
from analyse import TOLERATED, choose, level_costs

from rlready import SweepResult, read_curves
from rlready.analysis.calibration import RACE, CalibrationRun, FrontierPoint, calibrate, judge, measure_rules, set_up
from rlready.stats.intervals import draw_clusters


def split_seeds(sweep: SweepResult) -> list[SweepResult]:
    """Returns the part of each seed."""
    seeds = sorted({outcome.candidate.seed for outcome in sweep.outcomes})
    return [
        dataclasses.replace(sweep, outcomes=[one for one in sweep.outcomes if one.candidate.seed == seed]) for seed in seeds
    ]


def play(point: FrontierPoint, bench: CalibrationRun) -> np.ndarray:
    """Returns cost and regret of a learned rule on a run, and then on draws of its settings: 2 x (1 + draws)."""
    drawn = np.vstack([np.ones(len(bench.names)), draw_clusters(bench.names)])
    paid, taken = judge(point.rule, bench, drawn)
    return measure_rules(bench, paid.T[..., None], taken.T[..., None], drawn)[..., 0]


def main(file: str) -> None:
    """Prints the rules and what they cost and lose on the other seed, and the means over both."""
    seeds = split_seeds(level_costs(read_curves(file)[0]))
    benches = [set_up(seed, f"seed {number}") for number, seed in enumerate(seeds, 1)]
    ends: dict[str, list[np.ndarray]] = {"gate and race": [], "gate": [], "race": []}
    for number, bench in enumerate(benches):
        frontier = calibrate([bench])
        race = next(point for point in frontier if point.kind == RACE and point.tolerated == TOLERATED)
        for name, point in zip(ends, (*choose(frontier), race), strict=True):
            ends[name].append(play(point, benches[1 - number]))
            lines = "; ".join(point.rule.write_recipe(len(bench.names)))
            print(f"{name}, learned on seed {number + 1}: {lines}\n  on the other seed: {describe(ends[name][-1])}")
    means = {name: np.mean(found, axis=0) for name, found in ends.items()}
    for name, end in means.items():
        print(f"{name}, mean of both: {describe(end)}")
    for name in ("gate", "race"):
        print(f"{name} minus gate and race: {describe(means[name] - means['gate and race'])}")


def describe(end: np.ndarray) -> str:
    """Returns cost and regret with the range of 95% of the draws of settings."""
    said = []
    for name, (value, *drawn) in zip(("cost", "regret"), end.tolist(), strict=True):
        low, high = np.quantile(drawn, [0.025, 0.975])
        said.append(f"{name} {value:.3f} [{low:.3f}, {high:.3f}]")
    return ", ".join(said)


if __name__ == "__main__":
    main(*sys.argv[1:])
