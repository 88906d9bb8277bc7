"""The size of a run's workflow, foreseen from the package, is what the model's run comes to."""

import dataclasses

import pytest

from backend.server import Server
from backend.stages import Sweep
from rlready.run.kfp.size import LIMITS, WorkflowSize, estimate_workflow


def foresee(package, measured, approved):
    """Returns the estimate for a package of the tests."""
    platform = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": package.kubernetes}}}}
    return estimate_workflow([package.spec, platform], measured, approved)


@pytest.mark.parametrize(("candidates", "approved"), [(7, 3), (63, 8), (63, 16), (31, 31)])
def test_the_estimate_is_what_a_run_comes_to(pipeline, candidates, approved):
    names = [f"random-256x{n}-lr0.001-s0" for n in range(candidates)]
    size = Server().run(pipeline, Sweep(names, names[:approved]).make_stages()).weigh()
    estimate = foresee(pipeline, candidates + 1, approved)
    assert size.nodes <= estimate.nodes <= size.nodes + 7  # it lets both branches run
    assert estimate.bytes == pytest.approx(size.bytes, rel=0.06)
    assert estimate.largest_argument == pytest.approx(size.largest_argument, rel=0.1)
    assert estimate.largest_environment == pytest.approx(size.largest_environment, rel=0.1)


def test_64_candidates_fit_argo_with_8_and_with_16_approved(pipeline):
    for approved in (8, 16):
        assert foresee(pipeline, 64, approved).list_exceeded() == []


def test_the_pipeline_of_3c2111f_does_not_fit_the_48_candidates_that_plan_allowed(old):
    assert foresee(old, 12, 12).list_exceeded() == []
    assert foresee(old, 30, 30).list_exceeded() == foresee(old, 48, 48).list_exceeded() == ["bytes"]


def test_every_approved_candidate_costs_more(pipeline):
    sizes = [foresee(pipeline, 20, approved).bytes for approved in (0, 5, 10, 20)]
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1]


def test_every_limit_is_looked_at():
    fine = WorkflowSize(nodes=1, **LIMITS)
    assert fine.list_exceeded() == []
    for name, limit in LIMITS.items():
        assert dataclasses.replace(fine, **{name: limit + 1}).list_exceeded() == [name]
