"""Calibration: thresholds, a budget and a race, learned from runs with RL for all and judged on what was left out."""

import itertools
from dataclasses import dataclass

import numpy as np

from rlready.analysis.calibration_run import MOST_RISE, RANKED, CalibrationRun, Rule, judge, measure_rules, pass_gate, spend
from rlready.analysis.comparison import Interval
from rlready.analysis.policies import draw_some, trace
from rlready.errors import InputError
from rlready.stats.intervals import LEVEL, MIN_POINTS, draw_clusters
from rlready.stats.ties import TIE, number_levels, reaches

TOLERATED = (0.0, 0.005, 0.01, 0.02, 0.05)  # expected regret in Pass@1 on the settings that a rule is chosen on
DRAWS = 100  # resamplings of the settings that a rule is tried on
PARTITIONS = 24  # of the settings into thirds, each judged by rules learned on the others
MOST_THRESHOLDS = 8
BUDGETS = tuple(eighth / 8 for eighth in range(1, 8))  # shares of the candidates
PROBED = (0.125, 0.25, 0.5)  # races are tried at the validated steps nearest to these shares of RL
RACED = (0.5,)  # budgets of a gate before a race
KEPT = (1.0, 0.5, 0.25, 0.125)  # shares of the candidates that may go on after a race; 1: all that are not clearly behind
# What a rule consists of.
GATE, RACE, BOTH = KINDS = ("gate", "race", "gate and race")
Plan = tuple[float, str, int, float]  # budget, what it ranks by, step of the race, share that may go on


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
    traces = [np.array(trace(bench.pool, [draw_some(most + 1) for most in range(bench.pool.size)])).T for bench in benches]
    for place, ((kind, tolerated), rule) in enumerate(_choose(benches, _list_races(benches)).items()):
        share, regret = found[:, place, :, 0].mean(0).tolist()
        ends = np.quantile(found[:, place, :, 1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=(0, 2)).T.tolist()
        sure = tuple(ends[1]) if ends[1][1] > TIE else None
        at_random = [np.interp(share, shares, regrets) for shares, regrets in traces]
        drawn = float(np.mean(at_random))
        frontier.append(FrontierPoint(kind, tolerated, rule, share, tuple(ends[0]), regret, sure, drawn))
    return frontier


def propose(frontier: list[FrontierPoint], tolerated: float) -> FrontierPoint:
    """Returns the cheapest kind of rule whose regret in the trials is tolerated; if none is, the one with the least."""
    points = [point for point in frontier if point.tolerated == tolerated]
    held = [point for point in points if reaches(tolerated, point.regret)]
    return min(held, key=lambda point: point.share) if held else min(points, key=lambda point: point.regret)


def _try_out(benches: list[CalibrationRun], names: list[str], number: int) -> np.ndarray | None:
    """Judges a run, measured on other problems, by rules chosen without it, and each third of its settings without that third.

    Returns:
        Cost and regret of the run, then of draws of its settings: (kinds x tolerances) x 2 x (1 + draws); None without any to
        learn from.
    """
    test, thirds = benches[number % len(benches)], np.random.default_rng(number).permutation(len(names)) % 3
    measured = test.redraw(number)
    drawn = np.vstack([np.ones(len(test.names)), draw_clusters(test.names, DRAWS, number)])
    races = _list_races(benches)
    kinds = len(KINDS) if races else 1
    judged = np.empty((kinds * len(TOLERATED), 2, len(drawn), len(test.names)))
    for third in range(3):
        learned = set(itertools.compress(names, thirds != third))
        others = [bench for bench in benches if bench is not test] or [test]
        known = [bench.keep(np.isin(bench.names, [*learned])) for bench in others]
        if not (known := [bench for bench in known if bench.names]):
            return None
        left = ~np.isin(test.names, [*learned])
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
    parts, cost, loss = np.array([rule.parts for rule in rules]), number_levels(shares), number_levels(regrets)
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


def _try(bench: CalibrationRun, leads: list[float], rises: list[float], plans: list[Plan]) -> np.ndarray:
    """Returns the expected cost and regret of every rule, over draws of a run's settings: 2 x rules."""
    drawn = draw_clusters(bench.names, DRAWS)
    passed = pass_gate(bench, *map(np.ravel, np.meshgrid(leads, rises, indexing="ij")))
    alike, which = np.unique(passed, axis=0, return_inverse=True)
    found = [measure_rules(bench, *spend(bench, alike, drawn, *plan), drawn).mean(1)[:, which] for plan in plans]
    return np.concatenate(found, axis=1)
