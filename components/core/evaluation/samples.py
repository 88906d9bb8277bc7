"""Samples on disk: a row for every completion, with its verdict."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from rlready.components.core.evaluation.score import Scored
from rlready.components.core.sampling.engine import Draw, Engine

SAMPLES = pa.schema(
    [
        ("benchmark", pa.string()),
        ("subject", pa.string()),
        ("problem_id", pa.string()),
        ("prompt", pa.string()),
        ("gold", pa.string()),
        ("temperature", pa.float64()),
        ("seed", pa.int64()),
        ("sample", pa.int64()),
        ("completion", pa.string()),
        ("answer", pa.string()),
        ("right", pa.bool_()),
        ("tokens", pa.int64()),
        ("finished", pa.bool_()),
        ("engine", pa.string()),
    ]
)
ROWS_A_GROUP = 4096  # of the file, which is read a group at a time


def list_samples(engine: Engine, benchmark: str, problems: list[dict], draw: Draw, scored: Scored) -> Iterator[dict]:
    """Yields a row of SAMPLES for every completion."""
    for problem, completions, judgements in zip(problems, scored.completions, scored.judgements, strict=True):
        prompt = engine.show(problem)
        for number, (completion, judgement) in enumerate(zip(completions, judgements, strict=True)):
            yield {
                "benchmark": benchmark,
                "subject": problem.get("subject"),
                "problem_id": problem["problem_id"],
                "prompt": prompt,
                "gold": problem["answer"],
                "temperature": float(draw.temperature),
                "seed": draw.seed,
                "sample": number,
                "completion": completion.text,
                "answer": judgement.answer,
                "right": judgement.right,
                "tokens": len(completion.ids),
                "finished": completion.finished,
                "engine": engine.identity,
            }


def write_part(path: Path, rows: list[dict]) -> None:
    """Writes rows of SAMPLES as a file that appears only when it is complete."""
    partial = path.with_suffix(".partial")
    pq.write_table(pa.Table.from_pylist(rows, SAMPLES), partial)
    os.replace(partial, path)


def count_rows(part: Path) -> int:
    """Returns how many completions a part holds."""
    return pq.read_metadata(part).num_rows


def join_parts(parts: list[Path], out: Path) -> None:
    """Puts parts together, in their order, as a file that appears only when it is complete.

    The file depends on the rows only, not on the parts in which they came.
    """
    partial = out.with_suffix(".partial")
    waiting = SAMPLES.empty_table()
    with pq.ParquetWriter(partial, SAMPLES) as writer:
        for part in parts:
            waiting = pa.concat_tables([waiting, pq.read_table(part)]).combine_chunks()
            whole = len(waiting) - len(waiting) % ROWS_A_GROUP
            if whole:
                writer.write_table(waiting.slice(0, whole), row_group_size=ROWS_A_GROUP)
                waiting = waiting.slice(whole)
        writer.write_table(waiting)
    os.replace(partial, out)


def count_right(samples: Path, benchmark: str, problem_ids: Sequence[str]) -> tuple[list[int], list[int], float]:
    """Returns (right samples of each problem at temperature 1, 1 for each problem solved greedily, else 0, share of unknown).

    A completion whose verdict is unknown counts as not right, as everywhere (`Scored.correct`).

    Args:
        samples: File of SAMPLES.
        benchmark: Whose problems.
        problem_ids: In the order to return.
    """
    table = pq.read_table(
        samples, columns=["problem_id", "temperature", "right"], filters=[("benchmark", "=", benchmark)]
    )
    correct, greedy, unknown = Counter(), Counter(), table["right"].null_count / max(1, len(table))
    for problem, temperature, right in zip(*(column.to_pylist() for column in table.columns), strict=True):
        (correct if temperature else greedy)[problem] += right is True
    return [correct[name] for name in problem_ids], [greedy[name] for name in problem_ids], unknown
