"""What is at a URL, such as s3://bucket/checkpoint: the files of a model, their digest, and copies of them, or of a log."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from rlready.errors import InputError, one_line

# What a model is made of; a trainer's optimizer states and logs stay where they are.
LOADED = (".safetensors", ".json", ".jinja", ".model", ".txt")


def is_url(location: str) -> bool:
    """Returns True if a location is a URL."""
    return "://" in location


def digest_remote(url: str) -> tuple[str, list[str]]:
    """Returns a digest of a folder's files by name, size and the store's checksum, and their names.

    Raises InputError if the store cannot be reached, or has no such folder.
    """
    files, folder = _open(url)
    marks = {}
    for path, info in _call(url, lambda: files.find(folder, maxdepth=1, detail=True)).items():
        name = path.rsplit("/", 1)[-1]
        if name.endswith(LOADED):
            marks[name] = [info["size"], _call(url, lambda path=path: files.checksum(path))]
    if not marks:
        raise InputError(f"{url}: no folder with files of a model ({', '.join(LOADED)})")
    return hashlib.sha256(repr(sorted(marks.items())).encode()).hexdigest()[:16], sorted(marks)


def copy_remote(url: str, names: list[str], folder: Path) -> None:
    """Copies files of a remote folder; raises InputError if the store cannot be reached."""
    files, place = _open(url)
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        _call(url, lambda name=name: files.get_file(f"{place}/{name}", str(folder / name)))


def copy_all(url: str, folder: Path) -> Path:
    """Copies a remote file, or folder with all that is in it, into a folder; returns where it is.

    Raises InputError if the store cannot be reached, or has no such thing.
    """
    files, place = _open(url)
    target = folder / place.rstrip("/").rsplit("/", 1)[-1]
    _call(url, lambda: files.get(place, str(target), recursive=True))
    return target


def _open(url: str):
    import fsspec

    return _call(url, lambda: fsspec.core.url_to_fs(url.rstrip("/")))


def _call(url: str, request: Callable):
    try:
        return request()
    except Exception as error:  # stores and their clients raise errors of their own
        said = one_line(error)
        raise InputError(f"{url}: cannot be opened ({said}); a copy in a folder works too") from error
