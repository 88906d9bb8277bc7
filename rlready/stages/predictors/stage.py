"""The predictors stage: measures one checkpoint."""

import dataclasses
import hashlib
import json
from pathlib import Path

from rlready.config import read_settings
from rlready.evaluation.samples import FILE
from rlready.records.candidate import Candidate
from rlready.records.outcome import Outcome, PredictorsRecord, is_baseline
from rlready.records.serialization import from_json, read_record, write_record
from rlready.stages.predictors.measure import measure
from rlready.tracking.log import log_outcome, log_samples


def run(
    candidate: str, settings: str, data: str, model: str, before: str, samples: str, samples_uri: str, outcome: str
) -> dict[str, float | None]:
    """Measures one checkpoint, writes samples and outcome, and returns its headline figures."""
    chosen, given = from_json(Candidate, candidate), read_settings(settings)
    gate, out = getattr(given, "gate", None), Path(samples)
    record = measure(chosen, given.predictors, given.sampling, given.samples, gate, Path(data), model, out)
    card = json.loads((Path(data) / "card.json").read_text())
    sets = {name: {"rows": entry["rows"], "digest": entry["digest"]} for name, entry in card["sets"].items()}
    used = [*(sets[name]["digest"] for name in ("heldout", "predictors") if name in sets), settings, record.engine]
    so_far = read_record(Outcome, before)
    reached = dataclasses.replace(
        so_far,
        predictors=record,
        links=so_far.links | {"data": sets, "predictors_samples": samples_uri},
        measurement=hashlib.sha256(json.dumps(used).encode()).hexdigest()[:16],
    )
    write_record(reached, outcome)
    log_outcome(reached)
    log_samples(chosen, "predictors", out / FILE, is_baseline("predictors", chosen, so_far))
    return list_figures(record)


def list_figures(record: PredictorsRecord) -> dict[str, float | None]:
    """Returns the headline figures, for the KFP UI."""
    figures: dict[str, float | None] = {f"pass_at_{k}": value for k, value in record.curve}
    figures |= {"generalization_loss": record.generalization_loss, "greedy_pass_at_1": record.greedy_pass_at_1}
    if record.sequence:
        figures |= {f"sequential_{name}": getattr(record.sequence, name) for name in ("low", "high", "samples")}
    return figures | dataclasses.asdict(record.by_products)
