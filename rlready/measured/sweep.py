"""Candidates that were measured elsewhere, as a sweep: the gate, the report and calibrate read it like any other."""

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

from rlready.analysis.sweep_result import SweepResult
from rlready.config import complete_parameters, parse_parameters
from rlready.gate.decide import decide
from rlready.gate.ranking import rank as rank_verdicts
from rlready.measured.comparable import align
from rlready.measured.log import MeasuredLog
from rlready.measured.loss import MeasuredLoss
from rlready.records.candidate import BaseModel, Candidate
from rlready.records.outcome import Outcome, PredictorsRecord, SampleStatistics
from rlready.stats.pass_at_k import choose_k, summarize_curve


def rank(
    logs: Mapping[str, MeasuredLog],
    base: MeasuredLog | None = None,
    losses: Mapping[str, MeasuredLoss] | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> SweepResult:
    """Judges candidates by their logs, as the gate judges what it has sampled itself.

    Args:
        logs: By candidate.
        base: The base model's log; None: no candidate is compared with it.
        losses: Generalization loss by candidate; "base" is the base model's.
        parameters: Parameters of the gate by their flat names (`gate_k`, ...). Without gate_k it is 64, or the largest power of
            two that all logs allow.

    Returns:
        The sweep with its verdicts; the candidates in the order of `logs`.

    Raises:
        InputError: If the logs may not be compared, or a parameter is wrong.
    """
    given = dict(parameters or {}) | {"rl_steps": 0}
    named = {**({"base": base} if base else {}), **logs}
    least = min(log.samples for log in named.values())
    given.setdefault("gate_k", choose_k(least))
    settings = parse_parameters(complete_parameters(given)).gate
    aligned, found = align(named, settings.k), losses or {}
    first = next(iter(aligned.values()))
    measurement = hashlib.sha256(repr(first.problems).encode()).hexdigest()[:16]
    reference = None
    if base:
        reference = _make_outcome("base", aligned.pop("base"), found.get("base"), measurement, is_base=True)
    outcomes = [_make_outcome(name, log, found.get(name), measurement) for name, log in aligned.items()]
    verdicts = rank_verdicts(decide(outcomes, reference, settings, trains=False), outcomes, settings)
    judged = [dataclasses.replace(o, verdict=v) for o, v in zip(outcomes, verdicts, strict=True)]
    # The defaults of a run's own data say nothing of what was logged.
    unused = dict.fromkeys(("curate_sft_data", "curate_rl_data", "curate_evaluation_data"), "")
    return SweepResult(judged, reference, complete_parameters(given) | unused)


def _make_outcome(name: str, log: MeasuredLog, loss: MeasuredLoss | None, measurement: str, is_base: bool = False) -> Outcome:
    place = None if is_base else BaseModel(log.path, "", log.digest)
    candidate = Candidate(name, 0, "", 0, 0.0, 0, checkpoint=place, trained_on_sft_data=loss is not None)
    problems = {"rows": len(log.problems), "digest": measurement, "source": log.tool}
    links = {"log": log.path, "tool": log.tool, "settings": log.settings, "data": {"problems": problems}}
    return Outcome(candidate, predictors=_record(log, loss), links=links, measurement=measurement)


def _record(log: MeasuredLog, loss: MeasuredLoss | None) -> PredictorsRecord:
    curve, intervals = summarize_curve(log.correct, log.samples)
    record = PredictorsRecord(
        problems=len(log.problems),
        problem_ids=log.problems,
        samples=log.samples,
        correct=log.correct,
        curve=curve,
        intervals=intervals,
        by_products=SampleStatistics(
            mean_tokens=log.mean_tokens,
            truncated=log.truncated,
            unreadable=log.no_answer,
            verifier_unknown=log.unknown,
            verifier_checks=log.checks,
        ),
        heldout_tokens=0,
        engine=log.tool,
    )
    if loss is None:
        return record
    compared = [tokens for _, tokens in loss.losses] if loss.losses else loss.kind
    return dataclasses.replace(
        record,
        generalization_loss=loss.value,
        loss_interval=loss.interval,
        losses=loss.losses,
        heldout_tokens=sum(tokens for _, tokens in loss.losses) if loss.losses else None,
        heldout_digest=hashlib.sha256(repr(compared).encode()).hexdigest()[:16],
    )
