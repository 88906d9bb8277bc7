"""What a stage's result depends on besides its inputs: source and libraries."""

import contextlib
import functools
import hashlib
import importlib.metadata
from pathlib import Path

from packaging.requirements import Requirement

PACKAGE = Path(__file__).parents[1]
# No stage's result depends on the other stages, on how a run is started and shown, or on what only the report shows.
APART = ("stages", "analysis", "cli", "components", "pipelines", "placement", "run")


def digest_source(stage: str) -> str:
    """Returns a digest of everything but inputs that a stage's result can depend on."""
    folders = [folder for folder in PACKAGE.iterdir() if folder.is_dir() and folder.name not in APART]
    folders += [PACKAGE / "stages" / stage, *([PACKAGE / "analysis"] if stage == "report" else [])]
    paths = [*PACKAGE.glob("*.py"), PACKAGE / "run" / "launch.py"]
    for folder in folders:
        paths += [p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(f"{path.relative_to(PACKAGE)}\0".encode() + path.read_bytes())
    for library, version in find_libraries().items():
        digest.update(f"{library} {version}\0".encode())
    return digest.hexdigest()[:12]


@functools.cache
def find_libraries() -> dict[str, str | None]:
    """Returns the versions of all required libraries, those of the extra `gpu` included; None if one is missing."""
    needs = map(Requirement, importlib.metadata.requires("rlready") or ())
    names = {need.name for need in needs if need.marker is None or need.marker.evaluate({"extra": "gpu"})}
    versions: dict[str, str | None] = dict.fromkeys(sorted(names | {"sympy"}))  # sympy, of math-verify, decides what is equal
    for name in versions:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions
