"""How much repeating RL changes its result, which differences between settings must be held against."""

import math
import statistics
from dataclasses import dataclass

from rlready.analysis.comparison import Interval, Row, Setting, compare, group_settings
from rlready.analysis.format import count, name_some
from rlready.gate.lead import Lead
from rlready.stats.intervals import LEVEL
from rlready.stats.variation import Variation, analyse_variance, bound_deviation, find_scattered, pool_deviation


@dataclass(frozen=True)
class ScoreNoise:
    """What repeating RL changes, so that differences between settings can be held against it.

    Attributes:
        repeated: Settings with more than one finished seed, but for those that scatter.
        scattered: Standard deviations of the settings whose seeds scatter more than those of all others, by name; in none of
            the other figures.
        deviation: Standard deviation between the seeds of a setting (SFT, RL and benchmark), pooled.
        interval: Its 95 % interval.
        freedom: Its degrees of freedom.
        rl_deviation: The same for the base model without SFT, where only the seed of RL differs.
        rl_interval: Its interval.
        rl_freedom: Its degrees of freedom.
        benchmark: Standard error of the benchmark, root mean square over candidates.
        variation: Analysis of variance of the settings.
    """

    repeated: int
    scattered: dict[str, float]
    deviation: float | None
    interval: Interval | None
    freedom: int
    rl_deviation: float | None
    rl_interval: Interval | None
    rl_freedom: int
    benchmark: float | None
    variation: Variation | None


def measure_noise(rows: list[Row]) -> ScoreNoise:
    """Returns how much scores differ between repetitions, and how much between settings."""
    settings = group_settings(rows)
    apart = [settings[number] for number in find_scattered([setting.scores for setting in settings])]
    settings = [setting for setting in settings if setting not in apart]
    groups = [setting.scores for setting in settings]
    pooled = pool_deviation(groups)
    bare = pool_deviation([s.scores for s in settings if s.rows[0].candidate.is_base])
    # Where all problems score alike, as with zeros, the standard error is 0 and tells nothing of the noise.
    errors = [row.benchmark.standard_error for row in rows if row.score is not None and row.benchmark.standard_error]
    return ScoreNoise(
        sum(len(group) > 1 for group in groups),
        {setting.name: statistics.stdev(setting.scores) for setting in apart},
        *((pooled[0], bound_deviation(*pooled), pooled[1]) if pooled else (None, None, 0)),
        *((bare[0], bound_deviation(*bare), bare[1]) if bare else (None, None, 0)),
        math.sqrt(statistics.fmean(error**2 for error in errors)) if errors else None,
        analyse_variance(groups),
    )


def compare_settings(one: Setting, other: Setting, noise: ScoreNoise, comparisons: int = 1) -> Lead:
    """Returns how far the mean result of a setting is ahead of another's.

    What a setting comes to with other seeds shows the noise between seeds only (Student's interval with the pooled deviation,
    or with its own where its seeds scatter more). Where no setting repeats, the two checkpoints are compared.

    Args:
        one: A setting with a result.
        other: Another.
        noise: From `measure_noise`.
        comparisons: How many hold together, by Bonferroni's correction.
    """
    if not noise.repeated and len(one.scores) == len(other.scores) == 1:
        pair = (next(row for row in setting.rows if row.score is not None) for setting in (one, other))
        return compare(*pair, comparisons=comparisons)
    ahead, variance, freedom = statistics.fmean(one.scores) - statistics.fmean(other.scores), 0.0, []
    for setting in (one, other):
        own = noise.scattered.get(setting.name)
        deviation = noise.deviation if own is None else own
        freedom.append(noise.freedom if own is None else len(setting.scores) - 1)
        if not deviation:  # unknown; or seeds that all score alike, which says nothing of others
            return Lead(ahead)
        variance += deviation**2 / len(setting.scores)
    from scipy.special import stdtrit

    spread = float(stdtrit(min(freedom), 1 - (1 - LEVEL) / 2 / comparisons)) * math.sqrt(variance)
    return Lead(ahead, ahead - spread, ahead + spread)


def describe_noise(rows: list[Row], noise: ScoreNoise) -> list[str]:
    """Returns how large the differences between settings are against the noise of RL."""
    scores = [row.score for row in rows if row.score is not None]
    if len(scores) < 2:
        return ["The noise of RL cannot be computed: fewer than two candidates have finished it."]
    benchmark = "unknown" if noise.benchmark is None else f"{noise.benchmark:.4f}"
    if not noise.repeated:
        return [
            "No setting finished RL with more than one seed (sweep_seeds), so the noise of RL is unknown. The standard error of"
            f" the benchmark, which is only a part of it, is {benchmark}; the scores of the candidates spread by"
            f" {statistics.stdev(scores):.4f} (standard deviation)."
        ]
    said = (
        f"Between the seeds of one setting the score varies by {_show(noise.deviation, noise.interval)}, pooled over"
        f" {noise.repeated} settings with {count(noise.freedom, 'degree')} of freedom;"
    )
    if noise.rl_freedom:
        said += (
            f" RL alone, repeated on the base model without SFT, by {_show(noise.rl_deviation, noise.rl_interval)}"
            f" ({count(noise.rl_freedom, 'degree')} of freedom);"
        )
    said = [f"{said} the standard error of the benchmark, a part of both, is {benchmark}.", *_describe_scattered(noise)]
    found = noise.variation
    if found is None:
        return [*said, "Whether the settings differ by more than that cannot be computed."]
    low, high = found.share_interval
    larger = "is larger than the noise" if found.p < 0.05 else "is not shown to be larger than the noise"
    p = "p < 0.001" if found.p < 0.001 else f"p = {found.p:.3f}"
    settings = sum(bool(s.scores) for s in group_settings(rows)) - len(noise.scattered) - 1
    return [
        *said,
        f"The spread between settings {larger}: {found.share:.2f} [{low:.2f}, {high:.2f}] of the variance lies between them"
        f" (one-way analysis of variance, F({settings}, {found.freedom}) = {found.f:.1f}, {p}).",
    ]


def _describe_scattered(noise: ScoreNoise) -> list[str]:
    if not noise.scattered:
        return []
    named = name_some([f"{name} ({deviation:.4f})" for name, deviation in noise.scattered.items()])
    return [
        f"The seeds of {named} scatter more than those of the other settings would by chance (F-test, Bonferroni's correction),"
        " and are in none of these figures."
    ]


def _show(deviation: float, interval: Interval) -> str:
    return f"{deviation:.4f} (standard deviation, 95 % interval {interval[0]:.4f} to {interval[1]:.4f})"
