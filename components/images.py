"""The container image that a stage runs in, resolved when the pipeline is compiled."""

import hashlib
import importlib.metadata
import os
from pathlib import Path

IMAGE = "RLREADY_IMAGE"  # set by `rlready compile --image`
LIBRARIES = ("kfp", "math-verify", "torch", "transformers", "trl")


def resolve_image(stage: str) -> str:
    """Returns the image of a stage: the one that RLREADY_IMAGE names, else a tag that stands for the source on this machine.

    A local run starts no container, but its cache keys hold the image. The tag is a digest of the stage's source, of what
    it can import, and of the libraries' versions, so a change in any of them is a new key and one in another stage is not.
    """
    return os.environ.get(IMAGE) or f"rlready/python:{stage}-{digest_source(stage)}"


def digest_source(stage: str) -> str:
    """Returns a digest of everything that a stage's result can depend on, inputs aside."""
    root = Path(__file__).parent
    paths = [root / "config.py"]
    for folder in ("core", "list_machine", stage):
        paths += [p for p in (root / folder).rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    for library in LIBRARIES:
        digest.update(f"{library} {importlib.metadata.version(library)}\0".encode())
    return digest.hexdigest()[:12]
