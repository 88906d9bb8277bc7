"""The project's pipeline, as it is compiled for a cluster, ends in a report whatever happens to its candidates."""

import json
import random

import pytest

from backend.launcher import Exit, PodLost
from backend.server import Run, Server
from backend.stages import BASELINE, Sweep, write_candidate

NAMES = ["a", "b", "c", "d"]


def check(run: Run, sweep: Sweep, results: list[str]) -> None:
    """Asserts that a run ended well, and that its report heard of everyone and of these results."""
    assert (run.state, run.list_reasons()) == ("Succeeded", [])
    assert sweep.list_told() == ([BASELINE] * sweep.base + sweep.candidates, results)


@pytest.mark.parametrize("package", ["pipeline", "raced"])
def test_names_fit_into_the_nodes_of_the_graph(package, request):
    """KFP's UI cuts a name after 144 pixels, about 16 characters (components/graph/SubDagNode.tsx:57, ExecutionNode.tsx:55)."""
    pipeline = request.getfixturevalue(package)
    graphs = [pipeline.spec["root"], *pipeline.components.values()]
    tasks = [task for graph in graphs for task in graph.get("dag", {}).get("tasks", {}).values()]
    assert tasks and [name for task in tasks if len(name := task["taskInfo"]["name"]) > 16] == []


@pytest.mark.parametrize("approved", [NAMES, ["b", "d"], [BASELINE, "c"], []], ids=["all", "some", "baseline", "none"])
def test_any_verdicts_end_in_a_report_also_from_the_cache(pipeline, approved):
    server, sweep = Server(), Sweep(NAMES, approved)
    run = server.run(pipeline, sweep.make_stages())
    check(run, sweep, approved)
    assert run.list_ran().count("sft") == len(NAMES) + 1 and run.list_ran().count("rl") == len(approved)
    again = server.run(pipeline, sweep.make_stages())
    check(again, sweep, approved)
    assert sorted(again.list_ran()) == ["gate", "plan", "report"]


def test_the_second_loop_finds_sft_with_a_volume_in_the_cache(on_volumes):
    sweep = Sweep(NAMES, ["a", "c"])
    run = Server().run(on_volumes, sweep.make_stages())
    check(run, sweep, ["a", "c"])
    assert run.list_ran().count("sft") == len(NAMES) + 1


@pytest.mark.parametrize(
    ("finished", "base", "approved"),
    [(["b", "d"], True, ["b", "c"]), (NAMES, True, ["a"]), (NAMES, True, []), (NAMES, False, [])],
    ids=["mixed", "all finished", "without RL", "without RL and base model"],
)
def test_finished_checkpoints_end_in_a_report_also_from_the_cache(pipeline, finished, base, approved):
    server, sweep = Server(), Sweep(NAMES, approved, finished=finished, base=base)
    run = server.run(pipeline, sweep.make_stages())
    check(run, sweep, approved)
    assert run.list_ran().count("predictors") == len(NAMES) + base and run.list_ran().count("rl") == len(approved)
    again = server.run(pipeline, sweep.make_stages())
    check(again, sweep, approved)
    assert sorted(again.list_ran()) == ["gate", "plan", "report"]


def test_another_threshold_costs_the_rl_of_who_it_lets_in(pipeline):
    server, sweep = Server(), Sweep(NAMES, ["a"])
    check(server.run(pipeline, sweep.make_stages()), sweep, ["a"])
    for approved, ran in (
        (["a", "b"], ["plan", "gate", "rl", "benchmark", "report"]),
        ([], ["plan", "gate", "report"]),
    ):
        wider = Sweep(NAMES, approved, threshold=str(approved))
        run = server.run(pipeline, wider.make_stages())
        check(run, wider, approved)
        assert sorted(run.list_ran()) == sorted(ran)


def test_a_larger_sweep_measures_only_the_new(pipeline):
    server = Server()
    server.run(pipeline, Sweep(NAMES, ["a"]).make_stages())
    larger = Sweep([*NAMES, "e"], ["a", "e"])
    run = server.run(pipeline, larger.make_stages())
    check(run, larger, ["a", "e"])
    assert (run.list_ran().count("sft"), run.list_ran().count("rl")) == (1, 1)


@pytest.mark.parametrize("stage", ["sft", "predictors", "rl", "benchmark"])
def test_a_candidate_that_fails_inside_its_stage_is_in_the_report(pipeline, stage):
    server = Server()
    sweep = Sweep(NAMES, ["a", "b"], failing={"b": stage})
    results = ["a"] if stage in ("sft", "predictors") else ["a", "b"]
    check(server.run(pipeline, sweep.make_stages()), sweep, results)
    # It stays failed from the cache, until another try of it is asked for.
    again = Sweep(NAMES, ["a", "b"], failing={"b": stage})
    assert sorted(server.run(pipeline, again.make_stages()).list_ran()) == ["gate", "plan", "report"]
    tried = Sweep(NAMES, ["a", "b"], attempts={"b": 2})
    run = server.run(pipeline, tried.make_stages())
    check(run, tried, ["a", "b"])
    assert (run.list_ran().count("sft"), run.list_ran().count("rl")) == (1, 1)


@pytest.mark.parametrize(
    ("approved", "finalists"),
    [(NAMES, ["b", "c"]), (["b", "d"], ["d"]), ([BASELINE, "c"], [BASELINE]), (["a"], []), ([], [])],
    ids=["mixed", "one", "baseline", "none goes on", "none approved"],
)
def test_a_race_finishes_the_rl_of_those_that_go_on(raced, approved, finalists):
    server, sweep = Server(), Sweep(NAMES, approved, finalists=finalists)
    run = server.run(raced, sweep.make_stages())
    check(run, sweep, finalists)
    ran = run.list_ran()
    assert (ran.count("rl"), ran.count("benchmark")) == (len(approved) + len(finalists), 1 + len(finalists))
    assert [o["after"] for o in sweep.told[-1]["results"]] == [["sft", "rl", "rl", "benchmark"]] * len(finalists)
    again = server.run(raced, sweep.make_stages())
    check(again, sweep, finalists)
    assert sorted(again.list_ran()) == ["gate", "plan", "race", "report"]
    # The race alone decides otherwise: what is left of RL runs for who was dropped, and nothing else.
    wider = Sweep(NAMES, approved, finalists=approved)
    run = server.run(raced, wider.make_stages())
    check(run, wider, approved)
    assert run.list_ran().count("rl") == run.list_ran().count("benchmark") == len(approved) - len(finalists)


@pytest.mark.parametrize("failing", [["b"], ["a", "b"]], ids=["one", "all"])
def test_a_candidate_that_fails_before_the_race_is_in_the_report(raced, failing):
    sweep = Sweep(NAMES, ["a", "b"], dict.fromkeys(failing, "rl"), finalists=["a", "b"])
    check(Server().run(raced, sweep.make_stages()), sweep, [name for name in ("a", "b") if name not in failing])
    judged = {json.loads(o["candidate"])["candidate_id"]: o.get("failed") for o in sweep.told[-1]["judged"]}
    assert [name for name, stage in judged.items() if stage == "rl"] == failing


@pytest.mark.parametrize("stage", ["sft", "predictors", "rl", "benchmark"])
def test_a_process_that_dies_ends_the_run_and_its_retry_runs_only_that_and_the_rest(pipeline, stage):
    sweep = Sweep(NAMES, ["a", "b"])
    stages = sweep.make_stages()

    def die(given):
        if given["candidate"] == write_candidate("b"):
            raise Exit("exit code 137")
        return stages[stage](given)

    run = Server().run(pipeline, stages | {stage: die})
    assert run.state == "Failed" and len(run.list_reasons()) == 1 and "exit code 137" in run.list_reasons()[0]
    assert not sweep.told and len([task for task in run.list_tasks("predictors") if task.state == "Succeeded"]) >= 4
    run.retry(stages)
    check(run, sweep, ["a", "b"])
    (tried,) = [task for task in run.list_tasks(stage) if task.attempts and task.inputs[0]["candidate"] == write_candidate("b")]
    assert tried.attempts == 1 and "plan" not in run.list_ran() and run.list_ran().count(stage) <= 2


def test_a_lost_pod_is_repeated_without_a_word(pipeline):
    sweep, lost = Sweep(NAMES, NAMES), []
    stages = sweep.make_stages()

    def lose(given):
        if given["candidate"] not in lost:
            lost.append(given["candidate"])
            raise PodLost
        return stages["rl"](given)

    run = Server().run(pipeline, stages | {"rl": lose})
    check(run, sweep, NAMES)
    assert [task.attempts for task in run.list_tasks("rl")] == [2] * 4


def test_without_caching_rl_still_gets_the_model_of_its_own_candidate(pipeline):
    sweep = Sweep(NAMES, ["a", "c"])
    run = Server(caching=False).run(pipeline, sweep.make_stages())
    check(run, sweep, ["a", "c"])
    assert run.list_ran().count("sft") == len(NAMES) + 1 + 2


@pytest.mark.parametrize("seed", range(40))
def test_no_task_gets_one_artifact_by_two_ways_whatever_the_cache_holds(pipeline, seed):
    """Stages of random lengths, verdicts and failures on one server: what is cached when, and for whom, differs every time."""
    chance, server = random.Random(seed), Server()
    for _ in range(4):
        names = chance.sample([*NAMES, "e", "f"], chance.randint(1, 6))
        approved = chance.sample([BASELINE, *names], chance.randint(0, len(names)))
        failing = {name: chance.choice(["sft", "predictors", "rl"]) for name in names if chance.random() < 0.2}
        sweep = Sweep(names, approved, failing, threshold=chance.choice(["0.5", "0.6"]))
        run = server.run(pipeline, sweep.make_stages(), seconds=lambda stage, given: chance.choice([0.0, 10.0, 300.0]))
        assert (run.state, run.list_reasons()) == ("Succeeded", [])
        for task in run.tasks.values():
            ids = [artifact.id for held in task.inputs[1].values() for artifact in held]
            assert len(ids) == len(set(ids)), task.place


def test_a_candidate_costs_the_nodes_that_it_did(pipeline):
    def count(names, approved):
        return Server().run(pipeline, Sweep(names, approved).make_stages()).nodes

    few = count(NAMES, ["a"])
    assert count([*NAMES, "e"], ["a"]) - few == 18  # an iteration 6, SFT 6, predictors 6
    assert count(NAMES, ["a", "b"]) - few == 23  # an iteration 6, SFT from the cache 5, RL 6, benchmark 6


def test_no_list_of_artifacts_enters_a_nested_pipeline_where_one_would_be_left_of_it(pipeline):
    for name, component in pipeline.components.items():
        if "dag" in component:
            taken = component.get("inputDefinitions", {}).get("artifacts", {})
            assert not [key for key, entry in taken.items() if entry.get("isArtifactList")], name
