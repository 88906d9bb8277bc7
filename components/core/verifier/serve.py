"""The process that a worker is: reads pairs of answers as lines of JSON and writes what it finds."""

import json
import logging
import re
import resource
import signal
import sys
from functools import lru_cache

from rlready.components.core.verifier.equivalence import is_confirmed

MEMORY_LIMIT = 2 << 30  # bytes


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
