"""What the cells of a row hold: missing values, whole numbers as floats, lists and objects as texts, and paths into them."""

import ast
import contextlib
import json
import math
import re
from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from typing import Any

import numpy as np

from rlready.errors import InputError, Misread

# Texts for a missing answer; `notfound` and `proof` are NuminaMath's, the others come from converted tables.
ABSENT = {"", "-", "–", "?", "notfound", "not found", "nan", "null", "n/a", "none", "<na>", "#n/a", "nil", "nat"}
ABSENT |= {"#ref!", "#value!", "#name?", "#div/0!", "#num!", "#null!"}  # errors of spreadsheets
LONGEST_ABSENT = max(map(len, ABSENT))
QUOTED = re.compile(r"""'[^']*'|"[^"]*\"""")
NUMPY = re.compile(rf"\[(?:\s*(?:{QUOTED.pattern}))+\s*\]")  # a list of texts without commas, which Python would join
ARRAY = re.compile(r"\Aarray\((.*),\s*dtype=object\)\Z", re.DOTALL)  # numpy's own notation
LARGEST_EXACT = 2**53  # a larger float may have been another whole number
WHOLE_FLOAT = re.compile(r"-?\d+\.0")


def is_absent(value: object) -> bool:
    """Returns whether a value is missing: null, NaN, or a text such as `None`, `NA` and `n/a`."""
    if isinstance(value, float):
        return not math.isfinite(value)
    if not isinstance(value, str):
        return value is None
    text = value.strip()
    return len(text) <= LONGEST_ABSENT and (text == "NA" or text.casefold() in ABSENT)  # `Na` is sodium


def restore_integer(value: object) -> object:
    """Returns a whole number in a float as an integer, and another float as a text without the digits of its error.

    A column with an empty cell makes floats of integers; a float of 32 bits has other digits as one of 64. Raises InputError if
    it is so large that the float has lost digits.
    """
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else f"{value.normalize():f}"
    if not isinstance(value, float):
        return value
    if not value.is_integer():
        return f"{value:.7g}" if float(f"{value:.7g}") != value == float(np.float32(value)) else f"{value:.15g}"
    if abs(value) > LARGEST_EXACT:
        raise InputError("a whole number in a float column, so large that it has lost digits; give it as text")
    return int(value)


def shorten_whole(text: str) -> str:
    """Returns a whole number without `.0`, which tables write that have made floats of integers; any other text as it is."""
    return text.removesuffix(".0") if WHOLE_FLOAT.fullmatch(text) else text


def parse_list(text: str) -> object:
    """Returns what a text is in the notation of JSON, Python or numpy, as tables have lists and objects; or the text."""
    with contextlib.suppress(ValueError, RecursionError):
        return json.loads(text)
    with contextlib.suppress(ValueError, SyntaxError, RecursionError, MemoryError):
        texts = QUOTED.findall(text) if NUMPY.fullmatch(text) else None
        objects = ARRAY.sub(r"\1", text).replace("}\n ", "},\n ")  # as numpy prints them
        return [ast.literal_eval(one) for one in texts] if texts else ast.literal_eval(objects)
    return text


def read_texts(value: object) -> object:
    """Returns the list of texts that a text is in such a notation; any other value as it is."""
    texts = parse_list(value) if isinstance(value, str) and value.startswith(("['", '["')) else None
    return texts if isinstance(texts, list) and all(isinstance(text, str) for text in texts) else value


def _write(value: object) -> str:
    if is_absent(value) and value != "":
        raise InputError(f"a column of a text with {{column}} or [*] holds {value}")
    return str(restore_integer(value))


@lru_cache
def compile_column(path: str) -> Callable[[dict], object]:
    """Returns a function that reads `column`, `column[key][0]`, `column[*]` (joined) or a text with {column} from a row."""
    if "{" in path:
        first, *parts = re.split(r"\{([^{}]+)\}", path)
        pieces = [(compile_column(name), text) for name, text in zip(parts[::2], parts[1::2], strict=True)]
        return lambda row: first + "".join(_write(read(row)) + text for read, text in pieces)
    column, *keys = re.split(r"\]?\[|\]$", path)

    def get(row: dict) -> Any:
        if column not in row:
            raise Misread(f"no column {column!r}")
        value = row[column]
        for key in filter(None, keys):
            try:
                if isinstance(value, str):  # that holds a list or an object; never one of its characters
                    value = parse_list(value) if value[:1] in ("[", "{") else None
                value = ", ".join(map(_write, value)) if key == "*" else value[int(key) if key.isdigit() else key]
            except (LookupError, TypeError):
                raise Misread(f"{column!r} has no {key!r}") from None
        return value

    return get
