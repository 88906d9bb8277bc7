"""Questions that say themselves how to answer, against what their format's prompt asks for."""

import re

from rlready.errors import one_line

# Where answers are asked to be, as a question may write it.
MARKS = {
    "boxed": re.compile(r"\\boxed\b"),
    "line": re.compile(r"\b(?:Answer|ANSWER):|(?<=[\"'“‘`])answer:"),
    "hashes": re.compile(r"(?<!#)####(?!#)"),
    "tags": re.compile(r"</?answer>", re.IGNORECASE),
}
# Where each format looks; others have prompts of their own, or none.
READ = {"boxed": "boxed", "letter": "boxed", "exact": "line"}
ASKED = re.compile(
    r"\b(?:forms?|formats?|formatted|lines?|tags?|write|put|output|place|enclosed?|wrap(?:ped)?|end|begin|start|respond|response"
    r"|reply|return|prefix(?:ed)?|present|give|provide|use|using|preceded|followed)\b",
    re.IGNORECASE,
)
END = re.compile(r"[.!?](?=\s|$)|\n")
LONGEST = 200  # characters of a sentence before the mark


def find_instruction(question: str, answer_format: str) -> str | None:
    r"""Returns the sentence of a question that asks for the answer in a place that its format does not read, or None.

    `The last line of your response should be of the form Answer: $Answer` is one for the format boxed, which reads `\boxed{}`
    only; one that asks for a box as well is none.
    """
    expected = READ.get(answer_format)
    if expected is None or MARKS[expected].search(question):
        return None
    for mark in (mark for name, known in MARKS.items() if name != expected for mark in known.finditer(question)):
        before = END.split(question[max(0, mark.start() - LONGEST) : mark.start()])[-1]
        if ASKED.search(before):
            return one_line(before + mark[0] + END.split(question[mark.end() :], maxsplit=1)[0])
    return None
