"""The checkpoints of one training as candidates: a KFP task is for the training, the work of its stage for one checkpoint.

SFT writes a model folder for each checkpoint, and a list of records; predictors measure one after another. RL gets the
training, so that its SFT comes from the cache, and the number of epochs with the digest that it checks.
"""

import dataclasses
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rlready.data.curated import identify_data
from rlready.models.load import digest_weights
from rlready.records.candidate import Candidate
from rlready.records.outcome import Outcome, SftRecord
from rlready.records.serialization import (
    from_json,
    read_record,
    read_records,
    to_json,
    write_atomically,
    write_record,
    write_records,
)
from rlready.training import checkpoints

Launch = Callable[[str, dict[str, Any]], dict[str, Any]]  # runs a stage of one candidate with these arguments


def locate(folder: str | Path, candidate: Candidate) -> str:
    """Returns the part of a folder, or of its URI, that belongs to one checkpoint of a training."""
    return f"{folder}/epoch-{candidate.epochs}"


def cut(whole: SftRecord, candidate: Candidate, models: Path) -> SftRecord:
    """Returns a training's record until one of its checkpoints; its cost is that of the last one alone."""
    share = candidate.epochs / candidate.training.epochs
    seconds, devices = (None, None) if candidate.is_midway else (whole.seconds, whole.devices)
    return dataclasses.replace(
        whole,
        trajectory=[[epoch, loss] for epoch, loss in whole.trajectory if (epoch or 0) <= candidate.epochs],
        steps=round(share * (whole.steps or 0)),
        train_tokens=round(share * (whole.train_tokens or 0)),
        model_digest=digest_weights(locate(models, candidate)),
        seconds=seconds,
        devices=devices,
    )


def launch_predictors(given: dict[str, Any], launch: Launch) -> dict[str, Any]:
    """Measures the checkpoints of a training, but those that were measured before a kill; returns all their figures."""
    read = [given["candidate"], given["settings"], Path(given["before"]).read_text()]
    read += identify_data(Path(given["data"]), "heldout", "predictors")
    training = from_json(Candidate, given["candidate"])
    outcomes, figures = [], {"display_name": f"{training.candidate_id}: predictors"}
    with checkpoints.open_folder("predictors", read, given["outcome"]) as folder:
        for before in read_records(Outcome, given["before"]):
            candidate, part = before.candidate, Path(locate(folder, before.candidate))
            paths = {name: str(part / name) for name in ("before", "outcome", "samples")}
            uri = locate(given["samples_uri"], candidate)
            if not (part / "figures").exists():
                write_record(before, paths["before"])
                own = paths | {"candidate": to_json(candidate), "model": locate(given["model"], candidate), "samples_uri": uri}
                write_atomically(part / "figures", json.dumps(launch("predictors", given | own)))
            made = json.loads((part / "figures").read_text()).items()
            figures |= {f"epoch_{candidate.epochs}_{name}": value for name, value in made if name != "display_name"}
            measured = read_record(Outcome, paths["outcome"])
            if measured.predictors:  # a resumed run has other places for its outputs
                measured = dataclasses.replace(measured, links=measured.links | {"predictors_samples": uri})
            outcomes.append(measured)
            shutil.copytree(paths["samples"], locate(given["samples"], candidate), dirs_exist_ok=True)
    write_records(outcomes, given["outcome"])
    return figures


def launch_chosen(stage: str, given: dict[str, Any], launch: Launch) -> dict[str, Any]:
    """Runs RL, or the benchmark after it, for the one checkpoint of a training that the gate or RL has named."""
    records = {before.candidate.epochs: before for before in read_records(Outcome, given["before"])}
    if stage == "rl":
        epochs, _, digest = given["measured_digest"].partition("/")
        before, chosen = records[int(epochs)], {"measured_digest": digest}
        chosen["model"] = locate(given["model"], before.candidate)
    else:
        (before,) = records.values()
        chosen = {"start": locate(given["start"], before.candidate)}
    with tempfile.TemporaryDirectory(prefix="rlready-") as folder:
        write_record(before, path := f"{folder}/before.json")
        return launch(stage, given | chosen | {"candidate": to_json(before.candidate), "before": path})
