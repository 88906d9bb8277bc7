"""What the user is told in one line, without a traceback."""


class InputError(ValueError):
    """Something the user gave is wrong. The message says what, where and what to do; it is shown without a traceback."""


class Unreachable(InputError):
    """What should say whether the input is right, such as the hub, could not be asked."""
