"""Which design of the second study decides something? A simulation: python docs/study/power.py (about a minute on one core).

A candidate is four numbers: SFT Pass@1, Pass@64, minus the loss, and Pass@1 after RL. Each is the sum of what its setting
gives, of what that has on these data and problems (a draw, `curate_seed`), and of its seed. The three covariances are estimated
from the candidates of the first study, whose tables are beside this file; nothing else of its runs is kept.
"""

import itertools
import math
import re
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

from rlready.stats.correlation import resample_spearman
from rlready.stats.intervals import estimate_intervals

HERE = Path(__file__).parent
NAMES = ("SFT Pass@1", "Pass@64", "minus the loss", "Pass@1 after RL")
# Deviation of a setting on single problems (held-out examples) from what they are for all settings: the interaction's mean
# square in two runs of the recipe `laptop`, with 128 samples (after RL 8). A draw has 64 problems (256 examples, 512 problems).
PROBLEM = np.array([0.0736, 0.2467, 0.1234, 0.2231])
PROBLEMS = np.array([64, 64, 256, 512])
# Core-seconds of a candidate in draw 1 of the list machine, without predictors; those on 64 problems; validation during RL.
CANDIDATE, PREDICTORS, VALIDATION = 430, 21, 13
DIFFERENCE, REGRET = 0.4, 0.02  # to be detected
HYPOTHESES = 4  # of a task, with Holm's correction: the first is tested at 0.05 / 4
SIMULATIONS = 4000


class Components(NamedTuple):
    """Covariances of the four numbers."""

    setting: np.ndarray
    draw: np.ndarray  # of a setting in a draw, with the 64 problems of a draw
    seed: np.ndarray


def read_candidates(path: Path) -> dict[str, list[list[float]]]:
    """Returns the four numbers of each seed by setting, of the random subsets in the table of candidates of study-report.md."""
    found: dict[str, list[list[float]]] = {}
    for line in path.read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        name = re.fullmatch(r"((?:random-.*|no-sft))-s\d+", cells[1]) if len(cells) > 11 else None
        numbers = [re.match(r"\d\.\d+", cells[column]) for column in (5, 7, 9, 3)] if name else []
        if name and all(numbers):
            one, at_k, loss, after = (float(number[0]) for number in numbers if number)
            found.setdefault(name[1], []).append([one, at_k, -loss, after])
    return found


def estimate() -> Components:
    """Returns the covariances, from seeds 1, 2 and 3 of the first study; a setting's is what the others leave of its means'."""
    groups = [np.array(rows) for rows in read_candidates(HERE / "study-report.md").values()]
    seeds = len(groups[0])
    within = [rows - rows.mean(0) for name, rows in zip(range(len(groups)), groups, strict=True)]
    seed = sum(rows.T @ rows for rows in within) / sum(len(rows) - 1 for rows in groups)
    draw = np.diag(PROBLEM**2 / PROBLEMS)
    setting = np.cov(np.array([rows.mean(0) for rows in groups]).T) - seed / seeds - draw
    values, vectors = np.linalg.eigh(setting)
    return Components((vectors * values.clip(1e-8)) @ vectors.T, draw, seed)


def set_difference(parts: Components, difference: float) -> Components:
    """Returns the components with another correlation of SFT Pass@1 with the result, so that Pass@64 ranks better by this much.

    Spearman's correlation of normal values is 6 / pi asin(r / 2), of what is measured: setting, draw and one seed together. SFT
    Pass@1 goes with the other two only as far as both go with the result.
    """
    total = sum(parts)
    scale = np.sqrt(np.diag(total))
    known = 6 / math.pi * math.asin((total / np.outer(scale, scale))[1, 3] / 2)
    wanted = 2 * math.sin(math.pi / 6 * (known - difference)) * scale[0] * scale[3] - parts.draw[0, 3] - parts.seed[0, 3]
    setting = parts.setting.copy()
    setting[0, 1:] = setting[1:, 0] = wanted * setting[3, 1:] / setting[3, 3]
    return parts._replace(setting=setting)


def simulate(
    rng: np.random.Generator, parts: Components, count: int, settings: int, draws: int, seeds: int, problems: int, fresh: bool
) -> np.ndarray:
    """Returns what this many studies measure: studies x draws x settings x numbers, means over seeds.

    `fresh`: each draw has its own settings; else all draws have the same.
    """

    def draw(covariance: np.ndarray, *size: int) -> np.ndarray:
        values, vectors = np.linalg.eigh(covariance)
        return rng.standard_normal((*size, 4)) * np.sqrt(values.clip(0)) @ vectors.T

    given = draw(parts.setting, count, draws if fresh else 1, settings)
    return given + draw(parts.draw * 64 / problems, count, draws, settings) + draw(parts.seed / seeds, count, draws, settings)


def correlate(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns Spearman's correlation along the last axis, of values without ties."""
    x, y = (values.argsort(-1).argsort(-1).astype(float) for values in (x, y))
    x, y = (values - values.mean(-1, keepdims=True) for values in (x, y))
    return (x * y).sum(-1) / (x * x).sum(-1)


def measure_differences(studies: np.ndarray) -> np.ndarray:
    """Returns by how much Pass@64 ranks better than SFT Pass@1 in each draw."""
    return correlate(studies[..., 1], studies[..., 3]) - correlate(studies[..., 0], studies[..., 3])


def measure_regrets(studies: np.ndarray, by: int, take: int) -> np.ndarray:
    """Returns how far the best of those taken by a number ends below the best of the draw."""
    order = studies[..., by].argsort(-1)[..., -take:]
    return studies[..., 3].max(-1) - np.take_along_axis(studies[..., 3], order, -1).max(-1)


# Intervals of a mean over draws: each takes studies x draws (x settings x numbers) and returns centre and half-width.


def bound_by_draws(values: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Student's interval over draws."""
    draws = values.shape[1]
    spread = values.std(1, ddof=1) / math.sqrt(draws)
    return values.mean(1), stdtrit(draws - 1, (1 + level) / 2) * spread


def bound_by_settings(studies: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Jackknife over settings, of the mean over draws; Student's with settings - 1 degrees of freedom."""
    spread, centre = _jackknife(studies, 2)
    return centre, stdtrit(studies.shape[2] - 1, 0.975) * spread


def bound_both_ways(studies: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Jackknives over settings and over draws, their variances added; Student's with the lesser degrees of freedom."""
    (by_setting, centre), (by_draw, _) = _jackknife(studies, 2), _jackknife(studies, 1)
    return centre, stdtrit(min(studies.shape[1:3]) - 1, 0.975) * np.hypot(by_setting, by_draw)


def _jackknife(studies: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    size = studies.shape[axis]
    left = [measure_differences(np.delete(studies, n, axis)).mean(1) for n in range(size)]
    return np.std(left, 0) * math.sqrt(size - 1), measure_differences(studies).mean(1)


def bound_by_bootstrap(studies: np.ndarray, rng: np.random.Generator, samples: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Percentiles over draws of settings, as the report's interval; of the mean over draws."""
    size, ends = studies.shape[2], []
    for study in studies:
        weights = rng.multinomial(size, [1 / size] * size, samples).astype(float)
        found = [resample_spearman(s[:, 1], s[:, 3], weights) - resample_spearman(s[:, 0], s[:, 3], weights) for s in study]
        ends.append(np.nanpercentile(np.mean(found, 0), [2.5, 97.5]))
    low, high = np.array(ends).T
    return (low + high) / 2, (high - low) / 2


def count_hours(settings: int, draws: int, seeds: int, problems: int) -> float:
    """Returns the hours that a study takes on two cores, with the base model of each draw."""
    measured = PREDICTORS * problems / 64
    return draws * (settings * seeds * (CANDIDATE + measured + VALIDATION) + measured) / 2 / 3600


def count_taken(settings: int) -> int:
    """Returns how many settings 30% of the cost of RL for all buys, with 7% for the predictors."""
    return int(0.23 * settings)


def find_components(parts: Components, settings: int, rng: np.random.Generator) -> Components:
    """Returns components with which the best by Pass@64 at 30% of the cost lose less than those by SFT Pass@1, by 0.02."""
    low, high = -0.1, 1.7
    for _ in range(12):
        middle = (low + high) / 2
        found = set_difference(parts, middle)
        gain = _measure_gains(simulate(rng, found, 4000, settings, 1, 1, 64, True)).mean()
        low, high = (low, middle) if gain > REGRET else (middle, high)
    return found


def _measure_gains(studies: np.ndarray) -> np.ndarray:
    """Returns how much less the best by Pass@64 lose than the best by SFT Pass@1, at 30% of the cost, in each draw."""
    take = count_taken(studies.shape[2])
    return measure_regrets(studies, 0, take) - measure_regrets(studies, 1, take)


def print_coverage(parts: Components, rng: np.random.Generator) -> None:
    """Prints how often intervals contain the mean difference in new draws of new settings, in percent."""
    print("Coverage of 95% intervals of the difference of correlations, in percent, one seed, 64 problems:\n")
    print("| settings | draws | own settings in each draw: Student over draws | the same in all: Student over draws", end="")
    print(" | jackknife over settings | both ways | bootstrap over settings | regret: Student | as a share |")
    print("|" + "---:|" * 9)
    for settings, draws in ((11, 2), (11, 4), (11, 8), (11, 12), (8, 12), (15, 8), (30, 4), (7, 10)):
        truth = measure_differences(simulate(rng, parts, 60_000, settings, 1, 1, 64, True)).mean()
        cells = [
            _cover(bound_by_draws(measure_differences(simulate(rng, parts, SIMULATIONS, settings, draws, 1, 64, True))), truth)
        ]
        studies = simulate(rng, parts, SIMULATIONS, settings, draws, 1, 64, True)
        regrets = measure_regrets(studies, 1, count_taken(settings))
        most = np.ptp(studies[..., 3], -1).max(-1)  # as `rlready policies` does: as a share of the greatest spread of a draw
        low, high = estimate_intervals((regrets / most[:, None]).T)
        same = simulate(rng, parts, 1000, settings, draws, 1, 64, False)
        found = bound_by_draws(measure_differences(same)), bound_by_settings(same), bound_both_ways(same)
        cells += [_cover(interval, truth) for interval in (*found, bound_by_bootstrap(same[:250], rng))]
        cells.append(_cover(bound_by_draws(regrets), regrets.mean()))
        cells.append(_cover(((low + high) / 2 * most, (high - low) / 2 * most), regrets.mean()))
        print(f"| {settings} | {draws} | " + " | ".join(f"{100 * cell:.1f}" for cell in cells) + " |")


def print_power(parts: Components, rng: np.random.Generator) -> None:
    """Prints how often each design detects both differences, in percent, and what it takes."""
    print(
        "\nPower in percent at 0.05, and at the first of Holm's levels; each draw has its own settings, and one of another"
        " subset, which counts in the hours. Last: the difference of regret that is detected with 90%, at 0.05.\n"
    )
    print("| settings | draws | seeds | problems | hours | Spearman 0.4 | Holm | regret 0.02 | Holm | regret detected |")
    print("|" + "---:|" * 10)
    for settings, draws, (seeds, problems) in itertools.product((7, 9, 11), (4, 6, 8, 10, 12), ((1, 64), (1, 128), (2, 64))):
        size = SIMULATIONS, settings, draws, seeds, problems, True
        differences = measure_differences(simulate(rng, set_difference(parts, DIFFERENCE), *size))
        gains = _measure_gains(simulate(rng, find_components(parts, settings, rng), *size))
        cells = [
            float((centre > half).mean())
            for values in (differences, gains)
            for centre, half in (bound_by_draws(values, 1 - 0.05 / tests) for tests in (1, HYPOTHESES))
        ]
        centre, half = bound_by_draws(gains)
        detected = float(np.quantile(half - centre + gains.mean(), 0.9))
        shown = " | ".join(f"{100 * cell:.0f}" for cell in cells)
        hours = count_hours(settings + 1, draws, seeds, problems)
        print(f"| {settings} | {draws} | {seeds} | {problems} | {hours:.1f} | {shown} | {detected:.3f} |", flush=True)


def _cover(interval: tuple[np.ndarray, np.ndarray], truth: float) -> float:
    return float((np.abs(interval[0] - truth) <= interval[1]).mean())


def main() -> None:
    """Prints the tables of the protocol."""
    parts, rng = estimate(), np.random.default_rng(0)
    for name, covariance in zip(("setting", "draw", "seed"), parts, strict=True):
        print(
            f"deviation by {name}: "
            + ", ".join(f"{n} {s:.3f}" for n, s in zip(NAMES, np.sqrt(np.diag(covariance)), strict=True))
        )
    print()
    print_coverage(parts, rng)
    print_power(parts, rng)


if __name__ == "__main__":
    sys.exit(main())
