"""Details of lighteval: details_TASK_DATE.parquet, one row per document with all of its generations."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlready.errors import InputError
from rlready.measured.log import Reading, Sample
from rlready.measured.records import Row, read_rows, read_score, read_target

KEYS = {"doc", "model_response", "metric"}


def read_lighteval(files: list[Path], score: str | None) -> Reading:
    """Reads the details of one model, one file per task, with the metric of this name or the first.

    A metric is of all generations of a document together, so with more than one they are judged here. Raises InputError if no
    metric has that name, or a row holds no generated text.
    """
    _, first = next(read_rows(files[0]))
    names = list(_parse(first["metric"]))
    if score and score not in names:
        raise InputError(f"{files[0]}: no metric {score!r}; there are {', '.join(names)}")
    metric = score or (names[0] if names else None)
    several = len(_parse(first["model_response"]).get("text") or ()) > 1
    notes = ["each generation judged by rlready's verifier" if several else f"metric {metric}"]
    samples = (sample for where, row in read_rows(*files) for sample in _list_samples(row, where, metric))
    return Reading("lighteval", samples, notes)


def _parse(value: Any) -> dict[str, Any]:
    return json.loads(value) if isinstance(value, str) else dict(value or {})


def _list_samples(row: Row, where: str, metric: str | None) -> Iterator[Sample]:
    doc, response = _parse(row["doc"]), _parse(row["model_response"])
    texts = response.get("text") or []
    if not texts:
        raise InputError(f"{where}: holds no generated text (a task of log-likelihoods?); Pass@k needs samples of text")
    gold = doc["gold_index"][0] if isinstance(doc["gold_index"], list) else doc["gold_index"]
    reference = read_target(str(doc["choices"][gold]))
    lengths = [_count_tokens(ids) for ids in response.get("output_tokens") or []]
    one = len(texts) == 1 and metric is not None
    limit = doc.get("generation_size")
    for number, text in enumerate(texts):
        length = lengths[number] if number < len(lengths) else None
        yield Sample(
            problem=f"{doc.get('task_name') or ''}/{doc.get('id') or ''}".strip("/"),
            where=where,
            right=read_score(_parse(row["metric"]).get(metric), where) if one and metric else None,
            scored=one,
            text=doc["query"],
            prompt=str(response["input"]) if response.get("input") else None,
            completion=text,
            reference=reference,
            finished=length < limit if length is not None and limit else None,
            tokens=length,
            settings=(("max_tokens", limit),) if limit else (),
        )


def _count_tokens(ids: list[int]) -> int | None:
    """Returns the length of a completion; None if its end repeats one token, as where a batch was filled up to its longest."""
    return None if len(ids) > 1 and ids[-1] == ids[-2] else len(ids)
