"""What other ways to choose settings for RL would have cost and lost, if RL ran for all of them."""

import functools
import math
import statistics
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rlready.analysis.comparison import Interval, Row, Setting, group_settings, keep_known
from rlready.analysis.costs import measure_cost, measure_rl
from rlready.analysis.predictor import Predictor, pick_main, score_settings
from rlready.stats.intervals import bootstrap
from rlready.stats.ties import TIE

PROBE = 0.25  # share of RL's steps after which the better half goes on
AFFORDED, LOST = 0.4, 0.01  # good is what costs at most this share of RL for all, and loses at most this much Pass@1
FREE = ("", 0.0)  # on no device
ALL, GATE, HALVED = "RL for all", "The gate", f"RL for {100 * PROBE:.0f}% of the steps, the better half on"


@dataclass(frozen=True)
class Pool:
    """The settings that every policy chooses from, one number each: the mean over its seeds."""

    settings: list[Setting]  # the settings
    label: str  # what the report calls them
    priced: bool  # whether all costs are known, on one kind of device; else each RL counts 1, and what is measured before it 0
    scores: np.ndarray  # Post-RL Pass@1
    full: np.ndarray  # device-seconds of RL and benchmark
    rl: np.ndarray  # of RL alone
    measured: np.ndarray  # of the predictors
    base: float  # of the base model's predictors, once

    @property
    def size(self) -> int:
        """How many settings there are."""
        return len(self.settings)


@dataclass(frozen=True)
class Policy:
    """RL for the settings with the most of something; of settings that tie at the end some are drawn."""

    label: str  # what the report calls it
    value: np.ndarray  # what it goes by, one number a setting
    take: Callable[[np.ndarray], int]  # how many it takes of a draw of settings, which it gets by their numbers
    measures: bool = True  # whether it needs the predictors
    probes: bool = False  # whether it runs a part of RL for those that it does not take


@dataclass(frozen=True)
class Price:
    """What became of a policy."""

    label: str  # what the report calls the policy
    taken: int  # how many settings got RL to its end
    share: float  # what it cost, as a share of RL and benchmark for all
    regret: float | None  # how far the best that it took ended below the best of all, in expectation; None if it took none
    interval: Interval | None  # the regret's 95% interval over settings, from `bound_regret`


def find_pools(rows: list[Row], base: Row) -> list[Pool]:
    """Returns the settings that finished RL, and the random subsets among them; none unless RL ran for all.

    Losses are comparable among random subsets only, so policies that go by them choose from those. Candidates that failed
    are left out: no policy would have known.
    """
    alive = [row for row in rows if not row.failure]
    if not alive or any(row.score is None for row in alive):
        return []
    pools = [make_pool(group_settings(alive), base, "settings")]
    random = [row for row in alive if row.candidate.compares_loss]
    if len(random) < len(alive):
        pools.append(make_pool(group_settings(random), base, "random subsets"))
    return [pool for pool in pools if pool.size > 1]


def make_pool(settings: list[Setting], base: Row, label: str) -> Pool:
    """Returns the settings with what each costs and comes to, all of whose candidates have finished RL."""
    members = [row for setting in settings for row in setting.rows]
    # What candidates without SFT share with the base model is measured once.
    records = [None if row.outcome.predictors == base.outcome.predictors else row.outcome.predictors for row in members]
    costs = [
        [*measure_rl(row), FREE][:2] + [measure_cost(record) if record else FREE]
        for row, record in zip(members, records, strict=True)
    ]
    shared = measure_cost(base.outcome.predictors)
    everything = [shared, *(cost for parts in costs for cost in parts)]
    priced = None not in everything and len({cost[0] for cost in everything if cost and cost[1]}) == 1
    by_row = {
        row.name: tuple(cost[1] if cost else 0.0 for cost in parts) if priced else (1.0, 0.0, 0.0)
        for row, parts in zip(members, costs, strict=True)
    }
    rl, benchmark, measured = (
        np.array([statistics.fmean(by_row[row.name][part] for row in setting.rows) for setting in settings])
        for part in range(3)
    )
    scores = np.array([statistics.fmean(setting.scores) for setting in settings])
    return Pool(settings, label, priced, scores, rl + benchmark, rl, measured, shared[1] if shared and priced else 0.0)


def list_policies(pool: Pool, k: int | None) -> list[Policy]:
    """Returns the policies to compare: as many by each predictor, and at random, as the gate took, or a third."""
    everyone, gate, probe = _run_for_all(pool), find_gate(pool), _find_probe(pool)
    most = gate.take(np.arange(pool.size)) if gate else 0
    most = most or max(1, round(pool.size / 3))
    ranked = [rank_by(pool, predictor, most) for predictor in pick_main(k)]
    drawn = Policy(f"{most} at random", np.zeros(pool.size), lambda draw: most, measures=False)
    return [policy for policy in (everyone, gate, *ranked, probe, drawn) if policy]


def _run_for_all(pool: Pool) -> Policy:
    return Policy(ALL, np.zeros(pool.size), len, measures=False)


def find_gate(pool: Pool) -> Policy | None:
    """Returns the gate as a policy: a setting is approved where at least half of its seeds are; None if it did not judge."""
    verdicts = [[row.verdict for row in setting.rows] for setting in pool.settings]
    if any(verdict.mode == "off" or not verdict.decision for of_setting in verdicts for verdict in of_setting):
        return None
    approved = np.array([2 * sum(v.decision == "approved" for v in held) >= len(held) for held in verdicts], dtype=float)
    return Policy(GATE, approved, lambda draw: int(approved[draw].sum()))


def rank_by(pool: Pool, predictor: Predictor, most: int) -> Policy | None:
    """Returns RL for the best settings by a predictor; None if it cannot be measured on all of them."""
    means = score_settings(pool.settings, predictor)
    return None if means is None else Policy(f"Best {most} by {predictor.short}", means, lambda draw: most)


def _find_probe(pool: Pool) -> Policy | None:
    """Returns RL for a part of the steps, and to its end for the better half by validation or else the reward then."""
    members = [row for setting in pool.settings for row in setting.rows]
    steps = [row.outcome.rl.steps for row in members if row.outcome.rl and row.outcome.rl.steps]
    end = PROBE * max(steps, default=0)
    validated = all(any(end / 2 < step <= end for step, _ in row.validated) for row in members)
    means = [
        setting.average(lambda row: _average_late(row.validated if validated else row.rewards, end))
        for setting in pool.settings
    ]
    if not end or None in means:
        return None
    return Policy(HALVED, np.array(means, dtype=float), lambda draw: math.ceil(len(draw) / 2), measures=False, probes=True)


def _average_late(series: Sequence[Sequence[float | None]], end: float) -> float | None:
    """Returns the mean of the second half of the steps up to `end`, whose single steps are noisy."""
    known = [(step, reward) for step, reward in keep_known(series) if step <= end]
    late = [reward for step, reward in known if step > end / 2]
    return statistics.fmean(late or [reward for _, reward in known[-1:]]) if known else None


def price(policy: Policy, pool: Pool) -> Price:
    """Returns what a policy would have cost and lost, with an interval that draws whole settings with their seeds."""
    everyone = np.arange(pool.size)
    share, regret = _apply(policy, pool, everyone)

    def lose(weights: np.ndarray) -> np.ndarray:
        return np.array([_apply(policy, pool, np.repeat(everyone, times.astype(int)))[1] for times in weights])

    interval = None if math.isnan(regret) else bound_regret(lose, range(pool.size))
    taken = min(policy.take(everyone), pool.size)
    return Price(policy.label, taken, share, None if math.isnan(regret) else regret, interval)


def bound_regret(lose: Callable[[np.ndarray], np.ndarray], clusters: Sequence[Hashable]) -> Interval | None:
    """Returns the 95% interval of a regret over settings; None with fewer than 8, or if hardly any draw of them loses.

    Draws that lose nothing cannot show what other settings would: an interval of 0 alone covers the truth too seldom.

    Args:
        lose: Takes how often each point is in a draw, draws x points, and returns the regret of each draw.
        clusters: The setting of each point.
    """
    found = bootstrap(lose, clusters)
    return found if found and found[1] > TIE else None


def trace(pool: Pool, predictor: Predictor | None) -> list[tuple[float, float]]:
    """Returns (share, regret) of RL for the best 1, 2, ... settings by a predictor, or of as many at random; or nothing."""
    points = []
    for most in range(1, pool.size + 1):
        drawn = Policy("", np.zeros(pool.size), functools.partial(_take, most), measures=False)
        policy = drawn if predictor is None else rank_by(pool, predictor, most)
        if policy is None:
            return []
        points.append(_apply(policy, pool, np.arange(pool.size)))
    return points


def pick_cheap(pool: Pool, k: int | None) -> list[tuple[Predictor, int]]:
    """Returns the main predictors whose best few settings lose little at a small part of the cost, and how few suffice."""
    traced = [(predictor, enumerate(trace(pool, predictor), 1)) for predictor in pick_main(k)]
    enough = [(p, next((most for most, (cost, lost) in ends if cost <= AFFORDED and lost <= LOST), 0)) for p, ends in traced]
    return [(predictor, most) for predictor, most in enough if most]


def name_cost(pool: Pool) -> str:
    """Returns what the shares of a pool are of."""
    return "cost" if pool.priced else "runs"


def _take(most: int, draw: np.ndarray) -> int:
    return most


def _apply(policy: Policy, pool: Pool, draw: np.ndarray) -> tuple[float, float]:
    """Returns (share of the cost, regret) of a policy on a draw of settings; the regret is nan if it takes none."""
    scores, full = pool.scores[draw], pool.full[draw]
    taken = take_best(policy.value[draw], min(policy.take(draw), len(draw)))
    cost = (taken.chance * full).sum()
    if policy.measures:
        cost += pool.measured[draw].sum() + pool.base
    if policy.probes:
        cost += ((1 - taken.chance) * PROBE * pool.rl[draw]).sum()
    return float(cost / full.sum()), measure_regret(scores, taken)


class Taken(NamedTuple):
    """Which settings a policy takes: those that are sure, and this many drawn from those that tie for the last places."""

    sure: np.ndarray
    tied: np.ndarray
    slots: int

    @property
    def chance(self) -> np.ndarray:
        """With which each setting is taken."""
        return self.sure + self.tied * (self.slots / max(1, self.tied.sum()))


def take_best(values: np.ndarray, take: int) -> Taken:
    """Takes this many settings with the highest values."""
    last = np.sort(values)[::-1][take - 1] if take else np.inf
    sure = values > last + TIE
    return Taken(sure, np.abs(values - last) <= TIE, take - int(sure.sum()))


def measure_regret(scores: np.ndarray, taken: Taken) -> float:
    """Returns how far the best setting taken is below the best of all, in expectation; nan if none is taken."""
    if not (taken.slots or taken.sure.any()):
        return math.nan
    lost = float(scores.max()) - expect_best(scores[taken.sure], scores[taken.tied], taken.slots)
    return lost if lost > TIE else 0.0


def expect_best(sure: np.ndarray, drawn: np.ndarray, slots: int) -> float:
    """Returns the expected maximum of some scores and of `slots` others that are drawn without replacement; exact."""
    least = sure.max(initial=-np.inf)
    if not slots:
        return float(least)
    ways = math.comb(len(drawn), slots)
    # The i-th smallest is the greatest of those drawn if the others come from the i before it.
    return sum(
        max(score, least) * math.comb(before, slots - 1) / ways
        for before, score in enumerate(np.sort(drawn).tolist())
        if before >= slots - 1
    )
