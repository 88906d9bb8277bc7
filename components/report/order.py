"""The order of the candidates before RL, and how sure it is: what a run without RL comes to."""

from rlready.components.report.comparison import Row
from rlready.components.report.document import Section
from rlready.components.report.notation import MISSING, show, show_estimate
from rlready.components.report.predictors import label_pass_at

NOTE = (
    "Each candidate is compared with the next on the problems that both were asked; in brackets: the 95 % interval of the"
    " difference. Where it holds 0 the two may as well stand the other way round: more problems (curate_predictor_problems)"
    " or samples (predictors_samples) would tell."
)


def label_ranked(k: int | None, by: str | None) -> str:
    """Returns what the candidates are ranked by, in words."""
    return {"pass_at_1": "Pass@1", "generalization_loss": "loss"}.get(by, label_pass_at(k))


def read_ranked(row: Row, by: str | None) -> tuple[float | None, tuple[float, float] | None]:
    """Returns what a candidate is ranked by, and its 95 % interval."""
    if by == "pass_at_1":
        return row.sft_pass_at_1, row.read_interval_at(1)
    if by == "generalization_loss":
        return row.loss, row.loss_interval
    return row.pass_at_k, row.pass_at_k_interval


def sort_by_place(rows: list[Row]) -> list[Row]:
    """Returns the candidates that have a place, the first one first."""
    return sorted((row for row in rows if row.verdict.standing), key=lambda row: row.verdict.standing.place)


def show_lead(row: Row) -> str:
    """Returns how far a candidate is ahead of the next, with the interval; a dash for the last."""
    standing = row.verdict.standing
    if standing is None or standing.lead is None:
        return MISSING
    interval = "" if standing.low is None else f" [{standing.low:+.3f}, {standing.high:+.3f}]"
    return f"{standing.lead:.3f}{interval}" + ("" if standing.sure else ", may be chance")


def describe_order(rows: list[Row], k: int | None, by: str | None) -> list[Section]:
    """Returns the section on the order, or none where nobody has a place.

    Args:
        rows: The candidates.
        k: The gate's k.
        by: What it ranks by.
    """
    ordered = sort_by_place(rows)
    if not ordered:
        return []
    table = [["Place", "Candidate", label_ranked(k, by), "Ahead of the next by"]]
    for row in ordered:
        table.append([str(row.verdict.standing.place), row.name, show_estimate(*read_ranked(row, by)), show_lead(row)])
    return [Section("The order, and how sure it is", [], table, [NOTE])]


def tell_order(rows: list[Row], k: int | None, by: str | None) -> list[str]:
    """Returns who comes first and how sure that is, in words; nothing where nobody has a place."""
    ordered = sort_by_place(rows)
    if not ordered:
        return []
    first, standing, label = ordered[0], ordered[0].verdict.standing, label_ranked(k, by)
    said = f"{first.name} comes first by {label}, with {show_estimate(*read_ranked(first, by))}"
    if standing.lead is None:
        return [f"{said}; there is nobody to compare it with."]
    if not standing.lead:
        return [f"{first.name} and {standing.ahead_of} tie by {label}, with {show_estimate(*read_ranked(first, by))}."]
    sure = "more than chance" if standing.sure else "which may be chance"
    interval = "" if standing.low is None else f" [{standing.low:+.3f}, {standing.high:+.3f}]"
    lead = f"{said}: {show(standing.lead)}{interval} ahead of {standing.ahead_of}, {sure}."
    unsure = [row for row in ordered[1:-1] if not row.verdict.standing.sure]
    pairs = ", ".join(f"{row.name} and {row.verdict.standing.ahead_of}" for row in unsure)
    return [lead] + ([f"The order may be chance between {pairs} too."] if unsure else [])
