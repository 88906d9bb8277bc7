"""Forecasts of the result of RL, from the finished runs of the same experiment."""

import re
from collections.abc import Container

import numpy as np

from rlready.records.verdicts import Forecast, Verdict
from rlready.stats.forecast import MIN_SETTINGS, Addition, estimate_addition, predict_known_setting, predict_new_setting
from rlready.stats.intervals import LEVEL, MIN_POINTS
from rlready.tracking.find import Finished, find_finished

LOSS = "generalization_loss"
MORE = ("pass_at_1", LOSS)  # predictors that may join Pass@k


def forecast(verdicts: list[Verdict], experiment: str, comparable: Container[str] = ()) -> list[Forecast]:
    """Forecasts the post-RL Pass@1 of every candidate that has none yet (paper, protocol step 3).

    A setting that has finished with other seeds is predicted by them, any other by the line from Pass@k; or by the plane
    from Pass@k and a second predictor, if that clearly predicts better the settings that are left out of the fit.

    Args:
        verdicts: With the measured Pass@k in their numbers.
        experiment: Digest of everything that makes results comparable.
        comparable: Ids of the candidates whose losses can be compared.

    Returns:
        One forecast per verdict, or the reason why there is none.
    """
    if not verdicts:
        return []
    k = verdicts[0].numbers.k
    names = [f"sft/{name}" for name in (f"pass_at_{k}", *MORE)]
    finished = find_finished(experiment, names, "rl/pass_at_1")
    added = _estimate_additions(finished)
    alike = {name: found for name, found in added.items() if name != LOSS}
    return [_forecast(v, finished, added if v.candidate_id in comparable else alike, k) for v in verdicts]


def _forecast(verdict: Verdict, finished: dict[str, Finished], added: dict[str, Addition], k: int | None) -> Forecast:
    if verdict.candidate_id in finished:
        return Forecast(reason="an earlier run has its result already")
    if len(finished) < MIN_POINTS:
        return Forecast(reason=f"insufficient data: {len(finished)} finished runs, {MIN_POINTS} needed")
    measured, y, others, _ = zip(*finished.values(), strict=True)
    setting, settings = _name_setting(verdict.candidate_id), [*map(_name_setting, finished)]
    tried: list[list[str | float]] = []
    if setting in settings:
        found, predictor = predict_known_setting(y, settings, setting), "seeds of the setting"
        if found is None:
            return Forecast(reason="insufficient data: no setting has finished with two seeds, so their scatter is unknown")
    elif len(set(settings)) < MIN_SETTINGS:
        return Forecast(reason=f"insufficient data: {len(set(settings))} finished settings, {MIN_SETTINGS} needed")
    else:
        added = {name: found for name, found in added.items() if getattr(verdict.numbers, name) is not None}
        tried = [[name, round(found.without, 4), round(found.with_it, 4)] for name, found in added.items()]
        better = [name for name, found in sorted(added.items(), key=lambda item: item[1].with_it) if found.better][:1]
        names, predictor = ["pass_at_k", *better], " and ".join([f"pass_at_{k}", *better])
        x = np.array(measured, dtype=float)[:, [0, *(1 + MORE.index(name) for name in better)]]  # (points, predictors)
        at = [getattr(verdict.numbers, name) for name in names]
        found = None if at[0] is None else predict_new_setting(x, y, settings, at)
        if found is None:
            return Forecast(reason=f"no line through the finished runs gives a number for Pass@{k}")
    # A line, and Student's interval of few seeds, may leave [0, 1].
    predicted, low, high = (min(1.0, max(0.0, figure)) for figure in found)
    return Forecast(predicted, low, high, len(y), predictor, elsewhere=sum(others), tried=tried)


def _estimate_additions(finished: dict[str, Finished]) -> dict[str, Addition]:
    """Returns what a second predictor would add, for those known and comparable in all finished runs."""
    if not finished:
        return {}
    measured, y, _, alike = zip(*finished.values(), strict=True)
    added = {}
    settings = [*map(_name_setting, finished)]
    for number, name in enumerate(MORE, 1):
        column = [known[number] for known in measured]
        if None in column or (name == LOSS and not (all(alike) and len(set(alike) - {"yes"}) < 2)):
            continue
        # Each of several gets its share of the chance to be wrong.
        level = 1 - (1 - LEVEL) / len(MORE)
        if found := estimate_addition([known[0] for known in measured], column, y, settings, level):
            added[name] = found
    return added


def _name_setting(candidate_id: str) -> str:
    """Returns a candidate's name without its seed."""
    return re.sub(r"-s\d+$", "", candidate_id)
