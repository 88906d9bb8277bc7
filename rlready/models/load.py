"""Finding, checking, identifying and loading models. Safetensors only, no remote code."""

import hashlib
import json
import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rlready import countdown, list_machine
from rlready.errors import InputError, Unreachable, one_line
from rlready.models.architecture import Architecture, build_empty, inspect_architecture, read_architecture
from rlready.models.prompts import list_eos_token_ids
from rlready.models.remote import find_commit
from rlready.models.weights import FILE, INDEX, NOT_LOADED, check_numbers, read_headers, read_index, refuse_keys, refuse_pointer
from rlready.records.candidate import BaseModel
from rlready.records.serialization import to_json, write_atomically

BUILTIN = {
    "builtin:list-machine": Path(list_machine.__file__).parent / "base",
    "builtin:countdown": Path(countdown.__file__).parent / "base",
}
POINTER = "base_model.json"  # instead of weights, if a checkpoint is a model that exists already
ADAPTERS = "adapter_config.json"  # of a folder of adapters, as peft writes it
CONFIGURATION = ("config.json", "tokenizer.json", "tokenizer_config.json")


def find_model(model: str, revision: str) -> BaseModel:
    """Returns the model that `inspect_model` finds."""
    return inspect_model(model, revision)[0]


def inspect_model(model: str, revision: str) -> tuple[BaseModel, Architecture | None]:
    """Finds and checks a model, a hub id, folder or builtin name, without loading it; returns it and a folder's architecture.

    Raises InputError if the folder is incomplete, its weights do not fit its configuration, or the hub does not have the model,
    and Unreachable if the hub cannot be reached.
    """
    if model in BUILTIN:
        return BaseModel(model, "", digest_folder(BUILTIN[model])), None
    if model.startswith("builtin:"):
        raise InputError(f"unknown builtin {model!r}; known are {', '.join(BUILTIN)}")
    local = Path(model).expanduser()
    if local.is_dir():
        check_model_folder(local)
        config = read_json(BaseModel(str(local), "", ""), "config.json") or {}
        architecture = inspect_architecture(locate(local), config, read_headers(local))
        return BaseModel(str(local.resolve()), "", digest_folder(local)), architecture
    if local.exists():
        raise InputError(f"{model} is a file; give the folder that it belongs to, with configuration, weights and tokenizer")
    if model.startswith((".", "/", "~")) or model.count("/") != 1:
        raise InputError(f"{model} is neither a folder nor a hub id such as owner/name")
    try:
        commit = find_commit("model", model, revision)
    except Unreachable as error:
        raise Unreachable(f"could not reach the hub for {model} ({error}); a local folder works too") from error
    return BaseModel(model, commit, commit), None


def check_model_folder(folder: Path, names: Iterable[str] | None = None) -> None:
    """Raises InputError if a model folder lacks configuration, weights, tokenizer or chat template.

    `names` are those of all its files, if the weights are not in the folder.
    """
    names = set(names or (path.name for path in folder.iterdir()))
    if ADAPTERS in names:
        raise InputError(f"{folder} holds adapters ({ADAPTERS}); merge them (peft's merge_and_unload), or give a merged folder")
    if missing := [name for name in CONFIGURATION if name not in names]:
        inside = next((f"; there is {path.parent}" for path in sorted(folder.glob("*/config.json"))), "")
        raise InputError(f"{folder} has no {', '.join(missing)}{inside}; save model and tokenizer with save_pretrained")
    for name in CONFIGURATION:
        refuse_pointer(folder / name)
    if not any(name.endswith(".safetensors") for name in names):
        raise InputError(f"{folder} has no *.safetensors; {NOT_LOADED}")
    tokens = read_json(BaseModel(str(folder), "", ""), "tokenizer_config.json") or {}
    if not (folder / "chat_template.jinja").exists() and not tokens.get("chat_template"):
        raise InputError(f"{folder} has no chat template; add chat_template.jinja")


def digest_folder(folder: Path) -> str:
    """Returns a digest of the names and contents of all files in a folder: a copy has the same one."""
    digest, paths = hashlib.sha256(), sorted(path for path in folder.rglob("*") if path.is_file())
    for path, content in zip(paths, _digest_files(paths), strict=True):
        digest.update(f"{path.relative_to(folder)}\0".encode() + content)
    return digest.hexdigest()[:16]


def digest_weights(folder: str | Path) -> str:
    """Returns a digest of a model folder's weights, or that of the model that the folder points to."""
    if (pointer := Path(folder) / POINTER).exists():
        return json.loads(pointer.read_text())["digest"]
    weights = _digest_files(sorted(Path(folder).glob("*.safetensors")))
    return hashlib.sha256(b"".join(weights)).hexdigest()[:16]


def _digest_files(paths: list[Path]) -> list[bytes]:
    def digest(path: Path) -> bytes:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()

    with ThreadPoolExecutor() as pool:  # hashing releases the GIL
        return list(pool.map(digest, paths))


def write_pointer(folder: str | Path, model: BaseModel) -> None:
    """Makes a model folder that refers to an existing model, without copying its weights."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    write_atomically(Path(folder) / POINTER, to_json(model))


def locate(model: str | Path | BaseModel) -> dict[str, Any]:
    """Returns the arguments of `from_pretrained` for a model folder, a folder with a pointer, or a base model."""
    if not isinstance(model, BaseModel):
        pointer = Path(model) / POINTER
        model = BaseModel(**json.loads(pointer.read_text())) if pointer.exists() else BaseModel(str(model), "", "")
    place = str(BUILTIN.get(model.location, model.location))
    # Unless told not to, transformers asks on the terminal whether it shall run the code that comes with a model.
    arguments = {"pretrained_model_name_or_path": place, "trust_remote_code": False}
    return arguments | ({"revision": model.revision} if model.revision else {})


def get_folder(model: str | Path | BaseModel) -> Path:
    """Returns the folder of a model; for a model of the hub a path that does not exist."""
    return Path(locate(model)["pretrained_model_name_or_path"])


def load_tokenizer(model: str | Path | BaseModel):
    """Returns the tokenizer, padding on the left."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(**locate(model), padding_side="left")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def choose_precision() -> str:
    """Returns the precision in which every engine samples here: bfloat16 on a GPU, float32 on the CPU."""
    import torch

    return "bfloat16" if torch.cuda.is_available() else "float32"


def load_model(model: str | Path | BaseModel, dtype: str | None = None, kind: Any = None, **arguments):
    """Returns the model in evaluation mode, of the class `kind`, in `dtype`, by default `choose_precision()`.

    Raises InputError if weights are missing, unexpected, of other shapes or not finite.
    """
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    location = locate(model)
    loader: Any = kind or AutoModelForCausalLM
    loaded, found = loader.from_pretrained(
        **location,
        use_safetensors=True,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
        dtype=dtype or choose_precision(),
        **arguments,
    )
    where = location["pretrained_model_name_or_path"]
    refuse_keys(found, where)
    check_numbers(loaded, where)
    return loaded.to("cuda" if torch.cuda.is_available() else "cpu").eval()


def find_file(base: BaseModel, name: str) -> Path | None:
    """Returns a file of a model, None if it has none; raises Unreachable if neither the hub nor its cache answers."""
    folder = get_folder(base)
    if folder.is_dir():
        return folder / name if (folder / name).exists() else None
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    try:
        cached = not base.digest  # a hub that plan could not reach a moment ago is not tried again
        return Path(hf_hub_download(base.location, name, revision=base.revision or None, local_files_only=cached))
    except Exception as error:
        if isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError):
            return None
        raise Unreachable(f"could not reach the hub for {name} of {base.location} ({one_line(error)})") from error


def fetch_weights(model: str | Path | BaseModel) -> Path:
    """Returns the folder of a model's weights, downloaded if need be; raises InputError if it has none, or Unreachable."""
    location = locate(model)
    if (folder := Path(location["pretrained_model_name_or_path"])).is_dir():
        return folder
    revision = location.get("revision", "")
    base = BaseModel(str(folder), revision, digest=revision or "main")
    index = find_file(base, INDEX)
    names = set(read_index(index).values()) if index else {FILE}
    paths = [path for path in (find_file(base, name) for name in names) if path]
    if len(paths) < len(names):
        raise InputError(f"{folder} has no {', '.join(sorted(names))}; {NOT_LOADED}")
    return paths[0].parent


def read_json(base: BaseModel, name: str) -> dict | None:
    """Returns what a JSON file of a model holds, None if the model has none; raises InputError if it is not JSON."""
    path = find_file(base, name)
    if not path:
        return None
    try:
        read = json.loads(path.read_text())
    except ValueError as error:
        raise InputError(f"{name} of {base.location} is not JSON ({error}); copy it again") from error
    if not isinstance(read, dict):
        raise InputError(f"{name} of {base.location} is not an object of JSON; copy it again")
    return read


def takes_pictures(model: BaseModel) -> bool:
    """Returns True if a base model is an image-text model."""
    return "vision_config" in (read_json(model, "config.json") or {})


def load_image_text_model(model: str | Path | BaseModel):
    """Returns (image-text model in evaluation mode, its processor); raises InputError if a package is missing."""
    from transformers import AutoModelForImageTextToText, AutoProcessor

    try:
        processor = AutoProcessor.from_pretrained(**locate(model))
    except ImportError as error:
        raise InputError(f"base_model: its processor of pictures needs more packages ({error})") from error
    return load_model(model, kind=AutoModelForImageTextToText), processor


def count_parameters(model: str | Path | BaseModel) -> int | None:
    """Returns how many parameters a model has by its configuration, tied ones once; None if that cannot be read."""
    try:
        built = build_empty(read_architecture(locate(model)))
    except (OSError, ValueError):
        return None
    return sum(parameter.numel() for parameter in built.parameters())


def save_model(model, tokenizer, folder: str | Path, weights: dict | None = None) -> None:
    """Writes a model folder that appears only when it is complete; `weights` if the model holds only a part of them."""
    partial = Path(f"{folder}.partial")
    # Every engine stops where the checkpoint was trained to.
    model.generation_config.eos_token_id = list_eos_token_ids(tokenizer, model.generation_config)
    # Trainers disable the cache, which would slow down every later generate().
    model.config.use_cache = model.generation_config.use_cache = True
    model.save_pretrained(partial, state_dict=weights)
    tokenizer.save_pretrained(partial)
    if Path(folder).exists():
        shutil.rmtree(folder)  # of an attempt that was killed after writing it
    partial.rename(folder)


def read_tokenizer(path: Path):
    """Returns the tokenizer of a tokenizer.json without the truncation and padding that a training may have left in it."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def load_token_counter(location: str, revision: str):
    """Returns a function from texts to their numbers of tokens, without transformers; see BaseModel for the arguments."""
    from huggingface_hub import hf_hub_download

    path = get_folder(BaseModel(location, "", "")) / "tokenizer.json"
    tokenizer = read_tokenizer(path if path.parent.is_dir() else Path(hf_hub_download(location, path.name, revision=revision)))
    return lambda texts: list(map(len, tokenizer.encode_batch_fast(texts, add_special_tokens=False)))
