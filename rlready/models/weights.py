"""Checks that a model's files hold what its configuration describes, and that its weights are finite."""

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from rlready.errors import InputError, one_line

FILE, INDEX = "model.safetensors", "model.safetensors.index.json"
POINTER = b"version https://git-lfs"  # the beginning of a file that Git LFS has not fetched
FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}  # numpy has no bfloat16: the upper half of a float32
LARGEST_WEIGHT = 1e18  # the square of a larger one, which a norm computes, overflows float32
MOST_READ = 2**30  # bytes of a file whose values are read before the model is loaded
# What wrappers add to the names of tensors, at their beginning or after a dot.
PREFIXES = {
    "_orig_mod.": "torch.compile",
    "module.": "DistributedDataParallel",
    "base_model.model.": "peft, not merged",
    "_fsdp_wrapped_module.": "FSDP",
    "_checkpoint_wrapped_module.": "activation checkpointing",
}
# Architectures whose norms multiply by 1 + weight, so that a weight of zeros is an ordinary start.
ZERO_CENTRED = re.compile("gemma|nemotron|qwen3_next|qwen3_5|qwen4|minimax_m3|step3p7|muse")
NOT_LOADED = "other files of weights are not loaded; load the model with transformers and save it with save_pretrained"
HALF = re.compile(r"(?:base_model\.model\.)?(.+)\.lora_([AB])(?:\.\w+)?\.weight")  # a matrix of an adapter
Tensors = dict[str, tuple[str, list[int]]]  # type and shape of each tensor, by name


def refuse_pointer(path: Path) -> None:
    """Raises InputError if a file is the pointer that Git LFS leaves in place of one."""
    with path.open("rb") as file:
        if file.read(len(POINTER)) == POINTER:
            raise InputError(f"{path} is a Git LFS pointer, not the file itself; run git lfs pull")


def read_headers(folder: Path, whole: bool = False) -> Tensors:
    """Returns type and shape of each tensor of a folder, by name.

    Raises InputError if a file is missing, truncated or a pointer, or holds values that `check_numbers` refuses; those of files
    larger than MOST_READ are read only if `whole`.
    """
    config = folder / "config.json"
    kind = json.loads(config.read_text()).get("model_type", "") if config.exists() else ""
    if (folder / FILE).exists():
        return read_header(folder / FILE, whole, kind)
    if not (folder / INDEX).exists():
        raise InputError(f"{folder} has neither {FILE} nor {INDEX}; {NOT_LOADED}")
    tensors: Tensors = {}
    placed = read_index(folder / INDEX)
    for name in sorted(set(placed.values())):
        if not (folder / name).exists():
            raise InputError(f"{folder}: {name}, which {INDEX} names, is missing; copy it, or save the model again")
        tensors |= read_header(folder / name, whole, kind)
    if lost := sorted(placed.keys() - tensors.keys()):
        raise InputError(f"{folder}: {lost[0]}, which {INDEX} names, is in none of its files; save the model again")
    return tensors


def read_index(path: Path) -> dict[str, str]:
    """Returns the file of each tensor, by name; raises InputError if the index does not say it."""
    refuse_pointer(path)
    try:
        placed = json.loads(path.read_text())["weight_map"]
        return dict(placed.items())
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise InputError(f"{path} is not an index of weights ({error}); save the model again") from error


def read_header(path: Path, whole: bool = False, kind: str = "") -> Tensors:
    """Returns type and shape of each tensor of a file, by name; see `read_headers`."""
    refuse_pointer(path)
    try:
        with safe_open(path, "np"):  # compares the place of each tensor with its shape, and all with the size of the file
            pass
    except SafetensorError as error:
        raise InputError(
            f"{path} is truncated or damaged, or is not a safetensors file ({one_line(error)}); copy it again"
        ) from error
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    for name, entry in header.items() if whole or path.stat().st_size <= MOST_READ else ():
        if entry["dtype"] in FLOATS and 0 not in entry["shape"]:
            offset = 8 + length + entry["data_offsets"][0]
            values: np.ndarray = np.memmap(path, FLOATS[entry["dtype"]], "r", offset, tuple(entry["shape"]))
            values = (values.astype("<u4") << 16).view("<f4") if entry["dtype"] == "BF16" else values
            _refuse_value(name, values, str(path), kind)
    return {name: (entry["dtype"], entry["shape"]) for name, entry in header.items()}


def refuse_keys(found: dict, where: str) -> None:
    """Raises InputError if the loading info of `from_pretrained` names missing, unexpected or mismatched tensors.

    transformers would initialise such weights at random.
    """
    missing, unexpected = sorted(found["missing_keys"]), sorted(found["unexpected_keys"])
    said = []
    for names, what in ((missing, "tensors are missing"), (unexpected, "are of no layer that config.json describes")):
        if names:
            said.append(f"{len(names)} {what} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})")
    for name, stored, built in sorted(found["mismatched_keys"])[:1]:
        said.append(f"{name} has the shape {list(stored)}, and config.json describes {list(built)}")
    said += [one_line(text) for text in found.get("error_msgs", [])[:1]]
    if not said:
        return
    advice = "save model and configuration together with save_pretrained"
    first = unexpected[0] if unexpected else ""
    wrappers = {first.removesuffix(name): "a wrapper" for name in missing if first.endswith(f".{name}")}
    for part, whose in (wrappers | PREFIXES).items():
        if unexpected and all(name.startswith(part) or f".{part}" in name for name in unexpected):
            advice = f"all those names have {part} ({whose}): save the unwrapped model and configuration with save_pretrained"
    if any("lora_" in name for name in unexpected):
        advice = "adapters are not merged: merge them (peft's merge_and_unload) and save the model again"
    raise InputError(f"{where}: its weights do not fit its config.json: {'; '.join(said)}; {advice}")


def check_adapters(adapters: Tensors, config: dict, base: Tensors, where: str) -> None:
    """Raises InputError if LoRA adapters lack a part, or do not fit a layer of their base model.

    peft would merge what is there and leave the other layers as they are.
    """
    halves: dict[str, dict[str, list[int]]] = {}
    for name, (_, shape) in adapters.items():
        if match := HALF.fullmatch(name):
            halves.setdefault(match[1], {})[match[2]] = shape
    again = "name the base model that they were trained on, or save them again"
    for name, (_, shape) in adapters.items():  # whole layers beside the adapters, such as a resized embedding
        if (stored := base.get(whole := name.removeprefix("base_model.model."))) and stored[1] != shape:
            raise InputError(f"{where}: its {whole} has the shape {shape}, and that of the base model {stored[1]}; {again}")
    shapes = {name.removesuffix(".weight"): shape for name, (_, shape) in base.items() if name.endswith(".weight")}
    if not halves.keys() & shapes.keys():  # names of another layout
        return
    named = config.get("target_modules")
    if isinstance(named, list) and not any(config.get(key) for key in ("layers_to_transform", "exclude_modules")):
        for layer in sorted(shapes.keys() - halves.keys()):
            if any(f".{layer}".endswith(f".{one}") for one in named):
                raise InputError(f"{where}: holds no adapters of {layer}, which target_modules names; {again}")
    for layer, half in sorted(halves.items()):
        if half.keys() != {"A", "B"}:
            raise InputError(f"{where}: of {layer} it holds lora_{''.join(half)} only; {again}")
        made = [half["B"][0], half["A"][1]]
        made = made[::-1] if config.get("fan_in_fan_out") else made
        if made != shapes.get(layer):
            has = f"has {shapes[layer]}" if layer in shapes else "has no such layer"
            raise InputError(f"{where}: its adapters of {layer} are for the shape {made}, and the base model {has}; {again}")


def check_numbers(model, where: str) -> None:
    """Raises InputError if a weight of a loaded model is not finite or too large, or a matrix or norm is zero throughout."""
    for name, weight in model.named_parameters():
        if not weight.is_meta and weight.numel():  # with ZeRO-3, a process does not hold all weights
            _refuse_value(name, weight.detach(), where, model.config.model_type)


def _refuse_value(name: str, weight: Any, where: str, kind: str) -> None:
    largest = float(max(weight.max(), -weight.min()))  # NaN if the weight holds one
    what = "" if largest <= LARGEST_WEIGHT else f"holds NaN or infinity, or a number beyond {LARGEST_WEIGHT:g}"
    # Biases may be zero, and adapters that change nothing are.
    if largest == 0 and "lora_" not in name:
        norm = weight.ndim == 1 and name.endswith(".weight") and kind and not ZERO_CENTRED.search(kind)
        what = "is zero throughout" if weight.ndim > 1 or norm else what
    if what:
        raise InputError(f"{where}: {name} {what}, so the model writes nothing of its own; take another checkpoint")


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silences what transformers reports; callers report it in one line."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
