"""Writes the report: which checkpoint was worth its RL, and whether the predictors were right."""

import html
from collections import Counter
from pathlib import Path
from string import Template

from rlready.components.core.records import Outcome, write_atomically
from rlready.components.report.comparison import (
    STAGES,
    Row,
    count_standard_errors,
    find_k,
    flatten,
    judge_predictor,
    label_predictors,
    order,
)
from rlready.components.report.plots import Plot, draw_plots

MISSING = "–"
DECISIONS = ("approved", "rejected", "undecided")
TEXT_COLUMNS = ("Candidate", "Subset", "Verdict", "Reason", "Predictor")
FEW_POINTS = 8
CLEAR_DISTANCE = 2  # standard errors of the difference
MOST_NAMES = 4
MARKDOWN_SYNTAX = str.maketrans({char: f"&#{ord(char)};" for char in "|\\`*[]"})

Table = list[list[str]]


def write_report(title: str, outcomes: list[Outcome], reference: Outcome, html: Path, markdown: Path) -> None:
    """Writes the report as one self-contained page, and its text and tables as Markdown.

    Args:
        title: The heading.
        outcomes: The candidates, in any order.
        reference: The base model: its predictors, and a benchmark without RL.
        html: Where the page goes.
        markdown: Where the summary goes.
    """
    k = find_k(outcomes)
    rows, base = order([flatten(outcome, k) for outcome in outcomes]), flatten(reference, k)
    result, caveats = describe_result(rows, base), list_caveats(rows)
    tables = {
        "Candidates": tabulate_candidates(rows, base, k),
        "Predictors": tabulate_predictors(rows, k),
        "Seconds": tabulate_seconds(rows, base),
    }
    write_atomically(html, _render_html(title, result, caveats, tables, draw_plots(rows, base, k)))
    write_atomically(markdown, _render_markdown(title, result, caveats, tables))


def describe_result(rows: list[Row], base: Row) -> list[str]:
    """Returns the result in plain words, the most important sentence first.

    Args:
        rows: The candidates, ordered.
        base: The base model.

    Returns:
        Sentences without markup.
    """
    finished = [row for row in rows if row.score is not None]
    decisions = Counter(row.decision or "without a verdict" for row in rows)
    counts = ", ".join(
        f"{decisions[name]} {name}" for name in (*DECISIONS[:2], *sorted(decisions.keys() - DECISIONS[:2]))
    )
    counted = f"{len(rows)} candidate{'' if len(rows) == 1 else 's'}: {counts}."
    unaided = [] if base.score is None else [f"The base model without SFT and RL scores {_show_score(base)}."]
    if not finished:
        return ["No candidate has finished RL, so which one is worth it remains open.", counted, *unaided]
    best = finished[0]
    if len(finished) == 1:
        only = (
            f"Only {_name(best)} has finished RL, with Pass@1 {_show_score(best)}; there is nothing to compare it with."
        )
        return [only, counted, *unaided]
    lead = f"{_name(best)} ended best after RL, with Pass@1 {_show_score(best)}."
    return [lead, counted, *_describe_rivals(best, finished[1:]), *_describe_favourite(best, rows), *unaided]


def _describe_rivals(best: Row, others: list[Row]) -> list[str]:
    distances = [(row, count_standard_errors(best, row)) for row in others]
    level = [_name(row) for row, d in distances if row.score == best.score or (d is not None and d < CLEAR_DISTANCE)]
    if not level:
        return []
    more = f" and {len(level) - MOST_NAMES} more" if len(level) > MOST_NAMES else ""
    return [
        f"Within {CLEAR_DISTANCE} standard errors of it, so not clearly worse: {', '.join(level[:MOST_NAMES])}{more}."
    ]


def _describe_favourite(best: Row, rows: list[Row]) -> list[str]:
    measured = [row for row in rows if row.sft_pass_at_1 is not None]
    if best.sft_pass_at_1 is None or not measured:
        return ["Whether the best Pass@1 after SFT told this cannot be said: it was not measured."]
    favourite, leader = (
        max(group, key=lambda row: row.sft_pass_at_1)
        for group in (measured, [row for row in measured if row.score is not None])
    )
    said = []
    if favourite.score is None and favourite.sft_pass_at_1 > leader.sft_pass_at_1:
        said.append(
            f"The best Pass@1 (T=1) after SFT, {_show(favourite.sft_pass_at_1)}, belongs to {_name(favourite)}, "
            f"which has no result of RL ({favourite.decision or 'no verdict'}); how it would have ended is unknown."
        )
    among = "Among those that finished RL, the" if said else "The"
    if leader.score == best.score or leader.sft_pass_at_1 == best.sft_pass_at_1:
        return [
            *said,
            f"{among} best Pass@1 (T=1) after SFT, {_show(leader.sft_pass_at_1)}, was also the best after RL.",
        ]
    distance = count_standard_errors(best, leader)
    lower = _show(best.score - leader.score)
    errors = "" if distance is None else f" ({distance:.1f} standard errors)"
    return [
        *said,
        f"{among} best Pass@1 (T=1) after SFT was not the best after RL: {_name(leader)} led with "
        f"{_show(leader.sft_pass_at_1)} and ended at {_show_score(leader)}, {lower} lower{errors}.",
    ]


def list_caveats(rows: list[Row]) -> list[str]:
    """Returns what limits the correlations of the predictors."""
    points = sum(row.score is not None for row in rows)
    said = []
    if points < FEW_POINTS:
        said.append(
            f"Few points ({points} with a result of RL, fewer than {FEW_POINTS}): the correlations are weak evidence."
        )
    if any(row.mode == "enforce" for row in rows):
        said.append(
            "Rejected candidates have no post-RL score, so the correlations cover the approved ones only; "
            "the gate's modes audit and off run RL for all."
        )
    return [
        *said,
        "The loss is judged on random subsets only, because losses on different data distributions are not comparable; "
        "its correlation is that of minus the loss, so that more is better for every predictor.",
        "R² is that of the least-squares line through the same points.",
    ]


def tabulate_candidates(rows: list[Row], base: Row, k: int | None) -> Table:
    """Returns the candidates' table, header first and the base model last."""
    labels = label_predictors(k)
    results = ["Verdict", "Post-RL Pass@1", "Post-RL greedy", "Reason"]
    header = ["Candidate", "Epochs", "Subset", *labels.values(), *results]
    table = [header]
    for row in rows:
        measured = [_show(getattr(row, field)) for field in labels]
        setting = [row.candidate.candidate_id, str(row.candidate.epochs), row.candidate.subset]
        result = [row.decision or MISSING, _show_score(row), _show(row.score_greedy), row.reason or MISSING]
        table.append([*setting, *measured, *result])
    measured = [_show(getattr(base, field)) for field in labels]
    scores = [_show_score(base), _show(base.score_greedy)]
    return [*table, ["base model, no RL", MISSING, MISSING, *measured, MISSING, *scores, MISSING]]


def tabulate_predictors(rows: list[Row], k: int | None) -> Table:
    """Returns the predictors' table, header first."""
    table = [["Predictor", "Points", "Spearman", "R²"]]
    for field, label in label_predictors(k).items():
        judged = judge_predictor(rows, field)
        undefined = "not enough points" if judged.points < 3 else "undefined: all equal"
        figures = [undefined if value is None else f"{value:.2f}" for value in (judged.spearman, judged.r_squared)]
        name = f"Minus {label[0].lower()}{label[1:]} (random subsets)" if field == "loss" else label
        table.append([name, str(judged.points), *figures])
    return table


def tabulate_seconds(rows: list[Row], base: Row) -> Table:
    """Returns the seconds by stage, header first and the totals last."""
    named = [*((row.candidate.candidate_id, row.seconds) for row in rows), ("base model", base.seconds)]
    totals = {stage: _sum([seconds[stage] for _, seconds in named]) for stage in STAGES}
    table = [["Candidate", "SFT", "Predictors", "RL", "Benchmark", "Total"]]
    for name, seconds in [*named, ("Total", totals)]:
        values = [seconds[stage] for stage in STAGES]
        table.append([name, *(MISSING if value is None else f"{value:,.1f}" for value in (*values, _sum(values)))])
    return table


def _sum(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _show(value: float | None) -> str:
    return MISSING if value is None else f"{value:.3f}"


def _show_score(row: Row) -> str:
    return _show(row.score) if row.standard_error is None else f"{_show(row.score)} ± {_show(row.standard_error)}"


def _name(row: Row) -> str:
    return row.candidate.candidate_id


def _render_html(title: str, result: list[str], caveats: list[str], tables: dict[str, Table], plots: list[Plot]) -> str:
    figures = [
        f"<figure><h3>{html.escape(plot.title)}</h3>{plot.drawing}<figcaption>{html.escape(plot.caption)}</figcaption></figure>"
        for plot in plots
    ]
    return Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8")).substitute(
        title=html.escape(title),
        lead=html.escape(result[0]),
        result=_tag_all("p", result[1:]),
        caveats=_tag_all("li", caveats),
        figures="\n".join(figures),
        **{name.lower(): _render_html_table(name, table) for name, table in tables.items()},
    )


def _tag_all(tag: str, texts: list[str]) -> str:
    return "\n".join(f"<{tag}>{html.escape(text)}</{tag}>" for text in texts)


def _render_html_table(name: str, table: Table) -> str:
    header, *body = table
    classes = [f' class="{column.lower()}"' if column in TEXT_COLUMNS else "" for column in header]
    head = "".join(
        f'<th scope="col"{kind}>{html.escape(text)}</th>' for text, kind in zip(header, classes, strict=True)
    )
    lines = []
    for first, *rest in body:
        cells = [
            f"<td{kind}>{_badge(text) if column == 'Verdict' else html.escape(text)}</td>"
            for column, kind, text in zip(header[1:], classes[1:], rest, strict=True)
        ]
        lines.append(f'<tr><th scope="row"{classes[0]}>{html.escape(first)}</th>{"".join(cells)}</tr>')
    rows = "\n".join(lines)
    summed = "" if name == "Predictors" else " summed"
    return (
        f'<div class="scroll{summed}" role="region" aria-label="{html.escape(name)}" tabindex="0">'
        f"<table><thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table></div>"
    )


def _badge(decision: str) -> str:
    return f'<span class="badge {decision}">{decision}</span>' if decision in DECISIONS else html.escape(decision)


def _render_markdown(title: str, result: list[str], caveats: list[str], tables: dict[str, Table]) -> str:
    lines = [f"# {_escape_markdown(title)}", f"**{_escape_markdown(result[0])}**", *map(_escape_markdown, result[1:])]
    for name, table in tables.items():
        lines += [f"## {name}", _render_markdown_table(table)]
        if name == "Predictors":
            lines.append("\n".join(f"- {_escape_markdown(text)}" for text in caveats))
    return "\n\n".join(lines) + "\n"


def _render_markdown_table(table: Table) -> str:
    header, *body = ([_escape_markdown(text) for text in row] for row in table)
    rule = ["---" if column in TEXT_COLUMNS else "---:" for column in table[0]]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, rule, *body))


def _escape_markdown(text: str) -> str:
    return html.escape(" ".join(text.split()), quote=False).translate(MARKDOWN_SYNTAX)
