"""Counts and statistics of samples in parts, without their texts in memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from rlready.evaluation.samples import RIGHT, read_rows, read_seconds
from rlready.evaluation.score import count_right
from rlready.records.outcome import SampleStatistics
from rlready.verifier import Judgement, count_checks, measure_disagreement, measure_trouble

COLUMNS = ("answer", "verdict", "trouble", "compared", "checks", "tokens", "finished", "logprob")


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
