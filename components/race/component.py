"""KFP component of the race."""

from typing import List, NamedTuple  # noqa: UP035  kfp reads the annotation by name

from kfp import dsl

from rlready.placement.images import resolve_image


@dsl.component(base_image=resolve_image("race"), install_kfp_package=False)
def race(
    settings: str,
    judged: dsl.Input[dsl.Artifact],
    probed: dsl.Input[List[dsl.Artifact]],  # noqa: UP006
    records: dsl.Output[dsl.Artifact],
    verdicts: dsl.Output[dsl.Markdown],
) -> NamedTuple("Race", [("finalists", List[dict])]):  # type: ignore[valid-type]  # noqa: UP006  kfp compiles the function alone
    """Decides which candidates go on after a part of RL's steps.

    Args:
        settings: Steps, budget and audit of the race, from plan.
        judged: The outcomes with the gate's verdicts.
        probed: The outcomes of the candidates whose RL paused for the race.
        records: All outcomes, with what the race decided.
        verdicts: Every decision with its reason.

    Returns:
        The candidates that go on, each with the digest of the checkpoint that the gate judged.
    """
    from rlready.run.launch import launch

    # kfp passes an empty list as None.
    return (launch("race", settings=settings, judged=judged, probed=probed or [], records=records, verdicts=verdicts),)
