"""Text that a model or a file wrote, made harmless for a terminal and a page: control characters become visible signs."""

import unicodedata

PICTURES = 0x2400  # of the control characters, in Unicode
KEPT = "\n\t"
# Control, format (direction, invisible), surrogate and private characters, and separators of lines and paragraphs.
STEERING = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")


def show_controls(text: str) -> str:
    r"""Returns a text whose control, invisible and direction-changing characters are replaced by visible signs.

    Otherwise escape sequences could move the cursor or paste, and a change of direction could make a text read differently.
    `\x1b` becomes ␛, others become `<U+202E>`. Newlines, tabs and printable characters stay.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_show, text))


def shorten(text: str, most: int) -> str:
    """Returns a text of at most this many characters, shortened in the middle, because a solution ends in its answer."""
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
