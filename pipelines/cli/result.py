"""What a run came to, on a terminal: a line a candidate, and where to look further."""

import os
import shlex
import sys
from pathlib import Path

from rlready.components.core.records import BenchmarkRecord, Outcome, PredictorsRecord
from rlready.components.report.assemble import SweepResult, list_failures
from rlready.pipelines.cli.style import print_result, shorten

SOME_FAILED = 3  # exit status where some candidates failed and others have a result


def print_outcomes(sweep: SweepResult) -> None:
    """Prints the outcome of every candidate, the best first, below that of the base model; then what failed, and why."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, title="\nresult", title_justify="left")
    k = sweep.parameters["gate_k"]
    for name in ("candidate", "SFT Pass@1", f"Pass@{k}", "loss", "verdict", "RL Pass@1", "greedy"):
        table.add_column(name, justify="left" if name in ("candidate", "verdict") else "right", no_wrap=True)
    table.add_row(*_list_cells("base model, no RL", sweep.baseline, "", k))
    for outcome in sorted(sweep.outcomes, key=lambda o: -((o.benchmark and o.benchmark.pass_at_1) or -1)):
        verdict = outcome.verdict.decision + (", audited" if outcome.verdict.audited else "")
        verdict = f"{outcome.failure.stage} failed" if outcome.failure else verdict
        table.add_row(*_list_cells(outcome.candidate.candidate_id, outcome, verdict, k))
    # Cut off, the table would say nothing; on a narrow terminal its lines wrap.
    Console(width=max(Console().width, 100)).print(table)
    for line in list_failures(sweep):
        print(line)
    print()


def end_with(sweep: Sweep) -> None:
    """Ends the command with the status that a sweep deserves, if some or all of its candidates failed."""
    if failed := sum(bool(outcome.failure) for outcome in sweep.outcomes):
        sys.exit(2 if failed == len(sweep.outcomes) else SOME_FAILED)


def _list_cells(name: str, outcome: Outcome, verdict: str, k: int) -> list:
    from rich.text import Text

    predictors, scored = outcome.predictors or PredictorsRecord(), outcome.benchmark or BenchmarkRecord()
    measured = (predictors.get_pass_at(1), predictors.get_pass_at(k), predictors.generalization_loss)
    before = [_write_figure(value) for value in measured]
    if sequence := predictors.sequence:
        before[1] = f"{_write_figure(sequence.low)}-{_write_figure(sequence.high)}"
    error = scored.standard_error
    after = _write_figure(scored.pass_at_1) + (f" ± {error:.3f}" if error else "")
    if error == 0 and scored.interval:
        after += " [{:.3f}, {:.3f}]".format(*scored.interval)
    return [Text(name), *before, Text(verdict), after, _write_figure(scored.greedy_pass_at_1)]


def _write_figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def print_places(folder: Path, work: Path, tracked: bool = True) -> None:
    """Prints where the report of a run on this machine lies, and how its candidates are compared in MLflow.

    Args:
        folder: Folder of the run.
        work: Folder for runs, cache and tracking.
        tracked: Whether MLflow took what the run logged.
    """
    from rlready.components.core import tracking

    print_result("report", folder / "report.html")
    server = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not server.startswith("http"):
        mlflow = shorten(Path(sys.executable).parent / "mlflow")
        store = server or f"sqlite:///{shorten(work / 'mlflow.db')}"
        print_result("start", shlex.join([mlflow, "ui", "--backend-store-uri", store]))
        server, experiment = "http://127.0.0.1:5000", "1"  # the only one of a file of its own
    else:
        experiment = tracking.find_experiment() if tracked else None
    if experiment:
        page = f"experiments/{experiment}/runs?viewStateShareKey=rlready&workflowType=machine_learning"
        print_result("compare", f"{server.rstrip('/')}/#/{page}")
