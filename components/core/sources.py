"""Reading problems from a hub dataset, a local JSONL or Parquet file, or a builtin generator, into one row form."""

import hashlib
import itertools
import json
import re
import string
from collections.abc import Iterator
from pathlib import Path

from rlready.components.config import InputError
from rlready.components.core.prompts import clean_gsm8k_solution
from rlready.components.core.verify import extract_boxed, is_readable
from rlready.components.list_machine.problems import generate_rows

QUESTION = ("question", "problem", "prompt", "Question", "Problem")
SOLUTION = ("solution", "completion", "response")
ANSWER = ("answer", "Answer", "final_answer")
BUILTIN = "builtin:list-machine"


def identify(question: str) -> str:
    """Returns the id of a problem: a digest of its letters and digits, so spacing and case do not tell problems apart."""
    return hashlib.sha256(re.sub(r"[\W_]+", "", question.casefold()).encode()).hexdigest()[:16]


def parse_source(source: str) -> Path | tuple[str, str | None, str | None]:
    """Splits a source into a path or (hub id, config, split).

    Raises:
        InputError: If it is neither a file that exists nor of the form owner/name[:config[:split]].
    """
    path = Path(source).expanduser()
    if path.suffix in (".jsonl", ".parquet"):
        if not path.is_file():
            raise InputError(f"{source}: no such file")
        return path
    parts = source.split(":")
    if parts[0].count("/") != 1 or source.startswith((".", "/", "~")) or len(parts) > 3:
        raise InputError(
            f"{source!r} is neither a .jsonl or .parquet file, nor owner/name[:config[:split]], nor {BUILTIN}"
        )
    name, config, split = (parts + [None, None])[:3]
    return name, config or None, split or "train"


def digest_source(source: str, seed: int) -> str:
    """Returns what identifies a source's contents: a file's digest, a hub commit, or the generator's seed.

    Raises:
        InputError: If the source does not exist.
    """
    if source == BUILTIN:
        return f"seed-{seed}"
    located = parse_source(source)
    if isinstance(located, Path):
        with located.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        return HfApi().dataset_info(located[0]).sha
    except GatedRepoError as error:
        raise InputError(f"{source}: gated; accept its licence on the hub and set HF_TOKEN") from error
    except RepositoryNotFoundError as error:
        raise InputError(f"{source}: the hub has no dataset {located[0]}") from error
    except Exception as error:
        raise InputError(f"{source}: the hub could not be asked ({error}); a local file works too") from error


def read_rows(source: str, split: str, seed: int, revision: str = "") -> Iterator[tuple[str, dict]]:
    """Yields raw rows with where they stand, endless for a builtin source.

    Args:
        source: As in the parameters `curate_*_data`.
        split: What a builtin source should generate: sft, rl or evaluation.
        seed: Seeds a builtin source.
        revision: Hub commit.

    Yields:
        (place such as `train.jsonl line 17`, row).

    Raises:
        InputError: If a line is not JSON, or the file or dataset cannot be read.
    """
    if source == BUILTIN:
        for number, row in enumerate(generate_rows(split, seed)):
            yield f"{source} {split} row {number}", row | {"format": "word"}
        return
    located = parse_source(source)
    if isinstance(located, Path) and located.suffix == ".jsonl":
        with located.open("rb") as file:
            try:
                for number, line in enumerate(file, 1):
                    if line.strip():
                        yield f"{located.name} line {number}", json.loads(line)
            except ValueError as error:
                raise InputError(f"{located} line {number}: not JSON ({error}); repair or remove the line") from error
        return
    if isinstance(located, Path):
        import pyarrow
        import pyarrow.parquet

        try:
            rows = pyarrow.parquet.read_table(located).to_pylist()
        except pyarrow.ArrowException as error:
            raise InputError(f"{located}: not a readable Parquet file ({error})") from error
    else:
        import datasets

        name, config, part = located
        try:
            rows = datasets.load_dataset(name, config, split=part, revision=revision or None)
        except Exception as error:
            raise InputError(f"{source}: {error}") from error
    for number, row in enumerate(rows):
        yield f"{source} row {number}", row


def read_problem(row: object, needs_solution: bool) -> dict[str, str | int]:
    """Turns a raw row into question, answer, format and, if needed, solution; multiple choice has its options counted.

    Args:
        row: A raw row.
        needs_solution: Whether the row must have a worked solution.

    Returns:
        The problem, with its `problem_id`.

    Raises:
        InputError: With the reason why the row is malformed.
    """
    if not isinstance(row, dict):
        raise InputError("not an object")
    if row.get("choices") or row.get("answer_option_list"):
        return _read_choice(row, needs_solution)
    question = next((row[k] for k in QUESTION if row.get(k)), None)
    solution = next((row[k] for k in SOLUTION if row.get(k)), None)
    answer = next((row[k] for k in ANSWER if row.get(k) not in (None, "")), None)
    if isinstance(answer, (int, float)) and not isinstance(answer, bool):
        answer = str(answer)
    if not isinstance(question, str) or not question.strip():
        raise InputError("no question")
    if isinstance(answer, str) and "####" in answer:
        solution, answer = clean_gsm8k_solution(answer)
    if answer is None and isinstance(solution, str):
        answer = extract_boxed(solution)
    if not isinstance(answer, str) or not answer.strip():
        raise InputError("no answer")
    if needs_solution and (not isinstance(solution, str) or not solution.strip()):
        raise InputError("no worked solution")
    problem = {"problem_id": identify(question), "question": question, "answer": answer.strip()}
    problem["format"] = row.get("format", "boxed")
    # An SFT example is never held against its answer; that it can be is looked at when it becomes an RL prompt.
    if not needs_solution and not is_readable(problem["answer"], problem["format"]):
        raise InputError("the verifier cannot read the answer")
    return problem | ({"solution": solution} if needs_solution else {})


def _read_choice(row: dict, needs_solution: bool) -> dict[str, str | int]:
    """Reads a row of MMLU's form (choices, index of the answer) or TAL-SCQ5K's (options with letters, letter)."""
    if needs_solution:
        raise InputError("multiple choice has no worked solution")
    question = next((row[k] for k in QUESTION if row.get(k)), None)
    if not isinstance(question, str) or not question.strip():
        raise InputError("no question")
    if row.get("choices"):
        options = dict(zip(string.ascii_uppercase, row["choices"], strict=False))
        answer = row.get("answer")
        letter = string.ascii_uppercase[answer] if isinstance(answer, int) and 0 <= answer < len(options) else None
    else:
        listed = [entry for entries in row["answer_option_list"] for entry in entries]
        options = {entry["aoVal"]: entry["content"].strip() for entry in listed}
        letter = row.get("answer_value")
    if letter not in options:
        raise InputError("the answer is none of the options")
    text = "\n".join([question, *(f"{name}. {option}" for name, option in options.items())])
    problem = {"problem_id": identify(text), "question": text, "answer": letter, "format": "letter"}
    return problem | {"options": len(options)}


def read_some(source: str, split: str, seed: int, count: int) -> list[dict]:
    """Returns the first rows of a source that are well formed, for estimates."""
    some = []
    for _, row in itertools.islice(read_rows(source, split, seed), 2 * count):
        try:
            some.append(read_problem(row, split == "sft"))
        except InputError:
            continue
        if len(some) == count:
            break
    return some
