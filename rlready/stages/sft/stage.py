"""The stage itself: trains one candidate, adopts its checkpoint, or passes on one of which only a log is known."""

import hashlib
import shutil
import time
from pathlib import Path

from rlready.config import read_settings
from rlready.errors import InputError, one_line
from rlready.models.load import ADAPTERS, find_file, load_model, load_tokenizer, locate, save_model, write_pointer
from rlready.models.remote import copy_remote, digest_remote, is_url
from rlready.records.candidate import BaseModel, Candidate
from rlready.records.outcome import Outcome, SftRecord
from rlready.records.serialization import from_json, write_atomically, write_record, write_records
from rlready.tracking.log import log_outcome
from rlready.training import epochs
from rlready.training.processes import describe_device, is_main

ADAPTER_FILES = (ADAPTERS, "adapter_model.safetensors")


def run(candidate: str, settings: str, data: str, model: str, model_uri: str, outcome: str) -> dict[str, float | None]:
    """Writes the model folder and the outcome of one candidate, or of all checkpoints of a training; returns its figures."""
    chosen, given = from_json(Candidate, candidate), read_settings(settings)
    base = getattr(given, "base_model", None)
    finished, stored = chosen.checkpoint, model_uri
    if chosen.log and chosen.is_base and base:
        finished = BaseModel(**base)
    if finished:
        record = adopt(finished, chosen.adapter_base, Path(model)) if is_main() else None
        stored = model_uri if chosen.adapter_base else finished.location
    elif chosen.log:
        write_record(Outcome(chosen), outcome)
        write_atomically(Path(model) / "none.json", '{"weights": "only a log is known of this candidate"}')
        return {}
    else:
        from rlready.stages.sft.train import train  # loads torch and TRL

        record = train(chosen, BaseModel(**given.base_model), given, Path(data), Path(model))
    if record is None:  # in every process but the main one
        return {}
    made = [(chosen, record, stored)]
    if chosen.kept_epochs:
        checkpoints = map(chosen.at, chosen.kept_epochs)
        made = [(one, epochs.cut(record, one, Path(model)), epochs.locate(stored, one)) for one in checkpoints]
    links = {"base_model": base} if base else {}
    outcomes = [Outcome(one, sft=sft, links=links | {"sft_model": place}) for one, sft, place in made]
    write_records(outcomes, outcome)
    for reached in outcomes:
        log_outcome(reached)
    return {"heldout_loss": record.trajectory[-1][1] if record.trajectory else None, "seconds": record.seconds}


def adopt(checkpoint: BaseModel, adapter_base: BaseModel | None, out: Path) -> SftRecord:
    """Writes the model folder of a finished checkpoint that plan has pinned; returns a record without a trajectory.

    It points to the model, unless that is at a URL, which is copied, or holds adapters, which are merged into `adapter_base`.
    Raises InputError if the checkpoint has changed since plan checked it, or adapters do not fit their base model.
    """
    begun, digest = time.time(), checkpoint.digest
    if adapter_base:
        _merge_adapters(checkpoint, adapter_base, out)
        # Of the inputs of the merge, since the last bits of its result may differ on another machine.
        digest = hashlib.sha256(f"{digest} {adapter_base.digest}".encode()).hexdigest()[:16]
    elif is_url(checkpoint.location):
        now, names = digest_remote(checkpoint.location)
        if now != digest:
            raise InputError(f"{checkpoint.location} has changed since plan checked it; start the run again")
        partial = Path(f"{out}.partial")
        copy_remote(checkpoint.location, names, partial)
        shutil.rmtree(out, ignore_errors=True)  # of an attempt that was killed after writing it
        partial.rename(out)
    else:
        write_pointer(out, checkpoint)
    return SftRecord([], 0, 0, digest, seconds=time.time() - begun, **describe_device())


def _merge_adapters(adapters: BaseModel, base: BaseModel, out: Path) -> None:
    """Merges adapters into their base model, in float32, and saves the model in the precision of its base."""
    import torch
    from peft import PeftModel
    from transformers import AutoConfig

    config, weights = (find_file(adapters, name) for name in ADAPTER_FILES)
    if not (config and weights):
        raise InputError(f"{adapters.location} has no {' and '.join(ADAPTER_FILES)}; pickled weights are not loaded")
    tokenizer = load_tokenizer(adapters if find_file(adapters, "tokenizer.json") else base)
    stored = AutoConfig.from_pretrained(**locate(base)).dtype or torch.float32
    try:
        merged = PeftModel.from_pretrained(load_model(base, "float32"), str(config.parent)).merge_and_unload()
    except (RuntimeError, ValueError, AttributeError) as error:  # other shapes, other layers, or nothing to merge
        said = one_line(error, 300)
        raise InputError(f"{adapters.location}: its adapters do not fit {base.location} ({said})") from error
    save_model(merged.to(stored), tokenizer, out)
