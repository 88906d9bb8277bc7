"""KFP component of RL."""

from kfp import dsl

from rlready.placement.images import resolve_image


@dsl.component(base_image=resolve_image("rl"), install_kfp_package=False)
def rl(
    candidate: str,
    measured_digest: str,
    settings: str,
    data: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    before: dsl.Input[dsl.Artifact],
    rl_model: dsl.Output[dsl.Model],
    rl_record: dsl.Output[dsl.Artifact],
    probe: dsl.Input[dsl.Model] = None,
):
    """Trains one approved checkpoint with GRPO, with the verifier as the reward.

    Args:
        candidate: The candidate, as JSON.
        measured_digest: Digest of the checkpoint that the gate judged; RL refuses any other.
        settings: Settings of this stage, from plan.
        data: The data that curate wrote.
        model: The checkpoint to start from.
        before: The candidate's outcome so far, with the digest of the checkpoint.
        rl_model: The model folder after RL; with a race, first the state of training at its step.
        rl_record: The outcome with rewards, steps and seconds; or why RL failed.
        probe: The state of training to go on from after the race; omitted without one, and before it.
    """
    from rlready.run.launch import launch
    from rlready.runtime.outputs import annotate

    given = {"candidate": candidate, "settings": settings, "measured_digest": measured_digest, "data": data}
    given |= {"model": model, "before": before, "probe": probe}
    annotate(launch("rl", **given, trained=rl_model, model_uri=rl_model.uri, outcome=rl_record), rl_model, rl_record)
