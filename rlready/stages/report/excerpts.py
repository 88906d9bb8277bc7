"""What the models wrote: a few completions of every candidate, on the page only."""

from rlready.analysis.comparison import Row
from rlready.analysis.format import count
from rlready.escape import shorten, show_controls
from rlready.records.outcome import Excerpt, KeptSamples
from rlready.stages.report.document import Passage, Section

MOST_TEXT = 60_000  # characters of excerpts on the page, shared out over the candidates
LONGEST = 400  # characters of one text, where there are few candidates
TEXT = (
    "The first completion of each kind: right, unknown (the verifier could not judge it), truncated (by sampling_max_tokens),"
    " unreadable (no final answer in the form the prompt asks for) or wrong. To see all of them: rlready"
    " samples RUN --candidate"
    " NAME."
)


def describe_excerpts(rows: list[Row], base: Row, most_rows: int) -> list[Section]:
    """Returns the section with a few completions of every candidate, or none where no samples were kept.

    Args:
        rows: The candidates.
        base: The base model.
        most_rows: Of more candidates they are folded together.
    """
    named = [*((row.name, row) for row in rows), ("base model", base)]
    kept = [
        (f"{name}, {stage}", record.kept)
        for name, row in named
        for stage, record in (("before RL", row.predictors), (_say_benchmark(row, base), row.benchmark))
        if record.kept
    ]
    excerpts = sum(len(one.excerpts) for _, one in kept)
    if not excerpts:
        return []
    longest = min(LONGEST, MOST_TEXT // (2 * excerpts))
    passages = [Passage(f"{title}: {_count(one)}", _list_lines(one.excerpts, longest)) for title, one in kept]
    return [Section("What the models wrote", [TEXT], passages=passages, folded=len(rows) > most_rows)]


def _say_benchmark(row: Row, base: Row) -> str:
    return "on the benchmark" if row is base else "after RL"


def _count(kept: KeptSamples) -> str:
    said = ", ".join(f"{number} {kind}" for kind, number in kept.counts.items() if number)
    lost = f"; {count(kept.without_text, 'sample')} without text (samples_text_mb)" if kept.without_text else ""
    return said + lost


def _list_lines(excerpts: list[Excerpt], longest: int) -> list[tuple[str, str]]:
    """Returns (label, text) of each excerpt's prompt and completion."""
    lines = []
    for one in excerpts:
        found = "none" if one.answer is None else _clean(one.answer, longest)
        about = f"{one.kind}, {count(one.tokens or 0, 'token')}; answer: {found}; right answer: {_clean(one.gold, longest)}"
        lines += [("prompt", _clean(one.prompt, longest)), (about, _clean(one.completion, longest))]
    return lines


def _clean(text: str, longest: int) -> str:
    return shorten(show_controls(text), longest)
