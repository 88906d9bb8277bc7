"""How much repeating RL changes its result: the noise to compare differences between settings with."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from rlready.analysis.comparison import Row, Setting, compare, group_settings, list_scores
from rlready.analysis.format import count, name_some
from rlready.gate.lead import Lead
from rlready.stats.intervals import LEVEL, reach_t
from rlready.stats.variation import Variation, analyse_variance, bound_deviation, find_scattered, pool_deviation

Scatter = tuple[float, int]  # standard deviation between seeds, pooled over settings, and its degrees of freedom


@dataclass(frozen=True)
class ScoreNoise:
    """How much scores differ between repetitions of RL."""

    repeated: int  # settings with more than one finished seed, except those that scatter
    # standard deviations, by name, of settings whose seeds scatter more than those of all others; these are excluded from the
    # other figures
    scattered: dict[str, float]
    seeds: Scatter | None  # between the seeds of a setting (SFT, RL and benchmark); None if nothing is repeated
    rl_seeds: Scatter | None  # the same for the base model without SFT, where only the seed of RL differs
    benchmark: float | None  # standard error of the benchmark, root mean square over candidates
    variation: Variation | None  # analysis of variance of the settings


def measure_noise(rows: list[Row]) -> ScoreNoise:
    """Returns how much scores differ between repetitions, and how much between settings."""
    settings = group_settings(rows)
    apart = [settings[number] for number in find_scattered([setting.scores for setting in settings])]
    settings = [setting for setting in settings if setting not in apart]
    groups = [setting.scores for setting in settings]
    # If all problems score alike, as with zeros, the standard error is 0 and says nothing about the noise.
    errors = [row.benchmark.standard_error for row in rows if row.score is not None and row.benchmark.standard_error]
    return ScoreNoise(
        sum(len(group) > 1 for group in groups),
        {setting.name: statistics.stdev(setting.scores) for setting in apart},
        pool_deviation(groups),
        pool_deviation([s.scores for s in settings if s.rows[0].candidate.is_base]),
        math.sqrt(statistics.fmean(error**2 for error in errors)) if errors else None,
        analyse_variance(groups),
    )


def compare_settings(one: Setting, other: Setting, noise: ScoreNoise, comparisons: int = 1) -> Lead:
    """Returns the lead of one setting's mean result over another's.

    The interval covers the noise between seeds (Student's interval with the pooled deviation, or with the setting's own if its
    seeds scatter more). If no setting repeats, the two checkpoints are compared. Both settings have a result; this many
    comparisons hold together, by Bonferroni's correction.
    """
    if not noise.repeated and len(one.scores) == len(other.scores) == 1:
        (first, _), (second, _) = (list_scores(setting.rows)[0] for setting in (one, other))
        return compare(first, second, comparisons=comparisons)
    scatter = []
    for setting in (one, other):
        own = noise.scattered.get(setting.name)
        scatter.append((noise.seeds or (0.0, 0)) if own is None else (own, len(setting.scores) - 1))
    return compare_means(one.scores, other.scores, scatter, comparisons)


def compare_means(one: Sequence[float], other: Sequence[float], scatter: Sequence[Scatter], comparisons: int) -> Lead:
    """Returns the lead of one mean over another with Student's interval, with Bonferroni's correction for all comparisons.

    `one` and `other` are the values of the seeds of two settings, `scatter` is that of each.
    """
    ahead = statistics.fmean(one) - statistics.fmean(other)
    if not all(deviation for deviation, _ in scatter):  # unknown, or 0: seeds that all score alike say nothing about others
        return Lead(ahead)
    sizes = len(one), len(other)
    error = math.sqrt(sum(deviation**2 / size for (deviation, _), size in zip(scatter, sizes, strict=True)))
    spread = reach_t(min(freedom for _, freedom in scatter), 1 - (1 - LEVEL) / comparisons) * error
    return Lead(ahead, ahead - spread, ahead + spread)


def describe_noise(rows: list[Row], noise: ScoreNoise) -> list[str]:
    """Returns sentences on how large the differences between settings are, compared with the noise of RL."""
    scores = [score for _, score in list_scores(rows)]
    if len(scores) < 2:
        return ["The noise of RL is unknown: fewer than two candidates have finished it."]
    benchmark = "unknown" if noise.benchmark is None else f"{noise.benchmark:.4f}"
    if not noise.seeds:
        return [
            "The noise of RL is unknown: no setting finished RL with more than one seed (sweep_seeds). The benchmark's standard"
            f" error, which is only part of it, is {benchmark}; the candidates' scores have a standard deviation of"
            f" {statistics.stdev(scores):.4f}."
        ]
    said = [f"Between seeds of one setting the score has {_show(noise.seeds)}, pooled over {count(noise.repeated, 'setting')}."]
    if noise.rl_seeds:
        said.append(f"Between seeds of RL alone, on the base model without SFT, it has {_show(noise.rl_seeds)}.")
    said.append(f"The benchmark's standard error, which is part of this, is {benchmark}.")
    if noise.scattered:
        named = name_some([f"{name} ({deviation:.4f})" for name, deviation in noise.scattered.items()])
        said.append(
            f"Excluded from these figures, because their seeds scatter more than chance would (F-test, Bonferroni): {named}."
        )
    found = noise.variation
    if found is None:
        return [*said, "Whether the settings differ by more than the noise is unknown."]
    share, low, high = (max(0.0, figure) for figure in (found.share, *found.share_interval))
    larger = "is larger than the noise" if found.p < 0.05 else "is not shown to be larger than the noise"
    p = "p < 0.001" if found.p < 0.001 else f"p = {found.p:.3f}"
    settings = sum(bool(s.scores) for s in group_settings(rows)) - len(noise.scattered) - 1
    return [
        *said,
        f"The spread between settings {larger}: it accounts for {share:.2f} [{low:.2f}, {high:.2f}] of the variance"
        f" (one-way analysis of variance, F({settings}, {found.freedom}) = {found.f:.1f}, {p}).",
    ]


def describe_small_spread(rows: list[Row], noise: ScoreNoise) -> list[str]:
    """Returns one sentence if choosing hardly matters: three or more results spread no more than the noise; else none.

    With repeated seeds this is the analysis of variance, else the difference of best and worst at a level for all pairs.
    """
    finished = [row for row, _ in list_scores(rows)]
    settings = [setting for setting in group_settings(finished) if setting.name not in noise.scattered]
    if len(settings) < 3:
        return []
    said = f"Choosing hardly mattered: the results of {len(settings)}"
    if noise.repeated:
        found = noise.variation
        if found is None or found.p < 0.05:
            return []
        return [f"{said} settings spread no more than seeds of one setting do (standard deviation {found.deviation:.4f})."]
    lead = compare(finished[0], finished[-1], comparisons=math.comb(len(finished), 2))
    if lead.low is None or lead.sure:
        return []
    return [f"{said} candidates spread no more than the noise; best minus worst: {lead.describe()}."]


def _show(scatter: Scatter) -> str:
    deviation, freedom = scatter
    if not deviation:
        return "a standard deviation of 0.0000 (no interval: all seeds of each setting score alike)"
    low, high = bound_deviation(deviation, freedom)
    degrees = f"{count(freedom, 'degree')} of freedom"
    return f"a standard deviation of {deviation:.4f} (95% interval {low:.4f} to {high:.4f}; {degrees})"
