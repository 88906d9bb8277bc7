"""KFP face of SFT."""

from kfp import dsl

from rlready.components.images import resolve_image


@dsl.component(base_image=resolve_image("sft"), install_kfp_package=False)
def sft(
    candidate: str,
    base: str,
    settings: str,
    data: dsl.Input[dsl.Dataset],
    model: dsl.Output[dsl.Model],
    record: dsl.Output[dsl.Artifact],
):
    """Fine-tunes one candidate, or points to the base model where its epochs are 0.

    Args:
        candidate: The setting, as JSON.
        base: The base model, from plan.
        settings: Settings of this stage, from plan.
        data: What curate wrote.
        model: The fine-tuned model folder.
        record: Trajectory of held-out losses, steps, seconds.
    """
    from rlready.components.core.launch import launch

    paths = {"data": data.path, "model": model.path, "model_uri": model.uri, "record": record.path}
    launch("sft", candidate=candidate, base=base, settings=settings, **paths)
