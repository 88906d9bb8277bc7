"""Model folders behind a URL, such as s3://bucket/checkpoint: which files they hold, their digest, and copies of them."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from rlready.errors import InputError

# What a model is made of; a trainer's optimizer states and logs stay where they are.
LOADED = (".safetensors", ".json", ".jinja", ".model", ".txt")


def is_url(location: str) -> bool:
    """Says whether a place is a URL."""
    return "://" in location


def digest_remote(url: str) -> tuple[str, list[str]]:
    """Returns a digest of a folder's files by name, size and what the store says of their content, and their names.

    Raises:
        InputError: If the store cannot be asked, or holds no such folder.
    """
    files, folder = _open(url)
    marks = {}
    for path, info in _ask(url, lambda: files.find(folder, maxdepth=1, detail=True)).items():
        name = path.rsplit("/", 1)[-1]
        if name.endswith(LOADED):
            marks[name] = [info["size"], _ask(url, lambda path=path: files.checksum(path))]
    if not marks:
        raise InputError(f"{url}: no folder with files of a model ({', '.join(LOADED)})")
    return hashlib.sha256(repr(sorted(marks.items())).encode()).hexdigest()[:16], sorted(marks)


def copy_remote(url: str, names: list[str], folder: Path) -> None:
    """Copies files of a remote folder.

    Raises:
        InputError: If the store cannot be asked.
    """
    files, place = _open(url)
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        _ask(url, lambda name=name: files.get_file(f"{place}/{name}", str(folder / name)))


def _open(url: str):
    import fsspec

    return _ask(url, lambda: fsspec.core.url_to_fs(url.rstrip("/")))


def _ask(url: str, look: Callable):
    try:
        return look()
    except Exception as error:  # whatever a store or its client says, the user gets one line
        raise InputError(
            f"{url}: cannot be opened ({' '.join(str(error).split())[:200]}); a copy in a folder works too"
        ) from error
