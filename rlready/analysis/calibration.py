"""Calibration: thresholds, a budget and a race, learned from runs with RL for all and judged on what was left out."""

import dataclasses
import itertools
import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from rlready.analysis.comparison import Interval, Setting, read_rows
from rlready.analysis.policies import draw_some, trace
from rlready.analysis.pool import Pool, Probe, explain_no_pool, find_pools, find_probes, make_pool
from rlready.analysis.sweep_result import SweepResult
from rlready.config import Gate
from rlready.errors import InputError
from rlready.gate.lead import list_pass_at_k
from rlready.gate.thresholds import LEAD, RISE, compare, list_checks
from rlready.records.outcome import PredictorsRecord
from rlready.stats.intervals import LEVEL, MIN_POINTS, draw_clusters
from rlready.stats.ties import TIE, count_share, number_levels, order_best, reaches

RANKED = ("pass_at_k", "pass_at_1", "generalization_loss")
MOST_RISE = 100.0  # rejects none
TOLERATED = (0.0, 0.005, 0.01, 0.02, 0.05)  # expected regret in Pass@1 on the settings that a rule is chosen on
DRAWS = 100  # resamplings of the settings that a rule is tried on
PARTITIONS = 24  # of the settings into thirds, each judged by rules learned on the others
MOST_THRESHOLDS = 8
BUDGETS = tuple(eighth / 8 for eighth in range(1, 8))  # shares of the candidates
PROBED = (0.125, 0.25, 0.5)  # races are tried at the validated steps nearest to these shares of RL
RACED = (0.5,)  # budgets of a gate before a race
KEPT = (1.0, 0.5, 0.25, 0.125)  # shares of the candidates that may go on after a race; 1: all that are not clearly behind
GATE, RACE, BOTH = KINDS = ("gate", "race", "gate and race")  # what a rule consists of
Plan = tuple[float, str, int, float]  # a rule's budget, rank_by, race_steps and race_keep


@dataclass(frozen=True)
class Rule:
    """Thresholds and budget for the gate, and a race after it."""

    lead: float = -1.0  # minimum Pass@k over the base model's; -1 rejects none
    rise: float = MOST_RISE  # maximum rise of the held-out loss, if it is compared; 100 rejects none
    budget: float = 1.0  # maximum share of the candidates that get RL
    rank_by: str = "pass_at_k"  # what the budget ranks by
    race_steps: int = 0  # of RL before the race; 0: none
    race_keep: float = 1.0  # maximum share of the candidates that go on after it

    @property
    def gates(self) -> int:
        """How many parts of the gate can reject a candidate."""
        return (self.lead > -1) + (self.rise < MOST_RISE) + (self.budget < 1)

    def set_gate(self, candidates: int) -> dict[str, float | int | str]:
        """Returns the gate's parameters, for a sweep of this many candidates."""
        most = 0 if self.budget == 1 else int(count_share(self.budget, candidates))
        limits: dict[str, float | int | str] = {
            "min_pass_at_k": 0,
            "min_pass_at_k_over_base": self.lead,
            "max_generalization_loss": 100,
            "max_loss_rise": min(self.rise, MOST_RISE),
            "max_rl_runs": most,
        }
        return limits | ({"rank_by": self.rank_by} if most else {})

    def write_recipe(self, candidates: int) -> list[str]:
        """Returns the lines of a recipe's `parameters:`, in all digits, for a sweep of this many candidates."""
        lines = []
        shares = {"gate_max_rl_runs": self.budget, "race_keep": self.race_keep}
        values = {f"gate_{name}": value for name, value in self.set_gate(candidates).items()}
        if self.race_steps:
            keep = 0 if self.race_keep == 1 else int(count_share(self.race_keep, candidates))
            values |= {"race_steps": self.race_steps, "race_keep": keep}
        for name, value in values.items():
            shown = value if isinstance(value, str) else np.format_float_positional(value, trim="-")
            of = f"  # {shares[name]:g} of {candidates} candidates" if name in shares and value else ""
            lines.append(f"{name}: {shown}{of}")
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
    probes: dict[int, Probe]  # RL of the candidates up to the steps at which they can race

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
            probes={step: probe.keep(held) for step, probe in self.probes.items()},
        )


def set_up(sweep: SweepResult, name: str) -> CalibrationRun:
    """Returns a run with its candidates as the gate of its recipe would judge them.

    Raises InputError if RL did not run for all of its candidates, or their costs or the gate's numbers are missing.
    """
    rows, base, k = read_rows(sweep)
    if not (pools := find_pools(rows, base)):
        needed = "calibration needs it for all, of several settings: run it with gate_mode=audit"
        raise InputError(f"{name}: {explain_no_pool(rows)}; {needed}")
    pool = pools[0]
    if not pool.priced:
        raise InputError(f"{name}: not all costs were recorded on one kind of device, so no budget can be chosen")
    floor = float(pool.scores.min()) if base.score is None else base.score
    members = [Setting(setting.name, [row]) for setting in pool.settings for row in setting.rows]
    given = {item.name: sweep.parameters.get(f"gate_{item.name}") for item in dataclasses.fields(Gate)}
    given = {key: value for key, value in given.items() if value is not None} | {"k": k, "mode": "enforce"}
    gate = Gate(**given | Rule().set_gate(len(members)))
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
    scores = np.repeat(pool.scores, [len(setting.rows) for setting in pool.settings])
    by_candidate = dataclasses.replace(make_pool(members, base, pool.label), scores=scores)
    measured = [row.outcome.predictors or PredictorsRecord() for member in members for row in member.rows]
    records = measured + ([sweep.baseline.predictors or PredictorsRecord()] if sweep.baseline else [])
    at_k, at_1 = ([values for one in records if (values := list_pass_at_k(one, size)) is not None] for size in (k, 1))
    problems: dict[str, np.ndarray] = {}
    if len(at_k) == len(records) and len({*map(len, at_k)}) == 1:
        problems = {"pass_at_k": np.array(at_k[: len(members)]), "pass_at_1": np.array(at_1[: len(members)])}
        problems |= {"lead": problems["pass_at_k"] - at_k[-1]} if sweep.baseline else {}
    groups = measured[0].groups or range(len(measured[0].correct))
    probes, names = {probe.step: probe for probe in find_probes(by_candidate)}, [member.name for member in members]
    return CalibrationRun(by_candidate, names, np.array(passes), numbers, problems, groups, floor, probes)


def judge(rule: Rule, bench: CalibrationRun, drawn: np.ndarray | None = None) -> np.ndarray:
    """Returns the cost of each candidate's RL by a rule, and how often it gets it to its end: 2 x draws x candidates.

    Gate and race decide as with the rule's recipe. `drawn` is how often each candidate is in a draw, draws x candidates; by
    default there is one draw, the run itself.
    """
    passed = pass_gate(bench, np.array([rule.lead]), np.array([min(rule.rise, MOST_RISE)]))
    drawn = np.ones((1, len(bench.names))) if drawn is None else drawn
    found = spend(bench, passed, drawn, rule.budget, rule.rank_by, rule.race_steps, rule.race_keep)
    return np.stack(found)[..., 0].transpose(0, 2, 1)


def pass_gate(bench: CalibrationRun, leads: np.ndarray, rises: np.ndarray) -> np.ndarray:
    """Returns which candidates pass the thresholds: thresholds x candidates. A missing value does not pass."""
    lead, rise = bench.numbers["lead"], bench.numbers["rise"]
    return bench.passes & reaches(lead, leads[:, None]) & reaches(rises[:, None], rise)


def spend(
    bench: CalibrationRun, passed: np.ndarray, drawn: np.ndarray, budget: float, rank_by: str, race_steps: int, keep: float
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the cost of each candidate's RL, and how often it gets it to its end: candidates x draws x thresholds, twice.

    Within the budget RL begins for the gate's best; of these the race lets the best go on that are not clearly behind.
    """
    begun, drawn_sizes = drawn.T[:, :, None] * passed.T[:, None, :], drawn.sum(1)
    if budget < 1:
        ids = [setting.rows[0].name for setting in bench.pool.settings]
        values, losses, most = bench.numbers[rank_by], bench.numbers["generalization_loss"], count_share(budget, drawn_sizes)
        # A budget that cannot take all takes none without the number that ranks them.
        begun = np.where(np.isnan(values)[:, None, None] & (begun.sum(0) > most[:, None]), 0, begun)
        order = order_best(values, losses, ids, falls=rank_by == "generalization_loss")
        begun = _take_first(begun, order, most)
    if not race_steps:
        return bench.pool.full[:, None, None] * begun, begun
    probe = bench.probes[race_steps]
    order, racing = np.argsort(probe.places), begun.sum(0)
    best = order[(begun[order] > 0).argmax(0)]  # (draws, thresholds)
    ended = _take_first(begun, order, count_share(keep, drawn_sizes)) * (probe.limits[:, best] < racing)
    rest = bench.pool.full + probe.checks - probe.cost
    return probe.cost[:, None, None] * begun + rest[:, None, None] * ended, ended


def _take_first(wanted: np.ndarray, order: np.ndarray, most: np.ndarray) -> np.ndarray:
    """Returns at most this many of the candidates wanted, in an order: candidates x draws x thresholds."""
    ahead = np.cumsum(wanted[order], axis=0) - wanted[order]
    taken = np.empty_like(wanted)
    taken[order] = np.clip(most[None, :, None] - ahead, 0, wanted[order])
    return taken


def measure_rules(bench: CalibrationRun, paid: np.ndarray, taken: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Returns cost, as a share of RL for all, and regret, never below 0: 2 x draws x thresholds, from what `spend` returns."""
    pool, scores = bench.pool, bench.pool.scores[:, None, None]
    shares = (paid.sum(0) + (drawn @ pool.measured + pool.base)[:, None]) / (drawn @ pool.full)[:, None]
    best, reached = (np.where(held > 0, scores, -np.inf).max(0) for held in (drawn.T[:, :, None], taken))
    return np.stack([shares, np.maximum(0, best - np.where(np.isfinite(reached), reached, bench.floor))])


@dataclass(frozen=True)
class FrontierPoint:
    """What a tolerance leads to, as the mean of trials on settings that had no part in the choice."""

    kind: str  # of the rule: gate, race, or gate and race
    tolerated: float  # maximum expected regret of the rule on the settings it was chosen on
    rule: Rule  # the rule to use, chosen on all settings
    share: float  # cost as a share of RL for all
    share_interval: Interval | None  # its range over 95% of the trials
    regret: float  # how far the best candidate with RL ended below the best of all
    regret_interval: Interval | None  # its range over 95% of the trials; None if hardly any trial had a regret
    drawn: float  # regret of RL at random for the same cost, by linear interpolation


def calibrate(benches: list[CalibrationRun]) -> list[FrontierPoint]:
    """Returns what each tolerance leads to.

    A rule is chosen by its expected cost and regret over resampled settings, so that it does not depend on the best one alone.
    What to expect of it comes from trials: each third of a run's settings is judged by a rule chosen in the same way on the
    other two thirds (with several runs: on the other runs), as if the run had been measured on other problems. So no result
    has a part in its own verdict, and the trials vary by settings, problems, runs and learned rules. A setting that is in
    several runs (`benches`) is left out of all at once. Raises InputError if they have fewer than 8 settings.
    """
    names = list(dict.fromkeys(name for bench in benches for name in bench.names))
    if len(names) < MIN_POINTS:
        raise InputError(
            f"{len(names)} settings finished RL; thresholds need at least {MIN_POINTS}, to be learned on some and judged on"
            " others: run a larger sweep with gate_mode=audit, or name several runs"
        )
    trials = [trial for number in range(PARTITIONS) if (trial := _try_out(benches, names, number)) is not None]
    found, frontier = np.stack(trials), []  # (partitions, tolerances, share or regret, draws)
    traces = [np.array(trace(bench.pool, [draw_some(most + 1) for most in range(bench.pool.size)])).T for bench in benches]
    for place, ((kind, tolerated), rule) in enumerate(_choose(benches, _list_races(benches)).items()):
        share, regret = found[:, place, :, 0].mean(0).tolist()
        ends = np.quantile(found[:, place, :, 1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=(0, 2)).T.tolist()
        sure = tuple(ends[1]) if ends[1][1] > TIE else None
        drawn = float(np.mean([np.interp(share, shares, regrets) for shares, regrets in traces]))
        frontier.append(FrontierPoint(kind, tolerated, rule, share, tuple(ends[0]), regret, sure, drawn))
    return frontier


def propose(frontier: list[FrontierPoint], tolerated: float) -> FrontierPoint:
    """Returns the cheapest kind of rule whose regret in the trials is tolerated; if none is, the one with the least."""
    points = [point for point in frontier if point.tolerated == tolerated]
    held = [point for point in points if reaches(tolerated, point.regret)]
    return min(held, key=lambda point: point.share) if held else min(points, key=lambda point: point.regret)


def _try_out(benches: list[CalibrationRun], names: list[str], number: int) -> np.ndarray | None:
    """Judges a run, measured on other problems, by rules chosen without it, and each third of its settings without that third.

    Returns cost and regret of the run, then of draws of its settings: (kinds x tolerances) x 2 x (1 + draws); None without any
    to learn from.
    """
    test, thirds = benches[number % len(benches)], np.random.default_rng(number).permutation(len(names)) % 3
    measured = test.redraw(number)
    drawn = np.vstack([np.ones(len(test.names)), draw_clusters(test.names, DRAWS, number)])
    races = _list_races(benches)
    judged = np.empty(((len(KINDS) if races else 1) * len(TOLERATED), 2, len(drawn), len(test.names)))
    for third in range(3):
        learned = list(itertools.compress(names, thirds != third))
        others = [bench for bench in benches if bench is not test] or [test]
        known = [bench for bench in (other.keep(np.isin(other.names, learned)) for other in others) if bench.names]
        if not known:
            return None
        left = ~np.isin(test.names, learned)
        for place, rule in enumerate(_choose(known, races).values()):
            judged[place, :, :, left] = judge(rule, measured, drawn)[:, :, left].transpose(2, 0, 1)
    spent = judged.transpose(1, 0, 3, 2)[..., None]  # 2 x (kinds x tolerances) x candidates x draws x 1
    return np.stack([measure_rules(test, paid, taken, drawn)[:, :, 0] for paid, taken in zip(*spent, strict=True)])


def _list_races(benches: list[CalibrationRun]) -> list[tuple[int, float]]:
    """Returns (step, share that may go on) of the races to try: at steps at which all candidates of all runs were validated."""
    end = min(bench.pool.steps for bench in benches)
    common = [step for step in sorted(set.intersection(*(set(bench.probes) for bench in benches))) if step < end]
    steps = {min(common, key=lambda step: abs(step - share * end)) for share in PROBED if common}
    return [*itertools.product(sorted(steps), KEPT)]


def _choose(benches: list[CalibrationRun], races: list[tuple[int, float]]) -> dict[tuple[str, float], Rule]:
    """Returns the cheapest rule whose expected regret is tolerated, by kind and tolerance, else the one with the least regret.

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
    everyone = (1.0, RANKED[0])
    plans: list[Plan] = [(*budget, 0, 1.0) for budget in (everyone, *itertools.product(BUDGETS, ranked))]
    plans += [(*budget, *race) for budget in (everyone, *itertools.product(RACED, ranked)) for race in races]
    rules = [Rule(lead, rise, *plan) for plan in plans for lead in leads for rise in rises]
    shares, regrets = np.mean([_try(bench, leads, rises, plans) for bench in benches], axis=0)  # (rules,) each
    parts = np.array([rule.gates + (rule.race_steps > 0) + (rule.race_keep < 1) for rule in rules])
    cost, loss = number_levels(shares), number_levels(regrets)
    of_kind = {GATE: [not rule.race_steps for rule in rules]}
    if races:
        of_kind |= {RACE: [not rule.gates for rule in rules], BOTH: [True] * len(rules)}
    found = {}
    for (kind, allowed), tolerated in itertools.product(of_kind.items(), TOLERATED):
        held = np.asarray(reaches(tolerated, regrets)) & allowed
        order = np.lexsort([loss, parts, cost, ~held] if held.any() else [parts, cost, loss, ~np.array(allowed)])
        found[kind, tolerated] = rules[order[0]]
    return found


def _divide(values: list[np.ndarray]) -> list[float]:
    """Returns at most 8 thresholds in the middle half between neighbouring values, in as few digits as possible."""
    known = [value for value in np.unique(np.concatenate(values)).tolist() if math.isfinite(value)]
    pairs = [(low, high) for low, high in itertools.pairwise(known) if high - low > 5 * TIE]
    if len(pairs) > MOST_THRESHOLDS:
        pairs = [pairs[place] for place in np.linspace(0, len(pairs) - 1, MOST_THRESHOLDS).round().astype(int)]
    thresholds = []
    for low, high in pairs:
        middle, edge = (low + high) / 2, (high - low) / 4
        shorter = (float(f"{middle:.{digits}g}") for digits in range(1, 18))
        thresholds.append(next(number for number in shorter if low + edge <= number <= high - edge))
    return thresholds


def _try(bench: CalibrationRun, leads: list[float], rises: list[float], plans: list[Plan]) -> np.ndarray:
    """Returns the expected cost and regret of every rule, over draws of a run's settings: 2 x rules."""
    drawn = draw_clusters(bench.names, DRAWS)
    passed = pass_gate(bench, *map(np.ravel, np.meshgrid(leads, rises, indexing="ij")))
    alike, which = np.unique(passed, axis=0, return_inverse=True)
    found = [measure_rules(bench, *spend(bench, alike, drawn, *plan), drawn).mean(1)[:, which] for plan in plans]
    return np.concatenate(found, axis=1)
