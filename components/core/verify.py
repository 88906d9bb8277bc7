"""Whether a completion is right: reward, predictors and benchmark all call this, so they cannot disagree.

Model output is hostile text. Plain words and numbers are compared here; anything else goes to math-verify in a process of
its own that is killed when it exceeds its time or memory, so no answer can hang or crash a stage.
"""

import atexit
import json
import os
import re
import resource
import select
import subprocess
import sys
import threading
from fractions import Fraction

TIME_LIMIT = 2.0  # seconds an answer
MEMORY_LIMIT = 2 << 30  # bytes of the worker
LONGEST_ANSWER = 300  # characters; a longer final answer is not one
NUMBER = re.compile(r"[-+]?\d{1,60}(\.\d{1,60})?(/\d{1,60})?")


def extract_word(completion: str) -> str | None:
    """Returns what follows the single `#`, or None where there is none or more than one."""
    return completion.split("#")[1] if completion.count("#") == 1 else None


def extract_boxed(completion: str) -> str | None:
    """Returns the content of the last `\\boxed{}`, or None where there is none or the last is not closed."""
    start = completion.rfind("\\boxed{")
    if start < 0:
        return None
    depth = 0
    for position in range(start + 6, min(len(completion), start + 6 + LONGEST_ANSWER + 2)):
        depth += {"{": 1, "}": -1}.get(completion[position], 0)
        if depth == 0:
            return completion[start + 7 : position]
    return None


EXTRACT = {"word": extract_word, "boxed": extract_boxed}


def parse_number(text: str) -> Fraction | None:
    """Returns the exact value of a plain number such as `1,080`, `$3.50`, `-7/2` or `50\\%` (50), or None."""
    text = re.sub(r"\\[$%]|[$%,\s]|\\!|\\,", "", text).rstrip(".")
    if not NUMBER.fullmatch(text):
        return None
    try:
        numerator, _, denominator = text.partition("/")
        return Fraction(numerator) / Fraction(denominator or 1)
    except ZeroDivisionError:
        return None


def verify(completion: str, answer: str, answer_format: str) -> bool:
    """Says whether a completion's final answer equals the given one.

    Args:
        completion: What the model wrote.
        answer: The gold answer, without a box.
        answer_format: `word` (exact, behind a single `#`) or `boxed` (mathematically equal, in the last `\\boxed{}`).

    Returns:
        True only if the answer was found and is equal; anything unreadable, too long or too slow is False.
    """
    found = EXTRACT[answer_format](completion)
    if found is None:
        return False
    if answer_format == "word" or found.strip() == answer.strip():
        return found.strip() == answer.strip() != ""
    number, gold = parse_number(found), parse_number(answer)
    if number is not None and gold is not None:
        return number == gold
    return _worker.equal(found, answer)


class MathWorker:
    """A math-verify process that is killed and replaced when an answer exceeds its limits."""

    def __init__(self):
        self.process = None
        self.owner = None
        self.lock = threading.Lock()

    def equal(self, found: str, answer: str) -> bool:
        """Returns whether math-verify finds two LaTeX answers equal within the limits."""
        with self.lock:
            if self.owner != os.getpid() or self.process.poll() is not None:
                self._start()
            try:
                self.process.stdin.write(json.dumps([found, answer]) + "\n")
                self.process.stdin.flush()
                ready, _, _ = select.select([self.process.stdout], [], [], TIME_LIMIT)
                if ready:
                    return self.process.stdout.readline().strip() == "true"
            except OSError:
                pass
            self.process.kill()
            self.process.wait()
            return False

    def _start(self) -> None:
        self.owner = os.getpid()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rlready.components.core.verify"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        atexit.register(self.process.kill)
        # The first line says that the imports are done, so they do not count against an answer.
        self.process.stdout.readline()


_worker = MathWorker()


def _serve() -> None:
    from math_verify import parse, verify

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    print("ready", flush=True)
    for line in sys.stdin:
        found, answer = (
            parse(f"\\boxed{{{text}}}", parsing_timeout=None, raise_on_error=False) for text in json.loads(line)
        )
        try:
            equal = bool(found and answer and verify(answer, found, timeout_seconds=None))
        except Exception:
            equal = False
        print("true" if equal else "false", flush=True)


if __name__ == "__main__":
    _serve()
