"""Candidates as the report and MLflow compare them: one row per candidate, and one setting for candidates that repeat it."""

import dataclasses
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from rlready.analysis.sweep_result import SweepResult
from rlready.gate.lead import SCORE, Lead, measure_lead, read_figure, read_interval
from rlready.records.candidate import Candidate
from rlready.records.outcome import BEFORE_RL, BenchmarkRecord, ElsewhereRecord, Failure, Outcome, PredictorsRecord
from rlready.records.verdicts import Verdict
from rlready.stats.intervals import LEVEL
from rlready.stats.pass_at_k import correct_curve, estimate_zero_variance

BASE_NAME = "base model, no RL"  # in tables of results
Interval = tuple[float, float]


class Shares(NamedTuple):
    """Shares of samples that count as wrong without being judged wrong; None is unknown."""

    truncated: float | None  # by the length limit
    no_answer: float | None  # without a final answer in the form the prompt asks for
    not_judged: float | None  # because the verifier could not


@dataclass
class Row:
    """One candidate, or the base model, with Pass@k at the gate's k. What is missing is None, or an empty record."""

    outcome: Outcome  # what the stages recorded
    pass_at_k: float | None  # Pass@k before RL
    pass_at_k_interval: Interval | None  # its 95% interval; that of the sequential test if there is no pass_at_k
    corrected: float | None  # Pass@k corrected for false positives
    group: int | None  # completions per prompt in RL
    # The rest is read from the outcome.
    candidate: Candidate = field(init=False)  # its setting, with the seed
    name: str = field(init=False)
    setting: tuple = field(init=False)  # everything about the candidate except its seed
    failure: Failure | None = field(init=False)  # which stage failed and why
    failed_early: bool = field(init=False)  # whether it failed before the gate, which is no rejection
    predictors: PredictorsRecord = field(init=False)  # what was measured before RL
    sft_pass_at_1: float | None = field(init=False)  # Pass@1 at temperature 1 before RL
    sft_interval: Interval | None = field(init=False)  # its 95% interval if the curve has it
    loss: float | None = field(init=False)  # generalization loss in nats per token
    curve: list = field(init=False)  # pairs [k, Pass@k] before RL
    trajectory: list = field(init=False)  # pairs [epoch, held-out loss]
    sequential: bool = field(init=False)  # whether sequential sampling left an interval for Pass@k but no estimate
    shares_before: Shares = field(init=False)  # what was lost of the samples before RL
    verdict: Verdict = field(init=False)  # what the gate decided; its texts are empty if it did not
    judged: bool = field(init=False)  # whether the gate decided from measurements
    approved: bool = field(init=False)  # whether the gate approved it
    sent: bool = field(init=False)  # whether RL runs for it without an audit
    coverage_kept: float | None = field(init=False)  # share of what the base model solves within k that it solves too
    outrun: bool = field(init=False)  # whether the race decided against it, audited or not
    dropped: bool = field(init=False)  # whether its RL ended with the race
    stopped: str = field(init=False)  # why RL ended early or taught nothing; empty otherwise
    rewards: list = field(init=False)  # pairs [step, mean reward] of RL; empty if they are unknown
    validated: list[list[float]] = field(init=False)  # pairs [step, Pass@1 on the validation problems] during RL
    elsewhere: ElsewhereRecord | None = field(init=False)  # the external result of RL, if the score is that one's
    benchmark: BenchmarkRecord = field(init=False)  # the scores after RL, run here or externally; of the base model, without RL
    score: float | None = field(init=False)  # Pass@1 on the benchmark
    greedy_score: float | None = field(init=False)  # share of the benchmark's problems that greedy decoding solves
    shares_after: Shares = field(init=False)  # what was lost of the benchmark's samples
    lost: bool = field(init=False)  # whether it failed and so has no result
    measured: bool = field(init=False)  # whether anything was measured

    def __post_init__(self) -> None:
        outcome, race = self.outcome, self.outcome.race
        self.candidate = one = outcome.candidate
        self.name = one.candidate_id
        self.setting = one.epochs, one.training.epochs, one.subset, one.examples, one.learning_rate, one.checkpoint, one.log
        self.failure = outcome.failure
        self.failed_early = outcome.failure is not None and outcome.failure.stage in BEFORE_RL
        self.predictors = outcome.predictors or PredictorsRecord()
        self.sft_pass_at_1 = self.predictors.get_pass_at(1)
        self.sft_interval = read_interval(self.predictors.intervals.get("1"))
        self.loss = self.predictors.generalization_loss
        self.curve = keep_known(self.predictors.curve)
        self.trajectory = keep_known(outcome.sft.trajectory if outcome.sft else [])
        self.sequential = self.pass_at_k is None and self.pass_at_k_interval is not None
        before = self.predictors.by_products
        self.shares_before = Shares(before.truncated, before.unreadable, before.verifier_unknown)
        self.verdict = outcome.verdict or Verdict(self.name, "", False, "", "")
        self.judged = bool(self.verdict.decision) and not self.failed_early
        self.approved = self.verdict.decision == "approved"
        self.sent = self.approved or self.verdict.mode == "off"
        self.coverage_kept = self.verdict.numbers.coverage_kept
        self.outrun = race is not None and race.place is not None and (race.audited or not race.goes_on)
        self.stopped = (outcome.rl and outcome.rl.stopped) or ""
        self.rewards, self.validated = outcome.rewards, keep_known(outcome.validated)
        self.elsewhere = None if outcome.benchmark else outcome.elsewhere
        self.benchmark = after = outcome.scored
        self.score, self.greedy_score = after.pass_at_1, after.greedy_pass_at_1
        self.shares_after = Shares(after.truncated, after.unreadable, after.unknown)
        self.dropped = self.outrun and self.score is None and not self.failure
        self.lost = self.failure is not None and self.score is None
        self.measured = outcome.predictors is not None or outcome.benchmark is not None

    @property
    def zero_variance(self) -> float | None:
        """Estimated share of RL's groups with one reward for all completions, from the samples before RL."""
        known, group = self.predictors, self.group
        return estimate_zero_variance(known.correct, known.samples, group) if known.correct and group else None


def read_rows(sweep: SweepResult) -> tuple[list[Row], Row, int | None]:
    """Returns the candidates, the base model (an empty row without one), and the gate's k, None if no verdict names one.

    The best result of RL comes first, then the best Pass@k, missing values last.
    """
    verdicts = [outcome.verdict for outcome in sweep.outcomes if outcome.verdict]
    k = next((verdict.numbers.k for verdict in verdicts if verdict.numbers.k), None)
    baseline = sweep.baseline or Outcome(Candidate("", 0, "", 0, 0.0, 0))
    group = sweep.parameters.get("rl_num_generations")
    base, *rows = (read_row(_drop_other_loss(outcome, baseline), k, group) for outcome in (baseline, *sweep.outcomes))

    def order(row: Row) -> tuple[list[float], str]:
        return [math.inf if value is None else -value for value in (row.score, row.pass_at_k)], row.name

    return sorted(rows, key=order), base, k


def _drop_other_loss(outcome: Outcome, base: Outcome) -> Outcome:
    """Drops a loss over other tokens than the base model's, which is comparable with no other."""
    if outcome.predictors is None or outcome.shares_tokens(base):
        return outcome
    unknown = dataclasses.replace(outcome.predictors, generalization_loss=None, loss_interval=None, loss_by_length=[])
    return dataclasses.replace(outcome, predictors=unknown)


def name_rows(rows: list[Row], base: Row, base_name: str) -> list[tuple[str, Row]]:
    """Returns the candidates with their names, and the base model last if it was measured."""
    return [(row.name, row) for row in rows] + [(base_name, base)] * base.measured


def read_row(outcome: Outcome, k: int | None, group: int | None = None) -> Row:
    """Returns the row of an outcome at the gate's k, which need not be one of the curve's."""
    predictors = outcome.predictors or PredictorsRecord()
    if sequence := predictors.sequence:
        return Row(outcome, None, read_interval([sequence.low, sequence.high]) if sequence.k == k else None, None, group)
    figure = read_figure(outcome, "pass_at_k", k)
    corrected = {int(at): value for at, value in keep_known(predictors.corrected)}.get(k or 0)
    if k and figure and figure.values is not None:
        rate = predictors.false_positives.rate if predictors.false_positives else None
        whole = correct_curve(predictors.correct, predictors.samples, rate)
        corrected = None if whole is None else float(whole[k - 1])
    return Row(outcome, figure and figure.mean, figure and figure.interval, corrected, group)


def shorten_names(rows: list[Row]) -> dict[str, str]:
    """Returns the candidates' names without a seed and learning rate that all share, if they stay distinct."""
    candidates = [row.candidate for row in rows]
    seeds = {one.seed for one in candidates}
    rates = {one.learning_rate for one in candidates if one.epochs and not one.checkpoint}
    shared = [f"-s{seed}" for seed in seeds if len(seeds) == 1] + [f"-lr{rate:g}" for rate in rates if len(rates) == 1]
    short = {row.name: row.name for row in rows}
    for part in shared:
        short = {name: shown.removesuffix(part) for name, shown in short.items()}
    return short if len(set(short.values())) == len(rows) else {name: name for name in short}


def list_scores(rows: list[Row]) -> list[tuple[Row, float]]:
    """Returns the candidates with a result of RL, each with its Pass@1."""
    return [(row, score) for row in rows if (score := row.score) is not None]


def keep_known(pairs: Sequence[Sequence[float | None]]) -> list[list[float]]:
    """Returns the pairs in which no number is missing."""
    return [[x, y] for x, y in pairs if x is not None and y is not None]


@dataclass(frozen=True)
class Setting:
    """Candidates that differ only by their seed, named without it."""

    name: str
    rows: list[Row]

    @property
    def scores(self) -> list[float]:
        """Post-RL Pass@1 of the seeds that have one."""
        return [score for _, score in list_scores(self.rows)]

    def average(self, measure: Callable[[Row], float | None]) -> float | None:
        """Returns the mean over the seeds that have the value, or None."""
        known = [value for value in map(measure, self.rows) if value is not None]
        return statistics.fmean(known) if known else None


def group_settings(rows: list[Row]) -> list[Setting]:
    """Returns the settings in the order of their first rows."""
    grouped: dict[tuple, list[Row]] = {}
    for row in rows:
        grouped.setdefault(row.setting, []).append(row)
    named = [(members[0].candidate, members) for members in grouped.values()]
    return [Setting(first.candidate_id.removesuffix(f"-s{first.seed}"), members) for first, members in named]


def compare(one: Row, other: Row, by: str = SCORE, k: int | None = None, comparisons: int = 1) -> Lead:
    """Returns the lead of one over another; its interval holds together with those of the other comparisons."""
    return measure_lead(one.outcome, other.outcome, by, k, 1 - (1 - LEVEL) / max(1, comparisons))
