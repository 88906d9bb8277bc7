"""Reads what another tool measured, whichever tool it was: a log is recognised by what is in it."""

import hashlib
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from rlready.data.files import COMPRESSED, find_form
from rlready.errors import InputError
from rlready.measured import plain, tools
from rlready.measured.log import MeasuredLog, Reading, count_samples
from rlready.measured.loss import MeasuredLoss, is_number, read_loss
from rlready.measured.records import SUFFIXES, fetch, name_faults, read_rows
from rlready.models.remote import is_url
from rlready.records.candidate import LogSource

MODEL_FILES = ("config.json", "adapter_config.json")
# What the first row of a log has, and what reads it; rlready's own samples first, since a plain log may look alike.
READERS: dict[str, tuple[set[str], Callable[[list[Path], str | None], Reading]]] = {
    "rlready": ({"problem_id", "verdict", "completion", "gold", "temperature", "sample"}, plain.read_own),
    "lm-evaluation-harness": ({"doc_id", "doc", "target", "resps", "filtered_resps"}, tools.read_lm_eval),
    "Inspect": ({"eval", "plan", "version"}, tools.read_inspect),
    "lighteval": ({"doc", "model_response", "metric"}, tools.read_lighteval),
    "verl": ({"input", "output", "score", "step"}, tools.read_verl),
    "open-instruct": ({"prompt_tokens", "response_tokens", "reward", "prompt_idx"}, tools.read_open_instruct),
    "TRL": (tools.TRL, tools.read_trl),
}


def is_log(place: str) -> bool:
    """Returns True if a path is that of a log: a file, or a folder that holds no model; of a URL, by its suffix."""
    path = Path(place).expanduser()
    if is_url(place):
        return (find_form(place) or path.suffix) in SUFFIXES
    return path.is_file() or (path.is_dir() and not any((path / name).exists() for name in MODEL_FILES))


def load_samples(
    path: str | Path, score: str | None = None, answer_format: str = "boxed", judged: bool = False, repeats: bool = False
) -> MeasuredLog:
    """Reads the log of one candidate as `load_candidates`; raises InputError if it is of several."""
    logs = load_candidates(path, score, answer_format, judged, repeats)
    if len(logs) > 1:
        raise InputError(f"{path}: holds the candidates {', '.join(logs)}; load_candidates reads them all")
    return next(iter(logs.values()))


def load_candidates(
    path: str | Path, score: str | None = None, answer_format: str = "boxed", judged: bool = False, repeats: bool = False
) -> dict[str, MeasuredLog]:
    """Reads a log of samples or counts, and counts the right samples of each problem.

    Args:
        path: A file, a folder of files of one tool, or the URL of either. The tool is lm-evaluation-harness, Inspect,
            lighteval, verl, TRL, open-instruct or rlready; plain rows are as docs/guide/measured.md has them.
        score: Which of the log's own scores decides: a metric, filter, scorer or column; None: the tool's first.
        answer_format: The verifier's format for samples without a score.
        judged: Judge all samples with rlready's verifier, and count how often the log's own score differs.
        repeats: Accept a log most of whose samples repeat one another.

    Returns:
        Counts by candidate; a log without names is of one, named like the file or its folder.

    Raises:
        InputError: If no tool is recognised, or a row cannot be used; it names file and row.
    """
    with fetch(path) as local:
        kinds = find_files(local, score)
        if len(set(kinds.values())) > 1:
            raise InputError(f"{path}: holds logs of {' and '.join(dict.fromkeys(kinds.values()))}; name one of them")
        files, kind = list(kinds), next(iter(kinds.values()))
        with name_faults(path):
            found = plain.read_plain(files, score) if kind == "plain" else {"": READERS[kind][1](files, score)}
            options = answer_format, judged, repeats
            return {name or name_log(path): count_samples(str(path), reading, *options) for name, reading in found.items()}


def find_files(path: Path, score: str | None) -> dict[Path, str]:
    """Returns the files of a log, each with the tool that wrote it; raises as `load_candidates`."""
    if path.is_file():
        return {path: _find_kind(path, score)}
    if not path.is_dir():
        raise InputError(f"{path}: no such file or folder")
    kinds, other = {}, f"{path}: holds no log that is recognised ({', '.join(SUFFIXES)})"
    for file in sorted(path.rglob("*")):
        # Beside its samples a tool writes summaries and settings.
        aside = file.name.startswith((".", "_", "results_")) or file.name.endswith("_metadata.jsonl")
        if file.is_file() and (find_form(file.name) or file.suffix) in SUFFIXES and not aside:
            try:
                kinds[file] = _find_kind(file, score)
            except InputError as error:
                if file.suffix != ".json":
                    raise
                other = str(error)
    if not kinds:
        raise InputError(other)
    return kinds


def _find_kind(file: Path, score: str | None) -> str:
    """Returns the tool whose log a file is, by its first row."""
    if file.suffix == ".eval":
        return "Inspect"
    for _, first in read_rows(file):
        kinds = [kind for kind, (keys, _) in READERS.items() if keys <= first.keys()]
        if kinds or plain.is_plain(first, score):
            return next(iter(kinds), "plain")
        if first.keys() <= {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}:
            pass
        shown = ", ".join(list(first)[:12])
        raise InputError(f"{file}: rows with {shown} are of no known tool; a plain row has {plain.EXPECTED}")
    raise InputError(f"{file}: is empty")


def name_log(path: str | Path) -> str:
    """Returns the name of a candidate whose log does not name it: that of the file or folder."""
    name = Path(path).name
    for suffix in (*COMPRESSED, *SUFFIXES):
        name = name.removesuffix(suffix)
    return name


@dataclass(frozen=True)
class FoundLog:
    """A log that was read, with the loss that belongs to it; None: unknown."""

    source: LogSource  # pinned
    log: MeasuredLog
    loss: MeasuredLoss | None

    def describe(self) -> str:
        """Returns where it is and what was read of it in one line."""
        loss = [f"loss {self.loss.value:.3f} ({self.loss.kind})"] if self.loss else []
        return "; ".join([f"{self.source.location} ({self.source.digest})", self.log.describe(), *loss])


def find_log(source: LogSource) -> FoundLog:
    """Reads a log, from a file, a folder or a URL, and its loss.

    Raises InputError if one cannot be read, has changed since plan pinned it, or the log is of several candidates and
    `source.name` is none of them.
    """
    has_file = source.loss and not is_number(source.loss)
    with fetch(source.location) as path, fetch(source.loss) if has_file else nullcontext(source.loss) as loss:
        digest = hashlib.sha256(source.loss.encode())
        for place in (*find_files(path, source.score), *filter(Path.is_file, [Path(loss)])):
            with place.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        logs = load_candidates(path, source.score, source.answer_format, source.judged, source.repeats)
        found = read_loss(str(loss)) if loss else None
    pinned = replace(source, digest=digest.hexdigest()[:16])
    if source.digest and pinned != source:
        raise InputError(f"{source.location} has changed since plan read it; start the run again")
    if len(logs) > 1 and source.name not in logs:
        raise InputError(f"{source.location}: holds the candidates {', '.join(logs)}; name one of them (name:)")
    log = logs[source.name] if len(logs) > 1 else next(iter(logs.values()))
    return FoundLog(pinned, replace(log, path=source.location), found)
