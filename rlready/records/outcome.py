"""The typed JSON contracts between stages, which never import each other. Unknown is None; shares lie between 0 and 1."""

from dataclasses import dataclass, field
from typing import Annotated

from rlready.records import values
from rlready.records.candidate import BaseModel as BaseModel
from rlready.records.candidate import Candidate as Candidate
from rlready.records.serialization import SCHEMA, Record
from rlready.records.values import Amount, Count, CurvePoint, Interval, Links, Pair, Share, ShareInterval, Solved
from rlready.records.verdicts import RaceVerdict, Verdict

STAGES = ("plan", "curate", "sft", "predictors", "gate", "race", "rl", "benchmark", "report")
BEFORE_RL, AFTER_RL = ("sft", "predictors"), ("rl", "benchmark")
CANDIDATE_STAGES = BEFORE_RL + AFTER_RL  # what one candidate goes through, in this order
STAGE_NAMES = {"sft": "SFT", "predictors": "Predictors", "rl": "RL", "benchmark": "Benchmark"}  # for people


@dataclass(frozen=True, kw_only=True)
class TimedRecord(Record):
    """What a stage cost."""

    seconds: Amount | None = None  # wall time
    device: str = ""  # kind of device
    devices: Count | None = None  # how many


@dataclass(frozen=True)
class SftRecord(TimedRecord):
    """What SFT did. Losses are in nats per completion token on the held-out examples."""

    trajectory: list[Pair]  # pairs [epoch, held-out loss]; epoch 0 is before training
    steps: Count | None = None  # of the optimizer
    train_tokens: Count | None = None  # completion tokens trained on, over all epochs
    model_digest: str = ""  # of the weights: RL checks that it gets the model that was measured


@dataclass(frozen=True)
class LengthQuarter(Record):
    """The generalization loss, with its interval, on a quarter of the held-out examples by completion length in tokens."""

    loss: Amount | None
    shortest: Count | None = None
    longest: Count | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class FalsePositives(Record):
    """Samples compared with the answer of another problem: how many were judged right, and the rate with its interval."""

    accepted: Count
    checked: Count
    rate: Share | None
    low: float | None
    high: float | None

    def find_fault(self) -> str:
        """Returns how its values contradict each other."""
        return super().find_fault() or ("more were accepted than checked" if self.accepted > self.checked else "")


@dataclass(frozen=True, kw_only=True)
class SampleStatistics(Record):
    """What the samples show besides Pass@k; all but `verifier_checks` and units in comments are shares."""

    entropy: Amount | None = None  # nats per token
    zero_variance: Share | None = None  # problems whose samples all have one reward; in records of older versions
    diversity: Share | None = None  # distinct answers over samples, mean over problems
    mean_tokens: Amount | None = None  # tokens per sample
    truncated: Share | None = None  # samples that the length limit ended
    unreadable: Share | None = None  # samples without a final answer
    verifier_disagreement: Share | None = None  # of the answers that one check accepts, those that the other refuses
    verifier_timeouts: Share | None = None  # samples whose check took too long
    verifier_unreadable: Share | None = None  # samples whose answer, or reference, the verifier cannot read
    verifier_unknown: Share | None = None  # samples that could not be judged
    verifier_faulty: Share | None = None  # samples on which a plug-in raised, or returned an invalid value
    verifier_checks: Count = 2  # number of checks; with one (words, letters, plug-ins) nothing can disagree
    verdicts_per_second: Amount | None = None


@dataclass(frozen=True)
class SequenceRecord(Record):
    """What the sequential test found: the fields of `SequentialResult`, its interval, its k and its threshold."""

    k: Count | None
    low: float | None
    high: float | None
    threshold: Share | None = None
    decision: str | None = None
    trials: Count | None = None
    successes: Count | None = None
    samples: Count | None = None
    outcomes: list[list[Count]] = field(default_factory=list)


@dataclass(frozen=True)
class Excerpt(Record):
    """One completion of a kind, with shortened texts. A model wrote them: they may be hostile."""

    kind: str  # right, wrong, truncated, unreadable (no answer) or unknown
    problem_id: str
    sample: Count | None  # its number
    prompt: str
    completion: str
    answer: str | None  # final answer, if one is found
    gold: str  # reference answer
    tokens: Count | None  # length of the completion


@dataclass(frozen=True)
class KeptSamples(Record):
    """Summary of the samples in a stage's file."""

    rows: Count | None = None  # completions, greedy ones included
    without_text: Count | None = None  # of these, beyond the limit `samples_text_mb`, so without text
    counts: dict[str, Count] = field(default_factory=dict)  # samples at temperature 1 by kind, see `classify`
    excerpts: list[Excerpt] = field(default_factory=list)  # the first of each kind


@dataclass(frozen=True, kw_only=True)
class PredictorsRecord(TimedRecord):
    """What was measured before RL. Sequential sampling gives no counts and no curve, but a sequence.

    Lists of one entry per problem share their order. Intervals are 95% intervals [low, high] over examples or problems.
    """

    generalization_loss: Amount | None = None  # nats per completion token on the held-out examples
    loss_interval: Interval | None = None
    loss_by_length: list[LengthQuarter] = field(default_factory=list)  # the shortest first
    # [summed nats, completion tokens] of each held-out example, by which two losses are paired; None in older records.
    losses: list[tuple[Amount, Count]] | None = None
    # Digest of the held-out examples in this model's tokens: losses compare only if it is equal. Empty in older records.
    heldout_digest: str = ""
    heldout_tokens: Count | None = None  # completion tokens that the loss is a mean over; 0 if nothing is held out
    problems: Count | None = None
    samples: Count = 0  # per problem (n)
    correct: list[Count] = field(default_factory=list)  # right samples of each problem (c)
    curve: list[CurvePoint] = field(default_factory=list)  # pairs [k, Pass@k] for the powers of two and n
    intervals: dict[str, ShareInterval] = field(default_factory=dict)  # by k
    corrected: list[CurvePoint] = field(default_factory=list)  # the curve corrected for false positives
    false_positives: FalsePositives | None = None
    greedy_pass_at_1: Share | None = None  # share of problems solved by greedy decoding
    by_products: SampleStatistics = field(default_factory=SampleStatistics)
    sequence: SequenceRecord | None = None  # None if n was fixed
    tokens: Count | None = None  # completion tokens sampled
    engine: str = ""  # with its precision, e.g. `transformers float32`
    kept: KeptSamples | None = None  # None in older records
    # Number of each problem's group: problems of one template, one source document or near-duplicates. None: each is its own.
    groups: list[int] | None = None
    problem_ids: list[str] | None = None  # None in older records

    def get_pass_at(self, k: int) -> float | None:
        """Returns Pass@k if the curve has it, else None."""
        return {int(at): value for at, value in self.curve}.get(k)

    def find_fault(self) -> str:
        """Returns how its values contradict each other."""
        fault = values.find_count_fault(self.problems, self.samples, (self.correct or None, self.problem_ids, self.groups))
        return fault or values.find_mean_fault(self.get_pass_at(1), self.correct if self.problem_ids else None, self.samples)


@dataclass(frozen=True)
class ValidationPoint(Record):
    """The policy at one step of RL, on the validation problems."""

    step: Count
    correct: list[Count]  # right samples of each problem
    pass_at_1: Share | None = None  # with its 95% interval over problems
    interval: ShareInterval | None = None
    pass_at_k: Share | None = None  # of all samples of a problem: k = n
    unknown: list[Count] = field(default_factory=list)  # samples of each problem not judged, which count as not right


@dataclass(frozen=True)
class ValidationRecord(TimedRecord):
    """What was measured during RL, the same problems with the same random numbers at every step; its cost is part of RL's."""

    points: list[ValidationPoint] = field(default_factory=list)
    samples: Count | None = None  # per problem (n)
    planned: Count | None = None  # steps to validate at: differences hold together for this many comparisons
    problem_ids: list[str] = field(default_factory=list)
    tokens: Count | None = None  # completion tokens sampled

    def find_fault(self) -> str:
        """Returns how its values contradict each other."""
        problems = len(self.problem_ids) or None
        for point in self.points:
            fault = values.find_count_fault(problems, self.samples, (point.correct, point.unknown or None))
            if fault := fault or values.find_mean_fault(point.pass_at_1, point.correct, self.samples):
                return f"at step {point.step}, {fault}"
        return ""


@dataclass(frozen=True)
class RlRecord(TimedRecord):
    """What RL did."""

    rewards: list[Pair]  # pairs [last step, mean reward] of blocks of steps; None if no rollout was judged
    steps: Count | None = None  # of the optimizer
    # Why it ended early, or taught nothing because no reward told one completion from another; else None.
    stopped: str | None = field(default=None, kw_only=True)
    validation: ValidationRecord | None = field(default=None, kw_only=True)
    kept_step: Count | None = field(default=None, kw_only=True)  # of the model that was handed on; None in older records
    kept_why: str = field(default="", kw_only=True)


def name_end(stopped: str) -> str:
    """Returns what happened to RL that ended early or taught nothing, in a few words, from `RlRecord.stopped`."""
    return {"collapse": "RL collapsed", "converged": "RL converged"}.get(stopped.partition(":")[0], "RL without signal")


@dataclass(frozen=True)
class BenchmarkRecord(TimedRecord):
    """Scores on the evaluation problems.

    Lists have one entry per problem, those of one benchmark after another, in the order of `benchmarks`; None in older
    records.
    """

    pass_at_1: Share | None = None  # share of right samples at temperature 1, mean over problems, then over benchmarks
    standard_error: Share | None = None  # of pass_at_1, clustered by group of problems
    interval: ShareInterval | None = None  # 95% interval of pass_at_1; not empty even if no sample was right
    greedy_pass_at_1: Share | None = None  # share of problems solved by greedy decoding, mean over benchmarks
    chance: Share | None = None  # Pass@1 of guessing, above 0 for multiple choice
    # [name, problems, pass_at_1, standard_error, greedy_pass_at_1] of each, if there are several.
    benchmarks: list[tuple[str, Count, Share | None, Amount | None, Share | None]] = field(default_factory=list)
    problems: Count | None = None
    samples: Count | None = None  # per problem
    tokens: Count | None = None  # completion tokens sampled
    engine: str = ""  # with its precision
    truncated: Share | None = None  # share of the samples at temperature 1 that the length limit ended
    unreadable: Share | None = None  # share of them without a final answer
    # Share of completions not judged (`share_unknown`), mean over benchmarks; both Pass@1 are too low by that at most.
    unknown: Share | None = None
    kept: KeptSamples | None = None  # None in older records
    problem_ids: list[str] | None = None
    correct: list[Count] | None = None  # right samples (c of `samples`)
    greedy_correct: list[Solved] | None = None  # 1 if solved by greedy decoding, else 0
    groups: list[int] | None = None  # as in PredictorsRecord

    def weigh_problems(self) -> list[float]:
        """Returns the weight of each of `problem_ids` in pass_at_1: the same for every benchmark, 1 in all."""
        sizes = [entry[1] for entry in self.benchmarks] or [len(self.problem_ids or ())]
        return [1 / (len(sizes) * size) for size in sizes for _ in range(size)]

    def find_fault(self) -> str:
        """Returns how its values contradict each other."""
        weights = self.weigh_problems() or None
        lists = (self.correct, self.problem_ids, self.groups, self.greedy_correct, weights)
        fault = values.find_count_fault(self.problems, self.samples, lists)
        return fault or values.find_mean_fault(self.pass_at_1, self.correct, self.samples, weights)


@dataclass(frozen=True)
class EffectRecord(Record):
    """What else shows what RL changed, besides the benchmark after it; its cost is part of that benchmark's."""

    before: BenchmarkRecord | None = None  # the checkpoint that RL started from, on the benchmark's problems
    # On the off-target benchmarks; None if there are none.
    off_target_before: BenchmarkRecord | None = None
    off_target: BenchmarkRecord | None = None
    predictors: PredictorsRecord | None = None  # samples of the predictors' problems after RL; None if there are none


@dataclass(frozen=True)
class ElsewhereRecord(Record):
    """The result of RL in another system, as its owner recorded it; none of it was measured here."""

    pass_at_1: Share  # after RL, on the evaluation problems
    standard_error: Share | None = None  # of pass_at_1, over problems
    device_hours: Amount | None = None  # cost of RL
    device: str = ""  # kind of device, named as in the run's own records if it is the same; empty: unknown
    counted: BenchmarkRecord | None = None  # from a log of samples; None if only a score was recorded
    rewards: list[Pair] = field(default_factory=list)  # as in RlRecord; empty: unknown


@dataclass(frozen=True)
class Failure(Record):
    """Why a candidate has no result: the stage that failed, a one-line reason, and the time and tries that it took."""

    stage: Annotated[str, values.one_of(*STAGES)]
    reason: str
    seconds: Amount | None = None
    tries: Count = 1


@dataclass(frozen=True)
class Outcome(Record):
    """Everything about one candidate; each stage adds its part. What has not happened is None."""

    candidate: Candidate
    sft: SftRecord | None = None
    predictors: PredictorsRecord | None = None
    verdict: Verdict | None = None
    race: RaceVerdict | None = field(default=None, kw_only=True)  # None without a race, and where RL was not to run
    rl: RlRecord | None = None
    benchmark: BenchmarkRecord | None = None  # after RL; of the base model, without RL
    effect: EffectRecord | None = None  # of RL; None in older records
    failure: Failure | None = None
    # Provenance: base_model, data, sft_model, rl_model, experiment; location of predictors_samples and benchmark_samples.
    links: Links = field(default_factory=dict)
    # Digest of what the predictors were measured with, the engine that `auto` chose included; only outcomes with an equal one
    # can be compared, because engines draw other samples, in other precision.
    measurement: str = ""
    elsewhere: ElsewhereRecord | None = None  # result of external RL, unless this run has a benchmark after RL
    schema: int = SCHEMA

    def find_fault(self) -> str:
        """Returns how its values contradict each other."""
        name, judged = self.candidate.candidate_id, self.verdict.candidate_id if self.verdict else None
        return "" if judged in (None, name) else f"the verdict is of {judged}, the candidate is {name}"

    @property
    def scored(self) -> BenchmarkRecord:
        """The scores after RL, run here or else externally; empty if there are none."""
        theirs = self.elsewhere
        if self.benchmark or theirs is None:
            return self.benchmark or BenchmarkRecord()
        return theirs.counted or BenchmarkRecord(theirs.pass_at_1, theirs.standard_error)

    @property
    def rewards(self) -> list[list[float | None]]:
        """Pairs [step, mean reward] of the RL that `scored` is of; empty if they are unknown."""
        theirs = self.elsewhere.rewards if self.elsewhere and not self.benchmark else []
        return theirs or (self.rl.rewards if self.rl else [])

    @property
    def validated(self) -> list[list[float | None]]:
        """Pairs [step, Pass@1 on the validation problems] of the RL that `scored` is of; empty without validation."""
        if self.rl is None or self.rl.validation is None or (self.elsewhere and not self.benchmark):
            return []
        return [[point.step, point.pass_at_1] for point in self.rl.validation.points]

    def shares_tokens(self, other: "Outcome | None") -> bool:
        """Returns True if its loss is a mean over the same tokens as another's, as far as both are known."""
        return len({o.predictors.heldout_digest for o in (self, other) if o and o.predictors} - {""}) < 2


def is_baseline(stage: str, candidate: Candidate, before: Outcome | str | None) -> bool:
    """Returns True if the stage works on the unchanged base model, with which every candidate is compared."""
    return candidate.is_base and (stage in BEFORE_RL or (stage == "benchmark" and before is None))
