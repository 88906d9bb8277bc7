"""KFP component of SFT."""

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
    """Fine-tunes one candidate; a candidate that is the base model or a finished checkpoint is passed on.

    Args:
        candidate: The candidate, as JSON.
        settings: Settings of this stage and the base model, from plan.
        data: The data that curate wrote.
        model: The fine-tuned model folder.
        sft_record: The outcome with held-out losses, steps and seconds; or why SFT failed.
    """
    from rlready.run.launch import launch
    from rlready.runtime.outputs import annotate

    given = {"candidate": candidate, "settings": settings, "data": data}
    annotate(launch("sft", **given, model=model, model_uri=model.uri, outcome=sft_record), model, sft_record)
