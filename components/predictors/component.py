"""KFP face of the predictors."""

from kfp import dsl

from rlready.components.images import resolve_image


@dsl.component(base_image=resolve_image("predictors"), install_kfp_package=False)
def predictors(
    candidate: str,
    base: str,
    settings: str,
    data: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    sft_record: dsl.Input[dsl.Artifact],
    measured: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
):
    """Measures the generalization loss and the Pass@k curve of one checkpoint.

    Args:
        candidate: The setting, as JSON.
        base: The base model, from plan.
        settings: Settings of this stage, from plan.
        data: What curate wrote.
        model: The checkpoint.
        sft_record: What SFT did.
        measured: The candidate's outcome so far: SFT, counts, curve, intervals and loss.
        metrics: The same in short, for the KFP UI.
    """
    from rlready.components.core.launch import launch
    from rlready.components.core.records import write_metrics

    paths = {"data": data.path, "model": model.path, "model_uri": model.uri}
    paths |= {"sft_record": sft_record.path, "measured": measured.path}
    figures = launch("predictors", candidate=candidate, base=base, settings=settings, **paths)
    metrics.metadata.update(write_metrics(figures, metrics.path))
