"""Forecasts of the result of RL, from the finished runs of the same experiment."""

import re

from rlready.records.verdicts import Forecast, Verdict
from rlready.stats.forecast import MIN_SETTINGS, predict_known_setting, predict_new_setting
from rlready.stats.intervals import MIN_POINTS
from rlready.tracking.find import Finished, find_finished


def forecast(verdicts: list[Verdict], experiment: str) -> list[Forecast]:
    """Forecasts the post-RL Pass@1 of every candidate that has none yet (paper, protocol step 3).

    A setting that has finished with other seeds is predicted from them, any other by the line from Pass@k. `experiment` is the
    digest of everything that makes results comparable. Returns one forecast per verdict, or the reason why there is none.
    """
    if not verdicts:
        return []
    finished = find_finished(experiment, verdicts[0].numbers.k)
    return [_forecast(verdict, finished) for verdict in verdicts]


def _forecast(verdict: Verdict, finished: dict[str, Finished]) -> Forecast:
    if verdict.candidate_id in finished:
        return Forecast(reason="an earlier run has its result already")
    if len(finished) < MIN_POINTS:
        return Forecast(reason=f"insufficient data: {len(finished)} finished runs, {MIN_POINTS} needed")
    x, y, external = zip(*finished.values(), strict=True)
    setting, settings = _name_setting(verdict.candidate_id), [*map(_name_setting, finished)]
    k, at = verdict.numbers.k, verdict.numbers.pass_at_k
    if setting in settings:
        found, predictor = predict_known_setting(y, settings, setting), "seeds of the setting"
        if found is None:
            return Forecast(reason="insufficient data: no setting has finished with two seeds, so their scatter is unknown")
    elif len(set(settings)) < MIN_SETTINGS:
        return Forecast(reason=f"insufficient data: {len(set(settings))} finished settings, {MIN_SETTINGS} needed")
    else:
        found, predictor = None if at is None else predict_new_setting(x, y, settings, at), f"pass_at_{k}"
        if found is None:
            return Forecast(reason=f"no line through the finished runs gives a number for Pass@{k}")
    # A line, and Student's interval of few seeds, may leave [0, 1].
    predicted, low, high = (min(1.0, max(0.0, figure)) for figure in found)
    return Forecast(predicted, low, high, len(y), predictor, elsewhere=sum(external))


def _name_setting(candidate_id: str) -> str:
    """Returns a candidate's name without its seed."""
    return re.sub(r"-s\d+$", "", candidate_id)
