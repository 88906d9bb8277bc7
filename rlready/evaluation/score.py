"""Sampling problems and judging the completions; counts and statistics of samples in parts, without their texts in memory."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from rlready.evaluation.samples import RIGHT, read_rows, read_seconds
from rlready.records.outcome import FalsePositives, SampleStatistics
from rlready.sampling.engine import Completion, Draw, Engine, OnSampled, ignore_progress
from rlready.stats.intervals import estimate_interval
from rlready.verifier import Judgement, count_checks, is_other, judge_all, measure_disagreement, measure_trouble

CONTROL_SAMPLES = 16  # samples per problem that are also compared with another problem's answer
COLUMNS = ("answer", "verdict", "trouble", "compared", "checks", "tokens", "finished", "logprob")


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


def score_problems(engine: Engine, problems: Sequence[dict], draw: Draw, progress: OnSampled = ignore_progress) -> Scored:
    """Samples problems and judges the completions. A problem's samples depend on its `key`, or else on its id."""
    prompts = [engine.encode(row) for row in problems]
    sampled = engine.sample(prompts, [row.get("key") or row["problem_id"] for row in problems], draw, progress)
    begun = time.perf_counter()
    judgements = [
        judge_all((completion.text, row["answer"], row["format"]) for completion in completions)
        for row, completions in zip(problems, sampled, strict=True)
    ]
    return Scored(sampled, judgements, time.perf_counter() - begun)


def count_false_positives(texts: Iterable[Sequence[str]], problems: Sequence[dict]) -> dict[int, tuple[int, int]]:
    """Compares samples with the answer of another problem, a negative control: what is judged right is a false positive.

    This catches both a lenient verifier and answers that can be guessed. Of each problem's texts the first CONTROL_SAMPLES are
    used. Returns (judged right, judged) by the number of each problem that has a control.
    """
    counts = {}
    for number, sampled in enumerate(texts):
        if control := find_control(problems, number):
            judged = judge_all((text, control["answer"], control["format"]) for text in sampled[:CONTROL_SAMPLES])
            verdicts = [judgement.right for judgement in judged]
            counts[number] = verdicts.count(True), verdicts.count(True) + verdicts.count(False)
    return {number: both for number, both in counts.items() if both[1]}


def estimate_false_positives(counts: dict[int, tuple[int, int]], groups: Sequence[int] | None = None) -> FalsePositives:
    """Returns the verifier's false-positive rate from what `count_false_positives` returns; unknown without any.

    Samples of one problem are correlated, so the rate is a mean over problems, and the interval over them or their `groups`.
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


@dataclass
class SampleTally:
    """Counts and statistics of the samples of some problems."""

    judgements: list[list[Judgement]] = field(default_factory=list)  # of each problem's samples
    tokens: int = 0
    cut: int = 0  # truncated completions
    logprob: float = 0.0  # sum over the completions
    verifier_seconds: float = 0.0  # that judging took

    @property
    def flat(self) -> list[Judgement]:
        """The judgements of all problems."""
        return [judgement for judged in self.judgements for judgement in judged]

    @property
    def correct(self) -> list[int]:
        """Right completions of each problem; see `count_right`."""
        return count_right(self.judgements)

    @property
    def truncated(self) -> float:
        """Share of completions that the length limit ended."""
        return self.cut / len(self.flat)

    @property
    def unreadable(self) -> float:
        """Share of completions without a final answer; most truncated ones have none."""
        return sum(judgement.answer is None for judgement in self.flat) / len(self.flat)

    def summarize(self) -> SampleStatistics:
        """Returns what the samples show besides Pass@k."""
        judged, problems = self.flat, len(self.judgements)
        answers = [{j.answer for j in judgements if j.answer is not None} for judgements in self.judgements]
        return SampleStatistics(
            entropy=-self.logprob / self.tokens if self.tokens else None,
            diversity=sum(len(a) / len(j) for a, j in zip(answers, self.judgements, strict=True)) / problems,
            mean_tokens=self.tokens / len(judged),
            truncated=self.truncated,
            unreadable=self.unreadable,
            verifier_checks=count_checks(judged),
            verifier_disagreement=measure_disagreement(judged),
            verdicts_per_second=len(judged) / max(self.verifier_seconds, 1e-9),
            **measure_trouble(judged),
        )


def count_samples(parts: Sequence[Path], samples: int) -> SampleTally:
    """Returns the tally of the samples in some parts, this many per problem."""
    tally, rows = SampleTally(verifier_seconds=read_seconds(parts)[1]), read_rows(parts, COLUMNS)
    known: dict[str | None, str | None] = {}
    while some := list(islice(rows, samples)):
        judged = []
        for row in some:
            # Samples of a problem repeat the same answers: each is in memory once.
            answer, reference = (known.setdefault(text, text) for text in (row["answer"], row["compared"]))
            judged.append(Judgement(RIGHT[row["verdict"]], answer, row["trouble"], reference, row["checks"]))
            tally.tokens += row["tokens"]
            tally.cut += not row["finished"]
            tally.logprob += row["logprob"]
        tally.judgements.append(judged)
    return tally


def read_texts(parts: Sequence[Path], samples: int, most: int) -> Iterator[list[str]]:
    """Yields the first `most` texts of each problem; see `count_samples`."""
    rows = read_rows(parts, ["completion"])
    while texts := [row["completion"] for row in islice(rows, samples)]:
        yield texts[:most]


def share_unknown(*tallies: SampleTally) -> list[float]:
    """Returns the share of each problem's completions that could not be judged, in the tally in which it is largest.

    Over greedy and sampled completions together, the few greedy ones would count too little.
    """
    shares = [[sum(j.right is None for j in judged) / len(judged) for judged in tally.judgements] for tally in tallies]
    return [max(some) for some in zip(*shares, strict=True)]
