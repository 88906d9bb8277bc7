"""Exact match after normalisation, for answers in words. A plug-in as another package would write it."""

import re
import unicodedata

PUNCTUATION = frozenset(".,;:!?'\"`*_\u00b7")
KINDS = {"Pd": "-", "Ps": "(", "Pe": ")", "Pi": ".", "Pf": "."}  # by category of Unicode
MARKS = {"<super>": "^", "<sub>": " ", "<fraction>": " "}  # before a sign of such a form
SLASHES = str.maketrans("\u2044\u2215", "//")
# A number (with commas between thousands), a word, or one other sign.
TOKEN = re.compile(r"(?<![\d.,])[1-9]\d{0,2}(?:,\d{3})+(?![\d,])(?:\.\d+)?|\d*\.\d+|\d+|[^\W\d_]+|\S")
NAMES = ("answer", "final answer")


class ExactMatch:
    """The last line that begins with `Answer:`, compared regardless of case, blanks, punctuation and forms of one letter."""

    prompt = "{question}\n\nEnd with a line of its own that reads 'Answer:' and then the answer, in as few words as possible."

    def extract(self, completion: str) -> str | None:
        """Returns what follows the last `Answer:` that begins a line, or None."""
        for line in reversed(completion.splitlines()):
            head, colon, answer = line.partition(":")
            if colon and normalise(head) in NAMES:
                return answer.strip(" *_`") or None
        return None

    def check(self, answer: str, reference: str) -> bool:
        """Compares the normalised texts."""
        return normalise(answer) == normalise(reference) != ""

    def is_readable(self, reference: str) -> bool:
        """Returns True if a reference answer is more than punctuation."""
        return normalise(reference) != ""


def normalise(text: str) -> str:
    """Returns a text in NFKC, without case, and without punctuation except in formulas (-5, 3.5, 5!, 5²); 1,000 is 1000."""
    # NFKC would hide powers, indices and fractions.
    forms = ((sign, unicodedata.decomposition(sign).partition(" ")[0]) for sign in unicodedata.normalize("NFC", text))
    text = "".join(MARKS.get(form, "") + sign for sign, form in forms)
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    tokens = TOKEN.findall(text.translate(SLASHES))
    kinds = list(map(_classify, tokens))
    if kinds[:1] == ["("] and kinds[-1] == ")" and kinds.count("(") == 1 and "," not in tokens:
        tokens = tokens[1:-1]
    tokens = ["", *tokens, ""]
    around = zip(tokens, tokens[1:], tokens[2:], strict=False)
    kept = [token for before, token, after in around if _counts(before, token, after)]
    return " ".join("-" if _classify(token) == "-" else token.replace(",", "") for token in kept)


def _classify(token: str) -> str:
    """Returns `-`, `(` or `)` for a sign of that kind, `.` for other punctuation, `1` for a number or letter, else ""."""
    if token[:1].isdigit() or (token[:1] == "." and token != ".") or (len(token) == 1 and token.isalpha()):
        return "1"
    if token in PUNCTUATION:
        return "."
    return "-" if token == "\u2212" else KINDS.get(unicodedata.category(token[0]), "") if token else ""


def _counts(before: str, token: str, after: str) -> bool:
    """Returns True if a token is more than punctuation between its neighbours."""
    left, right = _classify(before), _classify(after)
    match _classify(token):
        case "-":
            return right in ("1", "(", "-") and (left != "" or not before.isalpha() or after[-1].isdigit())
        case "(":
            return right in ("1", "-", "(")
        case ")":
            return left in ("1", ")")
        case ".":
            factorial = token == "!" and (left in ("1", ")") or before == "!")
            return factorial or (token in "*:\u00b7" and left in ("1", ")") and right in ("1", "("))
    return True
