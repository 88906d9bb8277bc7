"""What the experiment cost, and whether the gate saved more than it spent. The unit is the device-second: seconds x devices."""

import math
import statistics
from dataclasses import dataclass

from rlready.components.core.records import AFTER_RL as RL_STAGES
from rlready.components.core.records import CANDIDATE_STAGES as STAGES
from rlready.components.report.comparison import Row


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


def list_entries(rows: list[Row], base: Row) -> tuple[list[Entry], int]:
    """Returns the costs by stage and kind of device, and how many runs are not in them because theirs was not measured."""
    known, unknown = {}, 0
    for row in (*rows, base):
        for stage in row.ran:
            if row.costs[stage] is None:
                unknown += 1
            else:
                device, cost = row.costs[stage]
                known.setdefault((STAGES.index(stage), device), []).append(cost)
    entries = [
        Entry(STAGES[stage], device, len(costs), math.fsum(costs)) for (stage, device), costs in sorted(known.items())
    ]
    return entries, unknown


def balance(rows: list[Row], base: Row) -> Balance | str:
    """Sets the RL that the gate avoided against what the gate cost.

    A candidate that RL did not run for would have cost what the others cost in the mean; SFT counts on neither side,
    because it ran for all.

    Args:
        rows: The candidates.
        base: The base model; its predictors are part of the gate's cost.

    Returns:
        The balance, or a sentence that says why there is none.
    """
    finished = [row for row in rows if set(RL_STAGES) <= set(row.ran)]
    if not finished:
        return "What the gate avoided cannot be computed: no candidate has finished RL, so its cost is unknown."
    needed = [row.costs["predictors"] for row in (*rows, base)]
    needed += [row.costs[stage] for row in finished for stage in RL_STAGES]
    if None in needed:
        missing = sum(cost is None for cost in needed)
        return f"What the gate avoided cannot be computed: {missing} of the costs that it rests on were not recorded."
    devices = sorted({device for device, _ in needed})
    if len(devices) > 1:
        return (
            "What the gate avoided cannot be set against what it spent: the stages ran on different kinds of devices"
            f" ({', '.join(devices)}), and their seconds are not alike."
        )

    def sum_up(row: Row) -> float:
        return sum(row.costs[stage][1] for stage in RL_STAGES)

    costs, skipped = [sum_up(row) for row in finished], sum("rl" not in row.ran for row in rows)
    deviation = statistics.stdev(costs) if len(costs) > 1 else None
    refused = [row for row in finished if row.decision not in ("approved", None) and row.mode != "off"]
    return Balance(
        devices[0],
        math.fsum(row.costs["predictors"][1] for row in (*rows, base)),
        skipped * statistics.fmean(costs),
        None if deviation is None else deviation * math.sqrt(skipped + skipped**2 / len(costs)),
        skipped,
        math.fsum(map(sum_up, refused)),
        len(refused),
    )
