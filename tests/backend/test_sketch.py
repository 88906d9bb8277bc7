"""The shape that ran on a real backend runs in the model, with the nodes and about the bytes that were measured there."""

import pytest

from backend.server import Server
from backend.size import count_packed_bytes


def make_stages(approved):
    """Returns fake stages of the sketch; what a candidate leaves is its own name."""
    return {
        "plan": lambda given: {"Output": given["candidates"]},
        "curate": lambda given: {"data": 1},
        "sft": lambda given: {"model": given["candidate"]},
        "predictors": lambda given: {"measured": given["candidate"]},
        "gate": lambda given: {
            "anyone": "yes" if approved else "no",
            "approved": [
                {"candidate": m.content, "digest": f"of {m.content}"} for m in given["measured"] if m.content in approved
            ],
        },
        "rl": lambda given: {"trained": given["model"].content},
        "benchmark": lambda given: {"result": given["candidate"]},
        "report": lambda given: {},
        "report_none": lambda given: {},
    }


def run_sketch(server, sketch, count, approved):
    """Runs the sketch for some candidates, of which the first are approved."""
    candidates = [f"candidate-{n}" for n in range(count)]
    return server.run(sketch, make_stages(candidates[:approved]), {"candidates": candidates})


@pytest.mark.parametrize("approved", [0, 2, 4])
def test_any_verdicts_end_in_a_report_and_do_so_again_from_the_cache(sketch, approved):
    server = Server()
    first, again = (run_sketch(server, sketch, 4, approved) for _ in range(2))
    assert first.state == again.state == "Succeeded"
    assert first.list_ran().count("rl") == approved
    assert again.list_ran() == ["plan", "report" if approved else "report_none"]
    (told,) = (again if approved else first).list_tasks("report" if approved else "report_none")
    if approved:
        assert [artifact.content for artifact in told.inputs[1]["results"]] == [f"candidate-{n}" for n in range(approved)]


def test_64_candidates_with_8_approved_are_as_large_as_they_were(sketch):
    run = run_sketch(Server(), sketch, 64, 8)
    nodes = run.write_workflow().nodes
    assert run.nodes == len(nodes) == pytest.approx(1401, rel=0.005)
    assert count_packed_bytes(nodes) == pytest.approx(419_000, rel=0.1)


def test_a_list_of_artifacts_is_one_artifact_inside_a_nested_pipeline_that_gets_it(sketch):
    run = run_sketch(Server(), sketch, 4, 2)
    (gate,), (report,) = run.list_tasks("gate"), run.list_tasks("report")
    assert len(gate.inputs[1]["measured"]) == 4
    assert [artifact.content for artifact in report.inputs[1]["measured"]] == ["candidate-3"]  # client.go:1187


def test_no_more_iterations_run_at_once_than_the_loop_allows(sketch):
    times = [(task.started, task.ended) for task in run_sketch(Server(), sketch, 64, 8).list_tasks("predictors")]
    busy = [sum(begun <= moment < ended for begun, ended in times) for moment, _ in times]
    assert max(busy) == 12
