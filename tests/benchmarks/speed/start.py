"""The light stages: from the start of a process to its end."""

import statistics
from functools import partial
from pathlib import Path

import pairs

PLAN = """
from rlready.stages.plan.plan import make_plan
from rlready.config.recipes import load_recipe
make_plan(load_recipe("laptop", []))
"""
STAGES = "import sys; sys.path.insert(0, sys.argv[1]); import stages; stages.{}(stages.make_outcomes(8))"
CODES = {"plan": PLAN, "gate of 8 candidates": STAGES.format("judge"), "gate and report of them": STAGES.format("write")}
BARE = {"Python alone": "pass", "import of torch": "import torch"}


def run(given) -> None:
    """Prints the stages beside what any process takes."""
    works = {name: partial(pairs.measure_python, code, Path(__file__).parent) for name, code in (CODES | BARE).items()}
    shown = {}
    for name, costs in pairs.take_turns(works, given.rounds).items():
        wall, cores = (statistics.median(getattr(cost, kind) for cost in costs) for kind in ("wall", "cores"))
        shown[name] = f"{pairs.show(wall)} s, {pairs.show(cores)} core-seconds"
    beside = "; ".join(f"{name}: {shown[name]}" for name in BARE)
    for name in CODES:
        print(f"| start to end: {name} | {shown[name]} | {beside} | | |", flush=True)
