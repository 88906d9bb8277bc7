"""The sections on how well the predictors ranked, and whether RL ran long enough to say."""

from collections.abc import Iterator

from rlready.analysis.comparison import Interval, Row
from rlready.analysis.format import MISSING, count, count_of, name_some, show, show_estimate, show_percent, show_regret
from rlready.analysis.noise import ScoreNoise, describe_noise
from rlready.analysis.plateau import LEAST_SETTINGS, look_for_plateau
from rlready.analysis.predictor import list_predictors, mixes_subsets, pick_main
from rlready.analysis.quality import check_forecasts, choose, compare_predictors, find_reversals, judge_predictor
from rlready.stages.report.document import Plot, Section, Table
from rlready.stages.report.plots import draw_ranking, draw_validation
from rlready.stats.correlation import SPLITS
from rlready.stats.intervals import DRAWS, MIN_POINTS
from rlready.stats.plateau import MUCH

TOO_FEW, ALL_EQUAL, NO_CHOICE = "not enough points", "undefined: all equal", "nothing to choose from"
MOST_PAIRS, MOST_REASONS = 10, 3  # of reversals in the table, and why there is no forecast
DIFFERENCE_NOTE = (
    "Over the candidates that have both; in brackets: the paired 95% bootstrap interval. With 0 in it, no difference is shown."
)
CHOICE_NOTE = (
    "Each predictor chooses among the settings that finished RL and have it; predictor and score are means over seeds, and ties"
    " are broken at random. Regret: the best possible score minus the chosen one, with its 95% interval from the noise between"
    " seeds (over the benchmark's problems if no seed was repeated). The best of several noisy results looks better than it"
    " is, so regrets are overestimated."
)
REVERSAL_NOTE = (
    "Both differences exceed what noise between seeds would give in any pair in 5 of 100 studies (Student's test, Bonferroni)."
)
PLATEAU_NOTES = [
    "Gain: from the first rewards to the end of a line through those of the last quarter of training. In the last quarter: the"
    f" gain of that line, with its 95% interval. Rising: more than {100 * MUCH:.0f}% of the total gain throughout the interval,"
    " corrected for the number of candidates (Bonferroni); plateaued: no more than that throughout the interval. Candidates of"
    " one seed get the same problems at every step, so the interval over all of them allows for common noise.",
    "A learning rate that decays to 0, TRL's default (see rl_trainer_overrides), flattens the end of any run. A run that has"
    " plateaued may still gain more in a longer one.",
]


def describe_quality(rows: list[Row], k: int | None, noise: ScoreNoise) -> Section:
    """Returns the section on predictor quality."""
    table = [["Predictor", "Points", "Spearman", "R²", "R² over splits", "Regret"]]
    for predictor in list_predictors(rows, k):
        judged, choice = judge_predictor(rows, predictor), choose(rows, predictor, noise)
        points = str(judged.points)
        if judged.settings < judged.points:
            points += f" in {count(judged.settings, 'setting')}"
        correlation = _show(judged.spearman, judged.spearman_interval, judged.points, 3)
        fit = _show(judged.r_squared, judged.r_squared_interval, judged.settings, len(predictor.parts) + 2)
        splits = "not enough settings" if judged.splits is None else "{:.2f} ± {:.2f}".format(*judged.splits)
        regret = NO_CHOICE if choice is None else show_regret(choice.regret, choice.lead)
        table.append([predictor.label, points, correlation, fit, splits, regret])
    return Section("Predictor quality", table=table, notes=[*_list_caveats(rows, k)])


def _show(value: float | None, interval: Interval | None, points: int, needed: int) -> str:
    if value is None:
        return TOO_FEW if points < needed else ALL_EQUAL
    return f"{value:.2f} [{MISSING}]" if interval is None else f"{value:.2f} [{interval[0]:.2f}, {interval[1]:.2f}]"


def _list_caveats(rows: list[Row], k: int | None) -> Iterator[str]:
    finished = [row for row in rows if row.score is not None]
    points, settings = len(finished), len({row.setting for row in finished})
    if settings < MIN_POINTS:
        few = f"Few points (with an RL result: {count(points, 'candidate')} of {count(settings, 'setting')}"
        yield f"{few}; fewer than {MIN_POINTS} settings are weak evidence)."
    if any(row.dropped for row in rows):
        yield "Candidates that the race dropped have no post-RL score, so the correlations leave them out."
    if any(row.verdict.mode == "enforce" and row.score is None and not row.lost and not row.dropped for row in rows):
        yield (
            "Candidates without RL have no post-RL score, so the correlations leave them out; with gate_mode=audit or off, RL"
            " runs for all."
        )
    if any(row.sequential for row in rows):
        yield (
            f"Pass@{k} was sampled sequentially, so only an interval is known and it has no correlation; "
            "predictors_sampling=fixed gives the whole curve."
        )
    yield from (
        f"In brackets: 95% intervals, for Spearman by {DRAWS:,} bootstrap draws of whole settings with all their seeds."
        f" [{MISSING}]: no interval, because there are fewer than {MIN_POINTS} settings or every draw agrees.",
        "R² is that of the least-squares fit, adjusted for chance (at least 0); its interval assumes normal values."
        " Over splits: mean ± standard deviation of R² on a random half of the settings, with the line fitted on the other half"
        f" ({SPLITS} splits). Below 0 the line predicts worse than the mean.",
        "The loss is judged on random subsets only, because losses on different data distributions are not comparable. Its sign"
        " is flipped: higher is better. Pass@k and loss together: the mean of their ranks for Spearman and regret, a fit"
        " to both for R².",
        "Among this many predictors, some will look good by chance; the intervals are not adjusted for their number.",
    )


def describe_differences(rows: list[Row], k: int | None) -> Section:
    """Returns the section on whether the paper's predictors are better than SFT Pass@1."""
    first, *others = main = pick_main(k)
    if mixes_subsets(rows):
        others.insert(1, main.pass_at_k.restrict())
    table: Table = [["Predictor", "Points", "Spearman", "SFT Pass@1's", "Difference"]]
    for predictor in others:
        points, mine, theirs, interval = compare_predictors(rows, predictor, first)
        figures = [TOO_FEW if points < 3 else ALL_EQUAL] * 3
        if mine is not None and theirs is not None:
            bounds = "{:+.2f}, {:+.2f}".format(*interval) if interval else MISSING
            figures = [f"{mine:.2f}", f"{theirs:.2f}", f"{mine - theirs:+.2f} [{bounds}]"]
        table.append([predictor.label, str(points), *figures])
    return Section("Better than SFT Pass@1?", table=table, notes=[DIFFERENCE_NOTE])


def describe_choices(rows: list[Row], k: int | None, noise: ScoreNoise) -> Section:
    """Returns the section on what became of the setting that each of the main predictors would have chosen."""
    table = [["Predictor", "Settings", "Chosen", "Ended at", "Best possible", "Random choice", "By SFT Pass@1", "Regret"]]
    for predictor in pick_main(k):
        cells = [MISSING, NO_CHOICE, *[MISSING] * 5]
        if choice := choose(rows, predictor, noise):
            scores = [show(value) for value in (choice.score, choice.best, choice.random, choice.by_pass_at_1)]
            cells = [str(choice.settings), name_some(choice.chosen), *scores, show_regret(choice.regret, choice.lead)]
        table.append([predictor.label, *cells])
    return Section("Regret of choosing by a predictor", describe_noise(rows, noise), table, [CHOICE_NOTE])


def describe_reversals(rows: list[Row]) -> Section:
    """Returns the section on the pairs of settings that RL reversed."""
    found, title = find_reversals(rows), "Which settings swapped ranks in RL?"
    if found is None or not found.looked:
        why = "Fewer than two settings have SFT Pass@1 and a result of RL, so there is no pair to compare."
        if found is None:
            why = "The noise between seeds is unknown: no setting has SFT Pass@1 and a result of RL of two seeds."
        return Section(title, [why])
    apart = [f"Excluded, because their seeds scatter more: {name_some(found.scattered)}."] if found.scattered else []
    said = f"Beyond the noise between seeds, {count_of(len(found.pairs), found.looked, 'pair')} swapped ranks."
    if not found.pairs:
        return Section(title, [said, *apart])
    table = [["Ahead after SFT", "Ahead after RL", "Lead in SFT Pass@1", "Behind after RL"]]
    table += [[pair.ahead, pair.behind, f"{pair.lead:.3f}", f"{pair.loss:.3f}"] for pair in found.pairs[:MOST_PAIRS]]
    more = f" The table shows the {MOST_PAIRS} largest." if len(found.pairs) > MOST_PAIRS else ""
    return Section(title, [said + more, *apart], table, [REVERSAL_NOTE])


def describe_forecasts(rows: list[Row]) -> Section:
    """Returns the section on how often reality fell inside the forecast intervals, or why there were none."""
    raced = [row for row in rows if row.outcome.race and row.outcome.race.place]
    texts = [_check_forecasts(rows)]
    if raced:
        said = _check_forecasts(raced, at_race=True)
        texts.append(f"At the race: {said[0].lower()}{said[1:]}")
    return Section("Did the forecasts hold?", texts)


def _check_forecasts(rows: list[Row], at_race: bool = False) -> str:
    found = check_forecasts(rows, at_race)
    reasons = found.reasons[:MOST_REASONS] + (["other reasons"] if len(found.reasons) > MOST_REASONS else [])
    none = f" Reasons for no forecast: {'; '.join(reasons)}." if reasons else ""
    if apart := sum(row.score is not None and bool(row.stopped) for row in rows):
        none = f" Not counted: {count(apart, 'candidate')} whose RL ended early or had no signal.{none}"
    if not found.made:
        return f"No candidate with an RL result had a forecast, so there is nothing to check.{none}"
    low, high = found.share_interval or (0.0, 1.0)
    outside = f" Outside: {name_some(found.outside)}." if found.outside else ""
    based = [row.outcome.race.forecast if at_race and row.outcome.race else row.verdict.forecast for row in rows]
    theirs = max((forecast.elsewhere for forecast in based if forecast.elsewhere), default=None)
    none += f" Forecasts are based on up to {count(theirs, 'external result')}." if theirs else ""
    return (
        f"A forecast was logged before the RL result of {count_of(found.made, found.finished, 'candidate')}."
        f" Inside the 95% prediction interval: {found.inside} of {found.made}, a share of {found.inside / found.made:.2f}"
        f" (exact 95% interval {low:.2f} to {high:.2f}); the mean absolute error is {found.error:.3f}.{outside}{none}"
    )


def describe_plateau(rows: list[Row], k: int | None) -> Section:
    """Returns the section on the end of RL, with a plot of how well the predictors rank the candidates on the way there."""
    plateau, title = look_for_plateau(rows), "Did RL plateau?"
    validation = Plot(
        "Validation during RL",
        "Pass@1 on problems that RL is not trained on. Faint: the reward of training, on other problems at every step.",
        draw_validation(rows),
        "no candidate was validated",
    )
    if not plateau.rises:
        return Section(title, ["Unknown: no candidate has rewards for enough steps of RL."], plots=[validation])
    table = [["Candidate", "Gain in reward", "In the last quarter", "Share of the gain", "At the end"]]
    for name, rise in plateau.rises.items():
        share = MISSING if rise.share is None else show_percent(rise.share) if rise.share > 0 else "none"
        end = "rising" if name in plateau.alone else "plateaued" if rise.level else "unclear"
        late = show_estimate(rise.late, (rise.low, rise.high), 3)
        table.append([name, show(rise.gain), late, share, end])
    plot = Plot(
        "How the predictors rank the candidates during RL",
        "Spearman's correlation of what was measured before RL with Pass@1 in validation, or without validation with the reward"
        " so far (mean over the last eighth of all steps); at the right, with Pass@1 after RL. Where lines cross, a shorter run"
        " would have favored another predictor.",
        draw_ranking(rows, k),
        f"fewer than {LEAST_SETTINGS} settings with a predictor and rewards",
    )
    return Section(title, [plateau.said], table, PLATEAU_NOTES, [validation, plot])
