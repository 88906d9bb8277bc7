"""How well predictors rank: correlation with the result of RL, regret of choosing by them, rank reversals, forecasts."""

import itertools
import statistics
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from rlready.analysis.comparison import Interval, Row, group_settings, list_scores
from rlready.analysis.noise import ScoreNoise, compare_means, compare_settings
from rlready.analysis.policies import measure_regret, take_best
from rlready.analysis.predictor import Predictor, pick_main, score_rows, score_settings, select_finished
from rlready.gate.lead import Lead
from rlready.records.verdicts import Forecast
from rlready.stats.correlation import (
    adjust_r_squared,
    bound_r_squared,
    r_squared,
    resample_spearman,
    spearman,
    split_r_squared,
)
from rlready.stats.intervals import MIN_POINTS, bootstrap, bound_share
from rlready.stats.variation import find_scattered, pool_deviation


@dataclass(frozen=True)
class Quality:
    """How a predictor correlates with post-RL Pass@1; what is undefined, or too uncertain for an interval, is None."""

    points: int  # candidates with predictor and score
    settings: int  # settings among them
    spearman: float | None = None  # rank correlation
    spearman_interval: Interval | None = None  # its bootstrap interval
    r_squared: float | None = None  # adjusted R2 of the least-squares fit
    r_squared_interval: Interval | None = None  # interval of the R2 of all such settings
    splits: tuple[float, float] | None = None  # mean and standard deviation of R2 over fit and test splits


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


def compare_predictors(
    rows: list[Row], one: Predictor, other: Predictor
) -> tuple[int, float | None, float | None, Interval | None]:
    """Compares two predictors on the candidates that have both, in the same bootstrap samples.

    Returns the number of these candidates, Spearman's correlation of the one and the other, and the paired interval of the
    difference.
    """
    if one.restricted:
        other = other.restrict()
    finished = select_finished(rows, one, other)
    x, z = score_rows(finished, one), score_rows(finished, other)
    y, clusters = [score for _, score in list_scores(finished)], [row.setting for row in finished]
    mine, theirs, interval = spearman(x, y), spearman(z, y), None
    if mine is not None and theirs is not None:
        interval = bootstrap(lambda w: resample_spearman(x, y, w) - resample_spearman(z, y, w), clusters)
    return len(finished), mine, theirs, interval


@dataclass(frozen=True)
class Choice:
    """What came of the setting with the most of a predictor; predictors and scores are means over seeds."""

    settings: int  # how many there were to choose from
    chosen: list[str]  # names of the settings chosen; more than one if they tie
    score: float  # mean post-RL Pass@1 of the chosen
    regret: float  # how far it is below the best setting's
    best: float  # that of the best setting
    random: float  # that of a random setting, in expectation
    by_pass_at_1: float | None  # that of the settings with the best SFT Pass@1; None if it was not measured for all
    lead: Lead | None  # of the best over the chosen; None if the best is chosen, or several tie


def choose(rows: list[Row], predictor: Predictor, noise: ScoreNoise) -> Choice | None:
    """Chooses the setting with the most of a predictor and measures its regret; None with fewer than two settings.

    Of settings that tie one is drawn, in expectation.
    """
    settings = group_settings(select_finished(rows, predictor))
    if len(settings) < 2:
        return None
    values, pass_at_1 = (score_settings(settings, by) for by in (predictor, pick_main(None).sft_pass_at_1))
    if values is None:
        return None
    scores = np.array([statistics.fmean(setting.scores) for setting in settings])
    taken = take_best(values, 1)
    (chosen,), best = taken.tied.nonzero(), int(scores.argmax())
    alone = len(chosen) == 1 and best not in chosen
    return Choice(
        settings=len(settings),
        chosen=[settings[place].name for place in chosen],
        score=float(scores[chosen].mean()),
        regret=measure_regret(scores, taken),
        best=float(scores[best]),
        random=float(scores.mean()),
        by_pass_at_1=None if pass_at_1 is None else float(scores[take_best(pass_at_1, 1).tied].mean()),
        lead=compare_settings(settings[best], settings[chosen[0]], noise) if alone else None,
    )


@dataclass(frozen=True)
class Reversal:
    """Two settings, by name, that RL reversed: the lead after SFT, and how far the first ended behind after RL."""

    ahead: str
    behind: str
    lead: float
    loss: float


@dataclass(frozen=True)
class Reversals:
    """The reversed pairs, largest loss first, out of this many; and settings left out because their seeds scatter more."""

    pairs: list[Reversal]
    looked: int
    scattered: list[str]


def find_reversals(rows: list[Row]) -> Reversals | None:
    """Returns the pairs of settings that RL reversed; None if the noise before or after it is unknown.

    A pair counts if each of the two differences of means, before and after, exceeds what chance gives in any pair at all in 5
    of 100 studies: Student's test with the deviation between seeds pooled over settings, and Bonferroni's correction for the
    number of pairs. Both must hold, so the chance of a false pair is no greater than that of one of them alone. Pooling needs
    seeds that scatter alike, so settings that scatter more are left out.
    """
    known = [s for s in group_settings(rows) if s.scores and all(row.sft_pass_at_1 is not None for row in s.rows)]
    values = []
    for setting in known:
        before = [value for row in setting.rows if (value := row.sft_pass_at_1) is not None]
        # Without SFT the seeds share one measurement, which says nothing about the noise between them.
        values.append((before[:1] if setting.rows[0].candidate.is_base else before, setting.scores))
    apart = {number for phase in (0, 1) for number in find_scattered([both[phase] for both in values])}
    settings = [(known[number].name, *both) for number, both in enumerate(values) if number not in apart]
    noise_before, noise_after = pool_deviation([one[1] for one in settings]), pool_deviation([one[2] for one in settings])
    pairs = list(itertools.combinations(settings, 2))
    if noise_before is None or noise_after is None:
        return None
    found = []
    for pair in pairs:
        (one, one_before, one_after), (other, other_before, other_after) = sorted(pair, key=lambda s: -statistics.fmean(s[1]))
        lead = compare_means(one_before, other_before, [noise_before] * 2, len(pairs))
        loss = compare_means(other_after, one_after, [noise_after] * 2, len(pairs))
        if lead.sure and loss.sure:
            found.append(Reversal(one, other, lead.ahead or 0.0, loss.ahead or 0.0))
    return Reversals(sorted(found, key=lambda pair: -pair.loss), len(pairs), [known[number].name for number in sorted(apart)])


@dataclass(frozen=True)
class ForecastCheck:
    """How the forecasts that were logged before RL, or at the race, compare with what RL did."""

    finished: int  # candidates that finished RL, and had a signal
    made: int  # those with a forecast
    outside: list[str] = field(default_factory=list)  # names of those that ended outside their interval
    share_interval: Interval | None = None  # exact 95% interval of the share inside; None without forecasts
    error: float | None = None  # mean absolute error of the prediction; None without forecasts
    reasons: list[str] = field(default_factory=list)  # why the others had none, the most frequent reason first

    @property
    def inside(self) -> int:
        """How many ended inside their interval."""
        return self.made - len(self.outside)


def check_forecasts(rows: list[Row], at_race: bool = False) -> ForecastCheck:
    """Compares the forecasts before RL, or those at the race, with results."""

    def read(row: Row) -> Forecast:
        race = row.outcome.race
        return row.verdict.forecast if not at_race else race.forecast if race else Forecast()

    finished = list_scores([row for row in rows if not row.stopped])
    made = [(row.name, score, found) for row, score in finished if (found := read(row)).made]
    without = [found for row in rows if row.judged and not (found := read(row)).made]
    reasons = Counter(forecast.reason or "not logged" for forecast in without)
    ranked = [reason for reason, _ in reasons.most_common()]
    if not made:
        return ForecastCheck(len(finished), 0, reasons=ranked)
    outside = [name for name, score, one in made if not (one.low or 0.0) <= score <= (one.high or 0.0)]
    error = statistics.fmean(abs(score - (one.predicted or 0.0)) for _, score, one in made)
    inside = bound_share(len(made) - len(outside), len(made))
    return ForecastCheck(len(finished), len(made), outside, inside, error, ranked)
