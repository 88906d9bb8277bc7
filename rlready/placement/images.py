"""The container image that a stage runs in, resolved when the pipeline is compiled."""

import os
import re

from rlready.errors import InputError
from rlready.runtime.source import digest_source

IMAGE = "RLREADY_IMAGE"  # set by `rlready compile --image`
REFERENCE = re.compile(r"[a-z0-9][a-z0-9._:/-]*(:[\w.-]+)?")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def resolve_image(stage: str) -> str:
    """Returns the image of a stage: the one that RLREADY_IMAGE names, else a tag of the source on this machine."""
    return os.environ.get(IMAGE) or name_source(stage)


def name_source(stage: str) -> str:
    """Returns the tag for the source of a stage on this machine.

    It is part of the cache keys of a run without containers: a digest of the stage's source, of all that it can import, and of
    the libraries' versions, so a change of one of them makes a new key, and one in another stage does not.
    """
    return f"rlready/python:{stage}-{digest_source(stage)}"


def check_image(image: str, force_tag: bool = False) -> None:
    """Raises InputError unless an image is given as name@sha256:..., or with `force_tag` as name:tag.

    KFP's cache key includes the tag, not its digest (kubeflow/pipelines#13862): it would return an older image's results.
    """
    name, at, digest = image.partition("@")
    if not REFERENCE.fullmatch(name) or (at and not DIGEST.fullmatch(digest)):
        raise InputError(f"image: {image!r} is not name@sha256:<64 hexadecimal digits>")
    if not at and not force_tag:
        untagged = re.sub(r":[^:/]*$", "", name)
        raise InputError(
            f"image: {image} is a tag, and KFP's cache would return results of the image that had it before; give"
            f" {untagged}@sha256:..., or --force-tag"
        )
