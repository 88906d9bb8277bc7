"""The final answer in what a model wrote: behind a `#`, in the last box, or a letter."""

import re

from rlready.components.core.verifier.equivalence import SPACE, TEXT

LONGEST_ANSWER = 300  # characters; a longer final answer is not one
PLAIN = re.compile(r"\{([^{}\\]*)\}")
LETTER = re.compile(r"\(?([A-J])\)?[.:]?")
LAST_LETTER = re.compile(r"(?<![\w\\])(?:\(([A-J])\)|([A-J]))[.*\s]*$")


def extract_word(completion: str) -> str | None:
    """Returns what follows the single `#`, or None where there is none or more than one."""
    return completion.split("#")[1] if completion.count("#") == 1 else None


def extract_boxed(completion: str) -> str | None:
    """Returns the content of the last `\\boxed{}` or `\\boxed 2`, or None where there is none or the last is not closed."""
    start = completion.rfind("\\boxed")
    if start < 0:
        return None
    rest = completion[start + 6 : start + 6 + LONGEST_ANSWER + 3].lstrip(" ")
    if not rest.startswith("{"):
        bare = re.match(r"\d+", rest)
        return bare[0] if bare else None
    if plain := PLAIN.match(rest):
        return plain[1] if len(plain[1]) <= LONGEST_ANSWER else None
    depth = escaped = 0
    for position, character in enumerate(rest):
        if not escaped:
            depth += {"{": 1, "}": -1}.get(character, 0)
        escaped = character == "\\" and not escaped
        if depth == 0:
            return rest[1:position] if position <= LONGEST_ANSWER + 1 else None
    return None


def extract_letter(completion: str) -> str | None:
    """Returns the option A to J that is the last `\\boxed{}` or, in a completion without a box, its last word, or None."""
    if "\\boxed" in completion:
        match = LETTER.fullmatch(SPACE.sub("", TEXT.sub(r"\1", extract_boxed(completion) or "")))
        return match[1] if match else None
    match = LAST_LETTER.search(completion[-LONGEST_ANSWER:])
    return match[1] or match[2] if match else None


EXTRACT = {"word": extract_word, "boxed": extract_boxed, "letter": extract_letter}
