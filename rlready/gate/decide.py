"""The gate: a pure function of the records and the thresholds. A missing or non-finite number never approves."""

import dataclasses
import hashlib
import itertools

from rlready.config import Gate
from rlready.errors import InputError
from rlready.gate.lead import LOSS, measure_lead
from rlready.gate.thresholds import compare
from rlready.records.outcome import Outcome
from rlready.records.verdicts import GateNumbers, Standing, Verdict
from rlready.stats.ties import count_share, order_best

RANKED = {"pass_at_k": "Pass@{k}", "pass_at_1": "Pass@1", "generalization_loss": "loss"}


def decide(
    outcomes: list[Outcome], base: Outcome | None, settings: Gate, trains: bool = True, run: str | None = None
) -> list[Verdict]:
    """Decides which candidates go on to RL, thresholds first, then the budget, then the audit: one verdict for each, in order.

    Args:
        base: The base model, measured the same way; None if candidates are not compared with one.
        trains: Whether RL follows; if not, the run ends with the verdicts.
        run: Id of the run, which seeds the draw of the audit.

    Raises:
        InputError: If an outcome was measured in another experiment.
    """
    check_comparable(outcomes, base)
    judged = {}
    for outcome in outcomes:
        if failure := outcome.failure:  # it has no checkpoint, so no mode and no audit can send it to RL
            after = "" if failure.seconds is None else f" after {failure.seconds:,.0f} s"
            tries = f" and {failure.tries} tries" if failure.tries > 1 else ""
            name, reason = outcome.candidate.candidate_id, f"{failure.stage} failed{after}{tries}: {failure.reason}"
            judged[name] = Verdict(name, "rejected", False, reason, settings.mode, 0.0, numbers=GateNumbers(k=settings.k))
    verdicts = [compare(outcome, base, settings) for outcome in outcomes if not outcome.failure]
    if settings.max_rl_runs and settings.mode != "off":
        verdicts = apply_budget(verdicts, {o.candidate.candidate_id: o for o in outcomes}, settings)
    if settings.mode == "off":
        reason = "the gate is off: RL runs for every candidate"
        verdicts = [dataclasses.replace(v, decision="undecided", reason=reason, proceed=True, propensity=1.0) for v in verdicts]
    elif settings.mode == "audit":
        verdicts = [_send(verdict, 1.0) if verdict.decision != "approved" else verdict for verdict in verdicts]
    else:
        verdicts = draw_audit(verdicts, settings.audit_fraction, settings.seed, run)
    # RL cannot run if none follows, or the weights are elsewhere.
    held = {o.candidate.candidate_id for o in outcomes if not (trains and o.candidate.has_weights)}
    verdicts = [
        dataclasses.replace(v, proceed=False, audited=False, propensity=0.0) if v.candidate_id in held else v for v in verdicts
    ]
    judged |= {verdict.candidate_id: verdict for verdict in verdicts}
    return [judged[outcome.candidate.candidate_id] for outcome in outcomes]


def check_comparable(outcomes: list[Outcome], baseline: Outcome | None) -> None:
    """Raises InputError if an outcome was measured with other data, base model or settings than the base model."""
    measured = [outcome for outcome in outcomes if not outcome.failure]
    for outcome in measured:
        first = baseline or measured[0]
        if outcome.measurement != first.measurement and not _share_problems(outcome, first):
            called = "the base model" if baseline else first.candidate.candidate_id
            raise InputError(
                f"{outcome.candidate.candidate_id}: measured in another experiment ({outcome.measurement}) than {called}"
                f" ({first.measurement}); base model, held-out set, problems, sampling and engine must be the same"
            )


def _share_problems(one: Outcome, other: Outcome) -> bool:
    """Returns True if a log and a sampled candidate are of the same problems; plan compared their settings."""
    if bool(one.candidate.log) == bool(other.candidate.log) or not (one.predictors and other.predictors):
        return False
    return one.predictors.problem_ids == other.predictors.problem_ids


def apply_budget(verdicts: list[Verdict], outcomes: dict[str, Outcome], settings: Gate) -> list[Verdict]:
    """Keeps the best `max_rl_runs` of the approved and rejects the rest (paper, protocol step 2).

    If more are approved, those without the number that ranks them are undecided. The reason gives the lead over the other side
    of the cut, with its 95% interval.
    """
    label = RANKED[settings.rank_by].format(k=settings.k)
    approved = [verdict for verdict in verdicts if verdict.decision == "approved"]
    changed = {}
    if len(approved) > settings.max_rl_runs:
        for verdict in [one for one in approved if getattr(one.numbers, settings.rank_by) is None]:
            approved.remove(verdict)
            reason = f"{label} missing, by which the budget of {settings.max_rl_runs} ranks; {verdict.reason}"
            undecided = dataclasses.replace(verdict, decision="undecided", proceed=False, propensity=0.0, reason=reason)
            changed[verdict.candidate_id] = undecided
    ranked = sort_best(approved, settings.rank_by)
    last_in, first_out = ranked[: settings.max_rl_runs][-1:], ranked[settings.max_rl_runs :][:1]
    for place, verdict in enumerate(ranked, 1):
        admitted = place <= settings.max_rl_runs
        numbers = dataclasses.replace(verdict.numbers, rank=place, ranked=len(ranked))
        reason = f"ranked {place} of {len(ranked)} by {label}, budget {settings.max_rl_runs}"
        if first_out:
            other = (first_out if admitted else last_in)[0]
            better, worse = (verdict, other) if admitted else (other, verdict)
            compared = outcomes[better.candidate_id], outcomes[worse.candidate_id]
            lead = measure_lead(*compared, settings.rank_by, settings.k)
            shown = f"{lead.describe()} {'better' if admitted else 'worse'} than {other.candidate_id}"
            shown += "" if lead.sure else ", not a clear difference"
            reason += f": how far from {other.candidate_id} is unknown" if lead.ahead is None else f": {shown}"
        changed[verdict.candidate_id] = dataclasses.replace(
            verdict, decision="approved" if admitted else "rejected", proceed=admitted, propensity=1.0 * admitted,
            reason=f"{reason}; {verdict.reason}", numbers=numbers,
        )  # fmt: skip
    return [changed.get(verdict.candidate_id, verdict) for verdict in verdicts]


def rank(verdicts: list[Verdict], outcomes: list[Outcome], settings: Gate) -> list[Verdict]:
    """Returns the verdicts with the standing of every measured candidate, whatever the decision: its place and its lead.

    Verdicts and outcomes are of the same candidates, in any order; ties go to the lower loss.
    """
    measured = {outcome.candidate.candidate_id: outcome for outcome in outcomes if not outcome.failure}
    known = [v for v in verdicts if v.candidate_id in measured and getattr(v.numbers, settings.rank_by) is not None]
    ordered = [measured[verdict.candidate_id] for verdict in sort_best(known, settings.rank_by)]
    standings = {}
    for place, (outcome, following) in enumerate(itertools.zip_longest(ordered, ordered[1:]), 1):
        lead = measure_lead(outcome, following, settings.rank_by, settings.k) if following else ()
        ahead_of = following.candidate.candidate_id if following else ""
        standings[outcome.candidate.candidate_id] = Standing(place, len(ordered), ahead_of, *lead)
    return [dataclasses.replace(verdict, standing=standings.get(verdict.candidate_id)) for verdict in verdicts]


def sort_best(verdicts: list[Verdict], by: str) -> list[Verdict]:
    """Returns the verdicts, best first."""
    values, losses = ([getattr(verdict.numbers, name) for verdict in verdicts] for name in (by, LOSS))
    order = order_best(values, losses, [verdict.candidate_id for verdict in verdicts], falls=by == LOSS)
    return [verdicts[place] for place in order]


def draw_audit(verdicts: list[Verdict], fraction: float, seed: int, run: str | None) -> list[Verdict]:
    """Sends a random share of the candidates that were not approved to RL anyway, at least one if the share is above 0.

    Each of them, undecided or rejected, has the same probability. Its verdict keeps it as the propensity, by which the audit's
    findings are extrapolated to those without RL (Horvitz and Thompson 1952). Every run draws its own, so that not the same
    candidates are audited each time; the verdict keeps the run's id, so that the draw can be repeated.
    """
    refused = [v.candidate_id for v in verdicts if v.decision != "approved"]
    drawn, propensity = draw_names(refused, fraction, f"{seed}/", run)
    judged = []
    for verdict in verdicts:
        if verdict.decision != "approved":
            verdict = dataclasses.replace(verdict, propensity=propensity, drawn_by=run if drawn else None)
            verdict = _send(verdict, propensity) if verdict.candidate_id in drawn else verdict
        judged.append(verdict)
    return judged


def draw_names(names: list[str], fraction: float, by: str, run: str | None) -> tuple[set[str], float]:
    """Draws a share of names by a text and the run; returns them, and the probability with which each is drawn."""
    count = count_share(fraction, len(names))
    key = by if run is None else f"{run}/{by}"
    drawn = sorted(names, key=lambda name: hashlib.sha256(f"{key}{name}".encode()).digest())[:count]
    return set(drawn), count / len(names) if names else 0.0


def _send(verdict: Verdict, propensity: float) -> Verdict:
    """Returns the verdict of a candidate that is sent to RL anyway."""
    reason = f"{verdict.reason} (audit: RL runs regardless of the verdict)"
    return dataclasses.replace(verdict, proceed=True, audited=True, propensity=propensity, reason=reason)
