"""Characters that conversions of data leave in texts: halves, lost backslashes, HTML and line breaks as two characters."""

import re
from collections.abc import Callable

from rlready.errors import InputError

LONE_SURROGATE = re.compile("[\ud800-\udfff]")
# What commands of LaTeX become if JSON or Python reads their single backslash as an escape, with an example of each.
LOST = {
    "\x07": ("[a-z]", r"\alpha"),
    "\x08": ("[a-z]", r"\boxed"),
    "\t": (r"imes|heta|ext\{|frac", r"\times"),
    "\x0b": (r"ec\b|ert|arphi|dots", r"\vec"),
    "\x0c": ("rac|orall|box", r"\frac"),
    "\r": (r"ight|ho\b", r"\right"),
}
BACKSLASH = re.compile(f"[{''.join(LOST)}](?:{'|'.join(f'(?<={sign})(?:{rest})' for sign, (rest, _) in LOST.items())})")
# What is trained on and asked as it is, but should not be there.
ODD = {
    "a control character": re.compile("[\x00-\x08\x0e-\x1f\x7f]"),
    "HTML, such as &lt;": re.compile(r"&(?:lt|gt|amp|quot|nbsp|#\d+);|</?(?:p|br|div|span)\b[^<>]*>"),
    "a tool's call or its output, which no tool gives here": re.compile(r"<tool_call>|^```output\b", re.MULTILINE),
    "line breaks as \\n, two characters": re.compile(r"\A[^\n]*\\n(?=\\n|[A-Z\d\s-])[^\n]*\Z"),
}


def refuse_lost_backslash(text: object, where: str) -> None:
    """Raises InputError if a command of LaTeX has lost its backslash in a text; `where` is the part of the problem."""
    if lost := BACKSLASH.search(text) if isinstance(text, str) else None:
        raise InputError(
            f"in the {where} a LaTeX command such as {LOST[lost[0][0]][1]} has lost its backslash; double the backslashes where"
            " the data is written"
        )


def check_text(text: str, where: str, note: Callable[[str], None]) -> str:
    """Returns a text with each half of a character, which no file or tokenizer takes, replaced by a mark; notes odd ones."""
    for what, pattern in ODD.items():
        if pattern.search(text):
            note(f"{what}, in the {where}")
    if text.isascii() or not LONE_SURROGATE.search(text):
        return text
    note("half a character (a lone surrogate)")
    return LONE_SURROGATE.sub("\ufffd", text)
