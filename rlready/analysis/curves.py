"""Curves: what finished runs with RL for all knew before, during and after RL, one row per candidate of a Parquet file."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from rlready.analysis.sweep_result import SweepResult
from rlready.errors import InputError, one_line
from rlready.records import outcome as records
from rlready.records.candidate import Candidate
from rlready.records.serialization import parse_record
from rlready.records.verdicts import GateNumbers, Verdict
from rlready.stats.pass_at_k import summarize_curve

TIMES = ("seconds", "device", "devices")
COUNTS = ("greedy_pass_at_1", "problem_ids", "groups", "samples", "correct")
# The parts of an outcome that a row holds, and their fields, as PART_FIELD; the first field is null if there is no such part.
HELD: dict[str, tuple[Any, tuple[str, ...]]] = {
    "sft": (records.SftRecord, ("trajectory",)),
    "predictors": (records.PredictorsRecord, ("samples", "generalization_loss", "loss_interval", *COUNTS)),
    "rl": (records.RlRecord, ("rewards", "steps", "stopped", "kept_step")),
    "validation": (records.ValidationRecord, ("problem_ids", "samples", "planned")),
    "benchmark": (records.BenchmarkRecord, ("pass_at_1", "standard_error", *COUNTS)),
}
SETTING = ("candidate_id", "epochs", "subset", "examples", "learning_rate", "seed", "attempt", "kept_epochs")


def write_curves(sweeps: Sequence[SweepResult], path: str | Path) -> None:
    """Writes runs with RL for all as one Parquet file: one row per candidate, and one for each run's base model.

    Raises InputError if a candidate that did not fail has no result of RL.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = []
    for number, sweep in enumerate(sweeps):
        for outcome in [*([sweep.baseline] if sweep.baseline else []), *sweep.outcomes]:
            if outcome is not sweep.baseline and outcome.benchmark is None and outcome.failure is None:
                raise InputError(f"{outcome.candidate.candidate_id}: has no result of RL; run with gate_mode=audit")
            draw = sweep.parameters.get("curate_seed")
            rows.append({"run": number, "draw": draw, "base": outcome is sweep.baseline, **_flatten(outcome)})
    runs = [{"parameters": sweep.parameters, "origin": sweep.origin} for sweep in sweeps]
    table = pa.Table.from_pylist(rows).replace_schema_metadata({"rlready": json.dumps(runs)})
    pq.write_table(table, path, compression="zstd")


def read_curves(path: str | Path) -> list[SweepResult]:
    """Reads the runs of a Parquet file that `write_curves` wrote; samples, texts and losses of single examples are not in it.

    Raises InputError if the file is not there or is not one of curves.
    """
    import pyarrow.parquet as pq

    try:
        table, found = pq.read_table(path), []
        rows = table.to_pylist()
        for number, run in enumerate(json.loads(table.schema.metadata[b"rlready"])):
            mine = [(row["base"], _restore(row, run["parameters"].get("gate_k"))) for row in rows if row["run"] == number]
            base = next((outcome for is_base, outcome in mine if is_base), None)
            outcomes = [outcome for is_base, outcome in mine if not is_base]
            sweep = SweepResult(outcomes, base, run["parameters"], run["origin"])
            found.append(parse_record(SweepResult, dataclasses.asdict(sweep)))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not a file of curves ({one_line(error)})") from error
    return found


def _flatten(outcome: records.Outcome) -> dict[str, Any]:
    validation = outcome.rl.validation if outcome.rl else None
    row = {name: getattr(outcome.candidate, name) for name in SETTING}
    row |= {"verdict": outcome.verdict and outcome.verdict.decision, "failure": outcome.failure and outcome.failure.reason}
    for part, (_, fields) in HELD.items():
        record = validation if part == "validation" else getattr(outcome, part)
        row |= {f"{part}_{name}": getattr(record, name, None) for name in (*fields, *TIMES)}
    points = [dataclasses.asdict(point) for point in validation.points] if validation else []
    row["statistics"] = dataclasses.asdict(outcome.predictors.by_products) if outcome.predictors else None
    return row | {"validation_points": [{name: point[name] for name in ("step", "correct", "unknown")} for point in points]}


def _restore(row: dict[str, Any], k: int | None) -> records.Outcome:
    def read(part: str, **more: Any) -> Any:
        kind, fields = HELD[part]
        values = {name: row[f"{part}_{name}"] for name in (*fields, *TIMES)}
        known = {name: value for name, value in values.items() if value is not None}
        return kind(**known, **more) if fields[0] in known else None

    curve: dict[str, Any] = {"by_products": records.SampleStatistics(**row["statistics"] or {})}
    if row["predictors_samples"]:
        counts = (row[f"predictors_{name}"] for name in ("correct", "samples", "groups"))
        curve["curve"], curve["intervals"] = summarize_curve(*counts)
    points = [
        records.ValidationPoint(**point, pass_at_1=fmean(point["correct"]) / row["validation_samples"])
        for point in row["validation_points"]
    ]
    return records.Outcome(
        Candidate(**{name: row[name] for name in SETTING}),
        sft=read("sft"),
        predictors=read("predictors", **curve),
        verdict=row["verdict"] and Verdict(row["candidate_id"], row["verdict"], True, "", "audit", numbers=GateNumbers(k=k)),
        rl=read("rl", validation=read("validation", points=points)),
        benchmark=read("benchmark"),
        failure=row["failure"] and records.Failure("rl", row["failure"]),
    )
