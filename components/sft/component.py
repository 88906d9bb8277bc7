"""KFP face of SFT."""

from kfp import dsl

from rlready.placement.images import resolve_image


@dsl.component(base_image=resolve_image("sft"), install_kfp_package=False)
def sft(
    candidate: str,
    settings: str,
    data: dsl.Input[dsl.Dataset],
    model: dsl.Output[dsl.Model],
    sft_record: dsl.Output[dsl.Artifact],
):
    """Fine-tunes one candidate, or points to the base model or to the checkpoint that the candidate is.

    Args:
        candidate: The setting, as JSON.
        settings: Settings of this stage and the base model, from plan.
        data: What curate wrote.
        model: The fine-tuned model folder.
        sft_record: Trajectory of held-out losses, steps, seconds; or why SFT failed.
    """
    from rlready.run.launch import launch
    from rlready.runtime.outputs import annotate

    paths = {"data": data.path, "model": model.path, "model_uri": model.uri, "outcome": sft_record.path}
    annotate(launch("sft", candidate=candidate, settings=settings, **paths), model, sft_record)
