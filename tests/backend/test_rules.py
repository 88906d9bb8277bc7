"""Single rules of the backend, each on a pipeline of its own that is as small as can be."""

from typing import List  # noqa: UP035  kfp reads the annotation by name

import pytest
from kfp import compiler, dsl

from backend.launcher import Exit, PodLost
from backend.package import read_package
from backend.server import Server
from backend.values import DriverFailed, holds, select


@dsl.component(base_image="image:1", install_kfp_package=False)
def make(name: str, made: dsl.Output[dsl.Artifact]):
    pass


@dsl.component(base_image="image:1", install_kfp_package=False)
def take(name: str, first: dsl.Input[dsl.Artifact], second: dsl.Input[dsl.Artifact]):
    pass


@dsl.component(base_image="image:1", install_kfp_package=False)
def note(number: int, setting: dict):
    pass


def compile_package(pipeline, folder):
    """Returns a pipeline's package."""
    compiler.Compiler().compile(pipeline, str(folder / "pipeline.yaml"))
    return read_package(folder / "pipeline.yaml")


STAGES = {"make": lambda given: {"made": given["name"]}, "take": lambda given: {}, "note": lambda given: {}}


@dsl.pipeline
def pair(names: List[str] = ["a", "b"]):  # noqa: UP006, B006
    first = make(name="a").set_display_name("First")
    second = make(name="b").set_display_name("Second")
    take(name="both", first=first.outputs["made"], second=second.outputs["made"])
    make(name="alone")


def test_only_what_needs_a_failed_task_is_left_out(tmp_path):
    def fail(given):
        if given["name"] == "a":
            raise Exit("exit code 1")
        return {"made": given["name"]}

    run = Server().run(compile_package(pair, tmp_path), STAGES | {"make": fail})
    states = {task.place[0]: task.state for task in run.tasks.values()}
    assert states == {"make": "Failed", "make-2": "Succeeded", "make-3": "Succeeded", "take": "Omitted"}
    assert (run.state, run.list_reasons()) == ("Failed", ["make: make: exit code 1"])
    run.retry(STAGES)
    assert (run.state, sorted(run.list_ran())) == ("Succeeded", ["make", "take"])


def test_a_task_fails_whose_two_inputs_are_one_cached_artifact(tmp_path):
    @dsl.pipeline
    def twice():
        first = make(name="a")
        second = make(name="a").after(first)
        take(name="both", first=first.outputs["made"], second=second.outputs["made"])

    package = compile_package(twice, tmp_path)
    (reason,) = Server().run(package, STAGES).list_reasons()
    assert reason.startswith("take: driver: failed to lookup existing execution")
    assert Server(caching=False).run(package, STAGES).state == "Succeeded"


def test_the_cache_asks_for_inputs_and_container_and_not_for_run_task_or_display_name(tmp_path):
    package, server = compile_package(pair, tmp_path), Server()
    assert server.run(package, STAGES).list_ran().count("make") == 3
    assert server.run(package, STAGES).list_ran() == []
    package.container(package.components["comp-make"])["image"] = "image:2"
    assert server.run(package, STAGES).list_ran() == ["make", "take"]


def test_a_lost_pod_is_tried_three_times(tmp_path):
    def lose(given):
        raise PodLost

    run = Server().run(compile_package(pair, tmp_path), STAGES | {"take": lose})
    (task,) = run.list_tasks("take")
    assert (run.state, task.attempts, task.reason) == ("Failed", 3, "take: pod lost 3 times")


def test_numbers_of_loop_items_are_doubles_unless_an_input_is_declared_otherwise(tmp_path):
    @dsl.pipeline
    def loop(settings: List[dict]):  # noqa: UP006
        with dsl.ParallelFor(settings) as item:
            note(number=item.n, setting=item)

    noted = []
    given = {"settings": [{"n": 2}, {"n": 2**53 + 1}]}
    run = Server().run(compile_package(loop, tmp_path), {"note": noted.append}, given)
    assert run.state == "Succeeded"
    assert noted == [{"number": 2, "setting": {"n": 2.0}}, {"number": 2**53, "setting": {"n": 2.0**53}}]
    assert all(type(one["number"]) is int and type(one["setting"]["n"]) is float for one in noted)


def test_a_branch_that_does_not_run_is_skipped_and_what_follows_its_pipeline_runs(tmp_path):
    @dsl.pipeline
    def branch(way: str):
        with dsl.If(way == "right"):
            make(name="right")

    @dsl.pipeline
    def around(way: str = "left"):
        make(name="after").after(branch(way=way))

    package = compile_package(around, tmp_path)
    left, right = (Server().run(package, STAGES, {"way": way}) for way in ("left", "right"))
    assert (left.state, left.list_ran(), right.list_ran()) == ("Succeeded", ["make"], ["make", "make"])
    assert right.nodes - left.nodes == 7  # a skipped graph is 1, one that runs 2, and its task 6


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("inputs.parameter_values['a'] == 'yes'", True),
        ("!(inputs.parameter_values['a'] == 'yes')", False),
        ("inputs.parameter_values['a'] != 'no' && inputs.parameter_values['b'] == true", True),
        ("!(inputs.parameter_values['a'] == 'no') || int(inputs.parameter_values['n']) > int(5)", True),
        ("int(inputs.parameter_values['n']) > int(5)", False),
    ],
)
def test_conditions_as_kfp_compiles_them(condition, expected):
    assert holds(condition, {"a": "yes", "b": True, "n": 5.0}) is expected


def test_a_selector_takes_a_key_out_of_an_item():
    assert select({"candidate": '{"x": 1}', "digest": "d"}, 'parseJson(string_value)["candidate"]') == '{"x": 1}'
    with pytest.raises(DriverFailed):
        select({"candidate": "c"}, 'parseJson(string_value)["digest"]')
