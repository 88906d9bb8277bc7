"""What to expect of RL: a line from Pass@k to the post-RL score, fitted on the finished runs of the same experiment."""

from rlready.components.core.estimators.forecast import predict_at
from rlready.components.core.estimators.intervals import MIN_POINTS
from rlready.components.core.records import Forecast, Verdict
from rlready.components.core.tracking import find_finished


def forecast(verdicts: list[Verdict], experiment: str) -> list[Forecast]:
    """Forecasts the post-RL Pass@1 of every candidate that has none yet (paper, protocol step 3).

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
    points = list(finished.values())
    forecasts = []
    for verdict in verdicts:
        at = verdict.numbers.pass_at_k
        if verdict.candidate_id in finished:
            forecasts.append(Forecast(reason="an earlier run has its result already"))
            continue
        if len(points) < MIN_POINTS:
            forecasts.append(Forecast(reason=f"insufficient data: {len(points)} finished runs, {MIN_POINTS} needed"))
            continue
        line = None if at is None else predict_at(*zip(*points, strict=True), at)
        if line is None:
            forecasts.append(Forecast(reason=f"no line through the finished runs gives a number for Pass@{k}"))
            continue
        forecasts.append(Forecast(*line, points=len(points), predictor=f"pass_at_{k}"))
    return forecasts
