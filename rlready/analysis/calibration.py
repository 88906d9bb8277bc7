"""Calibration: thresholds and a budget for the gate, learned from runs with RL for all and judged on what was left out."""

import dataclasses
import itertools
import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from rlready.analysis.comparison import Interval, Setting, read_rows
from rlready.analysis.policies import draw_some, trace
from rlready.analysis.pool import Pool, find_pools, make_pool
from rlready.analysis.sweep_result import SweepResult
from rlready.config import Gate
from rlready.errors import InputError
from rlready.gate.lead import list_pass_at_k
from rlready.gate.thresholds import LEAD, RISE, compare, list_checks
from rlready.records.outcome import PredictorsRecord
from rlready.stats.intervals import LEVEL, MIN_POINTS, draw_clusters
from rlready.stats.ties import TIE, count_share, number_levels, order_best, reaches

TOLERATED = (0.0, 0.005, 0.01, 0.02, 0.05)  # expected regret in Pass@1 on the settings that a rule is chosen on
DRAWS = 100  # resamplings of the settings that a rule is tried on
PARTITIONS = 24  # of the settings into thirds, each judged by rules learned on the others
MOST_THRESHOLDS = 8
BUDGETS = tuple(eighth / 8 for eighth in range(1, 8))  # shares of the candidates
RANKED = ("pass_at_k", "pass_at_1", "generalization_loss")
MOST_RISE = 100.0  # rejects none


@dataclass(frozen=True)
class Rule:
    """Thresholds and budget for the gate."""

    lead: float = -1.0  # minimum Pass@k over the base model's; -1 rejects none
    rise: float = MOST_RISE  # maximum rise of the held-out loss, if it is compared; 100 rejects none
    budget: float = 1.0  # maximum share of the candidates that get RL
    rank_by: str = "pass_at_k"  # what the budget ranks by

    @property
    def parts(self) -> int:
        """How many of its parts can reject a candidate."""
        return (self.lead > -1) + (self.rise < MOST_RISE) + (self.budget < 1)

    def set_gate(self, candidates: int) -> dict[str, float | int | str]:
        """Returns the gate's parameters, for a sweep of this many candidates."""
        most = 0 if self.budget == 1 else int(count_share(self.budget, candidates))
        limits: dict[str, float | int | str] = {
            "min_pass_at_k": 0,
            "min_pass_at_k_over_base": self.lead,
            "max_generalization_loss": 100,
        }
        limits |= {"max_loss_rise": min(self.rise, MOST_RISE), "max_rl_runs": most}
        return limits | ({"rank_by": self.rank_by} if most else {})

    def write_recipe(self, candidates: int) -> list[str]:
        """Returns the lines of a recipe's `parameters:`, in all digits, for a sweep of this many candidates."""
        lines = []
        for name, value in self.set_gate(candidates).items():
            shown = value if isinstance(value, str) else np.format_float_positional(value, trim="-")
            of = f"  # {self.budget:g} of {candidates} candidates" if name == "max_rl_runs" and value else ""
            lines.append(f"gate_{name}: {shown}{of}")
        return lines


@dataclass(frozen=True)
class CalibrationRun:
    """A run with RL for all: its candidates, each with the mean score of its setting."""

    pool: Pool  # scores and costs of the candidates
    names: list[str]  # their settings
    passes: np.ndarray  # whether the gate approves them without the learned thresholds
    # lead, rise and what a budget ranks by; lead and rise pass every threshold if the gate does not compare them
    numbers: dict[str, np.ndarray]
    # those of the numbers that are means over problems, per problem: candidates x problems; empty without counts
    problems: dict[str, np.ndarray]
    groups: Sequence[Hashable]  # the group of each problem
    floor: float  # the score if none is approved: the base model's, or the lowest

    def redraw(self, seed: int) -> "CalibrationRun":
        """Returns the run as if measured on other problems: its own, resampled by group."""
        drawn = draw_clusters(self.groups, 1, seed)[0] if self.problems else np.ones(1)
        means = {name: values @ drawn / drawn.sum() for name, values in self.problems.items()}
        return dataclasses.replace(self, numbers=self.numbers | means)

    def keep(self, held: np.ndarray) -> "CalibrationRun":
        """Returns the run with these candidates only."""
        parts = {name: getattr(self.pool, name)[held] for name in ("scores", "full", "rl", "measured")}
        settings = list(itertools.compress(self.pool.settings, held))
        return dataclasses.replace(
            self,
            pool=dataclasses.replace(self.pool, settings=settings, **parts),
            names=list(itertools.compress(self.names, held)),
            passes=self.passes[held],
            numbers={name: values[held] for name, values in self.numbers.items()},
            problems={},  # only whole runs are redrawn
        )


@dataclass(frozen=True)
class FrontierPoint:
    """What a tolerance leads to, as the mean of trials on settings that had no part in the choice."""

    tolerated: float  # maximum expected regret of the rule on the settings it was chosen on
    rule: Rule  # the rule to use, chosen on all settings
    share: float  # cost as a share of RL for all
    share_interval: Interval | None  # its range over 95% of the trials
    regret: float  # how far the best candidate with RL ended below the best of all
    regret_interval: Interval | None  # its range over 95% of the trials; None if hardly any trial had a regret
    drawn: float  # regret of RL at random for the same cost, by linear interpolation


def set_up(sweep: SweepResult, name: str) -> CalibrationRun:
    """Returns a run with its candidates as the gate of its recipe would judge them.

    Raises InputError if RL did not run for all of its candidates, or their costs or the gate's numbers are missing.
    """
    rows, base, k = read_rows(sweep)
    pools = find_pools(rows, base)
    if not pools:
        ran = sum(row.score is not None for row in rows)
        raise InputError(
            f"{name}: RL ran for {ran} of {len(rows)} candidates; calibration needs it for all: run it with gate_mode=audit"
        )
    pool = pools[0]
    if not pool.priced:
        raise InputError(f"{name}: not all costs were recorded on one kind of device, so no budget can be chosen")
    floor = float(pool.scores.min()) if base.score is None else base.score
    members = [Setting(setting.name, [row]) for setting in pool.settings for row in setting.rows]
    scores = np.repeat(pool.scores, [len(setting.rows) for setting in pool.settings])
    given = {item.name: sweep.parameters.get(f"gate_{item.name}") for item in dataclasses.fields(Gate)}
    settings = {key: value for key, value in given.items() if value is not None} | {"k": k, "mode": "enforce"}
    gate = Gate(**settings | Rule().set_gate(len(members)))
    passes, judged = [], []
    for member in members:
        outcome = member.rows[0].outcome
        verdict = compare(outcome, sweep.baseline, gate)
        checks = {check.name: check.value for check in list_checks(outcome, sweep.baseline, verdict.numbers, gate)}
        passes.append(verdict.decision == "approved")
        ranked = [getattr(verdict.numbers, by) for by in RANKED]
        judged.append([checks.get(f"Pass@{k}{LEAD}", math.inf), checks.get(RISE, -math.inf), *ranked])
    numbers = dict(zip(("lead", "rise", *RANKED), np.array(judged, dtype=float).T, strict=True))
    if np.isnan(numbers["lead"]).all():
        raise InputError(f"{name}: no candidate has a Pass@k over the base model's; an older version measured it")
    if not any(passes):
        raise InputError(f"{name}: the gate approves none of {len(members)}, whatever its thresholds: {verdict.reason}")
    by_candidate = dataclasses.replace(make_pool(members, base, pool.label), scores=scores)
    measured = [row.outcome.predictors or PredictorsRecord() for member in members for row in member.rows]
    base_predictors = (sweep.baseline.predictors or PredictorsRecord()) if sweep.baseline else None
    problems = _list_problems(measured, base_predictors, k)
    groups = measured[0].groups or range(len(measured[0].correct))
    return CalibrationRun(by_candidate, [member.name for member in members], np.array(passes), numbers, problems, groups, floor)


def _list_problems(measured: list[PredictorsRecord], base: PredictorsRecord | None, k: int | None) -> dict[str, np.ndarray]:
    """Returns Pass@k, Pass@1 and lead of every problem; nothing if counts are missing."""
    records, count = [*measured, *([base] if base else [])], len(measured)
    curves = [[values for one in records if (values := list_pass_at_k(one, size)) is not None] for size in (k, 1)]
    if len(curves[0]) < len(records) or len({*map(len, curves[0])}) > 1:
        return {}
    at_k, at_1 = map(np.array, curves)
    return {"pass_at_k": at_k[:count], "pass_at_1": at_1[:count]} | ({"lead": at_k[:count] - at_k[count]} if base else {})


def calibrate(benches: list[CalibrationRun]) -> list[FrontierPoint]:
    """Returns what each tolerance leads to.

    A rule is chosen by its expected cost and regret over resampled settings, so that it does not depend on the best one alone.
    What to expect of it comes from trials: each third of a run's settings is judged by a rule chosen in the same way on the
    other two thirds (with several runs: on the other runs), as if the run had been measured on other problems. So no result
    has a part in its own verdict, and the trials vary by settings, problems, runs and learned rules.

    Args:
        benches: The runs; a setting that is in several is left out of all at once.

    Raises:
        InputError: If they have fewer than 8 settings.
    """
    names = list(dict.fromkeys(name for bench in benches for name in bench.names))
    if len(names) < MIN_POINTS:
        raise InputError(
            f"{len(names)} settings finished RL; thresholds need at least {MIN_POINTS}, to be learned on some and judged on"
            " others: run a larger sweep with gate_mode=audit, or name several runs"
        )
    trials = [trial for number in range(PARTITIONS) if (trial := _try_out(benches, names, number)) is not None]
    found, frontier = np.stack(trials), []  # (partitions, tolerances, share or regret, draws)
    for place, (tolerated, rule) in enumerate(_choose(benches).items()):
        share, regret = found[:, place, :, 0].mean(0).tolist()
        ends = np.quantile(found[:, place, :, 1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=(0, 2)).T.tolist()
        sure = tuple(ends[1]) if ends[1][1] > TIE else None
        traces = [
            np.array(trace(bench.pool, [draw_some(most) for most in range(1, bench.pool.size + 1)])).T for bench in benches
        ]
        at_random = [np.interp(share, shares, regrets) for shares, regrets in traces]
        frontier.append(FrontierPoint(tolerated, rule, share, tuple(ends[0]), regret, sure, float(np.mean(at_random))))
    return frontier


def _try_out(benches: list[CalibrationRun], names: list[str], number: int) -> np.ndarray | None:
    """Judges a run, measured on other problems, by rules chosen without it, and each third of its settings without that third.

    Returns:
        Cost and regret of the run, then of draws of its settings: tolerances x 2 x (1 + draws); None without any to learn from.
    """
    test, thirds = benches[number % len(benches)], np.random.default_rng(number).permutation(len(names)) % 3
    measured = test.redraw(number)
    drawn = np.vstack([np.ones(len(test.names)), draw_clusters(test.names, DRAWS, number)])
    taken = np.empty((len(TOLERATED), len(test.names), len(drawn), 1))
    for third in range(3):
        learned = set(itertools.compress(names, thirds != third))
        others = [bench for bench in benches if bench is not test] or [test]
        known = [bench.keep(np.isin(bench.names, [*learned])) for bench in others]
        if not (known := [bench for bench in known if bench.names]):
            return None
        left = ~np.isin(test.names, [*learned])
        for place, rule in enumerate(_choose(known).values()):
            taken[place, left] = judge(rule, measured, drawn).T[left, :, None]
    return np.stack([_measure(test, by_rule, drawn)[:, :, 0] for by_rule in taken])


def judge(rule: Rule, bench: CalibrationRun, drawn: np.ndarray | None = None) -> np.ndarray:
    """Returns how often each candidate gets RL by a rule, as the gate decides with its recipe: draws x candidates.

    `drawn` is how often each candidate is in a draw, draws x candidates; by default there is one draw, the run itself.
    """
    passed = _pass(bench, np.array([rule.lead]), np.array([min(rule.rise, MOST_RISE)]))
    drawn = np.ones((1, len(bench.names))) if drawn is None else drawn
    return _spend(bench, passed, drawn, rule.budget, rule.rank_by)[:, :, 0].T


def _choose(benches: list[CalibrationRun]) -> dict[float, Rule]:
    """Returns the cheapest rule whose expected regret is tolerated, by tolerance; if none is, the one with the least regret.

    Among rules of the same cost, the one with the fewest parts is chosen.
    """
    leads = [-1.0, *_divide([bench.numbers["lead"] for bench in benches])]
    rises = [MOST_RISE, *_divide([bench.numbers["rise"] for bench in benches])]
    comparable = all(
        np.isfinite(bench.numbers["generalization_loss"]).all()
        and all(row.candidate.compares_loss for setting in bench.pool.settings for row in setting.rows)
        for bench in benches
    )
    ranked = [name for name in RANKED if comparable or name != "generalization_loss"]
    budgets = [(1.0, RANKED[0]), *itertools.product(BUDGETS, ranked)]
    rules = [Rule(*limits, *budget) for budget, limits in itertools.product(budgets, itertools.product(leads, rises))]
    shares, regrets = np.mean([_try(bench, leads, rises, budgets) for bench in benches], axis=0)  # (rules,) each
    parts, cost, loss = np.array([rule.parts for rule in rules]), number_levels(shares), number_levels(regrets)
    found = {}
    for tolerated in TOLERATED:
        held = np.asarray(reaches(tolerated, regrets))
        order = np.lexsort([loss, parts, cost, ~held] if held.any() else [parts, cost, loss])
        found[tolerated] = rules[order[0]]
    return found


def _divide(values: list[np.ndarray]) -> list[float]:
    """Returns at most 8 thresholds about halfway between neighbouring values, in as few digits as possible."""
    known = np.unique(np.concatenate(values))
    known = known[np.isfinite(known)].tolist()
    pairs = [(low, high) for low, high in itertools.pairwise(known) if high - low > 5 * TIE]
    if len(pairs) > MOST_THRESHOLDS:
        pairs = [pairs[place] for place in np.linspace(0, len(pairs) - 1, MOST_THRESHOLDS).round().astype(int)]
    return [_write_between(low, high) for low, high in pairs]


def _write_between(low: float, high: float) -> float:
    """Returns the shortest number in the middle half between two."""
    middle, edge = (low + high) / 2, (high - low) / 4
    shorter = (float(f"{middle:.{digits}g}") for digits in range(1, 18))
    return next(number for number in shorter if low + edge <= number <= high - edge)


def _try(bench: CalibrationRun, leads: list[float], rises: list[float], budgets: list[tuple[float, str]]) -> np.ndarray:
    """Returns the expected cost and regret of every rule, over draws of a run's settings: 2 x rules."""
    drawn = draw_clusters(bench.names, DRAWS)
    passed = _pass(bench, *map(np.ravel, np.meshgrid(leads, rises, indexing="ij")))
    alike, which = np.unique(passed, axis=0, return_inverse=True)
    found = [_measure(bench, _spend(bench, alike, drawn, *budget), drawn).mean(1)[:, which] for budget in budgets]
    return np.concatenate(found, axis=1)


def _pass(bench: CalibrationRun, leads: np.ndarray, rises: np.ndarray) -> np.ndarray:
    """Returns which candidates pass the thresholds: thresholds x candidates. A missing value does not pass."""
    lead, rise = bench.numbers["lead"], bench.numbers["rise"]
    return bench.passes & reaches(lead, leads[:, None]) & reaches(rises[:, None], rise)


def _spend(bench: CalibrationRun, passed: np.ndarray, drawn: np.ndarray, budget: float, rank_by: str) -> np.ndarray:
    """Returns how often each candidate gets RL: candidates x draws x thresholds; within the budget, the gate's best first."""
    wanted = drawn.T[:, :, None] * passed.T[:, None, :]
    if budget == 1:
        return wanted
    ids = [setting.rows[0].name for setting in bench.pool.settings]
    losses = bench.numbers["generalization_loss"]
    order = order_best(bench.numbers[rank_by], losses, ids, falls=rank_by == "generalization_loss")
    most = np.asarray(count_share(budget, drawn.sum(1)))[None, :, None]
    ahead = np.cumsum(wanted[order], axis=0) - wanted[order]
    taken = np.empty_like(wanted)
    taken[order] = np.clip(most - ahead, 0, wanted[order])
    return taken


def _measure(bench: CalibrationRun, taken: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Returns cost, as a share of RL for all, and regret: 2 x draws x thresholds; `taken` is what `_spend` returns."""
    pool, full = bench.pool, drawn @ bench.pool.full
    measured = drawn @ pool.measured + pool.base
    shares = (np.tensordot(pool.full, taken, 1) + measured[:, None]) / full[:, None]
    scores = pool.scores[:, None, None]
    best, reached = (np.where(held > 0, scores, -np.inf).max(0) for held in (drawn.T[:, :, None], taken))
    return np.stack([shares, best - np.where(np.isfinite(reached), reached, bench.floor)])
