"""Unit tests of short Python functions. A plug-in as another package would write it.

The reference answer is JSON: {"function": "add", "tests": [{"args": [1, 2], "result": 3}, {"args": [0, 0], "result": 0}]}
Results are plain data (numbers, texts, lists, objects). They are compared here; the code runs in `sandbox`, which does not
know them.
"""

import contextlib
import json
import math
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

PATIENCE = 4.0  # seconds that an answer may compute, sleep or wait; waiting for a processor does not count
BUSY = 16.0  # seconds by the clock in which a machine that is not too busy starts a process and runs it for its time
TICK = 0.05  # seconds between two looks at the process
STALL = 0.5  # seconds between two looks beyond which the judge itself got no processor
LONGEST_CALL = 1 << 15  # characters
LONGEST_RESULT = 1 << 20  # bytes
SANDBOX = Path(__file__).parents[1] / "processes" / "sandbox.py"
NEAR = Fraction(1, 10**9)  # largest distance of a float from the integer that it equals
# Markdown: a fence with its info string, an info string that names Python, and a list marker, which indents its blocks.
FENCE = re.compile(r" *(`{3,}(?=[^`]*$)|~{3,})(.*)")
PYTHON = re.compile(r"[{.\s]*i?py(?:thon)?[\d.]*(?![\w+#-])", re.IGNORECASE)
MARKER = re.compile(r" *(?:[-*+]|\d{1,9}[.)]) {1,4}(?=\S)")


class PythonTests:
    """The last closed block of Python in a completion (without a language if none is named), right if it passes all tests."""

    prompt = "{question}\n\nWrite the function in one block of Python, between ```python and ```; of several the last counts."

    def __init__(self) -> None:
        with Sandbox("", ""):
            pass  # raises where code cannot be confined

    def extract(self, completion: str) -> str | None:
        """Returns the last closed block of code, or None."""
        blocks = list(list_blocks(completion))
        named = [code for info, code in blocks if PYTHON.match(info)]
        code = (named or [code for info, code in blocks if not info] or [""])[-1]
        return code if code.strip() else None

    def check(self, answer: str, reference: str) -> bool | None:
        """Returns True if the code passes all tests, None if the machine was too busy to decide."""
        function, tests = read_tests(reference)
        with contextlib.suppress(TimeoutError), Sandbox(answer, function) as sandbox:
            try:
                return all(is_same(sandbox.call(arguments), expected) for arguments, expected in tests)
            except (EOFError, ValueError, RecursionError):
                return False
        return None

    def is_readable(self, reference: str) -> bool:
        """Returns True if a reference answer has tests."""
        try:
            return bool(read_tests(reference))
        except (ValueError, RecursionError):
            return False


def list_blocks(text: str) -> Iterator[tuple[str, str]]:
    """Yields (info string, content) of each closed block of code, as CommonMark defines them."""
    opened = info = ""
    inner, outer = 0, 0
    lines: list[str] = []
    for line in re.split(r"\r\n?|\n", text):
        indent = len(line) - len(line.lstrip(" "))
        marker = None if opened else MARKER.match(line)
        if marker:
            inner = indent = marker.end()
        elif line.strip() and not opened:
            inner = min(inner, indent)
        fence = FENCE.fullmatch(line[marker.end() if marker else 0 :]) if indent - inner <= 3 else None
        if opened and fence and fence[1].startswith(opened) and not fence[2].strip():
            yield info, "".join(lines)
            opened = ""
        elif opened:
            lines.append(line[min(indent, outer) :] + "\n")
        elif fence:
            opened, info, outer, lines = fence[1], fence[2].strip(), indent, []


def read_tests(reference: str) -> tuple[str, list[tuple[list, Any]]]:
    """Returns the function's name, and (arguments, expected result) of each test; ValueError for other JSON."""
    read = read_json(reference)
    if not isinstance(read, dict) or set(read) != {"function", "tests"}:
        raise ValueError("expected an object with function and tests")
    function, tests = read["function"], read["tests"]
    if not isinstance(function, str) or not function.isidentifier() or not isinstance(tests, list) or not tests:
        raise ValueError("expected the name of a function, and a list of tests")
    for test in tests:
        if not isinstance(test, dict) or set(test) != {"args", "result"} or not isinstance(test["args"], list):
            raise ValueError("expected a list of args and a result for each test")
        if len(json.dumps(test["args"])) > LONGEST_CALL:
            raise ValueError(f"the args of a test are longer than {LONGEST_CALL} characters of JSON")
    return function, [(test["args"], test["result"]) for test in tests]


def read_json(text: str | bytes) -> Any:
    """Reads JSON without NaN and infinities."""

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


def is_same(found: Any, expected: Any) -> bool:
    """Compares plain data: integers exactly, also with a float (1.0 equals 1), floats to nine digits; true is not 1."""
    if type(expected) is int and type(found) is float:
        return math.isfinite(found) and abs(Fraction(found) - expected) <= NEAR
    if type(expected) is float and type(found) in (int, float):
        try:
            return math.isclose(found, expected, rel_tol=1e-9, abs_tol=1e-12)
        except OverflowError:
            return False
    if type(found) is not type(expected):
        return False
    if isinstance(found, list):
        return len(found) == len(expected) and all(map(is_same, found, expected))
    if isinstance(found, dict):
        return found.keys() == expected.keys() and all(is_same(found[key], expected[key]) for key in found)
    return bool(found == expected)


class Sandbox:
    """A process that defines a function by code that a model wrote, and calls it; leaving its context ends it.

    Raises:
        OSError: If the code cannot be confined on this machine.
        TimeoutError: If the process was not ready in time.
    """

    def __init__(self, code: str, function: str):
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", str(SANDBOX)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
            cwd="/",
        )
        assert self.process.stdin and self.process.stdout  # pipes, as asked for
        self.pipes = self.process.stdin, self.process.stdout
        os.set_blocking(self.process.stdin.fileno(), False)
        self.unread, self.rest = b"", b""
        self.begun = self.seen = time.monotonic()
        self.used, self.ran, self.waited = -BUSY, 0, 0  # seconds of its patience, of which the start uses none
        try:
            if (said := self._read_line()) != "ready":
                raise OSError(said)
        except BaseException:
            self.__exit__()
            raise
        self.used, self.unread = 0.0, json.dumps([code, function]).encode() + b"\n"

    def call(self, arguments: list) -> Any:
        """Returns what the function returns.

        Raises EOFError if the process ended, wrote too much or before the call, or used up its time, ValueError if what it
        wrote is not JSON, and TimeoutError if the machine did not run it for its time.
        """
        if self.rest:
            raise EOFError
        self.unread += json.dumps(arguments).encode() + b"\n"
        self.seen = time.monotonic()
        return self._read_line()

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in self.pipes:
            pipe.close()

    def _look(self) -> None:
        """Adds the time since the last look to `used`, minus waiting for a processor; raises EOFError or TimeoutError."""
        now = time.monotonic()
        if (passed := now - self.seen) < TICK:
            return
        folder = Path(f"/proc/{self.process.pid}")
        state, *fields = (folder / "stat").read_text().rpartition(")")[2].split()
        try:
            ran, waited, _ = map(int, (folder / "schedstat").read_text().split())
        except FileNotFoundError:  # a kernel that does not count how long a process waits for a processor
            ran, waited = int(fields[10]) + int(fields[11]), 0
        # A process that neither sleeps nor computes waits for a processor; the kernel counts that only when it is over.
        kept = passed if state != "S" and ran == self.ran else (waited - self.waited) / 1e9
        self.used += max(0.0, min(passed, STALL) - kept)
        self.seen, self.ran, self.waited = now, ran, waited
        if self.used > PATIENCE:
            raise EOFError
        if now - self.begun > BUSY:
            raise TimeoutError

    def _read_line(self) -> Any:
        """Returns the next line of the process, and writes what it has not read meanwhile, so that neither blocks."""
        asks, answers = (pipe.fileno() for pipe in self.pipes)
        while self.unread or b"\n" not in self.rest:
            readable, writable, _ = select.select([answers], [asks] if self.unread else [], [], TICK)
            try:
                if writable:
                    self.unread = self.unread[os.write(asks, self.unread) :]
            except BrokenPipeError as error:
                raise EOFError from error
            if readable:
                some = os.read(answers, 1 << 16)
                if not some or len(self.rest) > LONGEST_RESULT:
                    raise EOFError
                self.rest += some
            self._look()
        line, _, self.rest = self.rest.partition(b"\n")
        return read_json(line)
