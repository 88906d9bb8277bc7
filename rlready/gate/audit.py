"""The gate audit: RL for a random draw of the candidates that were not approved, to measure what the gate gets wrong."""

import dataclasses
import hashlib

from rlready.records.verdicts import Verdict
from rlready.stats.ties import count_share


def draw_audit(verdicts: list[Verdict], fraction: float, seed: int, run: str | None) -> list[Verdict]:
    """Sends a random share of the candidates that were not approved to RL anyway, at least one if the share is above 0.

    Each of them, undecided or rejected, has the same probability. Its verdict keeps it as the propensity, by which the audit's
    findings are extrapolated to those without RL (Horvitz and Thompson 1952). Every run draws its own, so that not the same
    candidates are audited each time; the verdict keeps the run's id, so that the draw can be repeated.
    """
    refused = [v.candidate_id for v in verdicts if v.decision != "approved"]
    count = count_share(fraction, len(refused))
    by = f"{seed}/" if run is None else f"{run}/{seed}/"
    drawn = sorted(refused, key=lambda name: hashlib.sha256(f"{by}{name}".encode()).digest())[:count]
    judged = []
    for verdict in verdicts:
        if verdict.decision != "approved":
            propensity = count / len(refused)
            verdict = dataclasses.replace(verdict, propensity=propensity, drawn_by=run if count else None)
            verdict = send(verdict, propensity) if verdict.candidate_id in drawn else verdict
        judged.append(verdict)
    return judged


def send(verdict: Verdict, propensity: float) -> Verdict:
    """Returns the verdict of a candidate that is sent to RL anyway."""
    reason = f"{verdict.reason} (audit: RL runs whatever the verdict)"
    return dataclasses.replace(verdict, proceed=True, audited=True, propensity=propensity, reason=reason)
