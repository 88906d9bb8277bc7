"""What a log says about one candidate: right samples of each problem, and what it leaves open."""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from rlready.errors import InputError
from rlready.stats.pass_at_k import Estimate, estimate_pass_at_k
from rlready.verifier import judge

MOST_REPEATED = 0.5  # share of samples that repeat an earlier one of their problem; above, they are hardly drawn at random
MANY = 10  # different samples of which none would be repeated equally often by chance
SETTINGS = ("temperature", "top_p", "max_tokens")  # that must not differ; what a log does not say of them is unknown


@dataclass(frozen=True, slots=True)
class Sample:
    """One completion as a log has it."""

    problem: str  # id of the problem
    where: str  # file and row
    right: bool | None = None  # what the log's own score says; None is unknown
    scored: bool = False  # whether the log scores it at all; if not, it is judged here
    text: str | None = None  # the problem, so that ids which are only numbers can be checked
    prompt: str | None = None  # what the model was given, if the log has it; the samples of a problem must share it
    completion: str | None = None  # what the model wrote
    reference: str | None = None  # the reference answer
    finished: bool | None = None  # False if the length limit ended it; None is unknown
    tokens: int | None = None  # of the completion
    settings: tuple[tuple[str, Any], ...] = ()  # how it was sampled, as far as the log says
    counted: bool = False  # whether the log has counts instead of samples, so that the order says nothing
    row: str | None = None  # the whole row, by which copies are found if it has no completion

    def __post_init__(self) -> None:
        for name, kind in (("text", str), ("prompt", str), ("completion", str), ("reference", str), ("tokens", int)):
            if not isinstance(value := getattr(self, name), kind | None):
                raise InputError(f"{self.where}: its {name} is {value!r}, not {'a number' if kind is int else 'a text'}")


@dataclass(frozen=True)
class Reading:
    """The samples of one candidate, the tool that logged them, and in words what was chosen among what it logged."""

    tool: str
    samples: Iterable[Sample]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class MeasuredLog:
    """Counts of one candidate."""

    path: str  # the file or folder
    tool: str  # that wrote it
    problems: list[str]  # ids, in the order of the log
    correct: list[int]  # right samples of each problem
    samples: int  # samples per problem
    texts: list[str | None]  # text of each problem, None if the log has none
    unknown: float = 0.0  # share of the samples that are neither right nor wrong
    truncated: float | None = None  # share of the samples that the length limit ended; None if the log does not say
    no_answer: float | None = None  # share of the samples judged here that have no final answer; None if none was judged
    mean_tokens: float | None = None  # tokens per sample; None if the log does not say
    settings: dict[str, Any] = field(default_factory=dict)  # how the samples were drawn, as far as the log says
    disagreement: tuple[int, int] | None = None  # (differing, all) samples with both the log's score and the verifier's
    checks: int = 1  # independent checks of each judgement: 2 of mathematics judged here, else 1
    notes: list[str] = field(default_factory=list)  # what was chosen or left out while reading, in sentences

    def describe(self) -> str:
        """Returns the tool, the size and the notes in one line."""
        return "; ".join([f"{self.tool}, {len(self.problems)} problems x {self.samples} samples", *self.notes])

    def pass_at_k(self, k: int) -> Estimate:
        """Returns Pass@k with its 95% interval over problems; raises InputError for fewer than k samples per problem."""
        return estimate_pass_at_k(self.correct, self.samples, k)

    def to_pandas(self) -> Any:
        """Returns a data frame with one row per problem: problem, correct, samples."""
        import pandas as pd

        return pd.DataFrame({"problem": self.problems, "correct": self.correct, "samples": self.samples})

    @property
    def digest(self) -> str:
        """Digest of the counts by problem, so that another measurement is another candidate."""
        counts = repr(sorted(zip(self.problems, self.correct, strict=True))), self.samples
        return hashlib.sha256(repr(counts).encode()).hexdigest()[:16]


@dataclass
class _Problem:
    """What is kept of a problem while its samples come in; of a completion, its digest."""

    text: str | None
    prompt: str | None
    right: list[bool | None] = field(default_factory=list)
    seen: Counter[bytes] = field(default_factory=Counter)


def count_samples(
    path: str, reading: Reading, answer_format: str = "boxed", judged: bool = False, repeats: bool = False
) -> MeasuredLog:
    """Counts the samples of a candidate; for the options see `read.load_candidates`.

    Raises InputError if there is no sample, one has neither score nor completion and reference, a problem was given to the
    model in two ways, or the samples were drawn in two ways or without chance.
    """
    problems: dict[str, _Problem] = {}
    seen: Counter[str] = Counter()
    settings: dict[str, Any] = {}
    finished: list[bool | None] = []
    tokens: list[int | None] = []
    for sample in _judge(reading.samples, answer_format, judged, seen):
        for name, value in sample.settings:
            if settings.setdefault(name, value) != value:
                raise InputError(f"{sample.where}: {name} is {value}, earlier {settings[name]}; rank one setting or one task")
        problem = problems.setdefault(sample.problem, _Problem(sample.text, sample.prompt))
        if (problem.text, problem.prompt) != (sample.text, sample.prompt):
            raise InputError(f"{sample.where}: the text or prompt of problem {sample.problem} differs from its first sample's")
        problem.right.append(sample.right)
        finished.append(sample.finished)
        tokens.append(sample.tokens)
        seen["counted"] += sample.counted
        if (told := sample.row if sample.completion is None else sample.completion) is not None:
            digest = hashlib.blake2b(told.encode(errors="surrogatepass"), digest_size=12).digest()
            problem.seen[digest] += 1
            seen["bare"] += sample.completion is None
    if not problems:
        raise InputError(f"{path}: holds no samples")
    if not repeats:
        counts = [count for problem in problems.values() for count in problem.seen.values()]
        _check_repeats(path, counts, settings, len(problems) if seen["bare"] else 0)
    sizes = [len(problem.right) for problem in problems.values()]
    notes, samples, compared = list(reading.notes), min(sizes), seen["compared"]
    if max(sizes) > samples:
        if seen["counted"]:
            raise InputError(f"{path}: counts of {samples} to {max(sizes)} samples per problem; the number must be the same")
        notes.append(f"{samples} to {max(sizes)} samples per problem; the first {samples} of each count")
    if compared:
        notes.append(f"rlready's verifier and the log's own score differ on {seen['differing']} of {compared} samples")
    taken = [problem.right[:samples] for problem in problems.values()]
    return MeasuredLog(
        path=path,
        tool=reading.tool,
        problems=list(problems),
        correct=[right.count(True) for right in taken],
        samples=samples,
        texts=[problem.text for problem in problems.values()],
        unknown=sum(right.count(None) for right in taken) / (samples * len(taken)),
        truncated=None if None in finished else finished.count(False) / len(finished),
        no_answer=seen["no answer"] / seen["judged"] if seen["judged"] else None,
        mean_tokens=None if None in tokens else sum(filter(None, tokens)) / len(tokens),
        settings=settings,
        disagreement=(seen["differing"], compared) if compared else None,
        checks=seen["checks"] or 1,
        notes=notes,
    )


def _judge(samples: Iterable[Sample], answer_format: str, judged: bool, seen: Counter[str]) -> Iterator[Sample]:
    for sample in samples:
        if sample.scored and not judged:
            yield sample
            continue
        if sample.completion is None or sample.reference is None:
            raise InputError(f"{sample.where}: has no completion with a reference answer to judge, and no score is used")
        judgement = judge(sample.completion, sample.reference, answer_format)
        seen["judged"] += 1
        seen["no answer"] += judgement.answer is None
        seen["checks"] = max(seen["checks"], judgement.checks)
        if sample.scored and sample.right is not None and judgement.right is not None:
            seen["compared"] += 1
            seen["differing"] += sample.right != judgement.right
        yield replace(sample, right=judgement.right)


def _check_repeats(path: str, counts: list[int], settings: dict[str, Any], alike: int) -> None:
    """Raises InputError if samples repeat others: one greedy answer logged eight times is not Pass@8, nor is a joined copy.

    `counts` says how often each sample is there, `alike` how many of them all others may equal, since they have no completion.
    """
    share = 0.0 if alike or not counts else 1 - len(counts) / sum(counts)
    if share and settings.get("temperature") == 0:
        raise InputError(
            f"{path}: sampled at temperature 0, where all samples of a problem are equal; raise it, or log one sample"
        )
    fault, times = "", math.gcd(*counts)
    if "temperature" not in settings and share > MOST_REPEATED:
        fault = f"{share:.0%} of the samples repeat an earlier one of their problem, as at temperature 0"
    elif len(counts) - alike >= MANY and times > 1:
        fault = f"every sample is there {times} times, as if copies were joined; leave them out"
    if fault:
        raise InputError(f"{path}: {fault}; if they were sampled at random, add --allow-repeats")
