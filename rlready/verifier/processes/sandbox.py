"""The process that runs code written by a model: it gives up everything except computing, then calls one function.

`python -I -S sandbox.py` reads lines of JSON: first the code and the name of the function, then the arguments of each call. It
answers each call with a line. It does not know the expected results, so nothing that the code does (printing, ending, writing
to the pipe, changing builtins) makes a wrong value right.
"""

import ctypes
import importlib
import json
import os
import platform
import resource
import signal
import struct
import sys
from typing import Any

# Modules that code may import; they are loaded before file access is given up.
MODULES = (
    "__future__ abc array bisect cmath collections collections.abc contextlib copy dataclasses"
    " datetime decimal enum fractions functools hashlib"
    " heapq io itertools json math numbers operator queue random re statistics string textwrap time types typing"
    " unicodedata _strptime"
)
SECONDS = 2  # of processor time
MEMORY = 512 << 20  # bytes
PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, FILTER = 1, 22, 38, 2
ALLOW, FORBID, KILL = 0x7FFF0000, 0x00050001, 0x80000000  # FORBID: the call fails with EPERM
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06  # operations of BPF
NUMBER, MACHINE = 0, 4  # offsets in the data of a call that a filter sees
# The allowed calls by machine: read, write, close, fstat, lseek; memory (mmap, mprotect, munmap, brk, mremap, madvise); its own
# signal handlers; clocks and sleep; futex, sched_yield, getpid, gettid, getrandom; exit. No file can be opened, no process,
# thread or socket created, nothing signalled.
CALLS = {
    "x86_64": "0 1 3 5 8 9 10 11 12 13 14 15 24 25 28 35 39 60 96 131 186 202 228 229 230 231 318",
    "aarch64": "63 64 57 80 62 222 226 215 214 134 135 139 124 216 233 101 172 93 169 132 178 98 113 114 115 94 278",
}
MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


class Program(ctypes.Structure):
    """A filter as the kernel takes it: the number of its instructions and their address."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def write_filter(machine: int, calls: str) -> bytes:
    """Returns a filter of system calls: listed ones pass, others fail, those of another kind of machine kill the process."""

    def write(operation: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
        return struct.pack("HBBI", operation, if_true, if_false, value)

    lines = [write(LOAD, MACHINE), write(EQUAL, machine, 1), write(RETURN, KILL), write(LOAD, NUMBER)]
    numbers = [int(call) for call in calls.split()]
    lines += [write(EQUAL, call, len(numbers) - place) for place, call in enumerate(numbers)]
    return b"".join([*lines, write(RETURN, FORBID), write(RETURN, ALLOW)])


def confine() -> None:
    """Gives up everything except computing, for good; raises OSError if the kernel does not support that."""
    limits = {resource.RLIMIT_CPU: SECONDS, resource.RLIMIT_AS: MEMORY, resource.RLIMIT_FSIZE: 0, resource.RLIMIT_CORE: 0}
    for limit, most in limits.items():
        resource.setrlimit(limit, (most, most))
    if sys.platform != "linux" or platform.machine() not in CALLS:
        raise OSError(f"code is only run on Linux on {' or '.join(CALLS)}, not on {sys.platform} on {platform.machine()}")
    code = write_filter(MACHINES[platform.machine()], CALLS[platform.machine()])
    held = ctypes.create_string_buffer(code, len(code))
    program = Program(len(code) // 8, ctypes.addressof(held))
    libc = ctypes.CDLL(None, use_errno=True)
    seccomp = (PR_SET_SECCOMP, FILTER, ctypes.byref(program))
    for option, value, more in ((PR_SET_PDEATHSIG, signal.SIGKILL, 0), (PR_SET_NO_NEW_PRIVS, 1, 0), seccomp):
        if libc.prctl(option, ctypes.c_ulong(value), more, 0, 0):
            raise OSError(f"the kernel does not allow a filter of system calls (seccomp): {os.strerror(ctypes.get_errno())}")


def serve() -> None:
    """Confines this process, then defines the function and calls it until the input ends."""
    calls, results = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    for module in MODULES.split():
        importlib.import_module(module)
    try:
        confine()
    except OSError as error:
        print(json.dumps(str(error)), file=results, flush=True)
        return
    print(json.dumps("ready"), file=results, flush=True)
    code, function = json.loads(calls.readline())
    names: dict[str, Any] = {"__name__": "answer"}
    exec(compile(code, "answer.py", "exec"), names)
    for line in calls:
        print(json.dumps(names[function](*json.loads(line))), file=results, flush=True)


if __name__ == "__main__":
    serve()
