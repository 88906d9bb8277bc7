"""Formats by name: rlready's own, and those that installed packages add through entry points.

A package adds one in its pyproject.toml:

    [project.entry-points."rlready.verifiers"]
    my-checker = "my_package.checker:MyChecker"

This is a class without arguments, or a module, with `extract(completion)` and `check(answer, reference)`, as documented in
formats/plugin.py. It is imported only in the verifier's worker processes.
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
from rlready.verifier.formats.format import Format, SameText
from rlready.verifier.formats.plugin import PlugIn

GROUP = "rlready.verifiers"
# Not entry points: these formats belong to this source whichever version is installed, and no other package can take their
# names. The last three are plug-ins like those of other packages.
OWN: dict[str, Format | str] = {
    "word": SameText(extract_word, "#{answer}"),
    "boxed": Boxed(),
    "letter": SameText(extract_letter, "\nThe answer is \\boxed{{{answer}}}."),
    "exact": "rlready.verifier.formats.exact_match:ExactMatch",
    "python-tests": "rlready.verifier.formats.python_tests:PythonTests",
    "countdown-steps": "rlready.countdown.problems",
}


@dataclass(frozen=True)
class Origin:
    """Where a format comes from."""

    name: str  # name of the format
    package: str  # the package that provides it
    version: str  # version of the package
    target: str = ""  # what is imported, as in an entry point; "" if nothing is
    digest: str = ""  # digest of the package's source; "" for rlready, which stages know by their image

    @property
    def release(self) -> str:
        """The package with its version, and the digest of its source unless it is rlready."""
        return " ".join(filter(None, (self.package, self.version, self.digest)))


def list_formats() -> list[str]:
    """Returns the names of all installed formats."""
    return [*OWN, *sorted(importlib.metadata.entry_points(group=GROUP).names - OWN.keys())]


@lru_cache
def find_format(name: str) -> Format:
    """Returns the format of a name; raises as `find_origin` does."""
    origin, own = find_origin(name), OWN.get(name)
    return own if isinstance(own, Format) else PlugIn(name, origin.target, origin.release)


@lru_cache
def find_origin(name: str) -> Origin:
    """Returns where a format comes from, without importing it.

    Raises InputError if no installed package, or more than one, has a format of that name.
    """
    if name in OWN:
        own = OWN[name]
        return Origin(name, "rlready", importlib.metadata.version("rlready"), own if isinstance(own, str) else "")
    entries = importlib.metadata.entry_points(group=GROUP, name=name)
    found = {(entry.dist.name, entry.value): (entry.dist, entry) for entry in entries if entry.dist}
    if not found:
        raise InputError(
            f"the format {name!r} is not one of {', '.join(list_formats())}; if a package provides it, install that here (pip"
            f" install PACKAGE), and on a cluster in the image (its entry point must be in the group {GROUP})"
        )
    if len(found) > 1:
        packages = " and ".join(package for package, _ in found)
        raise InputError(f"the format {name!r} is provided by {packages}; uninstall one of them")
    ((package, entry),) = found.values()
    return Origin(name, package.name, package.version, entry.value, _digest_source(entry.module))


def _digest_source(module: str) -> str:
    """Returns a digest of a package's files, since a package under development changes without its version."""
    spec = importlib.util.find_spec(module.partition(".")[0])
    if spec is None:
        return "absent"
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    files = [path for folder in folders for path in folder.rglob("*") if "__pycache__" not in path.parts]
    digest = hashlib.sha256()
    for path in sorted(path for path in files or [Path(spec.origin or "")] if path.is_file()):
        digest.update(f"{path.name}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]
