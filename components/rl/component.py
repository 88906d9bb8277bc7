"""KFP face of RL."""

from kfp import dsl

from rlready.components.images import resolve_image


@dsl.component(base_image=resolve_image("rl"), install_kfp_package=False)
def rl(
    candidate: str,
    settings: str,
    data: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    sft_record: dsl.Input[dsl.Artifact],
    measured_digest: str,
    trained: dsl.Output[dsl.Model],
    record: dsl.Output[dsl.Artifact],
):
    """Trains one approved checkpoint with GRPO and the verifier as the reward.

    Args:
        candidate: The setting, as JSON.
        settings: Settings of this stage, from plan.
        data: What curate wrote.
        model: The checkpoint to start from.
        sft_record: What SFT did, with the digest of the checkpoint.
        measured_digest: Digest of the checkpoint that the gate judged; RL refuses another.
        trained: The model folder after RL.
        record: Rewards, steps, seconds.
    """
    from rlready.components.core.launch import launch

    paths = {"data": data.path, "model": model.path, "sft_record": sft_record.path}
    paths |= {"trained": trained.path, "record": record.path}
    launch("rl", candidate=candidate, settings=settings, measured_digest=measured_digest, **paths)
