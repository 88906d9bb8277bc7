"""The entry point of a container: python -m rlready.run.stage STAGE --config run.json."""

import argparse
import json
import sys

from rlready.records.outcome import STAGES
from rlready.run.launch import run_stage


def main() -> None:
    """Runs a stage with the arguments of its `run` that a JSON file holds, and prints what it returns."""
    parser = argparse.ArgumentParser(prog="python -m rlready.run.stage")
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--config", required=True, help="JSON file with the arguments of the stage's run()")
    given = parser.parse_args()
    with open(given.config) as file:
        state, value = run_stage(given.stage, json.load(file))
    if state != "finished":
        sys.exit(f"{given.stage}: {value}")
    if value is not None:
        print(value if isinstance(value, str) else json.dumps(value))


if __name__ == "__main__":
    main()
