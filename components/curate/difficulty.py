"""How hard RL problems are for the base model: how many of its samples are right."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from rlready.components.config import Base, Sampling
from rlready.components.core.evaluation.score import score_problems
from rlready.components.core.models import write_pointer
from rlready.components.core.records import BaseModel
from rlready.components.core.runtime.events import Progress
from rlready.components.core.sampling.choose import open_engine
from rlready.components.core.sampling.engine import Draw


@contextmanager
def open_pass_counter(base: Base, sampling: Sampling, samples: int) -> Iterator[Callable[[list[dict]], list[int]]]:
    """Opens what samples answers from the base model and counts the right ones.

    Samples are seeded by problem, so which problems are asked together changes nothing. The model is loaded at the first
    call.

    Args:
        base: The base model, pinned by plan.
        sampling: Longest completion, engine and seed.
        samples: Of each problem, at temperature 1.

    Yields:
        A function from problems to the right samples of each.
    """
    draw = Draw.at_random(sampling, samples)
    with ExitStack() as opened:
        engine = None

        def count(problems: list[dict]) -> list[int]:
            nonlocal engine
            if engine is None:
                folder = opened.enter_context(tempfile.TemporaryDirectory())
                write_pointer(folder, BaseModel(base.model, base.revision, base.revision))
                engine = opened.enter_context(open_engine(folder, sampling))
            progress = Progress("curate", None, samples * len(problems))
            return score_problems(engine, problems, draw, progress.update).correct

        yield count
