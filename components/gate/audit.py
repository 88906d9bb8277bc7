"""RL for some of the rejected, drawn at random, to learn what the gate gets wrong."""

import dataclasses
import hashlib
import math

from rlready.components.core.verdicts import Verdict


def draw_audit(verdicts: list[Verdict], fraction: float, seed: int) -> list[Verdict]:
    """Sends a seeded random share of the rejected to RL anyway, at least one where the share is above 0.

    Every rejected candidate has the same probability, which its verdict keeps as its propensity: without it, what the
    audit finds could not be extrapolated to those that stayed rejected (Horvitz and Thompson 1952).
    """
    rejected = [v.candidate_id for v in verdicts if v.decision == "rejected"]
    count = math.ceil(fraction * len(rejected))
    order = sorted(rejected, key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest())
    drawn, propensity = set(order[:count]), count / len(rejected) if rejected else 0.0
    judged = []
    for verdict in verdicts:
        if verdict.candidate_id in drawn:
            verdict = send(verdict, propensity)
        elif verdict.decision == "rejected":
            verdict = dataclasses.replace(verdict, propensity=propensity)
        judged.append(verdict)
    return judged


def send(verdict: Verdict, propensity: float) -> Verdict:
    """Returns a verdict with which RL runs all the same, drawn with a probability."""
    reason = f"{verdict.reason} (audit: RL runs whatever the verdict)"
    return dataclasses.replace(verdict, proceed=True, audited=True, propensity=propensity, reason=reason)
