"""Candidates as the report and MLflow compare them: one row per candidate, and one setting for candidates that repeat it."""

import dataclasses
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Row:
    """One candidate, or the base model, with Pass@k at the gate's k. What is missing is None, or an empty record."""

    outcome: Outcome  # what the stages recorded
    pass_at_k: float | None  # Pass@k before RL
    pass_at_k_interval: Interval | None  # its 95% interval; that of the sequential test if there is no pass_at_k
    corrected: float | None  # Pass@k corrected for false positives
    group: int | None  # completions per prompt in RL

    @property
    def candidate(self) -> Candidate:
        """Its setting, with the seed."""
        return self.outcome.candidate

    @property
    def name(self) -> str:
        """The candidate's name."""
        return self.candidate.candidate_id

    @property
    def setting(self) -> tuple:
        """Everything about the candidate except its seed."""
        c = self.candidate
        return c.epochs, c.training.epochs, c.subset, c.examples, c.learning_rate, c.checkpoint, c.log

    @property
    def predictors(self) -> PredictorsRecord:
        """What was measured before RL."""
        return self.outcome.predictors or PredictorsRecord()

    @property
    def benchmark(self) -> BenchmarkRecord:
        """The scores: after RL, run here or externally; for the base model, without RL."""
        return self.outcome.scored

    @property
    def elsewhere(self) -> ElsewhereRecord | None:
        """The external result of RL, if the score is that one's."""
        return None if self.outcome.benchmark else self.outcome.elsewhere

    @property
    def verdict(self) -> Verdict:
        """What the gate decided; its texts are empty if it did not."""
        return self.outcome.verdict or Verdict(self.name, "", False, "", "")

    @property
    def failure(self) -> Failure | None:
        """Which stage failed and why."""
        return self.outcome.failure

    @property
    def stopped(self) -> str:
        """Why RL ended early or taught nothing; empty otherwise."""
        return (self.outcome.rl and self.outcome.rl.stopped) or ""

    @property
    def rewards(self) -> list:
        """Pairs [step, mean reward] of RL; empty if they are unknown."""
        return self.outcome.rewards

    @property
    def validated(self) -> list[list[float]]:
        """Pairs [step, Pass@1 on the validation problems] during RL; empty if there are none."""
        return keep_known(self.outcome.validated)

    @property
    def failed_early(self) -> bool:
        """Whether it failed before the gate, which is no rejection."""
        return self.failure is not None and self.failure.stage in BEFORE_RL

    @property
    def lost(self) -> bool:
        """Whether it failed and so has no result."""
        return self.failure is not None and self.score is None

    @property
    def measured(self) -> bool:
        """Whether anything was measured."""
        return self.outcome.predictors is not None or self.outcome.benchmark is not None

    @property
    def judged(self) -> bool:
        """Whether the gate decided from measurements."""
        return bool(self.verdict.decision) and not self.failed_early

    @property
    def approved(self) -> bool:
        """Whether the gate approved it."""
        return self.verdict.decision == "approved"

    @property
    def sent(self) -> bool:
        """Whether RL runs for it without an audit."""
        return self.approved or self.verdict.mode == "off"

    @property
    def outrun(self) -> bool:
        """Whether the race decided against it, audited or not."""
        race = self.outcome.race
        return race is not None and race.place is not None and (race.audited or not race.goes_on)

    @property
    def dropped(self) -> bool:
        """Whether its RL ended with the race."""
        return self.outrun and self.score is None and not self.failure

    @property
    def keeps(self) -> bool:
        """Whether gate and race leave its result, or RL that is still to come."""
        return self.sent and not self.outrun and not self.lost

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
        """Share of the problems solved by the base model that the candidate still solves, within the gate's k."""
        return self.verdict.numbers.coverage_kept

    @property
    def loss(self) -> float | None:
        """Generalization loss in nats per token."""
        return self.predictors.generalization_loss

    @property
    def zero_variance(self) -> float | None:
        """Estimated share of RL's groups with one reward for all completions, from the samples before RL."""
        known, group = self.predictors, self.group
        return estimate_zero_variance(known.correct, known.samples, group) if known.correct and group else None

    @property
    def sft_interval(self) -> Interval | None:
        """The 95% interval of `sft_pass_at_1`, if the curve has it."""
        return read_interval(self.predictors.intervals.get("1"))

    @property
    def shares_before(self) -> Shares:
        """What was lost of the samples before RL."""
        seen = self.predictors.by_products
        return Shares(seen.truncated, seen.unreadable, seen.verifier_unknown)

    @property
    def shares_after(self) -> Shares:
        """What was lost of the benchmark's samples."""
        return Shares(self.benchmark.truncated, self.benchmark.unreadable, self.benchmark.unknown)

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
        """Whether sequential sampling left an interval for Pass@k but no estimate."""
        return self.pass_at_k is None and self.pass_at_k_interval is not None


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
