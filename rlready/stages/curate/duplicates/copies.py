"""The one test of whether problems are copies of others: between evaluation and training, and between the sides of a split."""

from collections.abc import Iterable

import numpy as np

from rlready.config import Curate
from rlready.stages.curate.duplicates.contamination import Contamination, Text
from rlready.stages.curate.duplicates.near_duplicates import Signatures


def find_copies(
    settings: Curate,
    questions: Signatures,
    problems: tuple[np.ndarray, list[dict]],
    others: tuple[np.ndarray, Iterable[tuple[int, str, str]]],
) -> tuple[np.ndarray, set[str]]:
    """Finds which of some rows hold one of some problems: near-duplicates, and those with most of its n-grams and its numbers.

    Args:
        settings: Thresholds of both.
        questions: Signatures of all questions.
        problems: Numbers of the problems' signatures, and the problems.
        others: Numbers of the other rows' signatures, and (place among them, problem_id, question) of each.

    Returns:
        Whether each of the other rows is a copy, and the ids of the problems of which a row has the n-grams.
    """
    (ones, asked), (rows, texts) = problems, others
    copies = questions.find_copies(ones, rows, settings.near_duplicates) >= 0
    found: set[str] = set()
    if settings.contamination_ngram and asked:
        kept = Contamination(settings.contamination_ngram, settings.contamination_overlap)
        kept.add("", asked)
        for place, problem_id, question in texts:
            matches = kept.find_all(problem_id, Text(question))
            copies[place] |= bool(matches)
            found.update(match.problem_id for match in matches)
    return copies, found
