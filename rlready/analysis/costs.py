"""What the experiment cost, and whether the gate saved more than it spent. The unit is the device-second: seconds x devices."""

import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from rlready.analysis.comparison import Row
from rlready.records.outcome import (
    CANDIDATE_STAGES,
    STAGE_NAMES,
    BenchmarkRecord,
    PredictorsRecord,
    RlRecord,
    SftRecord,
)

UNIT = "A device-second is one second on one device."
ELSEWHERE = "elsewhere"
STAGES = STAGE_NAMES | {ELSEWHERE: "RL elsewhere"}

Record = SftRecord | PredictorsRecord | RlRecord | BenchmarkRecord
Cost = tuple[str, float]  # kind of device, device-seconds


@dataclass(frozen=True)
class Entry:
    """What one stage cost on one kind of device.

    Attributes:
        stage: Name of the stage.
        device: Kind of device.
        runs: How many runs of the stage are in the sum.
        cost: Device-seconds.
    """

    stage: str
    device: str
    runs: int
    cost: float


@dataclass(frozen=True)
class Balance:
    """What the gate spent and saved.

    Attributes:
        device: Kind of device that everything ran on.
        spent: Device-seconds of the predictors, of all candidates and the base model.
        avoided: Estimated device-seconds of RL and benchmark for the candidates that it did not run for.
        error: Standard error of avoided; None with fewer than two runs of RL to learn from.
        skipped: How many candidates that is.
        avoidable: Measured device-seconds of RL and benchmark for those that were not approved and got it all the same.
        refused: How many candidates that is.
    """

    device: str
    spent: float
    avoided: float
    error: float | None
    skipped: int
    avoidable: float
    refused: int

    @property
    def net(self) -> float:
        """Avoided minus spent; negative if the gate cost more than it saved."""
        return self.avoided - self.spent


def measure_cost(record: Record) -> Cost | None:
    """Returns what a stage took, or None where that was not recorded."""
    if None in (record.seconds, record.devices):
        return None
    return record.device or "unnamed device", record.seconds * record.devices


def measure_elsewhere(row: Row) -> Cost | None:
    """Returns what RL elsewhere took by its owner's word, or None; a kind of device without a name is nobody else's."""
    theirs = row.elsewhere
    if theirs is None or theirs.device_hours is None:
        return None
    return theirs.device or "unnamed device elsewhere", 3600 * theirs.device_hours


def list_runs(rows: list[Row], base: Row) -> Iterator[tuple[str, Record]]:
    """Yields every run of a stage with its record; what candidates without SFT share with the base model counts once."""
    for row in (base, *rows):
        for stage in CANDIDATE_STAGES:
            record = getattr(row.outcome, stage)
            if record is not None and (row is base or record != getattr(base.outcome, stage)):
                yield stage, record


def list_entries(rows: list[Row], base: Row) -> tuple[list[Entry], int]:
    """Returns the costs by stage and kind of device, and how many runs are not in them because theirs was not measured."""
    known, unknown, order = {}, 0, [*STAGES]
    costs = [(stage, measure_cost(record)) for stage, record in list_runs(rows, base)]
    costs += [(ELSEWHERE, measure_elsewhere(row)) for row in rows if row.elsewhere]
    for stage, cost in costs:
        if cost is None:
            unknown += 1
        else:
            known.setdefault((order.index(stage), cost[0]), []).append(cost[1])
    entries = [Entry(order[stage], device, len(costs), math.fsum(costs)) for (stage, device), costs in sorted(known.items())]
    return entries, unknown


def balance(rows: list[Row], base: Row) -> Balance | str:
    """Sets the RL that the gate avoided against what the gate cost.

    A candidate that RL did not run for would have cost what the others cost in the mean; SFT counts on neither side,
    because it ran for all. Nor does what failed: nobody knows what it would have cost. RL elsewhere counts where its cost was
    recorded and its kind of device is the predictors'; other units cannot be added up.

    Args:
        rows: The candidates.
        base: The base model; its predictors are part of the gate's cost.

    Returns:
        The balance, or a sentence that says why there is none.
    """
    measured = [measure_cost(record) for stage, record in list_runs(rows, base) if stage == "predictors"]
    kinds = {cost[0] for cost in measured if cost}
    own = [row for row in rows if row.outcome.rl and row.outcome.benchmark]
    theirs = [row for row in rows if (cost := measure_elsewhere(row)) and cost[0] in kinds]
    finished = own + theirs
    if not finished:
        return "What the gate avoided cannot be computed: " + (
            "the cost of RL elsewhere is unknown, or of another kind of device than the predictors'."
            if any(row.elsewhere for row in rows)
            else "no candidate has finished RL, so its cost is unknown."
        )
    after = [[measure_cost(row.outcome.rl), measure_cost(row.outcome.benchmark)] for row in own]
    after += [[measure_elsewhere(row)] for row in theirs]
    needed = [*measured, *(cost for costs in after for cost in costs)]
    if base.outcome.predictors is None:
        needed.append(None)
    if missing := needed.count(None):
        return f"What the gate avoided cannot be computed: {missing} of the costs that it rests on were not recorded."
    devices = sorted({device for device, _ in needed})
    if len(devices) > 1:
        return (
            "What the gate avoided cannot be set against what it spent: the stages ran on different kinds of devices"
            f" ({', '.join(devices)}), and their seconds are not alike."
        )
    costs = [sum(seconds for _, seconds in parts) for parts in after]
    without = [row for row in rows if row.outcome.rl is None and row.failure is None and row.elsewhere is None]
    skipped = sum(row.verdict.decision != "approved" for row in without)  # for the approved it is still to come
    deviation = statistics.stdev(costs) if len(costs) > 1 else None
    refused = [
        cost
        for row, cost in zip(finished, costs, strict=True)
        if row.verdict.decision not in ("approved", "") and row.verdict.mode != "off"
    ]
    return Balance(
        devices[0],
        math.fsum(seconds for _, seconds in measured),
        skipped * statistics.fmean(costs),
        None if deviation is None else deviation * math.sqrt(skipped + skipped**2 / len(costs)),
        skipped,
        math.fsum(refused),
        len(refused),
    )
