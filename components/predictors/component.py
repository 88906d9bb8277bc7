"""KFP component of the predictors."""

from kfp import dsl

from rlready.placement.images import resolve_image


@dsl.component(base_image=resolve_image("predictors"), install_kfp_package=False)
def predictors(
    candidate: str,
    settings: str,
    data: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    before: dsl.Input[dsl.Artifact],
    predictors_record: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    samples: dsl.Output[dsl.Dataset],
):
    """Measures the generalization loss and the Pass@k curve of one checkpoint.

    Args:
        candidate: The candidate, as JSON.
        settings: Settings of this stage and the base model, from plan.
        data: The data that curate wrote.
        model: The checkpoint.
        before: The candidate's outcome so far.
        predictors_record: The outcome with counts, curve, intervals and loss; or why measuring failed.
        metrics: Its main figures, for the KFP UI.
        samples: Every sample with its judgement.
    """
    from rlready.run.launch import launch
    from rlready.runtime.outputs import annotate

    given = {"candidate": candidate, "settings": settings, "data": data, "model": model, "before": before}
    written = {"outcome": predictors_record, "samples": samples, "samples_uri": samples.uri}
    annotate(launch("predictors", **given, **written), predictors_record, metrics)
