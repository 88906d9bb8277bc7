"""What is on the hub, or at a URL such as s3://bucket/checkpoint: commits, and the files of a model with digest and copies."""

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

from rlready.errors import InputError, Unreachable, one_line

# What a model is made of; a trainer's optimizer states and logs stay where they are.
LOADED = (".safetensors", ".json", ".jinja", ".model", ".txt")


def is_url(location: str) -> bool:
    """Returns True if a location is a URL."""
    return "://" in location


def find_commit(kind: str, name: str, revision: str | None) -> str:
    """Returns the commit of a `model` or `dataset` of the hub at a revision.

    Raises Unreachable if the hub could not be asked, InputError if it is gated, absent, or has no such revision.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

    place = f"datasets/{name}" if kind == "dataset" else name
    refused = {  # the first that an error is an instance of
        HFValidationError: f"{name} is not an id of the hub, such as owner/name",
        GatedRepoError: f"gated; ask for access at https://huggingface.co/{place} and set HF_TOKEN",
        RevisionNotFoundError: f"the hub has no revision {revision} of {name}: it is misspelt, or it has changed",
        RepositoryNotFoundError: f"the hub has no {kind} {name} (or it is private: set HF_TOKEN)",
    }
    try:
        commit = HfApi().repo_info(name, repo_type=kind, revision=revision).sha
    except Exception as error:  # whatever the network does
        said = next((message for known, message in refused.items() if isinstance(error, known)), "")
        raise (InputError(said) if said else Unreachable(one_line(error))) from error
    if commit is None:
        raise Unreachable(f"it named no commit of {name}")
    return commit


def digest_remote(url: str) -> tuple[str, list[str]]:
    """Returns a digest of a model folder's files (name, size, checksum) and their names; raises as `copy_remote`."""
    files, folder = open_store(url)
    with _explain(url):
        found = files.find(folder, maxdepth=1, detail=True).items()
        sizes = {path: info["size"] for path, info in found if path.endswith(LOADED)}
        marks = {path.rsplit("/", 1)[-1]: [size, files.checksum(path)] for path, size in sizes.items()}
    if not marks:
        raise InputError(f"{url}: no folder with files of a model ({', '.join(LOADED)})")
    return hashlib.sha256(repr(sorted(marks.items())).encode()).hexdigest()[:16], sorted(marks)


def copy_remote(url: str, names: list[str], folder: Path) -> None:
    """Copies files of a remote folder; raises InputError if the store cannot be reached, or there is no such folder."""
    files, place = open_store(url)
    folder.mkdir(parents=True, exist_ok=True)
    with _explain(url):
        for name in names:
            files.get_file(f"{place}/{name}", str(folder / name))


def copy_all(url: str, folder: Path) -> Path:
    """Copies a remote file or whole folder into a folder, and returns where it is; raises as `copy_remote`."""
    files, place = open_store(url)
    target = folder / place.rstrip("/").rsplit("/", 1)[-1]
    with _explain(url):
        files.get(place, str(target), recursive=True)
    return target


def open_store(url: str):
    """Returns the file system of a URL, and the path there; raises InputError if it cannot be opened."""
    import fsspec

    with _explain(url):
        return fsspec.core.url_to_fs(url.rstrip("/"))


@contextlib.contextmanager
def _explain(url: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # stores and their clients raise errors of their own
        said = one_line(error)
        raise InputError(f"{url}: cannot be opened ({said}); a copy in a folder works too") from error
