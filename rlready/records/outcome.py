"""The typed JSON contracts between stages. Stages never import each other; they meet here."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rlready.records.candidate import BaseModel as BaseModel
from rlready.records.candidate import Candidate as Candidate  # read where records are
from rlready.records.external import ElsewhereRecord
from rlready.records.serialization import SCHEMA, Record
from rlready.records.verdicts import Verdict

STAGES = ("plan", "curate", "sft", "predictors", "gate", "rl", "benchmark", "report")
BEFORE_RL, AFTER_RL = ("sft", "predictors"), ("rl", "benchmark")
CANDIDATE_STAGES = BEFORE_RL + AFTER_RL  # what one candidate goes through, in this order
STAGE_NAMES = {"sft": "SFT", "predictors": "Predictors", "rl": "RL", "benchmark": "Benchmark"}  # for people


@dataclass(frozen=True)
class SftRecord(Record):
    """What SFT did. Losses are in nats per completion token on the held-out examples.

    Attributes:
        trajectory: Pairs [epoch, held-out loss]; epoch 0 is before training.
        steps: Optimizer steps.
        train_tokens: Completion tokens trained on, all epochs together.
        model_digest: Digest of the weights, so that RL can tell whether it got the model that was measured.
        seconds: Wall time of training, on so many `devices` of the kind `device`.
    """

    trajectory: Sequence[Sequence[float | None]]
    steps: int | None = None
    train_tokens: int | None = None
    model_digest: str = ""
    seconds: float | None = None
    device: str = ""
    devices: int | None = None


@dataclass(frozen=True)
class LengthQuarter(Record):
    """The generalization loss on a quarter of the held-out examples, by completion length in tokens."""

    loss: float | None
    shortest: int | None = None
    longest: int | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class FalsePositives(Record):
    """Samples that the answer of another problem was held against: how many were called right, with the rate's interval."""

    accepted: int
    checked: int
    rate: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class SampleStatistics(Record):
    """What the samples show besides Pass@k; see `Scored.summarize`. Shares lie between 0 and 1.

    Attributes:
        entropy: Nats a token.
        zero_variance: Share of problems whose samples all have the same reward, as older versions counted it; for groups of
            RL's size it comes from the counts (`estimate_zero_variance`).
        diversity: Different answers over samples, mean over problems.
        mean_tokens: Tokens a sample.
        truncated: Share of samples that the length limit cut off.
        unreadable: Share of samples without a readable final answer.
        verifier_disagreement: Of the answers that one check calls right, the share that the other refuses.
        verifier_checks: How many checks there are; where there is one (words, letters, plug-ins), nothing can disagree.
        verifier_timeouts: Share of samples whose check took too long.
        verifier_unreadable: Share of samples whose answer, or whose gold answer, the verifier cannot read.
        verifier_unknown: Share of samples that are neither right nor wrong for the verifier.
        verifier_faulty: Share of samples on which a plug-in raised, or returned something else than it may.
        verdicts_per_second: Speed of the verifier.
    """

    entropy: float | None = None
    zero_variance: float | None = None
    diversity: float | None = None
    mean_tokens: float | None = None
    truncated: float | None = None
    unreadable: float | None = None
    verifier_disagreement: float | None = None
    verifier_timeouts: float | None = None
    verifier_unreadable: float | None = None
    verifier_unknown: float | None = None
    verifier_faulty: float | None = None
    verifier_checks: int = 2
    verdicts_per_second: float | None = None


@dataclass(frozen=True)
class SequenceRecord(Record):
    """What the sequential test saw: the fields of `sequential.SequentialResult`, its interval, its k and its threshold."""

    k: int | None
    low: float | None
    high: float | None
    threshold: float | None = None
    decision: str | None = None
    trials: int | None = None
    successes: int | None = None
    samples: int | None = None
    outcomes: list[list[int]] = field(default_factory=list)


@dataclass(frozen=True)
class Excerpt(Record):
    """One completion of a kind, as `evaluation.kept` cuts it: texts are what a model wrote, and may be hostile.

    Attributes:
        kind: right, wrong, truncated, unreadable or unknown.
        problem_id: Which problem.
        sample: Its number.
        prompt: What the model was asked; of a long text beginning and end.
        completion: What it wrote, cut like the prompt.
        answer: The final answer, None where none is found.
        gold: The right one.
        tokens: Length of the completion.
    """

    kind: str
    problem_id: str
    sample: int | None
    prompt: str
    completion: str
    answer: str | None
    gold: str
    tokens: int | None


@dataclass(frozen=True)
class KeptSamples(Record):
    """What a stage kept of its samples, all of which stand in its file.

    Attributes:
        rows: Completions in the file, greedy ones included.
        without_text: Of them, those above the limit `samples_text_mb`, whose text is not kept.
        counts: Samples at temperature 1 by kind: right, unknown, else truncated, else unreadable, else wrong.
        excerpts: The first of each kind.
    """

    rows: int | None = None
    without_text: int | None = None
    counts: dict[str, int] = field(default_factory=dict)
    excerpts: list[Excerpt] = field(default_factory=list)


@dataclass(frozen=True)
class PredictorsRecord(Record):
    """What was measured before RL. In sequential mode there are no counts and no curve, but a sequence.

    Attributes:
        generalization_loss: Nats per completion token on the held-out examples.
        loss_interval: Its 95 % interval over examples, [low, high].
        loss_by_length: The same by quarter of completion length, the shortest first.
        losses: [summed nats, completion tokens] of each held-out example in their order, by which two losses are paired;
            None where an older version measured.
        heldout_digest: Digest of the held-out examples as this model's tokenizer encodes them. Nats per token compare only
            where it is the same. Empty where an older version measured.
        heldout_tokens: Completion tokens that the loss is a mean over; 0 where there are no held-out examples.
        problems: Problems sampled.
        samples: Samples a problem (n).
        correct: Right samples of each problem (c), one number a problem, always in the same order of problems.
        curve: Pass@k as pairs [k, value] for the powers of two and n.
        intervals: 95 % intervals at those k, as {"1": [low, high], ...}.
        corrected: The curve corrected for false positives, as pairs [k, value].
        false_positives: How often the verifier called an answer right that was held against another problem's.
        greedy_pass_at_1: Share of problems solved by greedy decoding.
        by_products: What else the samples show.
        sequence: What the sequential test saw; None where n was fixed.
        tokens: Completion tokens sampled.
        engine: What sampled, and in which precision, e.g. `transformers float32`.
        seconds: Wall time, on so many `devices` of the kind `device`.
        kept: What is kept of the samples; None where an older version measured.
        groups: Number of each problem's group, in the same order: problems of one template, one source document or
            near-duplicates share it. None: unknown, each problem is its own.
    """

    generalization_loss: float | None = None
    loss_interval: Sequence[float | None] | None = None
    loss_by_length: list[LengthQuarter] = field(default_factory=list)
    losses: list[tuple[float, int]] | None = None
    heldout_digest: str = ""
    heldout_tokens: int | None = None
    problems: int | None = None
    samples: int = 0
    correct: list[int] = field(default_factory=list)
    curve: list[list[float]] = field(default_factory=list)
    intervals: dict[str, Sequence[float | None]] = field(default_factory=dict)
    corrected: list[list[float]] = field(default_factory=list)
    false_positives: FalsePositives | None = None
    greedy_pass_at_1: float | None = None
    by_products: SampleStatistics = field(default_factory=SampleStatistics)
    sequence: SequenceRecord | None = None
    tokens: int | None = None
    engine: str = ""
    seconds: float | None = None
    device: str = ""
    devices: int | None = None
    kept: KeptSamples | None = None
    groups: list[int] | None = None

    def get_pass_at(self, k: int) -> float | None:
        """Returns Pass@k where the curve has it, else None."""
        return {int(at): value for at, value in self.curve}.get(k)


@dataclass(frozen=True)
class RlRecord(Record):
    """What RL did.

    Attributes:
        rewards: Pairs [last step, mean reward of the rollouts] of blocks of steps; None where the verifier could judge none
            of them.
        steps: Optimizer steps.
        seconds: Wall time, on so many `devices` of the kind `device`.
        stopped: Why it ended before its steps, or taught nothing: no reward told one completion from another. Else None.
    """

    rewards: list[list[float | None]]
    steps: int | None = None
    seconds: float | None = None
    device: str = ""
    devices: int | None = None
    stopped: str | None = None


@dataclass(frozen=True)
class BenchmarkRecord(Record):
    """Scores on the evaluation problems.

    Attributes:
        pass_at_1: Mean over problems of the share of right samples, at temperature 1; of several benchmarks, their mean.
        standard_error: Of pass_at_1, clustered by group of problems.
        interval: 95 % interval of pass_at_1, which says something even where no sample was right.
        greedy_pass_at_1: Share of problems solved by greedy decoding; of several benchmarks, the mean.
        chance: Pass@1 of guessing, above 0 for multiple choice.
        benchmarks: [name, problems, pass_at_1, standard_error, greedy_pass_at_1] of each, where there are several.
        problems: Number of problems.
        samples: Samples a problem.
        tokens: Completion tokens sampled.
        engine: What sampled, and in which precision, e.g. `transformers float32`.
        seconds: Wall time, on so many `devices` of the kind `device`.
        truncated: Share of the samples at temperature 1 that the length limit cut off.
        unreadable: Share of them without a readable final answer.
        unknown: Share of completions that are neither right nor wrong for the verifier, as `share_unknown` counts them; of
            several benchmarks, the mean. Pass@1 and greedy Pass@1 are too low by that at most.
        kept: What is kept of the samples; None where an older version scored.
        problem_ids: Of each problem, those of one benchmark after another, in the order of `benchmarks`; None where an older
            version scored, as are the next three.
        correct: Right samples of each problem (c of `samples`), in that order.
        greedy_correct: 1 for each problem solved by greedy decoding, else 0, in that order.
        groups: Number of each problem's group, in that order, as in `PredictorsRecord`; None: each problem is its own.
    """

    pass_at_1: float | None = None
    standard_error: float | None = None
    interval: Sequence[float | None] | None = None
    greedy_pass_at_1: float | None = None
    chance: float | None = None
    benchmarks: list = field(default_factory=list)
    problems: int | None = None
    samples: int | None = None
    tokens: int | None = None
    engine: str = ""
    seconds: float | None = None
    device: str = ""
    devices: int | None = None
    truncated: float | None = None
    unreadable: float | None = None
    unknown: float | None = None
    kept: KeptSamples | None = None
    problem_ids: list[str] | None = None
    correct: list[int] | None = None
    greedy_correct: list[int] | None = None
    groups: list[int] | None = None

    def weigh_problems(self) -> list[float]:
        """Returns what each of `problem_ids` weighs in pass_at_1: every benchmark the same, all together 1."""
        sizes = [entry[1] for entry in self.benchmarks] or [len(self.problem_ids or ())]
        return [1 / (len(sizes) * size) for size in sizes for _ in range(size)]


@dataclass(frozen=True)
class Failure(Record):
    """Why a candidate has no result: the stage that failed, in one line why, and after how long and how many tries."""

    stage: str
    reason: str
    seconds: float | None = None
    tries: int = 1


@dataclass(frozen=True)
class Outcome(Record):
    """Everything about one candidate; each stage adds its part. What has not happened is None.

    Attributes:
        candidate: The setting.
        sft: What SFT did.
        predictors: What was measured before RL.
        verdict: What the gate decided.
        rl: What RL did.
        benchmark: Scores after RL; of the base model, without any.
        failure: What ended the candidate's way early.
        elsewhere: What RL in another system came to; only where there is no benchmark after RL of this run.
        links: Where it comes from: base_model, data, sft_model, rl_model, experiment, and where its
            samples lie: predictors_samples, benchmark_samples.
        measurement: Digest of what the predictors were measured with, the engine that `auto` chose included (engines draw
            other samples, in other precision); only outcomes with the same one can be compared.
        schema: Version of this form.
    """

    candidate: Candidate
    sft: SftRecord | None = None
    predictors: PredictorsRecord | None = None
    verdict: Verdict | None = None
    rl: RlRecord | None = None
    benchmark: BenchmarkRecord | None = None
    failure: Failure | None = None
    links: dict[str, Any] = field(default_factory=dict)
    measurement: str = ""
    elsewhere: ElsewhereRecord | None = None
    schema: int = SCHEMA

    def shares_tokens(self, other: "Outcome | None") -> bool:
        """Returns whether its loss is a mean over the same tokens as another's, as far as both are known."""
        return len({o.predictors.heldout_digest for o in (self, other) if o and o.predictors} - {""}) < 2


def is_baseline(stage: str, candidate: Candidate, before: Outcome | str | None) -> bool:
    """Says whether the work is done for the base model as it is, with which every candidate is compared."""
    return candidate.is_base and (stage in BEFORE_RL or (stage == "benchmark" and before is None))
