"""The ranking before RL, and which candidate is first: the one, or the set that is not clearly worse."""

from collections.abc import Sequence

from rlready.analysis.comparison import Row, compare
from rlready.analysis.format import name_some, show_estimate, show_lead
from rlready.analysis.predictor import label_pass_at
from rlready.gate.lead import Lead
from rlready.records.verdicts import Standing
from rlready.stages.report.document import Section

NOTE = (
    "Each candidate is compared with the next on the problems that both were asked; in brackets: the 95% interval of the"
    " difference. If it contains 0, the order of the two may be chance: use more problems"
    " (curate_predictor_problems) or samples"
    " (predictors_samples)."
)


def tell_first(name: str, first: str, highest: str, leads: Sequence[tuple[str, Lead]]) -> str:
    """Returns that one is first, if it is clearly ahead of each of the others, else which ones are not clearly worse.

    With Bonferroni's correction for all comparisons, the true first is it or among these as often as a single interval covers
    (Hsu 1981, Annals of Statistics 9).

    Args:
        name: Who has the highest figure.
        first: What to say if it is first.
        highest: What to say if it only has the highest figure.
        leads: The names of all others, and its lead over them.
    """
    level = [other for other, lead in leads if lead.low is not None and not lead.sure]
    unknown = [other for other, lead in leads if lead.low is None]
    if not level and not unknown:
        whom = leads[0][0] if len(leads) == 1 else f"each of the other {len(leads)}"
        return f"{name} {first}: ahead of {whom} beyond chance."
    said = [f"{name} {highest}."]
    said += [f"Not clearly worse: {name_some(level)}."] if level else []
    said += [f"Whether it is ahead of {name_some(unknown)} beyond chance is unknown."] if unknown else []
    return " ".join(said)


def label_ranked(k: int | None, by: str | None) -> str:
    """Returns the name of what the candidates are ranked by."""
    return {"pass_at_1": "Pass@1", "generalization_loss": "loss"}.get(by or "", label_pass_at(k))


def read_ranked(row: Row, by: str | None) -> tuple[float | None, tuple[float, float] | None]:
    """Returns what a candidate is ranked by, and its 95 % interval."""
    if by == "pass_at_1":
        return row.sft_pass_at_1, row.read_interval_at(1)
    if by == "generalization_loss":
        return row.loss, row.loss_interval
    return row.pass_at_k, row.pass_at_k_interval


def sort_by_place(rows: list[Row]) -> list[tuple[Row, Standing]]:
    """Returns the candidates that have a place, first place first."""
    ranked = [(row, row.verdict.standing) for row in rows if row.verdict.standing]
    return sorted(ranked, key=lambda pair: pair[1].place)


def describe_order(rows: list[Row], k: int | None, by: str | None) -> list[Section]:
    """Returns the section on the ranking by the gate's measure, or none if no candidate has a place."""
    ordered = sort_by_place(rows)
    if not ordered:
        return []
    table = [["Place", "Candidate", label_ranked(k, by), "Ahead of the next by"]]
    for row, standing in ordered:
        table.append([str(standing.place), row.name, show_estimate(*read_ranked(row, by)), show_lead(row)])
    return [Section("Ranking", [], table, [NOTE])]


def tell_order(rows: list[Row], k: int | None, by: str | None) -> list[str]:
    """Returns who comes first and how sure that is; nothing if no candidate has a place."""
    ordered = sort_by_place(rows)
    if not ordered:
        return []
    (first, _), *others = ordered
    label, figure = label_ranked(k, by), show_estimate(*read_ranked(first, by))
    if (greedy := first.predictors.greedy_pass_at_1) is not None:
        figure += f" (greedy Pass@1 {greedy:.3f})"
    comes = f"comes first by {label}, with {figure}"
    if not others:
        return [f"{first.name} {comes}; there is no other to compare it with."]
    leads = [(row.name, compare(first, row, by or "pass_at_k", k, len(others))) for row, _ in others]
    best = "lowest" if by == "generalization_loss" else "highest"
    pairs = ", ".join(f"{row.name} and {standing.ahead_of}" for row, standing in others[:-1] if not standing.sure)
    lead = tell_first(first.name, comes, f"has the {best} {label}, {figure}", leads)
    return [lead] + ([f"The order may also be chance between {pairs}."] if pairs else [])
