"""The compiled pipeline: its form is the recipe, its stages have the image asked for, its constructs are the allowed ones."""

import subprocess
import sys

import pytest
import yaml

from rlready.components.config import (
    InputError,
    complete_parameters,
    list_form,
    list_parameters,
    name_fields,
    parse_parameters,
)
from rlready.components.plan.sweep import expand_sweep
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
        name_fields()[name]: TYPES[parameter.type] for name, parameter in list_form().items()
    }
    given = {name: entry["defaultValue"] for name, entry in form.items()}
    assert complete_parameters(given) == load_recipe("laptop", [])
    # As the backend hands them on: numbers in objects are doubles there.
    given["9_settings"] = {name: float(v) if type(v) is int else v for name, v in given["9_settings"].items()}
    assert complete_parameters(given) == load_recipe("laptop", [])


def test_every_field_of_the_form_is_described(pipeline):
    form = pipeline["root"]["inputDefinitions"]["parameters"]
    for name, parameter in list_form().items():
        assert parameter.description in form[name_fields()[name]]["description"]


def test_the_sorted_form_goes_from_model_and_data_to_sweep_gate_and_rl(pipeline):
    sections = dict.fromkeys(name.split("_")[1] for name in sorted(pipeline["root"]["inputDefinitions"]["parameters"]))
    assert list(sections) == [
        "base",
        "curate",
        "sweep",
        "sampling",
        "predictors",
        "gate",
        "rl",
        "benchmark",
        "settings",
    ]
    taken = pipeline["root"]["dag"]["tasks"]["plan"]["inputs"]["parameters"]
    assert taken["gate_k"] == {"componentInputParameter": "6_gate_k"}


def test_a_parameter_with_choices_is_a_dropdown_of_them(pipeline):
    form = pipeline["root"]["inputDefinitions"]["parameters"]
    assert {name: entry["literals"] for name, entry in form.items() if "literals" in entry} == {
        "6_gate_mode": ["enforce", "audit", "off"]
    }


def test_an_example_of_the_form_counts_for_nothing_and_what_is_made_of_it_for_all(pipeline):
    form = pipeline["root"]["inputDefinitions"]["parameters"]
    shown = {f"3_{name}": list_parameters()[name].example for name in ("sweep_candidates", "sweep_attempts")}
    assert form["3_sweep_attempts"]["defaultValue"] == shown["3_sweep_attempts"]
    assert complete_parameters(shown) == complete_parameters({})
    written = [item["example"] for item in shown["3_sweep_candidates"]]
    experiment = parse_parameters(shown | {"3_sweep_candidates": written})
    assert [candidate.candidate_id for candidate in expand_sweep(experiment.sweep)] == [
        "longest-1024x4-lr2e-05-s0",
        "mine",
    ]
    for name, edited in (("3_sweep_candidates", [{"example": {"epochs": 2}}]), ("3_sweep_attempts", {"example": {}})):
        with pytest.raises(InputError, match=f"{name[2:]}.*example"):
            expand_sweep(parse_parameters({name: edited}).sweep)


def test_a_parameter_given_under_both_its_names_is_refused():
    with pytest.raises(InputError, match="gate_k"):
        complete_parameters({"gate_k": 2, "6_gate_k": 3})


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
