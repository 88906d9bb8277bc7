"""Whether a completion's final answer is right: the one check behind reward, predictors and benchmark."""

from rlready.components.core.verifier.extract import clean_gold, extract_boxed
from rlready.components.core.verifier.verdict import (
    TIMEOUT,
    UNREADABLE,
    Judgement,
    describe_gold,
    estimate_disagreements,
    is_readable,
    judge,
    verify,
)

__all__ = [
    "TIMEOUT",
    "UNREADABLE",
    "Judgement",
    "clean_gold",
    "describe_gold",
    "estimate_disagreements",
    "extract_boxed",
    "is_readable",
    "judge",
    "verify",
]
