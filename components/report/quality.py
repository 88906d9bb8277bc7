"""How well each predictor told the result of RL: correlations, their differences, and what choosing by it would have cost."""

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from rlready.components.core.estimators.correlation import (
    r_squared,
    rank,
    resample_r_squared,
    resample_spearman,
    spearman,
    split_r_squared,
)
from rlready.components.core.estimators.intervals import bootstrap
from rlready.components.core.estimators.variation import Variation, analyse_variance, bound_deviation, pool_deviation
from rlready.components.report.comparison import Row, Setting, group_settings

TIE = 1e-9


@dataclass(frozen=True)
class Predictor:
    """Something measured before RL that may tell its result; more of it should be better.

    Attributes:
        label: What the tables call it.
        parts: What it is made of; where there are two, Spearman is that of their mean rank and R2 that of a fit to both.
        restricted: Whether it is judged on random subsets only, because it holds a loss: losses on different data
            distributions are not comparable (paper, instance level).
    """

    label: str
    parts: tuple[Callable[[Row], float | None], ...]
    restricted: bool = False

    def measure(self, row: Row) -> tuple[float, ...] | None:
        """Returns the parts, or None if one is missing or the row is not to be judged by them."""
        values = tuple(part(row) for part in self.parts)
        return None if None in values or (self.restricted and row.candidate.subset != "random") else values


def negate(value: float | None) -> float | None:
    """Returns minus the value, if there is one."""
    return None if value is None else -value


def minus_loss(row: Row) -> float | None:
    """Returns minus the generalization loss."""
    return negate(row.loss)


def list_predictors(rows: list[Row], k: int | None) -> list[Predictor]:
    """Returns the predictors to judge: those of the paper, Pass@k for every k, and what else the samples showed.

    Args:
        rows: The candidates.
        k: The gate's k.
    """

    def at(k: int) -> Callable[[Row], float | None]:
        return lambda row: dict(row.curve).get(k)

    def by_product(name: str) -> Callable[[Row], float | None]:
        return lambda row: getattr(row.by_products, name)

    powers = {k for row in rows for k, _ in row.curve if k > 1 and float(k).is_integer() and int(k) & (int(k) - 1) == 0}
    curves = [Predictor(f"Pass@{int(power)}", (at(power),)) for power in sorted(powers - {k})]
    gate = pick_main(k)
    curves.insert(sum(power < (k or 0) for power in powers), gate["pass_at_k"])
    if any(row.corrected is not None and abs(row.corrected - (row.pass_at_k or 0)) > TIE for row in rows):
        curves.append(Predictor(f"Pass@{k}, corrected", (lambda row: row.corrected,)))
    losses = [gate["loss"], gate["both"]]
    if any(row.candidate.subset != "random" and row.loss is not None for row in rows):
        losses.insert(1, Predictor("Minus generalization loss (all subsets, not comparable)", (minus_loss,)))
    return [
        gate["sft_pass_at_1"],
        Predictor("SFT greedy Pass@1", (lambda row: row.sft_greedy,)),
        *curves,
        *losses,
        Predictor("Entropy", (by_product("entropy"),)),
        Predictor("Answer diversity", (by_product("diversity"),)),
        Predictor("Minus zero-variance share", (lambda row: negate(row.by_products.zero_variance),)),
    ]


def pick_main(k: int | None) -> dict[str, Predictor]:
    """Returns the predictors that the paper compares, at the gate's k."""

    def at_k(row: Row) -> float | None:
        return row.pass_at_k

    label = f"Pass@{k or 'k'}"
    return {
        "sft_pass_at_1": Predictor("SFT Pass@1 (T=1)", (lambda row: row.sft_pass_at_1,)),
        "pass_at_k": Predictor(label, (at_k,)),
        "loss": Predictor("Minus generalization loss (random subsets)", (minus_loss,), restricted=True),
        "both": Predictor(f"{label} and loss (random subsets)", (at_k, minus_loss), restricted=True),
    }


@dataclass(frozen=True)
class Quality:
    """How a predictor goes with post-RL Pass@1; what is undefined, or too uncertain for an interval, is None.

    Attributes:
        points: Candidates with predictor and score.
        settings: Settings among them.
        spearman: Rank correlation.
        spearman_interval: Its bootstrap interval.
        r_squared: In-sample R2 of the least-squares fit.
        r_squared_interval: Its bootstrap interval.
        splits: Mean and standard deviation of R2 over fit and test splits.
    """

    points: int
    settings: int
    spearman: float | None
    spearman_interval: tuple[float, float] | None
    r_squared: float | None
    r_squared_interval: tuple[float, float] | None
    splits: tuple[float, float] | None


def select_finished(rows: list[Row], *predictors: Predictor) -> list[Row]:
    """Returns the rows that finished RL and have all of these predictors."""
    return [row for row in rows if row.score is not None and all(p.measure(row) is not None for p in predictors)]


def score_rows(rows: list[Row], predictor: Predictor) -> np.ndarray:
    """Returns one number a row to rank by: the predictor, or the mean rank of its parts among these rows."""
    columns = np.array([predictor.measure(row) for row in rows], dtype=float).reshape(len(rows), len(predictor.parts))
    return columns[:, 0] if columns.shape[1] == 1 else np.mean([rank(column) for column in columns.T], axis=0)


def judge_predictor(rows: list[Row], predictor: Predictor) -> Quality:
    """Returns how a predictor goes with post-RL Pass@1, with intervals that draw whole settings."""
    finished = select_finished(rows, predictor)
    clusters, y = [row.setting for row in finished], [row.score for row in finished]
    count = len(set(clusters))
    if len(finished) < 3:
        return Quality(len(finished), count, None, None, None, None, None)
    x, features = score_rows(finished, predictor), [predictor.measure(row) for row in finished]
    correlation, fit = spearman(x, y), r_squared(features, y)
    return Quality(
        len(finished),
        count,
        correlation,
        None if correlation is None else bootstrap(lambda w: resample_spearman(x, y, w), clusters),
        fit,
        None if fit is None else bootstrap(lambda w: resample_r_squared(features, y, w), clusters),
        None if fit is None else split_r_squared(features, y, clusters),
    )


@dataclass(frozen=True)
class Difference:
    """How much better a predictor ranks than another, on the candidates that have both.

    Attributes:
        points: Those candidates.
        spearman: Of the one.
        other: Of the other.
        interval: Paired bootstrap interval of the difference.
    """

    points: int
    spearman: float | None
    other: float | None
    interval: tuple[float, float] | None


def compare_predictors(rows: list[Row], one: Predictor, other: Predictor) -> Difference:
    """Compares two predictors on the same candidates, in the same bootstrap samples."""
    if one.restricted:
        other = replace(other, restricted=True)
    finished = select_finished(rows, one, other)
    x, z = score_rows(finished, one), score_rows(finished, other)
    y, clusters = [row.score for row in finished], [row.setting for row in finished]
    correlations = spearman(x, y), spearman(z, y)
    interval = None
    if None not in correlations:
        interval = bootstrap(lambda w: resample_spearman(x, y, w) - resample_spearman(z, y, w), clusters)
    return Difference(len(finished), *correlations, interval)


@dataclass(frozen=True)
class Noise:
    """What repeating RL changes, so that differences between settings can be held against it.

    Attributes:
        repeated: Settings with more than one finished seed.
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
    deviation: float | None
    interval: tuple[float, float] | None
    freedom: int
    rl_deviation: float | None
    rl_interval: tuple[float, float] | None
    rl_freedom: int
    benchmark: float | None
    variation: Variation | None


def measure_noise(rows: list[Row]) -> Noise:
    """Returns how much scores differ between repetitions, and how much between settings."""
    settings = group_settings(rows)
    groups = [setting.scores for setting in settings]
    pooled = pool_deviation(groups)
    bare = pool_deviation([s.scores for s in settings if s.rows[0].candidate.epochs == 0])
    errors = [row.standard_error for row in rows if row.score is not None and row.standard_error is not None]
    return Noise(
        sum(len(group) > 1 for group in groups),
        *((pooled[0], bound_deviation(*pooled), pooled[1]) if pooled else (None, None, 0)),
        *((bare[0], bound_deviation(*bare), bare[1]) if bare else (None, None, 0)),
        math.sqrt(statistics.fmean(error**2 for error in errors)) if errors else None,
        analyse_variance(groups),
    )


@dataclass(frozen=True)
class Choice:
    """What comes of choosing the setting with the most of a predictor, among the settings that it can be judged on.

    Attributes:
        settings: How many there are to choose from.
        chosen: Names of the settings chosen; more than one where they tie.
        score: Mean post-RL Pass@1 of the chosen.
        best: That of the best setting.
        best_name: Its name.
        random: That of a random setting, in expectation.
        by_pass_at_1: That of the settings with the best SFT Pass@1; None where it was not measured for all.
        error: Standard error of best minus score, from the noise between seeds or else from the benchmark; None if unknown.
    """

    settings: int
    chosen: list[str]
    score: float
    best: float
    best_name: str
    random: float
    by_pass_at_1: float | None
    error: float | None

    @property
    def regret(self) -> float:
        """How much the best possible choice is better."""
        return self.best - self.score


def choose(rows: list[Row], predictor: Predictor, noise: Noise) -> Choice | None:
    """Chooses a setting by a predictor and looks what became of it.

    Predictors and scores are means over the seeds of a setting, so that the noise of RL is averaged where it was repeated.

    Args:
        rows: The candidates.
        predictor: What to choose by; the most wins, and of settings that tie one is drawn, in expectation.
        noise: From `measure_noise`.

    Returns:
        None if fewer than two settings finished RL and have the predictor.
    """
    settings = group_settings(select_finished(rows, predictor))
    if len(settings) < 2:
        return None
    members = [row for setting in settings for row in setting.rows]
    value = dict(zip((row.candidate.candidate_id for row in members), score_rows(members, predictor), strict=True))
    scores = [statistics.fmean(setting.scores) for setting in settings]

    def pick(measure: Callable[[Row], float | None]) -> list[int] | None:
        means = [setting.average(measure) for setting in settings]
        return None if None in means else [i for i, mean in enumerate(means) if mean >= max(means) - TIE]

    chosen = pick(lambda row: float(value[row.candidate.candidate_id]))
    favourites, best = pick(lambda row: row.sft_pass_at_1), max(range(len(settings)), key=scores.__getitem__)
    variances = [_estimate_variance(setting, noise) for setting in settings]
    error = None
    if best not in chosen and None not in (variances[best], *(variances[i] for i in chosen)):
        error = math.sqrt(variances[best] + sum(variances[i] for i in chosen) / len(chosen) ** 2)
    return Choice(
        len(settings),
        [settings[i].name for i in chosen],
        statistics.fmean(scores[i] for i in chosen),
        scores[best],
        settings[best].name,
        statistics.fmean(scores),
        statistics.fmean(scores[i] for i in favourites) if favourites else None,
        error,
    )


def _estimate_variance(setting: Setting, noise: Noise) -> float | None:
    deviation = noise.benchmark if noise.deviation is None else noise.deviation
    return None if deviation is None else deviation**2 / len(setting.scores)
