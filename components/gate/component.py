"""KFP component of the gate."""

from typing import List, NamedTuple  # noqa: UP035  kfp reads the annotation by name

from kfp import dsl

from rlready.placement.images import resolve_image


@dsl.component(base_image=resolve_image("gate"), install_kfp_package=False)
def gate(
    settings: str,
    measured: dsl.Input[List[dsl.Artifact]],  # noqa: UP006
    records: dsl.Output[dsl.Artifact],
    verdicts: dsl.Output[dsl.Markdown],
) -> NamedTuple("Gate", [("approved", List[dict])]):  # type: ignore[valid-type]  # noqa: UP006  kfp compiles the function alone
    """Decides which candidates go on to RL.

    Args:
        settings: Mode, thresholds, budget, audit and the candidates, from plan.
        measured: The outcomes of the base model and of every candidate so far.
        records: These outcomes with their verdicts.
        verdicts: Every decision with its reason.

    Returns:
        The candidates that go on to RL, each with the digest of the checkpoint that was judged.
    """
    from rlready.run.launch import launch

    return (launch("gate", settings=settings, measured=measured, judged=records, verdicts=verdicts),)
