"""The settings that policies choose from, if RL ran for all of them: their scores, their costs, and what a part of RL shows."""

import bisect
import dataclasses
import functools
import itertools
import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rlready.analysis.comparison import Row, Setting, group_settings
from rlready.analysis.costs import Cost, measure_cost, measure_rl
from rlready.analysis.format import count_of
from rlready.errors import InputError
from rlready.gate.race import Runner, find_runner, measure_race_lead
from rlready.records.outcome import ValidationPoint

FREE = ("", 0.0)  # on no device


@dataclass(frozen=True)
class Pool:
    """The settings that every policy chooses from, one number each: the mean over its seeds."""

    settings: list[Setting]  # the settings
    label: str  # what the report calls them
    priced: bool  # whether all costs are known, on one kind of device; else each RL counts 1, and what is measured before it 0
    scores: np.ndarray  # Post-RL Pass@1
    full: np.ndarray  # device-seconds of RL and benchmark, without validation
    rl: np.ndarray  # of RL alone
    measured: np.ndarray  # of the predictors
    base: float  # of the base model's predictors, once

    @property
    def size(self) -> int:
        """How many settings there are."""
        return len(self.settings)

    @property
    def steps(self) -> int:
        """How many steps the longest RL had."""
        return max((row.outcome.rl.steps or 0 for one in self.settings for row in one.rows if row.outcome.rl), default=0)


@dataclass(frozen=True)
class Probe:
    """RL up to a step at which all settings were validated on the same problems: what it costs, and how they stand there."""

    step: int  # of RL
    reached: np.ndarray  # Pass@1 of each setting in validation
    places: np.ndarray  # place of each setting in the race, from 0
    limits: np.ndarray  # [i, j]: in a race of up to how many i is clearly behind j
    cost: np.ndarray  # device-seconds of RL, and of all validations, until then
    checks: np.ndarray  # of these validations alone

    def keep(self, held: np.ndarray) -> "Probe":
        """Returns the probe of some of the settings."""
        parts = {name: getattr(self, name)[held] for name in ("reached", "places", "cost", "checks")}
        return dataclasses.replace(self, limits=self.limits[np.ix_(held, held)], **parts)


def average(settings: list[Setting], measure: Callable[[Row], float]) -> np.ndarray:
    """Returns the mean over the seeds of each setting."""
    return np.array([statistics.fmean(map(measure, setting.rows)) for setting in settings])


def find_pools(rows: list[Row], base: Row) -> list[Pool]:
    """Returns the settings that finished RL, and the random subsets among them; none unless RL ran for all (`explain_no_pool`).

    Losses are comparable among random subsets only, so policies that go by them choose from those. Candidates that failed
    are left out: no policy would have known.
    """
    alive = [row for row in rows if not row.lost]
    if any(row.score is None for row in alive):
        return []
    pools = [make_pool(group_settings(alive), base, "settings")]
    random = [row for row in alive if row.candidate.compares_loss]
    if len(random) < len(alive):
        pools.append(make_pool(group_settings(random), base, "random subsets"))
    return [pool for pool in pools if pool.size > 1]


def explain_no_pool(rows: list[Row]) -> str:
    """Returns why `find_pools` finds none."""
    if all(row.lost or row.score is not None for row in rows):
        return "fewer than two settings have a result"
    if any(row.dropped for row in rows):
        return "the race dropped candidates"
    return f"RL ran for {count_of(sum(row.score is not None for row in rows), len(rows), 'candidate')}"


def make_pool(settings: list[Setting], base: Row, label: str) -> Pool:
    """Returns the settings with what each costs and comes to, all of whose candidates have finished RL."""
    members = [row for setting in settings for row in setting.rows]
    costs: dict[str, list[Cost | None]] = {}
    for row in members:
        record = row.outcome.predictors
        # What candidates without SFT share with the base model is measured once.
        own = record is not None and record != base.outcome.predictors
        costs[row.name] = [*measure_rl(row), FREE][:2] + [measure_cost(record) if own else FREE]
    shared = measure_cost(base.outcome.predictors)
    everything = [shared, *itertools.chain(*costs.values())]
    priced = None not in everything and len({cost[0] for cost in everything if cost and cost[1]}) == 1
    # External RL may be recorded with a cost of 0, of which nothing is a share.
    priced = priced and all(any(cost and cost[1] for cost in parts[:2]) for parts in costs.values())

    def price_part(part: int) -> np.ndarray:
        return average(settings, lambda row: (costs[row.name][part] or FREE)[1] if priced else float(part == 0))

    rl, benchmark, measured = map(price_part, range(3))
    scores = np.array([statistics.fmean(setting.scores) for setting in settings])
    if priced:
        rl -= np.minimum(average(settings, price_checks), rl)
    return Pool(settings, label, priced, scores, rl + benchmark, rl, measured, shared[1] if shared and priced else 0.0)


def price_checks(row: Row, until: float = math.inf) -> float:
    """Returns the device-seconds of the validations of a candidate up to a step, which are part of RL's."""
    rl = row.outcome.rl
    if rl is None or rl.validation is None or not rl.validation.seconds or row.elsewhere:
        return 0.0
    share = sum(point.step <= until for point in rl.validation.points) / len(rl.validation.points)
    return share * rl.validation.seconds * (rl.devices or 1)


def find_probes(pool: Pool) -> list[Probe]:
    """Returns the steps before the end of RL at which all settings were validated on the same problems, in order."""
    rows = [row for setting in pool.settings for row in setting.rows]
    steps = {int(step) for row in rows for step, _ in row.validated}
    found = (_find_probe(pool, step) for step in sorted(steps) if 0 < step < pool.steps)
    return [probe for probe in found if probe]


def _find_probe(pool: Pool, step: int) -> Probe | None:
    """Returns what RL up to a step costs and shows; None if the settings cannot race there."""
    try:
        runners = [_merge_seeds(setting, step) for setting in pool.settings]
        limits = _measure_limits(runners)
    except InputError:
        return None
    order = sorted(range(pool.size), key=lambda number: (-runners[number].pass_at_1, pool.settings[number].rows[0].name))
    checks = average(pool.settings, lambda row: pool.priced and price_checks(row, step))
    share = average(pool.settings, lambda row: min(1.0, step / max(1, (row.outcome.rl and row.outcome.rl.steps) or 1)))
    reached = np.array([runner.pass_at_1 for runner in runners])
    return Probe(step, reached, np.argsort(order), limits, share * pool.rl + checks, checks)


def _merge_seeds(setting: Setting, step: int) -> Runner:
    """Returns a setting as one candidate that was validated with the samples of all of its seeds.

    Raises InputError if one of them was not validated then, or on other problems.
    """
    runners = [find_runner(row.outcome, step) for row in setting.rows]
    if any(runner.problem_ids != runners[0].problem_ids for runner in runners):
        raise InputError(f"{setting.name}: its seeds were validated on other problems")
    counts = ([getattr(runner.point, name) for runner in runners] for name in ("correct", "unknown"))
    correct, unknown = ([*map(sum, zip(*lists, strict=True))] for lists in counts)
    point = ValidationPoint(step, correct, unknown=unknown)
    return Runner(setting.name, point, runners[0].problem_ids, sum(runner.samples for runner in runners))


def _measure_limits(runners: list[Runner]) -> np.ndarray:
    """Returns in a race of up to how many each is clearly behind each other one; the more race, the wider the intervals."""
    size = len(runners)
    limits = np.zeros((size, size), dtype=int)

    def is_level(one: Runner, other: Runner, racing: int) -> bool:
        high = measure_race_lead(one, other, math.comb(racing, 2)).high
        return high is None or high >= 0

    for (i, one), (j, other) in itertools.permutations(enumerate(runners), 2):
        if one.pass_at_1 < other.pass_at_1:
            level = functools.partial(is_level, one, other)
            limits[i, j] = 1 + bisect.bisect_left(range(2, size + 1), True, key=level) if level(size) else size
    return limits
