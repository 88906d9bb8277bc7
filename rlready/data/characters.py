"""Characters that conversions of data leave in texts: halves, lost backslashes, HTML and line breaks as two characters."""

import re
from collections.abc import Callable

LONE_SURROGATE = re.compile("[\ud800-\udfff]")
# What commands of LaTeX become if JSON or Python reads their single backslash as an escape: the sign, its letter, what follows.
LOST = {
    "\x07": ("a", "[a-z]"),
    "\x08": ("b", "[a-z]"),
    "\t": ("t", r"imes|heta|ext\{|frac"),
    "\x0b": ("v", r"ec\b|ert|arphi|dots"),
    "\x0c": ("f", "rac|orall|box"),
    "\r": ("r", r"ight|ho\b"),
}
BACKSLASH = re.compile(f"[{''.join(LOST)}](?:{'|'.join(f'(?<={sign})(?={rest})' for sign, (_, rest) in LOST.items())})")
RESTORED = "a LaTeX command had lost its backslash, which is restored, in the {}"
# What is trained on and asked as it is, but should not be there.
ODD = {
    "a control character": re.compile("[\x00-\x08\x0e-\x1f\x7f]"),
    "HTML, such as &lt;": re.compile(r"&(?:lt|gt|amp|quot|nbsp|#\d+);|</?(?:p|br|div|span)\b[^<>]*>"),
    "a tool's call or its output, which no tool gives here": re.compile(r"<tool_call>|^```output\b", re.MULTILINE),
    "line breaks as \\n, two characters": re.compile(r"\A[^\n]*\\n(?=\\n|[A-Z\d\s-])[^\n]*\Z"),
}


def restore_backslashes(text: str) -> str:
    r"""Returns a text with the backslashes that commands of LaTeX have lost: a form feed and `rac` is `\frac`."""
    return text if text.isprintable() else BACKSLASH.sub(lambda found: "\\" + LOST[found[0]][0], text)


def check_text(text: str, where: str, note: Callable[[str], None]) -> str:
    """Returns a text with lost backslashes restored and each half of a character replaced by a mark; notes these and odd ones.

    No file or tokenizer takes half a character.
    """
    if (restored := restore_backslashes(text)) != text:
        note(RESTORED.format(where))
        text = restored
    for what, pattern in ODD.items():
        if pattern.search(text):
            note(f"{what}, in the {where}")
    if text.isascii() or not LONE_SURROGATE.search(text):
        return text
    note("half a character (a lone surrogate)")
    return LONE_SURROGATE.sub("\ufffd", text)
