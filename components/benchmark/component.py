"""KFP face of the benchmark."""

from kfp import dsl

from rlready.components.images import resolve_image


@dsl.component(base_image=resolve_image("benchmark"), install_kfp_package=False)
def benchmark(
    candidate: str,
    settings: str,
    data: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    record: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    rl_record: dsl.Input[dsl.Artifact] = None,
) -> str:
    """Scores one model on the evaluation problems.

    Args:
        candidate: The setting, as JSON.
        settings: Settings of this stage, from plan.
        data: What curate wrote.
        model: The model to score.
        record: Pass@1 with its standard error.
        metrics: The same in short, for the KFP UI.
        rl_record: What RL did; left out for the base model.

    Returns:
        What RL and the benchmark found, as JSON.
    """
    from rlready.components.core.launch import launch
    from rlready.components.core.records import read_scores, write_metrics

    paths = {"data": data.path, "model": model.path, "model_uri": model.uri, "record": record.path}
    rl_path = rl_record.path if rl_record else None
    result = launch("benchmark", candidate=candidate, settings=settings, rl_record=rl_path, **paths)
    metrics.metadata.update(write_metrics(read_scores(result), metrics.path))
    return result
