"""Sampling problems and judging the completions."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rlready.records.outcome import FalsePositives
from rlready.sampling.engine import Completion, Draw, Engine, OnSampled, ignore_progress
from rlready.stats.intervals import estimate_interval
from rlready.verifier import Judgement, is_other, judge_all

CONTROL_SAMPLES = 16  # samples per problem that are also compared with another problem's answer


@dataclass(frozen=True)
class Scored:
    """Completions and their judgements, per problem, and how many seconds judging took."""

    completions: list[list[Completion]]
    judgements: list[list[Judgement]]
    verifier_seconds: float


def count_right(judgements: Sequence[Sequence[Judgement]]) -> list[int]:
    """Returns how many of each problem's judgements are right; an unknown one counts as not right.

    Leaving it out would give problems different numbers of samples, and a bias: what takes too long to judge is wrong more
    often. Pass@1 is thus too low by the share of unknown judgements at most; above a limit on it the gate approves none.
    """
    return [sum(judgement.right is True for judgement in judged) for judged in judgements]


def score_problems(
    engine: Engine,
    problems: Sequence[dict],
    draw: Draw,
    progress: OnSampled = ignore_progress,
    keys: Sequence[str] | None = None,
) -> Scored:
    """Samples problems and judges the completions; for the arguments see `parts.sample_part`."""
    prompts = [engine.encode(row) for row in problems]
    sampled = engine.sample(prompts, keys or [row["problem_id"] for row in problems], draw, progress)
    begun = time.perf_counter()
    judgements = [
        judge_all((completion.text, row["answer"], row["format"]) for completion in completions)
        for row, completions in zip(problems, sampled, strict=True)
    ]
    return Scored(sampled, judgements, time.perf_counter() - begun)


def count_false_positives(texts: Iterable[Sequence[str]], problems: Sequence[dict]) -> dict[int, tuple[int, int]]:
    """Compares samples with the answer of another problem, a negative control: what is judged right is a false positive.

    This catches both a lenient verifier and answers that can be guessed. Of the texts of each problem the first CONTROL_SAMPLES
    are used. Returns (judged right, judged) by the number of each problem that has a control; samples not judged are not
    counted.
    """
    counts = {}
    for number, sampled in enumerate(texts):
        if control := find_control(problems, number):
            judged = judge_all((text, control["answer"], control["format"]) for text in sampled[:CONTROL_SAMPLES])
            verdicts = [judgement.right for judgement in judged]
            counts[number] = verdicts.count(True), verdicts.count(True) + verdicts.count(False)
    return {number: both for number, both in counts.items() if both[1]}


def estimate_false_positives(counts: dict[int, tuple[int, int]], groups: Sequence[int] | None = None) -> FalsePositives:
    """Returns the verifier's false-positive rate from the counts of `count_false_positives`; unknown without any.

    Samples of one problem are correlated, so the rate is a mean over problems and its interval is over them, or over their
    `groups`, one for each problem.
    """
    if not counts:
        return FalsePositives(0, 0, None, None, None)
    rates = [accepted / checked for accepted, checked in counts.values()]
    accepted, checked = map(sum, zip(*counts.values(), strict=True))
    interval = estimate_interval(rates, groups=groups and [groups[number] for number in counts])
    return FalsePositives(accepted, checked, sum(rates) / len(rates), *interval)


def find_control(problems: Sequence[dict], number: int) -> dict | None:
    """Returns the next problem, in a circle, whose answer differs as the verifier judges (0.5 and 1/2 do not), or None."""
    form, own = problems[number]["format"], problems[number]["answer"]
    for other in (*problems[number + 1 :], *problems[:number]):
        if other["format"] == form and other["answer"] != own and is_other(own, other["answer"], form):
            return other
    return None
