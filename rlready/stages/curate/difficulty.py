"""How hard RL problems are for the base model: how many of its samples are right. Only as many are sampled as needed."""

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import numpy as np

from rlready.config import Base, Curate, Sampling
from rlready.evaluation.score import score_problems
from rlready.models.load import write_pointer
from rlready.records.candidate import BaseModel
from rlready.runtime.events import Progress
from rlready.sampling.choose import open_engine
from rlready.sampling.engine import Draw
from rlready.stages.curate.pool import RowPool

PassCounter = Callable[[list[dict]], list[tuple[int, int]]]
# Minimum number of problems per call of the base model.
PROBLEMS_AT_ONCE = 64
HARD = "the base model solves it too rarely"
EASY = "the base model solves it too often"
OPEN = "the verifier cannot tell how often the base model solves it"


@contextmanager
def open_pass_counter(base: Base, sampling: Sampling, samples: int) -> Iterator[PassCounter]:
    """Yields a function from problems to (right samples, unknown samples) of each, by the base model at temperature 1.

    Samples are seeded by problem, so batches change nothing. The model is loaded at the first call.
    """
    draw = Draw(samples, sampling.max_tokens, seed=sampling.seed, stop=sampling.stop)
    with ExitStack() as opened:
        engine = None

        def count(problems: list[dict]) -> list[tuple[int, int]]:
            nonlocal engine
            if engine is None:
                folder = opened.enter_context(tempfile.TemporaryDirectory())
                write_pointer(folder, BaseModel(base.model, base.revision, base.revision))
                engine = opened.enter_context(open_engine(folder, sampling))
            progress = Progress("curate", None, samples * len(problems))
            judged = score_problems(engine, problems, draw, progress.update).judgements
            verdicts = ([judgement.right for judgement in sampled] for sampled in judged)
            return [(found.count(True), found.count(None)) for found in verdicts]

        yield count


class PassRates:
    """How many samples of the base model were right, by the id of the problem."""

    def __init__(self, settings: Curate, count_passes: PassCounter | None):
        self.settings, self.count_passes = settings, count_passes
        self.passes: dict[str, int] = {}

    def choose(self, pool: RowPool, rows: np.ndarray, wanted: int) -> np.ndarray:
        """Returns the first rows whose pass rate is within the limits, as many as wanted; without limits the first rows."""
        settings = self.settings
        if not settings.needs_pass_rates:
            return rows[:wanted]
        if self.count_passes is None:
            raise ValueError("limits of the pass rate need count_passes")
        samples = settings.pass_rate_samples
        chosen: list[int] = []
        left: dict[str, list[int]] = {HARD: [], EASY: [], OPEN: []}
        while len(chosen) < wanted and len(rows):
            some, rows = np.split(rows, [max(wanted - len(chosen), PROBLEMS_AT_ONCE)])
            problems = pool.fetch(some)
            for row, problem, (right, unknown) in zip(some, problems, self.count_passes(problems), strict=True):
                self.passes[problem["problem_id"]] = right
                least, most = right / samples, (right + unknown) / samples
                if settings.min_pass_rate <= least and most <= settings.max_pass_rate:
                    chosen.append(row)
                elif most < settings.min_pass_rate:
                    left[HARD].append(row)
                else:
                    left[EASY if least > settings.max_pass_rate else OPEN].append(row)
        for reason, numbers in left.items():
            pool.leave_out(np.array(numbers, np.int64), reason, "rl")
        return np.array(chosen[:wanted], np.int64)

    def describe_problem(self, row: dict) -> dict:
        """Returns a problem's column of right samples, if the base model was sampled."""
        return {"base_passes": self.passes[row["problem_id"]]} if self.passes else {}

    def describe(self) -> dict:
        """Returns the card's entry on difficulty, if the base model was sampled."""
        if not self.passes:
            return {}
        samples, counts = self.settings.pass_rate_samples, Counter(self.passes.values())
        limits = [self.settings.min_pass_rate, self.settings.max_pass_rate]
        by_count = [counts[right] for right in range(samples + 1)]
        return {"pass_rates": {"samples": samples, "limits": limits, "problems_by_right_samples": by_count}}
