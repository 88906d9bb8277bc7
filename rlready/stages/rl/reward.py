"""The reward of reinforcement learning: what the verifier says of a completion."""

from collections.abc import Callable

from rlready.verifier import judge_all, measure_trouble


def reward(
    completions: list,
    answer: list[str],
    format: list[str],
    log_metric: Callable[[str, float | None], None] = lambda name, value: None,
    **kwargs,
) -> list[float | None]:
    """Returns 1 for a right completion, 0 for a wrong one and None for one whose verdict is unknown.

    TRL leaves a None out of its group's mean and deviation and gives it no advantage (from 1.16, `_calculate_rewards` and
    below), so a machine that stalls teaches nothing. An answer that cannot be read is wrong and not unknown, since a policy
    would otherwise learn to write what nobody can read; see `judge`.

    Args:
        completions: A list of one message each; a thought that a tokenizer's response template sets apart is judged too.
        answer: Their gold answers, from the column of the data set.
        format: Their answer formats.
        log_metric: TRL's, which logs a number beside its own.
        kwargs: The other columns.

    Returns:
        A reward a completion.
    """
    parts = [(message.get("reasoning_content"), message.get("content")) for (message,) in completions]
    texts = ["\n".join(filter(None, pair)) for pair in parts]
    judgements = judge_all(zip(texts, answer, format, strict=True))
    for name, share in measure_trouble(judgements).items():
        log_metric(name, share)
    return [None if judgement.right is None else float(judgement.right) for judgement in judgements]
