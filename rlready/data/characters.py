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
# What is trained on and asked as it is, but should not be there: texts that hold one of its signs are searched for it.
ODD = {
    "HTML, such as &lt;": (("&", "<"), re.compile(r"&(?:lt|gt|amp|quot|nbsp|#\d+);|</?(?:p|br|div|span)\b[^<>]*>")),
    "a tool's call or its output, which no tool gives here": (
        ("<tool_call>", "```output"), re.compile(r"<tool_call>|^```output\b", re.MULTILINE)
    ),
}  # fmt: skip
BREAK = re.compile(r"\\n(?=\\n|[A-Z\d\s-])")
CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f]")


def is_plain(text: str) -> bool:
    """Returns True if a text has only printable characters and line breaks, as nearly all have; this is quick."""
    return text.replace("\n", " ").isprintable()


def restore_backslashes(text: str) -> str:
    r"""Returns a text with the backslashes that commands of LaTeX have lost: a form feed and `rac` is `\frac`."""
    return text if is_plain(text) else BACKSLASH.sub(lambda found: "\\" + LOST[found[0]][0], text)


def check_text(text: str, where: str, note: Callable[[str], None]) -> str:
    """Returns a text with lost backslashes restored and each half of a character replaced by a mark; notes these and odd ones.

    No file or tokenizer takes half a character.
    """
    odd = [what for what, (signs, pattern) in ODD.items() if any(sign in text for sign in signs) and pattern.search(text)]
    if "\\n" in text and "\n" not in text and BREAK.search(text):
        odd.append("line breaks as \\n, two characters")
    if not is_plain(text):
        if (restored := restore_backslashes(text)) != text:
            note(RESTORED.format(where))
            text = restored
        if CONTROL.search(text):
            odd.append("a control character")
    for what in odd:
        note(f"{what}, in the {where}")
    if text.isascii() or not LONE_SURROGATE.search(text):
        return text
    note("half a character (a lone surrogate)")
    return LONE_SURROGATE.sub("\ufffd", text)
