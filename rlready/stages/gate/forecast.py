"""What to expect of RL, from the finished runs of the same experiment."""

import re
from collections.abc import Container

from rlready.records.verdicts import Forecast, Verdict
from rlready.stats.forecast import MIN_SETTINGS, Addition, predict_known_setting, predict_new_setting, weigh_addition
from rlready.stats.intervals import LEVEL, MIN_POINTS
from rlready.tracking.find import Finished, find_finished

LOSS = "generalization_loss"
MORE = ("pass_at_1", LOSS)  # predictors that may join Pass@k


def forecast(verdicts: list[Verdict], experiment: str, comparable: Container[str] = ()) -> list[Forecast]:
    """Forecasts the post-RL Pass@1 of every candidate that has none yet (paper, protocol step 3).

    A candidate whose setting has finished with other seeds is told by them, any other by the line from Pass@k; or by the plane
    from Pass@k and one predictor more, where that surely tells settings better that are left out of the fit.

    Args:
        verdicts: With the measured Pass@k in their numbers.
        experiment: Digest of everything that makes results comparable.
        comparable: Ids of the candidates whose loss can be held against others'.

    Returns:
        For each verdict: what to expect, or the reason why not.
    """
    if not verdicts:
        return []
    k = verdicts[0].numbers.k
    names = [f"sft/{name}" for name in (f"pass_at_{k}", *MORE)]
    finished = find_finished(experiment, names, "rl/pass_at_1")
    added = _weigh_more(finished)
    alike = {name: found for name, found in added.items() if name != LOSS}
    return [_forecast(v, finished, added if v.candidate_id in comparable else alike, k) for v in verdicts]


def _forecast(verdict: Verdict, finished: dict[str, Finished], added: dict[str, Addition], k: int) -> Forecast:
    if verdict.candidate_id in finished:
        return Forecast(reason="an earlier run has its result already")
    if len(finished) < MIN_POINTS:
        return Forecast(reason=f"insufficient data: {len(finished)} finished runs, {MIN_POINTS} needed")
    told, y, others, _ = zip(*finished.values(), strict=True)
    rests_on = {"points": len(y), "elsewhere": sum(others)}
    setting, settings, at = (
        _name_setting(verdict.candidate_id),
        [*map(_name_setting, finished)],
        verdict.numbers.pass_at_k,
    )
    if setting in settings:
        found = predict_known_setting(y, settings, setting)
        if found is None:
            return Forecast(reason="insufficient data: no setting has finished with two seeds, so their scatter is unknown")
        return Forecast(*_cut(found), **rests_on, predictor="seeds of the setting")
    if len(set(settings)) < MIN_SETTINGS:
        return Forecast(reason=f"insufficient data: {len(set(settings))} finished settings, {MIN_SETTINGS} needed")
    x = [known[0] for known in told]
    added = {name: found for name, found in added.items() if getattr(verdict.numbers, name) is not None}
    tried = [[name, round(found.without, 4), round(found.with_it, 4)] for name, found in added.items()]
    better = [name for name, found in sorted(added.items(), key=lambda item: item[1].with_it) if found.better][:1]
    for name in better if at is not None else ():
        x, at = [(known[0], known[1 + MORE.index(name)]) for known in told], (at, getattr(verdict.numbers, name))
    found = None if at is None else predict_new_setting(x, y, settings, at)
    if found is None:
        return Forecast(reason=f"no line through the finished runs gives a number for Pass@{k}")
    return Forecast(*_cut(found), **rests_on, predictor=" and ".join([f"pass_at_{k}", *better]), tried=tried)


def _cut(figures: tuple[float, ...]) -> list[float]:
    """Returns the figures where they can be a Pass@1: a line, and Student's interval of few seeds, know no ends."""
    return [min(1.0, max(0.0, figure)) for figure in figures]


def _weigh_more(finished: dict[str, Finished]) -> dict[str, Addition]:
    """Returns what each predictor more would add, of those that are known of all finished runs and comparable among them."""
    if not finished:
        return {}
    added, (told, y, _, alike) = {}, zip(*finished.values(), strict=True)
    settings = [*map(_name_setting, finished)]
    for number, name in enumerate(MORE, 1):
        column = [known[number] for known in told]
        if None in column or (name == LOSS and not (all(alike) and len(set(alike) - {"yes"}) < 2)):
            continue
        # Each of several gets its share of the chance to be wrong.
        level = 1 - (1 - LEVEL) / len(MORE)
        if found := weigh_addition([known[0] for known in told], column, y, settings, level):
            added[name] = found
    return added


def _name_setting(candidate_id: str) -> str:
    """Returns a candidate's name without its seed."""
    return re.sub(r"-s\d+$", "", candidate_id)
