"""GRPO's reward: the verdict of the verifier."""

from rlready.components.core.verifier import verify


def reward(completions: list, answer: list[str], format: list[str], **kwargs) -> list[float | None]:
    """Returns 1 for a right completion, 0 for a wrong one, and None where the verifier cannot tell.

    TRL gives an unscorable completion no advantage and leaves it out of its group's mean (`GRPOTrainer._compute_advantages`).

    Args:
        completions: The messages of each; those of a prompt have one, the answer.
        answer: Gold answers, a column of the data set.
        format: How each is written, likewise.
        **kwargs: The other columns.
    """
    verdicts = (
        verify(completion[0]["content"], gold, answer_format)
        for completion, gold, answer_format in zip(completions, answer, format, strict=True)
    )
    return [None if right is None else float(right) for right in verdicts]
