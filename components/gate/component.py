"""KFP face of the gate."""

from typing import NamedTuple

from kfp import dsl

from rlready.components.images import resolve_image


@dsl.component(base_image=resolve_image("gate"), install_kfp_package=False)
def gate(
    settings: str,
    outcome: str,
    record: dsl.Input[dsl.Artifact],
    base_record: dsl.Input[dsl.Artifact],
    verdict: dsl.Output[dsl.Markdown],
) -> NamedTuple("Decision", [("proceed", str), ("outcome", str)]):
    """Decides whether a candidate goes on to RL.

    Args:
        settings: Mode and thresholds, from plan.
        outcome: The candidate's outcome so far.
        record: The candidate's predictors.
        base_record: The base model's predictors.
        verdict: The decision and its reason.

    Returns:
        proceed is "yes" or "no"; outcome holds the verdict.
    """
    from rlready.components.core.launch import launch

    paths = {"record": record.path, "base_record": base_record.path, "verdict": verdict.path}
    return tuple(launch("gate", settings=settings, outcome=outcome, **paths))


@dsl.component(base_image=resolve_image("gate"), install_kfp_package=False)
def decline(outcome: str) -> str:
    """Passes on the outcome of a candidate that does not go on to RL, so that both branches end in an outcome."""
    return outcome
