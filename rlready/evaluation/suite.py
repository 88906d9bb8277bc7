"""A model's scores on benchmarks: Pass@1, Pass@k, by subject, and the mean over benchmarks."""

import dataclasses
import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rlready.records.outcome import BenchmarkRecord, PredictorsRecord
from rlready.stats.intervals import estimate_interval, join_groups, number_clusters
from rlready.stats.pass_at_k import estimate_curve, summarize_curve


@dataclass(frozen=True)
class BenchmarkScore:
    """A model's score on one benchmark."""

    benchmark: str
    problems: int
    samples: int  # per problem at temperature 1; 0: greedy only
    pass_at_1: float  # share of right samples, mean over problems; of the greedy answers if there are no samples
    standard_error: float | None  # of Pass@1, clustered by group of problems; None for one group
    interval: list[float]  # 95% interval of Pass@1
    greedy: float  # share of problems solved greedily
    chance: float  # Pass@1 of guessing; above 0 for multiple choice only
    curve: list[list[float]]  # [k, Pass@k, low, high] for powers of two; empty for multiple choice, where guessing suffices
    subjects: list[list]  # [subject, problems, Pass@1, standard error], if the data has several subjects
    shares: list[tuple[str | None, float]] = field(repr=False)  # (problem id or None, share of right samples)
    unknown: float = 0.0  # share not judged (`share_unknown`); Pass@1 and greedy are too low by that at most


@dataclass(frozen=True)
class SuiteScore:
    """The unweighted mean of Pass@1 over benchmarks, with its standard error and 95% interval."""

    pass_at_1: float
    standard_error: float | None
    interval: list[float]


def score_benchmark(
    benchmark: str, problems: Sequence[dict], samples: int, correct: Sequence[int], greedy: Sequence[int], unknown: float = 0.0
) -> BenchmarkScore:
    """Returns a model's score on a benchmark from the right samples of each problem, and 1 or 0 for its greedy answer.

    `samples` of 0 is greedy only. Of the rows `problem_id`, `group`, `options` and `subject` are used.
    """
    shares = np.array(correct if samples else greedy, float) / max(samples, 1)
    chance = sum(1 / row["options"] for row in problems if row.get("options")) / len(problems)
    curve, groups = [], list_groups(problems)
    if samples and not chance:
        whole = estimate_curve(correct, samples)
        for k in (2**power for power in range(samples.bit_length())):
            curve.append([k, float(whole[:, k - 1].mean()), *estimate_interval(whole[:, k - 1], groups=groups)])
    subjects = []
    for name, some in sorted(_group_by(problems, "subject").items()):
        error = estimate_standard_error(shares[some], groups and [groups[n] for n in some])
        subjects += [[name, len(some), float(shares[some].mean()), error]] if name else []
    return BenchmarkScore(
        benchmark=benchmark,
        problems=len(problems),
        samples=samples,
        pass_at_1=float(shares.mean()),
        standard_error=estimate_standard_error(shares, groups),
        interval=list(estimate_interval(shares, groups=groups)),
        greedy=sum(greedy) / len(problems),
        chance=chance,
        curve=curve,
        subjects=subjects if len(subjects) > 1 else [],
        shares=[(row.get("problem_id"), share) for row, share in zip(problems, shares.tolist(), strict=True)],
        unknown=unknown,
    )


def score_suite(
    problems: Sequence[dict], samples: int, correct: Sequence[int], greedy: Sequence[int], unknown: Sequence[float]
) -> list[BenchmarkScore]:
    """Returns the score of each benchmark, in the order of the problems; a single one has no name.

    The arguments are those of `score_benchmark`, with `benchmark` in the rows and `unknown` for each problem.
    """
    scores = []
    for name, numbers in _group_by(problems, "benchmark").items():
        rows, share = [problems[n] for n in numbers], sum(unknown[n] for n in numbers) / len(numbers)
        right, greedily = ([counts[n] for n in numbers] for counts in (correct, greedy))
        scores.append(score_benchmark(name, rows, samples, right, greedily, share))
    return scores


def _group_by(problems: Sequence[dict], key: str) -> dict[str, list[int]]:
    """Returns the places of the problems with each value of a column, in their order; empty if it has none."""
    places: dict[str, list[int]] = {}
    for place, problem in enumerate(problems):
        places.setdefault(problem.get(key) or "", []).append(place)
    return places


def record_scores(
    problems: Sequence[dict], samples: int, correct: list[int], greedy: list[int] | None, unknown: Sequence[float], **more: Any
) -> BenchmarkRecord:
    """Returns the record of a model's scores, with further fields; `greedy` is None if it did not decode greedily."""
    scores = score_suite(problems, samples, correct, greedy or [0] * len(problems), unknown)
    named = [(s.benchmark, s.problems, s.pass_at_1, s.standard_error, s.greedy if greedy else None) for s in scores]
    return BenchmarkRecord(
        **dataclasses.asdict(average(scores)),
        greedy_pass_at_1=sum(s.greedy for s in scores) / len(scores) if greedy else None,
        chance=sum(s.chance for s in scores) / len(scores),
        benchmarks=[entry for entry in named if entry[0]],
        problems=len(problems),
        samples=samples,
        unknown=sum(s.unknown for s in scores) / len(scores),
        problem_ids=[row["problem_id"] for row in problems],
        correct=correct,
        greedy_correct=greedy,
        groups=list_groups(problems),
        **more,
    )


def record_pass_at_k(problems: Sequence[dict], samples: int, correct: list[int], **more: Any) -> PredictorsRecord:
    """Returns the record of Pass@k from the right samples of each problem, with further fields."""
    groups = list_groups(problems)
    curve, intervals = summarize_curve(correct, samples, groups)
    return PredictorsRecord(
        problems=len(problems),
        problem_ids=[row["problem_id"] for row in problems],
        groups=groups,
        samples=samples,
        correct=correct,
        curve=curve,
        intervals=intervals,
        **more,
    )


def average(scores: Sequence[BenchmarkScore]) -> SuiteScore:
    """Returns the mean over benchmarks, with equal weights.

    Problems are drawn independently, except that one in several benchmarks, by its id, is drawn once and adds to the covariance
    of their means. The interval combines the benchmarks' own (method of variance estimates recovery, Zou and Donner 2008; for
    correlated estimates Zou 2007), which also hold if a model solves nothing or everything.
    """
    count = len(scores)
    mean = sum(score.pass_at_1 for score in scores) / count
    errors = [score.standard_error for score in scores]
    correlations = np.array([[_correlate(one, other) for other in scores] for one in scores])  # (benchmarks, benchmarks)

    def join(spreads: np.ndarray) -> float:
        return math.sqrt(max(0.0, spreads @ correlations @ spreads)) / count

    below = join(np.array([score.pass_at_1 - score.interval[0] for score in scores]))
    above = join(np.array([score.interval[1] - score.pass_at_1 for score in scores]))
    return SuiteScore(mean, None if None in errors else join(np.array(errors, float)), [mean - below, mean + above])


def _correlate(one: BenchmarkScore, other: BenchmarkScore) -> float:
    """Returns the correlation of two benchmarks' means, due to the problems that they share."""
    if one is other:
        return 1.0
    apart, others = ([(name, share - score.pass_at_1) for name, share in score.shares] for score in (one, other))
    spread = math.prod(math.hypot(*(distance for _, distance in side)) for side in (apart, others))
    known = dict(others)
    products = [distance * known[name] for name, distance in apart if name is not None and name in known]
    if spread < 1e-12:  # all shares are equal: only the number of shared problems counts
        return len(products) / math.sqrt(len(apart) * len(others))
    return sum(products) / spread


def estimate_standard_error(shares: np.ndarray, groups: Sequence[Hashable] | None = None) -> float | None:
    """Returns the standard error of the mean over problems, each group of them a cluster, or None for one cluster."""
    means, sizes = join_groups(shares[:, None], None, groups)
    if len(sizes) < 2:
        return None
    squares = ((sizes * (means[:, 0] - shares.mean())) ** 2).sum()
    return float(np.sqrt(squares * len(sizes) / (len(sizes) - 1)) / len(shares))


def list_groups(problems: Sequence[dict]) -> list[int] | None:
    """Returns the number of each problem's group, for estimates; None if each problem is its own group, or all are one.

    One template alone says nothing about others: they count as independent. One problem in two benchmarks is a group.
    """
    names = [row.get("group") or row.get("problem_id") or place for place, row in enumerate(problems)]
    groups = number_clusters(names).tolist()
    return groups if 1 < len(set(groups)) < len(groups) else None
