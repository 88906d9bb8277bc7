"""Samples on disk: a row for every completion, with its verdict; written in parts, and joined into one file."""

import contextlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rlready.errors import InputError
from rlready.evaluation.score import Scored
from rlready.sampling.engine import Draw, Engine

FILE = "samples.parquet"
FORM = 2  # of the file; the first had `right` in the place of `verdict`, and neither draw nor trouble
SAMPLES = pa.schema(
    [
        ("benchmark", pa.string()),
        ("subject", pa.string()),
        ("problem_id", pa.string()),
        ("prompt", pa.string()),
        ("gold", pa.string()),
        ("temperature", pa.float64()),  # 0: greedy
        ("seed", pa.int64()),
        ("draw", pa.int64()),  # of the sequential test, which draws a problem again; else null
        ("sample", pa.int64()),  # its number among those of the problem, or of the draw
        ("completion", pa.string()),  # null where the limit of text was reached
        ("answer", pa.string()),
        ("verdict", pa.string()),  # right, wrong or unknown
        ("trouble", pa.string()),  # timeout or unreadable, as the verifier says
        ("tokens", pa.int64()),
        ("finished", pa.bool_()),  # false where the length limit cut it off
        ("engine", pa.string()),
    ]
)
# A part has besides what only its statistics need. The last bits of log-probabilities depend on the batch: the file is always
# the same.
PART = pa.schema(
    [*SAMPLES, ("logprob", pa.float64()), ("compared", pa.string()), ("checks", pa.int64())]  # as in `Judgement`
)
VERDICTS = {True: "right", False: "wrong", None: "unknown"}
RIGHT = {name: right for right, name in VERDICTS.items()}
LONGEST_ANSWER = 1000  # characters; a longer one is cut, for it is no answer to anything asked here
ROWS_A_GROUP = 1024  # of the file, which is written and read a group at a time
ROWS_AT_ONCE = 256  # that are read as Python's values
SECONDS = "seconds", "verifier_seconds"  # of a part's metadata


def list_rows(
    engine: Engine,
    problems: Sequence[dict],
    draw: Draw,
    scored: Scored,
    draws: Sequence[int] | None = None,
    first: int = 0,
) -> Iterator[dict]:
    """Yields a row of PART for every completion.

    Args:
        engine: What drew them.
        problems: Rows that curate or an evaluation read; one may stand there several times.
        draw: How they were drawn.
        scored: The completions of each problem, and the verdicts.
        draws: Number of the draw that each problem stands for, in the sequential test.
        first: Number of the first sample.
    """
    numbers: Sequence[int | None] = draws or [None] * len(problems)
    for problem, number, completions, judgements in zip(problems, numbers, scored.completions, scored.judgements, strict=True):
        prompt = engine.show(problem)
        for sample, (completion, judgement) in enumerate(zip(completions, judgements, strict=True), first):
            yield {
                "benchmark": problem.get("benchmark") or "",
                "subject": problem.get("subject"),
                "problem_id": problem["problem_id"],
                "prompt": prompt,
                "gold": problem["answer"],
                "temperature": float(draw.temperature),
                "seed": draw.seed,
                "draw": number,
                "sample": sample,
                "completion": completion.text,
                "answer": judgement.answer and judgement.answer[:LONGEST_ANSWER],
                "verdict": VERDICTS[judgement.right],
                "trouble": judgement.trouble,
                "tokens": len(completion.ids),
                "finished": completion.finished,
                "engine": engine.identity,
                "logprob": completion.logprob,
                "compared": judgement.reference,
                "checks": judgement.checks,
            }


def write_part(path: Path, rows: Iterable[dict], seconds: float, verifier_seconds: float) -> None:
    """Writes rows of PART as a file that appears only when it is complete.

    Args:
        path: The part.
        rows: From `list_rows`.
        seconds: How long it took to draw and to judge them.
        verifier_seconds: How long it took to judge them.
    """
    spent = dict(zip(SECONDS, map(str, (seconds, verifier_seconds)), strict=True))
    table = pa.Table.from_pylist(list(rows), PART.with_metadata(spent))
    with _appearing(path) as partial:
        pq.write_table(table, partial, compression="zstd")


def count_rows(part: Path) -> int:
    """Returns how many completions a part holds."""
    return pq.read_metadata(part).num_rows


def read_seconds(parts: Sequence[Path]) -> tuple[float, float]:
    """Returns how long these parts took, and how much of it was the verifier's."""
    spent = [pq.read_schema(part).metadata for part in parts]
    total, verifier = (sum(float(one[name.encode()]) for one in spent) for name in SECONDS)
    return total, verifier


def read_rows(files: Sequence[Path], columns: Sequence[str]) -> Iterator[dict]:
    """Yields the rows of files of samples, in their order, without reading a file whole.

    Args:
        files: Of this form, or of the first.
        columns: Those that are needed.

    Raises:
        InputError: If a file is not there, or holds no samples.
    """
    for file in files:
        try:
            # Buffered ahead, the whole file would be in memory.
            with pq.ParquetFile(file, pre_buffer=False) as opened:
                there = set(opened.schema_arrow.names)
                old = "verdict" in columns and "verdict" not in there
                taken = [name for name in columns if name in there] + ["right"] * old
                for batch in opened.iter_batches(ROWS_AT_ONCE, columns=taken):
                    for row in batch.to_pylist():
                        yield {name: row.get(name) for name in columns} | ({"verdict": VERDICTS[row["right"]]} if old else {})
        except (OSError, KeyError, pa.ArrowInvalid) as error:
            raise InputError(f"{file}: holds no samples ({error})") from error


def join_parts(parts: Sequence[Path], out: Path, most_text: int | None = None) -> int:
    """Puts parts together, in their order, as a file that appears only when it is complete.

    The file depends on the rows only, not on the parts in which they came.

    Args:
        parts: Of any number; one is in memory at a time.
        out: The file.
        most_text: Bytes of completions to keep, before compression; None: all. The first samples of every problem come
            first, so that each problem keeps some.

    Returns:
        How many completions are without their text.
    """
    whole, room, left = (*_divide(parts, most_text), 0) if most_text is not None else (None, 0, 0)
    waiting = SAMPLES.empty_table()
    with _appearing(out) as partial, pq.ParquetWriter(partial, SAMPLES, compression="zstd") as writer:
        for part in parts:
            table = pq.read_table(part, columns=SAMPLES.names).replace_schema_metadata(None)
            if whole is not None:
                table, room, lost = _drop_texts(table, whole, room)
                left += lost
            waiting = pa.concat_tables([waiting, table]).combine_chunks()
            ready = len(waiting) - len(waiting) % ROWS_A_GROUP
            if ready:
                writer.write_table(waiting.slice(0, ready), row_group_size=ROWS_A_GROUP)
                waiting = waiting.slice(ready)
        writer.write_table(waiting)
    return left


def _divide(parts: Sequence[Path], most_text: int) -> tuple[int, int]:
    """Returns how many samples of each problem keep their text, and how many bytes are left for some of the next."""
    sizes: Counter[int] = Counter()
    for part in parts:
        table = pq.read_table(part, columns=["sample", "completion"])
        lengths = pa.table({"sample": table["sample"], "bytes": _measure(table)})
        for row in lengths.group_by("sample").aggregate([("bytes", "sum")]).to_pylist():
            sizes[row["sample"]] += row["bytes_sum"] or 0
    whole = 0
    while whole in sizes and sizes[whole] <= most_text:
        most_text -= sizes[whole]
        whole += 1
    return whole, most_text


def _drop_texts(table: pa.Table, whole: int, room: int) -> tuple[pa.Table, int, int]:
    """Returns rows without the texts that are above the limit, how many bytes are then left, and how many texts went."""
    samples, sizes = table["sample"].to_pylist(), _measure(table).to_pylist()
    keep = []
    for sample, size in zip(samples, sizes, strict=True):
        keep.append(sample < whole or (sample == whole and size <= room))
        room -= size if sample == whole and keep[-1] else 0
    texts = pc.if_else(pa.array(keep), table["completion"], pa.scalar(None, pa.string()))
    place = SAMPLES.get_field_index("completion")
    return table.set_column(place, SAMPLES.field(place), texts), room, keep.count(False)


def _measure(table: pa.Table) -> pa.ChunkedArray:
    return pc.binary_length(table["completion"])  # bytes of UTF-8


@contextlib.contextmanager
def _appearing(path: Path) -> Iterator[Path]:
    """Yields where to write a file that is to appear only when it is on the disk whole."""
    partial = path.with_suffix(".partial")
    yield partial
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(partial, path)
