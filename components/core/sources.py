"""Reading problems from the hub, files, folders, URLs or a builtin generator, row by row, into one form."""

import contextlib
import hashlib
import io
import itertools
import json
import re
import string
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from rlready.components.config import InputError, Unreachable
from rlready.components.core.pictures import open_picture
from rlready.components.core.prompts import clean_gsm8k_solution
from rlready.components.core.registry import BUILTIN, SUFFIXES, Source
from rlready.components.core.verifier import extract_boxed, is_readable
from rlready.components.list_machine.problems import generate_rows

QUESTION = ("question", "problem", "prompt", "Question", "Problem")
SOLUTION = ("solution", "completion", "response")
ANSWER = ("answer", "Answer", "final_answer")
CHOICES = ("choices", "answer_option_list")
LONGEST_LINE = 64 << 20  # bytes; a longer line of JSONL is a damaged file, and takes its length several times in memory
ROWS_AT_ONCE = 1024
BYTES_AT_ONCE = 16 << 20


def compile_eraser(characters: str) -> Callable[[str], str]:
    """Returns what takes all characters of a class, such as `[^0-9]`, out of a text: twenty times as fast as `re` in ASCII."""
    pattern = re.compile(f"{characters}+")
    table = bytes(code for code in range(128) if pattern.match(chr(code)))

    def erase(text: str) -> str:
        return text.encode().translate(None, table).decode() if text.isascii() else pattern.sub("", text)

    return erase


erase_unnamed = compile_eraser(r"[\W_]")


def identify(question: str) -> str:
    """Returns the id of a problem: a digest of its letters and digits, so spacing and case do not tell problems apart."""
    return hashlib.sha256(erase_unnamed(question.casefold()).encode()).hexdigest()[:16]


def is_folder(path: str) -> bool:
    """Says whether a path or URL is a folder."""
    files, inside = _open_filesystem(path)
    return files.isdir(inside)


def list_files(source: Source) -> tuple[object, list[str]]:
    """Returns the file system of a source with a path, and its files in the order of their names.

    Of a folder that holds splits and configurations, as on the hub, those of the source are taken: a split by the beginning
    of the file's name or the name of its folder, a configuration by the name of a folder.

    Raises:
        InputError: If there is no such file, or the folder holds none that can be read, or of more than one form.
    """
    files, path = _open_filesystem(source.path)
    try:
        if files.isfile(path) and path.endswith(SUFFIXES):
            return files, [path]
        if not files.isdir(path):
            raise InputError(f"{source.path}: {_explain_absence(files, path)}")
        found = []
        for config in source.configs:
            inside = "/".join(filter(None, (path, source.folder, config)))
            inside = inside if files.isdir(inside) else path
            everything = sorted(name for name in files.find(inside) if name.endswith(SUFFIXES))
            found += _choose_split(everything, len(path), source.split)
    except InputError:
        raise
    except Exception as error:  # whatever a store or its client says, the user gets one line
        raise InputError(f"{source.path}: cannot be opened ({error})") from error
    forms = {Path(name).suffix for name in found}
    if len(forms) != 1:
        kind = f"more than one form ({', '.join(sorted(forms))})" if forms else "no " + ", ".join(SUFFIXES) + " file"
        raise InputError(f"{source.path}: {kind}" + (f" of the split {source.split}" if source.split else ""))
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


@dataclass(frozen=True)
class Contents:
    """What a source holds: a digest of its files or its hub commit, and its rows where they can be counted."""

    digest: str
    rows: int | None = None


def inspect(source: Source, seed: int) -> Contents:
    """Looks at a source without reading its rows: that it is there, whole, and what the registry says.

    Args:
        source: Where to look.
        seed: Seed of a builtin source.

    Returns:
        Digest and rows. A local digest is a pass over the bytes, so it also finds what is not text.

    Raises:
        InputError: If it is absent, gated, damaged, or differs from its registry entry.
    """
    if source.name == BUILTIN:
        return Contents(f"seed-{seed}")
    contents = _inspect_files(source) if source.path else _inspect_hub(source)
    if source.digest and contents.digest != source.digest:
        raise InputError(
            f"{source.name}: has changed: its digest is {contents.digest}, the registry's {source.digest}; if you trust the"
            " new contents, change the entry"
        )
    check_rows(source, contents.rows)
    return contents


def check_rows(source: Source, rows: int | None) -> None:
    """Raises InputError if a source has another number of rows than its registry entry says."""
    expected = source.rows if isinstance(source.rows, list) else [source.rows]
    if rows is not None and source.rows is not None and rows not in expected:
        raise InputError(
            f"{source.name}: {rows:,} rows, the registry expects {' or '.join(f'{n:,}' for n in expected)}; take the whole"
            " dataset, or give an entry of your own under curate_sources (like: with rows: null)"
        )


def _inspect_files(source: Source) -> Contents:
    files, names = list_files(source)
    digest, rows = hashlib.sha256(), 0
    for name in names:
        with _open(files, name) as file:
            if name.endswith(".jsonl"):
                for number, line in _read_lines(file, name):
                    digest.update(line)
                    _check_text(line, f"{name} line {number}")
                    rows += not line.isspace()
            else:
                while block := file.read(1 << 20):
                    digest.update(block)
                file.seek(0)
                rows += _count_arrow(file, name)
    return Contents(digest.hexdigest()[:16], rows)


def _inspect_hub(source: Source) -> Contents:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        info = HfApi().dataset_info(source.hub, revision=source.revision)
    except GatedRepoError as error:
        raise InputError(
            f"{source.name}: gated; ask for access at https://huggingface.co/datasets/{source.hub} and set HF_TOKEN"
        ) from error
    except RevisionNotFoundError as error:
        raise InputError(
            f"{source.name}: the hub has no revision {source.revision} of {source.hub} any more; it has changed"
        ) from error
    except RepositoryNotFoundError as error:
        raise InputError(
            f"{source.name}: the hub has no dataset {source.hub} (or it is private: set HF_TOKEN)"
        ) from error
    except Exception as error:
        raise Unreachable(
            f"{source.name}: the hub could not be asked ({_shorten(error)}); a local file works too, or a folder of copies"
            " (curate_mirror)"
        ) from error
    return Contents(info.sha)


def _shorten(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _open(files, name: str) -> io.BufferedIOBase:
    """Opens a file for reading; a local one without fsspec in between, which is slower by the line."""
    if "file" in files.protocol:
        return open(name, "rb")
    return io.BufferedReader(files.open(name, "rb"), 1 << 20)


def _read_lines(file, name: str) -> Iterator[tuple[int, bytes]]:
    number = 0
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise InputError(
                f"{name} line {number}: longer than {LONGEST_LINE >> 20} MB, so not one row; is a line break missing?"
            )
        yield number, line


def _check_text(line: bytes, where: str) -> None:
    try:
        line.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: not UTF-8 ({error.reason} at byte {error.start}); convert the file") from error


def _open_arrow(file, name: str):
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
        source = pa.memory_map(name) if isinstance(file, io.BufferedReader) and Path(name).exists() else file
        # datasets writes streams, pyarrow's and feather's files begin with a mark.
        if file.peek(6)[:6] == b"ARROW1":
            opened = pa.ipc.open_file(source)
            batches = (opened.get_batch(number) for number in range(opened.num_record_batches))
        else:
            opened = batches = pa.ipc.open_stream(source)
        return lambda names: (b.select(names) if names else b for b in _split_batches(batches)), opened.schema, None
    except (pa.ArrowException, OSError) as error:
        kind = "Parquet" if name.endswith(".parquet") else "Arrow"
        raise InputError(
            f"{name}: not a readable {kind} file, or cut off ({_shorten(error)}); fetch it again"
        ) from error


def _split_batches(batches) -> Iterator:
    for batch in batches:
        for start in range(0, batch.num_rows, ROWS_AT_ONCE):
            yield batch.slice(start, ROWS_AT_ONCE)


def _count_arrow(file, name: str) -> int:
    import pyarrow as pa

    batches, _, rows = _open_arrow(file, name)
    try:
        return sum(batch.num_rows for batch in batches(None)) if rows is None else rows
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{name}: damaged or cut off ({_shorten(error)}); fetch it again") from error


@dataclass(frozen=True)
class Chunk:
    """Some rows of a source as they stand there, cheap to hand to another process, which then does the parsing.

    Attributes:
        where: The file or dataset, for messages.
        name: Its short name, for places.
        first: Number of the first row.
        rows: Lines of JSON with their numbers, an Arrow batch, or rows.
    """

    where: str
    name: str
    first: int
    rows: object

    def __len__(self) -> int:
        return len(self.rows)

    def read(self) -> Iterator[tuple[str, dict]]:
        """Yields (place such as `train.jsonl line 17`, row).

        Raises:
            InputError: If a line is not JSON.
        """
        if isinstance(self.rows, list):
            for number, row in enumerate(self.rows, self.first):
                if isinstance(row, dict):
                    yield f"{self.name} row {number}", row
                else:
                    yield f"{self.name} line {row[0]}", self._parse(*row)
            return
        try:
            rows = self.rows.to_pylist()
        except UnicodeDecodeError as error:
            raise InputError(f"{self.where} row {self.first} or later: not UTF-8 ({error.reason})") from error
        for number, row in enumerate(rows, self.first):
            yield f"{self.name} row {number}", row

    def _parse(self, number: int, line: bytes) -> object:
        try:
            return json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{self.where} line {number}: not JSON ({error}); repair or remove the line") from error


def read_chunks(source: Source, split: str, seed: int, revision: str = "") -> Iterator[Chunk]:
    """Yields the raw rows of a source, some at a time; a builtin source is endless.

    Args:
        source: What to read.
        split: What a builtin source should generate: sft, rl or evaluation.
        seed: Seeds a builtin source.
        revision: Hub commit.

    Yields:
        Chunks, in the order of the source.

    Raises:
        InputError: If a column is missing, or the file or dataset cannot be read.
    """
    if source.name == BUILTIN:
        rows = (row | {"format": "word"} for row in generate_rows(split, seed))
        for number, row in enumerate(rows):
            yield Chunk(BUILTIN, f"{BUILTIN} {split}", number, [row])
    elif source.path:
        files, names = list_files(source)
        for name in names:
            with _open(files, name) as file:
                yield from _read_json(file, name) if name.endswith(".jsonl") else _read_arrow(file, name, source)
    else:
        yield from _read_hub(source, revision)


def read_rows(source: Source, split: str, seed: int, revision: str = "") -> Iterator[tuple[str, dict]]:
    """Yields (place, raw row) of a source; see `read_chunks`."""
    for chunk in read_chunks(source, split, seed, revision):
        yield from chunk.read()


def _read_json(file, name: str) -> Iterator[Chunk]:
    lines, size = [], 0
    for number, line in _read_lines(file, name):
        if not line.isspace():
            lines.append((number, line))
            size += len(line)
        if len(lines) == ROWS_AT_ONCE or size > BYTES_AT_ONCE:
            yield Chunk(name, Path(name).name, 0, lines)
            lines, size = [], 0
    if lines:
        yield Chunk(name, Path(name).name, 0, lines)


def _read_arrow(file, name: str, source: Source) -> Iterator[Chunk]:
    import pyarrow as pa

    batches, schema, _ = _open_arrow(file, name)
    names = _list_columns(source, schema.names, name)
    number = 0
    try:
        for batch in batches(names):
            yield Chunk(name, Path(name).name, number, batch)
            number += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{name} row {number} or later: damaged ({_shorten(error)}); fetch it again") from error


def _read_hub(source: Source, revision: str) -> Iterator[Chunk]:
    import datasets

    for config in source.configs:
        try:
            rows = datasets.load_dataset(
                source.hub, config, split=source.split, revision=revision or None, data_dir=source.folder
            )
        except Exception as error:
            raise InputError(f"{source.name}: {_shorten(error)}") from error
        names = _list_columns(source, rows.column_names, source.name)
        rows = rows.select_columns(names).with_format("arrow") if names else rows.with_format("arrow")
        number = 0
        for table in rows.iter(ROWS_AT_ONCE):
            yield Chunk(source.name, f"{source.name} {config}" if config else source.name, number, table)
            number += table.num_rows


def _list_columns(source: Source, present: list[str], where: str) -> list[str] | None:
    """Returns the columns that an entry needs, so that pictures and the like are not read; None for all."""
    if not source.columns:
        return None
    needed = {}
    columns = {name: path for name, path in source.columns.items() if name != "image" or source.pictures}
    optional = {columns.get(name, "").partition("[")[0] for name in ("subject", "image")}
    for path in (*columns.values(), *source.keep):
        for column in re.findall(r"\{([^{}]+)\}", path) if "{" in path else [path]:
            needed[column.partition("[")[0]] = None
    for column in needed.copy():
        if column in optional and column not in present:
            del needed[column]
        elif column not in present:
            raise InputError(_describe_missing(where, column, present))
    return list(needed)


def _describe_missing(where: str, column: str, present: list[str]) -> str:
    return f"{where}: no column {column!r} (there is {', '.join(present)}); say under columns: in curate_sources which to take"


@lru_cache
def compile_column(path: str) -> Callable[[dict], object]:
    """Returns what gets `column`, `column[key][0]`, `column[*]` (joined) or a text with {column} out of a row."""
    if "{" in path:
        parts = re.split(r"\{([^{}]+)\}", path)
        getters = [compile_column(part) for part in parts[1::2]]
        return lambda row: "".join(
            text + (str(getter(row)) if getter else "")
            for text, getter in itertools.zip_longest(parts[::2], getters, fillvalue=None)
        )
    column, *keys = re.split(r"\]?\[|\]$", path)
    keys = [int(key) if key.isdigit() else key for key in keys if key]

    def get(row: dict) -> object:
        if column not in row:
            raise InputError(f"no column {column!r}")
        value = row[column]
        for key in keys:
            try:
                value = ", ".join(map(str, value)) if key == "*" else value[key]
            except (LookupError, TypeError):
                raise InputError(f"{column!r} has no {key!r}") from None
        return value

    return get


def read_problem(row: object, needs_solution: bool, source: Source | None = None) -> dict[str, str | int]:
    """Turns a raw row into question, answer, format and, if needed, solution; multiple choice has its options counted.

    Where the source says so, the problem also has a `subject`, the name of its benchmark's own `prompt`, and its `image`.

    Without columns in the source, the usual names are tried: GSM8K's, MATH's, prompt and completion (texts or messages), and
    messages.

    Args:
        row: A raw row.
        needs_solution: Whether the row must have a worked solution.
        source: Says which columns to take, what to remove and what to keep.

    Returns:
        The problem, with its `problem_id`.

    Raises:
        InputError: With the reason why the row is malformed or left out.
    """
    picture = _read_picture(row, source) if source and source.pictures and isinstance(row, dict) else None
    problem = _read_problem(row, needs_solution, source, picture is not None)
    if picture is not None:
        problem["image"] = picture
        problem["problem_id"] = identify(problem["question"] + hashlib.sha256(picture).hexdigest())
    if source and source.prompt:
        problem["prompt"] = source.prompt
    if source and "subject" in source.columns:
        with contextlib.suppress(InputError):  # a copy may lack what results are only broken down by
            problem["subject"] = str(compile_column(source.columns["subject"])(row))
    return problem


def _read_picture(row: dict, source: Source) -> bytes | None:
    """Returns the file of a row's picture, as a binary column or as the hub's images are (bytes and path)."""
    try:
        value = compile_column(source.columns["image"])(row)
    except (InputError, KeyError):
        return None
    content = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(content, bytes):
        return None
    open_picture(content)
    return content


def _read_problem(row: object, needs_solution: bool, source: Source | None, shown: bool) -> dict[str, str | int]:
    if not isinstance(row, dict):
        raise InputError("not an object")
    if source and source.keep and not shown:
        for path, values in source.keep.items():
            if compile_column(path)(row) not in values:
                raise InputError(source.because or f"{path} is not {' or '.join(map(str, values))}")
    if source and source.columns:
        beside = ("subject", "image")
        columns = {name: compile_column(path)(row) for name, path in source.columns.items() if name not in beside}
        question, answer, solution, choices = map(columns.get, ("question", "answer", "solution", "choices"))
        if not choices:
            question = columns.get("open_question", question)
        messages = columns.get("messages")
    else:
        question = next((row[k] for k in QUESTION if row.get(k)), None)
        solution = next((row[k] for k in SOLUTION if row.get(k)), None)
        answer = next((row[k] for k in ANSWER if row.get(k) not in (None, "")), None)
        answer = row.get("answer_value", answer)
        choices = next((row[k] for k in CHOICES if row.get(k)), None)
        messages = row.get("messages")
    if messages:
        question, solution = _read_dialogue(messages)
    question, solution = _read_turn(question, "user"), _read_turn(solution, "assistant")
    if question is not None and not isinstance(question, str):
        raise InputError(f"the question is {_name_kind(question)}, not text")
    for text in source.remove if source and question else ():
        question = question.replace(text, "")
    if not question or not question.strip():
        raise InputError("no question")
    if choices:
        return _read_choice(question, choices, answer, needs_solution)
    if isinstance(answer, (int, float)) and not isinstance(answer, bool):
        answer = str(answer)
    if isinstance(answer, str) and "####" in answer:
        solution, answer = clean_gsm8k_solution(answer)
    if answer is None and isinstance(solution, str):
        answer = extract_boxed(solution)
    if answer is not None and not isinstance(answer, str):
        hint = "; answer[*] under columns: joins it" if isinstance(answer, list) else ""
        raise InputError(f"the answer is {_name_kind(answer)}, not text{hint}")
    if not answer or not answer.strip():
        raise InputError("no answer")
    if needs_solution and (not isinstance(solution, str) or not solution.strip()):
        raise InputError("no worked solution")
    problem = {"problem_id": identify(question), "question": question, "answer": answer.strip()}
    problem["format"] = row.get("format", "boxed")
    # An SFT example is never held against its answer; that it can be is looked at when it becomes an RL prompt.
    if not needs_solution and not is_readable(problem["answer"], problem["format"]):
        raise InputError("the verifier cannot read the answer")
    return problem | ({"solution": solution} if needs_solution else {})


def _name_kind(value: object) -> str:
    kinds = {list: "a list", dict: "an object", bool: "true or false", int: "a number", float: "a number"}
    return kinds.get(type(value), type(value).__name__)


def _read_turn(value: object, role: str) -> object:
    """Returns the text of one turn where a column holds messages, else the value itself."""
    if not isinstance(value, list) or not value or not all(isinstance(turn, dict) for turn in value):
        return value
    said = [turn.get("content") for turn in value if turn.get("role") == role]
    if len(said) != 1:
        raise InputError(f"{len(said)} turns of the {role}; one can be used")
    return said[0]


def _read_dialogue(messages: object) -> tuple[object, object]:
    if not isinstance(messages, list) or not all(isinstance(turn, dict) for turn in messages):
        raise InputError("messages is no list of turns with role and content")
    asked = _read_turn(messages, "user")
    return asked, _read_turn(messages, "assistant") if any(t.get("role") == "assistant" for t in messages) else None


def _read_choice(question: str, choices: object, answer: object, needs_solution: bool) -> dict[str, str | int]:
    """Reads options and answer of MMLU's form (list, index), MathVista's (list, text) or TAL-SCQ5K's (letters, letter)."""
    if needs_solution:
        raise InputError("multiple choice has no worked solution")
    if not isinstance(choices, list):
        raise InputError("the options are no list")
    if all(isinstance(option, str) for option in choices):
        options = dict(zip(string.ascii_uppercase, choices, strict=False))
        if isinstance(answer, int) and 0 <= answer < len(options):
            letter = string.ascii_uppercase[answer]
        else:
            letter = next((name for name, option in options.items() if option == answer), None)
    else:
        try:
            listed = [entry for entries in choices for entry in entries]
            options = {entry["aoVal"]: entry["content"].strip() for entry in listed}
        except (TypeError, KeyError, AttributeError):
            raise InputError("the options are neither texts nor of TAL-SCQ5K's form") from None
        letter = answer
    if letter not in options:
        raise InputError("the answer is none of the options")
    text = "\n".join([question, *(f"{name}. {option}" for name, option in options.items())])
    problem = {"problem_id": identify(text), "question": text, "answer": letter, "format": "letter"}
    return problem | {"options": len(options)}


def read_benchmark(source: Source, revision: str = "", limit: int = 0) -> tuple[list[dict], Counter]:
    """Reads the problems of a benchmark, each once.

    Args:
        source: What to read; a builtin source has no end and needs a limit.
        revision: Hub commit.
        limit: Most problems, the first ones; 0: all.

    Returns:
        (problems, rows left out by reason).

    Raises:
        InputError: If the source cannot be read, or no row is usable.
    """
    problems, left_out = {}, Counter()
    for _, row in read_rows(source, "evaluation", 0, revision):
        try:
            problem = read_problem(row, False, source)
        except InputError as error:
            left_out[str(error)] += 1
            continue
        if problem["problem_id"] in problems:
            left_out["duplicate"] += 1
            continue
        problems[problem["problem_id"]] = problem
        if len(problems) == limit:
            break
    if not problems:
        reasons = "; ".join(f"{count} x {reason}" for reason, count in left_out.items())
        raise InputError(f"{source.name}: no usable problem ({reasons or 'the source is empty'})")
    return list(problems.values()), left_out


def read_some(source: Source, split: str, seed: int, count: int, revision: str = "") -> list[dict]:
    """Returns the first rows of a source that are well formed, for estimates.

    Raises:
        InputError: If none of them is, with the reasons.
    """
    some, reasons, row = [], [], {}
    for _, row in itertools.islice(read_rows(source, split, seed, revision), 10 * count):
        try:
            some.append(read_problem(row, split == "sft", source))
        except InputError as error:
            reasons.append(str(error))
        if len(some) == count:
            break
    if not some:
        counted = "; ".join(f"{reasons.count(reason)} x {reason}" for reason in dict.fromkeys(reasons))
        columns = f"; there is {', '.join(row)}" if isinstance(row, dict) and row else ""
        raise InputError(
            f"{source.name}: no usable {split} row among the first {len(reasons)} ({counted or 'it is empty'}{columns}); say"
            " under columns: in curate_sources which columns to take"
        )
    return some
