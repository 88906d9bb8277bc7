"""The kinds of answer by name: rlready's own, and those that installed packages add through entry points.

A package adds one by a line of its pyproject.toml:

    [project.entry-points."rlready.verifiers"]
    my-checker = "my_package.checker:MyChecker"

It names a class without arguments, or a module, with `extract(completion)` and `check(answer, reference)`; formats/plugin.py
documents what they return. It is imported in the verifier's worker processes only, never here.
"""

import hashlib
import importlib.metadata
import importlib.util
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from rlready.errors import InputError
from rlready.verifier.formats.boxed import Boxed
from rlready.verifier.formats.extract import extract_letter, extract_word
from rlready.verifier.formats.format import Format
from rlready.verifier.formats.plugin import PlugIn
from rlready.verifier.formats.same_text import SameText

GROUP = "rlready.verifiers"
# A table rather than entry points: these formats belong to this source, whichever version is installed, and no other package
# can take their names. The last two are plug-ins like those of any other package.
OWN: dict[str, Format | str] = {
    "word": SameText(extract_word, "#{answer}"),
    "boxed": Boxed(),
    "letter": SameText(extract_letter, "\nThe answer is \\boxed{{{answer}}}."),
    "exact": "rlready.verifier.formats.exact_match:ExactMatch",
    "python-tests": "rlready.verifier.formats.python_tests:PythonTests",
}


@dataclass(frozen=True)
class Origin:
    """Where a format comes from.

    Attributes:
        name: Of the format.
        package: That brings it.
        version: Of the package.
        target: What is imported, as an entry point says it; "" of what needs no import.
        digest: Of the package's source; "" of rlready's own, which stages know by their image.
    """

    name: str
    package: str
    version: str
    target: str = ""
    digest: str = ""

    @property
    def release(self) -> str:
        """The package with its version, and the digest of its source where it is not rlready."""
        return " ".join(filter(None, (self.package, self.version, self.digest)))


def list_formats() -> list[str]:
    """Returns the names of all formats that are installed."""
    return [*OWN, *sorted({entry.name for entry in _list_entries()} - OWN.keys())]


@lru_cache
def find_format(name: str) -> Format:
    """Returns the format of a name.

    Raises:
        InputError: As `find_origin`.
    """
    origin, own = find_origin(name), OWN.get(name)
    return own if isinstance(own, Format) else PlugIn(name, origin.target, origin.release)


@lru_cache
def find_origin(name: str) -> Origin:
    """Returns where a format comes from, without importing it.

    Raises:
        InputError: If no installed package has a format of that name, or two have.
    """
    if name in OWN:
        own = OWN[name]
        return Origin(name, "rlready", importlib.metadata.version("rlready"), own if isinstance(own, str) else "")
    found = {
        (entry.dist.name, entry.value): (entry.dist, entry) for entry in _list_entries() if entry.name == name and entry.dist
    }
    if not found:
        raise InputError(
            f"the format {name!r} is none of {', '.join(list_formats())}; if a package brings it, install that here (pip"
            f" install PACKAGE), and on a cluster in the image (its entry point must be in the group {GROUP})"
        )
    if len(found) > 1:
        packages = " and ".join(package for package, _ in found)
        raise InputError(f"the format {name!r} is brought by {packages}; uninstall one of them")
    ((package, entry),) = found.values()
    return Origin(name, package.name, package.version, entry.value, _digest_source(entry.module))


def _list_entries() -> list[importlib.metadata.EntryPoint]:
    return list(importlib.metadata.entry_points(group=GROUP))


def _digest_source(module: str) -> str:
    """Returns a digest of a package's files: one that is being worked on changes without its version."""
    spec = importlib.util.find_spec(module.partition(".")[0])
    if spec is None:
        return "absent"
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    files = [path for folder in folders for path in folder.rglob("*") if "__pycache__" not in path.parts]
    digest = hashlib.sha256()
    for path in sorted(path for path in files or [Path(spec.origin or "")] if path.is_file()):
        digest.update(f"{path.name}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]
