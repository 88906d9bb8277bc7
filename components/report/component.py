"""KFP face of the report."""

from typing import List  # noqa: UP035  kfp reads the annotation by name

from kfp import dsl

from rlready.components.images import resolve_image


@dsl.component(base_image=resolve_image("report"), install_kfp_package=False)
def report(
    run_id: str,
    candidates: List[str],  # noqa: UP006
    reference: str,
    outcomes: List[str],  # noqa: UP006
    parameters: str,
    html: dsl.Output[dsl.HTML],
    markdown: dsl.Output[dsl.Markdown],
    records: dsl.Output[dsl.Artifact],
):
    """Compares what the predictors said with what RL did, over all candidates, and completes the tracking.

    Args:
        run_id: The pipeline run.
        candidates: What plan expanded the sweep to.
        reference: The base model's outcome.
        outcomes: Every candidate's outcome.
        parameters: The pipeline's parameters, as JSON.
        html: The report, one page.
        markdown: The report in short.
        records: All outcomes as JSON.
    """
    from rlready.components.core.launch import launch

    inputs = {"run_id": run_id, "candidates": candidates, "reference": reference, "parameters": parameters}
    launch("report", outcomes=outcomes, html=html.path, markdown=markdown.path, records=records.path, **inputs)
