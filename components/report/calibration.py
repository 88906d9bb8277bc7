"""Thresholds and a budget for the gate, learned from runs in which RL ran for all, and judged on settings left out."""

import dataclasses
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter

import numpy as np

from rlready.components.config import InputError
from rlready.components.core.estimators.intervals import MIN_POINTS, bootstrap, draw_clusters
from rlready.components.report.assemble import SweepResult
from rlready.components.report.comparison import Interval, Row, Setting, read_rows
from rlready.components.report.policies import Pool, bound_regret, find_pools, trace

TOLERATED = (
    0.0,
    0.005,
    0.01,
    0.02,
    0.05,
)  # expected regret in Pass@1 that a rule may have on the settings it is chosen on
DRAWS = 200  # draws of settings that a rule is tried on
MOST_THRESHOLDS = 8
BUDGETS = tuple(eighth / 8 for eighth in range(1, 8))  # shares of the candidates
RANKED = ("pass_at_k", "pass_at_1", "generalization_loss")


@dataclass(frozen=True)
class Rule:
    """What the gate would be set to.

    Attributes:
        lead: Least Pass@k over the base model's; -1 rejects nobody.
        rise: Greatest rise of the held-out loss, for random subsets; inf rejects nobody.
        budget: Share of the candidates that may go on to RL; 1: all.
        rank_by: What the budget goes by.
    """

    lead: float = -1.0
    rise: float = math.inf
    budget: float = 1.0
    rank_by: str = "pass_at_k"

    @property
    def parts(self) -> int:
        """How many of its parts can reject anybody."""
        return (self.lead > -1) + (self.rise < math.inf) + (self.budget < 1)

    def write_recipe(self, candidates: int) -> list[str]:
        """Returns the lines of a recipe's `parameters:`, for a sweep of so many candidates."""
        lines = ["gate_min_pass_at_k: 0", f"gate_min_pass_at_k_over_base: {self.lead:.3g}"]
        lines += ["gate_max_generalization_loss: 100"]
        lines += [f"gate_max_loss_rise: {'100' if self.rise == math.inf else f'{self.rise:.4g}'}"]
        if self.budget == 1:
            return [*lines, "gate_max_rl_runs: 0"]
        most = math.ceil(self.budget * candidates)
        return [
            *lines,
            f"gate_max_rl_runs: {most}  # {self.budget:g} of {candidates} candidates",
            f"gate_rank_by: {self.rank_by}",
        ]


@dataclass(frozen=True)
class Bench:
    """A run in which RL ran for all: one number a setting, the mean over its seeds, nan where it is missing.

    Attributes:
        pool: Scores and costs.
        names: Of the settings.
        random: Whether a setting is a random subset, whose rise counts.
        numbers: By name: lead, rise, and what a budget may rank by.
        floor: What is left where nobody is approved: the base model's score, or the lowest.
    """

    pool: Pool
    names: list[str]
    random: np.ndarray
    numbers: dict[str, np.ndarray]
    floor: float

    def keep(self, held: np.ndarray) -> "Bench":
        """Returns the run with these settings only."""
        parts = {name: getattr(self.pool, name)[held] for name in ("scores", "full", "rl", "measured")}
        settings = [setting for setting, stays in zip(self.pool.settings, held, strict=True) if stays]
        return dataclasses.replace(
            self,
            pool=dataclasses.replace(self.pool, settings=settings, **parts),
            names=[name for name, stays in zip(self.names, held, strict=True) if stays],
            random=self.random[held],
            numbers={name: values[held] for name, values in self.numbers.items()},
        )


@dataclass(frozen=True)
class Tradeoff:
    """A point of the frontier: what a tolerance leads to, each setting judged by a rule that was chosen without it.

    Attributes:
        tolerated: Expected regret that the rule may have on the settings it was chosen on.
        rule: Chosen on all settings: what to use.
        share: Cost as a share of RL for all, by rules chosen without the setting; mean over runs.
        share_interval: Its 95 % interval over settings.
        regret: Regret in the same way.
        regret_interval: Its 95 % interval.
        drawn: Regret of as much RL at random.
    """

    tolerated: float
    rule: Rule
    share: float
    share_interval: Interval | None
    regret: float
    regret_interval: Interval | None
    drawn: float


def set_up(sweep: SweepResult, name: str) -> Bench:
    """Returns what can be learned of a run.

    Args:
        sweep: Its outcomes.
        name: What messages call it.

    Raises:
        InputError: If RL did not run for all of its candidates, or their costs or the gate's numbers are missing.
    """
    rows, base, _ = read_rows(sweep)
    pools = find_pools(rows, base)
    if not pools:
        ran = sum(row.score is not None for row in rows)
        raise InputError(
            f"{name}: RL ran for {ran} of {len(rows)} candidates; what the gate gets wrong shows only where it ran for all:"
            " run it with gate_mode=audit"
        )
    pool = pools[0]
    if not pool.priced:
        raise InputError(f"{name}: not all costs were recorded, on one kind of device, so no budget can be weighed")
    # The gate's own figures: what it would rank and compare.
    figures = {"lead": "pass_at_k_over_base", "rise": "loss_rise"} | {name: name for name in RANKED}
    numbers = {name: _average(pool.settings, attrgetter(f"verdict.numbers.{part}")) for name, part in figures.items()}
    if np.isnan(numbers["lead"]).all():
        raise InputError(f"{name}: no candidate has a Pass@k over the base model's; another version measured it")
    random = np.array([setting.rows[0].candidate.subset == "random" for setting in pool.settings])
    floor = float(pool.scores.min()) if base.score is None else base.score
    return Bench(pool, [setting.name for setting in pool.settings], random, numbers, floor)


def _average(settings: list[Setting], measure: Callable[[Row], float | None]) -> np.ndarray:
    means = [setting.average(measure) for setting in settings]
    return np.array([math.nan if mean is None else mean for mean in means])


def calibrate(benches: list[Bench]) -> list[Tradeoff]:
    """Returns what each tolerance leads to.

    A setting is judged by the rule that was chosen on the others, in whichever run it stands: no result has a part in its
    own verdict. A rule is chosen by its expected cost and regret over draws of the settings, so that it does not hang on
    the best of them alone.

    Args:
        benches: Runs; a setting that stands in several is left out of all at once.

    Raises:
        InputError: If they have fewer than 8 settings.
    """
    names = list(dict.fromkeys(name for bench in benches for name in bench.names))
    if len(names) < MIN_POINTS:
        raise InputError(
            f"{len(names)} settings finished RL; thresholds need at least {MIN_POINTS} to be learned on some and judged on"
            " others: run a larger sweep with gate_mode=audit, or name several runs"
        )
    chosen = {}
    for left_out in names:
        kept = [bench.keep(np.array([name != left_out for name in bench.names])) for bench in benches]
        chosen[left_out] = _choose([bench for bench in kept if bench.names])
    return [
        _weigh(benches, {name: rules[tolerated] for name, rules in chosen.items()}, tolerated, rule)
        for tolerated, rule in _choose(benches).items()
    ]


def judge(rule: Rule, bench: Bench, drawn: np.ndarray | None = None) -> np.ndarray:
    """Returns how often each setting of a run gets RL by a rule: draws x settings; a number that is missing approves nobody.

    Args:
        rule: The rule.
        bench: The run.
        drawn: How often each setting stands in a draw, draws x settings; by default there is one draw, the run itself.
    """
    drawn = np.ones((1, len(bench.names))) if drawn is None else drawn
    passed = _pass(bench, np.array([rule.lead]), np.array([rule.rise]))
    return _spend(bench, passed, drawn, rule.budget, rule.rank_by)[:, 0]


def _choose(benches: list[Bench]) -> dict[float, Rule]:
    """Returns the cheapest rule whose expected regret is tolerated, by tolerance; where none is, the one that loses least.

    Of rules that cost the same the one with the fewest parts is taken.
    """
    leads = [-1.0, *_divide([bench.numbers["lead"] for bench in benches])]
    rises = [math.inf, *_divide([bench.numbers["rise"][bench.random] for bench in benches])]
    everywhere = all(bench.random.all() for bench in benches)  # else losses do not rank
    ranked = [name for name in RANKED if everywhere or name != "generalization_loss"]
    budgets = [(1.0, RANKED[0]), *itertools.product(BUDGETS, ranked)]
    rules = [
        Rule(lead, rise, budget, rank_by)
        for budget, rank_by in budgets
        for lead, rise in itertools.product(leads, rises)
    ]
    tried = np.array([_try(bench, leads, rises, budgets) for bench in benches]).mean(0)  # (2, rules)
    shares, regrets = np.round(tried, 9)
    found = {}
    for tolerated in TOLERATED:
        held = [number for number in range(len(rules)) if regrets[number] <= tolerated]
        if held:
            best = min(held, key=lambda number: (shares[number], rules[number].parts, regrets[number]))
        else:
            best = min(range(len(rules)), key=lambda number: (regrets[number], shares[number], rules[number].parts))
        found[tolerated] = rules[best]
    return found


def _divide(values: list[np.ndarray]) -> np.ndarray:
    """Returns thresholds halfway between neighbouring values, some where there are many."""
    known = np.unique(np.concatenate(values))
    known = known[np.isfinite(known)]
    middle = (known[1:] + known[:-1]) / 2
    if len(middle) <= MOST_THRESHOLDS:
        return middle
    return middle[np.linspace(0, len(middle) - 1, MOST_THRESHOLDS).round().astype(int)]


def _try(bench: Bench, leads: list[float], rises: list[float], budgets: list[tuple[float, str]]) -> np.ndarray:
    """Returns the expected cost and regret of every rule, over draws of a run's settings: 2 x rules."""
    drawn, pool = draw_clusters(range(len(bench.names)), DRAWS), bench.pool
    passed = _pass(bench, *map(np.ravel, np.meshgrid(leads, rises, indexing="ij")))
    full = drawn @ pool.full
    measured = drawn @ pool.measured + pool.base
    best = np.where(drawn > 0, pool.scores, -np.inf).max(1)
    found = []
    for budget, rank_by in budgets:
        taken = _spend(bench, passed, drawn, budget, rank_by)  # (draws, thresholds, settings)
        share = (taken @ pool.full + measured[:, None]) / full[:, None]
        reached = np.where(taken > 0, pool.scores, -np.inf).max(2)
        regret = best[:, None] - np.where(np.isfinite(reached), reached, bench.floor)
        found.append([share.mean(0), regret.mean(0)])
    return np.concatenate(found, axis=1)


def _pass(bench: Bench, leads: np.ndarray, rises: np.ndarray) -> np.ndarray:
    """Returns which settings hold the thresholds: thresholds x settings. What the gate needs must be there, as for the gate.

    The rise is compared for random subsets only.
    """
    lead, rise = bench.numbers["lead"], bench.numbers["rise"]
    known = np.isfinite([lead, rise, bench.numbers["generalization_loss"]]).all(0)
    return known & (lead >= leads[:, None]) & (~bench.random | (rise <= rises[:, None]))


def _spend(bench: Bench, passed: np.ndarray, drawn: np.ndarray, budget: float, rank_by: str) -> np.ndarray:
    """Returns how often each setting gets RL: draws x thresholds x settings.

    Args:
        bench: The run.
        passed: Which settings hold the thresholds.
        drawn: How often each setting stands in a draw.
        budget: Share of the draw that may get RL; the best first, and the lower loss where they tie.
        rank_by: What is best.
    """
    wanted = drawn[:, None, :] * passed
    if budget == 1:
        return wanted
    sign = 1 if rank_by == "generalization_loss" else -1
    order = np.lexsort((bench.numbers["generalization_loss"], sign * bench.numbers[rank_by]))
    most = np.ceil(budget * drawn.sum(1))[:, None, None]
    ahead = np.cumsum(wanted[..., order], axis=-1) - wanted[..., order]
    taken = np.empty_like(wanted)
    taken[..., order] = np.clip(most - ahead, 0, wanted[..., order])
    return taken


def _weigh(benches: list[Bench], rules: dict[str, Rule], tolerated: float, rule: Rule) -> Tradeoff:
    """Returns cost and regret where each setting is judged by its own rule, by its name; means over runs."""
    sizes = [len(bench.names) for bench in benches]
    ends = np.cumsum(sizes)[:-1]

    def look(weights: np.ndarray) -> np.ndarray:
        """Returns (share, regret) of each draw: draws x 2."""
        found = []
        for bench, drawn in zip(benches, np.split(weights, ends, axis=1), strict=True):
            scores = bench.pool.scores
            columns = [judge(rules[name], bench, drawn)[:, place] for place, name in enumerate(bench.names)]
            taken = np.stack(columns, axis=1)
            full = drawn @ bench.pool.full
            cost = taken @ bench.pool.full + drawn @ bench.pool.measured + bench.pool.base
            best, reached = (np.where(held > 0, scores, -np.inf).max(1) for held in (drawn, taken))
            regret = best - np.where(np.isfinite(reached), reached, bench.floor)
            there = full > 0
            found.append(np.where(there[:, None], np.stack([cost / np.where(there, full, 1), regret], 1), np.nan))
        return np.nanmean(found, axis=0)

    clusters = [name for bench in benches for name in bench.names]
    share, regret = look(np.ones((1, len(clusters))))[0]
    drawn = float(np.mean([_draw(bench.pool, share) for bench in benches]))
    cheap, safe = (lambda weights, part=part: look(weights)[:, part] for part in (0, 1))
    intervals = bootstrap(cheap, clusters), bound_regret(safe, clusters)
    return Tradeoff(tolerated, rule, float(share), intervals[0], float(regret), intervals[1], drawn)


def _draw(pool: Pool, share: float) -> float:
    """Returns the regret of RL for settings at random that costs as much; in between two numbers of them, on a line."""
    return float(np.interp(share, *zip(*trace(pool, None), strict=True)))
