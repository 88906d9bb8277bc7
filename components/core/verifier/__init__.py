"""Whether a completion's final answer is right: the one check behind reward, predictors and benchmark."""

from rlready.components.core.verifier.audit import count_checks, measure_disagreement, measure_trouble
from rlready.components.core.verifier.extract import clean_gold, extract_boxed
from rlready.components.core.verifier.format import Judgement
from rlready.components.core.verifier.registry import find_format, find_origin
from rlready.components.core.verifier.verdict import describe_gold, is_readable, judge, judge_all, verify

__all__ = [
    "Judgement",
    "clean_gold",
    "count_checks",
    "describe_gold",
    "extract_boxed",
    "find_format",
    "find_origin",
    "is_readable",
    "judge",
    "judge_all",
    "measure_disagreement",
    "measure_trouble",
    "verify",
]
