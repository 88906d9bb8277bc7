"""Sampling answers to problems, counting the right ones, and what else the samples show."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from rlready.components.core.estimators.intervals import estimate_interval
from rlready.components.core.records import FalsePositives
from rlready.components.core.sampling.engine import Completion, Draw
from rlready.components.core.verifier import (
    Judgement,
    count_checks,
    find_format,
    judge_all,
    measure_disagreement,
    measure_trouble,
    verify,
)

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
        """Right completions of each problem; one whose verdict is unknown counts as not right, and as a sample.

        To leave it out would give problems different numbers of samples, and what takes too long to judge is more often
        wrong than others, so the rest would flatter. Counted so, Pass@1 is too low by the share of the unknown at most;
        `summarize` gives that share, and above a limit of it the gate decides nothing.
        """
        return [sum(judgement.right is True for judgement in judged) for judged in self.judgements]

    @property
    def tokens(self) -> int:
        """Tokens drawn."""
        return sum(len(completion.ids) for sampled in self.completions for completion in sampled)

    @property
    def truncated(self) -> float:
        """Share of completions that the length limit cut off."""
        return fmean(not completion.finished for sampled in self.completions for completion in sampled)

    @property
    def unreadable(self) -> float:
        """Share of completions without a readable final answer; many of those that were cut off have none."""
        return fmean(judgement.answer is None for judged in self.judgements for judgement in judged)

    @property
    def unknown(self) -> float:
        """Share of completions that are neither right nor wrong for the verifier."""
        return fmean(judgement.right is None for judged in self.judgements for judgement in judged)

    def summarize(self) -> dict[str, float | None]:
        """Returns what the samples show besides Pass@k.

        Returns:
            entropy (nats a token: minus the mean log-probability of the samples' own tokens), zero_variance (share of
            problems whose samples all have the same reward, which teach GRPO nothing), diversity (different answers over
            samples, mean over problems), mean_tokens, truncated, unreadable, verifier_checks,
            verifier_disagreement, verifier_timeouts, verifier_unreadable, verifier_faulty (see `verifier.audit`) and
            verdicts_per_second.
        """
        flat = [completion for sampled in self.completions for completion in sampled]
        judged = [judgement for judgements in self.judgements for judgement in judgements]
        problems = len(self.completions)
        answers = [{j.answer for j in judgements if j.answer is not None} for judgements in self.judgements]
        return {
            "entropy": -sum(completion.logprob for completion in flat) / self.tokens if self.tokens else None,
            "zero_variance": sum(len({j.right for j in judged} - {None}) < 2 for judged in self.judgements) / problems,
            "diversity": sum(len(a) / len(j) for a, j in zip(answers, self.judgements, strict=True)) / problems,
            "mean_tokens": self.tokens / len(flat),
            "truncated": self.truncated,
            "unreadable": self.unreadable,
            "verifier_checks": count_checks(judged),
            "verifier_disagreement": measure_disagreement(judged),
            **measure_trouble(judged),
            "verdicts_per_second": len(judged) / max(self.verifier_seconds, 1e-9),
        }


def score_problems(
    engine, problems: Sequence[dict], draw: Draw, progress: Callable[[int, int], None] = lambda done, tokens: None
) -> Scored:
    """Samples answers and verifies them.

    Args:
        engine: From `sampling.open_engine`.
        problems: Rows with problem_id, question, answer and format.
        draw: How to sample.
        progress: Called with completions and tokens so far.

    Returns:
        Completions and judgements, in the order of the problems.
    """
    prompts = [engine.encode(row) for row in problems]
    sampled = engine.sample(prompts, [row["problem_id"] for row in problems], draw, progress)
    begun = time.perf_counter()
    judgements = [
        judge_all((completion.text, row["answer"], row["format"]) for completion in completions)
        for row, completions in zip(problems, sampled, strict=True)
    ]
    return Scored(sampled, judgements, time.perf_counter() - begun)


def count_false_positives(scored: Scored, problems: Sequence[dict]) -> list[tuple[int, int]]:
    """Holds samples against the answer of another problem: whatever is then called right, is right by accident.

    That catches both a verifier that is too lenient and answers that can be guessed. The other problem is the next one whose
    answer is another by the verifier's own judgement: `0.5` is no false positive where a half is asked for.

    Args:
        scored: Samples of the problems.
        problems: Their rows.

    Returns:
        (called right, checked) of each problem that has another to be held against. What the verifier could not tell was not
        checked.
    """
    counts = []
    for number, sampled in enumerate(scored.completions):
        stranger = find_stranger(problems, number)
        if stranger is None:
            continue
        verdicts = [verify(c.text, stranger["answer"], stranger["format"]) for c in sampled[:STRANGER_SAMPLES]]
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
