"""What the experiment cost, and whether the gate saved more than it spent, in device-seconds: seconds x devices."""

import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from rlready.analysis.comparison import Row
from rlready.records.outcome import CANDIDATE_STAGES, STAGE_NAMES, BenchmarkRecord, PredictorsRecord, RlRecord, SftRecord

UNIT = "A device-second is one second on one device."
ELSEWHERE = "elsewhere"
STAGES = STAGE_NAMES | {ELSEWHERE: "External RL"}
EXTERNAL = "the cost of external RL is unknown, or is of another kind of device than the predictors'"

Record = SftRecord | PredictorsRecord | RlRecord | BenchmarkRecord
Cost = tuple[str, float]  # kind of device, device-seconds


@dataclass(frozen=True)
class Entry:
    """Device-seconds of one stage on one kind of device, summed over this many runs."""

    stage: str
    device: str
    runs: int
    cost: float


@dataclass(frozen=True)
class Balance:
    """What the gate, and the race if there is one, cost and avoided, in device-seconds."""

    device: str  # the kind of device that everything ran on
    spent: float  # cost of the predictors, for all candidates and the base model
    mean: float  # mean cost of RL and benchmark for a candidate
    skipped: int  # number of candidates without RL, or whose RL the race ended
    error: float | None  # standard error of `avoided`; None if RL ran fewer than twice
    avoidable: float  # measured cost of RL and benchmark that only an audit let run
    refused: int  # number of candidates that got it
    dropped: int = 0  # number of the skipped candidates that the race dropped
    probed: float = 0.0  # measured cost of RL up to the race, for those of them that the gate had sent to RL

    @property
    def avoided(self) -> float:
        """Estimated cost of RL and benchmark for the candidates without RL."""
        return self.skipped * self.mean

    @property
    def net(self) -> float:
        """What the gate saves without an audit; negative if it costs more than it avoids."""
        return self.avoided + self.avoidable - self.spent - self.probed


def measure_cost(record: Record | None) -> Cost | None:
    """Returns what a stage took, or None if that was not recorded."""
    if record is None or record.seconds is None or record.devices is None:
        return None
    return record.device or "unnamed device", record.seconds * record.devices


def measure_elsewhere(row: Row) -> Cost | None:
    """Returns what external RL took as reported by its owner, or None; an unnamed kind of device matches no other."""
    external = row.elsewhere
    if external is None or external.device_hours is None:
        return None
    return external.device or "unnamed external device", 3600 * external.device_hours


def measure_rl(row: Row) -> list[Cost | None]:
    """Returns the costs of RL and its benchmark; external RL has one for both."""
    if row.elsewhere:
        return [measure_elsewhere(row)]
    return [measure_cost(row.outcome.rl), measure_cost(row.outcome.benchmark)]


def list_runs(rows: list[Row], base: Row) -> Iterator[tuple[str, Record]]:
    """Yields every run of a stage with its record; what candidates without SFT share with the base model, or those of one
    training with each other, counts once."""
    for row in (base, *rows):
        for stage in CANDIDATE_STAGES:
            record = getattr(row.outcome, stage)
            own = row is base or record != getattr(base.outcome, stage)
            if record is not None and own and not (stage == "sft" and row.candidate.is_midway):
                yield stage, record


def list_entries(rows: list[Row], base: Row) -> tuple[list[Entry], int]:
    """Returns the costs by stage and kind of device, and the number of runs whose cost was not recorded."""
    costs = [(stage, measure_cost(record)) for stage, record in list_runs(rows, base)]
    costs += [(ELSEWHERE, measure_elsewhere(row)) for row in rows if row.elsewhere]
    known: dict[tuple[int, str], list[float]] = {}
    for stage, cost in costs:
        if cost:
            known.setdefault(([*STAGES].index(stage), cost[0]), []).append(cost[1])
    entries = [Entry([*STAGES][place], kind, len(found), math.fsum(found)) for (place, kind), found in sorted(known.items())]
    return entries, sum(cost is None for _, cost in costs)


def balance(rows: list[Row], base: Row) -> Balance | str:
    """Compares the cost of the RL that the gate avoided with the cost of the gate; returns why there is no balance, if so.

    A candidate without RL would have cost the mean of the others. SFT counts on neither side, because it ran for all, and
    failed candidates count on neither, because their cost is unknown. External RL counts if its cost was recorded on the
    predictors' kind of device. The predictors of the base model are part of the gate's cost. What the race dropped costs its
    RL until then if the gate had approved it, and nothing if only an audit had sent it to RL.
    """
    measured = [measure_cost(record) for stage, record in list_runs(rows, base) if stage == "predictors"]
    kinds = {cost[0] for cost in measured if cost}
    finished = [row for row in rows if row.outcome.rl and row.outcome.benchmark]
    finished += [row for row in rows if (cost := measure_elsewhere(row)) and cost[0] in kinds]
    if not finished:
        return EXTERNAL if any(row.elsewhere for row in rows) else "no candidate has finished RL"
    after = [measure_rl(row) for row in finished]
    dropped = [row for row in rows if row.dropped]
    probes = [measure_cost(row.outcome.rl) for row in dropped if row.sent]
    needed = [*measured, *(cost for parts in after for cost in parts), *probes]
    if missing := needed.count(None) + (base.outcome.predictors is None):
        return f"{missing} of the costs needed {'was' if missing == 1 else 'were'} not recorded"
    devices = sorted({cost[0] for cost in needed if cost})
    if len(devices) > 1:
        return f"the stages ran on different kinds of devices ({', '.join(devices)})"
    costs = [sum(cost[1] for cost in parts if cost) for parts in after]
    without = [row for row in rows if row.outcome.rl is None and row.failure is None and row.elsewhere is None]
    skipped = sum(not row.approved for row in without) + len(dropped)  # RL of the approved is still to come
    deviation = statistics.stdev(costs) if len(costs) > 1 else None
    audited = [_find_avoidable(row) for row in finished]
    refused = [share * cost for share, cost in zip(audited, costs, strict=True) if share]
    return Balance(
        device=devices[0],
        spent=math.fsum(cost[1] for cost in measured if cost),
        mean=statistics.fmean(costs),
        skipped=skipped,
        error=None if deviation is None else deviation * math.sqrt(skipped + skipped**2 / len(costs)),
        avoidable=math.fsum(refused),
        refused=len(refused),
        dropped=len(dropped),
        probed=math.fsum(cost[1] for cost in probes if cost),
    )


def _find_avoidable(row: Row) -> float:
    """Returns the share of the cost of a candidate's RL and benchmark that it would not have had without an audit."""
    if row.verdict.decision and not row.sent:
        return 1.0
    costs, rl, race = measure_rl(row), row.outcome.rl, row.outcome.race
    if not row.outrun or row.elsewhere or not costs[0] or not costs[1] or not (rl and rl.steps and race and race.step):
        return 0.0
    return 1 - costs[0][1] * race.step / rl.steps / (costs[0][1] + costs[1][1])
