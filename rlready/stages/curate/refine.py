"""From raw rows to a pool of training rows: everything that a row decides by itself, in one process per core."""

import itertools
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from rlready.config import Curate
from rlready.data.problems import read_problem
from rlready.data.references import ADDED
from rlready.data.registry import BUILTIN, Source
from rlready.data.sources import Chunk
from rlready.errors import InputError
from rlready.stages.curate.duplicates.contamination import Contamination, Match, Text, list_words
from rlready.stages.curate.duplicates.near_duplicates import sign
from rlready.stages.curate.evaluation import EvaluationSets, SourceReader
from rlready.stages.curate.pool import NAMES, RowPool, measure
from rlready.verifier import verify

# Fewer chunks are done sooner here than by other processes.
CHUNKS_HERE = 8
CHUNKS_WAITING = 3  # per process
# Rows of an endless source generated per row wanted, if limits leave most of them out.
MOST_TRIES = 20
# Problems of an endless source generated per RL prompt wanted, if the pass rate is limited.
PROBLEMS_A_PROMPT = 16
UNVERIFIED = "the verifier cannot tell whether the trace ends in the answer"
Tokenizer = Callable[[list[str]], list[int]]  # counts tokens of texts


@dataclass
class Refined:
    """What became of a chunk."""

    rows: tuple[pa.RecordBatch, np.ndarray] | None = None  # texts, columns NAMES, and numbers, rows NUMBERS, of kept rows
    questions: tuple[bytes, bytes, bytes] | None = None  # what `sign` returned, if near-duplicates are left out
    examples: tuple[bytes, bytes, bytes] | None = None  # the same of questions with their solutions
    parts: list[tuple[str, str]] = field(default_factory=list)  # (change to a row that is kept, place)
    dropped: list[tuple[str, str]] = field(default_factory=list)  # (reason, place)
    matches: list[tuple[str, str, Match, bool]] = field(default_factory=list)  # (place, question, match, whether it is exact)


@dataclass(frozen=True)
class Refiner:
    """Decides what becomes of the rows of a training source."""

    use: str  # sft or rl
    source: Source
    settings: Curate
    evaluated: Contamination
    count_tokens: Tokenizer | None

    def refine(self, chunk: Chunk) -> Refined:
        """Returns what becomes of the rows of a chunk."""
        refined = Refined()
        some: list[tuple[str, dict, Text]] = []
        for place, raw in chunk.read():
            noted: list[str] = []
            try:
                # `draw_judged` checks the answers of the rows that RL uses.
                row = read_problem(raw, self.use == "sft", self.source, noted.append, judged=False)
                words = Text(row["question"])
                if match := self.evaluated.find(row["problem_id"], words):
                    exact = row["problem_id"] in self.evaluated.same
                    refined.matches.append((place, row["question"], match, exact))
                else:
                    if self.use == "sft" and self.settings.traces == "verified":
                        right = ADDED not in noted and verify(row["solution"], row["answer"], row["format"])
                        if not right:  # None is left out too, since it was not verified; but it may be right
                            raise InputError(UNVERIFIED if right is None else "the trace does not end in the answer")
                    some.append((place, row, words))
                    refined.parts += [(what, place) for what in noted]
            except InputError as error:
                refined.dropped.append((str(error), place))
        self._measure(some, refined)
        return refined

    def _measure(self, some: list[tuple[str, dict, Text]], refined: Refined) -> None:
        settings, sft = self.settings, self.use == "sft"
        drawing, writing = ("sft", "subset") if sft else ("rl", "rl")
        counts = self.count_tokens([row["solution"] for _, row, _ in some]) if sft and self.count_tokens else [0] * len(some)
        kept, numbers = [], []
        for (place, row, words), tokens in zip(some, counts, strict=True):
            if sft and tokens < settings.min_tokens:
                refined.dropped.append(("shorter than curate_min_tokens", place))
            elif sft and settings.max_tokens and tokens > settings.max_tokens:
                refined.dropped.append(("longer than curate_max_tokens", place))
            else:
                numbers.append(measure(settings.seed, drawing, writing, row, tokens))
                kept.append((place, row, words))
        if not kept:
            return
        columns = [[place for place, _, _ in kept], *([row.get(name, "") for _, row, _ in kept] for name in NAMES[1:])]
        texts = pa.RecordBatch.from_arrays([pa.array(column, pa.string()) for column in columns], NAMES)
        refined.rows = texts, np.array(numbers, np.uint64).T
        if settings.near_duplicates:
            questions, answers = columns[NAMES.index("question")], columns[NAMES.index("answer")]
            asked = [text.words for *_, text in kept]
            refined.questions = sign(questions, asked, answers)
            if sft:
                solutions = columns[NAMES.index("solution")]
                said = [words + list_words(solution) for words, solution in zip(asked, solutions, strict=True)]
                refined.examples = sign(list(map("\n".join, zip(questions, solutions, strict=True))), said, answers)


_refiner: Refiner  # of a process of its own


def _set_refiner(refiner: Refiner) -> None:
    global _refiner
    _refiner = refiner


def _refine(chunk: Chunk) -> Refined:
    return _refiner.refine(chunk)


def refine_all(refiner: Refiner, chunks: Iterable[Chunk]) -> Iterator[Refined]:
    """Yields what becomes of each chunk, in order; after the first few, from forks, which share the evaluation problems."""
    chunks, processes = iter(chunks), len(os.sched_getaffinity(0))
    if refiner.source.name in BUILTIN:
        # Generated until there are enough, which only this process knows.
        yield from map(refiner.refine, chunks)
    here = CHUNKS_HERE if processes > 1 else None
    yield from map(refiner.refine, itertools.islice(chunks, here))
    first = next(chunks, None)
    if first is None:
        return
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(processes, context, initializer=_set_refiner, initargs=(refiner,)) as pool:
        waiting: deque[Future[Refined]] = deque()
        for chunk in itertools.chain([first], chunks):
            waiting.append(pool.submit(_refine, chunk))
            if len(waiting) > CHUNKS_WAITING * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def fill_pool(
    reader: SourceReader, use: str, evaluation: EvaluationSets, folder: Path, count_tokens: Tokenizer | None
) -> RowPool:
    """Reads a training source, `sft` or `rl`, and returns the rows that are kept, with their texts in the folder.

    Raises InputError if the source cannot be read, or no row is kept.
    """
    settings, pool = reader.settings, RowPool(folder / use, use, reader.dropped, evaluation.questions)
    name, registry = reader.uses[use]
    source, chunks = reader.open(use, name, registry)
    if name in BUILTIN:
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
    """Yields rows of an endless source until the pool has as many as wanted, or most of them are left out."""
    asked = 0
    while (missing := wanted - len(np.unique(pool.get("places")))) > 0 and asked < MOST_TRIES * wanted:
        for chunk in itertools.islice(chunks, missing):
            asked += 1
            yield chunk
