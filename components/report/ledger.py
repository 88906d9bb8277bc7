"""What the experiment cost, and whether the gate saved more than it spent. The unit is the device-second: seconds x devices."""

import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from rlready.components.core.records import (
    CANDIDATE_STAGES,
    STAGE_NAMES,
    BenchmarkRecord,
    PredictorsRecord,
    RlRecord,
    SftRecord,
)
from rlready.components.report.comparison import Row
from rlready.components.report.document import Section, Table
from rlready.components.report.notation import MISSING, count

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
    entries = [
        Entry(order[stage], device, len(costs), math.fsum(costs)) for (stage, device), costs in sorted(known.items())
    ]
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


def describe_costs(rows: list[Row], base: Row, trains: bool = True) -> Section:
    """Returns the section on what the experiment cost, and what the gate saved of it if RL was asked for."""
    return Section("What it cost", _describe_balance(rows, base) if trains else [UNIT], _tabulate(rows, base))


def _tabulate(rows: list[Row], base: Row) -> Table:
    """Returns the device-seconds by stage and kind of device, header first and the sums last."""
    entries, unknown = list_entries(rows, base)
    table = [["Stage", "Device", "Runs", "Device-seconds"]]
    table += [[STAGES[e.stage], e.device, str(e.runs), f"{e.cost:,.1f}"] for e in entries]
    for device in dict.fromkeys(entry.device for entry in entries):
        of_kind = [entry for entry in entries if entry.device == device]
        total = f"{sum(entry.cost for entry in of_kind):,.1f}"
        table.append(["Sum", device, str(sum(entry.runs for entry in of_kind)), "at least " * bool(unknown) + total])
    for stage in CANDIDATE_STAGES:
        if failed := [row.failure for row in rows if row.failure and row.failure.stage == stage]:
            seconds = math.fsum(failure.seconds for failure in failed if failure.seconds is not None)
            least = f"at least {seconds:,.1f}" if seconds else MISSING  # of how many devices is not known
            table.append([f"{STAGE_NAMES[stage]}, failed", MISSING, str(len(failed)), least])
    return [*table, *([["Not recorded", MISSING, str(unknown), MISSING]] if unknown else [])]


def _describe_balance(rows: list[Row], base: Row) -> list[str]:
    """Returns what the gate avoided against what it cost, or why that cannot be computed."""
    found = balance(rows, base)
    if isinstance(found, str):
        return [found, UNIT]
    spent = (
        f"The predictors of all candidates and of the base model, which is what the gate costs, took {found.spent:,.0f}"
    )
    if found.skipped:
        error = "" if found.error is None else f" ± {found.error:,.0f}"
        avoided = (
            f"RL and benchmark of {count(found.skipped, 'candidate')} that got none would have taken about"
            f" {found.avoided:,.0f}{error}, at the mean of those that ran."
        )
    elif any(row.failure for row in rows):
        avoided = "RL was to run for every candidate that did not fail, so nothing was avoided."
    else:
        avoided = "RL ran for every candidate, so nothing was avoided."
    verdict = "the gate saved more than it cost" if found.net > 0 else "the gate cost more than it saved"
    said = [f"{spent} device-seconds. {avoided} Net: {found.net:+,.0f} device-seconds, {verdict}."]
    if found.refused:
        said.append(
            f"RL and benchmark of {count(found.refused, 'candidate')} that got them without being approved took"
            f" {found.avoidable:,.0f}: the price of the audit, and what the gate would have avoided without it."
        )
    return [*said, UNIT]
