"""The verifier as a reward for TRL: the one that rlready's own RL uses.

GRPOTrainer(model, reward_funcs=make_reward(answer="ground_truth"), ...)
"""

from collections.abc import Callable, Sequence
from typing import Any

from rlready.verifier import judge_all, measure_trouble

Reward = Callable[..., list[float | None]]
LogMetric = Callable[[str, float | None], None] | None


def reward(
    completions: Sequence[Any], answer: Sequence[str], format: Sequence[str], log_metric: LogMetric = None, **columns: Any
) -> list[float | None]:
    """Returns 1 for each right completion, 0 for a wrong one and None for one without a judgement.

    TRL leaves a None out of its group's mean and deviation and gives it no advantage (from 1.16, `_calculate_rewards` and
    below), so a machine that stalls teaches nothing. A completion without a readable answer is wrong, not unknown: the policy
    would otherwise learn to write such answers; see `judge`.

    Completions are texts, or lists of messages whose last one is judged, with the thought that a tokenizer's response template
    sets apart. `answer` and `format` are columns of the data set; TRL's `log_metric` logs a metric besides its own.
    """
    judgements = judge_all(zip(map(_read_text, completions), answer, format, strict=True))
    if log_metric:
        for name, share in measure_trouble(judgements).items():
            log_metric(name, share)
    return [None if judgement.right is None else float(judgement.right) for judgement in judgements]


def make_reward(answer: str = "answer", answer_format: str = "boxed") -> Reward:
    """Returns a reward function for GRPOTrainer, given the column of the reference answers and their format; see `judge`."""

    def verifier_reward(completions: Sequence[Any], **columns: Any) -> list[float | None]:
        if answer not in columns:
            raise KeyError(f"the data set has no column {answer!r}; name that of the references: make_reward(answer=...)")
        references = [str(reference) for reference in columns[answer]]
        return reward(completions, references, [answer_format] * len(references), columns.get("log_metric"))

    return verifier_reward


def _read_text(completion: Any) -> str:
    if isinstance(completion, str):
        return completion
    message = completion[-1]
    return "\n".join(filter(None, (message.get("reasoning_content"), message.get("content"))))
