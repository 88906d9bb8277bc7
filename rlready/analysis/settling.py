"""From which step of RL validation ranks the settings as the result does, and whether before that it ranks them as SFT did."""

import itertools

from rlready.analysis.plateau import LEAST_SETTINGS
from rlready.analysis.pool import Pool, Probe
from rlready.analysis.predictor import pick_main, score_settings
from rlready.stats.correlation import resample_spearman, spearman
from rlready.stats.intervals import bootstrap

SETTLED = 0.9  # rank correlation with the result


def describe_settling(pool: Pool, probes: list[Probe]) -> list[str]:
    """Returns from which step a race would rank as the result does, and up to which it rewards the head start of SFT."""
    ranked = [(probe, rho) for probe in probes if (rho := spearman(probe.reached, pool.scores)) is not None]
    if pool.size < LEAST_SETTINGS or not ranked:
        return []
    unsettled = [number for number, (_, rho) in enumerate(ranked) if rho < SETTLED]
    after = ranked[unsettled[-1] + 1 :] if unsettled else ranked
    last, rho = ranked[-1]
    said = f"from step {after[0][0].step} on" if after else f"at no step up to {last.step}, where it is {rho:.2f}"
    settled = f"Validation ranks the settings as the result does (Spearman at least {SETTLED:g}) {said}."
    return [settled, *_describe_head_start(pool, ranked)]


def _describe_head_start(pool: Pool, ranked: list[tuple[Probe, float]]) -> list[str]:
    """Says up to which step validation ranks the settings more like SFT Pass@1 than like the result, if it does."""
    before = score_settings(pool.settings, pick_main(None).sft_pass_at_1)
    if before is None:
        return []
    heads = [(probe, rho, spearman(probe.reached, before) or 0.0) for probe, rho in ranked]
    led = [*itertools.takewhile(lambda one: one[2] > one[1], heads)]
    if not led:
        return []
    probe, rho, head = led[-1]
    interval = bootstrap(
        lambda drawn: resample_spearman(probe.reached, before, drawn) - resample_spearman(probe.reached, pool.scores, drawn),
        range(pool.size),
    )
    shown = f"{head - rho:+.2f} [{interval[0]:+.2f}, {interval[1]:+.2f}]" if interval else f"{head - rho:+.2f}"
    sure, rewards = ("", "rewards") if interval and interval[0] > 0 else (", which may be chance", "may reward")
    return [
        f"Up to step {probe.step} it ranks them more like SFT Pass@1 ({head:.2f}) than like the result ({rho:.2f}; difference"
        f" {shown}{sure}): a race that early {rewards} the head start of SFT."
    ]
