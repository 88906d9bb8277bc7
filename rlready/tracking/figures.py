"""The figures of an outcome as MLflow's metrics: (name, step, value)."""

import dataclasses
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

from rlready.gate.lead import measure_effect
from rlready.records.outcome import EffectRecord, Outcome
from rlready.stats.plateau import measure_rise

SCORE, VALIDATED = "rl/pass_at_1", "rl/validation_pass_at_1"
RESULT, ELSEWHERE = "result", "elsewhere"  # a tag of candidates with an external result of RL, and its value
STOPPED = "rl.stopped"  # a tag of candidates whose RL ended early or had no signal: the reason
COMPARES_LOSS = "compares_loss"  # a tag of candidates whose losses can be compared if its value is the same
# Metrics with more than one step.
SERIES = ("sft/heldout_loss", "rl/reward", *(f"rl/validation_pass_at_{what}" for what in ("1", "1_low", "1_high", "k")))


def list_metrics(outcome: Outcome, role: str) -> list[tuple[str, int, float]]:
    """Returns (name, step, value) of every known figure."""
    points = [*_list_before_rl(outcome), *_list_after_rl(outcome, "rl" if role == "candidate" else "base")]
    return [(name_metric(key), step, float(value)) for key, step, value in points if value is not None]


def _list_before_rl(outcome: Outcome) -> Iterator[tuple[str, int, float | None]]:
    sft, predictors = outcome.sft, outcome.predictors
    if sft:
        yield "sft/seconds", 0, sft.seconds
        yield from (("sft/heldout_loss", int(epoch or 0), value) for epoch, value in sft.trajectory)
    if predictors is None:
        return
    yield from ((f"sft/pass_at_{k}", 0, value) for k, value in predictors.curve)
    yield from ((f"sft/pass_at_{k}_corrected", 0, value) for k, value in predictors.corrected)
    for k, interval in predictors.intervals.items():
        yield from _list_ends(f"sft/pass_at_{k}", interval)
    yield "sft/false_positive_rate", 0, predictors.false_positives.rate if predictors.false_positives else None
    for name in ("low", "high", "samples") if predictors.sequence else ():
        yield f"sft/sequential_{name}", 0, getattr(predictors.sequence, name)
    yield from ((f"sft/{name}", 0, value) for name, value in dataclasses.asdict(predictors.by_products).items())
    yield "sft/greedy_pass_at_1", 0, predictors.greedy_pass_at_1
    yield "sft/generalization_loss", 0, predictors.generalization_loss
    yield from _list_ends("sft/generalization_loss", predictors.loss_interval)
    for number, quarter in enumerate(predictors.loss_by_length, 1):
        yield f"sft/loss_of_length_quartile_{number}", 0, quarter.loss
    yield "predictors/seconds", 0, predictors.seconds


def _list_after_rl(outcome: Outcome, after: str) -> Iterator[tuple[str, int, float | None]]:
    verdict, rl, benchmark = outcome.verdict, outcome.rl, outcome.benchmark
    if verdict:
        yield "gate/rank", 0, verdict.numbers.rank
        yield "gate/propensity", 0, verdict.propensity
        for name in ("coverage_kept", "coverage_kept_low", "coverage_kept_high"):
            yield f"sft/{name}", 0, getattr(verdict.numbers, name)
        names = {"place": "place", "lead": "lead", "lead_low": "low", "lead_high": "high"}
        for name, attribute in names.items() if verdict.standing else ():
            yield f"gate/{name}", 0, getattr(verdict.standing, attribute)
        yield from ((f"forecast/{name}", 0, getattr(verdict.forecast, name)) for name in ("predicted", "low", "high"))
    if race := outcome.race:
        for name in ("place", "lead", "low", "high", "propensity"):
            yield f"race/{name}", 0, getattr(race, name)
        yield from ((f"race/forecast_{name}", 0, getattr(race.forecast, name)) for name in ("predicted", "low", "high"))
    if rl:
        yield "rl/seconds", 0, rl.seconds
        yield "rl/steps", 0, rl.steps
        yield "rl/kept_step", 0, rl.kept_step
    for point in rl.validation.points if rl and rl.validation else ():
        yield VALIDATED, point.step, point.pass_at_1
        yield from ((name, point.step, value) for name, _, value in _list_ends(VALIDATED, point.interval))
        yield "rl/validation_pass_at_k", point.step, point.pass_at_k
    if rl and rl.validation:
        yield "rl/validation_seconds", 0, rl.validation.seconds
    yield from (("rl/reward", int(step or 0), value) for step, value in outcome.rewards)
    if rise := measure_rise(outcome.rewards):
        yield "rl/gain", 0, rise.gain
        yield "rl/gain_of_last_quarter", 0, rise.late
        yield from _list_ends("rl/gain_of_last_quarter", (rise.low, rise.high))
    if effect := outcome.effect:
        yield from _list_effect(outcome, effect)
    if benchmark:
        yield f"{after}/pass_at_1", 0, benchmark.pass_at_1
        yield from _list_ends(f"{after}/pass_at_1", benchmark.interval)
        yield f"{after}/pass_at_1_standard_error", 0, benchmark.standard_error
        yield f"{after}/greedy_pass_at_1", 0, benchmark.greedy_pass_at_1
        yield from ((f"{after}/{name}/pass_at_1", 0, value) for name, _, value, *_ in benchmark.benchmarks)
        yield f"{after}/verifier_unknown", 0, benchmark.unknown
        yield "benchmark/chance", 0, benchmark.chance or None
        yield "benchmark/seconds", 0, benchmark.seconds
    elif outcome.elsewhere:
        yield SCORE, 0, outcome.elsewhere.pass_at_1
        yield from _list_ends(SCORE, outcome.scored.interval)
        yield f"{SCORE}_standard_error", 0, outcome.elsewhere.standard_error
        yield "rl/device_hours", 0, outcome.elsewhere.device_hours


def _list_effect(outcome: Outcome, effect: EffectRecord) -> Iterator[tuple[str, int, float | None]]:
    gain = measure_effect(outcome)
    yield "rl/gain_over_start", 0, gain.ahead
    yield from _list_ends("rl/gain_over_start", (gain.low, gain.high))
    for name, record in (("before", effect.off_target_before), ("after", effect.off_target)):
        yield f"off_target/{name}_pass_at_1", 0, record.pass_at_1 if record else None
    yield from ((f"rl/pass_at_{k}", 0, value) for k, value in (effect.predictors.curve[1:] if effect.predictors else ()))


def _list_ends(name: str, interval: Sequence[float | None] | None) -> Iterator[tuple[str, int, float | None]]:
    yield from ((f"{name}_{end}", 0, value) for end, value in zip(("low", "high"), interval or (None, None), strict=True))


def name_metric(name: str) -> str:
    """Returns a name that MLflow accepts; one that it rejects, such as a file name with brackets, would lose all metrics."""
    return re.sub(r"[^A-Za-z0-9_./: -]", "_", name)


def is_number(value: Any) -> bool:
    """Returns True if MLflow can hold this as a metric."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
