"""The compiled pipeline: its form is the recipe, its stages have the image asked for, its constructs are the allowed ones."""

import subprocess
import sys

import pytest
import yaml

from rlready.components.config import complete_parameters, list_form, list_parameters
from rlready.pipelines.recipes import load_recipe

IMAGE = "registry.example/rlready@sha256:" + "0" * 64
TYPES = {str: "STRING", int: "NUMBER_INTEGER", float: "NUMBER_DOUBLE", list: "LIST", dict: "STRUCT", bool: "BOOLEAN"}


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    path = tmp_path_factory.mktemp("compiled") / "laptop.yaml"
    command = [sys.executable, "-m", "rlready.pipelines.cli", "compile", "-o", str(path), "--image", IMAGE]
    subprocess.run(command, check=True)
    return next(yaml.safe_load_all(path.read_text()))


def test_the_form_has_the_parameters_that_its_users_change_with_the_recipe_as_default(pipeline):
    form = pipeline["root"]["inputDefinitions"]["parameters"]
    assert len(form) <= 25
    assert {name: entry["parameterType"] for name, entry in form.items()} == {
        name: TYPES[parameter.type] for name, parameter in list_form().items()
    }
    given = {name: entry["defaultValue"] for name, entry in form.items()}
    assert complete_parameters(given) == load_recipe("laptop", [])
    # As the backend hands them on: numbers in objects are doubles there.
    given["settings"] = {name: float(v) if type(v) is int else v for name, v in given["settings"].items()}
    assert complete_parameters(given) == load_recipe("laptop", [])


def test_every_field_of_the_form_is_described(pipeline):
    form = pipeline["root"]["inputDefinitions"]["parameters"]
    for name, parameter in list_form().items():
        assert parameter.description in form[name]["description"]


def test_plan_takes_every_field_of_the_form(pipeline):
    taken = pipeline["components"]["comp-plan"]["inputDefinitions"]["parameters"]
    declared = {name: TYPES[parameter.type] for name, parameter in list_form().items()}
    assert {name: entry["parameterType"] for name, entry in taken.items()} == declared | {"run_name": "STRING"}


def test_every_stage_runs_in_the_image_asked_for(pipeline):
    executors = pipeline["deploymentSpec"]["executors"]
    assert {executor["container"]["image"] for executor in executors.values()} == {IMAGE}
    assert not any("pip install" in str(executor) for executor in executors.values())


def test_a_condition_never_stands_in_the_dag_of_its_loop(pipeline):
    for component in [pipeline["root"], *pipeline["components"].values()]:
        tasks = component.get("dag", {}).get("tasks", {}).values()
        looped = [task["componentRef"]["name"] for task in tasks if "parameterIterator" in task]
        for name in looped:
            inside = pipeline["components"][name]["dag"]["tasks"].values()
            assert not any("triggerPolicy" in task for task in inside)


def test_the_description_explains_every_parameter(pipeline):
    for parameter in list_parameters().values():
        assert f"{parameter.name}: {parameter.description}" in pipeline["pipelineInfo"]["description"]
