"""A candidate's numbers compared with the gate's thresholds; the gate and `calibrate` share this."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rlready.config import Gate
from rlready.errors import InputError
from rlready.gate.lead import list_pass_at_k, measure_lead, read_figure
from rlready.records.outcome import Outcome, PredictorsRecord
from rlready.records.verdicts import GateNumbers, Verdict
from rlready.stats.pass_at_k import Kept, estimate_coverage_kept, estimate_own_coverage
from rlready.stats.ties import reaches

LEAD, RISE = " over base", "loss rise"


@dataclass(frozen=True)
class Check:
    """One number beside its threshold; a number that equals it passes."""

    name: str  # what is compared
    value: float | None  # None if missing
    limit: float  # the threshold
    least: bool  # whether the threshold is a minimum, else a maximum
    idle: float  # the threshold that rejects none
    interval: Sequence[float | None] | None = None  # 95% interval of the number; None if unknown

    @property
    def missed(self) -> bool:
        """Whether the number lies on the wrong side of the threshold."""
        if self.value is None:
            return True
        return not (reaches(self.value, self.limit) if self.least else reaches(self.limit, self.value))

    def describe(self) -> str:
        """Returns the comparison; of a miss that may be chance, with the interval, which contains the threshold."""
        sign = ("<" if self.least else ">") if self.missed else (">=" if self.least else "<=")
        shown = f"{self.name} {self.value:.3f} {sign} {self.limit:g}"
        low, high = self.interval or (None, None)
        if not self.missed or low is None or high is None or not low <= self.limit <= high:
            return shown
        return f"{shown}, not clearly {'below' if self.least else 'above'}: 95% interval [{low:.3f}, {high:.3f}]"


def compare(outcome: Outcome, base: Outcome | None, settings: Gate) -> Verdict:
    """Compares one candidate with the thresholds.

    Pass@k and its lead over the base model are compared for every candidate. The loss, and its rise over the minimum of the
    candidate's own trajectory, are compared only for random subsets: the held-out examples are drawn from all data, so losses
    after training on another distribution are not comparable (paper, instance level). Both must be known anyway, unless nothing
    is held out or the tokenizer differs from the base model's. A finished checkpoint has no trajectory; its loss is compared if
    `trained_on_sft_data` declares it comparable. A value that equals its threshold passes. Returns the verdict: rejected if a
    threshold is missed, else undecided if a number is missing or the sequential test or the verifier does not allow a decision,
    else approved.
    """
    k, predictors = settings.k, outcome.predictors or PredictorsRecord()
    numbers = _read_numbers(outcome, base, k)
    missed: list[str] = []
    missing: list[str] = []
    passed: list[str] = []
    if sequence := predictors.sequence:
        # The confidence sequence is valid at every time and so for any threshold, not only its own.
        low, high, limit = sequence.low, sequence.high, settings.min_pass_at_k
        if low is None or high is None or sequence.k != k:
            missing.append(f"no sequence for Pass@{k}")
        elif reaches(low, limit):
            passed.append(f"Pass@{k} in [{low:.3f}, {high:.3f}], all >= {limit:g}")
        elif not reaches(high, limit):
            missed.append(f"Pass@{k} in [{low:.3f}, {high:.3f}], all < {limit:g}")
        else:
            spent = f"not decided within the budget of {sequence.samples} samples"
            missing.append(f"Pass@{k} in [{low:.3f}, {high:.3f}] contains {limit:g}: {spent}")
    notes = [note] if (note := _note_loss(outcome, base)) else []
    if settings.min_coverage_kept and base and _is_base(outcome, base):
        notes.append("coverage kept not compared: it is the base model")
    for check in list_checks(outcome, base, numbers, settings):
        if check.value is None:
            missing.append(f"{check.name} missing or not finite")
        elif check.missed:
            missed.append(check.describe())
        elif check.limit != check.idle:
            passed.append(check.describe())
    disagreement, limit = numbers.verifier_disagreement, settings.max_verifier_disagreement
    if disagreement is not None and not reaches(limit, disagreement):
        missing.append(f"verifier disagreement {disagreement:.3f} > {limit:g}: Pass@{k} cannot be trusted")
    elif disagreement is None and predictors.by_products.verifier_checks > 1:
        none_right = predictors.correct and not any(predictors.correct)
        why = "unknown, since no answer counts as right" if none_right else "missing or not finite"
        missing.append(f"verifier disagreement {why}")
    unknown, limit = numbers.verifier_unknown, settings.max_verifier_unknown
    if unknown is None:
        # Older versions, whose verifier always gave a judgement, recorded no such shares.
        if predictors.by_products.verifier_timeouts is not None:
            missing.append("share of unjudged samples missing or not finite")
    elif not reaches(limit, unknown):
        missing.append(f"share of unjudged samples {unknown:.3f} > {limit:g}")
    decision = "rejected" if missed else "undecided" if missing else "approved"
    reason = "; ".join((missed + missing or passed or ["no threshold applies"]) + notes)
    approved, name = decision == "approved", outcome.candidate.candidate_id
    return Verdict(name, decision, approved, reason, settings.mode, 1.0 * approved, False, numbers)


def _note_loss(outcome: Outcome, base: Outcome | None) -> str:
    """Returns why the loss is not compared; empty if it is."""
    candidate = outcome.candidate
    if outcome.predictors and outcome.predictors.heldout_tokens == 0:
        return "loss not judged: none is given" if candidate.log else "loss not judged: nothing is held out"
    if candidate.log and not candidate.compares_loss:
        return "loss not judged: the candidates' losses are of different kinds"
    if not outcome.shares_tokens(base):
        return "loss not judged: its tokenizer differs from the base model's, so nats per token are not comparable"
    if candidate.compares_loss:
        return ""
    if candidate.checkpoint:
        return "loss not judged: not declared comparable (trained_on_sft_data)"
    return f"loss and its rise not compared: {candidate.subset} is not a random draw"


def _read_numbers(outcome: Outcome, base: Outcome | None, k: int) -> GateNumbers:
    """Returns the figures that the verdict is based on."""
    predictors = outcome.predictors or PredictorsRecord()
    losses = [loss or 0 for _, loss in outcome.sft.trajectory] if outcome.sft else []
    pass_at_k, base_pass_at_k = _estimate(predictors, k), _estimate(base.predictors or PredictorsRecord(), k) if base else None
    kept, low, high = (_estimate_kept(outcome, base, k) if base else None) or (None, None, None)
    lead = None if pass_at_k is None or base_pass_at_k is None else pass_at_k - base_pass_at_k
    return GateNumbers(
        k=k,
        pass_at_1=_estimate(predictors, 1),
        pass_at_k=pass_at_k,
        pass_at_k_low=predictors.sequence.low if predictors.sequence else None,
        pass_at_k_high=predictors.sequence.high if predictors.sequence else None,
        base_pass_at_k=base_pass_at_k,
        pass_at_k_over_base=lead,
        generalization_loss=predictors.generalization_loss if outcome.shares_tokens(base) else None,
        loss_rise=losses[-1] / min(losses) if losses and all(loss > 0 for loss in losses) else None,
        verifier_disagreement=predictors.by_products.verifier_disagreement,
        verifier_unknown=predictors.by_products.verifier_unknown,
        coverage_kept=kept,
        coverage_kept_low=low,
        coverage_kept_high=high,
    )


def list_checks(outcome: Outcome, base: Outcome | None, numbers: GateNumbers, settings: Gate) -> list[Check]:
    """Returns what is compared with a threshold; the sequential test compares Pass@k itself."""
    k, lead = settings.k, numbers.pass_at_k_over_base
    checks: list[Check] = []
    predictors = outcome.predictors or PredictorsRecord()
    if not predictors.sequence:
        figure = read_figure(outcome, "pass_at_k", k)
        interval = figure and figure.interval
        checks.append(Check(f"Pass@{k}", numbers.pass_at_k, settings.min_pass_at_k, True, 0, interval))
        if base:
            ends = None if lead is None else measure_lead(outcome, base, "pass_at_k", k)[1:]
            checks.append(Check(f"Pass@{k}{LEAD}", lead, settings.min_pass_at_k_over_base, True, -1, ends))
    if settings.min_coverage_kept and base and not _is_base(outcome, base):
        name = "coverage kept of a base model that solves nothing" if numbers.base_pass_at_k == 0 else "coverage kept"
        bounds = numbers.coverage_kept_low, numbers.coverage_kept_high
        checks.append(Check(name, numbers.coverage_kept, settings.min_coverage_kept, True, 0, bounds))
    candidate, loss, rise = outcome.candidate, numbers.generalization_loss, numbers.loss_rise
    if predictors.heldout_tokens == 0 or not outcome.shares_tokens(base):
        return checks
    # The loss must be known if anything is held out, and is then compared if comparable.
    losses = [Check("loss", loss, settings.max_generalization_loss, False, 100, predictors.loss_interval)]
    losses += [] if candidate.is_finished else [Check(RISE, rise, settings.max_loss_rise, False, math.inf)]
    return checks + [check for check in losses if check.value is None or candidate.compares_loss]


def _is_base(outcome: Outcome, base: Outcome) -> bool:
    """Returns True for the base model itself: without SFT, and measured with the same samples."""
    return not outcome.candidate.epochs and outcome.predictors == base.predictors


def _estimate_kept(outcome: Outcome, base: Outcome, k: int) -> Kept | None:
    """Returns the coverage kept with its interval, or None if the counts do not allow it."""
    one, other = outcome.predictors or PredictorsRecord(), base.predictors or PredictorsRecord()
    if one.problem_ids != other.problem_ids:
        return None
    try:
        if _is_base(outcome, base):
            return estimate_own_coverage(one.correct, one.samples, k, one.groups)
        return estimate_coverage_kept(other.correct, other.samples, one.correct, one.samples, k, one.groups)
    except (InputError, TypeError):
        return None


def _estimate(predictors: PredictorsRecord, k: int) -> float | None:
    """Returns Pass@k from the counts, or None where they do not allow it."""
    values = list_pass_at_k(predictors, k)
    return None if values is None else float(values.mean())
