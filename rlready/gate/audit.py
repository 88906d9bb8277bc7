"""RL for some of those that were not approved, drawn at random, to learn what the gate gets wrong."""

import dataclasses
import hashlib

from rlready.records.verdicts import Verdict
from rlready.stats.ties import count_share


def draw_audit(verdicts: list[Verdict], fraction: float, seed: int, run: str | None) -> list[Verdict]:
    """Sends a random share of those that were not approved to RL anyway, at least one where the share is above 0.

    Each of them, undecided or rejected, has the same probability, which its verdict keeps as its propensity: without it, what
    the audit finds could not be extrapolated to those that got no RL (Horvitz and Thompson 1952). The draw is the run's own,
    else the same candidates would be looked at each time; the verdict keeps the run, so that it can be drawn again.
    """
    refused = [v.candidate_id for v in verdicts if v.decision != "approved"]
    count = count_share(fraction, len(refused))
    by = f"{seed}/" if run is None else f"{run}/{seed}/"
    drawn = sorted(refused, key=lambda name: hashlib.sha256(f"{by}{name}".encode()).digest())[:count]
    judged = []
    for verdict in verdicts:
        if verdict.decision != "approved":
            verdict = dataclasses.replace(verdict, propensity=count / len(refused), drawn_by=run if count else None)
        judged.append(send(verdict, verdict.propensity) if verdict.candidate_id in drawn else verdict)
    return judged


def send(verdict: Verdict, propensity: float) -> Verdict:
    """Returns a verdict with which RL runs all the same, drawn with a probability."""
    reason = f"{verdict.reason} (audit: RL runs whatever the verdict)"
    return dataclasses.replace(verdict, proceed=True, audited=True, propensity=propensity, reason=reason)
