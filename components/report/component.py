"""KFP component of the report."""

from typing import List  # noqa: UP035  kfp reads the annotation by name

from kfp import dsl

from rlready.placement.images import resolve_image


@dsl.component(base_image=resolve_image("report"), install_kfp_package=False)
def report(
    parameters: str,
    judged: dsl.Input[dsl.Artifact],
    baseline: dsl.Input[dsl.Artifact],
    report: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
    records: dsl.Output[dsl.Artifact],
    verdicts_json: dsl.Output[dsl.Artifact],
    results: dsl.Input[List[dsl.Artifact]] = None,  # noqa: UP006
):
    """Compares the predictors with the results of RL over all candidates, and completes the run in MLflow.

    Args:
        parameters: The pipeline's parameters, as JSON.
        judged: Every candidate's outcome with its verdict, and the base model's outcome.
        baseline: The base model's benchmark.
        report: The report as one HTML page.
        summary: The report's texts and tables as Markdown.
        records: All outcomes as JSON.
        verdicts_json: The verdicts as JSON, for scripts.
        results: The outcomes after RL and the benchmark; omitted if RL ran for none.
    """
    from rlready.run.launch import launch

    given = {"parameters": parameters, "judged": judged, "baseline": baseline, "results": results or []}
    launch("report", **given, html=report, markdown=summary, records=records, verdicts=verdicts_json)
