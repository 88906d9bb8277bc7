"""The report as a page and as Markdown. All text is untrusted until it is escaped: names and reasons may be hostile."""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from textwrap import shorten

from rlready.analysis.format import MISSING

DECISIONS = ("approved", "rejected", "undecided")
# Columns of texts; those of figures are aligned to the right.
TEXTUAL = ("Candidate", "Setting", "Subset", "Verdict", "Reason", "Predictor", "Policy", "Among", "Chosen", "Stage", "Device")
MARKDOWN_SYNTAX = str.maketrans({char: f"&#{ord(char)};" for char in "|\\`*[]"})
LONGEST_REASON = 72  # characters; more is shown on demand

Table = list[list[str]]


@dataclass(frozen=True)
class Plot:
    """A plot for the page; everything except the drawing is plain text."""

    title: str  # what it shows
    caption: str  # how to read it
    drawing: str  # HTML; empty if there is nothing to show
    missing: str = ""  # the reason why it is empty


@dataclass(frozen=True)
class Passage:
    """Folded untrusted texts, as pairs (label, text)."""

    title: str
    lines: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Section:
    """A part of the report; everything except the plots' drawings is plain text."""

    title: str  # its heading
    texts: Sequence[str] = ()  # paragraphs
    table: Table = field(default_factory=list)  # rows of cells, the header first; or empty
    notes: Sequence[str] = ()  # what to know about the table
    plots: Sequence[Plot] = ()  # shown on the page only
    passages: Sequence[Passage] = ()  # each folded; a section with some is on the page only
    summed: bool = False  # whether the table's last row is set apart
    folded: bool = False  # whether the page folds table and passages


@dataclass(frozen=True)
class Document:
    """The whole report."""

    title: str  # its heading
    origin: Sequence[tuple[str, str]]  # what was run, as pairs (label, text)
    lead: str  # the answer in one sentence
    summary: Sequence[str]  # the result in lines to paste
    failures: Sequence[str]  # what failed, and how to try it again
    plots: Sequence[Plot]  # what shows the answer, on the page only
    texts: Sequence[str]  # the other sentences of the result
    sections: Sequence[Section]  # what follows
    minor: Sequence[Section] = ()  # sections folded into one line of the page, because too few points support them
    minor_title: str = ""  # that line


def lay_out(lines: Sequence[dict[str, str]]) -> Table:
    """Returns the table of lines, each with its cells by column; columns of which nothing is known are left out."""
    names = dict.fromkeys(name for line in lines for name in line)
    columns = [name for name in names if any(line.get(name, MISSING) != MISSING for line in lines)]
    return [columns, *([line.get(name, MISSING) for name in columns] for line in lines)] if lines else []


def render_html(document: Document) -> str:
    """Returns the report as one page that needs nothing from outside."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("rlready.stages.report", ".")
    pages = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    pages.filters |= {"verdict": _split_verdict, "figure": _split_figure, "short": shorten_reason}
    return pages.get_template("page.html").render(document=document, text_columns=TEXTUAL)


def _split_figure(text: str) -> tuple[str, str, str]:
    """Returns a figure, its interval or error, and the shares of samples behind it."""
    figure, _, shares = text.partition("; ")
    uncertain = re.fullmatch(r"([^ ]+) ([\[±(].*)", figure)
    return (uncertain[1], uncertain[2], shares) if uncertain else (figure, "", shares)


def _split_verdict(text: str) -> tuple[str, str, list[str]]:
    """Returns a decision, its kind of badge or nothing, and its marks, which are in parentheses."""
    decision, *marks = re.split(r" \(|\)", text)
    kind = decision if decision in DECISIONS else "failed" if decision.endswith(" failed") else ""
    return decision, kind, [mark for mark in marks if mark]


def shorten_reason(reason: str) -> str:
    """Returns the first statement of a reason, and three dots where more follows."""
    first = shorten(reason.split("; ")[0], LONGEST_REASON, placeholder="") or reason[:LONGEST_REASON]
    return first if first == reason else first + " …"


def render_markdown(document: Document) -> str:
    """Returns the report's texts and tables as Markdown."""
    lines = [f"# {_escape_markdown(document.title)}"]
    lines += ["\n".join(f"- {label}: {_escape_markdown(text)}" for label, text in document.origin)] if document.origin else []
    lines += [f"**{_escape_markdown(document.lead)}**", "\n".join(f"> {_escape_markdown(line)}  " for line in document.summary)]
    lines += map(_escape_markdown, (*document.failures, *document.texts))
    for section in (section for section in (*document.sections, *document.minor) if not section.passages):
        parts = [*map(_escape_markdown, section.texts)]
        if section.table:
            header, *body = ([_escape_markdown(text) for text in row] for row in section.table)
            rule = ["---" if column in TEXTUAL else "---:" for column in section.table[0]]
            parts.append("\n".join(f"| {' | '.join(row)} |" for row in (header, rule, *body)))
        if section.notes:
            parts.append("\n".join(f"- {_escape_markdown(text)}" for text in section.notes))
        if parts:
            lines += [f"## {_escape_markdown(section.title)}", *parts]
    return "\n\n".join(lines) + "\n"


def _escape_markdown(text: str) -> str:
    return html.escape(" ".join(text.split()), quote=False).translate(MARKDOWN_SYNTAX)
