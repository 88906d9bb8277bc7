"""Sampling answers to problems and counting the right ones."""

from collections.abc import Callable, Sequence

from rlready.components.core.prompts import encode_prompt
from rlready.components.core.sampling import Draw
from rlready.components.core.verify import verify


def count_correct(
    engine, problems: Sequence[dict], draw: Draw, progress: Callable[[int, int], None] = lambda done, tokens: None
) -> tuple[list[int], int]:
    """Samples answers and verifies them.

    Args:
        engine: From `sampling.open_engine`.
        problems: Rows with problem_id, question, answer and format.
        draw: How to sample.
        progress: Called with completions and tokens so far.

    Returns:
        (right completions of each problem, tokens drawn).
    """
    prompts = [encode_prompt(engine.tokenizer, row["question"], row["format"]) for row in problems]
    sampled = engine.sample(prompts, [row["problem_id"] for row in problems], draw, progress)
    correct = [
        sum(verify(completion.text, row["answer"], row["format"]) for completion in completions)
        for row, completions in zip(problems, sampled, strict=True)
    ]
    return correct, sum(len(completion.ids) for completions in sampled for completion in completions)
