"""KFP component of curate."""

from kfp import dsl

from rlready.placement.images import resolve_image


@dsl.component(base_image=resolve_image("curate"), install_kfp_package=False)
def curate(settings: str, data: dsl.Output[dsl.Dataset], data_card: dsl.Output[dsl.Markdown]):
    """Splits the data once for all candidates: SFT pool, held-out set, RL prompts and evaluation problems.

    Args:
        settings: Settings of this stage and the digest or commit of every source, from plan.
        data: Parquet files and card.json.
        data_card: Counts, lengths, digests, and what was excluded and why.
    """
    from rlready.run.launch import launch
    from rlready.runtime.outputs import annotate

    annotate(launch("curate", settings=settings, data=data, card=data_card), data)
