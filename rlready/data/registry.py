"""What a source is: the shipped registries of datasets and benchmarks, a recipe's own entries, hub ids, files and URLs."""

import dataclasses
import itertools
import os
import re
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, get_args

from rlready.config import Curate, check_keys
from rlready.config.recipes import read_yaml
from rlready.countdown import problems as countdown
from rlready.data.files import FORMS, find_form, find_split, holds_data, is_folder
from rlready.errors import InputError, error_context, suggest
from rlready.list_machine import problems as list_machine
from rlready.models.prompts import INSTRUCTIONS, is_prompt
from rlready.runtime.events import tell_once
from rlready.verifier import find_origin

# The rows of a builtin source, and their format.
BUILTIN = {
    "builtin:list-machine": (list_machine.generate_rows, "word"),
    "builtin:countdown": (countdown.generate_rows, "countdown-steps"),
}
MIRROR = "RLREADY_MIRROR"
REGISTRIES = ("datasets", "benchmarks")
FIELDS = ("question", "open_question", "answer", "solution", "choices", "messages", "subject", "image", "group")
Use = str | tuple[str, str]  # of a source: sft, rl or predictors; (evaluation, name) or (decontaminate, name)
COLUMN = re.compile(r"[^\[\]{}]+(\[(\w+|\*)\])*")
TEMPLATE = re.compile(r"\{[^{}]+\}")  # a column in a text
ITEMS: dict[str, type] = {"config": str, "remove": str, "rows": int}  # what the lists of these keys hold


@dataclass(frozen=True)
class Source:
    """Where rows come from and how one becomes a problem; datasets.yaml explains the keys of an entry.

    `pictures` is no key: it says that the model takes pictures, so the column of the picture is read.
    """

    name: str
    hub: str = ""
    path: str = ""
    config: str | list | None = None
    folder: str | None = None
    split: str | None = None
    revision: str | None = None
    digest: str | None = None
    columns: dict = field(default_factory=dict)
    remove: list = field(default_factory=list)
    keep: dict = field(default_factory=dict)
    drop: dict = field(default_factory=dict)
    because: str = ""
    format: str = ""
    prompt: str = ""
    licence: str = ""
    rows: int | list | None = None
    share: list = field(default_factory=list)
    pictures: bool = False

    @property
    def key(self) -> str:
        """Its name in revisions and cards: with the split, if the name may mean several."""
        named = not self.split or (self.hub and ":" in self.name)
        return self.name if named else f"{self.name}:{self.split}"

    @property
    def benchmark(self) -> str:
        """Its name in results: of a path, the last part without its suffixes."""
        name = PurePosixPath(self.path if self.name == self.path else "").name
        return name[: name.lower().rindex(find_form(name) or ".")] if "." in name else name or self.name

    @cached_property
    def named(self) -> set[str]:
        """The words in the columns that its entry names."""
        return set(re.split(r"\W+", str([self.columns, self.keep, self.drop])))

    @property
    def most_rows(self) -> float:
        """Maximum number of rows, infinity if its entry does not say."""
        return max(self.expected_rows, default=float("inf"))

    @property
    def expected_rows(self) -> list[int]:
        """The numbers of rows that it may have; none if its entry does not say."""
        return self.rows if isinstance(self.rows, list) else [] if self.rows is None else [self.rows]

    @property
    def folders(self) -> list[str]:
        """The folders of its files within its path, one for each configuration."""
        return ["/".join(filter(None, (self.folder, config))) for config in self.configs]

    @property
    def configs(self) -> list[str | None]:
        """The configurations to read, in order."""
        return self.config if isinstance(self.config, list) else [self.config]


@lru_cache
def read_registry(name: str) -> dict[str, Source]:
    """Returns the entries of a shipped registry, `datasets` or `benchmarks`."""
    entries = read_yaml(Path(__file__).parent / f"{name}.yaml")
    return {key: _read_entry(key, entry, f"{name}.yaml") for key, entry in entries.items()}


def read_own(entries: dict) -> dict[str, Source]:
    """Returns the entries of `curate_sources`; `like: NAME` takes what is not given from a shipped entry.

    Raises InputError if an entry has an unknown key or a wrong value, or the name of a shipped one.
    """
    shipped = {key: entry for name in REGISTRIES for key, entry in read_registry(name).items()}
    own = {}
    for name, entry in entries.items():
        where = "curate_sources"
        if name in shipped:
            raise InputError(f"{where}: {name} is in the registry already; give yours another name (like: {name})")
        if isinstance(entry, dict) and "like" in entry:
            if entry["like"] not in shipped:
                raise InputError(f"{where}, {name}: like: {entry['like']!r} is not one of {', '.join(shipped)}")
            taken = dataclasses.asdict(shipped[entry["like"]])
            elsewhere = {"hub", "revision", "digest", "rows"} if "path" in entry or "hub" in entry else set()
            elsewhere |= {"config", "folder", "split"} if "path" in entry else set()
            entry = {k: v for k, v in taken.items() if k not in elsewhere | {"name", "pictures"}} | entry
            del entry["like"]
        own[name] = _read_entry(name, entry, where)
    return own


def _read_entry(name: str, entry: Any, where: str) -> Source:
    where = f"{where}, {name}"
    known = {f.name: get_args(f.type) or (f.type,) for f in dataclasses.fields(Source) if f.name not in ("name", "pictures")}
    if not isinstance(entry, dict):
        raise InputError(f"{where}: expected an object with hub or path, got {entry!r}")
    check_keys(where, entry, known)
    for key, value in entry.items():
        if type(value) not in known[key]:
            expected = " or ".join(kind.__name__ for kind in known[key]).replace("NoneType", "null")
            raise InputError(f"{where}: {key} must be {expected}, got {value!r}")
        for item in value if key in ITEMS and isinstance(value, list) else ():
            if type(item) is not ITEMS[key]:
                raise InputError(f"{where}: {key} must be a list of {ITEMS[key].__name__}, got {item!r} in it")
    if bool(entry.get("hub")) == bool(entry.get("path")):
        raise InputError(f"{where}: give either hub (owner/name) or path (a file, a folder or a URL)")
    if entry.get("path") and (revision := entry.get("revision")):
        raise InputError(f"{where}: revision {revision!r} is of a hub dataset, and path is given; leave it out")
    if (prompt := entry.get("prompt")) and not is_prompt(prompt):
        names = ", ".join(INSTRUCTIONS)
        raise InputError(f"{where}: prompt: {prompt!r} is neither one of {names} nor a text with {{question}}")
    if form := entry.get("format"):
        with error_context(f"{where}: format"):
            find_origin(form)
    share = entry.get("share") or [0, 1]
    if not (all(type(end) in (int, float) for end in share) and len(share) == 2 and 0 <= share[0] < share[1] <= 1):
        raise InputError(f"{where}: share: expected two numbers such as [0.6, 1], got {share!r}")
    columns = entry.get("columns") or {}
    conditions = [(kind, *condition) for kind in ("keep", "drop") for condition in (entry.get(kind) or {}).items()]
    for key in columns:
        if key not in FIELDS:
            raise InputError(f"{where}: columns: {key!r} is not one of {', '.join(FIELDS)}")
        if isinstance(columns[key], list) and key != "choices":
            raise InputError(f"{where}: columns: {key}: only choices can be a list of columns")
    for column in (*itertools.chain(*map(list_paths, columns.values())), *(column for _, column, _ in conditions)):
        if not isinstance(column, str) or not (COLUMN.fullmatch(column) or TEMPLATE.search(column)):
            raise InputError(f"{where}: {column!r} is neither a column, column[key], nor a text with {{column}}")
    for kind, column, values in conditions:
        if not isinstance(values, list):
            raise InputError(f"{where}: {kind}: {column} needs a list of values, got {values!r}")
    if columns and not columns.keys() & {"question", "messages"}:
        raise InputError(f"{where}: columns: question (or messages) is missing")
    defaults: dict[str, Any] = {"split": "train"} if entry.get("hub") else {}
    return Source(name, **defaults | entry)


def list_paths(path: str | list[str]) -> list[str]:
    """Returns the columns that an entry names for one part of a problem; choices may be in several."""
    return path if isinstance(path, list) else [path]


def find_source(text: str, registry: str, sources: dict | None = None, mirror: str = "") -> Source:
    """Returns the source that a parameter names.

    Args:
        text: A name of `sources` or of a registry, a file, a folder, a URL, owner/name[:config[:split]], or a builtin. Without
            a mirror, a folder of data in the current folder precedes the registry's entry of that name.
        registry: Which registry has precedence. Of a folder with several splits, `datasets` means the one to train on,
            `benchmarks` the one to evaluate with.
        sources: Entries of the recipe.
        mirror: Folder with hub datasets as owner/name or by their name in the registry; instead of the hub.

    Raises:
        InputError: If there is none of that name, or the mirror lacks it.
    """
    own, first = read_own(sources or {}), read_registry(registry)
    named = {**read_registry("datasets"), **read_registry("benchmarks"), **first, **own}
    if text in BUILTIN:
        return Source(text)
    if text in named and (mirror or text in own or not holds_data(text)):
        source = named[text]
    elif "://" in text or find_form(text) or text.startswith((".", "/", "~")) or Path(text).exists():
        source = Source(text, path=text)
        tell_once(f"{text} is the folder ./{text}, not the registry's {named[text].hub}" if text in named else None)
    else:
        parts = text.split(":")
        if parts[0].count("/") != 1 or len(parts) > 3:
            raise InputError(
                f"{text!r} is neither a {', '.join(FORMS)} file or folder, a URL, owner/name[:config[:split]], nor one of"
                f" {', '.join([*BUILTIN, *named])}; {suggest(text, named, 'check its spelling')}"
            )
        name, config, split = [*parts, "", ""][:3]
        # A hub id that the registry knows is read as the registry says, under the name that the user gave.
        same = (e for e in (first | named).values() if e.hub == name and config in ("", e.config) and split in ("", e.split))
        known = next(same, Source("", hub=name, config=config or None, split=split or "train"))
        source = dataclasses.replace(known, name=text)
    if source.path and not source.split and not find_form(source.path):
        source = dataclasses.replace(source, split=find_split(source.path, source.folders, registry == "benchmarks"))
    if not source.hub or not mirror:
        return source
    folders = [f"{mirror.rstrip('/')}/{name}" for name in (source.hub, source.name)]
    for folder in filter(is_folder, folders):
        return dataclasses.replace(source, path=folder)
    raise InputError(f"{source.name}: the mirror has neither {folders[0]} nor {folders[1]}; copy the dataset there")


def get_mirror(parameter: str) -> str:
    """Returns the mirror: the parameter, or else the environment variable RLREADY_MIRROR, or "" for the hub."""
    return parameter or os.environ.get(MIRROR, "")


def list_benchmarks(curate: Curate) -> list[str]:
    """Returns the names of the evaluation sets, those that are off target last."""
    return [name.strip() for name in curate.evaluation_data.split(",") if name.strip()] + curate.off_target


def list_sources(curate: Curate) -> dict[Use, tuple[str, str]]:
    """Returns the name of each source, and the registry that has precedence, by its use."""
    uses: dict[Use, tuple[str, str]] = {"sft": (curate.sft_data, "datasets"), "rl": (curate.rl_data, "datasets")}
    uses |= {("evaluation", name): (name, "benchmarks") for name in list_benchmarks(curate)}
    uses["predictors"] = (curate.predictor_data, "benchmarks")
    return {use: named for use, named in uses.items() if named[0]}


def find_benchmarks(names: list[str], sources: dict | None = None, mirror: str = "") -> list[Source]:
    """Returns the sources of a suite of benchmarks; arguments as in `find_source`.

    Raises InputError if there is none, one is unknown, two have the same name, or two are the same data.
    """
    if not names:
        raise InputError("no benchmark is named; known are " + ", ".join(read_registry("benchmarks")))
    found: dict[str, Source] = {}
    for name in names:
        source = find_source(name, "benchmarks", sources, mirror)
        for other in found.values():
            if other.benchmark == source.benchmark:
                what = f"both called {source.benchmark}; rename a file, or name it under curate_sources"
            elif dataclasses.replace(other, name="") == dataclasses.replace(source, name=""):
                what = "the same data"
            else:
                continue
            raise InputError(f"two benchmarks, {other.name} and {name}, are {what}; results could not be told apart")
        found[source.benchmark] = source
    return list(found.values())
