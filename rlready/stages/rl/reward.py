"""The reward of reinforcement learning: the verifier's judgement of a completion."""

from collections.abc import Callable

from rlready.verifier import judge_all, measure_trouble


def reward(
    completions: list,
    answer: list[str],
    format: list[str],
    log_metric: Callable[[str, float | None], None] = lambda name, value: None,
    **kwargs,
) -> list[float | None]:
    """Returns 1 for each right completion, 0 for a wrong one and None for one without a judgement.

    TRL leaves a None out of its group's mean and deviation and gives it no advantage (from 1.16, `_calculate_rewards` and
    below), so a machine that stalls teaches nothing. A completion without a readable answer is wrong, not unknown: the policy
    would otherwise learn to write such answers; see `judge`. A thought that a response template sets apart is judged too.
    Arguments are columns of the data set and TRL's function that logs a metric.
    """
    parts = [(message.get("reasoning_content"), message.get("content")) for (message,) in completions]
    texts = ["\n".join(filter(None, pair)) for pair in parts]
    judgements = judge_all(zip(texts, answer, format, strict=True))
    for name, share in measure_trouble(judgements).items():
        log_metric(name, share)
    return [None if judgement.right is None else float(judgement.right) for judgement in judgements]
