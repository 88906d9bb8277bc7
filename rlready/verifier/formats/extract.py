r"""Find the final answer in a completion, and clean reference answers."""

import re

from rlready.verifier.equivalence.spelling import SPACE, TEXT, respell

LONGEST_ANSWER = 300  # characters; a longer final answer is not one
MOST_BOXES = 32  # of one list
BOX = re.compile(r"\\boxed\s*")
# What may separate the boxes of one list: a comma, `and` or `or`, in or between formulas.
BETWEEN = re.compile(
    r"[\s$]*(?:[,;][\s$]*(?:and|or)?|and|or(?:[\s$]*[a-z][\s$]*=)?"
    r"|for part \([a-z]\)[,;]?\s*(?:and|or))[\s$]*(?:for part \([a-z]\)[\s:$]*)?"
)
MARKUP = re.compile(r"\\[()\[\]]|\$")
EMPHASIS = re.compile(r"\\(?:text|math)\w*\{|[*_$`{}\"\[\]]|\\[()]")
# The reason for a letter: no letter after it is a choice.
REASON = r",?\s*\(?(?:because|since|as|for|not|but\s+not|rather|instead|unlike|while)\b"
IN_BOX = (
    re.compile(r"(?:(?:option|choice|answer)\s*:?\s*)?\(?([A-J])\)?[.:]?", re.IGNORECASE),
    re.compile(rf"\(?([A-J])\)?{REASON}.*", re.DOTALL),
    # The letter with the option's text, which may mention others but not begin with one.
    re.compile(
        r"(?:\(([A-J])\)|([A-J])(?:\s*[.:)=]|\s+-\s))\s*(?!(?:or|and|nor)\b|[,/&])(?!.*(?:\([A-J]\)|\b[A-J][.:)]))\S.*",
        re.DOTALL,
    ),
    re.compile(r"(?!.*(?:\([A-J]\)|\b[A-J]\b|\b(?:or|not|and|nor|neither|either)\b).*\()\S.*\(([A-J])\)", re.DOTALL),
)
LAST_LETTER = re.compile(r"(?<![\w\\])(?:\(([A-J])\)|([A-HJ]))[.!:\s]*$")  # a bare `I` is the pronoun
EXPLANATION = re.compile(r"\n\W*(?:explanation|reason(?:ing)?|justification|rationale)\b", re.IGNORECASE)
TAGGED = re.compile(r"<answer>\s*\(?([A-J])\)?\s*</answer>[.\s]*$")
CHOSEN = rf"\(?([A-J])(?![\w'])\)?(?:{REASON}|\s+is\s+(?:the\s+)?(?:correct|right)\b"
CLAIM = re.compile(
    r"\b(?i:(?:answer|option|choice)\s+(?:is|must\s+be|should\s+be)\s*:?|answer\s*:?)\s*(?i:(?:the\s+)?(?:option|choice)\s+)?"
    rf"{CHOSEN}|(?<=\))(?!\s*(?:or\b|and\b|[,/&]))|[.:!]|\s*$)"
    rf"|(?:\b(?i:option|choice|answer)\s+|(?:^|[.!?;]\s+)(?i:(?:so|thus|therefore|hence),?\s+)?){CHOSEN})",
    re.MULTILINE,
)
OPTION = re.compile(r"^\W*([A-J])[.:)]\s+\S.*", re.MULTILINE)
# A letter after one of these is one of several, excluded, or part of a name.
HEDGED = re.compile(
    r"(?:\b(?i:or|(?:can)?not|nor|neither|either|never|except|unlike|than|an|do|rul\w+\s+out|(?:eliminat|exclud|reject)\w*"
    r"|(?:all|any\w*|every\w*)\s+but|none\s+of|vitamin|hepatitis|grade|degrees?|vertex|figure|appendix)|n't"
    r"|(?i:n't|\bnot)\s+(?:think|believe|sure|true|certain|the\s+case)(?:\s+(?:that|if|whether))?"
    r"|(?<![A-Za-z])[A-J]\)?\s*(?:,|/|&|\b(?:and|to)\b))\s*(?i:(?:the\s+)?(?:option|choice|answer|be|is)\s*:?\s*)*[(\s]*$"
)


def extract_word(completion: str) -> str | None:
    """Returns what follows the single `#`, or None if there is none or more than one."""
    return completion.split("#")[1] if completion.count("#") == 1 else None


def extract_boxed(completion: str) -> str | None:
    r"""Returns the content of the last `\boxed{}` or `\boxed 2`, or None if there is none or the last is not closed.

    Boxes that are separated only by commas, `and` or `or` form one list: `\boxed{1} and \boxed{2}` is `1, 2`. A box in a box
    is a part of what the outer one says: `\boxed{\boxed{1}+2}` is `1+2`.
    """
    end = completion.rfind("\\boxed")
    places = [found.start() for found in BOX.finditer(completion, max(0, end - LONGEST_ANSWER - 9))] if end >= 0 else []
    boxes = ((place, _read_box(completion, place)) for place in places)
    start, last = next(((place, box) for place, box in boxes if box and box[1] > end), (0, None))
    if last is None:
        return None
    contents = [BOX.sub("", last[0])]
    while len(contents) < MOST_BOXES:
        before = completion.rfind("\\boxed", max(0, start - LONGEST_ANSWER - 80), start)
        box = _read_box(completion, before) if before >= 0 else None
        if box is None or box[1] > start or not BETWEEN.fullmatch(_strip_markup(completion[box[1] : start])):
            break
        contents.insert(0, box[0])
        start = before
    return contents[0] if len(set(contents)) == 1 else ", ".join(contents)


def _read_box(completion: str, start: int) -> tuple[str, int] | None:
    """Returns the content of the box at a position, and the position after it."""
    opened = start + 6
    rest = completion[opened : opened + LONGEST_ANSWER + 3]
    space = len(rest) - len(rest.lstrip(" \n"))
    opened, rest = opened + space, rest[space:]
    if not rest.startswith("{"):
        bare = re.match(r"\d+", rest)
        return (bare[0], opened + bare.end()) if bare else None
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
    r"""Returns the option A to J that a completion chooses, or None; one of several (`A or B`) and `not B` are no choice.

    It is in the last `\boxed{}`, alone or with the option's text or a reason (`B. 42`, `42 (B)`, `C because A is wrong`), or,
    without a box, at the end: `The answer is B`, `option B is correct`, `B) 42`, `<answer>B</answer>`.
    """
    head, *tail = EXPLANATION.split(completion, maxsplit=1)
    if tail and CLAIM.search(head[-LONGEST_ANSWER:]) and not CLAIM.search(tail[0]) and "\\boxed" not in tail[0]:
        completion = head
    before, boxed, _ = completion.rpartition("\\boxed")
    before = EMPHASIS.sub("", (before if boxed else completion)[-LONGEST_ANSWER:])
    if boxed:
        text = re.sub(r"[{}]", "", _strip_markup(respell(extract_boxed(completion) or ""))).strip()
        match = next(filter(None, (pattern.fullmatch(text) for pattern in IN_BOX)), None)
    else:
        match = _find_choice(before.rstrip())
        before = before[: match.start(match.lastindex or 0)] if match else before
    letter = match[match.lastindex or 0] if match else ""
    return letter if letter.isupper() and not HEDGED.search(before[-60:]) else None


def _find_choice(text: str) -> re.Match | None:
    """Returns the match of the last letter, or of an earlier choice that explains the last letter away."""
    if match := TAGGED.search(text):
        return match
    last, options = LAST_LETTER.search(text), list(OPTION.finditer(text))
    claim = max(CLAIM.finditer(text), key=lambda match: match.start(), default=None)
    if not claim and len(options) == 1 and options[0].end() == len(text):
        claim = options[0]
    if claim and last and re.search(r"[.!?\n]", text[claim.end() : last.start()]):
        return claim if HEDGED.search(text[: last.start()][-60:]) else last
    return claim or last


def clean_reference(reference: str) -> str:
    r"""Strips `$ $`, `\[ \]`, `\( \)` and boxes from a reference answer, and adds missing closing braces."""
    reference = reference.strip()
    if "\\boxed" in reference:
        reference = (extract_boxed(reference) or reference).strip()
    for opened, closed in (("\\[", "\\]"), ("\\(", "\\)"), ("$$", "$$"), ("$", "$")):
        inner = reference[len(opened) : -len(closed)]
        if reference.startswith(opened) and reference.endswith(closed) and len(reference) > len(opened) and opened not in inner:
            reference = inner.strip()
    braces = re.sub(r"\\.", "", reference)
    return reference + "}" * (braces.count("{") - braces.count("}"))
