"""Gate and race learned on one seed and judged on the other: python docs/study/funnel.py RUN (a folder, or its outcomes.json).

The run has the same settings with two seeds, on the same data, and RL for all. Intervals draw settings; the rules stay.
"""

import dataclasses
import sys
from pathlib import Path

import numpy as np
from analyse import learn

from rlready import SweepResult, read_sweep
from rlready.analysis.calibration import FrontierPoint
from rlready.analysis.calibration_run import CalibrationRun, judge, measure_rules, set_up
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
    path = Path(file)
    seeds = split_seeds(read_sweep(path / "outcomes.json" if path.is_dir() else path))
    benches = [set_up(seed, f"seed {number}") for number, seed in enumerate(seeds, 1)]
    rules = [learn([bench]) for bench in benches]
    ends: list[list[np.ndarray]] = [[], []]  # of the funnel and of the gate alone
    for number, points in enumerate(rules):
        for place, point in enumerate(points):
            ends[place].append(play(point, benches[1 - number]))
            lines = "; ".join(point.rule.write_recipe(len(benches[number].names)))
            print(f"{point.kind}, learned on seed {number + 1}: {lines}")
            print(f"  on the other seed: {describe(ends[place][-1])}")
    funnel, gate = (np.mean(of_rule, axis=0) for of_rule in ends)
    for name, end in (("funnel", funnel), ("gate alone", gate), ("gate alone minus funnel", gate - funnel)):
        print(f"{name}, mean of both: {describe(end)}")


def describe(end: np.ndarray) -> str:
    """Returns cost and regret with the range of 95% of the draws of settings."""
    said = []
    for name, (value, *drawn) in zip(("cost", "regret"), end.tolist(), strict=True):
        low, high = np.quantile(drawn, [0.025, 0.975])
        said.append(f"{name} {value:.3f} [{low:.3f}, {high:.3f}]")
    return ", ".join(said)


if __name__ == "__main__":
    main(*sys.argv[1:])
