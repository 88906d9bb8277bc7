"""The packages that the model of the backend runs."""

from pathlib import Path
from typing import Any

import pytest

from backend.package import Package, read_package
from backend.sketch import compile_sketch
from rlready.config.recipes import load_recipe
from rlready.placement.placement import Placements, parse_placement
from rlready.run.kfp.package import write_package

IMAGE = "registry.example/rlready:1"


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory) -> Package:
    """The project's pipeline with the laptop recipe, as it is compiled for a cluster."""
    return compile_recipe(tmp_path_factory.mktemp("package"), parse_placement(None))[0]


@pytest.fixture(scope="session")
def raced(tmp_path_factory) -> Package:
    """The same with a race."""
    parameters = load_recipe("laptop", ["race_steps=100"])
    return compile_recipe(tmp_path_factory.mktemp("raced"), parse_placement(None), parameters=parameters)[0]


@pytest.fixture(scope="session")
def on_volumes(tmp_path_factory) -> Package:
    """The same with a volume for the checkpoints of SFT and RL."""
    placed = {"checkpoints": "rlready-checkpoints"}
    return compile_recipe(tmp_path_factory.mktemp("volumes"), parse_placement({"sft": placed, "rl": placed}))[0]


def compile_recipe(
    folder: Path, placement: Placements, recipe: str = "laptop", parameters: dict[str, Any] | None = None
) -> tuple[Package, int]:
    """Returns a compiled recipe, with its size in bytes."""
    path = folder / "pipeline.yaml"
    write_package(path, parameters or load_recipe(recipe, []), placement, IMAGE)
    return read_package(path), path.stat().st_size


@pytest.fixture(scope="session")
def old() -> Package:
    """The project's pipeline as it was at 3c2111f, with three candidates; it had conditions inside its second loop."""
    return read_package(Path(__file__).parent / "old.json")


@pytest.fixture(scope="session")
def sketch(tmp_path_factory) -> Package:
    """A pipeline of the shape that ran on a real backend, with stages that do nothing."""
    return compile_sketch(tmp_path_factory.mktemp("sketch"))
