"""Candidates that were measured elsewhere, as a sweep like any other; and their results of RL, paired with what a run knows."""

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from rlready.analysis.sweep_result import SweepResult
from rlready.config import complete_parameters, parse_parameters
from rlready.errors import InputError
from rlready.evaluation.suite import record_pass_at_k, record_scores
from rlready.gate.decide import decide
from rlready.gate.decide import rank as rank_verdicts
from rlready.gate.lead import LOSS
from rlready.measured.comparable import align
from rlready.measured.log import MeasuredLog
from rlready.measured.loss import MeasuredLoss, is_one_kind
from rlready.records.candidate import Candidate, LogSource
from rlready.records.outcome import BenchmarkRecord, ElsewhereRecord, Outcome, PredictorsRecord, SampleStatistics
from rlready.stats.pass_at_k import choose_k

Counted = PredictorsRecord | BenchmarkRecord
RUN = "the run"


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
    one_kind = is_one_kind(found.values())
    if settings.rank_by == LOSS and not (one_kind and named.keys() - {"base"} <= found.keys()):
        raise InputError("gate_rank_by: not all candidates have a loss of one kind; rank by pass_at_k")
    first = next(iter(aligned.values()))
    measurement = digest_problems(first)
    reference = None
    if base:
        reference = _make_outcome(Candidate("base", 0, "", 0, 0.0, 0), aligned.pop("base"), found.get("base"), measurement)
    outcomes = []
    for name, log in aligned.items():
        source = LogSource(log.path, log.digest, name)
        candidate = Candidate(name, 0, "", 0, 0.0, 0, trained_on_sft_data=name in found and one_kind, log=source)
        outcomes.append(_make_outcome(candidate, log, found.get(name), measurement))
    verdicts = rank_verdicts(decide(outcomes, reference, settings, trains=False), outcomes, settings)
    judged = [dataclasses.replace(o, verdict=v) for o, v in zip(outcomes, verdicts, strict=True)]
    # The defaults of a run's own data say nothing of what was logged.
    unused = dict.fromkeys(("curate_sft_data", "curate_rl_data", "curate_evaluation_data"), "")
    return SweepResult(judged, reference, complete_parameters(given) | unused)


def _make_outcome(candidate: Candidate, log: MeasuredLog, loss: MeasuredLoss | None, measurement: str) -> Outcome:
    return Outcome(candidate, predictors=make_record(log, loss), links=list_links(log), measurement=measurement)


def list_links(log: MeasuredLog) -> dict[str, Any]:
    """Returns where the figures of an outcome come from."""
    problems = {"rows": len(log.problems), "digest": digest_problems(log), "source": log.tool}
    return {"log": log.path, "tool": log.tool, "settings": log.settings, "data": {"problems": problems}}


def digest_problems(log: MeasuredLog) -> str:
    """Returns a digest of the ids of the problems, in their order."""
    return hashlib.sha256(repr(log.problems).encode()).hexdigest()[:16]


def make_record(log: MeasuredLog, loss: MeasuredLoss | None) -> PredictorsRecord:
    """Returns what a log says before RL."""
    seen = SampleStatistics(
        mean_tokens=log.mean_tokens,
        truncated=log.truncated,
        unreadable=log.no_answer,
        verifier_unknown=log.unknown,
        verifier_checks=log.checks,
    )
    more: dict[str, Any] = {"by_products": seen, "heldout_tokens": 0, "engine": log.tool}
    if loss:
        tokens = [count for _, count in loss.losses or ()]
        more |= {"generalization_loss": loss.value, "loss_interval": loss.interval, "losses": loss.losses}
        more["heldout_tokens"] = sum(tokens) if tokens else None
        more["heldout_digest"] = hashlib.sha256(repr(tokens or loss.kind).encode()).hexdigest()[:16]
    return record_pass_at_k([{"problem_id": problem} for problem in log.problems], log.samples, log.correct, **more)


def measure_results(sweep: SweepResult, logs: Mapping[str, MeasuredLog]) -> dict[str, ElsewhereRecord]:
    """Returns the results after RL that logs, by candidate, hold.

    If the run knows the same problems by id (of the predictors, or of the base model's benchmark), the counts follow its order,
    and its groups and benchmarks count as in its own results, so that both are paired. The cost stays as recorded. Raises
    InputError if the logs may not be compared with one another, with those recorded earlier, or with the run's samples of the
    same problems.
    """
    if not logs:
        return {}
    past = {outcome.candidate.candidate_id: outcome.elsewhere for outcome in sweep.outcomes if outcome.elsewhere}
    earlier = {name: one.counted for name, one in past.items() if one.counted and name not in logs}
    problems = set(next(iter(logs.values())).problems)
    same = (pair for pair in _list_own(sweep) if set(pair[0].problem_ids or ()) == problems)
    own, settings = next(same, (None, {}))
    known = {RUN: _restore(RUN, own, settings)} if own else {}
    known |= {name: _restore(f"{name}, as recorded", record, {}) for name, record in earlier.items()}
    aligned = align({**known, **logs}, 1)
    like = own or next(iter(earlier.values()), None)
    return {name: _record(aligned[name], like, past.get(name)) for name in logs}


def _list_own(sweep: SweepResult) -> Iterator[tuple[Counted, dict[str, Any]]]:
    """Yields the run's own counts, each with how it was sampled as far as that is known."""
    for outcome in (*sweep.outcomes, *([sweep.baseline] if sweep.baseline else [])):
        settings = outcome.links.get("settings", {}) if "tool" in outcome.links else {"temperature": 1.0}
        yield from ((record, settings) for record in (outcome.predictors, outcome.benchmark) if record and record.correct)


def _restore(path: str, record: Counted, settings: dict[str, Any]) -> MeasuredLog:
    ids = record.problem_ids or []
    return MeasuredLog(path, "", ids, record.correct or [], record.samples or 0, [None] * len(ids), settings=settings)


def _record(log: MeasuredLog, like: Counted | None, past: ElsewhereRecord | None) -> ElsewhereRecord:
    groups = [str(group) for group in like.groups] if like and like.groups else [None] * len(log.problems)
    sizes = like.benchmarks if isinstance(like, BenchmarkRecord) else []
    names = [name for name, size, *_ in sizes for _ in range(size)] or [""] * len(log.problems)
    entries = zip(log.problems, groups, names, strict=True)
    rows = [{"problem_id": problem, "group": group, "benchmark": name} for problem, group, name in entries]
    shares = {"truncated": log.truncated, "unreadable": log.no_answer, "engine": log.tool}
    counted = record_scores(rows, log.samples, log.correct, None, [log.unknown] * len(rows), **shares)
    hours, device = (past.device_hours, past.device) if past else (None, "")
    return ElsewhereRecord(counted.pass_at_1 or 0.0, counted.standard_error, hours, device, counted)
