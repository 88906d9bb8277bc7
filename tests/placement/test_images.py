"""What the images are made from is pinned: the base by digest, every library by version, for every image."""

import re
import tomllib

import pytest
from helpers import ROOT
from helpers.pins import read_pins
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def test_every_library_is_pinned_once_and_as_the_package_wants_it():
    shared, gpu = read_pins(ROOT / "constraints.txt"), read_pins(ROOT / "constraints-gpu.txt")
    assert not shared.keys() & gpu.keys()
    assert "--constraint constraints.txt" in (ROOT / "constraints-gpu.txt").read_text().splitlines()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    needs = project["build-system"]["requires"] + project["project"]["dependencies"]
    needs += [
        text for extra in ("dev", "mlflow-server", "train-job") for text in extras[extra] if not text.startswith("rlready[")
    ]
    for pins, texts in ((shared, needs), (shared | gpu, extras["gpu"])):
        for need in map(Requirement, texts):
            assert need.specifier.contains(pins[canonicalize_name(need.name)]), need


@pytest.mark.parametrize("kind", ["cpu", "gpu", "mlflow"])
def test_an_image_starts_from_a_digest_and_as_a_numbered_user(kind):
    lines = (ROOT / "images" / f"{kind}.Dockerfile").read_text().splitlines()
    (base,) = [line for line in lines if line.startswith("ARG BASE_IMAGE=")]
    assert re.search(r":3\.11-slim-bookworm@sha256:[0-9a-f]{64}$", base)
    started = {line.split(" AS ")[0] for line in lines if line.startswith("FROM")}
    assert "FROM ${BASE_IMAGE}" in started and started <= {"FROM ${BASE_IMAGE}", "FROM dependencies"}
    assert [line for line in lines if line.startswith("USER")] == ["USER 1000:0"]
