"""Who comes first, before RL or after it, and how sure that is: of all, the one or the set that cannot be told from it."""

from collections.abc import Sequence

from rlready.analysis.comparison import Row, compare
from rlready.analysis.format import MISSING, name_some, show_estimate
from rlready.analysis.predictor import label_pass_at
from rlready.gate.lead import Lead
from rlready.stages.report.document import Section

NOTE = (
    "Each candidate is compared with the next on the problems that both were asked; in brackets: the 95 % interval of the"
    " difference. Where it holds 0 the two may as well stand the other way round: more problems (curate_predictor_problems)"
    " or samples (predictors_samples) would tell."
)


def tell_first(name: str, first: str, highest: str, leads: Sequence[tuple[str, Lead]]) -> str:
    """Says that one is first where it is so against each of the others, else from whom it cannot be told.

    With Bonferroni's correction for all that it is compared with, the true first is it or among these, as often as a single
    interval covers (Hsu 1981, Annals of Statistics 9).

    Args:
        name: Who has the highest figure.
        first: What to say of it where it is first.
        highest: What to say where it has the highest figure and no more is known.
        leads: The names of all others, and how far it is ahead of them.
    """
    level = [other for other, lead in leads if lead.low is not None and not lead.sure]
    unknown = [other for other, lead in leads if lead.low is None]
    if not level and not unknown:
        whom = leads[0][0] if len(leads) == 1 else f"each of the other {len(leads)}"
        return f"{name} {first}: ahead of {whom} beyond chance."
    said = [f"cannot be told from {name_some(level)}"] if level else []
    said += [f"whether it is ahead of {name_some(unknown)} beyond chance is unknown"] if unknown else []
    return f"{name} {highest}, but {', and '.join(said)}."


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
    shown = Lead(standing.lead, standing.low, standing.high).describe()
    return shown + ("" if standing.sure or standing.low is None else ", may be chance")


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
    first, *others = ordered
    label, figure = label_ranked(k, by), show_estimate(*read_ranked(first, by))
    if (greedy := first.predictors.greedy_pass_at_1) is not None:
        figure += f" (greedy Pass@1 {greedy:.3f})"
    comes = f"comes first by {label}, with {figure}"
    if not others:
        return [f"{first.name} {comes}; there is nobody to compare it with."]
    leads = [(row.name, compare(first, row, by or "pass_at_k", k, len(others))) for row in others]
    best = "lowest" if by == "generalization_loss" else "highest"
    pairs = ", ".join(f"{row.name} and {row.verdict.standing.ahead_of}" for row in others[:-1] if not row.verdict.standing.sure)
    lead = tell_first(first.name, comes, f"has the {best} {label}, {figure}", leads)
    return [lead] + ([f"The order may be chance between {pairs} too."] if pairs else [])
