"""Files of a source, wherever they are: which it has, of which split, and their lines or batches of rows."""

import io
import json
import lzma
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from rlready.errors import InputError, one_line
from rlready.models.remote import is_url, open_store
from rlready.models.weights import POINTER

LINES = (".jsonl", ".ndjson")
IN_PARTS = (*LINES, ".parquet", ".arrow")
WHOLE = (".json", ".csv", ".tsv")
FORMS = IN_PARTS + WHOLE
COMPRESSED = (".gz", ".bz2", ".zst", ".xz")
# How compressed files begin, whatever they are called: browsers unpack a .gz and keep its name.
COMPRESSIONS = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd", b"\xfd7zXZ": "xz"}
TAR = slice(257, 262)  # where the mark of an archive is
UTF_16 = "in UTF-16; convert it to UTF-8"
# How other files begin that are called .jsonl, .csv and the like.
MISNAMED = {
    POINTER: "a Git LFS pointer, not the data; run git lfs pull",
    b"\xff\xfe": UTF_16,
    b"\xfe\xff": UTF_16,
    b"PK\3\4": "a zip archive or a spreadsheet; unpack or export it",
    b"PAR1": "a Parquet file; name it .parquet",
    b"ARROW1": "an Arrow file; name it .arrow",
    b"\0\0": "filled with zeros, not the data; fetch it again",
    b"<": "a web page, not the data; fetch it again",
}
# What the names of files and folders call the splits; as in `Train`, `my_testset` and `gsmTest2`.
TRAINING = ("train", "training")
EVALUATION = ("test", "testing", "eval", "evaluation", "validation", "valid", "val", "dev", "holdout", "heldout")
WORDS = "|".join(sorted(TRAINING + EVALUATION, key=len, reverse=True))
SPLIT = re.compile(rf"(?:(?<![A-Za-z0-9])(?i:({WORDS}))|(?<=[a-z])({WORDS.title()}))(?i:set|data)?\d*(?![A-Za-z])")
SHARD = re.compile(r"\d+(?=-of-(\d+)\b)")  # the number of a file of several
SNAPSHOT = re.compile(r"/snapshots/(\w+)/")  # a revision in the hub's cache
ASIDE = re.compile(r"cache-\w+\.arrow|(dataset_infos?|dataset_dict|state|metadata|croissant)\.json")  # files about the data
LONGEST_LINE = 64 << 20  # bytes; a longer line of JSONL is a damaged file, and takes its length several times in memory
ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class Listing:
    """The files of a source."""

    system: Any  # fsspec's file system
    names: list[str]  # there, sorted
    notes: list[str] = field(default_factory=list)  # what was left out


def find_form(name: str) -> str:
    """Returns the form that a file's name says, `.jsonl` for `a.jsonl.gz`, or an empty text if it is none of FORMS."""
    path = PurePosixPath(name.lower())
    suffix = PurePosixPath(path.stem).suffix if path.suffix in COMPRESSED else path.suffix
    return suffix if suffix in FORMS else ""


def is_folder(path: str) -> bool:
    """Returns whether a path or URL is a folder."""
    system, inside = _open_filesystem(path)
    return system.isdir(inside)


def holds_data(path: str) -> bool:
    """Returns whether a path or URL is a folder with data files."""
    system, inside = _open_filesystem(path)
    return system.isdir(inside) and bool(_list_data(system, inside)[0])


def list_files(location: str, folders: list[str], split: str | None) -> Listing:
    """Returns the files at a path or URL: a file, or those of some folders within a folder.

    If one of `folders` is absent, the whole location is read instead. With a split, only files with this word in their name or
    folder count. Raises InputError if there is none, or there are several forms.
    """
    system, path = _open_filesystem(location)
    try:
        if system.isfile(path) and find_form(path):
            return Listing(system, [path])
        if not system.isdir(path):
            what = f"neither a folder nor a {', '.join(FORMS)} file; rename, unpack or convert it"
            raise InputError(f"{location}: {what if system.exists(path) else 'no such file or folder'}")
        found, notes = [], []
        for folder in folders:
            inside = f"{path}/{folder}" if folder and system.isdir(f"{path}/{folder}") else path
            named, left_out = _list_data(system, inside)
            chosen = _choose_split(named, len(path), split)
            found += chosen
            unnamed = [name for name in named if name not in chosen and not _name_split(name, len(path))]
            for names, kind in ((left_out, "hidden or cache files"), (unnamed, "files that name no split")):
                if names:
                    notes.append(f"left out {len(names)} {kind}, such as {names[0][len(path) + 1 :]}")
        inside = sorted({rest.partition("/")[0] for name in found if "/" in (rest := name[len(path) + 1 :])})
        if len(inside) > 1 and not any(folders):
            notes.append(
                f"files of {len(inside)} folders ({', '.join(inside)[:80]}); name one of them if it is a dataset of its own"
            )
    except InputError:
        raise
    except Exception as error:  # whatever a store or its client raises, the user gets one line
        raise InputError(f"{location}: cannot be opened ({error})") from error
    forms = sorted({find_form(name) for name in found})
    if len(forms) != 1:
        kind = f"no {', '.join(FORMS)} file"
        if forms:
            kind = f"more than one form ({', '.join(forms)}); name one file, or convert them to one form"
        seen = (name.removeprefix(f"{path}/") for name in system.find(path) if not forms and not split)
        there = next((f"; there is {name}: rename, unpack or convert it" for name in seen if name[0] != "."), "")
        raise InputError(f"{location}: {kind}" + (f" of the split {split}" if split else there))
    return Listing(system, found, notes)


def find_split(location: str, folders: list[str], evaluates: bool) -> str | None:
    """Returns the split of a folder to train on or to evaluate with; None if its files do not name several."""
    system, path = _open_filesystem(location)
    if not system.isdir(path):
        return None
    inside = [f"{path}/{folder}" for folder in folders if folder and system.isdir(f"{path}/{folder}")] or [path]
    named = {_name_split(name, len(path)) for folder in inside for name in _list_data(system, folder)[0]}
    order = (*EVALUATION, *TRAINING, "") if evaluates else (*TRAINING, "", *reversed(EVALUATION))
    return next(word for word in order if word in named) or TRAINING[0] if len(named) > 1 else None


def _list_data(system, folder: str) -> tuple[list[str], list[str]]:
    """Returns the data files below a folder, and those that are left out: hidden, or left there by `datasets` or macOS.

    Raises InputError if it holds several revisions, or a file is absent that a state.json lists or another's number implies.
    """
    every = sorted(system.find(folder))
    saved = {}  # by folders of `save_to_disk`, the files that its state lists
    for name in every:
        if name.endswith("/state.json"):
            state = json.loads(system.cat_file(name))
            saved[name.rpartition("/")[0]] = {file["filename"] for file in state.get("_data_files", ())}
    named = [name for name in every if find_form(name)]
    parts = any(find_form(name) in IN_PARTS for name in named)  # beside these, a .json is about the data
    if parts:
        named = [name for name in named if not name.endswith(".json") or not ASIDE.fullmatch(name.rpartition("/")[2])]

    def belongs(name: str) -> bool:
        parent, _, file = name.rpartition("/")
        hidden = any(part.startswith((".", "_", "~")) for part in name[len(folder) :].split("/"))
        aside = ASIDE.fullmatch(file) or (parts and find_form(name) == ".json")
        return not hidden and file in saved.get(parent, (file,)) and not aside

    found = [name for name in named if belongs(name)]
    if len(kept := {match[1] for name in found if (match := SNAPSHOT.search(name, len(folder)))}) > 1:
        raise InputError(f"{folder} holds {len(kept)} revisions of a dataset; name one, such as {folder}/snapshots/{max(kept)}")
    listed = [f"{parent}/{file}" for parent, files in saved.items() for file in sorted(files)]
    if missing := next((name for name in listed if name not in found), None):
        raise InputError(f"{missing} is missing, but state.json lists it; fetch it")
    numbered = Counter((SHARD.sub("*", name), int(match[1])) for name in found if (match := SHARD.search(name)))
    for (name, total), count in numbered.items():
        if count < total:
            raise InputError(f"{name}: {count} of {total} files are there; fetch the others, or give the files other names")
    return found, [name for name in named if not belongs(name)]


def _name_split(name: str, root: int) -> str:
    """Returns the word by which the name of a file, or of a folder that it is in, says its split; an empty text if none."""
    found = (SPLIT.search(part) for part in reversed(name[root:].split("/")))
    return next(((match[1] or match[2]).lower() for match in found if match), "")


def _choose_split(names: list[str], root: int, split: str | None) -> list[str]:
    if not split:
        return names
    word = re.compile(rf"(?<![a-zA-Z0-9]){re.escape(split)}(?![a-zA-Z0-9])", re.IGNORECASE)
    chosen = [name for name in names if _name_split(name, root) == split]
    chosen = chosen or [name for name in names if word.search(name[root:])]
    # A dataset with a single split often does not name it.
    return chosen or [name for name in names if split == TRAINING[0] and not _name_split(name, root)]


def _open_filesystem(path: str):
    import fsspec

    return open_store(path) if is_url(path) else (fsspec.filesystem("file"), str(Path(path).expanduser().resolve()))


@contextmanager
def open_file(system, name: str) -> Iterator[io.BufferedReader]:
    """Opens a file of a listing for reading, decompressed; local files without fsspec, which is slower by the line.

    A `system` of None is that of this machine. Raises InputError if it cannot be read, or is a Git LFS pointer.
    """
    import pyarrow as pa

    try:
        with (
            open(name, "rb")
            if not system or "file" in system.protocol
            else io.BufferedReader(system.open(name, "rb"), 1 << 20) as file
        ):
            start = file.peek(len(POINTER))
            _refuse_other(start, name)
            plain: Any = file
            if compression := next((kind for mark, kind in COMPRESSIONS.items() if start.startswith(mark)), None):
                unpack = lzma.LZMAFile if compression == "xz" else partial(pa.input_stream, compression=compression)
                plain = io.BufferedReader(unpack(file), 1 << 20)
                inside = plain.peek(TAR.stop)
                _refuse_other(inside, name)
                if inside.startswith(tuple(COMPRESSIONS)) or inside[TAR] == b"ustar":
                    raise InputError(f"{name} is compressed twice, or an archive of files; unpack it")
                if find_form(name) in (".parquet", ".arrow"):  # read from their ends
                    plain = io.BufferedReader(io.BytesIO(plain.read()))
            yield plain
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise InputError(f"{name}: cannot be read ({one_line(error)}); if damaged or truncated, fetch it again") from error


def _refuse_other(start: bytes, name: str) -> None:
    other = next((what for mark, what in MISNAMED.items() if start.startswith(mark)), None)
    other = other or (UTF_16 if b"\0" in start[:2] else None)
    if other and (start.startswith(POINTER) or find_form(name) not in (".parquet", ".arrow")):
        raise InputError(f"{name} is {other}")


def read_lines(file, name: str) -> Iterator[tuple[int, bytes]]:
    """Yields the lines of a file with their numbers from 1; raises InputError if one is longer than LONGEST_LINE."""
    number = 0
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise InputError(
                f"{name} line {number}: longer than {LONGEST_LINE >> 20} MB, so not one row; is a line break missing?"
            )
        yield number, line


def open_arrow(file, name: str):
    """Returns (the batches, the schema, the rows or None) of a Parquet or Arrow file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if find_form(name) == ".parquet":
            table = pq.ParquetFile(file, memory_map=True)
            return (
                # Row group by row group: iterating over all of them keeps what was read in memory.
                lambda names: (
                    batch
                    for group in range(table.num_row_groups)
                    for batch in table.iter_batches(ROWS_AT_ONCE, row_groups=[group], columns=names)
                ),
                table.schema_arrow,
                table.metadata.num_rows,
            )
        # Not by the name, which a remote file may share with a local one.
        source = pa.memory_map(name) if isinstance(file.raw, io.FileIO) else file
        # datasets writes streams; the files of pyarrow and feather begin with a mark.
        if file.peek(6)[:6] == b"ARROW1":
            opened = pa.ipc.open_file(source)
            batches = (opened.get_batch(number) for number in range(opened.num_record_batches))
        else:
            opened = batches = pa.ipc.open_stream(source)
        parts = (b.slice(start, ROWS_AT_ONCE) for b in batches for start in range(0, b.num_rows, ROWS_AT_ONCE))
        return lambda names: (part.select(names) if names else part for part in parts), opened.schema, None
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        kind = "Parquet" if find_form(name) == ".parquet" else "Arrow"
        raise InputError(f"{name}: not a readable {kind} file, or truncated ({one_line(error)}); fetch it again") from error


def cast_texts(batch):
    """Returns rows of Arrow with their columns of bytes as texts, if they are UTF-8: some writers name no kind of text."""
    import pyarrow as pa

    for place, kind in enumerate(batch.schema.types):
        if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            with suppress(pa.ArrowInvalid):
                batch = batch.set_column(place, batch.schema.names[place], batch.column(place).cast(pa.large_string()))
    return batch


def count_rows(file, name: str) -> int:
    """Returns the number of rows of a Parquet or Arrow file; reads all of an Arrow file."""
    import pyarrow as pa

    batches, _, rows = open_arrow(file, name)
    try:
        return sum(batch.num_rows for batch in batches(None)) if rows is None else rows
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{name}: damaged or truncated ({one_line(error)}); fetch it again") from error
