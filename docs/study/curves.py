"""Writes finished runs as a file of curves: python docs/study/curves.py FILE RUN... (folders, or files outcomes.json)."""

import sys
from pathlib import Path

import rlready


def main(file: str, *runs: str) -> None:
    """Writes the runs, in the order of their draws."""
    paths = [Path(run) / "outcomes.json" if Path(run).is_dir() else Path(run) for run in runs]
    sweeps = sorted(map(rlready.read_sweep, paths), key=lambda sweep: sweep.parameters.get("curate_seed", 0))
    rlready.write_curves(sweeps, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
