"""Errors that the user sees as one line without a traceback."""

import contextlib
import difflib
from collections.abc import Iterable, Iterator


class InputError(ValueError):
    """The user's input is wrong. The message says what is wrong, where, and how to fix it."""


class Misread(InputError):
    """A row lacks a part, or has something else in its place: perhaps other columns hold it than those that were read."""


class NoSolution(Misread):
    """All that a row lacks is a worked solution."""


class Unreachable(InputError):
    """The input could not be checked, because a service such as the hub did not answer."""


class StageFailed(RuntimeError):
    """A stage failed in another process or pod. The message says why; a retry may succeed."""


@contextlib.contextmanager
def error_context(name: str) -> Iterator[None]:
    """Prefixes the messages of input errors with the parameter, option or candidate they are about."""
    try:
        yield
    except InputError as error:
        raise type(error)(f"{name}: {error}") from error


def suggest(name: object, known: Iterable[str], otherwise: str = "") -> str:
    """Returns the question whether the known name nearest to an unknown one is meant; `otherwise` if none is near."""
    near = difflib.get_close_matches(str(name), known, 1)
    return f"did you mean {near[0]}?" if near else otherwise


def one_line(error: object, most: int = 200) -> str:
    """Returns the message of another library's error in one line of at most this many characters."""
    return " ".join(str(error).split())[:most]
