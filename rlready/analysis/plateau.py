"""Whether RL plateaued, by its rewards; and on the way, how predictors ranked the candidates, and how validation did."""

import itertools
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from rlready.analysis.comparison import Row, group_settings
from rlready.analysis.format import name_some
from rlready.analysis.pool import Pool, Probe
from rlready.analysis.predictor import Predictor, pick_main, score_settings, select_finished
from rlready.stats.correlation import resample_spearman, spearman
from rlready.stats.intervals import LEVEL, bootstrap
from rlready.stats.plateau import Rise, add_rises, is_known, measure_rise

LEAST_SETTINGS = 4  # to rank
SETTLED = 0.9  # rank correlation of validation with the result
PARTS, WINDOW = 20, 0.125  # points of a trace, and the share of the steps before each that its rewards are of


@dataclass(frozen=True)
class Plateau:
    """Whether the rewards had plateaued when RL ended."""

    rises: dict[str, Rise]  # the gain of each candidate with enough rewards, by name
    all: Rise  # the gain of all of them together
    alone: list[str]  # names of those that surely rose by themselves, with Bonferroni's correction for their number

    @property
    def rising(self) -> bool:
        """Whether RL still rose, of all candidates together or of one by itself."""
        return self.all.rising or bool(self.alone)

    @property
    def said(self) -> str:
        """One sentence; empty if nothing is known."""
        if not self.rises:
            return ""
        found, share = self.all, "the reward did not increase overall"
        if found.share is not None:
            late, low, high = (100 * value / found.gain for value in (found.late, found.low, found.high))
            share = f"{late:z.0f}% [{low:z.0f}%, {high:z.0f}%] of the total reward gain came in the last quarter of training"
        if self.rising:
            few = "" if found.rising else f"; the reward of {name_some(self.alone)} clearly still rose"
            return f"RL had not converged, so more steps (rl_steps) may change the ranking: {share}{few}."
        return f"RL plateaued: {share}." if found.level else f"RL may not have converged: {share}."

    def list_tags(self) -> dict[str, str]:
        """Returns the sentence as MLflow's tag."""
        return {"rl.plateau": self.said} if self.rises else {}

    def list_figures(self) -> dict[str, float]:
        """Returns the share of the gain that came in the last quarter as MLflow's metric."""
        share = self.all.share if self.rises else None
        return {} if share is None else {"rl/gain_share_of_last_quarter": share}


def look_for_plateau(rows: list[Row]) -> Plateau:
    """Returns whether RL plateaued, from the candidates that it ran for to its end with a signal.

    Candidates of one seed get the same problems at every step, so their rewards rise and fall together (correlation 0.7
    in the miniature): what all of them gained scatters as the sum of their rewards does. Seeds scatter independently.
    """
    trained = [row for row in rows if row.rewards and not row.stopped and not row.dropped]
    rewards = {row.name: [pair for pair in row.rewards if is_known(pair)] for row in trained}
    rises = {name: rise for name, series in rewards.items() if (rise := measure_rise(series))}
    together: dict[tuple, list[list]] = {}
    for row in trained:
        if row.name in rises:
            steps = tuple(step for step, _ in rewards[row.name])
            together.setdefault((row.candidate.seed, steps), []).append([reward for _, reward in rewards[row.name]])
    series = [list(zip(steps, np.sum(found, 0).tolist(), strict=True)) for (_, steps), found in together.items()]
    sums = [rise for one in series if (rise := measure_rise(one))]
    corrected = 1 - (1 - LEVEL) / max(1, len(rises))
    alone = [name for name in rises if (rise := measure_rise(rewards[name], corrected)) and rise.rising]
    return Plateau(rises, add_rises(sums), alone)


def trace_ranking(rows: list[Row], predictor: Predictor) -> list[tuple[float, float]]:
    """Returns (share of the steps, Spearman of a predictor with what RL had reached), over settings, means over their seeds.

    That is Pass@1 in validation if all candidates were validated at common steps, else the reward so far. The last point, at 1,
    is with Pass@1 after RL. Where it is undefined there is no point.
    """
    finished = select_finished(rows, predictor)
    steps = list_common_steps(finished)
    settings = group_settings(finished if steps else [row for row in finished if measure_rise(row.rewards)])
    if len(settings) < LEAST_SETTINGS:
        return []
    values = score_settings(settings, predictor)
    predicted = [] if values is None else values.tolist()
    if steps:
        places = [*(step / max(row.validated[-1][0] for row in finished) for step in steps), 1.0]
        found = {row.name: {step: value for step, value in row.validated} for row in finished}
        reached = [[fmean(found[row.name][step] for row in setting.rows) for setting in settings] for step in steps]
    else:
        ends = [part / PARTS for part in range(1, PARTS + 1)]
        reached = [[fmean(_average(row, end) for row in setting.rows) for setting in settings] for end in ends]
        # The last rewards are before the last step, so the score has a place of its own behind them.
        places = [*(end * (1 - WINDOW / 2) for end in ends), 1.0]
    scores = [fmean(setting.scores) for setting in settings]
    rhos = [spearman(predicted, values) if np.isfinite(values).all() else None for values in (*reached, scores)]
    return [(place, rho) for place, rho in zip(places, rhos, strict=True) if rho is not None]


def list_common_steps(rows: list[Row]) -> list[float]:
    """Returns the steps, at least two, at which all of these candidates were validated; none otherwise."""
    steps = set.intersection(*({step for step, _ in row.validated} for row in rows)) if rows else set()
    return sorted(steps) if len(steps) > 1 else []


def _average(row: Row, end: float) -> float:
    """Returns the mean reward up to a share of the steps, of an eighth of all steps; nan if none is known."""
    rewards = row.rewards
    last = end * rewards[-1][0]
    window = [r for step, r in rewards if r is not None and last - WINDOW * rewards[-1][0] < step <= last]
    return float(np.mean(window)) if window else float("nan")


def describe_settling(pool: Pool, probes: list[Probe]) -> list[str]:
    """Returns from which step a race would rank as the result does, and up to which it rewards the head start of SFT."""
    ranked = [(probe, rho) for probe in probes if (rho := spearman(probe.reached, pool.scores)) is not None]
    if pool.size < LEAST_SETTINGS or not ranked:
        return []
    unsettled = [number for number, (_, rho) in enumerate(ranked) if rho < SETTLED]
    after = ranked[unsettled[-1] + 1 :] if unsettled else ranked
    last, rho = ranked[-1]
    said = f"from step {after[0][0].step} on" if after else f"at no step up to {last.step}, where it is {rho:.2f}"
    settled = f"Validation ranks the settings as the result does (Spearman at least {SETTLED:g}) {said}."
    before = score_settings(pool.settings, pick_main(None).sft_pass_at_1)
    if before is None:
        return [settled]
    heads = [(probe, rho, head) for probe, rho in ranked if (head := spearman(probe.reached, before)) is not None]
    if not (led := [*itertools.takewhile(lambda one: one[2] > one[1], heads)]):
        return [settled]
    probe, rho, head = led[-1]
    interval = bootstrap(
        lambda drawn: resample_spearman(probe.reached, before, drawn) - resample_spearman(probe.reached, pool.scores, drawn),
        range(pool.size),
    )
    shown = f"{head - rho:+.2f}" + (f" [{interval[0]:+.2f}, {interval[1]:+.2f}]" if interval else "")
    sure, rewards = ("", "rewards") if interval and interval[0] > 0 else (", which may be chance", "may reward")
    return [
        settled,
        f"Up to step {probe.step} it ranks them more like SFT Pass@1 ({head:.2f}) than like the result ({rho:.2f}; difference"
        f" {shown}{sure}): a race that early {rewards} the head start of SFT.",
    ]
