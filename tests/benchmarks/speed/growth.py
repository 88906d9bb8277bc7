"""How cost grows: gate and report with candidates, statistics and logs with samples per problem."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pairs
import stages

from rlready.evaluation.suite import record_pass_at_k
from rlready.measured.read import load_samples
from rlready.stats.pass_at_k import correct_curve

CANDIDATES, SAMPLES = (1, 4, 16, 64), (16, 64, 256, 1024)


def estimate(samples: int) -> int:
    """Estimates Pass@k for all k, with intervals and the correction for false positives."""
    correct = [number % (samples + 1) for number in range(stages.PROBLEMS)]
    record_pass_at_k([{"problem_id": f"p{number}"} for number in range(stages.PROBLEMS)], samples, correct)
    return len(correct_curve(correct, samples, 0.001))


def write_log(path: Path, samples: int) -> Path:
    """Writes a log with this many samples of every problem."""
    names = [(problem, sample) for problem in range(stages.PROBLEMS) for sample in range(samples)]
    rows = ({"problem": f"p{problem}", "correct": sample % 2, "completion": str(sample)} for problem, sample in names)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run(given) -> None:
    """Prints one row for each kind of growth."""

    def measure(work, *arguments) -> pairs.Cost:
        costs = [pairs.measure(lambda: work(*arguments) and 1) for _ in range(given.rounds)]
        return sorted(costs, key=lambda cost: cost.cores)[given.rounds // 2]

    stages.write(stages.make_outcomes(2))  # imports what plots
    sweeps = {count: stages.make_outcomes(count) for count in CANDIDATES}
    for name, work in (("gate", stages.judge), ("gate and report", stages.write)):
        pairs.print_growth(f"{name}, by candidates", {count: measure(work, outcomes) for count, outcomes in sweeps.items()})
    what = f"of {stages.PROBLEMS} problems, by samples per problem"
    pairs.print_growth(f"Pass@k {what}", {samples: measure(estimate, samples) for samples in SAMPLES})
    with TemporaryDirectory() as folder:
        logs = {samples: write_log(Path(folder) / f"{samples}.jsonl", samples) for samples in SAMPLES}
        pairs.print_growth(f"reading a log {what}", {samples: measure(load_samples, path) for samples, path in logs.items()})
