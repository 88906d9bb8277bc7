"""Prints one table of speed: make bench-speed. Every row is measured in turns within this run; options choose its parts.

    python tests/benchmarks/speed [PART ...] [--model FOLDER] [--problems FILE] [--references FILE] [--rows N]

Ratios above 1 are in rlready's favour. CTranslate2 takes part if it is installed: pip install ctranslate2.
"""

import argparse
import importlib
import os
import platform
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # helpers of the tests

PARTS = ("start", "growth", "answers", "training", "sampling", "curation")  # one file each

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python tests/benchmarks/speed", description="One table of speed, in pairs.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all without one")
    parser.add_argument("--rounds", type=int, default=3, help="of each pair")
    parser.add_argument("--references", type=Path, help="answers: rows with answer, in LaTeX; else the tests' pairs")
    parser.add_argument("--pairs", type=int, default=1500, help="answers: at most")
    parser.add_argument("--steps", type=int, default=6, help="training: of GRPO")
    parser.add_argument("--model", default="builtin:list-machine", help="sampling: folder of the model")
    parser.add_argument("--problems", type=Path, help="sampling: rows with question; else the list machine's")
    parser.add_argument("--prompts", type=int, default=2, help="sampling: the first of these problems")
    parser.add_argument("--samples", type=int, default=64, help="sampling: per prompt")
    parser.add_argument("--tokens", type=int, default=64, help="sampling: of a completion at most")
    parser.add_argument("--rows", type=int, default=1_000_000, help="curation: at most")
    parser.add_argument("--folder", type=Path, help="curation: for scratch, some 12 GB at 1,000,000 rows")
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"no part is called {' or '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    print(f"{os.cpu_count()} cores of {platform.machine()}, load average {os.getloadavg()[0]:.1f} at the start\n")
    print("| what | rlready | beside it | ratio of core-seconds | ratio of wall time |\n|---|---|---|---|---|", flush=True)
    for part in given.parts or PARTS:
        importlib.import_module(part).run(given)
