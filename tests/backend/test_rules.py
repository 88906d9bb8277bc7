"""Single rules of the backend, each on a pipeline of its own that is as small as can be."""

import json
from typing import List, NamedTuple  # noqa: UP035  kfp reads the annotation by name

import pytest
from kfp import compiler, dsl

from backend.launcher import Exit, PodLost
from backend.outputs import Produced, Refused, pass_on, read_scalars
from backend.package import read_package
from backend.server import Server
from backend.values import DriverFailed, holds, select, to_text


@dsl.component(base_image="image:1", install_kfp_package=False)
def make(name: str, made: dsl.Output[dsl.Artifact]):
    pass


@dsl.component(base_image="image:1", install_kfp_package=False)
def take(name: str, first: dsl.Input[dsl.Artifact], second: dsl.Input[dsl.Artifact]):
    pass


@dsl.component(base_image="image:1", install_kfp_package=False)
def note(number: int, setting: dict):
    pass


@dsl.component(base_image="image:1", install_kfp_package=False)
def say(made: dsl.Output[dsl.Artifact]) -> NamedTuple("Said", [("text", str), ("items", List[str])]):  # noqa: UP006
    pass


@dsl.component(base_image="image:1", install_kfp_package=False)
def hear(text: str, made: dsl.Input[dsl.Artifact], items: list = []):  # noqa: B006
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


@dsl.pipeline
def dialogue():
    said = say()
    hear(text=said.outputs["text"], items=said.outputs["items"], made=said.outputs["made"])


def leave(text="", metadata=None, **parameters):
    """Returns what a process leaves that says `text`, with metadata of its artifact; or anything at all as its output."""
    said = {"parameterValues": {"text": "hello", "items": ["a"]} | parameters}
    said["artifacts"] = {"made": {"artifacts": [{"name": "made", "uri": "s3://made", "metadata": metadata or {}}]}}
    return Produced(text or json.dumps(said), {"made": 1})


def talk(folder, produced):
    """Returns why a run failed in which one task said something and another heard it, and what that one got."""
    heard = []
    run = Server().run(compile_package(dialogue, folder), {"say": lambda given: produced, "hear": heard.append})
    return run, " ".join(run.list_reasons()), heard[0] if heard else None


@pytest.mark.parametrize(
    ("produced", "reason"),
    [
        (
            leave(metadata={"loss": None}),
            "unknown/unsupported value type *structpb.Value_NullValue",
        ),  # converter.go:166
        (leave(metadata={"x" * 256: 1}), "Data too long for column 'name'"),  # MLMD's ArtifactProperty
        (leave(metadata={"why": "x" * 2**24}), "Data too long for column 'string_value'"),
        (leave(metadata={"loss": float("nan")}), "failed to unmarshall ExecutorOutput"),  # launcher_v2.go:1232
        (leave(text='{"parameterValues": {"text": 1e999}}'), "failed to unmarshall ExecutorOutput"),
        (leave(text='{"parameterValues": {"text": "a", "text": "b"}}'), "failed to unmarshall ExecutorOutput"),
        (leave(metadata={"why": "half a letter: \ud800"}), "failed to unmarshall ExecutorOutput"),
        (leave(text='{"said": "no such field"}'), "failed to unmarshall ExecutorOutput"),
        (leave(text='{"parameterValues": {"items": []}}'), 'failed to read output parameter name="text"'),  # :502
    ],
)
def test_a_task_fails_whose_process_ended_well_for_what_it_left_behind(tmp_path, produced, reason):
    run, said, heard = talk(tmp_path, produced)
    assert run.state == "Failed" and said.startswith("say: say: ") and reason in said and heard is None
    assert run.tasks["say",].execution.state == "FAILED" and not run.store.cache and not run.store.artifacts


def test_metadata_is_read_back_changed(tmp_path):
    given = {
        "yes": True,
        "list": [1, None],
        "object": {"a": None},
        "number": 2**53 + 1,
        "text": "",
        "_kfp_workspace": True,
    }
    run, _, heard = talk(tmp_path, leave(metadata=given))
    kept = {"yes": 1.0, "list": {"list": [1.0, None]}, "object": {"struct": {"a": None}}, "number": 2.0**53, "text": ""}
    assert heard["made"].metadata.items() >= kept.items() and "_kfp_workspace" not in heard["made"].metadata
    assert heard["made"].metadata["display_name"] == "made" and "Provider" in heard["made"].metadata["store_session_info"]


def test_a_name_for_display_is_kept(tmp_path):
    assert talk(tmp_path, leave(metadata={"display_name": "SFT"}))[2]["made"].metadata["display_name"] == "SFT"


def test_texts_among_metrics_are_0_for_mlflow():
    assert read_scalars({"loss": 0.5, "failed": "why", "display_name": "a"}) == {"loss": 0.5, "failed": 0.0}


def test_no_type_of_an_output_is_looked_at_before_it_is_an_input(tmp_path):
    run, said, _ = talk(tmp_path, leave(items="no list"))
    assert run.tasks["say",].state == "Succeeded"
    assert said.startswith("hear: driver: input parameter 'items' type mismatch: expect LIST, got str")


def test_a_null_is_an_empty_text_and_no_other_input(tmp_path):
    run, said, heard = talk(tmp_path, leave(text=json.dumps({"parameterValues": {"text": None, "items": ["a"]}})))
    assert run.state == "Succeeded" and heard["text"] == ""
    assert "got null for input parameter 'items'" in talk(tmp_path, leave(items=None))[1]


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (4.0, "4"), (1e-7, "0.0000001"), (1e22, "1" + "0" * 22), (True, "true"), ([1.5, None], "[1.5,null]")],
)
def test_anything_can_be_read_as_a_text(value, text):
    assert to_text(value) == text


def test_an_artifact_without_a_file_is_recorded_and_whoever_reads_it_finds_none(tmp_path):
    produced = leave(metadata={"steps": 3})
    produced.contents.clear()
    run, _, heard = talk(tmp_path, produced)
    assert run.state == "Succeeded" and heard["made"].content is None and heard["made"].metadata["steps"] == 3.0


def test_what_is_not_declared_is_no_artifact(tmp_path):
    text = json.loads(leave().text)
    text["artifacts"]["other"] = text["artifacts"]["made"]
    run, _, _ = talk(tmp_path, leave(text=json.dumps(text)))
    assert run.state == "Succeeded" and [artifact.key for artifact in run.store.artifacts.values()] == ["made"]


@pytest.mark.parametrize(
    ("text", "heard"), [("costs $$5", "costs $5"), ("$(HOME) $$(HOME) $", "/root $(HOME) $"), ("$(NO)", "$(NO)")]
)
def test_kubernetes_fills_in_variables_of_a_command_line(text, heard):
    assert pass_on({"text": text}, {"HOME": "/root"}) == {"text": heard}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("{{workflow.name}}", "Argo takes"),
        ("x" * 128 * 1024, "argument list too long"),
        ('"' * 30_000, "ARGO_TEMPLATE is longer than 128 KiB"),
    ],
)
def test_what_no_command_line_takes_fails_the_task_that_gets_it(tmp_path, value, reason):
    run, said, heard = talk(tmp_path, leave(text=json.dumps({"parameterValues": {"text": value, "items": []}})))
    assert run.state == "Failed" and said.startswith("hear: hear: ") and reason in said and heard is None
    with pytest.raises(Refused, match=reason):
        pass_on({"text": value})


def test_a_value_that_is_none_of_the_choices_fails_its_driver(tmp_path):
    @dsl.component(base_image="image:1", install_kfp_package=False)
    def choose(mode: str):
        pass

    @dsl.pipeline
    def choice(mode: str = "enforce"):
        choose(mode=mode)

    package, stages = compile_package(choice, tmp_path), {"choose": lambda given: {}}
    package.components["comp-choose"]["inputDefinitions"]["parameters"]["mode"]["literals"] = ["enforce", "report"]
    assert Server().run(package, stages).state == "Succeeded"
    (reason,) = Server().run(package, stages, {"mode": "neither"}).list_reasons()
    assert reason.startswith("choose: driver: input parameter 'mode' value neither does not match")


def test_an_unknown_parameter_makes_no_run(tmp_path):
    with pytest.raises(ValueError, match="unrecognized input parameters: nams"):
        Server().run(compile_package(pair, tmp_path), STAGES, {"nams": []})
