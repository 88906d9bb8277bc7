"""Sampling answers to problems and judging them."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rlready.records.outcome import FalsePositives
from rlready.sampling.engine import Completion, Draw
from rlready.stats.intervals import estimate_interval
from rlready.verifier import Judgement, find_format, judge_all, verify

STRANGER_SAMPLES = 16  # samples a problem that are also held against another problem's answer


@dataclass(frozen=True)
class Scored:
    """Sampled answers and what the verifier said of them.

    Attributes:
        completions: The samples of each problem.
        judgements: What the verifier said of each.
        verifier_seconds: How long it took for all of them.
    """

    completions: list[list[Completion]]
    judgements: list[list[Judgement]]
    verifier_seconds: float

    @property
    def correct(self) -> list[int]:
        """Right completions of each problem; see `count_right`."""
        return count_right(self.judgements)


def count_right(judgements: Sequence[Sequence[Judgement]]) -> list[int]:
    """Returns the right ones among each problem's judgements; an unknown one counts as not right, and as a sample.

    To leave it out would give problems different numbers of samples, and what takes too long to judge is more often wrong
    than others, so the rest would flatter. Counted so, Pass@1 is too low by the share of the unknown at most;
    `SampleTally.summarize` gives that share, and above a limit of it the gate decides nothing.
    """
    return [sum(judgement.right is True for judgement in judged) for judged in judgements]


def score_problems(
    engine,
    problems: Sequence[dict],
    draw: Draw,
    progress: Callable[[int, int], None] = lambda done, tokens: None,
    keys: Sequence[str] | None = None,
) -> Scored:
    """Samples answers and verifies them.

    Args:
        engine: From `sampling.open_engine`.
        problems: Rows with problem_id, question, answer and format.
        draw: How to sample.
        progress: Called with completions and tokens so far.
        keys: What the samples of each problem are seeded by; its id unless given.

    Returns:
        Completions and judgements, in the order of the problems.
    """
    prompts = [engine.encode(row) for row in problems]
    sampled = engine.sample(prompts, keys or [row["problem_id"] for row in problems], draw, progress)
    begun = time.perf_counter()
    judgements = [
        judge_all((completion.text, row["answer"], row["format"]) for completion in completions)
        for row, completions in zip(problems, sampled, strict=True)
    ]
    return Scored(sampled, judgements, time.perf_counter() - begun)


def count_false_positives(texts: Iterable[Sequence[str]], problems: Sequence[dict]) -> list[tuple[int, int]]:
    """Holds samples against the answer of another problem: whatever is then called right, is right by accident.

    That catches both a verifier that is too lenient and answers that can be guessed. The other problem is the next one whose
    answer is another by the verifier's own judgement: `0.5` is no false positive where a half is asked for.

    Args:
        texts: Samples of each problem, of which the first STRANGER_SAMPLES are looked at.
        problems: Their rows.

    Returns:
        (called right, checked) of each problem that has another to be held against. What the verifier could not tell was not
        checked.
    """
    counts = []
    for number, sampled in enumerate(texts):
        stranger = find_stranger(problems, number)
        if stranger is None:
            continue
        verdicts = [verify(text, stranger["answer"], stranger["format"]) for text in sampled[:STRANGER_SAMPLES]]
        counts.append((verdicts.count(True), verdicts.count(True) + verdicts.count(False)))
    return [(accepted, checked) for accepted, checked in counts if checked]


def estimate_false_positives(counts: Sequence[tuple[int, int]]) -> FalsePositives:
    """Returns how often the verifier takes a wrong sample for right; unknown where nothing was checked.

    Samples of one problem resemble each other, so the rate is a mean over problems and its interval is over them.

    Args:
        counts: From `count_false_positives`.
    """
    if not counts:
        return FalsePositives(0, 0, None, None, None)
    rates = [accepted / checked for accepted, checked in counts]
    accepted, checked = map(sum, zip(*counts, strict=True))
    return FalsePositives(accepted, checked, sum(rates) / len(rates), *estimate_interval(rates))


def find_stranger(problems: Sequence[dict], number: int) -> dict | None:
    """Returns the first problem after this one, going round, whose answer is certainly another; None if there is none."""
    own = problems[number]
    for step in range(1, len(problems)):
        other = problems[(number + step) % len(problems)]
        if other["format"] != own["format"] or other["answer"] == own["answer"]:
            continue
        if find_format(own["format"]).is_other(own["answer"], other["answer"]):
            return other
    return None
