r"""The final answer in what a model wrote: behind a `#`, in the last box or boxes, or a letter; and what a gold answer is."""

import re

from rlready.components.core.verifier.exact.spelling import SPACE, TEXT, respell

LONGEST_ANSWER = 300  # characters; a longer final answer is not one
MOST_BOXES = 32  # that are joined to a list
PLAIN = re.compile(r"\{([^{}\\]*)\}")
# What may stand between boxes that give one list: a comma, `and` or `or`, in or between formulas.
BETWEEN = re.compile(
    r"[\s$]*(?:[,;][\s$]*(?:and|or)?|and|or|for part \([a-z]\)[,;]?\s*(?:and|or))[\s$]*(?:for part \([a-z]\)[\s:$]*)?"
)
MARKUP = re.compile(r"\\[()\[\]]|\$")
OPTION = r"\(?([A-J])\)?[.:]?"
IN_BOX = (
    re.compile(rf"(?:(?:option|choice|answer)\s*:?\s*)?{OPTION}", re.IGNORECASE),
    re.compile(r"(?:\(([A-J])\)|([A-J])[.:)])\s*(?P<rest>\S.*)", re.DOTALL),
    re.compile(r"(?P<rest>.*\S)\s*\(([A-J])\)", re.DOTALL),
)
OTHER_OPTION = re.compile(r"\([A-J]\)|(?<![A-Za-z])[A-J](?![A-Za-z])|\b(?:or|not|and|nor|neither|either)\b")
LAST_LETTER = re.compile(r"(?<![\w\\])(?:\(([A-J])\)|([A-J]))[.*\s]*$")
TAGGED = re.compile(r"<answer>\s*\(?([A-J])\)?\s*</answer>[.*\s]*$")
DECLARED = re.compile(
    r"\b(?i:option|choice|answer)\s+\**\(?([A-J])\)?\**\s+is\s+(?:the\s+)?(?:correct|right)(?:\s+(?:one|answer|option|choice))?"
    r"[.!*\s]*$"
)
# A letter behind one of these is one of several, or the one that it is not.
HEDGED = re.compile(
    r"(?:\b(?:or|not|nor|neither|either|never|except|unlike|than|(?:all|any\w*|every\w*)\s+but)|n't|(?<![A-Za-z])[A-J]\)?\**\s*(?:,|/|&|\band))\s*"
    r"(?:(?:the\s+)?(?:option|choice|answer|be|is)\s*)*[(*\s$]*$"
)


def extract_word(completion: str) -> str | None:
    """Returns what follows the single `#`, or None where there is none or more than one."""
    return completion.split("#")[1] if completion.count("#") == 1 else None


def extract_boxed(completion: str) -> str | None:
    r"""Returns the content of the last `\boxed{}` or `\boxed 2`, or None where there is none or the last is not closed.

    Boxes that only commas, `and` or `or` stand between are one list: `\boxed{1} and \boxed{2}` is `1, 2`.
    """
    start = completion.rfind("\\boxed")
    last = _read_box(completion, start) if start >= 0 else None
    if last is None:
        return None
    contents = [last[0]]
    while len(contents) < MOST_BOXES:
        before = completion.rfind("\\boxed", max(0, start - LONGEST_ANSWER - 80), start)
        box = _read_box(completion, before) if before >= 0 else None
        if box is None or box[1] > start or not BETWEEN.fullmatch(_strip_markup(completion[box[1] : start])):
            break
        contents.insert(0, box[0])
        start = before
    return contents[0] if len(set(contents)) == 1 else ", ".join(contents)


def _read_box(completion: str, start: int) -> tuple[str, int] | None:
    """Returns the content of the box at a place, and the place behind it."""
    opened = start + 6
    rest = completion[opened : opened + LONGEST_ANSWER + 3]
    space = len(rest) - len(rest.lstrip(" \n"))
    opened, rest = opened + space, rest[space:]
    if not rest.startswith("{"):
        bare = re.match(r"\d+", rest)
        return (bare[0], opened + bare.end()) if bare else None
    if plain := PLAIN.match(rest):
        return (plain[1], opened + plain.end()) if len(plain[1]) <= LONGEST_ANSWER else None
    depth = escaped = 0
    for position, character in enumerate(rest):
        if not escaped:
            depth += {"{": 1, "}": -1}.get(character, 0)
        escaped = character == "\\" and not escaped
        if depth == 0:
            return (rest[1:position], opened + position + 1) if position <= LONGEST_ANSWER + 1 else None
    return None


def _strip_markup(text: str) -> str:
    return SPACE.sub(" ", MARKUP.sub(" ", TEXT.sub(r" \1 ", text))).strip()


def extract_letter(completion: str) -> str | None:
    r"""Returns the option A to J that a completion chooses, or None.

    It stands in the last `\boxed{}`, alone or with the option's text (`B. 42`, `42 (B)`), or, without a box, at the end:
    `The answer is B`, `option B is correct`, `<answer>B</answer>`. One of several (`A or B`) or `not B` is none.
    """
    if "\\boxed" in completion:
        return _read_option(extract_boxed(completion) or "")
    end = completion[-LONGEST_ANSWER:]
    for pattern in (TAGGED, DECLARED, LAST_LETTER):
        if match := pattern.search(end):
            hedged = HEDGED.search(end[: match.start()])
            return None if hedged else next(filter(None, match.groups()))
    return None


def _read_option(content: str) -> str | None:
    text = re.sub(r"[{}]", "", _strip_markup(respell(content))).strip()
    for pattern in IN_BOX:
        if match := pattern.fullmatch(text):
            groups = match.groupdict()
            letter = next(group for group in match.groups() if group and group != groups.get("rest"))
            alone = "rest" not in groups or not OTHER_OPTION.search(groups["rest"])
            return letter if alone and letter.isupper() else None
    return None


def clean_gold(gold: str) -> str:
    r"""Returns a gold answer without `$ $`, `\[ \]`, `\( \)` and boxes around it, and with the braces closed that it opens."""
    gold = gold.strip()
    if "\\boxed" in gold:
        gold = (extract_boxed(gold) or gold).strip()
    for opened, closed in (("\\[", "\\]"), ("\\(", "\\)"), ("$$", "$$"), ("$", "$")):
        inner = gold[len(opened) : -len(closed)]
        if gold.startswith(opened) and gold.endswith(closed) and len(gold) > len(opened) and opened not in inner:
            gold = inner.strip()
    braces = re.sub(r"\\.", "", gold)
    return gold + "}" * (braces.count("{") - braces.count("}"))
