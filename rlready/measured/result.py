"""Results of RL from logs of other tools, paired with what a run knows of the same problems."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from rlready.analysis.sweep_result import SweepResult
from rlready.evaluation.suite import average, list_groups, score_suite
from rlready.measured.comparable import align
from rlready.measured.log import MeasuredLog
from rlready.records.outcome import BenchmarkRecord, ElsewhereRecord, PredictorsRecord

Counted = PredictorsRecord | BenchmarkRecord
RUN = "the run"


def measure_results(sweep: SweepResult, logs: Mapping[str, MeasuredLog]) -> dict[str, ElsewhereRecord]:
    """Returns the results after RL that logs hold.

    If the run knows the same problems by id (of the predictors, or of the base model's benchmark), the counts follow its order,
    and its groups and benchmarks count as in its own results, so that both are paired. The cost stays as recorded.

    Args:
        sweep: The run.
        logs: By candidate.

    Raises:
        InputError: If the logs may not be compared with one another, with those recorded earlier, or with the run's samples of
            the same problems.
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
    rows: list[dict[str, Any]] = [{"problem_id": problem} for problem in log.problems]
    if like and like.groups:
        rows = [{**row, "group": str(group)} for row, group in zip(rows, like.groups, strict=True)]
    sizes = like.benchmarks if isinstance(like, BenchmarkRecord) else []
    names = [name for name, size, *_ in sizes for _ in range(size)] or [""] * len(rows)
    rows = [{**row, "benchmark": name} for row, name in zip(rows, names, strict=True)]
    scores = score_suite(rows, log.samples, log.correct, [0] * len(rows), [log.unknown] * len(rows))
    scored = average(scores)
    counted = BenchmarkRecord(
        **dataclasses.asdict(scored),
        benchmarks=[[s.benchmark, s.problems, s.pass_at_1, s.standard_error, None] for s in scores if s.benchmark],
        problems=len(rows),
        samples=log.samples,
        truncated=log.truncated,
        unreadable=log.no_answer,
        unknown=log.unknown,
        engine=log.tool,
        problem_ids=log.problems,
        correct=log.correct,
        groups=list_groups(rows),
    )
    hours, device = (past.device_hours, past.device) if past else (None, "")
    return ElsewhereRecord(scored.pass_at_1, scored.standard_error, hours, device, counted)
