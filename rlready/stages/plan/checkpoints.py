"""The models that an experiment starts from, base model and finished checkpoints: found, checked, pinned and sized."""

import dataclasses
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from rlready.config import Base
from rlready.errors import InputError, Unreachable, error_context
from rlready.models.architecture import Architecture, Shape, inspect_architecture, read_shape
from rlready.models.load import (
    ADAPTERS,
    BUILTIN,
    check_model_folder,
    digest_folder,
    find_file,
    get_folder,
    inspect_model,
    locate,
    read_json,
)
from rlready.models.remote import copy_remote, digest_remote, is_url
from rlready.models.weights import check_adapters, read_header, read_headers
from rlready.records.candidate import BaseModel, Candidate
from rlready.stages.plan.model import check_model

SHAPES = Path(__file__).parent / "shapes.yaml"
TABLE = "rlready's table"
# Calls what may not reach the hub, for a parameter or a candidate; returns None if it did not.
Ask = Callable[[Callable, str], Any]


@dataclass(frozen=True, kw_only=True)
class FoundModel:
    """A model that exists, with what its memory and cost follow from; None: unknown."""

    model: BaseModel  # pinned; without a digest if the hub could not be reached
    adapter_base: BaseModel | None  # the model that the adapters belong to; None for a whole model
    kind: str  # architecture; empty if unknown
    vocabulary: int | None  # rows of the embedding
    shape: Shape | None  # if it is a Llama-like decoder
    source: str  # where the shape was read
    parameters: int | None
    architecture: Architecture | None  # what its config.json describes

    @property
    def key(self) -> tuple[str, str]:
        """Its identity, which a copy shares."""
        return name_model(self.model), name_model(self.adapter_base) if self.adapter_base else ""

    def describe(self) -> str:
        """Returns location, digest, architecture and size in one line."""
        size = f", {self.parameters / 1e6:,.{0 if self.parameters > 1e7 else 2}f}M parameters" if self.parameters else ""
        base = f", adapters of {self.adapter_base.location}" if self.adapter_base else ""
        kind = f", {self.kind}" if self.kind else ""
        return f"{self.model.location} ({self.model.digest or 'not checked'}){kind}{size}{base}"


def name_model(model: BaseModel) -> str:
    """Returns the digest of a model, or its location if the hub could not be reached."""
    return model.digest or f"{model.location}@{model.revision}"


def find_base(given: Base, ask: Ask) -> FoundModel:
    """Finds and checks the base model; raises InputError if it cannot be used."""
    if given.revision != Base.revision:
        refuse_revision("base_model", given.model, given.revision)
    return find_whole(given.model, given.revision, "base_model", ask)


def refuse_revision(name: str, model: str, revision: str) -> None:
    """Raises InputError, which begins with `name`, if a folder is given a revision, which only a hub model has."""
    if revision and Path(model).expanduser().is_dir():
        raise InputError(f"{name}: revision {revision!r} is of a hub model, and {model} is a folder; leave it out")


def find_whole(model: str, revision: str, name: str, ask: Ask) -> FoundModel:
    """Finds and checks a whole model; raises InputError, which begins with `name`, if it cannot be used."""
    found, architecture = ask(lambda: inspect_model(model, revision or "main"), name) or (BaseModel(model, revision, ""), None)
    measured = measure(found, architecture)
    if found.digest:
        if not architecture and found.location not in BUILTIN and measured.source != TABLE:
            config = read_json(found, "config.json") or {}
            with error_context(name):
                measured = measure(found, inspect_architecture(locate(found), config))
        ask(lambda: check_model(found, measured.architecture), name)
    return measured


def find_checkpoint(given: BaseModel, name: str, ask: Ask) -> FoundModel:
    """Finds and checks the model of a finished checkpoint: a folder, a hub id or a URL, whole or adapters."""
    if is_url(given.location):
        with error_context(name):
            return _find_remote(given)
    local = Path(given.location).expanduser()
    refuse_revision(name, given.location, given.revision)
    if not (local / ADAPTERS).exists():
        whole = find_whole(given.location, given.revision, name, ask)
        adapters = whole.model.digest and not local.is_dir() and ask(lambda: read_json(whole.model, ADAPTERS), name)
        return _find_adapters(whole.model, adapters, name, ask) if adapters else whole
    with error_context(name):
        found = BaseModel(str(local.resolve()), "", digest_folder(local))
        if not (local / "adapter_model.safetensors").exists():
            raise InputError(f"{local} has no adapter_model.safetensors; pickled weights are not loaded")
        tensors, config = read_header(local / "adapter_model.safetensors"), read_json(found, ADAPTERS) or {}
        whole = _find_adapters(found, config, name, ask)
        if whole.adapter_base and (below := get_folder(whole.adapter_base)).is_dir():
            check_adapters(tensors, config, read_headers(below), str(local))
        return whole


def _find_adapters(found: BaseModel, config: dict, name: str, ask: Ask) -> FoundModel:
    """Returns adapters with the model that they belong to, into which SFT merges them."""
    kind, base = config.get("peft_type"), config.get("base_model_name_or_path")
    merge = "merge them (peft's merge_and_unload) and name the merged folder"
    if not isinstance(kind, str) or "PROMPT" in kind or kind in ("P_TUNING", "PREFIX_TUNING"):
        raise InputError(f"{name}: {found.location} holds adapters of the kind {kind}, which cannot be merged with weights")
    if not isinstance(base, str) or not base:
        raise InputError(f"{name}: {found.location} holds adapters that do not name their base model; {merge}")
    try:
        below = find_whole(base, config.get("revision") or "", "its base model", ask)
    except InputError as error:
        raise type(error)(f"{name}: {found.location} holds adapters, and {error}; {merge}") from error
    if find_file(found, "tokenizer.json"):
        ask(lambda: check_model(found, below.architecture), name)
    return dataclasses.replace(below, model=found, adapter_base=below.model)


def _find_remote(given: BaseModel) -> FoundModel:
    """Checks the small files of a remote folder; SFT copies all of it."""
    digest, names = digest_remote(given.location)
    if ADAPTERS in names:
        raise InputError(f"{given.location} holds adapters, which are merged in a folder only; copy them to one")
    with tempfile.TemporaryDirectory() as folder:
        copy_remote(given.location, [name for name in names if not name.endswith(".safetensors")], Path(folder))
        seen = BaseModel(folder, "", digest)
        try:
            check_model_folder(Path(folder), names)
            architecture = inspect_architecture(locate(seen), read_json(seen, "config.json") or {})
            check_model(seen, architecture)
        except InputError as error:
            raise type(error)(str(error).replace(folder, given.location)) from error
        return dataclasses.replace(measure(seen, architecture), model=BaseModel(given.location.rstrip("/"), "", digest))


def measure(model: BaseModel, architecture: Architecture | None = None) -> FoundModel:
    """Returns a model with its size, from its folder, the hub or its cache, or a table of the recipes' models."""
    try:
        config, source = read_json(model, "config.json"), "config.json"
        source = source if get_folder(model).is_dir() else f"the hub's {source}"
    except Unreachable:  # no network, or a licence that is not accepted yet
        config, source = yaml.safe_load(SHAPES.read_text()).get(model.location), TABLE
    config = config or {}
    shape, (kind, *_) = read_shape(config), config.get("architectures") or [""]
    parameters = shape.parameters if shape else architecture.parameters if architecture else None
    return FoundModel(
        model=model, adapter_base=None, kind=kind, vocabulary=config.get("vocab_size"), shape=shape, source=source,
        parameters=parameters, architecture=architecture,
    )  # fmt: skip


def pin(candidates: list[Candidate], ask: Ask) -> tuple[list[Candidate], dict[str, FoundModel]]:
    """Returns the candidates with their checkpoints pinned, and the models of the checkpoints by candidate."""
    pinned, found, looked = [], {}, dict[BaseModel, FoundModel]()
    for candidate in candidates:
        if candidate.checkpoint:
            place = candidate.checkpoint  # the same one for every seed
            looked[place] = looked.get(place) or find_checkpoint(place, candidate.candidate_id, ask)
            model = found[candidate.candidate_id] = looked[place]
            candidate = dataclasses.replace(candidate, checkpoint=model.model, adapter_base=model.adapter_base)
        pinned.append(candidate)
    return pinned, found


def compare_kinds(candidates: list[Candidate], found: dict[str, FoundModel], base: FoundModel | None) -> Iterator[str]:
    """Yields a line for each checkpoint of another architecture, or vocabulary, than the base model or the first checkpoint.

    This does not matter to Pass@k and RL. It does to the loss in nats per token: tokens of two vocabularies differ in length.
    Raises InputError if the loss of such a checkpoint is to be compared.
    """
    if not found:
        return
    called, other = ("the base model", base) if base else next(iter(found.items()))
    for candidate in candidates:
        model = found.get(candidate.candidate_id)
        if not model or model is other:
            continue
        differs = None not in (model.vocabulary, other.vocabulary) and model.vocabulary != other.vocabulary
        sizes = f"{model.vocabulary} tokens, and {called} {other.vocabulary}"
        if differs and candidate.trained_on_sft_data:
            raise InputError(
                f"{candidate.candidate_id}: its vocabulary has {sizes}: losses in nats per token are not comparable; leave out"
                " trained_on_sft_data, or --data of rank"
            )
        if differs or (model.kind and other.kind and model.kind != other.kind):
            yield (
                f"{candidate.candidate_id} is a different model ({model.kind}, {sizes}): its Pass@k and RL are comparable,"
                " its loss is not"
            )
