"""Adopting a finished checkpoint instead of training one: pointed to, copied from its store, or merged from adapters."""

import hashlib
import time
from pathlib import Path

from rlready.errors import InputError, one_line
from rlready.models.load import ADAPTERS, find_file, load_model, load_tokenizer, locate, save_model, write_pointer
from rlready.models.remote import copy_remote, digest_remote, is_url
from rlready.records.candidate import BaseModel
from rlready.records.outcome import SftRecord
from rlready.runtime.devices import describe_device

ADAPTER_FILES = (ADAPTERS, "adapter_model.safetensors")


def adopt(checkpoint: BaseModel, adapter_base: BaseModel | None, out: Path) -> SftRecord:
    """Writes the model folder of a finished checkpoint that plan has pinned; returns a record without a trajectory.

    The folder is a pointer to a whole model that `from_pretrained` finds. Remote folders are copied, adapters of `adapter_base`
    are merged. Raises InputError if the checkpoint has changed since plan checked it, or adapters do not fit their base model.
    """
    begun, digest = time.time(), checkpoint.digest
    if adapter_base:
        _merge_adapters(checkpoint, adapter_base, out)
        # Of the inputs of the merge, since the last bits of its result may differ on another machine.
        digest = hashlib.sha256(f"{digest} {adapter_base.digest}".encode()).hexdigest()[:16]
    elif is_url(checkpoint.location):
        _copy_checkpoint(checkpoint, out)
    else:
        write_pointer(out, checkpoint)
    return SftRecord([], 0, 0, digest, seconds=time.time() - begun, **describe_device())


def _copy_checkpoint(checkpoint: BaseModel, out: Path) -> None:
    digest, names = digest_remote(checkpoint.location)
    if digest != checkpoint.digest:
        raise InputError(f"{checkpoint.location} has changed since plan checked it; start the run again")
    partial = Path(f"{out}.partial")
    copy_remote(checkpoint.location, names, partial)
    if out.exists():
        out.rmdir()
    partial.rename(out)


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
