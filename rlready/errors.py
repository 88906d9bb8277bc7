"""What the user is told in one line, without a traceback."""

import contextlib
from collections.abc import Iterator


class InputError(ValueError):
    """Something the user gave is wrong. The message says what, where and what to do; it is shown without a traceback."""


class Unreachable(InputError):
    """What should say whether the input is right, such as the hub, could not be asked."""


class StageFailed(RuntimeError):
    """The work of a stage failed in other processes or pods; the message says all, and another try may succeed."""


@contextlib.contextmanager
def about(name: str) -> Iterator[None]:
    """Puts the name of what was given before the messages of the errors inside, so that the user knows what to change.

    Args:
        name: Of a parameter, an option or a candidate.
    """
    try:
        yield
    except InputError as error:
        raise type(error)(f"{name}: {error}") from error
