"""Whether a completion's final answer is right: the one check behind reward, predictors and benchmark."""

from rlready.verifier.formats.extract import clean_reference as clean_reference
from rlready.verifier.formats.extract import extract_boxed as extract_boxed
from rlready.verifier.formats.format import Judgement as Judgement
from rlready.verifier.judgement import count_checks as count_checks
from rlready.verifier.judgement import describe_reference as describe_reference
from rlready.verifier.judgement import is_other as is_other
from rlready.verifier.judgement import is_readable as is_readable
from rlready.verifier.judgement import judge as judge
from rlready.verifier.judgement import judge_all as judge_all
from rlready.verifier.judgement import measure_disagreement as measure_disagreement
from rlready.verifier.judgement import measure_trouble as measure_trouble
from rlready.verifier.judgement import verify as verify
from rlready.verifier.registry import find_format as find_format
from rlready.verifier.registry import find_origin as find_origin
