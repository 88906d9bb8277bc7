"""What other ways to choose settings for RL would have cost and lost, if RL ran for all of them."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rlready.analysis.comparison import Interval
from rlready.analysis.pool import Pool, Probe
from rlready.analysis.predictor import Predictor, pick_main, score_settings
from rlready.stats.intervals import bootstrap
from rlready.stats.ties import TIE

PROBE = 0.25  # share of RL's steps near which the races are
AFFORDED, LOST = 0.4, 0.01  # good is what costs at most this share of RL for all, and loses at most this much Pass@1
ALL, GATE, RACE, BOTH = "RL for all", "The gate", "A race", "The gate, then a race"
HALVING = {eta: f"Successive halving (eta {eta})" for eta in (2, 3)}


class Taken(NamedTuple):
    """Which settings a policy takes: those that are sure, and this many drawn from those that tie for the last places."""

    sure: np.ndarray
    tied: np.ndarray
    slots: int

    @classmethod
    def surely(cls, sure: np.ndarray) -> "Taken":
        """Takes these; none ties."""
        return cls(sure, np.zeros(len(sure), dtype=bool), 0)

    @property
    def chance(self) -> np.ndarray:
        """With which each setting is taken."""
        return self.sure + self.tied * (self.slots / max(1, self.tied.sum()))

    def list_places(self) -> np.ndarray:
        """Returns which settings go on to another round: of those that tie, the first."""
        return np.sort(np.append(self.sure.nonzero()[0], self.tied.nonzero()[0][: self.slots]))


Choice = Callable[[np.ndarray], Taken]  # takes some of a draw of settings, which it gets by their numbers


class Round(NamedTuple):
    """Some of the settings go on; the others cost no more."""

    choose: Choice
    probe: Probe | None = None  # RL up to the step at which it chooses; None: before RL


@dataclass(frozen=True)
class Policy:
    """RL for those that are left after some rounds."""

    label: str  # what the report calls it
    rounds: tuple[Round, ...]
    measures: bool = True  # whether it needs the predictors


class Family(NamedTuple):
    """A policy at every budget."""

    label: str  # what the plot calls it
    said: str  # what the report says of it, with a place for the budget; empty for a draw at random
    policies: list[Policy]  # with a budget of 1, 2, ... settings


@dataclass(frozen=True)
class Price:
    """What became of a policy."""

    label: str  # what the report calls the policy
    taken: int  # how many settings got RL to its end
    share: float  # what it cost, as a share of RL and benchmark for all
    regret: float | None  # how far the best that it took ended below the best of all, in expectation; None if it took none
    interval: Interval | None  # the regret's 95% interval over settings; None with fewer than 8, or if hardly any draw loses


def list_policies(pool: Pool, k: int | None, probes: Sequence[Probe] = (), take: int | None = None) -> list[Policy]:
    """Returns the policies to compare, those by each predictor and at random with `take` settings.

    None takes as many as the gate, or a third if that took none. 0 takes a third, and labels then do not name the number,
    so that they are the same for pools of different sizes. With probes there are races too, at the one nearest to a quarter
    of RL, and successive halving.
    """
    everyone, gate = dataclasses.replace(draw_some(pool.size), label=ALL), find_gate(pool)
    if take is None and gate:
        take = int(gate.rounds[0].choose(np.arange(pool.size)).sure.sum()) or None
    most, called = take or max(1, round(pool.size / 3)), "third" if take == 0 else ""
    ranked = [rank_by(pool, predictor, most, called) for predictor in pick_main(k)]
    probe = pick_probe(pool, probes)
    races = [race(RACE, probe), gate and race(BOTH, probe, before=gate)] if probe else []
    halvings = [halved[-1] for eta in HALVING if (halved := list_halvings(pool, probes, eta))]
    policies = [everyone, gate, *ranked, *races, *halvings, draw_some(most, called)]
    return [policy for policy in policies if policy]


def list_families(pool: Pool, k: int | None, probes: Sequence[Probe] = ()) -> list[Family]:
    """Returns the policies with a budget, each at every budget; the last one draws at random."""
    budgets, gate, probe = range(1, pool.size + 1), find_gate(pool), pick_probe(pool, probes)
    found = []
    for predictor in pick_main(k):
        if ranked := [one for most in budgets if (one := rank_by(pool, predictor, most))]:
            name = f"by {predictor.short}"
            found.append(Family(f"1, 2, ... {name}", f"the top {{}} by {predictor.label}", ranked))
    if probe:
        at = f"at step {probe.step}"
        races = [race(RACE, probe, most) for most in budgets]
        found.append(Family(f"a race {at}, 1, 2, ... go on", f"a race {at} with race_keep {{}}", races))
        if gate:
            races, said = [race(BOTH, probe, most, gate) for most in budgets], f"the gate and a race {at} with race_keep {{}}"
            found.append(Family(f"the gate, a race {at}, 1, 2, ... go on", said, races))
    for eta, name in HALVING.items():
        if halved := list_halvings(pool, probes, eta):
            found.append(Family(f"{name.lower()}, 1, 2, ... rounds", f"{{}}-round {name.lower()}", halved))
    return [*found, Family("1, 2, ... at random", "", [draw_some(most) for most in budgets])]


def find_gate(pool: Pool) -> Policy | None:
    """Returns the gate as a policy: a setting is approved where at least half of its seeds are; None if it did not judge."""
    verdicts = [[row.verdict for row in setting.rows] for setting in pool.settings]
    if any(verdict.mode == "off" or not verdict.decision for of_setting in verdicts for verdict in of_setting):
        return None
    approved = np.array([2 * sum(v.decision == "approved" for v in held) >= len(held) for held in verdicts])
    return Policy(GATE, (Round(lambda draw: Taken.surely(approved[draw])),))


def rank_by(pool: Pool, predictor: Predictor, most: int, called: str = "") -> Policy | None:
    """Returns RL for the best settings by a predictor, or None if it cannot be measured on all of them.

    The label says `called`, if given, instead of their number.
    """
    if (means := score_settings(pool.settings, predictor)) is None:
        return None
    rounds = (Round(lambda draw: take_best(means[draw], min(most, len(draw)))),)
    which = "Best" if most == 1 and not called else f"Best {called or most}"
    return Policy(f"{which} by {predictor.short}", rounds)


def draw_some(most: int, called: str = "") -> Policy:
    """Returns RL for some settings at random; the label is that of `rank_by`."""
    label = f"A {called} at random" if called else f"{most} at random"
    return Policy(label, (Round(lambda draw: take_best(np.zeros(len(draw)), min(most, len(draw)))),), measures=False)


def pick_probe(pool: Pool, probes: Sequence[Probe]) -> Probe | None:
    """Returns the probe nearest to a quarter of RL."""
    end = PROBE * pool.steps
    return min(probes, key=lambda probe: abs(probe.step - end), default=None)


def race(label: str, probe: Probe, keep: int = 0, before: Policy | None = None) -> Policy:
    """Returns a race among all settings, or those left by another policy, as `judge_race` decides; `keep` is race_keep."""

    def choose(draw: np.ndarray) -> Taken:
        places, best = np.argsort(np.argsort(probe.places[draw])), draw[probe.places[draw].argmin()]
        goes_on = probe.limits[draw, best] < len(draw)
        return Taken.surely(goes_on & (places < (keep or len(draw))))

    return Policy(label, (*(before.rounds if before else ()), Round(choose, probe)), measures=before is not None)


def list_halvings(pool: Pool, probes: Sequence[Probe], eta: int) -> list[Policy]:
    """Returns successive halving in 1, 2, ... rounds: at each the best 1/eta go on, and train eta times as long.

    Rounds are at the validated steps nearest to the end of RL divided by eta, by its square and so on.
    """
    end, found = pool.steps, []
    for rounds in range(1, int(math.log(pool.size, eta) + TIE) + 1 if probes else 0):
        near = [min(probes, key=lambda one: abs(one.step - end / eta**n)) for n in range(rounds, 0, -1)]
        if len({probe.step for probe in near}) < rounds:
            break
        found.append(Policy(HALVING[eta], tuple(Round(_keep_part(probe, eta), probe) for probe in near), measures=False))
    return found


def _keep_part(probe: Probe, eta: int) -> Choice:
    return lambda draw: take_best(-probe.places[draw].astype(float), max(1, len(draw) // eta))


def price(policy: Policy, pool: Pool) -> Price:
    """Returns what a policy would have cost and lost, with an interval that draws whole settings with their seeds."""
    everyone = np.arange(pool.size)
    share, taken, regret = _apply(policy, pool, everyone)

    def lose(weights: np.ndarray) -> np.ndarray:
        return np.array([_apply(policy, pool, np.repeat(everyone, times.astype(int)))[2] for times in weights])

    interval = None if math.isnan(regret) else bootstrap(lose, range(pool.size))
    # Draws that lose nothing cannot show what other settings would: an interval of 0 alone covers the truth too seldom.
    interval = interval if interval and interval[1] > TIE else None
    return Price(policy.label, round(taken), share, None if math.isnan(regret) else regret, interval)


def trace(pool: Pool, policies: list[Policy]) -> list[tuple[float, float]]:
    """Returns (share, regret) of each policy."""
    return [(share, regret) for share, _, regret in (_apply(policy, pool, np.arange(pool.size)) for policy in policies)]


def describe_cheap(pool: Pool, families: list[Family]) -> list[str]:
    """Returns which policies lose little at a small part of the cost, each at the smallest budget that suffices."""
    found = []
    for family in families:
        ends = enumerate(trace(pool, family.policies), 1)
        most = next((most for most, (cost, lost) in ends if cost <= AFFORDED and lost <= LOST), 0)
        if family.said and most:
            found.append(family.said.format(most))
    limits = f"at most {100 * AFFORDED:.0f}% of the {name_cost(pool)} of RL for all, with a regret of at most {LOST:g}"
    said = [f"In hindsight, no choice would have had {limits}."]
    if found:
        said = [f"In hindsight, these choices would have had {limits}: {', '.join(found)}."]
    if not pool.priced:
        said.append(
            "Not all costs were recorded on one kind of device, so every RL run counts the same here and predictors count 0."
        )
    return said


def name_cost(pool: Pool) -> str:
    """Returns what the shares of a pool are of."""
    return "cost" if pool.priced else "runs"


def _apply(policy: Policy, pool: Pool, draw: np.ndarray) -> tuple[float, float, float]:
    """Returns (share of the cost, settings taken, regret) of a policy on a draw of settings; without any the regret is nan."""
    scores, full = pool.scores[draw], pool.full[draw]
    paid, held = np.zeros(len(draw)), np.arange(len(draw))
    taken = Taken.surely(np.ones(len(draw), dtype=bool))
    for one in policy.rounds:
        if not len(left := held[taken.list_places()]):
            break
        held, taken = left, one.choose(draw[left])
        if one.probe:
            paid[held] = one.probe.cost[draw[held]]
            full[held] = pool.full[draw[held]] + one.probe.checks[draw[held]]
    paid[held] += taken.chance * (full - paid)[held]
    cost = paid.sum() + (pool.measured[draw].sum() + pool.base) * policy.measures
    regret = measure_regret(scores[held], taken, scores.max())
    return float(cost / pool.full[draw].sum()), float(taken.chance.sum()), regret


def take_best(values: np.ndarray, take: int) -> Taken:
    """Takes this many settings with the highest values."""
    last = np.sort(values)[::-1][take - 1] if take else np.inf
    sure = values > last + TIE
    return Taken(sure, np.abs(values - last) <= TIE, take - int(sure.sum()))


def measure_regret(scores: np.ndarray, taken: Taken, best: float | None = None) -> float:
    """Returns how far the best setting taken is below `best`, by default of these, in expectation; nan if none is taken."""
    if not (taken.slots or taken.sure.any()):
        return math.nan
    lost = float(scores.max() if best is None else best) - expect_best(scores[taken.sure], scores[taken.tied], taken.slots)
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
