"""Whether a completion's final answer is right: the one check behind reward, predictors and benchmark."""

from rlready.components.core.verifier.audit import measure_disagreement, measure_trouble
from rlready.components.core.verifier.extract import clean_gold, extract_boxed
from rlready.components.core.verifier.verdict import Judgement, describe_gold, is_readable, judge, verify

__all__ = [
    "Judgement",
    "clean_gold",
    "describe_gold",
    "extract_boxed",
    "is_readable",
    "judge",
    "measure_disagreement",
    "measure_trouble",
    "verify",
]
