"""The verifier in other evaluation tools: a scorer for Inspect, a filter for lm-evaluation-harness.

Each imports its tool when it is used. What the verifier cannot judge is NaN in Inspect, `[unknown]` in lm-evaluation-harness.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from rlready.verifier import judge

UNKNOWN, WRONG = "[unknown]", "[wrong]"


def verifier_scorer(answer_format: str = "boxed") -> Any:
    """Returns a scorer for an Inspect task: Task(..., scorer=verifier_scorer()); for the format see `judge`."""
    from inspect_ai.scorer import Score, Target, accuracy, scorer, stderr
    from inspect_ai.solver import TaskState

    @scorer(metrics=[accuracy(), stderr()], name="rlready")
    def make() -> Any:
        async def score(state: TaskState, target: Target) -> Score:
            judgement = judge(state.output.completion, target.text, answer_format)
            value = math.nan if judgement.right is None else float(judgement.right)
            return Score(value=value, answer=judgement.answer, explanation=judgement.trouble)

        return score

    return make()


def register_filter() -> None:
    """Registers the filter `rlready` with lm-evaluation-harness, for the filter_list of a task with the metric exact_match.

    A right response becomes the document's reference answer, so that exact_match counts it. Options: `answer`, the field of the
    document that holds the reference (answer), and `answer_format` (boxed).
    """
    from lm_eval.api.filter import Filter
    from lm_eval.api.registry import register_filter as register

    @register("rlready")
    class VerifierFilter(Filter):
        """Replaces each response by the reference answer if it is right."""

        def __init__(self, answer: str = "answer", answer_format: str = "boxed", **options: Any) -> None:
            super().__init__(**options)
            self.answer, self.answer_format = answer, answer_format

        def apply(self, resps: Iterable[Sequence[str]], docs: list[dict[str, Any]]) -> list[list[str]]:
            pairs = ((texts, str(doc[self.answer])) for texts, doc in zip(resps, docs, strict=True))
            return [[self._replace(text, reference) for text in texts] for texts, reference in pairs]

        def _replace(self, text: str, reference: str) -> str:
            return {None: UNKNOWN, True: reference, False: WRONG}[judge(text, reference, self.answer_format).right]
