"""Whether a completion is right: reward, predictors and benchmark all call this, so they cannot disagree.

Model output is hostile text. Identical answers and plain numbers are compared here; anything else goes to processes of their
own that are killed when they exceed an answer's time or memory, so no answer can hang or crash a stage. There an answer
counts only if math-verify and a second check, which shares no code with it, both find it equal.
"""

import atexit
import contextlib
import json
import logging
import os
import re
import resource
import select
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from functools import lru_cache

from rlready.components.config import InputError
from rlready.components.core.equivalence import SPACE, TEXT, is_close, is_confirmed, normalise, parse_number

TIME_LIMIT = 2.0  # seconds an answer
MEMORY_LIMIT = 2 << 30  # bytes of a worker
START_LIMIT = 120.0  # seconds until a worker has imported its libraries on a busy machine
WORKERS = max(1, min(4, os.cpu_count() or 1))
ANSWERS_OF_A_WORKER = 10_000  # then it is replaced, since the parser's tables only grow
LONGEST_ANSWER = 300  # characters; a longer final answer is not one
REMEMBERED = 1 << 16  # pairs of answers, since the samples of a problem repeat one another
PLAIN = re.compile(r"\{([^{}\\]*)\}")
ACCEPTED = re.compile(r"(.+?) or (.+?) *\([^()]*accepted[^()]*\)")
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


@dataclass(frozen=True)
class Judgement:
    """What became of a completion.

    Attributes:
        right: Whether its final answer equals the given one.
        answer: Its final answer, None where none is found.
        disagreed: Whether math-verify found it equal and the second check did not confirm it; then it is not right.
    """

    right: bool
    answer: str | None
    disagreed: bool = False


def verify(completion: str, answer: str, answer_format: str) -> bool:
    """Says whether a completion's final answer equals the given one; see `judge`."""
    return judge(completion, answer, answer_format).right


def is_readable(answer: str, answer_format: str) -> bool:
    """Says whether a gold answer equals itself; one that does not would count every completion as wrong."""
    return verify(f"#{answer}" if answer_format == "word" else f"\\boxed{{{answer}}}", answer, answer_format)


def judge(completion: str, answer: str, answer_format: str) -> Judgement:
    """Compares a completion's final answer with the given one.

    Args:
        completion: What the model wrote.
        answer: The gold answer, without a box. `A or B (both were accepted)` accepts either.
        answer_format: `word` (exact, behind a single `#`), `boxed` (mathematically equal, in the last `\\boxed{}`) or
            `letter` (the option A to J in the last `\\boxed{}`, or at the end where there is no box).

    Returns:
        The judgement; an answer that is unreadable, too long or too slow is not right.

    Raises:
        InputError: If the format is unknown, or math-verify cannot be started at all.
    """
    if answer_format not in EXTRACT:
        raise InputError(f"format {answer_format!r} is not one of {', '.join(EXTRACT)}")
    found = (EXTRACT[answer_format](completion) or "").strip()
    answer = answer.strip()
    if not found or found == answer or answer_format != "boxed":
        return Judgement(found == answer != "", found or None)
    accepted = ACCEPTED.fullmatch(answer) if len(answer) <= LONGEST_ANSWER else None
    verdicts = [compare(found, gold) for gold in (accepted.groups() if accepted else (answer,))]
    right = any(right for right, _ in verdicts)
    return Judgement(right, found, not right and any(disagreed for _, disagreed in verdicts))


@lru_cache(REMEMBERED)
def compare(found: str, answer: str) -> tuple[bool, bool]:
    """Returns (whether two LaTeX answers are equal, whether math-verify was asked and says so)."""
    if max(len(found), len(answer)) > 2 * LONGEST_ANSWER:
        return False, False
    plain = normalise(found)
    if plain == normalise(answer):
        return plain != "", False
    number, gold = parse_number(found), parse_number(answer)
    if number is not None and gold is not None:
        return is_close(number, gold), False
    return _pool.compare(found, answer)


class Pool:
    """Processes that compare answers; one that exceeds an answer's limits is killed and replaced."""

    def __init__(self):
        self.idle: list[Worker] = []
        self.free = threading.Semaphore(WORKERS)

    def compare(self, found: str, answer: str) -> tuple[bool, bool]:
        """Returns (whether two LaTeX answers are equal, whether math-verify alone says so)."""
        with self.free:
            worker = self._take()
            try:
                worker.wait()
                verdict = worker.compare(found, answer)
            except BaseException:
                worker.kill()
                raise
            if verdict is None or worker.answers >= ANSWERS_OF_A_WORKER:
                worker.kill()
                # It imports its libraries while the caller goes on.
                worker = Worker()
            self.idle.append(worker)
            return verdict or (False, False)

    def close(self) -> None:
        """Ends the idle processes."""
        while self.idle:
            self.idle.pop().kill()

    def _take(self) -> "Worker":
        while True:
            try:
                worker = self.idle.pop()
            except IndexError:
                return Worker()
            if worker.process.poll() is None:
                return worker
            worker.kill()


class Worker:
    """One process of the pool."""

    def __init__(self):
        self.answers = 0
        # Its own session, so Ctrl-C reaches the stage only; the caller's import path instead of the current folder; no
        # tokens to give away; and one order of hashing, on which the time that sympy needs depends.
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LD_LIBRARY_PATH") if name in os.environ}
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "rlready.components.core.verify"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=kept | {"PYTHONHASHSEED": "0", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )

    def wait(self) -> None:
        """Waits until the libraries are imported, so that this does not count against an answer.

        Raises:
            InputError: If the process ends before that.
        """
        if not self.answers and self._read_line(START_LIMIT) != b"ready\n":
            self.kill()
            raise InputError(
                "the verifier does not start; `python -m rlready.components.core.verify < /dev/null` says why"
            )

    def compare(self, found: str, answer: str) -> tuple[bool, bool] | None:
        """Returns (whether two answers are equal, whether math-verify alone says so), or None beyond the limits."""
        self.answers += 1
        try:
            self.process.stdin.write(json.dumps([found, answer, TIME_LIMIT]).encode() + b"\n")
            self.process.stdin.flush()
        except OSError:
            return None
        try:
            right, equal = json.loads(self._read_line(TIME_LIMIT))
        except ValueError:
            return None
        return right, equal

    def kill(self) -> None:
        """Ends the process and collects it."""
        self.process.kill()
        self.process.wait()
        self._close_pipes()

    def abandon(self) -> None:
        """Lets go of a process that belongs to the parent of a fork."""
        self.process.returncode = 0
        self._close_pipes()

    def _close_pipes(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()

    def _read_line(self, seconds: float) -> bytes:
        # poll, because select fails in a process with more than 1,024 open files.
        poll = select.poll()
        poll.register(self.process.stdout, select.POLLIN)
        return self.process.stdout.readline() if poll.poll(seconds * 1000) else b""


_pool = Pool()


@atexit.register
def _close_pool() -> None:
    _pool.close()


def _forget_pool() -> None:
    global _pool
    for worker in _pool.idle:
        worker.abandon()
    _pool = Pool()


# A fork shares the pipes of its parent's workers; both would read each other's verdicts.
os.register_at_fork(after_in_child=_forget_pool)


def _serve() -> None:
    from math_verify import parse, verify

    logging.disable(logging.CRITICAL)
    # What a library prints must not be taken for a verdict.
    out, sys.stdout = sys.stdout, sys.stderr
    signal.signal(signal.SIGALRM, signal.SIG_DFL)

    @lru_cache(1024)
    def parse_once(text: str) -> list:
        return parse("\\boxed{" + re.sub(r"(?<!\\)\$|[.,\s]+$", "", text) + "}", parsing_timeout=None)

    def judge_pair(found: str, answer: str) -> tuple[bool, bool]:
        gold, target = parse_once(answer), parse_once(found)
        equal = bool(gold and target and verify(gold, target, allow_set_relation_comp=True, timeout_seconds=None))
        return equal and is_confirmed(found, answer), equal

    judge_pair("\\frac{x}{2}", "\\sqrt{x}")
    for limit in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):
        resource.setrlimit(limit, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    print("ready", file=out, flush=True)
    for line in sys.stdin:
        found, answer, seconds = json.loads(line)
        # The default of this signal ends the process, should the caller be gone and not do it.
        signal.setitimer(signal.ITIMER_REAL, seconds + 1)
        try:
            verdict = judge_pair(found, answer)
        except Exception:
            verdict = (False, False)
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(json.dumps(verdict), file=out, flush=True)


if __name__ == "__main__":
    _serve()
