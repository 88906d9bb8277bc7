"""KFP component of the benchmark."""

from kfp import dsl

from rlready.placement.images import resolve_image


@dsl.component(base_image=resolve_image("benchmark"), install_kfp_package=False)
def benchmark(
    candidate: str,
    settings: str,
    data: dsl.Input[dsl.Dataset],
    benchmark_record: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    samples: dsl.Output[dsl.Dataset],
    model: dsl.Input[dsl.Model] = None,
    before: dsl.Input[dsl.Artifact] = None,
    start: dsl.Input[dsl.Model] = None,
):
    """Scores one model on the evaluation problems: a candidate after RL, or the base model as is.

    Args:
        candidate: The candidate, as JSON.
        settings: Settings of this stage and the base model, from plan.
        data: The data that curate wrote.
        benchmark_record: The outcome with Pass@1 and its standard error; or why scoring failed.
        metrics: Its main figures, for the KFP UI.
        samples: Every sample with its judgement.
        model: The model to score; omitted for the base model.
        before: The candidate's outcome so far; omitted for the base model.
        start: The model that RL started from, scored on the same problems; omitted for the base model.
    """
    from rlready.run.launch import launch
    from rlready.runtime.outputs import annotate

    given = {"candidate": candidate, "settings": settings, "data": data, "model": model, "before": before, "start": start}
    written = {"outcome": benchmark_record, "samples": samples, "samples_uri": samples.uri}
    annotate(launch("benchmark", **given, **written), benchmark_record, metrics)
