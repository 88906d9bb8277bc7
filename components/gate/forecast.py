"""What to expect of RL: a line from Pass@k to the post-RL score, fitted on the finished runs of the same experiment."""

from rlready.components.core.records import Verdict
from rlready.components.core.statistics import MIN_POINTS, predict_at
from rlready.components.core.tracking import find_finished


def forecast(verdicts: list[Verdict], experiment: str) -> list[dict]:
    """Forecasts the post-RL Pass@1 of every candidate (paper, protocol step 3).

    A candidate's own result, from an earlier run with other thresholds, is left out of its fit.

    Args:
        verdicts: With the measured Pass@k in their numbers.
        experiment: Digest of everything that makes results comparable.

    Returns:
        For each verdict: predicted, low, high (95 % prediction interval), points, predictor; or the reason why not.
    """
    if not verdicts:
        return []
    k = verdicts[0].numbers["k"]
    finished = find_finished(experiment, f"sft/pass_at_{k}", "rl/pass_at_1")
    forecasts = []
    for verdict in verdicts:
        others = [point for name, point in finished.items() if name != verdict.candidate_id]
        at = verdict.numbers["pass_at_k"]
        if len(others) < MIN_POINTS:
            forecasts.append({"reason": f"insufficient data: {len(others)} finished runs, {MIN_POINTS} needed"})
            continue
        line = None if at is None else predict_at(*zip(*others, strict=True), at)
        if line is None:
            forecasts.append({"reason": f"no line through the finished runs gives a number for Pass@{k}"})
            continue
        names = ("predicted", "low", "high")
        forecasts.append(dict(zip(names, line, strict=True)) | {"points": len(others), "predictor": f"pass_at_{k}"})
    return forecasts
