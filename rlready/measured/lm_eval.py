"""Logs of lm-evaluation-harness: samples_TASK_DATE.jsonl, as --log_samples writes them.

A line is one document through one filter. Its metrics are of the filter's one result, so with `repeats` above 1 they say
nothing of the single responses: those are judged here, by the answers that the filter extracted if it kept all of them.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlready.errors import InputError
from rlready.measured.log import SETTINGS, Reading, Sample
from rlready.measured.records import Row, read_rows, read_score, read_target

KEYS = {"doc_id", "doc", "target", "resps", "filtered_resps"}
DATED = re.compile(r"samples_(?P<task>.+)_\d{4}-\d\d-\d\dT[\d.:-]+$")


def read_lm_eval(files: list[Path], score: str | None) -> Reading:
    """Reads the logs of one model, one file per task, with the filter or metric of this name, or the first of the log.

    Raises InputError if a task was logged twice, no filter or metric has that name, or a row cannot be used.
    """
    tasks = [_name_task(file) for file in files]
    if twice := next((task for task in tasks if tasks.count(task) > 1), None):
        raise InputError(f"{files[0].parent}: {twice} was logged more than once; name one file")
    choices, notes = [], []
    for file, task in zip(files, tasks, strict=True):
        _, first = next(read_rows(file))
        filters = list(dict.fromkeys(row.get("filter", "none") for _, row in read_rows(file)))
        chosen, metric = score if score in filters else filters[0], _choose_metric(file, first, filters, score)
        how = f"metric {metric}" if len((first["resps"] or [[]])[0]) == 1 else "each response judged by rlready's verifier"
        notes.append(f"{task}: filter {chosen}, {how}")
        choices.append((file, f"{task}/" if len(files) > 1 else "", chosen, metric))

    def read() -> Iterator[Sample]:
        for file, prefix, chosen, metric in choices:
            for where, row in read_rows(file):
                if row.get("filter", "none") == chosen:
                    yield from _list_samples(row, where, prefix, metric)

    return Reading("lm-evaluation-harness", read(), notes)


def _name_task(file: Path) -> str:
    stem = file.name.split(".jsonl")[0]
    found = DATED.match(stem)
    return found["task"] if found else stem.removeprefix("samples_")


def _choose_metric(file: Path, row: Row, filters: list[str], score: str | None) -> str | None:
    names = row.get("metrics") or []
    if score in names:
        return score
    if score is not None and score not in filters:
        raise InputError(f"{file}: no metric or filter {score!r}; there are {', '.join([*names, *sorted(filters)])}")
    return names[0] if names else None


def _list_samples(row: Row, where: str, prefix: str, metric: str | None) -> Iterator[Sample]:
    prompt, settings = _read_arguments(row)
    responses = row["resps"][0] if row["resps"] else []
    if not responses or not all(isinstance(response, str) for response in responses):
        raise InputError(f"{where}: holds no generated text (a task of log-likelihoods?); Pass@k needs samples of text")
    filtered = row["filtered_resps"][0] if row["filtered_resps"] else None
    extracted = filtered if isinstance(filtered, list) and len(filtered) == len(responses) > 1 else None
    reference, one = read_target(str(row["target"]).strip()), len(responses) == 1 and metric is not None
    for number, response in enumerate(responses):
        yield Sample(
            problem=f"{prefix}{row['doc_id']}",
            where=where,
            right=read_score(row.get(metric), where) if one and metric else None,
            scored=one,
            text="\n".join(f"{name}: {value}" for name, value in sorted(row["doc"].items())),
            prompt=prompt,
            completion=f"\\boxed{{{extracted[number]}}}" if extracted else response,
            reference=reference,
            settings=settings,
        )


def _read_arguments(row: Row) -> tuple[str | None, tuple[tuple[str, Any], ...]]:
    """Returns the prompt, and how it was sampled; greedily where do_sample is off or the temperature 0."""
    arguments = (row.get("arguments") or {}).get("gen_args_0", {})
    prompt, generation = arguments.get("arg_0"), arguments.get("arg_1")
    generation = dict(generation) if isinstance(generation, dict) else {}
    if generation.get("do_sample") is False:
        generation["temperature"] = 0.0
    settings = {"max_tokens" if name == "max_gen_toks" else name: value for name, value in generation.items()}
    return str(prompt) if prompt is not None else None, tuple((name, settings[name]) for name in SETTINGS if name in settings)
