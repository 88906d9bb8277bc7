"""Whether a completion's final answer is right: the one check behind reward, predictors and benchmark."""

from rlready.components.core.verifier.extract import extract_boxed
from rlready.components.core.verifier.judge import Judgement, is_readable, judge, verify

__all__ = ["Judgement", "extract_boxed", "is_readable", "judge", "verify"]
