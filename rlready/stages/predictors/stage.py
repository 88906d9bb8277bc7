"""The stage itself: measures one checkpoint, or counts the log that another tool measured it with."""

import dataclasses
import hashlib
import json
from pathlib import Path

from rlready.config import read_settings
from rlready.data.curated import identify_data, read_set
from rlready.evaluation.samples import FILE
from rlready.evaluation.suite import list_groups
from rlready.measured.read import find_log
from rlready.measured.sweep import digest_problems, list_links, make_record, select
from rlready.records.candidate import Candidate
from rlready.records.outcome import Outcome, is_baseline
from rlready.records.serialization import from_json, read_record, write_atomically, write_record
from rlready.tracking.log import log_outcome, log_samples


def run(
    candidate: str, settings: str, data: str, model: str, before: str, samples: str, samples_uri: str, outcome: str
) -> dict[str, float | None]:
    """Measures one checkpoint, writes samples and outcome, and returns its headline figures."""
    chosen, so_far, out = from_json(Candidate, candidate), read_record(Outcome, before), Path(samples)
    if chosen.log:
        found, rows = find_log(chosen.log), read_set(Path(data), "predictors")
        # Its problems by id, or those on which others are sampled, if there are any.
        log = select(found.log, rows or [{"problem_id": problem, "question": ""} for problem in sorted(found.log.problems)])
        record = dataclasses.replace(make_record(log, found.loss), groups=list_groups(rows) if rows else None)
        links, measurement = list_links(log), digest_problems(log)
        write_atomically(out / "none.json", '{"samples": "those of the log"}')  # KFP treats a missing output as lost
    else:
        from rlready.stages.predictors.measure import measure  # loads torch

        record = measure(chosen, read_settings(settings), Path(data), model, out)
        card = json.loads((Path(data) / "card.json").read_text())
        sets = {name: {"rows": entry["rows"], "digest": entry["digest"]} for name, entry in card["sets"].items()}
        used = [*identify_data(Path(data), "heldout", "predictors"), settings, record.engine]
        links = {"data": sets, "predictors_samples": samples_uri}
        measurement = hashlib.sha256(json.dumps(used).encode()).hexdigest()[:16]
    reached = dataclasses.replace(so_far, predictors=record, links=so_far.links | links, measurement=measurement)
    write_record(reached, outcome)
    log_outcome(reached)
    if not chosen.log:
        log_samples(chosen, "predictors", out / FILE, is_baseline("predictors", chosen, so_far))
    figures: dict[str, float | None] = {f"pass_at_{k}": value for k, value in record.curve}
    figures |= {"generalization_loss": record.generalization_loss, "greedy_pass_at_1": record.greedy_pass_at_1}
    if record.sequence:
        figures |= {f"sequential_{name}": getattr(record.sequence, name) for name in ("low", "high", "samples")}
    return figures | dataclasses.asdict(record.by_products)
