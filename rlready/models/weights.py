"""Checks that a model's files hold what its configuration describes, by their headers, and that its weights are finite."""

import contextlib
import functools
import json
from collections.abc import Iterator
from pathlib import Path

from rlready.errors import InputError, one_line

FILE, INDEX = "model.safetensors", "model.safetensors.index.json"
POINTER = b"version https://git-lfs"  # the beginning of a file that Git LFS has not fetched
FLOATS = {"F64", "F32", "F16", "BF16"}
# Prefixes that wrappers add to all names.
WRAPPERS = {"_orig_mod.": "torch.compile", "module.": "DistributedDataParallel", "base_model.model.": "peft, not merged"}
ATTENTION = {"full_attention", "sliding_attention", "chunked_attention"}  # layers whose cache the embedded engine supports


def refuse_pointer(path: Path) -> None:
    """Raises InputError if a file is the pointer that Git LFS leaves in place of one."""
    with path.open("rb") as file:
        if file.read(len(POINTER)) == POINTER:
            raise InputError(f"{path} is a Git LFS pointer, not the file itself; run git lfs pull")


def read_architecture(location: dict[str, str]):
    """Returns the configuration of a model, given the arguments of `from_pretrained`.

    Raises:
        InputError: If transformers does not know its architecture, or its weights are quantised.
    """
    from transformers import AutoConfig

    where = location["pretrained_model_name_or_path"]
    try:
        config = AutoConfig.from_pretrained(**location)
    except (ValueError, KeyError, OSError) as error:
        path = Path(where) / "config.json"
        kind = json.loads(path.read_text()).get("model_type") if path.exists() else None
        raise InputError(
            f"{where}: transformers cannot read its config.json, whose model_type is {kind} (unknown, or other values than"
            f" that architecture has: {one_line(error)}); code that comes with a model is not run"
        ) from error
    if quantised := getattr(config, "quantization_config", None):
        how = quantised if isinstance(quantised, dict) else vars(quantised)
        raise InputError(
            f"{where}: its weights are quantised ({how.get('quant_method', 'quantization_config in config.json')}), which is"
            " not supported; dequantise them (model.dequantize()) and save the model again"
        )
    return config


def build_empty(config):
    """Returns the model that a configuration describes, on the meta device.

    Raises:
        InputError: If it is neither a causal language model nor an image-text model.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    kind = AutoModelForImageTextToText if hasattr(config, "vision_config") else AutoModelForCausalLM
    try:
        with torch.device("meta"):
            return kind.from_config(config)
    except (ValueError, ImportError) as error:
        said = one_line(error)
        raise InputError(f"its architecture ({config.model_type}) cannot be built: {said}") from error


def is_recurrent(config, model) -> bool:
    """Returns True if a model has layers with a state instead of keys and values, which the embedded engine cannot batch."""
    kinds = getattr(config.get_text_config(), "layer_types", None) or []
    return bool(getattr(model, "_is_stateful", False)) or not set(kinds) <= ATTENTION


RECURRENT = "its architecture ({}) has layers that keep a state, which only vllm samples; set sampling_engine to vllm"


def count_positions(config) -> tuple[int | None, bool]:
    """Returns the maximum number of positions of a model, None if unlimited, and whether a longer text is an error."""
    text = config.get_text_config()
    most, rope = getattr(text, "max_position_embeddings", None), getattr(text, "rope_parameters", None) or {}
    if not most or getattr(text, "alibi", False):
        return None, False
    stretched = (rope.get("original_max_position_embeddings") or most) * (rope.get("factor") or 1)
    return max(most, int(stretched)), not rope


def check_length(config, longest: float, what: str, advice: str) -> str | None:
    """Returns a warning if a text exceeds a model's positions but is accepted; None if it does not exceed them.

    Args:
        config: The model's.
        longest: Tokens of the text.
        what: Names the text at the beginning of the message.
        advice: What to do about it.

    Raises:
        InputError: If the model has no positions for it.
    """
    most, learned = count_positions(config)
    if most is None or longest <= most:
        return None
    line = f"{what}, and the model has {most} positions (max_position_embeddings)"
    if learned:
        raise InputError(f"{line}; {advice}")
    return f"{line}; what it writes beyond them is worth little: {advice}"


@functools.lru_cache
def tell_once(line: str | None) -> None:
    """Prints a line, if there is one, once per process."""
    if line:
        print(line, flush=True)


def check_weights(folder: Path) -> None:
    """Compares the headers of a folder's weights with its configuration, without reading the weights.

    Raises:
        InputError: If a file is missing, truncated or a pointer, or tensors are missing, unexpected or of other shapes.
    """
    import torch

    tensors = read_headers(folder)
    config = read_architecture({"pretrained_model_name_or_path": str(folder)})
    integers = [name for name, (kind, _) in tensors.items() if name.endswith(".weight") and kind not in FLOATS]
    if integers:
        raise InputError(
            f"{folder}: {integers[0]} is stored as {tensors[integers[0]][0]}: quantised weights are not supported;"
            " dequantise them and save the model again"
        )
    empty = {name: torch.empty(shape, device="meta") for name, (_, shape) in tensors.items()}
    options = {"device_map": "meta", "ignore_mismatched_sizes": True, "output_loading_info": True}
    with quiet_transformers():
        try:
            _, found = type(build_empty(config)).from_pretrained(None, config=config, state_dict=empty, **options)
        except RuntimeError as error:  # e.g. weights stored in another layout than the model's
            said = one_line(error)
            raise InputError(f"{folder}: its weights do not fit its config.json ({said})") from error
    refuse_keys(found, str(folder))


def read_headers(folder: Path) -> dict[str, tuple[str, list[int]]]:
    """Returns type and shape of each tensor of a folder, by name.

    Raises:
        InputError: If a file is missing, truncated or a pointer.
    """
    names, expected = [FILE], set()
    if not (folder / FILE).exists():
        if not (folder / INDEX).exists():
            raise InputError(f"{folder} has neither {FILE} nor {INDEX}; other names and formats are not loaded")
        try:
            placed = json.loads((folder / INDEX).read_text())["weight_map"]
            names, expected = sorted(set(placed.values())), set(placed)
        except (ValueError, KeyError, AttributeError) as error:
            raise InputError(f"{folder / INDEX} is no index of weights ({error}); save the model again") from error
    tensors: dict[str, tuple[str, list[int]]] = {}
    for name in names:
        if not (folder / name).exists():
            raise InputError(f"{folder}: {name}, which {INDEX} names, is not there; copy it, or save the model again")
        tensors |= _read_header(folder / name)
    if lost := sorted(expected - tensors.keys()):
        raise InputError(f"{folder}: {lost[0]}, which {INDEX} names, is in none of its files; save the model again")
    return tensors


def _read_header(path: Path) -> dict[str, tuple[str, list[int]]]:
    refuse_pointer(path)
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        try:
            header = json.loads(file.read(length if length <= size else 0))
            entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
            end = 8 + length + max((entry["data_offsets"][1] for entry in entries.values()), default=0)
        except (ValueError, AttributeError, KeyError, TypeError) as error:
            raise InputError(f"{path} is no safetensors file, or is truncated; copy it again") from error
    if end != size:
        raise InputError(f"{path} has {size} bytes and its header describes {end}: it is truncated; copy it again")
    return {name: (entry["dtype"], entry["shape"]) for name, entry in entries.items()}


def refuse_keys(found: dict, where: str) -> None:
    """Raises InputError if the loading info of `from_pretrained` names missing, unexpected or mismatched tensors.

    transformers would initialise such weights at random.
    """
    missing, unexpected = sorted(found["missing_keys"]), sorted(found["unexpected_keys"])
    said = [f"{len(missing)} tensors are missing ({_list(missing)})"] if missing else []
    said += [f"{len(unexpected)} are of no layer that config.json describes ({_list(unexpected)})"] if unexpected else []
    said += [
        f"{name} has the shape {list(stored)}, and config.json describes {list(built)}"
        for name, stored, built in sorted(found["mismatched_keys"])[:1]
    ]
    said += [one_line(text) for text in found.get("error_msgs", [])[:1]]
    if not said:
        return
    advice = "save model and configuration together with save_pretrained"
    for prefix, whose in WRAPPERS.items():
        if unexpected and all(name.startswith(prefix) for name in unexpected):
            advice = f"all those names begin with {prefix} ({whose}): {advice.replace('model', 'the unwrapped model', 1)}"
    if any("lora_" in name for name in unexpected):
        advice = "adapters are not merged: merge them (peft's merge_and_unload) and save the model again"
    raise InputError(f"{where}: its weights do not fit its config.json: {'; '.join(said)}; {advice}")


def check_numbers(model, where: str) -> None:
    """Raises InputError if a weight of a loaded model is not finite, or a matrix is zero throughout."""
    for name, weight in model.named_parameters():
        if weight.is_meta or not weight.numel():  # of another process, with ZeRO-3
            continue
        if not weight.isfinite().all():
            what = "holds NaN or infinity"
        elif weight.dim() > 1 and not weight.any():
            what = "is zero throughout"
        else:
            continue
        raise InputError(f"{where}: {name} {what}, so the model writes nothing of its own; take another checkpoint")


def _list(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


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
