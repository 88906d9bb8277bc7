"""Reads what another tool measured, whichever tool it was: a log is recognised by what is in it."""

from collections.abc import Callable
from pathlib import Path

from rlready.data.files import COMPRESSED
from rlready.errors import InputError
from rlready.measured import inspect_log, lighteval, lm_eval, plain, rollouts
from rlready.measured.log import MeasuredLog, Reading, count_samples
from rlready.measured.records import SUFFIXES, fetch, find_suffix, read_rows
from rlready.models.remote import is_url

MODEL_FILES = ("config.json", "adapter_config.json")
PLAIN = "plain"
# What the first row of a log has, and what reads it; rlready's own samples first, since a plain log may look alike.
READERS: dict[str, tuple[frozenset[str], Callable[[list[Path], str | None], Reading]]] = {
    "rlready": (frozenset(plain.OWN), plain.read_own),
    "lm-evaluation-harness": (frozenset(lm_eval.KEYS), lm_eval.read_lm_eval),
    "Inspect": (frozenset(inspect_log.KEYS), inspect_log.read_inspect),
    "lighteval": (frozenset(lighteval.KEYS), lighteval.read_lighteval),
    "verl": (frozenset(rollouts.VERL), rollouts.read_verl),
    "open-instruct": (frozenset(rollouts.OPEN_INSTRUCT), rollouts.read_open_instruct),
    "TRL": (frozenset(rollouts.TRL), rollouts.read_trl),
}


def is_log(place: str) -> bool:
    """Returns True if a path is that of a log: a file, or a folder that holds no model; of a URL, by its suffix."""
    path = Path(place).expanduser()
    if is_url(place):
        return find_suffix(path) in SUFFIXES
    return path.is_file() or (path.is_dir() and not any((path / name).exists() for name in MODEL_FILES))


def load_samples(
    path: str | Path, score: str | None = None, answer_format: str = "boxed", judged: bool = False, repeats: bool = False
) -> MeasuredLog:
    """Reads the log of one candidate; see `load_candidates`.

    Raises InputError if the log is of several candidates, or as `load_candidates`.
    """
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
        kinds = find_files(local)
        if len(set(kinds.values())) > 1:
            raise InputError(f"{path}: holds logs of {' and '.join(dict.fromkeys(kinds.values()))}; name one of them")
        files, kind = list(kinds), next(iter(kinds.values()))
        found = plain.read_plain(files, score) if kind == PLAIN else {"": READERS[kind][1](files, score)}
        options = answer_format, judged, repeats
        return {name or name_log(path): count_samples(str(path), reading, *options) for name, reading in found.items()}


def find_files(path: Path) -> dict[Path, str]:
    """Returns the files of a log, each with the tool that wrote it; raises as `load_candidates`."""
    if path.is_file():
        return {path: _find_kind(path)}
    if not path.is_dir():
        raise InputError(f"{path}: no such file or folder")
    inside = [file for file in sorted(path.rglob("*")) if file.is_file() and find_suffix(file) in SUFFIXES]
    kinds = {}
    for file in inside:
        # Beside its samples a tool writes summaries and settings.
        if file.name.startswith((".", "_", "results_")) or "__MACOSX" in file.parts:
            continue
        try:
            kinds[file] = _find_kind(file)
        except InputError:
            if file.suffix != ".json":
                raise
    if not kinds:
        raise InputError(f"{path}: holds no log that is recognised ({', '.join(SUFFIXES)})")
    return kinds


def _find_kind(file: Path) -> str:
    """Returns the tool whose log a file is, by its first row."""
    if find_suffix(file) == ".eval":
        return "Inspect"
    _, first = next(read_rows(file), (None, None))
    if first is None:
        raise InputError(f"{file}: is empty")
    for kind, (keys, _) in READERS.items():
        if keys <= first.keys():
            return kind
    if plain.is_plain(first):
        return PLAIN
    raise InputError(f"{file}: rows with {', '.join(list(first)[:12])} are of no known tool; a plain row has {plain.EXPECTED}")


def name_log(path: str | Path) -> str:
    """Returns the name of a candidate whose log does not name it: that of the file or folder."""
    name = Path(path).name
    for suffix in (*COMPRESSED, *SUFFIXES):
        name = name.removesuffix(suffix)
    return name
