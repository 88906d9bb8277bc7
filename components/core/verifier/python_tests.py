"""Unit tests of short Python functions. A plug-in as another package would write it.

The gold answer is JSON: the function's name and its tests,

    {"function": "add", "tests": [{"args": [1, 2], "result": 3}, {"args": [0, 0], "result": 0}]}

Results are plain data (numbers, texts, lists, objects). They are compared here; the code runs in `sandbox`, which does not
know them.
"""

import json
import math
import os
import re
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PATIENCE = 8.0  # seconds of the clock that the tests of one answer may take
START_PATIENCE = 15.0  # seconds until the process is ready
LONGEST_LINE = 1 << 15  # bytes of a call, which must fit into the pipe
LONGEST_RESULT = 1 << 20  # bytes
BLOCK = re.compile(r"^```(?:python|py|python3)?[ \t]*\n(.*?)^```", re.MULTILINE | re.DOTALL | re.IGNORECASE)


class PythonTests:
    """The last block of Python in a completion, right if its function passes all tests."""

    prompt = "{question}\n\nWrite the function in one block of Python, between ```python and ```; of several the last counts."

    def __init__(self):
        with Sandbox("", ""):
            pass  # raises where code cannot be confined

    def extract(self, completion: str) -> str | None:
        """Returns the last closed block of code, or None."""
        blocks = BLOCK.findall(completion)
        return blocks[-1] if blocks and blocks[-1].strip() else None

    def check(self, answer: str, gold: str) -> bool | None:
        """Says whether the code passes all tests; None where the machine was too busy to tell."""
        function, tests = read_tests(gold)
        with Sandbox(answer, function) as sandbox:
            for arguments, expected in tests:
                try:
                    found = sandbox.call(arguments)
                except (EOFError, ValueError, RecursionError):
                    return False
                except TimeoutError:
                    # What sleeps is to blame itself; what waits for a processor is not.
                    return False if sandbox.is_asleep() else None
                if not is_same(found, expected):
                    return False
        return True

    def is_readable(self, gold: str) -> bool:
        """Says whether a gold answer has tests."""
        try:
            read_tests(gold)
        except (ValueError, RecursionError):
            return False
        return True


def read_tests(gold: str) -> tuple[str, list[tuple[list, Any]]]:
    """Returns the function's name, and (arguments, expected result) of each test.

    Raises:
        ValueError: If the gold answer is no JSON of that form, or a call is too long.
    """
    read = read_json(gold)
    if not isinstance(read, dict) or set(read) != {"function", "tests"}:
        raise ValueError("expected an object with function and tests")
    function, tests = read["function"], read["tests"]
    if not isinstance(function, str) or not function.isidentifier() or not isinstance(tests, list) or not tests:
        raise ValueError("expected the name of a function, and a list of tests")
    for test in tests:
        if not isinstance(test, dict) or set(test) != {"args", "result"} or not isinstance(test["args"], list):
            raise ValueError("expected of each test a list of args and a result")
        if len(json.dumps(test["args"])) > LONGEST_LINE:
            raise ValueError(f"the args of a test are longer than {LONGEST_LINE} characters of JSON")
    return function, [(test["args"], test["result"]) for test in tests]


def read_json(text: str | bytes) -> Any:
    """Returns what JSON says; NaN and infinities are none."""

    def refuse(name: str):
        raise ValueError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


def is_same(found: Any, expected: Any) -> bool:
    """Compares plain data: numbers to nine digits where one is a float, and true is not 1."""
    numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in (found, expected))
    if numbers and float in (type(found), type(expected)):
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
    return found == expected


class Sandbox:
    """A process that runs code of a model; leaving its context ends it.

    Args:
        code: What defines the function.
        function: Its name.

    Raises:
        OSError: If the code cannot be confined on this machine.
        TimeoutError: If the process was not ready in time.
    """

    def __init__(self, code: str, function: str):
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", str(Path(__file__).parent / "sandbox.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
            cwd="/",
        )
        self.rest = b""
        self.until = time.monotonic() + START_PATIENCE
        try:
            if (said := self._read_line()) != "ready":
                raise OSError(said)
            self._write([code, function])
        except BaseException:
            self.close()
            raise
        self.until = time.monotonic() + PATIENCE

    def call(self, arguments: list) -> Any:
        """Returns what the function returns.

        Raises:
            EOFError: If the process ended, or wrote too much.
            ValueError: If what it wrote is no JSON.
            TimeoutError: If the time is over.
        """
        self._write(arguments)
        return self._read_line()

    def is_asleep(self) -> bool:
        """Says whether the process waits for something else than a processor."""
        return Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"

    def close(self) -> None:
        """Ends the process."""
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def _write(self, value: Any) -> None:
        try:
            # Not through a buffer, whose rest would be written when it is closed.
            os.write(self.process.stdin.fileno(), json.dumps(value).encode() + b"\n")
        except BrokenPipeError as error:
            raise EOFError from error

    def _read_line(self) -> Any:
        pipe = self.process.stdout.fileno()
        while b"\n" not in self.rest:
            if not select.select([pipe], [], [], max(0.0, self.until - time.monotonic()))[0]:
                raise TimeoutError
            some = os.read(pipe, 1 << 16)
            if not some or len(self.rest) > LONGEST_RESULT:
                raise EOFError
            self.rest += some
        line, _, self.rest = self.rest.partition(b"\n")
        return read_json(line)
