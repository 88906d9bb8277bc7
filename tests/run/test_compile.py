"""The compiled pipeline: its form is the recipe, its stages have the requested image, its constructs are the allowed ones."""

import copy
import json
import re
import subprocess
import sys

import pytest
import yaml
from google.protobuf import json_format
from helpers.package import read_package
from kfp.pipeline_spec import pipeline_spec_pb2

from rlready.config import complete_parameters, list_form, list_parameters, name_fields, parse_parameters
from rlready.config.recipes import load_recipe
from rlready.errors import InputError
from rlready.placement.placement import parse_placement
from rlready.run.kfp.package import describe_package, digest_package, name_version, number_components, write_package
from rlready.stages.plan.sweep import expand_sweep

IMAGE = "registry.example/rlready@sha256:" + "0" * 64
TYPES = {str: "STRING", int: "NUMBER_INTEGER", float: "NUMBER_DOUBLE", list: "LIST", dict: "STRUCT", bool: "BOOLEAN"}


def run_compile(path, *options):
    command = [sys.executable, "-m", "rlready.cli", "compile", "-o", str(path), "--image", IMAGE, *options]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    path = tmp_path_factory.mktemp("compiled") / "laptop.yaml"
    assert run_compile(path).returncode == 0
    return path


@pytest.fixture(scope="module")
def pipeline(package):
    return next(yaml.safe_load_all(package.read_text()))


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


def test_the_graph_shows_names_of_the_pipeline_for_all_outputs_and_none_that_kfp_made(pipeline):
    shown = {
        name for part in pipeline["components"].values() for name in part.get("outputDefinitions", {}).get("artifacts", {})
    }
    assert {"predictors_records", "benchmark_records", "report"} <= shown
    assert not [name for name in shown if "--" in name or len(name) > 20]


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
    declared |= {"run_name": "STRING", "races": "BOOLEAN"}
    assert {name: entry["parameterType"] for name, entry in taken.items()} == declared


def test_every_stage_runs_in_the_requested_image(pipeline):
    executors = pipeline["deploymentSpec"]["executors"]
    assert {executor["container"]["image"] for executor in executors.values()} == {IMAGE}
    assert not any("pip install" in str(executor) for executor in executors.values())


def test_no_condition_is_in_the_dag_of_its_loop(pipeline):
    for component in [pipeline["root"], *pipeline["components"].values()]:
        tasks = component.get("dag", {}).get("tasks", {}).values()
        looped = [task["componentRef"]["name"] for task in tasks if "parameterIterator" in task]
        for name in looped:
            inside = pipeline["components"][name]["dag"]["tasks"].values()
            assert not any("triggerPolicy" in task for task in inside)


def test_the_description_explains_every_section_and_parameter(pipeline):
    for number, section in ((1, "base"), (9, "settings")):  # KFP's panel hides the numbers of an ordered list
        assert f"\n- `{number}_{section}`: " in pipeline["pipelineInfo"]["description"]
    for parameter in list_parameters().values():
        assert f"{parameter.name}: {parameter.description}" in pipeline["pipelineInfo"]["description"]


def test_the_version_of_kfp_that_wrote_a_package_does_not_make_it_another(package, tmp_path):
    pipeline, *others = yaml.safe_load_all(package.read_text())
    for name, change, same in (("older", {"sdkVersion": "kfp-2.16.0"}, True), ("other", {"schemaVersion": "2"}, False)):
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump_all([pipeline | change, *others]))
        assert (digest_package(path) == digest_package(package)) is same
        assert (name_version(path, "My recipe") == name_version(package, "my_recipe")) is same


# Of manifests/kustomize/base/crds, IsDNS1123Subdomain, and ValidateCreate and Default of the PipelineVersions' webhook
# (backend/src/apiserver/webhook/pipelineversion_webhook.go:83-183, template/v2_template.go:195, common/utils.go:110).
NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
SPECS = {
    "Pipeline": {"displayName", "description", "tags"},
    "PipelineVersion": {
        "pipelineName",
        "pipelineSpec",
        "platformSpec",
        "displayName",
        "description",
        "versionName",
        "tags",
    },
}
LONGEST_ANNOTATION = 262144  # bytes; kubectl apply keeps all of a resource in one


@pytest.mark.parametrize("namespace", [None, "team-a"])
def test_the_manifests_are_what_kfp_takes_from_git(package, tmp_path, namespace):
    done = run_compile(tmp_path / "m.yaml", "--format", "kubernetes", *(["--namespace", namespace] if namespace else []))
    assert done.returncode == 0, done.stderr
    made = {resource["kind"]: resource for resource in yaml.safe_load_all((tmp_path / "m.yaml").read_text())}
    assert list(made) == ["Pipeline", "PipelineVersion"]  # the webhook wants the pipeline to be there
    for kind, resource in made.items():
        assert resource["apiVersion"] == "pipelines.kubeflow.org/v2beta1" and resource["spec"].keys() <= SPECS[kind]
        name = resource["metadata"]["name"]
        assert NAME.fullmatch(name) and len(name) <= 253
        assert resource["metadata"].get("namespace") == namespace
        assert resource["spec"]["description"] == describe_package(package)
        assert len(json.dumps(resource)) < LONGEST_ANNOTATION
    version = made["PipelineVersion"]
    assert version["spec"]["pipelineName"] == made["Pipeline"]["metadata"]["name"] == "rlready"
    # As `rlready submit` calls it, and as the server reads it back.
    assert version["metadata"]["name"] == version["spec"]["displayName"] == name_version(package, "laptop")
    held = [version["spec"]["pipelineSpec"], version["spec"]["platformSpec"]]
    assert held == list(yaml.safe_load_all(package.read_text()))
    parsed = json_format.ParseDict(held[0], pipeline_spec_pb2.PipelineSpec())
    assert parsed.schema_version == "2.1.0" and parsed.root.dag.tasks
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]{0,127}", parsed.pipeline_info.name)
    assert read_package(package).kubernetes


def test_a_package_has_no_namespace(tmp_path):
    done = run_compile(tmp_path / "p.yaml", "--namespace", "team-a")
    assert done.returncode and "--namespace: only for --format kubernetes" in done.stderr + done.stdout
    assert not (tmp_path / "p.yaml").exists()


def test_components_are_numbered_alike_however_kfp_numbered_them(tmp_path):
    """kfp numbers those of two RL tasks in one nested pipeline in either order, and may give both one executor."""
    path = tmp_path / "raced.yaml"
    parameters = load_recipe("laptop", ["race_steps=100"])
    write_package(path, parameters, parse_placement({"rl": {"checkpoints": "claim"}}), IMAGE)
    pipeline, platform = yaml.safe_load_all(path.read_text())
    deployment = platform["platforms"]["kubernetes"]["deploymentSpec"]
    assert {"exec-rl", "exec-rl-2", "exec-rl-3"} <= deployment["executors"].keys()
    for names, shared in (({"comp-rl-2": "comp-rl-3", "comp-rl-3": "comp-rl-2"}, False), ({"comp-rl-3": "comp-rl-2-2"}, True)):
        other, asked = copy.deepcopy(pipeline), copy.deepcopy(deployment)
        components = other["components"]
        for component in components.values():
            for task in component.get("dag", {}).get("tasks", {}).values():
                ref = task["componentRef"]
                ref["name"] = names.get(ref["name"], ref["name"])
        for old, new in [(old, components.pop(old)) for old in names]:
            components[names[old]] = new
        if shared:
            components["comp-rl-2-2"]["executorLabel"] = "exec-rl-2"
            del other["deploymentSpec"]["executors"]["exec-rl-3"], asked["executors"]["exec-rl-3"]
        assert other != pipeline
        number_components(other, [asked])
        assert (other, asked) == (pipeline, deployment)
