"""What an experiment starts from: base model, finished checkpoints and other tools' logs: found, checked, pinned and sized."""

import dataclasses
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from rlready.config import Base, Experiment
from rlready.data.registry import Use
from rlready.errors import InputError, Unreachable, error_context
from rlready.measured.loss import is_one_kind
from rlready.measured.read import FoundLog, find_log
from rlready.measured.sweep import align, compare_settings, find_problems, list_unknown
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
from rlready.records.candidate import BaseModel, Candidate, LogSource
from rlready.stages.plan.model import check_model
from rlready.stages.plan.sources import Look
from rlready.stages.plan.sweep import is_sampled

SHAPES = Path(__file__).parent / "shapes.yaml"
TABLE = "rlready's table"
BASE = "base_measured"  # the log of the base model, among those by candidate
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
        with error_context(name):
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


def pin(
    experiment: Experiment, candidates: list[Candidate], ask: Ask
) -> tuple[list[Candidate], dict[str, FoundModel], dict[str, FoundLog]]:
    """Returns the candidates with their checkpoints and logs pinned, and these by candidate; the base model's log under BASE.

    The loss of a log counts if all that are known are of one kind; one that is measured here is of another. Raises InputError
    if a checkpoint cannot be used, or a log cannot be read or allows no comparison with the others.
    """
    models, looked = {}, dict[BaseModel, FoundModel]()  # the same checkpoint, or log, for every seed
    for name, place in ((c.candidate_id, c.checkpoint) for c in candidates if c.checkpoint):
        models[name] = looked[place] = looked.get(place) or find_checkpoint(place, name, ask)
    sources = {c.candidate_id: c.log for c in candidates if c.log}
    sources |= {BASE: LogSource(experiment.base.measured)} if experiment.base.measured else {}
    logs, read = {}, dict[LogSource, FoundLog]()
    for name, source in sources.items():
        with error_context(name):
            logs[name] = read[source] = read.get(source) or find_log(source)
    sampled = is_sampled(experiment, candidates)
    if logs and not sampled:
        align({name: one.log for name, one in logs.items()}, experiment.gate.k)
    one_kind = is_one_kind(logs[c.candidate_id].loss for c in candidates if c.log)
    comparable = one_kind and not (sampled and experiment.curate.sft_data)
    pinned = []
    for candidate in candidates:
        if model := models.get(candidate.candidate_id):
            candidate = dataclasses.replace(candidate, checkpoint=model.model, adapter_base=model.adapter_base)
        if candidate.log:
            found = logs[candidate.candidate_id]
            counts = comparable and found.loss is not None
            candidate = dataclasses.replace(candidate, log=found.source, trained_on_sft_data=counts)
        pinned.append(candidate)
    return pinned, models, logs


def compare_found(
    candidates: list[Candidate], models: dict[str, FoundModel], logs: Mapping[str, FoundLog], base: FoundModel | None
) -> Iterator[str]:
    """Yields what logs do not say, and what of logs and checkpoints is not comparable.

    That a checkpoint has another architecture, or vocabulary, than the base model or the first one matters only to the loss in
    nats per token: tokens of two vocabularies differ in length. Raises InputError if such a loss is to be compared.
    """
    if logs:
        yield from list_unknown({name: one.log for name, one in logs.items()})
    if not is_one_kind(one.loss for one in logs.values()):
        kinds = "; ".join(f"{name}: {one.loss.kind}" for name, one in logs.items() if one.loss)
        yield f"The losses are of different kinds, so they are shown but not compared ({kinds})."
    if not models:
        return
    called, other = ("the base model", base) if base else next(iter(models.items()))
    for candidate in candidates:
        model = models.get(candidate.candidate_id)
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


def compare_with_sampled(experiment: Experiment, found: Mapping[str, FoundLog], seen: Look) -> list[str]:
    """Returns a line for each log that may lack a problem which is sampled here.

    Raises InputError with a line for each log that surely lacks some, has too few samples, or was sampled in another way.
    """
    curate, k = experiment.curate, experiment.gate.k
    own: dict[str, object] = {"temperature": 1.0, "top_p": 1.0, "max_tokens": experiment.sampling.max_tokens}
    uses: list[Use] = ["predictors"] if curate.predictor_data else [use for use in seen.samples if use[0] == "evaluation"]
    rows = list({row["problem_id"]: row for use in uses for row in seen.samples.get(use, [])}.values())
    wanted, whole = min(curate.predictor_problems, len(rows)), set(uses) <= seen.complete
    faults, doubts = [], []
    for name, one in found.items():
        log, where = one.log, f"{name}: {one.source.location}"
        faults += [line.replace(log.path, where, 1) for line in compare_settings("this run", own, log)]
        if log.samples < k:
            faults.append(f"{where}: {log.samples} samples per problem, Pass@{k} needs {k}; lower gate_k, or sample more")
        has = sum(place is not None for place in find_problems(log, rows))
        looked = f"{has} of the {len(rows):,} problems checked"
        if rows and (not has or (whole and has < wanted)):
            faults.append(
                f"{where}: has {looked} of {curate.predictor_data or curate.evaluation_data}, on which others are sampled; only"
                " the same problems compare: sample on those of the log (curate_predictor_data, --benchmarks), or leave it out"
            )
        elif has < len(rows):
            doubts.append(f"{where}: has {looked}; if one of those drawn for Pass@k is missing, this candidate fails")
    if faults:
        raise InputError("\n".join(faults))
    return doubts
