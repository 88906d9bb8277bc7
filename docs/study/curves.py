"""Writes finished runs as a file of curves: python docs/study/curves.py FILE RUN...

A run is a folder, a file outcomes.json, or a file of curves, whose runs are kept: so a study may run on several days.
"""

import sys
from pathlib import Path

import rlready


def main(file: str, *runs: str) -> None:
    """Writes the runs, in the order of their draws."""
    sweeps = []
    for path in map(Path, runs):
        kept = path.suffix == ".parquet"
        sweeps += rlready.read_curves(path) if kept else [rlready.read_sweep(path / "outcomes.json" if path.is_dir() else path)]
    rlready.write_curves(sorted(sweeps, key=lambda sweep: sweep.parameters.get("curate_seed", 0)), file)


if __name__ == "__main__":
    main(*sys.argv[1:])
