"""Files of a source, wherever they are: which there are, and their lines or batches of rows."""

import io
import re
from collections.abc import Iterator
from pathlib import Path

from rlready.data import whole_files
from rlready.errors import InputError

IN_PARTS = (".jsonl", ".parquet", ".arrow")
SUFFIXES = IN_PARTS + whole_files.SUFFIXES
LONGEST_LINE = 64 << 20  # bytes; a longer line of JSONL is a damaged file, and takes its length several times in memory
ROWS_AT_ONCE = 1024


def is_folder(path: str) -> bool:
    """Says whether a path or URL is a folder."""
    files, inside = _open_filesystem(path)
    return files.isdir(inside)


def list_files(location: str, folders: list[str], split: str | None) -> tuple[object, list[str]]:
    """Returns the file system of a path or URL, and the files there in the order of their names.

    Args:
        location: A file or a folder.
        folders: Within it, one after the other; where one of them is absent, all of it is looked through instead.
        split: Which files to take: those whose name begins with it, or that lie in a folder of that name; None: all.

    Returns:
        What fsspec opened, and its names of the files.

    Raises:
        InputError: If there is no such file, or the folder holds none that can be read, or of more than one form.
    """
    files, path = _open_filesystem(location)
    try:
        if files.isfile(path) and path.endswith(SUFFIXES):
            return files, [path]
        if not files.isdir(path):
            raise InputError(f"{location}: {_explain_absence(files, path)}")
        found = []
        for folder in folders:
            inside = f"{path}/{folder}" if folder and files.isdir(f"{path}/{folder}") else path
            named = sorted(files.find(inside))
            # A dataset in another form often has some .json beside it, about itself.
            forms = IN_PARTS if any(name.endswith(IN_PARTS) for name in named) else SUFFIXES
            everything = [name for name in named if name.endswith(forms)]
            found += _choose_split(everything, len(path), split)
    except InputError:
        raise
    except Exception as error:  # whatever a store or its client says, the user gets one line
        raise InputError(f"{location}: cannot be opened ({error})") from error
    suffixes = {Path(name).suffix for name in found}
    if len(suffixes) != 1:
        kind = f"more than one form ({', '.join(sorted(suffixes))})" if suffixes else "no " + ", ".join(SUFFIXES) + " file"
        raise InputError(f"{location}: {kind}" + (f" of the split {split}" if split else ""))
    return files, found


def _choose_split(names: list[str], root: int, split: str | None) -> list[str]:
    def belongs(name: str, split: str) -> bool:
        *folders, file = name[root:].split("/")
        return split in folders or bool(re.match(re.escape(split) + r"(?![a-zA-Z0-9])", file))

    chosen = [name for name in names if not split or belongs(name, split)]
    # A dataset with a single split often does not name it.
    named = any(belongs(name, other) for name in names for other in ("train", "test", "validation", "dev"))
    return names if not chosen and split == "train" and not named else chosen


def _explain_absence(files, path: str) -> str:
    if files.exists(path):
        return f"neither a folder nor a {', '.join(SUFFIXES)} file; convert it"
    return "no such file or folder"


def _open_filesystem(path: str):
    import fsspec

    try:
        return fsspec.core.url_to_fs(path if "://" in path else str(Path(path).expanduser().resolve()))
    except (ImportError, ValueError) as error:
        raise InputError(f"{path}: {error}") from error
    except Exception as error:
        raise InputError(f"{path}: the store could not be asked ({error})") from error


def shorten(error: Exception) -> str:
    """Returns the beginning of what an error says, on one line."""
    return " ".join(str(error).split())[:200]


def open_file(files, name: str) -> io.BufferedIOBase:
    """Opens a file for reading; a local one without fsspec in between, which is slower by the line."""
    if "file" in files.protocol:
        return open(name, "rb")
    return io.BufferedReader(files.open(name, "rb"), 1 << 20)


def read_lines(file, name: str) -> Iterator[tuple[int, bytes]]:
    """Yields the lines of a file with their numbers, counted from 1.

    Raises:
        InputError: If one is longer than LONGEST_LINE.
    """
    number = 0
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise InputError(
                f"{name} line {number}: longer than {LONGEST_LINE >> 20} MB, so not one row; is a line break missing?"
            )
        yield number, line


def check_text(line: bytes, where: str) -> None:
    """Raises InputError if bytes are not UTF-8."""
    try:
        line.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: not UTF-8 ({error.reason} at byte {error.start}); convert the file") from error


def open_arrow(file, name: str):
    """Returns (the batches, the schema, the rows or None) of a Parquet or Arrow file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if name.endswith(".parquet"):
            table = pq.ParquetFile(file, memory_map=True)
            return (
                # One row group after the other: over all of them, what was read stays in memory until the end.
                lambda names: (
                    batch
                    for group in range(table.num_row_groups)
                    for batch in table.iter_batches(ROWS_AT_ONCE, row_groups=[group], columns=names)
                ),
                table.schema_arrow,
                table.metadata.num_rows,
            )
        # Not by the name: a remote file may have that of one that lies here.
        source = pa.memory_map(name) if isinstance(file.raw, io.FileIO) else file
        # datasets writes streams, pyarrow's and feather's files begin with a mark.
        if file.peek(6)[:6] == b"ARROW1":
            opened = pa.ipc.open_file(source)
            batches = (opened.get_batch(number) for number in range(opened.num_record_batches))
        else:
            opened = batches = pa.ipc.open_stream(source)
        return lambda names: (b.select(names) if names else b for b in _split_batches(batches)), opened.schema, None
    except (pa.ArrowException, OSError) as error:
        kind = "Parquet" if name.endswith(".parquet") else "Arrow"
        raise InputError(f"{name}: not a readable {kind} file, or cut off ({shorten(error)}); fetch it again") from error


def _split_batches(batches) -> Iterator:
    for batch in batches:
        for start in range(0, batch.num_rows, ROWS_AT_ONCE):
            yield batch.slice(start, ROWS_AT_ONCE)


def count_rows(file, name: str) -> int:
    """Returns the rows of a Parquet or Arrow file; of an Arrow file by a pass over all of it.

    Raises:
        InputError: If it is damaged.
    """
    import pyarrow as pa

    batches, _, rows = open_arrow(file, name)
    try:
        return sum(batch.num_rows for batch in batches(None)) if rows is None else rows
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{name}: damaged or cut off ({shorten(error)}); fetch it again") from error
