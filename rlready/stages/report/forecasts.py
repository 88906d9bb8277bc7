"""Whether the forecasts logged before RL held."""

import statistics
from collections import Counter
from dataclasses import dataclass

from rlready.analysis.comparison import Interval, Row, list_scores
from rlready.analysis.format import count, name_some
from rlready.stages.report.document import Section
from rlready.stats.intervals import bound_share

MOST_REASONS = 3


@dataclass(frozen=True)
class Forecasts:
    """How the forecasts that were logged before RL compare with what RL did.

    Attributes:
        finished: Candidates that finished RL, and had a signal.
        made: Those with a forecast.
        outside: Names of those that ended outside their interval.
        share_interval: Exact 95% interval of the share inside; None without forecasts.
        error: Mean absolute error of the prediction; None without forecasts.
        reasons: Why the others had none, the most frequent reason first.
    """

    finished: int
    made: int
    outside: list[str]
    share_interval: Interval | None
    error: float | None
    reasons: list[str]

    @property
    def inside(self) -> int:
        """How many ended inside their interval."""
        return self.made - len(self.outside)


def check_forecasts(rows: list[Row]) -> Forecasts:
    """Compares forecasts with results."""
    finished = list_scores([row for row in rows if not row.stopped])
    made = [
        (row.name, score, forecast, (forecast.predicted, forecast.low, forecast.high))
        for row, score in finished
        if (forecast := row.verdict.forecast).made
    ]
    figures = [
        (name, score, predicted, low, high)
        for name, score, _, (predicted, low, high) in made
        if predicted is not None and low is not None and high is not None
    ]
    outside = [name for name, score, _, low, high in figures if not low <= score <= high]
    without = [row.verdict.forecast for row in rows if row.judged and not row.verdict.forecast.made]
    reasons = Counter(forecast.reason or "none was logged" for forecast in without)
    return Forecasts(
        len(finished),
        len(made),
        outside,
        bound_share(len(made) - len(outside), len(made)) if made else None,
        statistics.fmean(abs(score - predicted) for _, score, predicted, *_ in figures) if figures else None,
        [reason for reason, _ in reasons.most_common()],
    )


def describe_forecasts(rows: list[Row]) -> Section:
    """Returns the section on how often reality fell inside the forecast intervals, or why there were none."""
    found, title = check_forecasts(rows), "Did the forecasts hold?"
    reasons = found.reasons[:MOST_REASONS] + (["other reasons"] if len(found.reasons) > MOST_REASONS else [])
    none = f" Without a forecast: {'; '.join(reasons)}." if reasons else ""
    if not found.made:
        said = f"No candidate with a result of RL had a forecast, so there is nothing to check.{none}"
        return Section(title, [said])
    low, high = found.share_interval or (0.0, 1.0)
    outside = f" Outside: {name_some(found.outside)}." if found.outside else ""
    theirs = max((row.verdict.forecast.elsewhere for row in rows if row.verdict.forecast.elsewhere), default=None)
    none += f" They are based on up to {count(theirs, 'external result')}." if theirs else ""
    said = (
        f"{found.made} of {found.finished} candidates with a result of RL had a forecast logged before it. {found.inside}"
        f" ended inside their 95% prediction interval, {found.inside / found.made:.2f} of them (exact 95% interval"
        f" {low:.2f} to {high:.2f}); the mean absolute error is {found.error:.3f}.{outside}{none}"
    )
    return Section(title, [said])
