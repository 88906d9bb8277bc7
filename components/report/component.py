"""KFP face of the report."""

from typing import List  # noqa: UP035  kfp reads the annotation by name

from kfp import dsl

from rlready.components.images import resolve_image


@dsl.component(base_image=resolve_image("report"), install_kfp_package=False)
def report(
    run_id: str,
    candidates: List[str],  # noqa: UP006
    reference: dsl.Input[dsl.Artifact],
    reference_result: str,
    measured: dsl.Input[List[dsl.Artifact]],  # noqa: UP006
    verdicts: List[str],  # noqa: UP006
    results: List[str],  # noqa: UP006
    parameters: str,
    html: dsl.Output[dsl.HTML],
    markdown: dsl.Output[dsl.Markdown],
    records: dsl.Output[dsl.Artifact],
):
    """Compares what the predictors said with what RL did, over all candidates, and completes the tracking.

    Args:
        run_id: The pipeline run.
        candidates: What plan expanded the sweep to.
        reference: The base model, measured.
        reference_result: Its benchmark.
        measured: Every candidate, measured.
        verdicts: What the gate said of each.
        results: What RL and the benchmark found; empty where RL did not run.
        parameters: The pipeline's parameters, as JSON.
        html: The report, one page.
        markdown: The report in short.
        records: All outcomes as JSON.
    """
    from rlready.components.core.launch import launch

    inputs = {"run_id": run_id, "candidates": candidates, "parameters": parameters, "verdicts": verdicts}
    inputs |= {"reference": reference.path, "reference_result": reference_result, "results": results}
    outputs = {"html": html.path, "markdown": markdown.path, "records": records.path}
    launch("report", measured=[m.path for m in measured], **inputs, **outputs)
