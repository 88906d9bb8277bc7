"""A run with RL for all as calibration sees it: what a rule, thresholds with a budget and a race, would have cost and lost."""

import dataclasses
import itertools
import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from rlready.analysis.comparison import Setting, read_rows
from rlready.analysis.pool import Pool, Probe, explain_no_pool, find_pools, find_probes, make_pool
from rlready.analysis.sweep_result import SweepResult
from rlready.config import Gate
from rlready.errors import InputError
from rlready.gate.lead import list_pass_at_k
from rlready.gate.thresholds import LEAD, RISE, compare, list_checks
from rlready.records.outcome import PredictorsRecord
from rlready.stats.intervals import draw_clusters
from rlready.stats.ties import count_share, order_best, reaches

RANKED = ("pass_at_k", "pass_at_1", "generalization_loss")
MOST_RISE = 100.0  # rejects none


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
    def parts(self) -> int:
        """How many of its parts can reject a candidate."""
        return self.gates + (self.race_steps > 0) + (self.race_keep < 1)

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
    pools = find_pools(rows, base)
    if not pools:
        needed = "calibration needs it for all, of several settings: run it with gate_mode=audit"
        raise InputError(f"{name}: {explain_no_pool(rows)}; {needed}")
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
    probes = {probe.step: probe for probe in find_probes(by_candidate)}
    names = [member.name for member in members]
    return CalibrationRun(by_candidate, names, np.array(passes), numbers, problems, groups, floor, probes)


def _list_problems(measured: list[PredictorsRecord], base: PredictorsRecord | None, k: int | None) -> dict[str, np.ndarray]:
    """Returns Pass@k, Pass@1 and lead of every problem; nothing if counts are missing."""
    records, count = [*measured, *([base] if base else [])], len(measured)
    curves = [[values for one in records if (values := list_pass_at_k(one, size)) is not None] for size in (k, 1)]
    if len(curves[0]) < len(records) or len({*map(len, curves[0])}) > 1:
        return {}
    at_k, at_1 = map(np.array, curves)
    return {"pass_at_k": at_k[:count], "pass_at_1": at_1[:count]} | ({"lead": at_k[:count] - at_k[count]} if base else {})


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
    """Returns cost, as a share of RL for all, and regret: 2 x draws x thresholds; `paid` and `taken` are of `spend`."""
    pool, full = bench.pool, drawn @ bench.pool.full
    measured = drawn @ pool.measured + pool.base
    shares = (paid.sum(0) + measured[:, None]) / full[:, None]
    scores = pool.scores[:, None, None]
    best, reached = (np.where(held > 0, scores, -np.inf).max(0) for held in (drawn.T[:, :, None], taken))
    return np.stack([shares, best - np.where(np.isfinite(reached), reached, bench.floor)])
