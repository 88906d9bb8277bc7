"""What the run cost by stage, and what the gate saved."""

import math

from rlready.analysis.comparison import Row
from rlready.analysis.costs import STAGES, UNIT, balance, list_entries
from rlready.analysis.format import MISSING, count
from rlready.records.outcome import CANDIDATE_STAGES, STAGE_NAMES
from rlready.stages.report.document import Section, Table


def describe_costs(rows: list[Row], base: Row, trains: bool = True) -> Section:
    """Returns the section on what the experiment cost, and what the gate saved of it if RL was asked for."""
    return Section("Cost", _describe_balance(rows, base) if trains else [UNIT], _tabulate(rows, base))


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
    spent = f"The gate cost {found.spent:,.0f} device-seconds: the predictors of all candidates and of the base model."
    if found.skipped:
        error = "" if found.error is None else f" ± {found.error:,.0f}"
        avoided = (
            f"RL and benchmark of {count(found.skipped, 'candidate')} without RL would have taken about"
            f" {found.avoided:,.0f}{error},"
            " at the mean of those that ran."
        )
    elif any(row.failure for row in rows):
        avoided = "RL ran for every candidate that did not fail, so nothing was saved."
    else:
        avoided = "RL ran for every candidate, so nothing was saved."
    verdict = "the gate saved more than it cost" if found.net > 0 else "the gate cost more than it saved"
    said = [f"{spent} {avoided} Net: {found.net:+,.0f} device-seconds, {verdict}."]
    if found.refused:
        said.append(
            f"RL and benchmark of {count(found.refused, 'candidate')} that the gate had not approved took"
            f" {found.avoidable:,.0f}: the cost of the audit."
        )
    return [*said, UNIT]
