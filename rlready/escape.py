"""Texts that a model or a file wrote, made harmless for a terminal and a page: what would steer them is shown instead."""

import unicodedata

PICTURES = 0x2400  # of the control characters, in Unicode
KEPT = "\n\t"
# Control, format (direction, invisible), surrogate and private characters, and separators of lines and paragraphs.
STEERING = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")


def show_controls(text: str) -> str:
    r"""Returns a text in which control characters and those that turn its direction or cannot be seen stand as signs.

    Escape sequences could move the cursor, set the title or paste; overrides of direction could make a text read otherwise
    than it is. `\x1b` becomes ␛, others become `<U+202E>`; new lines, tabs and all that is printed stay.

    Args:
        text: From anywhere.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_show, text))


def shorten(text: str, most: int) -> str:
    """Returns a text of at most so many characters: the middle gives way to three dots, for a solution ends in its answer."""
    if len(text) <= most:
        return text
    head = (most - 3) // 2
    return f"{text[:head]} … {text[len(text) - (most - 3 - head) :]}"


def _show(character: str) -> str:
    code = ord(character)
    if character in KEPT or unicodedata.category(character) not in STEERING:
        return character
    if code < 0x20:
        return chr(PICTURES + code)
    return "\u2421" if code == 0x7F else f"<U+{code:04X}>"
