"""What a stage keeps of its samples: one file of bounded size, and a few excerpts in the record."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rlready.escape import shorten
from rlready.evaluation.samples import FILE, SAMPLES, join_parts, read_rows
from rlready.records.outcome import Excerpt, KeptSamples

KINDS = ("right", "wrong", "truncated", "unreadable", "unknown")
LONGEST_PROMPT, LONGEST_COMPLETION, LONGEST_ANSWER = 300, 500, 120  # characters of an excerpt


def keep_samples(parts: Sequence[Path], out: Path, text_mb: int) -> KeptSamples:
    """Writes the samples of a stage as the file FILE in a folder, and returns their summary for the record.

    Args:
        parts: In their order; one is in memory at a time.
        out: Folder of the stage's samples.
        text_mb: Maximum megabytes of completions, before compression; beyond it samples lose their text.
    """
    out.mkdir(parents=True, exist_ok=True)
    without_text = join_parts(parts, out / FILE, text_mb * 1_000_000)
    rows = 0
    counts: Counter[str] = Counter()
    excerpts: dict[str, Excerpt] = {}
    for row in read_rows(parts, SAMPLES.names):
        rows += 1
        if row["temperature"]:
            kind = classify(row)
            counts[kind] += 1
            excerpts.setdefault(kind, _excerpt(row, kind))
    shown = [excerpts[kind] for kind in KINDS if kind in excerpts]
    return KeptSamples(rows, without_text, {kind: counts[kind] for kind in KINDS}, shown)


def classify(row: dict) -> str:
    """Returns which of KINDS a row of SAMPLES is: the first reason why the completion is not right."""
    if row["verdict"] != "wrong":
        return row["verdict"]
    if not row["finished"]:
        return "truncated"
    return "unreadable" if row["answer"] is None else "wrong"


def _excerpt(row: dict, kind: str) -> Excerpt:
    answer = row["answer"]
    return Excerpt(
        kind=kind,
        problem_id=row["problem_id"],
        sample=row["sample"],
        prompt=shorten(row["prompt"], LONGEST_PROMPT),
        completion=shorten(row["completion"], LONGEST_COMPLETION),
        answer=None if answer is None else shorten(answer, LONGEST_ANSWER),
        gold=shorten(row["gold"], LONGEST_ANSWER),
        tokens=row["tokens"],
    )
