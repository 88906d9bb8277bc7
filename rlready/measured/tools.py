"""Logs of evaluation harnesses (lm-evaluation-harness, lighteval, Inspect) and of trainers (verl, TRL, open-instruct)."""

import hashlib
import itertools
import json
import math
import re
import struct
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from rlready.errors import InputError
from rlready.measured.log import SETTINGS, Reading, Sample
from rlready.measured.records import Row, name_faults, read_rows, read_score, read_target, read_text

JUDGED = "each response judged by rlready's verifier"
LM_EVAL = {"doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter"}  # keys besides metrics and hashes
NO_TEXT = "holds no generated text (a task of log-likelihoods?); Pass@k needs samples of text"
ZSTD = 93  # a zip method that Python's zipfile does not decompress before 3.14
TRL = {"step", "prompt", "completion", "advantage"}  # columns besides its rewards


def read_lm_eval(files: list[Path], score: str | None) -> Reading:
    """Reads samples_TASK_DATE.jsonl of one model, as lm-eval's --log_samples writes them, one file per task.

    A line is one document through one filter. Its metrics are of the filter's one result, so with `repeats` above 1 they say
    nothing of the single responses: those are judged here, by the answers that the filter extracted if it kept all of them.
    `score` names a filter or metric, by default the log's first (before version 0.4.7, which names them, any other key). Raises
    InputError if a task or document was logged twice, no filter or metric has that name, or a row cannot be used.
    """
    tasks = [re.sub(r"^samples_|(_\d{4}-\d\d-\d\dT[\d.:-]+)?\.jsonl?(\.\w+)?$", "", file.name) for file in files]
    if twice := next((task for task in tasks if tasks.count(task) > 1), None):
        raise InputError(f"{files[0].parent}: {twice} was logged more than once; name one file")
    choices, notes = [], []
    for file, task in zip(files, tasks, strict=True):
        _, first = next(read_rows(file))
        metrics = first.get("metrics") or [name for name in first if name not in LM_EVAL and not name.endswith("_hash")]
        filters = list(dict.fromkeys(row.get("filter", "none") for _, row in read_rows(file)))
        if score not in (None, *filters, *metrics):
            raise InputError(f"{file}: no metric or filter {score!r}; there are {', '.join([*metrics, *sorted(filters)])}")
        chosen, metric = (score if score in names else next(iter(names), None) for names in (filters, metrics))
        one = len((first["resps"] or [[]])[0]) == 1 and metric
        notes.append(f"{task}: filter {chosen}, {f'metric {metric}' if one else JUDGED}")
        choices.append((file, f"{task}/" if len(files) > 1 else "", chosen, metric))

    def read() -> Iterator[Sample]:
        for file, prefix, chosen, metric in choices:
            seen = set()
            for where, row in read_rows(file):
                if row.get("filter", "none") == chosen:
                    with name_faults(where):
                        if row["doc_id"] in seen:
                            again = f"{where}: document {row['doc_id']} a second time"
                            raise InputError(f"{again}, joined or through another filter without a name; keep one of the rows")
                        seen.add(row["doc_id"])
                        yield from _list_responses(row, where, prefix, metric)

    return Reading("lm-evaluation-harness", read(), notes)


def _list_responses(row: Row, where: str, prefix: str, metric: str | None) -> Iterator[Sample]:
    responses = row["resps"][0] if row["resps"] else []
    if not responses or not all(isinstance(response, str) for response in responses):
        raise InputError(f"{where}: {NO_TEXT}")
    filtered = row["filtered_resps"][0] if row["filtered_resps"] else None
    extracted = filtered if isinstance(filtered, list) and len(filtered) == len(responses) > 1 else None
    reference, one = read_target(str(row["target"]).strip()), len(responses) == 1 and metric is not None
    arguments: Any = row.get("arguments") or {}  # a list before 0.4.3
    first: Iterable[Any] = arguments[0] if isinstance(arguments, list) else arguments.get("gen_args_0", {}).values()
    prompt, generation = [*first, None, None][:2]
    settings: dict[str, Any] = dict(generation) if isinstance(generation, dict) else {}
    if settings.get("do_sample") is False:
        settings["temperature"] = 0.0
    if "max_gen_toks" in settings:
        settings["max_tokens"] = settings["max_gen_toks"]
    for number, response in enumerate(responses):
        yield Sample(
            problem=f"{prefix}{row['doc_id']}",
            where=where,
            right=read_score(row.get(metric), where) if one and metric else None,
            scored=one,
            text="\n".join(f"{name}: {value}" for name, value in sorted(row["doc"].items())),
            prompt=None if prompt is None else str(prompt),
            completion=f"\\boxed{{{extracted[number]}}}" if extracted else response,
            reference=reference,
            settings=tuple((name, settings[name]) for name in SETTINGS if name in settings),
        )


def read_lighteval(files: list[Path], score: str | None) -> Reading:
    """Reads details_TASK_DATE.parquet of one model, one file per task, with the metric of this name or the task's first.

    A row is one document with all of its generations, and a metric is of them together: several are judged here. Raises
    InputError if no metric has that name, or a row holds no generated text.
    """
    metrics, notes = {}, {}
    for file in files:
        where, first = next(read_rows(file))
        with name_faults(where):
            names, texts = list(_parse(first["metric"])), _parse(first["model_response"]).get("text") or ()
        if score not in (None, *names):
            raise InputError(f"{file}: no metric {score!r}; there are {', '.join(names)}")
        metrics[file] = score or next(iter(names), None)
        notes[JUDGED if len(texts) > 1 else f"metric {metrics[file]}"] = file
    read = (_list_all(read_rows(file), _list_generations, metric) for file, metric in metrics.items())
    return Reading("lighteval", itertools.chain.from_iterable(read), list(notes))


def _list_all(rows: Iterable[tuple[str, Row]], list_samples: Callable[..., Iterable[Sample]], *how: Any) -> Iterator[Sample]:
    for where, row in rows:
        with name_faults(where):
            yield from list_samples(row, where, *how)


def _parse(value: Any) -> dict[str, Any]:
    return json.loads(value) if isinstance(value, str) else dict(value or {})


def _list_generations(row: Row, where: str, metric: str | None) -> Iterator[Sample]:
    doc, response = _parse(row["doc"]), _parse(row["model_response"])
    texts, ids = response.get("text") or [], response.get("output_tokens") or []
    if not texts:
        raise InputError(f"{where}: {NO_TEXT}")
    golds = doc["gold_index"] if isinstance(doc["gold_index"], list) else [doc["gold_index"]]
    # One whose end repeats a token has an unknown length: a batch is filled up to its longest.
    lengths = [None if len(one) > 1 and one[-1] == one[-2] else len(one) for one in ids] + [None] * len(texts)
    one, limit = len(texts) == 1 and metric is not None, doc.get("generation_size")
    for text, length in zip(texts, lengths, strict=False):
        yield Sample(
            problem=f"{doc.get('task_name') or ''}/{doc.get('id') or ''}".strip("/"),
            where=where,
            right=read_score(_parse(row["metric"]).get(metric), where) if one and metric else None,
            scored=one,
            text=doc["query"],
            prompt=str(response["input"]) if response.get("input") else None,
            completion=text,
            reference=read_target([doc["choices"][gold] for gold in golds]),
            finished=length < limit if length is not None and limit else None,
            tokens=length,
            settings=(("max_tokens", limit),) if limit else (),
        )


def read_inspect(files: list[Path], score: str | None) -> Reading:
    """Reads the log of one evaluation, an .eval (a zip archive) or .json file, with the scorer of this name or the first.

    A sample is one problem in one epoch. Raises InputError if there are several files, the evaluation did not end well, no
    scorer has that name, or a score is neither right nor wrong.
    """
    if len(files) > 1:
        raise InputError(f"{files[0].parent}: holds {len(files)} logs of Inspect; name one file")
    (file,) = files
    header, samples = _open(file)
    if header.get("status") not in ("success", None):
        raise InputError(f"{file}: the evaluation did not end well (status {header['status']}); run it to its end")
    config = header["eval"].get("model_generate_config") or {}
    config = {**config, **((header.get("plan") or {}).get("config") or {})}
    settings = tuple((name, config[name]) for name in SETTINGS if config.get(name) is not None)
    # Of the results, since evaluations without scores name scorers too, and old logs have no other names.
    scorers = {found["name"]: found.get("scorer", found["name"]) for found in (header.get("results") or {}).get("scores") or []}
    if score not in (None, *scorers):
        raise InputError(f"{file}: no scorer {score!r}; there are {', '.join(scorers) or 'none'}")
    chosen = score or next(iter(scorers), None)
    notes = [f"scorer {chosen}" if chosen else "no scores; judged by rlready's verifier"]
    return Reading("Inspect", _list_all(samples, _list_sample, scorers.get(chosen), chosen, settings), notes)


def _open(file: Path) -> tuple[Row, Iterator[tuple[str, Row]]]:
    """Returns the header of a log of Inspect, and (where, sample) of each sample."""
    if file.suffix != ".eval":
        _, whole = next(read_rows(file))
        return whole, ((f"{file} sample {number}", s) for number, s in enumerate(whole.get("samples") or [], 1))
    try:
        archive = zipfile.ZipFile(file)
        header = _read_member(archive, "header.json")
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{file}: not a whole log of Inspect ({error}); let the evaluation end") from error
    # A sample that was tried or scored again is there again, of which the last counts.
    names = sorted({name for name in archive.namelist() if name.startswith("samples/") and name.endswith(".json")})
    return header, ((f"{file} {name}", _read_member(archive, name)) for name in names)


def _read_member(archive: zipfile.ZipFile, name: str) -> Row:
    import pyarrow as pa

    member = archive.getinfo(name)
    if member.compress_type != ZSTD:
        return json.loads(archive.read(name))
    with open(str(archive.filename), "rb") as file:
        file.seek(member.header_offset + 26)  # of the lengths of name and extra field in the member's own header
        file.seek(sum(struct.unpack("<HH", file.read(4))), 1)
        return json.loads(pa.CompressedInputStream(pa.BufferReader(file.read(member.compress_size)), "zstd").read())


def _list_sample(sample: Row, where: str, scorer: str | None, part: str | None, settings: Any) -> Iterator[Sample]:
    """Yields the one sample of a member, with the score that a scorer gives; `part` names one of its several scores."""
    output, scores, attached = (sample.get(name) or {} for name in ("output", "scores", "attachments"))

    def read_content(message: Row) -> str:
        text = read_text(message.get("content"))
        return attached.get(text.removeprefix("attachment://"), text)  # where Inspect puts a long one

    choice = (output.get("choices") or [{}])[0]
    stopped, target, asked = choice.get("stop_reason"), sample["target"], sample["input"]
    failed = bool(sample.get("error"))
    value = None if failed or scorer not in scores else scores[scorer].get("value")
    yield Sample(
        problem=str(sample["id"]),
        where=where,
        right=read_score(value.get(part) if isinstance(value, dict) else value, where),
        scored=failed or scorer is not None,  # an error says nothing of the answer
        text=asked if isinstance(asked, str) else json.dumps([read_content(message) for message in asked]),
        completion=read_content(choice.get("message") or {}),
        reference=read_target(target),
        finished=None if stopped is None else stopped not in ("max_tokens", "model_length"),
        tokens=(output.get("usage") or {}).get("output_tokens"),
        settings=settings,
    )


def read_verl(files: list[Path], score: str | None) -> Reading:
    """Reads a dump of trainer.validation_data_dir; `acc` decides if it is there, else `score`. Raises as `_read`."""
    _, first = next(read_rows(files[0]))
    reward = score or ("acc" if "acc" in first else "score")

    def read_row(row: Row) -> dict[str, Any]:
        gold = None if row.get("gts") is None else read_target(row["gts"])
        return {"text": row["input"], "completion": row["output"], "reference": gold}

    return _read("verl", files, reward, read_row)


def read_trl(files: list[Path], score: str | None) -> Reading:
    """Reads completions/*.parquet of log_completions; the only column of numbers decides. Raises as `_read`."""
    cells = (cell for _, row in read_rows(*files) for cell in row.items())  # a reward may be None in the first row
    names = list(dict.fromkeys(name for name, value in cells if name not in TRL and isinstance(value, (int, float))))
    if score is None and len(names) != 1:
        raise InputError(f"{files[0]}: rewards are {', '.join(names) or 'not there'}; name one with --score")

    def read_row(row: Row) -> dict[str, Any]:
        text, completion = (said if isinstance(said, str) else json.dumps(said) for said in (row["prompt"], row["completion"]))
        return {"text": text, "completion": completion}

    return _read("TRL", files, score or names[0], read_row)


def read_open_instruct(files: list[Path], score: str | None) -> Reading:
    """Reads rollouts, whose prompts and answers are token ids; `reward` decides. Raises as `_read`."""

    def read_row(row: Row) -> dict[str, Any]:
        told = {"text": json.dumps(row["prompt_tokens"]), "completion": json.dumps(row["response_tokens"])}
        finished = row["finish_reason"] != "length" if row.get("finish_reason") else None
        return told | {"tokens": len(row["response_tokens"]), "finished": finished}

    return _read("open-instruct", files, score or "reward", read_row)


def _read(tool: str, files: list[Path], reward: str, read_row: Callable[[Row], dict[str, Any]]) -> Reading:
    """Reads the samples of one step; a problem is known by its prompt, since these logs number samples only.

    Raises InputError if there are several steps, or the rewards take more than two values.
    """
    values: set[float] = set()
    steps = set()
    for where, row in read_rows(*files):
        if reward not in row:
            raise InputError(f"{where}: no {reward!r}; there are {', '.join(row)}")
        steps.add(row["step"])
        if (value := read_reward(row[reward], where)) is not None:
            values.add(value)
        if len(values) > 2:
            shown = ", ".join(f"{value:g}" for value in sorted(values))
            raise InputError(
                f"{where}: {reward} is {shown}: more than right and wrong; name a reward of two values with --score"
            )
    if len(steps) > 1:
        found = ", ".join([*map(str, sorted(steps)[:3])] + ["..."] * (len(steps) > 3))
        raise InputError(f"{files[0].parent}: holds {len(steps)} steps ({found}); keep the rows of one, or name its file")
    best = max(values, default=1.0)
    note = f"{reward} of step {min(steps)}: {best:g} counts as right"
    if best <= 0:  # of rewards that are all alike, one above 0 is right
        note = f"{reward} is never above 0: none is right"

    def list_sample(row: Row, where: str) -> Iterator[Sample]:
        told, value = read_row(row), read_reward(row[reward], where)
        problem = hashlib.sha256(told["text"].encode(errors="surrogatepass")).hexdigest()[:12]
        right = None if value is None else value == best and best > 0
        yield Sample(problem=problem, where=where, right=right, scored=True, **told)

    return Reading(tool, _list_all(read_rows(*files), list_sample), [note])


def read_reward(value: Any, where: str) -> float | None:
    """Returns a reward; None if it is missing or not finite; raises InputError if it is not a number."""
    try:
        number = float("nan" if value is None else value)
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: the reward {value!r} is not a number") from error
    return number if math.isfinite(number) else None
