"""Candidates that were measured elsewhere, as a sweep like any other; and their results of RL, paired with what a run knows."""

import dataclasses
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from rlready.analysis.sweep_result import SweepResult
from rlready.config import complete_parameters, parse_parameters
from rlready.data.identity import identify
from rlready.errors import InputError
from rlready.evaluation.suite import record_pass_at_k, record_scores
from rlready.gate.decide import decide
from rlready.gate.decide import rank as rank_verdicts
from rlready.gate.lead import LOSS
from rlready.measured.log import SETTINGS, MeasuredLog
from rlready.measured.loss import MeasuredLoss, is_one_kind
from rlready.records.candidate import Candidate, LogSource
from rlready.records.outcome import BenchmarkRecord, ElsewhereRecord, Outcome, PredictorsRecord, SampleStatistics
from rlready.stats.pass_at_k import choose_k

Counted = PredictorsRecord | BenchmarkRecord
RUN = "the run"


def align(logs: Mapping[str, MeasuredLog], k: int) -> dict[str, MeasuredLog]:
    """Returns the logs, by candidate, with their problems in the order of the first.

    Raises InputError with one line per log of other problems, other settings or fewer than k samples.
    """
    first_name, first = next(iter(logs.items()))
    faults = [fault for log in logs.values() for fault in _find_faults(first_name, first, log, k)]
    if faults:
        raise InputError("\n".join(faults))
    places = {name: {problem: place for place, problem in enumerate(log.problems)} for name, log in logs.items()}
    return {name: _take(log, [places[name][problem] for problem in first.problems]) for name, log in logs.items()}


def list_unknown(logs: Mapping[str, MeasuredLog]) -> list[str]:
    """Returns what not all logs say, so that it could not be compared, in sentences."""
    missing = [name for name in SETTINGS if not all(name in log.settings for log in logs.values())]
    lines = [f"Not in all logs, so not compared: {', '.join(missing)}."] if missing else []
    if not all(text for log in logs.values() for text in log.texts):
        lines.append("Not all logs have the text of the problems; they are compared by id only.")
    return lines


def _find_faults(first_name: str, first: MeasuredLog, log: MeasuredLog, k: int) -> list[str]:
    faults = []
    if log.samples < k:
        faults.append(f"{log.path}: {log.samples} samples per problem, Pass@{k} needs {k}; lower --k (gate_k), or sample more")
    own = set(log.problems)
    lost, more = [problem for problem in first.problems if problem not in own], own - set(first.problems)
    if lost or more:
        faults.append(
            f"{log.path}: the problems differ from {first_name}'s: {len(lost)} of its {len(first.problems)} are missing,"
            f" {len(more)} are new, e.g. {(lost or sorted(more))[0]}; compare logs of the same problems"
        )
        return faults
    texts = dict(zip(first.problems, first.texts, strict=True))
    for problem, text in zip(log.problems, log.texts, strict=True):
        one, other = (" ".join((said or "").split()) for said in (text, texts[problem]))
        # Another tool may log its instructions with a problem.
        if one and other and one != other and (first.tool == log.tool or not (one in other or other in one)):
            faults.append(f"{log.path}: problem {problem} has a different text in {first_name}'s log")
            break
    return faults + compare_settings(first_name, first.settings, log)


def compare_settings(first_name: str, first: Mapping[str, Any], log: MeasuredLog) -> list[str]:
    """Returns a line for each setting with which the samples of a log and others were not drawn alike."""
    return [
        f"{log.path}: {setting} is {value}, {first_name}'s is {first[setting]}: Pass@k depends on it"
        for setting, value in log.settings.items()
        if first.get(setting, value) != value
    ]


def find_problems(log: MeasuredLog, rows: Sequence[Mapping[str, Any]]) -> list[int | None]:
    """Returns the place in a log of each problem that rlready samples, by id or text; None if it is not there.

    The texts of the log may have instructions around the problem.
    """
    places = {identify(text): place for place, text in enumerate(log.texts) if text}
    places |= {problem: place for place, problem in enumerate(log.problems)}
    texts = sorted(((" ".join(text.split()), place) for place, text in enumerate(log.texts) if text), key=lambda t: len(t[0]))
    found: list[int | None] = []
    for row in rows:
        place = places.get(row["problem_id"])
        if place is None:
            question = " ".join(row["question"].split())
            inside = re.compile(rf"(?<![\w.+-]){re.escape(question)}(?!\w)")
            place = next((at for text, at in texts if question in text and inside.search(text)), None)
        found.append(None if place in found else place)
    return found


def select(log: MeasuredLog, rows: Sequence[Mapping[str, Any]]) -> MeasuredLog:
    """Returns a log of the problems that rlready samples, in their order; raises InputError if it lacks one of them."""
    places = [place for place in find_problems(log, rows) if place is not None]
    if len(places) < len(rows):
        raise InputError(
            f"{log.path}: has {len(places)} of the {len(rows)} problems on which others are sampled; only the same problems"
            " compare: sample on those of the log (curate_predictor_data), or rank the logs on their own"
        )
    return dataclasses.replace(
        _take(log, places), problems=[row["problem_id"] for row in rows], texts=[row["question"] for row in rows]
    )


def _take(log: MeasuredLog, places: Sequence[int]) -> MeasuredLog:
    """Returns a log of only the problems at these places, in this order."""
    columns = ("problems", "correct", "texts")
    taken: dict[str, Any] = {name: [getattr(log, name)[place] for place in places] for name in columns}
    return dataclasses.replace(log, **taken)


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
    made = {}
    for name, log in aligned.items():
        candidate = Candidate(name, 0, "", 0, 0.0, 0)
        if not base or name != "base":
            source, compared = LogSource(log.path, log.digest, name), name in found and one_kind
            candidate = dataclasses.replace(candidate, trained_on_sft_data=compared, log=source)
        measurement = digest_problems(log)  # the same one for all
        made[name] = Outcome(
            candidate, predictors=make_record(log, found.get(name)), links=list_links(log), measurement=measurement
        )
    reference = made.pop("base") if base else None
    outcomes = list(made.values())
    verdicts = rank_verdicts(decide(outcomes, reference, settings, trains=False), outcomes, settings)
    judged = [dataclasses.replace(o, verdict=v) for o, v in zip(outcomes, verdicts, strict=True)]
    # The defaults of a run's own data say nothing of what was logged.
    unused = dict.fromkeys(("curate_sft_data", "curate_rl_data", "curate_evaluation_data"), "")
    return SweepResult(judged, reference, complete_parameters(given) | unused)


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
    problems = set(next(iter(logs.values())).problems)
    known: dict[str, tuple[Counted, dict[str, Any]]] = {}  # counts with how they were sampled, as far as that is known
    for outcome in (*sweep.outcomes, *filter(None, [sweep.baseline])):
        settings = outcome.links.get("settings", {}) if "tool" in outcome.links else {"temperature": 1.0}
        for record in (outcome.predictors, outcome.benchmark):
            if record and record.correct and set(record.problem_ids or ()) == problems:
                known.setdefault(RUN, (record, settings))
    known |= {name: (one.counted, {}) for name, one in past.items() if one.counted and name not in logs}
    restored = {}
    for name, (record, settings) in known.items():
        ids, correct = record.problem_ids or [], record.correct or []
        texts: list[str | None] = [None] * len(ids)
        restored[name] = MeasuredLog(f"{name}, as recorded", "", ids, correct, record.samples or 0, texts, settings=settings)
    aligned = align({**restored, **logs}, 1)
    like = next((record for record, _ in known.values()), None)
    return {name: _record(aligned[name], like, past.get(name)) for name in logs}


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
