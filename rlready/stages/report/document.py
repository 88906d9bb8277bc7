"""The report as a page and as Markdown. Every text comes from outside until it is escaped: names and reasons may be hostile."""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from textwrap import shorten

DECISIONS = ("approved", "rejected", "undecided")
TEXT_COLUMNS = (
    "Candidate",
    "Setting",
    "Subset",
    "Verdict",
    "Reason",
    "Predictor",
    "Policy",
    "Among",
    "Chosen",
    "Stage",
    "Device",
)
MARKDOWN_SYNTAX = str.maketrans({char: f"&#{ord(char)};" for char in "|\\`*[]"})
LONGEST_REASON = 72  # characters; more is shown on demand

Table = list[list[str]]


@dataclass(frozen=True)
class Plot:
    """A plot for the page, all but the drawing as plain text.

    Attributes:
        title: What it shows.
        caption: How to read it.
        drawing: HTML; empty where there is nothing to show.
        missing: Then the reason why.
    """

    title: str
    caption: str
    drawing: str
    missing: str = ""


@dataclass(frozen=True)
class Passage:
    """Texts from outside that the page shows when asked to.

    Attributes:
        title: What they are.
        lines: (label, text) of each.
    """

    title: str
    lines: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Section:
    """A part of the report; all of it is plain text but the plots' drawings.

    Attributes:
        title: Its heading.
        texts: Paragraphs.
        table: Rows of cells, the header first; or empty.
        notes: What to know about the table.
        plots: Shown on the page only.
        passages: Each folded; a section with some is on the page only.
        summed: Whether the table's last row is set off from the others.
        folded: Whether the page shows table and passages only when asked to.
    """

    title: str
    texts: Sequence[str] = ()
    table: Table = field(default_factory=list)
    notes: Sequence[str] = ()
    plots: Sequence[Plot] = ()
    passages: Sequence[Passage] = ()
    summed: bool = False
    folded: bool = False


@dataclass(frozen=True)
class Document:
    """The whole report.

    Attributes:
        title: Its heading.
        lead: The answer in one sentence.
        failures: What failed, and how to try it again.
        plots: What shows the answer, on the page only.
        texts: The other sentences of the result.
        sections: What follows.
    """

    title: str
    lead: str
    failures: Sequence[str]
    plots: Sequence[Plot]
    texts: Sequence[str]
    sections: Sequence[Section]


def render_html(document: Document) -> str:
    """Returns the report as one page that needs nothing from outside."""
    return Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8")).substitute(
        title=html.escape(document.title),
        lead=html.escape(document.lead),
        failures=f'<div class="failures">\n{_tag_all("p", document.failures)}\n</div>' if document.failures else "",
        plots=_render_plots(document.plots),
        result=_tag_all("p", document.texts),
        sections="\n".join(map(_render_section, document.sections)),
    )


def _render_section(section: Section) -> str:
    parts = [f"<h2>{html.escape(section.title)}</h2>", _tag_all("p", section.texts)]
    if section.table:
        table = _render_html_table(section)
        if section.folded:
            table = _fold(f"{len(section.table) - 1} rows", table)
        parts.append(table)
    if section.notes:
        parts.append(f"<ul>\n{_tag_all('li', section.notes)}\n</ul>")
    if section.passages:
        passages = "\n".join(map(_render_passage, section.passages))
        parts.append(_fold(f"{len(section.passages)} of them", passages) if section.folded else passages)
    return "\n".join(part for part in (*parts, _render_plots(section.plots)) if part)


def _render_passage(passage: Passage) -> str:
    lines = "\n".join(f"<dt>{html.escape(label)}</dt>\n<dd>{html.escape(text)}</dd>" for label, text in passage.lines)
    return _fold(passage.title, f"<dl>\n{lines}\n</dl>")


def _fold(title: str, content: str) -> str:
    return f"<details><summary>{html.escape(title)}</summary>\n{content}</details>"


def _render_plots(plots: Sequence[Plot]) -> str:
    figures = [
        f"<figure><h3>{html.escape(plot.title)}</h3>"
        + (plot.drawing or f'<p class="nothing">nothing to show: {html.escape(plot.missing)}</p>')
        + f"<figcaption>{html.escape(plot.caption)}</figcaption></figure>"
        for plot in plots
    ]
    return '<div class="plots">\n{}\n</div>'.format("\n".join(figures)) if figures else ""


def _tag_all(tag: str, texts: Sequence[str]) -> str:
    return "\n".join(f"<{tag}>{html.escape(text)}</{tag}>" for text in texts)


def _render_html_table(section: Section) -> str:
    header, *body = section.table
    classes = [f' class="{column.lower()}"' if column in TEXT_COLUMNS else "" for column in header]
    head = "".join(f'<th scope="col"{kind}>{html.escape(text)}</th>' for text, kind in zip(header, classes, strict=True))
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
        return _render_verdict(text)
    if column == "Reason":
        short = shorten_reason(text)
        if short != text:
            return f"<details><summary>{html.escape(short)}</summary>{html.escape(text)}</details>"
    if column in TEXT_COLUMNS:
        return html.escape(text)
    figure, _, shares = text.partition("; ")
    uncertain = re.fullmatch(r"([^ ]+) ([\[±(].*)", figure)
    value, interval = uncertain.groups() if uncertain else (figure, "")
    parts = [
        f'<span class="{kind}">{html.escape(part)}</span>'
        for kind, part in (("interval", interval), ("shares", shares))
        if part
    ]
    return " ".join([html.escape(value), *parts])


def _render_verdict(text: str) -> str:
    """Returns the decision as a badge and what is in brackets behind it as a mark."""
    decision, *marks = re.split(r" \(|\)", text)
    kind = decision if decision in DECISIONS else "failed" if decision.endswith(" failed") else ""
    badge = f'<span class="badge {kind}">{html.escape(decision)}</span>' if kind else html.escape(decision)
    kinds = [(mark, "mark failed" if mark.endswith(" failed") else "mark") for mark in marks if mark]
    return badge + "".join(f'<span class="{kind}">{html.escape(mark)}</span>' for mark, kind in kinds)


def shorten_reason(reason: str) -> str:
    """Returns the first statement of a reason, and three dots where more follows."""
    first = shorten(reason.split("; ")[0], LONGEST_REASON, placeholder="") or reason[:LONGEST_REASON]
    return first if first == reason else first + " …"


def render_markdown(document: Document) -> str:
    """Returns the report's texts and tables as Markdown."""
    lines = [f"# {_escape_markdown(document.title)}", f"**{_escape_markdown(document.lead)}**"]
    lines += map(_escape_markdown, (*document.failures, *document.texts))
    for section in (section for section in document.sections if not section.passages):
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
