"""What to expect of RL, from the finished runs of the same experiment."""

import re

from rlready.components.core.estimators.forecast import MIN_SETTINGS, predict_known_setting, predict_new_setting
from rlready.components.core.estimators.intervals import MIN_POINTS
from rlready.components.core.tracking.find import Finished, find_finished
from rlready.components.core.verdicts import Forecast, Verdict


def forecast(verdicts: list[Verdict], experiment: str) -> list[Forecast]:
    """Forecasts the post-RL Pass@1 of every candidate that has none yet (paper, protocol step 3).

    A candidate whose setting has finished with other seeds is told by them, any other by the line from Pass@k.

    Args:
        verdicts: With the measured Pass@k in their numbers.
        experiment: Digest of everything that makes results comparable.

    Returns:
        For each verdict: what to expect, or the reason why not.
    """
    if not verdicts:
        return []
    k = verdicts[0].numbers.k
    finished = find_finished(experiment, f"sft/pass_at_{k}", "rl/pass_at_1")
    return [_forecast(verdict, finished, k) for verdict in verdicts]


def _forecast(verdict: Verdict, finished: dict[str, Finished], k: int) -> Forecast:
    if verdict.candidate_id in finished:
        return Forecast(reason="an earlier run has its result already")
    if len(finished) < MIN_POINTS:
        return Forecast(reason=f"insufficient data: {len(finished)} finished runs, {MIN_POINTS} needed")
    x, y, others = zip(*finished.values(), strict=True)
    rests_on = {"points": len(y), "elsewhere": sum(others)}
    setting, settings, at = (
        _name_setting(verdict.candidate_id),
        [*map(_name_setting, finished)],
        verdict.numbers.pass_at_k,
    )
    if setting in settings:
        found = predict_known_setting(y, settings, setting)
        if found is None:
            return Forecast(
                reason="insufficient data: no setting has finished with two seeds, so their scatter is unknown"
            )
        return Forecast(*found, **rests_on, predictor="seeds of the setting")
    if len(set(settings)) < MIN_SETTINGS:
        return Forecast(reason=f"insufficient data: {len(set(settings))} finished settings, {MIN_SETTINGS} needed")
    found = None if at is None else predict_new_setting(x, y, settings, at)
    if found is None:
        return Forecast(reason=f"no line through the finished runs gives a number for Pass@{k}")
    return Forecast(*found, **rests_on, predictor=f"pass_at_{k}")


def _name_setting(candidate_id: str) -> str:
    """Returns a candidate's name without its seed."""
    return re.sub(r"-s\d+$", "", candidate_id)
