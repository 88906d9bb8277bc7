"""The gate: a pure function of the records and the thresholds. A missing or non-finite number never approves."""

import math

from rlready.components.config import Gate, InputError
from rlready.components.core.pass_at_k import estimate_pass_at_k
from rlready.components.core.records import PredictorsRecord, Verdict


def decide(record: PredictorsRecord, base: PredictorsRecord, trajectory: list, settings: Gate) -> Verdict:
    """Decides whether a candidate goes on to RL.

    Pass@k and its lead over the base are compared for every candidate, the loss only where the subset is a random draw:
    losses are not comparable across data distributions (paper, instance level). The rise is over the lowest loss of the
    candidate's own trajectory, so it is comparable always. A value that equals its threshold passes.

    Args:
        record: The candidate's predictors.
        base: The base model's predictors, on the same problems.
        trajectory: Pairs [epoch, held-out loss] of the candidate's SFT.
        settings: Mode and thresholds.

    Returns:
        The verdict: rejected if a threshold is missed, else undecided if a number is missing, else approved.
    """
    k, candidate = settings.k, record.candidate
    losses = [loss for _, loss in trajectory]
    numbers = {
        "k": k,
        "pass_at_k": _estimate(record, k),
        "base_pass_at_k": _estimate(base, k),
        "generalization_loss": _number(record.generalization_loss),
        "loss_rise": losses[-1] / min(losses) if losses and all(map(_usable_loss, losses)) else None,
    }
    lead = None
    if numbers["pass_at_k"] is not None and numbers["base_pass_at_k"] is not None:
        lead = numbers["pass_at_k"] - numbers["base_pass_at_k"]
    numbers["pass_at_k_over_base"] = lead

    checks = [
        (f"Pass@{k}", numbers["pass_at_k"], settings.min_pass_at_k, 1),
        (f"Pass@{k} over base", lead, settings.min_pass_at_k_over_base, 1),
        ("loss rise", numbers["loss_rise"], settings.max_loss_rise, -1),
    ]
    notes = []
    if candidate.subset == "random":
        checks.insert(2, ("loss", numbers["generalization_loss"], settings.max_generalization_loss, -1))
    else:
        notes.append(f"loss threshold not applied: {candidate.subset} is not a random draw")
        if numbers["generalization_loss"] is None:
            checks.insert(2, ("loss", None, settings.max_generalization_loss, -1))

    missed, missing, held = [], [], []
    for name, value, limit, sign in checks:
        if value is None:
            missing.append(f"{name} missing or not finite")
        elif sign * (value - limit) < 0:
            missed.append(f"{name} {value:.3f} {'<' if sign > 0 else '>'} {limit:g}")
        else:
            held.append(f"{name} {value:.3f} {'>=' if sign > 0 else '<='} {limit:g}")
    decision = "rejected" if missed else "undecided" if missing else "approved"
    reason = "; ".join((missed + missing or held) + notes)
    if settings.mode == "off":
        decision, reason = "undecided", "the gate is off: RL runs for every candidate"
    elif settings.mode == "audit":
        reason += " (audit: RL runs whatever the verdict)"
    proceed = decision == "approved" or settings.mode != "enforce"
    return Verdict(candidate.candidate_id, decision, proceed, reason, settings.mode, numbers)


def _estimate(record: PredictorsRecord, k: int) -> float | None:
    """Returns Pass@k from the counts, or None where they do not allow it."""
    try:
        return _number(estimate_pass_at_k(record.correct, record.samples, k))
    except (InputError, TypeError):
        return None


def _number(value: object) -> float | None:
    return value if isinstance(value, float) and math.isfinite(value) else None


def _usable_loss(value: object) -> bool:
    return _number(value) is not None and value > 0
