"""Whether a completion's final answer is right: the one check behind reward, predictors and benchmark."""

from rlready.verifier.formats.extract import clean_reference, extract_boxed
from rlready.verifier.formats.format import Judgement
from rlready.verifier.judgement import (
    count_checks,
    describe_reference,
    is_other,
    is_readable,
    judge,
    judge_all,
    measure_disagreement,
    measure_trouble,
    verify,
)
from rlready.verifier.registry import find_format, find_origin

__all__ = ["Judgement", "clean_reference", "count_checks", "describe_reference", "extract_boxed", "find_format", "find_origin"]
__all__ += ["is_other", "is_readable", "judge", "judge_all", "measure_disagreement", "measure_trouble", "verify"]
