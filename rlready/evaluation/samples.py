"""Samples on disk: one row per completion, with its judgement; written in parts, and joined into one file per stage."""

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rlready.errors import InputError
from rlready.escape import shorten
from rlready.records.outcome import Excerpt, KeptSamples

FILE = "samples.parquet"
FORM = 2  # of the file; the first had `right` instead of `verdict`, and neither draw nor trouble
SAMPLES = pa.schema(
    [
        ("benchmark", pa.string()),
        ("subject", pa.string()),
        ("problem_id", pa.string()),
        ("prompt", pa.string()),
        ("gold", pa.string()),  # the reference answer
        ("temperature", pa.float64()),  # 0: greedy
        ("seed", pa.int64()),
        ("draw", pa.int64()),  # of the sequential test, which draws problems repeatedly; else null
        ("sample", pa.int64()),  # its number within the problem or the draw
        ("completion", pa.string()),  # null beyond the limit of text
        ("answer", pa.string()),
        ("verdict", pa.string()),  # the judgement: right, wrong or unknown
        ("trouble", pa.string()),  # why the judgement is unknown, or the answer unreadable; see `Judgement`
        ("tokens", pa.int64()),
        ("finished", pa.bool_()),  # false if the length limit ended it
        ("engine", pa.string()),
    ]
)
# A part also has what statistics need. The file does not, since the last bits of log-probabilities depend on the batch.
PART = pa.schema([*SAMPLES, ("logprob", pa.float64()), ("compared", pa.string()), ("checks", pa.int64())])
VERDICTS = {True: "right", False: "wrong", None: "unknown"}
RIGHT = {name: right for right, name in VERDICTS.items()}
LONGEST_ANSWER = 1000  # characters; a longer one is no answer and is shortened
KINDS = ("right", "wrong", "truncated", "unreadable", "unknown")
EXCERPT = {"prompt": 300, "completion": 500, "answer": 120, "gold": 120}  # characters of the texts in an excerpt
ROWS_A_GROUP = 1024  # of the file, which is written and read one group at a time
ROWS_AT_ONCE = 256  # read as Python values
SECONDS = "seconds", "verifier_seconds"  # in a part's metadata


def write_part(path: Path, rows: Iterable[dict], seconds: float, verifier_seconds: float) -> None:
    """Writes rows of PART, with how long sampling and judging took, as a file that appears only when it is complete."""
    spent = dict(zip(SECONDS, map(str, (seconds, verifier_seconds)), strict=True))
    table = pa.Table.from_pylist(list(rows), PART.with_metadata(spent))
    with _appearing(path) as partial:
        pq.write_table(table, partial, compression="zstd")


def read_seconds(parts: Sequence[Path]) -> tuple[float, float]:
    """Returns the seconds that these parts took, and those of them that judging took."""
    spent = [pq.read_schema(part).metadata for part in parts]
    total, verifier = (sum(float(one[name.encode()]) for one in spent) for name in SECONDS)
    return total, verifier


def read_rows(files: Sequence[Path], columns: Sequence[str]) -> Iterator[dict]:
    """Yields these columns of sample files of either form, a few rows in memory; raises InputError if a file has none."""
    for file in files:
        try:
            # Pre-buffering would read the whole file into memory.
            with pq.ParquetFile(file, pre_buffer=False) as opened:
                there = set(opened.schema_arrow.names)
                old = "verdict" in columns and "verdict" not in there
                taken = [name for name in columns if name in there] + ["right"] * old
                for batch in opened.iter_batches(ROWS_AT_ONCE, columns=taken):
                    for row in batch.to_pylist():
                        yield {name: row.get(name) for name in columns} | ({"verdict": VERDICTS[row["right"]]} if old else {})
        except (OSError, KeyError, UnicodeDecodeError, pa.ArrowException) as error:
            raise InputError(f"{file}: holds no samples ({error})") from error


def join_parts(parts: Sequence[Path], out: Path, most_text: int | None = None) -> int:
    """Joins parts, in their order, into a file that appears only when it is complete and depends on the rows only.

    At most `most_text` bytes of completions are kept, before compression; None: all. The first samples of every problem take
    precedence, so that each problem keeps some. One part is in memory at a time. Returns how many completions lost their text.
    """
    keep = np.ones(0, bool) if most_text is None else _choose_texts(parts, most_text)
    waiting, place, left = SAMPLES.empty_table(), SAMPLES.get_field_index("completion"), int((~keep).sum())
    with _appearing(out) as partial, pq.ParquetWriter(partial, SAMPLES, compression="zstd") as writer:
        for part in parts:
            table = pq.read_table(part, columns=SAMPLES.names).replace_schema_metadata(None)
            if most_text is not None:
                texts = pc.if_else(pa.array(keep[: len(table)]), table["completion"], pa.scalar(None, pa.string()))
                table, keep = table.set_column(place, SAMPLES.field(place), texts), keep[len(table) :]
            waiting = pa.concat_tables([waiting, table]).combine_chunks()
            ready = len(waiting) - len(waiting) % ROWS_A_GROUP
            if ready:
                writer.write_table(waiting.slice(0, ready), row_group_size=ROWS_A_GROUP)
                waiting = waiting.slice(ready)
        writer.write_table(waiting)
    return left


def _choose_texts(parts: Sequence[Path], most_text: int) -> np.ndarray:
    """Returns for each row of the parts whether its text is kept: all first samples, then all second ones, while they fit."""
    tables = (pq.read_table(part, columns=["sample", "completion"]) for part in parts)
    columns = [(table["sample"].to_numpy(), pc.binary_length(table["completion"]).to_numpy()) for table in tables]
    samples, sizes = map(np.concatenate, zip(*columns, strict=True))  # of each row: its sample's number, its bytes of UTF-8
    ends = np.bincount(samples, sizes).cumsum()
    whole = int(np.searchsorted(ends, most_text, side="right"))  # of each problem, this many samples are kept
    keep, room = samples < whole, most_text - (ends[whole - 1] if whole else 0)
    for row in np.flatnonzero(samples == whole):  # and of some the next
        if sizes[row] <= room:
            keep[row], room = True, room - sizes[row]
    return keep


@contextlib.contextmanager
def _appearing(path: Path) -> Iterator[Path]:
    """Yields where to write a file that appears only when it is completely on the disk."""
    partial = path.with_suffix(".partial")
    yield partial
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(partial, path)


def keep_samples(parts: Sequence[Path], out: Path, text_mb: int) -> KeptSamples:
    """Joins the parts of a stage into FILE in a folder, with `text_mb` megabytes of text; returns its record."""
    out.mkdir(parents=True, exist_ok=True)
    without_text = join_parts(parts, out / FILE, text_mb * 1_000_000)
    rows, counts = 0, dict.fromkeys(KINDS, 0)
    excerpts: dict[str, Excerpt] = {}
    for row in read_rows(parts, SAMPLES.names):
        rows += 1
        if row["temperature"]:
            kind = classify(row)
            counts[kind] += 1
            if kind not in excerpts:
                texts = {name: row[name] and shorten(row[name], most) for name, most in EXCERPT.items()}
                excerpts[kind] = Excerpt(kind, row["problem_id"], row["sample"], tokens=row["tokens"], **texts)
    return KeptSamples(rows, without_text, counts, [excerpts[kind] for kind in KINDS if kind in excerpts])


def classify(row: dict) -> str:
    """Returns which of KINDS a row of SAMPLES is: the first reason why the completion is not right."""
    if row["verdict"] == "wrong" and not row["finished"]:
        return "truncated"
    return "unreadable" if row["verdict"] == "wrong" and row["answer"] is None else row["verdict"]
