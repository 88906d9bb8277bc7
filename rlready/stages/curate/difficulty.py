"""How hard RL problems are for the base model: how many of its samples are right; only as many are asked as are needed."""

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
# Fewest problems that the base model is asked at once.
PROBLEMS_AT_ONCE = 64


@contextmanager
def open_pass_counter(base: Base, sampling: Sampling, samples: int) -> Iterator[PassCounter]:
    """Opens what samples answers from the base model and counts the right ones.

    Samples are seeded by problem, so which problems are asked together changes nothing. The model is loaded at the first
    call.

    Args:
        base: The base model, pinned by plan.
        sampling: Longest completion, engine and seed.
        samples: Of each problem, at temperature 1.

    Yields:
        A function from problems to (right samples, samples without a verdict) of each.
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
    """How many samples of the base model were right.

    Attributes:
        passes: Right samples by the id of the problem.
    """

    def __init__(self, settings: Curate, count_passes: PassCounter | None):
        self.settings, self.count_passes = settings, count_passes
        self.passes: dict[str, int] = {}

    def choose(self, pool: RowPool, rows: np.ndarray, wanted: int) -> np.ndarray:
        """Returns the first rows whose rate lies within the limits, as many as wanted; the first ones if all may stay."""
        settings = self.settings
        if not settings.needs_pass_rates:
            return rows[:wanted]
        if self.count_passes is None:
            raise ValueError("limits of the pass rate need a function that counts right samples")
        samples = settings.pass_rate_samples
        chosen: list[int] = []
        hard: list[int] = []
        easy: list[int] = []
        open_: list[int] = []
        while len(chosen) < wanted and len(rows):
            some, rows = np.split(rows, [max(wanted - len(chosen), PROBLEMS_AT_ONCE)])
            problems = pool.fetch(some)
            for row, problem, (right, unknown) in zip(some, problems, self.count_passes(problems), strict=True):
                self.passes[problem["problem_id"]] = right
                least, most = right / samples, (right + unknown) / samples
                if most < settings.min_pass_rate:
                    hard.append(row)
                elif least > settings.max_pass_rate:
                    easy.append(row)
                elif settings.min_pass_rate <= least and most <= settings.max_pass_rate:
                    chosen.append(row)
                else:
                    open_.append(row)
        pool.leave_out(np.array(hard, np.int64), "the base model solves it too rarely", "rl")
        pool.leave_out(np.array(easy, np.int64), "the base model solves it too often", "rl")
        pool.leave_out(np.array(open_, np.int64), "the verifier cannot tell how often the base model solves it", "rl")
        return np.array(chosen[:wanted], np.int64)

    def describe_problem(self, row: dict) -> dict:
        """Returns a problem's column of right samples, where the base model was asked."""
        return {"base_passes": self.passes[row["problem_id"]]} if self.passes else {}

    def describe(self) -> dict:
        """Returns the part of the card on difficulty, where it was asked for."""
        if not self.passes:
            return {}
        samples, counts = self.settings.pass_rate_samples, Counter(self.passes.values())
        limits = [self.settings.min_pass_rate, self.settings.max_pass_rate]
        by_count = [counts[right] for right in range(samples + 1)]
        return {"pass_rates": {"samples": samples, "limits": limits, "problems_by_right_samples": by_count}}
