"""A training source on its way into a pool: what is malformed, evaluated or of the wrong length stays outside."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from rlready.data.registry import BUILTIN
from rlready.data.sources import Chunk
from rlready.stages.curate.evaluation import EvaluationSets
from rlready.stages.curate.pool import RowPool
from rlready.stages.curate.reader import SourceReader
from rlready.stages.curate.refine import Refiner, refine_all

# Rows of an endless source that are made for each one wanted, where limits leave most of them out.
MOST_TRIES = 20
# Problems of an endless source that are made for each RL prompt wanted, where the base model's pass rate decides.
PROBLEMS_A_PROMPT = 16


def fill_pool(
    reader: SourceReader,
    use: str,
    evaluation: EvaluationSets,
    folder: Path,
    count_tokens: Callable[[list[str]], list[int]] | None,
) -> RowPool:
    """Reads a training source and returns the rows that stay.

    Args:
        reader: Opens the source.
        use: sft or rl.
        evaluation: The evaluation problems.
        folder: For the texts.
        count_tokens: Counts tokens of texts, where the settings need that.

    Raises:
        InputError: If the source cannot be read, or no row stays.
    """
    settings, pool = reader.settings, RowPool(folder / use, use, reader.dropped, evaluation.questions)
    name, registry = reader.uses[use]
    source, chunks = reader.open(use, name, registry)
    if name == BUILTIN:
        wanted = settings.rl_problems * (PROBLEMS_A_PROMPT if settings.needs_pass_rates else 1)
        if use == "sft":
            own_rl = 0 if settings.rl_data else wanted
            wanted = settings.sft_examples + settings.heldout_problems + own_rl
        chunks = _take_until(pool, wanted, chunks)
    refiner = Refiner(use, source, settings, evaluation.contamination, count_tokens)
    for refined in refine_all(refiner, chunks):
        for reason, place in refined.dropped:
            reader.dropped.add(use, reason, place)
        for what, place in refined.parts:
            reader.dropped.parts.add(use, what, place)
        for place, question, match, exact in refined.matches:
            reader.dropped.add_match(use, place, question, match, exact)
        if refined.rows:
            pool.add(*refined.rows)
        if refined.questions:
            pool.questions.add(*refined.questions)
        if refined.examples:
            pool.examples.add(*refined.examples)
    reader.require_some(pool, use, name)
    return pool


def _take_until(pool: RowPool, wanted: int, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    """Yields rows of an endless source until the pool has as many as wanted, or most of them are of no use."""
    asked = 0
    while (missing := wanted - len(np.unique(pool.get("places")))) > 0 and asked < MOST_TRIES * wanted:
        for chunk in itertools.islice(chunks, missing):
            asked += 1
            yield chunk
