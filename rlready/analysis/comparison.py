"""What the report compares: one row a candidate, and the settings that several candidates repeat."""

import dataclasses
import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass

from rlready.analysis.sweep_result import SweepResult
from rlready.errors import InputError
from rlready.gate.lead import SCORE, Lead, measure_lead
from rlready.records.external import ElsewhereRecord
from rlready.records.outcome import BEFORE_RL, BenchmarkRecord, Candidate, Failure, Outcome, PredictorsRecord
from rlready.records.verdicts import Verdict
from rlready.stats.intervals import LEVEL, estimate_interval
from rlready.stats.pass_at_k import correct_curve, estimate_curve, estimate_zero_variance

Interval = tuple[float, float]


@dataclass(frozen=True)
class Row:
    """One candidate, or the base model, with Pass@k at the gate's k. What is missing is None, or an empty record.

    Attributes:
        outcome: What the stages said.
        pass_at_k: Pass@k before RL.
        pass_at_k_interval: Its 95 % interval; of the sequential test where there is no pass_at_k.
        corrected: Pass@k corrected for false positives.
        group: Completions a prompt of RL.
    """

    outcome: Outcome
    pass_at_k: float | None
    pass_at_k_interval: Interval | None
    corrected: float | None
    group: int | None = None

    @property
    def candidate(self) -> Candidate:
        """The setting."""
        return self.outcome.candidate

    @property
    def name(self) -> str:
        """The candidate's name."""
        return self.candidate.candidate_id

    @property
    def setting(self) -> tuple:
        """All of the candidate but its seed."""
        c = self.candidate
        return c.epochs, c.subset, c.examples, c.learning_rate, c.checkpoint

    @property
    def predictors(self) -> PredictorsRecord:
        """What was measured before RL."""
        return self.outcome.predictors or PredictorsRecord()

    @property
    def benchmark(self) -> BenchmarkRecord:
        """The scores: after RL, here or elsewhere, or without any for the base model."""
        theirs = self.elsewhere
        scored = BenchmarkRecord(theirs.pass_at_1, theirs.standard_error) if theirs else BenchmarkRecord()
        return self.outcome.benchmark or scored

    @property
    def elsewhere(self) -> ElsewhereRecord | None:
        """The result of RL in another system, where the score is that one's."""
        return None if self.outcome.benchmark else self.outcome.elsewhere

    @property
    def verdict(self) -> Verdict:
        """What the gate decided; its texts are empty where it did not."""
        return self.outcome.verdict or Verdict(self.name, "", False, "", "")

    @property
    def failure(self) -> Failure | None:
        """What ended the candidate's way."""
        return self.outcome.failure

    @property
    def stopped(self) -> str:
        """Why RL ended before its steps, or taught nothing; empty where it did neither, or did not run."""
        return (self.outcome.rl and self.outcome.rl.stopped) or ""

    @property
    def failed_early(self) -> bool:
        """Whether it failed before the gate, which then had nothing to judge by; that is no rejection."""
        return self.failure is not None and self.failure.stage in BEFORE_RL

    @property
    def measured(self) -> bool:
        """Whether anything is known of it."""
        return self.outcome.predictors is not None or self.outcome.benchmark is not None

    @property
    def judged(self) -> bool:
        """Whether the gate decided by what was measured."""
        return bool(self.verdict.decision) and not self.failed_early

    @property
    def score(self) -> float | None:
        """Pass@1 on the benchmark."""
        return self.benchmark.pass_at_1

    @property
    def greedy_score(self) -> float | None:
        """Share of the benchmark's problems that greedy decoding solves."""
        return self.benchmark.greedy_pass_at_1

    @property
    def sft_pass_at_1(self) -> float | None:
        """Pass@1 at temperature 1 before RL."""
        return self.predictors.get_pass_at(1)

    @property
    def coverage_kept(self) -> float | None:
        """Share of what the base model solves that the candidate still solves, within the gate's k."""
        return self.verdict.numbers.coverage_kept

    @property
    def loss(self) -> float | None:
        """Generalization loss in nats a token."""
        return self.predictors.generalization_loss

    @property
    def loss_interval(self) -> Interval | None:
        """Its 95 % interval, over held-out examples."""
        return read_interval(self.predictors.loss_interval)

    @property
    def zero_variance(self) -> float | None:
        """Share of RL's groups that would have one reward for all, and teach GRPO nothing, as it stood before RL."""
        known, group = self.predictors, self.group
        return estimate_zero_variance(known.correct, known.samples, group) if known.correct and group else None

    def read_interval_at(self, k: int) -> Interval | None:
        """Returns the 95 % interval of Pass@k where the curve has it."""
        return read_interval(self.predictors.intervals.get(str(k)))

    @property
    def curve(self) -> list:
        """Pairs [k, Pass@k] before RL."""
        return keep_known(self.predictors.curve)

    @property
    def trajectory(self) -> list:
        """Pairs [epoch, held-out loss]."""
        return keep_known(self.outcome.sft.trajectory if self.outcome.sft else [])

    @property
    def sequential(self) -> bool:
        """Whether the sequential test left an interval for Pass@k, and no number."""
        return self.pass_at_k is None and self.pass_at_k_interval is not None


def read_rows(sweep: SweepResult) -> tuple[list[Row], Row, int | None]:
    """Returns the candidates, the best first, the base model, and the gate's k, which is None if no verdict names one.

    Where there is no base model, nothing is known of it.
    """
    verdicts = [outcome.verdict for outcome in sweep.outcomes if outcome.verdict]
    k = next((verdict.numbers.k for verdict in verdicts if verdict.numbers.k), None)
    baseline = sweep.baseline or Outcome(Candidate("", 0, "", 0, 0.0, 0))
    base, *rows = (read_row(_drop_other_loss(outcome, baseline), k) for outcome in (baseline, *sweep.outcomes))
    group = sweep.parameters.get("rl_num_generations")
    return order([dataclasses.replace(row, group=group) for row in rows]), dataclasses.replace(base, group=group), k


def _drop_other_loss(outcome: Outcome, base: Outcome) -> Outcome:
    """Returns an outcome without a loss that is over other tokens than the base model's, which compares with no other."""
    if outcome.shares_tokens(base):
        return outcome
    unknown = dataclasses.replace(outcome.predictors, generalization_loss=None, loss_interval=None, loss_by_length=[])
    return dataclasses.replace(outcome, predictors=unknown)


def name_rows(rows: list[Row], base: Row, called: str) -> list[tuple[str, Row]]:
    """Returns the candidates with their names, and the base model last if it was measured."""
    return [(row.name, row) for row in rows] + [(called, base)] * base.measured


def read_row(outcome: Outcome, k: int | None) -> Row:
    """Returns the row of an outcome.

    Args:
        outcome: What the stages said.
        k: The gate's k, which need not be one of the curve's.
    """
    predictors = outcome.predictors or PredictorsRecord()
    if sequence := predictors.sequence:
        return Row(outcome, None, read_interval([sequence.low, sequence.high]) if sequence.k == k else None, None)
    try:
        column = estimate_curve(predictors.correct, predictors.samples)[:, k - 1]
        rate, corrected = predictors.false_positives and predictors.false_positives.rate, None
        if rate is not None:
            corrected = float(correct_curve(predictors.correct, predictors.samples, rate)[k - 1])
        return Row(outcome, float(column.mean()), estimate_interval(column, groups=predictors.groups), corrected)
    except (InputError, IndexError, TypeError):
        corrected = dict(keep_known(predictors.corrected)).get(k)
        return Row(outcome, predictors.get_pass_at(k), read_interval(predictors.intervals.get(str(k))), corrected)


def keep_known(pairs: list) -> list:
    """Returns the pairs without those that lack a number."""
    return [[x, y] for x, y in pairs if None not in (x, y)]


def read_interval(values: list | None) -> Interval | None:
    """Returns an interval, or None where an end of it is missing."""
    return tuple(values) if values and len(values) == 2 and None not in values else None


def order(rows: list[Row]) -> list[Row]:
    """Returns the rows with the best result of RL first, then the best Pass@k; what is missing comes last."""

    def key(row: Row) -> tuple:
        return tuple(math.inf if value is None else -value for value in (row.score, row.pass_at_k))

    return sorted(rows, key=lambda row: (*key(row), row.name))


@dataclass(frozen=True)
class Setting:
    """Candidates that differ by their seed only.

    Attributes:
        name: The candidates' name without the seed.
        rows: The candidates.
    """

    name: str
    rows: list[Row]

    @property
    def scores(self) -> list[float]:
        """Post-RL Pass@1 of the seeds that have one."""
        return [row.score for row in self.rows if row.score is not None]

    def average(self, measure: Callable[[Row], float | None]) -> float | None:
        """Returns the mean over the seeds that have the value, or None."""
        known = [value for value in map(measure, self.rows) if value is not None]
        return statistics.fmean(known) if known else None


def group_settings(rows: list[Row]) -> list[Setting]:
    """Returns the settings, in the order of their first rows."""
    grouped: dict[tuple, list[Row]] = {}
    for row in rows:
        grouped.setdefault(row.setting, []).append(row)
    named = [(members[0].candidate, members) for members in grouped.values()]
    return [Setting(first.candidate_id.removesuffix(f"-s{first.seed}"), members) for first, members in named]


def compare(one: Row, other: Row, by: str = SCORE, k: int | None = None, comparisons: int = 1) -> Lead:
    """Returns how far one is ahead of another, with an interval that holds together with those of the other comparisons."""
    return measure_lead(one.outcome, other.outcome, by, k, 1 - (1 - LEVEL) / max(1, comparisons))
