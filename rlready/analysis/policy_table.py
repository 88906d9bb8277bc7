"""The table of policies: what each costs and loses on curves, over draws of data; your own are functions in a file."""

import dataclasses
import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rlready.analysis.comparison import Interval, Setting, read_rows
from rlready.analysis.policies import GATE, list_policies, trace
from rlready.analysis.pool import Pool, Probe, explain_no_pool, find_pools, find_probes, make_pool
from rlready.analysis.sweep_result import SweepResult
from rlready.errors import InputError
from rlready.stats.intervals import bound_mean, estimate_interval
from rlready.verifier.processes.workers import find_pool

# Takes the candidates, and the steps at which they can stop, the last one the end of RL; returns by name whom to train
# next, and up to which step. Called again until it names none.
Choose = Callable[[list[dict[str, Any]], list[int]], dict[str, int]]


@dataclass(frozen=True)
class PolicyScore:
    """What a policy costs and loses, as means over draws of data."""

    label: str
    share: float  # of the cost of RL for all
    share_interval: Interval | None  # Student's over draws, 95%; None with one draw, or if all cost the same
    # how far the best that it trained to the end is below the best of all, in Pass@1; None if a run has none that it trained
    regret: float | None
    # that of a share, times the greatest spread of scores in a draw: most draws have no regret; None if all scores are equal
    regret_interval: Interval | None
    gain: float | None = None  # how much less it loses than the gate; None for the gate, and if one of the two is unknown
    gain_interval: Interval | None = None


def score_policies(sweeps: Sequence[SweepResult], files: Sequence[str] = (), take: int = 0) -> list[PolicyScore]:
    """Scores rlready's policies and those of files, each on the candidates of every run; see `docs/guide/policies.md`.

    Args:
        sweeps: Runs with RL for all; those with one `curate_seed` are one draw.
        files: Python files with a function `choose`.
        take: How many candidates a policy takes that takes the best; 0: a third of those of each run.

    Raises:
        InputError: If RL did not run for all, `take` is negative, or a file's policy fails.
    """
    if take < 0:
        raise InputError(f"take: a policy cannot take {take} candidates; use 0 for a third of them")
    pools = [_make_pool(sweep) for sweep in sweeps]
    found: dict[str, dict[Any, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    for number, (sweep, (pool, k)) in enumerate(zip(sweeps, pools, strict=True)):
        draw, probes = sweep.parameters.get("curate_seed", number), find_probes(pool)
        policies = list_policies(pool, k, probes, take)
        ends = dict(zip([policy.label for policy in policies], trace(pool, policies), strict=True))
        for label, end in (ends | {Path(file).stem: replay(_load(file), pool, probes) for file in files}).items():
            found[label][draw].append(end)
    draws = max(map(len, found.values()))
    means = {label: np.array([np.mean(end, 0) for end in ends.values()]) for label, ends in found.items() if len(ends) == draws}
    most = max(float(np.ptp(pool.scores)) for pool, _ in pools)
    return [_score(label, ends, means.get(GATE), most) for label, ends in means.items()]


def replay(choose: Choose, pool: Pool, probes: Sequence[Probe]) -> tuple[float, float]:
    """Returns cost, as a share of RL for all, and regret of a policy on the candidates of a pool.

    It pays all predictors, RL up to the steps that it names, and the validations up to the last step at which a candidate
    stopped before the end. Raises InputError if it names what it cannot train, or trains none to the end.
    """
    names, stops = [setting.name for setting in pool.settings], [*(probe.step for probe in probes), pool.steps]
    reached, paid, checks = np.zeros(pool.size, dtype=int), np.zeros(pool.size), np.zeros(pool.size)
    while wanted := choose(_describe(pool, reached), stops):
        for name, step in wanted.items():
            if name not in names or step not in stops or step <= reached[place := names.index(name)]:
                raise InputError(f"it trains {name} up to step {step}; known steps are {', '.join(map(str, stops))}")
            number = stops.index(step)
            if number < len(probes):
                paid[place], checks[place] = probes[number].cost[place], probes[number].checks[place]
            else:
                paid[place] = pool.full[place] + checks[place]
            reached[place] = step
    ended = reached == pool.steps
    if not ended.any():
        raise InputError("it trains no candidate to the end")
    cost = (paid.sum() + pool.measured.sum() + pool.base) / pool.full.sum()
    return float(cost), float(pool.scores.max() - pool.scores[ended].max())


def _describe(pool: Pool, reached: np.ndarray) -> list[dict[str, Any]]:
    """Returns what is known of each candidate once it is trained up to the steps reached."""
    return [
        {
            "name": row.name,
            "trained": step,
            **{name: getattr(row.candidate, name) for name in ("epochs", "subset", "examples", "learning_rate")},
            **{name: getattr(row.predictors, name) for name in ("samples", "correct")},
            "pass_at": {str(int(k)): share for k, share in row.curve},
            "loss": row.loss,
            "losses": row.trajectory,
            "rewards": [pair for pair in row.rewards if pair[0] <= step],
            "validation": [pair for pair in row.validated if pair[0] <= step],
        }
        for (row,), step in zip((setting.rows for setting in pool.settings), reached.tolist(), strict=True)
    ]


def _make_pool(sweep: SweepResult) -> tuple[Pool, int | None]:
    """Returns the candidates of a run as a pool, and the gate's k."""
    rows, base, k = read_rows(sweep)
    pools = find_pools(rows, base)
    if not pools:
        run = sweep.origin.get("run", "a run")
        raise InputError(f"{run}: {explain_no_pool(rows)}; policies are scored where RL ran for all candidates")
    members = [Setting(row.name, [row]) for setting in pools[0].settings for row in setting.rows]
    # By name, because rows are in the order of their results, which a policy must not see.
    return make_pool(sorted(members, key=lambda member: member.name), base, pools[0].label), k


def _score(label: str, ends: np.ndarray, gate: np.ndarray | None, most: float) -> PolicyScore:
    shares, regrets = ends.T
    cost = float(shares.mean()), bound_mean(shares)
    if np.isnan(regrets).any():  # a gate may approve none
        return PolicyScore(label, *cost, None, None)
    interval: Interval | None = None
    if most:
        low, high = estimate_interval(np.minimum(regrets / most, 1))
        interval = low * most, high * most
    mine = PolicyScore(label, *cost, float(regrets.mean()), interval)
    if gate is None or label == GATE or np.isnan(gate).any():
        return mine
    gains = gate[:, 1] - regrets
    return dataclasses.replace(mine, gain=float(gains.mean()), gain_interval=bound_mean(gains))


def _load(file: str) -> Choose:
    """Returns the function of a file, which runs in a process of its own, with a plug-in's limits."""
    title, path = f"the policy {file}", Path(file).resolve()
    if not path.is_file():
        raise InputError(f"{file}: no such file; a policy is a Python file with a function choose")

    def choose(candidates: list[dict[str, Any]], steps: list[int]) -> dict[str, int]:
        given = json.dumps([candidates, steps])
        answer = find_pool(("rlready.analysis.serve_policy", str(path)), title).ask(given)
        chosen, fault = answer or ({}, "took too long")
        if fault:
            raise InputError(f"{title} {fault}")
        return dict(chosen)

    return choose
