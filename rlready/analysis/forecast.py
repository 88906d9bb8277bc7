"""Forecasts of the result of RL, from the finished runs of the same experiment: before RL, and at the race."""

import re

from rlready.gate.race import find_runner
from rlready.records.outcome import Outcome
from rlready.records.verdicts import Forecast, Verdict
from rlready.stats.intervals import MIN_POINTS
from rlready.stats.regression import MIN_SETTINGS, predict_known_setting, predict_new_setting
from rlready.stats.ties import reaches
from rlready.tracking.runs import Finished, find_finished


def forecast(verdicts: list[Verdict], experiment: str) -> list[Forecast]:
    """Forecasts the post-RL Pass@1 of every candidate that has none yet (paper, protocol step 3).

    A setting that has finished with other seeds is predicted from them, any other by the line from Pass@k. `experiment` is the
    digest of everything that makes results comparable. Returns one forecast per verdict, or the reason why there is none.
    """
    if not verdicts:
        return []
    k = verdicts[0].numbers.k
    finished = find_finished(experiment, k)
    return [_forecast(v.candidate_id, v.numbers.pass_at_k, f"pass_at_{k}", finished) for v in verdicts]


def forecast_race(outcomes: list[Outcome], step: int, experiment: str) -> list[Forecast]:
    """Forecasts the post-RL Pass@1 of candidates whose RL has reached the race, by the line from Pass@1 in validation there.

    The line is not extended, since a race lets only the best go on: below and above all finished runs there is no forecast.
    """
    finished, forecasts = find_finished(experiment, None, step), []
    known = [one.predictor for one in finished.values()]
    for outcome in outcomes:
        if outcome.failure or (outcome.rl and outcome.rl.stopped):
            forecasts.append(Forecast(reason="its RL has ended"))
            continue
        at = find_runner(outcome, step).pass_at_1
        made = _forecast(outcome.candidate.candidate_id, at, f"validation_at_step_{step}", finished, seeds=False)
        if made.made and not (reaches(at, min(known)) and reaches(max(known), at)):
            made = Forecast(reason=f"insufficient data: no finished run was as low, or none as high, at step {step}")
        forecasts.append(made)
    return forecasts


def _forecast(name: str, at: float | None, predictor: str, finished: dict[str, Finished], seeds: bool = True) -> Forecast:
    """Forecasts by the line from a predictor, or with `seeds` by the other seeds of a setting if it has some."""
    if name in finished:
        return Forecast(reason="an earlier run has its result already")
    if len(finished) < MIN_POINTS:
        return Forecast(reason=f"insufficient data: {len(finished)} finished runs, {MIN_POINTS} needed")
    x, y, external = zip(*finished.values(), strict=True)
    setting, settings = _name_setting(name), [*map(_name_setting, finished)]
    if seeds and setting in settings:
        found, predictor = predict_known_setting(y, settings, setting), "seeds of the setting"
        if found is None:
            return Forecast(reason="insufficient data: no setting has finished with two seeds, so their scatter is unknown")
    elif len(set(settings)) < MIN_SETTINGS:
        return Forecast(reason=f"insufficient data: {len(set(settings))} finished settings, {MIN_SETTINGS} needed")
    else:
        found = None if at is None else predict_new_setting(x, y, settings, at)
        if found is None:
            shown = predictor.replace("pass_at_", "Pass@")
            return Forecast(reason=f"no line through the finished runs gives a number for {shown}")
    # A line, and Student's interval of few seeds, may leave [0, 1].
    predicted, low, high = (min(1.0, max(0.0, figure)) for figure in found)
    return Forecast(predicted, low, high, len(y), predictor, elsewhere=sum(external))


def _name_setting(candidate_id: str) -> str:
    """Returns a candidate's name without its seed."""
    return re.sub(r"-s\d+$", "", candidate_id)
