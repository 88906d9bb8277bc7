"""KFP face of the gate."""

from typing import List, NamedTuple  # noqa: UP035  kfp reads the annotation by name

from kfp import dsl

from rlready.components.images import resolve_image


@dsl.component(base_image=resolve_image("gate"), install_kfp_package=False)
def gate(
    settings: str,
    experiment: str,
    measured: dsl.Input[List[dsl.Artifact]],  # noqa: UP006
    reference: dsl.Input[dsl.Artifact],
    verdicts: dsl.Output[dsl.Markdown],
) -> List[str]:  # noqa: UP006
    """Decides which candidates go on to RL.

    Args:
        settings: Mode, thresholds, budget and audit, from plan.
        experiment: Digest of what makes results comparable, from plan.
        measured: Every candidate's outcome so far.
        reference: The base model's.
        verdicts: The decisions and their reasons.

    Returns:
        One verdict a candidate, as JSON.
    """
    from rlready.components.core.launch import launch

    paths = {"measured": [m.path for m in measured], "reference": reference.path, "verdicts": verdicts.path}
    return launch("gate", settings=settings, experiment=experiment, **paths)


@dsl.component(base_image=resolve_image("gate"), install_kfp_package=False)
def admit(judged: str) -> NamedTuple("Admission", [("proceed", str), ("candidate", str), ("measured_digest", str)]):
    """Reads one verdict: whether RL runs ("yes" or "no"), for which candidate, and the digest of its checkpoint."""
    from rlready.components.core.records import Judged, from_json, to_json

    read = from_json(Judged, judged)
    return "yes" if read.verdict["proceed"] else "no", to_json(read.candidate), read.model_digest


@dsl.component(base_image=resolve_image("gate"), install_kfp_package=False)
def decline(candidate: str) -> str:
    """Ends the way of a candidate that does not go on to RL, so that both branches have a result: here, none."""
    return ""
