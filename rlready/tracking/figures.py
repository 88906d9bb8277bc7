"""The figures of an outcome as MLflow's metrics: (name, step, value)."""

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any, TypeGuard

from rlready.gate.lead import measure_effect
from rlready.records.outcome import Outcome
from rlready.stats.plateau import measure_rise

SCORE, VALIDATED = "rl/pass_at_1", "rl/validation_pass_at_1"
RESULT, ELSEWHERE = "result", "elsewhere"  # a tag of candidates with an external result of RL, and its value
STOPPED = "rl.stopped"  # a tag of candidates whose RL ended early or had no signal: the reason
COMPARES_LOSS = "compares_loss"  # a tag of candidates whose losses can be compared if its value is the same
# Metrics with more than one step.
SERIES = ("sft/heldout_loss", "rl/reward", *(f"rl/validation_pass_at_{what}" for what in ("1", "1_low", "1_high", "k")))
Figures = Iterator[tuple[str, int, float | None]]


def list_metrics(outcome: Outcome, role: str) -> list[tuple[str, int, float]]:
    """Returns (name, step, value) of every known figure."""
    points = [*_list_before_rl(outcome), *_list_after_rl(outcome, "rl" if role == "candidate" else "base")]
    return [(name_metric(key), step, float(value)) for key, step, value in points if value is not None]


def _list_before_rl(outcome: Outcome) -> Figures:
    sft, predictors, verdict, race = outcome.sft, outcome.predictors, outcome.verdict, outcome.race
    yield from _take("sft/", sft, "seconds")
    yield from (("sft/heldout_loss", int(epoch or 0), value) for epoch, value in (sft.trajectory if sft else ()))
    if predictors:
        yield from ((f"sft/pass_at_{k}", 0, value) for k, value in predictors.curve)
        yield from ((f"sft/pass_at_{k}_corrected", 0, value) for k, value in predictors.corrected)
        for k, interval in predictors.intervals.items():
            yield from _list_ends(f"sft/pass_at_{k}", interval)
        yield "sft/false_positive_rate", 0, predictors.false_positives.rate if predictors.false_positives else None
        yield from _take("sft/sequential_", predictors.sequence, "low", "high", "samples")
        yield from _take("sft/", predictors.by_products, *vars(predictors.by_products))
        yield from _take("sft/", predictors, "greedy_pass_at_1", "generalization_loss")
        yield from _list_ends("sft/generalization_loss", predictors.loss_interval)
        for number, quarter in enumerate(predictors.loss_by_length, 1):
            yield f"sft/loss_of_length_quartile_{number}", 0, quarter.loss
        yield from _take("predictors/", predictors, "seconds")
    if verdict:
        yield from _take("gate/", verdict, "propensity")
        yield from _take("gate/", verdict.numbers, "rank")
        yield from _take("sft/", verdict.numbers, "coverage_kept", "coverage_kept_low", "coverage_kept_high")
        yield from _take("gate/", verdict.standing, "place", "lead")
        yield from _take("gate/lead_", verdict.standing, "low", "high")
        yield from _take("forecast/", verdict.forecast, "predicted", "low", "high")
    if race:
        yield from _take("race/", race, "place", "lead", "low", "high", "propensity")
        yield from _take("race/forecast_", race.forecast, "predicted", "low", "high")


def _list_after_rl(outcome: Outcome, after: str) -> Figures:
    effect, benchmark, external = outcome.effect, outcome.benchmark, outcome.elsewhere
    validation = outcome.rl.validation if outcome.rl else None
    yield from _take("rl/", outcome.rl, "seconds", "steps", "kept_step")
    yield from _take("rl/validation_", validation, "seconds")
    for point in validation.points if validation else ():
        yield VALIDATED, point.step, point.pass_at_1
        yield from ((name, point.step, value) for name, _, value in _list_ends(VALIDATED, point.interval))
        yield "rl/validation_pass_at_k", point.step, point.pass_at_k
    yield from (("rl/reward", int(step or 0), value) for step, value in outcome.rewards)
    if rise := measure_rise(outcome.rewards):
        yield from (("rl/gain", 0, rise.gain), ("rl/gain_of_last_quarter", 0, rise.late))
        yield from _list_ends("rl/gain_of_last_quarter", (rise.low, rise.high))
    if effect:
        gain = measure_effect(outcome)
        yield "rl/gain_over_start", 0, gain.ahead
        yield from _list_ends("rl/gain_over_start", (gain.low, gain.high))
        yield from _take("off_target/before_", effect.off_target_before, "pass_at_1")
        yield from _take("off_target/after_", effect.off_target, "pass_at_1")
        yield from ((f"rl/pass_at_{k}", 0, value) for k, value in (effect.predictors.curve[1:] if effect.predictors else ()))
    if benchmark:
        yield from _take(f"{after}/", benchmark, "pass_at_1", "greedy_pass_at_1")
        yield from _list_ends(f"{after}/pass_at_1", benchmark.interval)
        yield f"{after}/pass_at_1_standard_error", 0, benchmark.standard_error
        yield from ((f"{after}/{name}/pass_at_1", 0, value) for name, _, value, *_ in benchmark.benchmarks)
        yield f"{after}/verifier_unknown", 0, benchmark.unknown
        yield "benchmark/chance", 0, benchmark.chance or None
        yield from _take("benchmark/", benchmark, "seconds")
    elif external:
        yield SCORE, 0, external.pass_at_1
        yield from _list_ends(SCORE, outcome.scored.interval)
        yield f"{SCORE}_standard_error", 0, external.standard_error
        yield from _take("rl/", external, "device_hours")


def _take(prefix: str, record: Any, *names: str) -> Figures:
    """Yields fields of a record, if there is one, under their own names."""
    yield from ((f"{prefix}{name}", 0, getattr(record, name)) for name in names if record)


def _list_ends(name: str, interval: Sequence[float | None] | None) -> Figures:
    yield from ((f"{name}_{end}", 0, value) for end, value in zip(("low", "high"), interval or (None, None), strict=True))


def name_metric(name: str) -> str:
    """Returns a name that MLflow accepts; one that it rejects, such as a file name with brackets, would lose all metrics."""
    return re.sub(r"[^A-Za-z0-9_./: -]", "_", name)


def is_number(value: Any) -> TypeGuard[float]:
    """Returns True if MLflow can hold this as a metric."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
