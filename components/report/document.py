"""The report as a page and as Markdown. Every text comes from outside until it is escaped: names and reasons may be hostile."""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

from rlready.components.report.plots import Plot

DECISIONS = ("approved", "rejected", "undecided")
AUDITED = " (audited)"
TEXT_COLUMNS = ("Candidate", "Setting", "Subset", "Verdict", "Reason", "Predictor", "Chosen", "Stage", "Device")
MARKDOWN_SYNTAX = str.maketrans({char: f"&#{ord(char)};" for char in "|\\`*[]"})

Table = list[list[str]]


@dataclass(frozen=True)
class Section:
    """A part of the report; all of it is plain text but the plots' drawings.

    Attributes:
        title: Its heading.
        texts: Paragraphs.
        table: Rows of cells, the header first; or empty.
        notes: What to know about the table.
        plots: Shown on the page only.
        summed: Whether the table's last row is set off from the others.
        folded: Whether the page shows the table only when asked to.
    """

    title: str
    texts: Sequence[str] = ()
    table: Table = field(default_factory=list)
    notes: Sequence[str] = ()
    plots: Sequence[Plot] = ()
    summed: bool = False
    folded: bool = False


def render_html(title: str, result: Sequence[str], sections: Sequence[Section]) -> str:
    """Returns the report as one page that needs nothing from outside.

    Args:
        title: The heading.
        result: The result in sentences, the most important first.
        sections: What follows.
    """
    return Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8")).substitute(
        title=html.escape(title),
        lead=html.escape(result[0]),
        result=_tag_all("p", result[1:]),
        sections="\n".join(map(_render_section, sections)),
    )


def _render_section(section: Section) -> str:
    parts = [f"<h2>{html.escape(section.title)}</h2>", _tag_all("p", section.texts)]
    if section.table:
        table = _render_html_table(section)
        if section.folded:
            table = f"<details><summary>{len(section.table) - 1} rows</summary>\n{table}</details>"
        parts.append(table)
    if section.notes:
        parts.append(f"<ul>\n{_tag_all('li', section.notes)}\n</ul>")
    if section.plots:
        figures = "\n".join(
            f"<figure><h3>{html.escape(plot.title)}</h3>{plot.drawing}"
            f"<figcaption>{html.escape(plot.caption)}</figcaption></figure>"
            for plot in section.plots
        )
        parts.append(f'<div class="plots">\n{figures}\n</div>')
    return "\n".join(part for part in parts if part)


def _tag_all(tag: str, texts: Sequence[str]) -> str:
    return "\n".join(f"<{tag}>{html.escape(text)}</{tag}>" for text in texts)


def _render_html_table(section: Section) -> str:
    header, *body = section.table
    classes = [f' class="{column.lower()}"' if column in TEXT_COLUMNS else "" for column in header]
    head = "".join(
        f'<th scope="col"{kind}>{html.escape(text)}</th>' for text, kind in zip(header, classes, strict=True)
    )
    lines = []
    for first, *rest in body:
        cells = [
            f"<td{kind}>{_render_cell(column, text)}</td>"
            for column, kind, text in zip(header[1:], classes[1:], rest, strict=True)
        ]
        lines.append(f'<tr><th scope="row"{classes[0]}>{html.escape(first)}</th>{"".join(cells)}</tr>')
    rows = "\n".join(lines)
    summed = " summed" if section.summed else ""
    return (
        f'<div class="scroll{summed}" role="region" aria-label="{html.escape(section.title)}" tabindex="0">'
        f"<table><thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table></div>"
    )


def _render_cell(column: str, text: str) -> str:
    if column == "Verdict":
        decision = text.removesuffix(AUDITED)
        mark = '<span class="mark">audited</span>' if text.endswith(AUDITED) else ""
        if decision in DECISIONS:
            return f'<span class="badge {decision}">{decision}</span>{mark}'
    uncertain = column not in TEXT_COLUMNS and re.fullmatch(r"([^ ]+) ([\[±(].*)", text)
    if uncertain:
        return f'{html.escape(uncertain[1])} <span class="interval">{html.escape(uncertain[2])}</span>'
    return html.escape(text)


def render_markdown(title: str, result: Sequence[str], sections: Sequence[Section]) -> str:
    """Returns the report's texts and tables as Markdown; the arguments are those of `render_html`."""
    lines = [f"# {_escape_markdown(title)}", f"**{_escape_markdown(result[0])}**", *map(_escape_markdown, result[1:])]
    for section in sections:
        parts = [*map(_escape_markdown, section.texts)]
        if section.table:
            parts.append(_render_markdown_table(section.table))
        if section.notes:
            parts.append("\n".join(f"- {_escape_markdown(text)}" for text in section.notes))
        if parts:
            lines += [f"## {_escape_markdown(section.title)}", *parts]
    return "\n\n".join(lines) + "\n"


def _render_markdown_table(table: Table) -> str:
    header, *body = ([_escape_markdown(text) for text in row] for row in table)
    rule = ["---" if column in TEXT_COLUMNS else "---:" for column in table[0]]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, rule, *body))


def _escape_markdown(text: str) -> str:
    return html.escape(" ".join(text.split()), quote=False).translate(MARKDOWN_SYNTAX)
