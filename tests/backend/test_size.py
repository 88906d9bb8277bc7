"""The linear bound of a workflow's size is above what the model's runs come to, and not far above."""

import dataclasses
import json
import math

import pytest

from backend.conftest import compile_recipe
from backend.server import Server
from backend.size import LIMITS, WorkflowSize
from backend.stages import Sweep
from rlready.config.recipes import load_recipe
from rlready.placement.placement import load_placement, parse_placement
from rlready.run.kfp import limits
from rlready.run.kfp.limits import PARAMETERS, WORKFLOW, estimate_bytes


def run(package, measured, approved, finalists=0):
    """Returns the size of a run's workflow; the base model is measured too."""
    names = [f"random-256x{n}-lr0.001-s0" for n in range(measured - 1)]
    sweep = Sweep(names, names[:approved], finalists=names[:finalists])
    return Server().run(package, sweep.make_stages()).weigh()


PLACED = ["laptop", "llama3-8b", "long environment"]


def compile_placed(request, folder, *changes):
    """Returns a compiled recipe, with its size in bytes."""
    texts = {f"VARIABLE_{n}": f"{math.sqrt(n + 2):.15f}" * 4 for n in range(24)}
    shipped = "." not in request.param and " " not in request.param
    placement = load_placement(request.param) if shipped else parse_placement({"all": {"environment": texts}})
    recipe = request.param if shipped else "laptop"
    return compile_recipe(folder, placement, recipe, load_recipe(recipe, changes))


@pytest.fixture(scope="module", params=PLACED)
def package(request, tmp_path_factory):
    return compile_placed(request, tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="module", params=PLACED)
def raced(request, tmp_path_factory):
    return compile_placed(request, tmp_path_factory.mktemp("raced"), "race_steps=100", "rl_steps=400")


@pytest.mark.parametrize(("measured", "approved"), [(2, 0), (8, 3), (32, 31), (64, 8), (64, 16), (65, 64)])
def test_the_bound_holds_with_some_room(package, measured, approved):
    compiled, size = package
    came_to = run(compiled, measured, approved).bytes
    assert came_to <= estimate_bytes(size, measured, approved) <= 1.15 * came_to


@pytest.mark.parametrize(
    ("measured", "approved", "finalists"), [(2, 0, 0), (8, 3, 1), (32, 31, 4), (64, 8, 2), (64, 8, 8), (65, 64, 16)]
)
def test_the_bound_holds_with_a_race(raced, measured, approved, finalists):
    compiled, size = raced
    came_to = run(compiled, measured, approved, finalists).bytes
    assert came_to <= estimate_bytes(size, measured, approved, finalists) <= 1.15 * came_to


@pytest.mark.parametrize("text", ["a", "a line that a sampler stops at", 'a "word" in quotes'])
def test_no_other_limit_is_met_below_that_of_parameters(tmp_path, text):
    parameters = load_recipe("laptop", [])
    room = PARAMETERS - len(json.dumps(parameters))
    parameters["sampling_stop"] = [text] * (room // (len(json.dumps(text)) + 2))
    assert 0.8 * PARAMETERS < len(json.dumps(parameters)) <= PARAMETERS
    compiled, size = compile_recipe(tmp_path, parse_placement(None), "laptop", parameters)
    approved = max(n for n in range(50) if estimate_bytes(size, 50, n) <= WORKFLOW)
    assert run(compiled, 50, approved).list_exceeded() == []


@pytest.mark.parametrize(("recipe", "approved"), [("laptop", 16), ("llama3-8b", 8)])
def test_64_candidates_fit_with_8_or_with_16_approved(tmp_path, recipe, approved):
    _, size = compile_recipe(tmp_path, load_placement(recipe), recipe)
    assert estimate_bytes(size, 65, approved) <= limits.WORKFLOW


@pytest.mark.parametrize(("recipe", "finalists"), [("laptop", 8), ("llama3-8b", 4)])
def test_64_candidates_fit_with_8_in_a_race(tmp_path, recipe, finalists):
    _, size = compile_recipe(tmp_path, load_placement(recipe), recipe, load_recipe(recipe, ["race_steps=100", "rl_steps=400"]))
    assert estimate_bytes(size, 65, 8, finalists) <= limits.WORKFLOW


def test_every_approved_candidate_costs_more(pipeline):
    sizes = [run(pipeline, 20, approved).bytes for approved in (0, 5, 10, 19)]
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1]


def test_every_limit_is_looked_at():
    fine = WorkflowSize(nodes=1, **LIMITS)
    assert fine.list_exceeded() == []
    for name, limit in LIMITS.items():
        assert dataclasses.replace(fine, **{name: limit + 1}).list_exceeded() == [name]
