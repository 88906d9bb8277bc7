"""How well each predictor told the result of RL: correlations, and their differences."""

from dataclasses import dataclass

from rlready.analysis.comparison import Interval, Row, list_scores
from rlready.analysis.format import MISSING
from rlready.analysis.noise import ScoreNoise
from rlready.analysis.predictor import Predictor, list_predictors, mixes_subsets, pick_main, score_rows, select_finished
from rlready.stages.report.document import Section, Table
from rlready.stages.report.selection import choose, show_regret
from rlready.stats.correlation import (
    SPLITS,
    adjust_r_squared,
    bound_r_squared,
    r_squared,
    resample_spearman,
    spearman,
    split_r_squared,
)
from rlready.stats.intervals import DRAWS, MIN_POINTS, bootstrap

TOO_FEW, ALL_EQUAL = "not enough points", "undefined: all equal"
DIFFERENCE_NOTES = [
    "Over the candidates that have both, with a paired 95% bootstrap interval. An interval with 0 in it shows no difference."
]


@dataclass(frozen=True)
class Quality:
    """How a predictor correlates with post-RL Pass@1; what is undefined, or too uncertain for an interval, is None.

    Attributes:
        points: Candidates with predictor and score.
        settings: Settings among them.
        spearman: Rank correlation.
        spearman_interval: Its bootstrap interval.
        r_squared: Adjusted R2 of the least-squares fit.
        r_squared_interval: Interval of the R2 of all such settings.
        splits: Mean and standard deviation of R2 over fit and test splits.
    """

    points: int
    settings: int
    spearman: float | None = None
    spearman_interval: Interval | None = None
    r_squared: float | None = None
    r_squared_interval: Interval | None = None
    splits: tuple[float, float] | None = None


def judge_predictor(rows: list[Row], predictor: Predictor) -> Quality:
    """Returns how a predictor correlates with post-RL Pass@1, with intervals that resample whole settings."""
    finished = select_finished(rows, predictor)
    clusters, y = [row.setting for row in finished], [score for _, score in list_scores(finished)]
    count = len(set(clusters))
    if len(finished) < 3:
        return Quality(len(finished), count)
    x, features = score_rows(finished, predictor), [predictor.measure(row) or [] for row in finished]
    correlation, fit = spearman(x, y), r_squared(features, y)
    # Seeds of a setting are no points of their own, so R2 is that of as many points as there are settings.
    parts = len(predictor.parts)
    return Quality(
        len(finished),
        count,
        correlation,
        None if correlation is None else bootstrap(lambda w: resample_spearman(x, y, w), clusters),
        None if fit is None else adjust_r_squared(fit, count, parts),
        None if fit is None or count < MIN_POINTS else bound_r_squared(fit, count, parts),
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
    interval: Interval | None


def compare_predictors(rows: list[Row], one: Predictor, other: Predictor) -> Difference:
    """Compares two predictors on the same candidates, in the same bootstrap samples."""
    if one.restricted:
        other = other.restrict()
    finished = select_finished(rows, one, other)
    x, z = score_rows(finished, one), score_rows(finished, other)
    y, clusters = [score for _, score in list_scores(finished)], [row.setting for row in finished]
    correlations = spearman(x, y), spearman(z, y)
    interval = None
    if None not in correlations:
        interval = bootstrap(lambda w: resample_spearman(x, y, w) - resample_spearman(z, y, w), clusters)
    return Difference(len(finished), *correlations, interval)


def describe_quality(rows: list[Row], k: int | None, noise: ScoreNoise) -> Section:
    """Returns the section on predictor quality."""
    table = [["Predictor", "Points", "Spearman", "R²", "R² over splits", "Regret"]]
    for predictor in list_predictors(rows, k):
        judged, choice = judge_predictor(rows, predictor), choose(rows, predictor, noise)
        repeated = f" in {judged.settings} settings" if judged.settings < judged.points else ""
        splits = "not enough settings" if judged.splits is None else "{:.2f} ± {:.2f}".format(*judged.splits)
        table.append(
            [
                predictor.label,
                f"{judged.points}{repeated}",
                _show(judged.spearman, judged.spearman_interval, judged.points, 3),
                _show(judged.r_squared, judged.r_squared_interval, judged.settings, len(predictor.parts) + 2),
                splits,
                "nothing to choose from" if choice is None else show_regret(choice),
            ]
        )
    return Section("Predictor quality", table=table, notes=_list_caveats(rows, k))


def _show(value: float | None, interval: Interval | None, points: int, needed: int) -> str:
    if value is None:
        return TOO_FEW if points < needed else ALL_EQUAL
    return f"{value:.2f} [{MISSING}]" if interval is None else f"{value:.2f} [{interval[0]:.2f}, {interval[1]:.2f}]"


def _list_caveats(rows: list[Row], k: int | None) -> list[str]:
    """Returns how to read the correlations of the predictors, and what limits them."""
    finished = [row for row in rows if row.score is not None]
    points, settings = len(finished), len({row.setting for row in finished})
    said = []
    if settings < MIN_POINTS:
        counted = f"{points}" if points == settings else f"{points} in {settings} settings"
        said.append(f"Few points ({counted} with a result of RL, fewer than {MIN_POINTS}): the correlations are weak evidence.")
    if any(row.verdict.mode == "enforce" and row.score is None and not row.failure for row in rows):
        audited = " and the audited" if any(row.verdict.audited for row in rows) else ""
        said.append(
            f"Rejected candidates have no post-RL score, so the correlations cover the approved ones{audited} only; "
            "with gate_mode=audit or off, RL runs for all."
        )
    if any(row.sequential for row in rows):
        said.append(
            f"Pass@{k} was sampled sequentially, so only an interval is known and it has no correlation; "
            "predictors_sampling=fixed gives the whole curve."
        )
    return [
        *said,
        f"In brackets: 95% intervals, for Spearman by {DRAWS:,} bootstrap draws of whole settings with all their seeds."
        f" [{MISSING}]: no interval, because there are fewer than {MIN_POINTS} settings or every draw agrees.",
        "R² is that of the least-squares fit, adjusted for chance (at least 0); its interval assumes normal values."
        " Over splits: mean ± standard deviation of R² on a random half of the settings, with the line fitted on the other half"
        f" ({SPLITS} splits). Below 0 the line predicts worse than the mean.",
        "The loss is judged on random subsets only, because losses on different data distributions are not comparable. Its sign"
        " is flipped, so that more is better. Pass@k and loss together: the mean of their ranks for Spearman and regret, a fit"
        " to both for R².",
        "Among this many predictors some look good by chance; the intervals are not adjusted for their number.",
    ]


def describe_differences(rows: list[Row], k: int | None) -> Section:
    """Returns the section on whether the paper's predictors are better than SFT Pass@1."""
    first, *others = main = pick_main(k)
    if mixes_subsets(rows):
        others.insert(1, main.pass_at_k.restrict())
    table: Table = [["Predictor", "Points", "Spearman", "SFT Pass@1's", "Difference"]]
    for predictor in others:
        found = compare_predictors(rows, predictor, first)
        if found.spearman is None or found.other is None:
            figures = [TOO_FEW if found.points < 3 else ALL_EQUAL] * 3
        else:
            bounds = f"{found.interval[0]:+.2f}, {found.interval[1]:+.2f}" if found.interval else MISSING
            difference = f"{found.spearman - found.other:+.2f} [{bounds}]"
            figures = [f"{found.spearman:.2f}", f"{found.other:.2f}", difference]
        table.append([predictor.label, str(found.points), *figures])
    return Section("Better than SFT Pass@1?", table=table, notes=DIFFERENCE_NOTES)
