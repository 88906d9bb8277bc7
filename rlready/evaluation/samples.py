"""Samples on disk: one row per completion, with its judgement; written in parts, and joined into one file per stage."""

import contextlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rlready.errors import InputError
from rlready.escape import shorten
from rlready.evaluation.score import Scored
from rlready.records.outcome import Excerpt, KeptSamples
from rlready.sampling.engine import Draw, Engine

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


def list_rows(
    engine: Engine, problems: Sequence[dict], draw: Draw, scored: Scored, draws: Sequence[int] | None = None, first: int = 0
) -> Iterator[dict]:
    """Yields a row of PART for every completion; for the arguments see `parts.sample_part`."""
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
    """Yields these columns of the rows of sample files of either form, without reading whole files into memory.

    Raises InputError if a file is missing, or holds no samples.
    """
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
        except (OSError, KeyError, pa.ArrowInvalid) as error:
            raise InputError(f"{file}: holds no samples ({error})") from error


def join_parts(parts: Sequence[Path], out: Path, most_text: int | None = None) -> int:
    """Joins parts, in their order, into a file that appears only when it is complete and depends on the rows only.

    At most `most_text` bytes of completions are kept, before compression; None: all. The first samples of every problem take
    precedence, so that each problem keeps some. One part is in memory at a time. Returns how many completions lost their text.
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
    """Returns how many samples of each problem keep their text, and the bytes left for some of the next."""
    sizes: Counter[int] = Counter()
    for part in parts:
        table = pq.read_table(part, columns=["sample", "completion"])
        lengths = pa.table({"sample": table["sample"], "bytes": _measure(table)})
        for row in lengths.group_by("sample").aggregate([("bytes", "sum")]).to_pylist():
            sizes[row["sample"]] += row["bytes_sum"] or 0
    whole = 0
    while whole in sizes and sizes[whole] <= most_text:
        most_text, whole = most_text - sizes[whole], whole + 1
    return whole, most_text


def _drop_texts(table: pa.Table, whole: int, room: int) -> tuple[pa.Table, int, int]:
    """Returns rows without the texts beyond the limit, the bytes then left, and how many texts were dropped."""
    keep: list[bool] = []
    for sample, size in zip(table["sample"].to_pylist(), _measure(table).to_pylist(), strict=True):
        keep.append(sample < whole or (sample == whole and size <= room))
        room -= size if sample == whole and keep[-1] else 0
    texts = pc.if_else(pa.array(keep), table["completion"], pa.scalar(None, pa.string()))
    place = SAMPLES.get_field_index("completion")
    return table.set_column(place, SAMPLES.field(place), texts), room, keep.count(False)


def _measure(table: pa.Table) -> pa.ChunkedArray:
    return pc.binary_length(table["completion"])  # bytes of UTF-8


@contextlib.contextmanager
def _appearing(path: Path) -> Iterator[Path]:
    """Yields where to write a file that appears only when it is completely on the disk."""
    partial = path.with_suffix(".partial")
    yield partial
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(partial, path)


def keep_samples(parts: Sequence[Path], out: Path, text_mb: int) -> KeptSamples:
    """Joins the parts of a stage into the file FILE of a folder, and returns the summary for its record.

    Completions beyond `text_mb` megabytes, before compression, lose their text; see `join_parts`.
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
            if kind not in excerpts:
                texts = {name: row[name] and shorten(row[name], most) for name, most in EXCERPT.items()}
                excerpts[kind] = Excerpt(kind, row["problem_id"], row["sample"], tokens=row["tokens"], **texts)
    shown = [excerpts[kind] for kind in KINDS if kind in excerpts]
    return KeptSamples(rows, without_text, {kind: counts[kind] for kind in KINDS}, shown)


def classify(row: dict) -> str:
    """Returns which of KINDS a row of SAMPLES is: the first reason why the completion is not right."""
    if row["verdict"] == "wrong" and not row["finished"]:
        return "truncated"
    return "unreadable" if row["verdict"] == "wrong" and row["answer"] is None else row["verdict"]
