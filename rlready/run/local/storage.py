"""The contents of a work folder, their size, and their cleanup: what can be removed because no kept run needs it.

A run records the keys that it looks up in kfp.local's cache. Entries that no kept run looked up, and outputs that only these
entries name, can be removed: if needed again, they are computed again.
"""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rlready.errors import InputError

CACHE, ARTIFACTS, CHECKPOINTS = "cache", "artifacts", "checkpoints"  # folders in a work folder
FOLDERS = (CACHE, ARTIFACTS, CHECKPOINTS)
TAKEN = "cache_keys.txt"  # in the folder of a run: the keys that it looked up
PARAMETERS, RESULT = "parameters.json", "outcomes.json"  # in it from the start, and once the run has finished


@dataclass(frozen=True)
class Leftovers:
    """What can be removed from a work folder: entries and outputs."""

    kept: list[Path]  # folders of the runs to keep, newest first
    others: list[Path]  # folders of the other runs, whose reports and logs stay
    entries: list[Path]  # files of the cache
    outputs: list[Path]  # files and folders that only those name, and checkpoints of abandoned trainings
    size: int  # bytes of entries and outputs

    def remove(self) -> None:
        """Removes everything, entries first: an entry without its outputs would be a hit without a result."""
        for path in self.entries:
            path.unlink(missing_ok=True)
        for path in self.outputs:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)


def make_private(*folders: Path) -> None:
    """Creates folders that no other user may enter; existing ones keep their modes. Raises InputError if that fails."""
    for folder in folders:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{folder}: this folder cannot be created ({error.strerror})") from error


def measure(folder: Path) -> int:
    """Returns the bytes of a file, or of all files below a folder; what disappears meanwhile counts 0."""
    try:
        if not folder.is_dir() or folder.is_symlink():
            return folder.lstat().st_size
        return sum(map(measure, folder.iterdir()))
    except FileNotFoundError:
        return 0


def find_leftovers(work: Path, keep: int) -> Leftovers:
    """Returns what can be removed from a work folder if the last `keep` finished runs, and later unfinished ones, are kept."""
    begun = sorted(work.glob(f"*/{PARAMETERS}"), key=lambda path: path.stat().st_mtime, reverse=True)
    if not begun:
        raise InputError(f"{work}: no run here; --work is the folder of `rlready run`")
    runs = [path.parent for path in begun]
    finished = [number for number, run in enumerate(runs, 1) if (run / RESULT).exists()]
    count = finished[keep - 1] if len(finished) >= keep else len(runs)
    keys: set[str] = set()
    for run in runs[:count]:
        if (run / TAKEN).exists():
            keys |= {*(run / TAKEN).read_text().split()}
        elif (run / RESULT).exists():  # otherwise it was stopped before it looked anything up
            unknown = "run by an earlier version, so it is not known what it needs"
            raise InputError(f"{run.name}: {unknown}; run it again to keep it")
    entries = [path for path in sorted((work / CACHE).glob("*")) if path.stem not in keys]
    outputs = [*_find_unneeded(work / ARTIFACTS, {uri for key in keys for uri in _list_outputs(work / CACHE / f"{key}.json")})]
    since = begun[count - 1].stat().st_mtime  # later checkpoints may still be resumed
    for path in sorted((work / CHECKPOINTS).glob("*")):
        if max(p.stat().st_mtime for p in (path, *path.glob("*"))) < since:
            outputs.append(path)
    return Leftovers(runs[:count], runs[count:], entries, outputs, sum(map(measure, entries + outputs)))


def _list_outputs(entry: Path) -> Iterator[Path]:
    """Yields the paths of the outputs that an entry of the cache names."""
    try:
        held = [*json.loads(entry.read_text()).values()]
    except (OSError, ValueError):  # gone or incomplete, which is a miss for kfp
        return
    while held:
        value = held.pop()
        if isinstance(value, list):
            held += value
        elif isinstance(value, dict):
            held += value.get("artifacts", [])
            if "://" not in (uri := value.get("uri", "")) and uri:
                yield Path(uri)


def _find_unneeded(folder: Path, needed: set[Path]) -> Iterator[Path]:
    """Yields what is in a folder and neither is needed, nor contains, nor is part of anything needed."""
    above = {parent for path in needed for parent in path.parents}
    for path in sorted(folder.glob("*")):
        if path in above:
            yield from _find_unneeded(path, needed)
        elif path not in needed:
            yield path
