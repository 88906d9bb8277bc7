"""How long the laptop recipe takes, printed and never asserted: make bench."""

import json
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.bench


def test_laptop_recipe_by_stage(tmp_path):
    begun = time.perf_counter()
    command = [sys.executable, "-m", "rlready.cli", "run", "--recipe", "laptop", "--work", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    wall = time.perf_counter() - begun
    (events,) = tmp_path.glob("*/events.jsonl")
    seconds: dict[str, float] = {}
    busy = []
    for event in map(json.loads, events.read_text().splitlines()):
        if event["state"] == "finished":
            seconds[event["stage"]] = seconds.get(event["stage"], 0) + event["seconds"]
            if event["stage"] in ("sft", "predictors", "rl", "benchmark"):
                busy.append((event["time"] - event["seconds"], event["time"]))
    covered, end = 0.0, 0.0
    for start, stop in sorted(busy):
        covered += max(0.0, stop - max(start, end))
        end = max(end, stop)
    print(f"\nlaptop recipe: {wall:.0f} s; seconds by stage, two side by side: ", end="")
    print(", ".join(f"{stage} {value:.0f}" for stage, value in seconds.items()))
    print(f"no stage that samples or trains was running for {1 - covered / wall:.0%} of the time (aim: under 20%)")
