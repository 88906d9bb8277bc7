"""The result of a run on a terminal: one line per candidate, and where the report and MLflow are."""

import os
import shlex
import sys
from pathlib import Path

from rlready.analysis.comparison import BASE_NAME, Row, Shares, name_rows, read_rows
from rlready.analysis.format import (
    MISSING,
    show,
    show_estimate,
    show_lead,
    show_pass_at_k,
    show_percent,
    show_score,
    show_verdict,
)
from rlready.analysis.predictor import label_pass_at
from rlready.analysis.saving import weigh_gate
from rlready.analysis.sweep_result import SweepResult, list_failures
from rlready.cli.command import print_result, print_table, shorten
from rlready.run.local import storage
from rlready.stages.plan.needs import show_bytes
from rlready.stages.report.headline import describe_exceptions, describe_origin, summarize, tell_result
from rlready.tracking import runs, store
from rlready.tracking.client import show_address

SOME_FAILED = 3  # exit status if some candidates failed and others have a result
NONE_APPROVED = 4  # exit status if the gate approved none, and RL ran for none


def answer(sweep: SweepResult) -> str:
    """Returns the first sentence of the report."""
    (rows, base, _), given = read_rows(sweep), sweep.parameters
    return next(tell_result(rows, base, given.get("sampling_max_tokens"), sweep.shows_rl, given.get("gate_rank_by")))


def print_outcomes(sweep: SweepResult) -> None:
    """Prints the answer, the result of every candidate, the best first, then the base model's, and the failures."""
    (rows, base, k), trains = read_rows(sweep), sweep.shows_rl
    print(f"\n{answer(sweep)}\n")
    shares, after = "trunc./no answer", ["RL Pass@1", "trunc./no answer"] if trains else ["ahead of the next by"]
    columns = ["candidate", "SFT Pass@1" if trains else "Pass@1", shares, label_pass_at(k), "loss", "verdict", *after]
    named = name_rows(rows, base, BASE_NAME if trains else "base model")
    print_table(columns, [_list_cells(name, row, trains) for name, row in named], 200, ["candidate", "verdict"])
    print()
    for label, text in describe_origin(sweep, rows, base, k):
        print_result(label.lower(), text)
    print("", *summarize(sweep, rows, base, k), sep="\n")
    if trains and (saving := weigh_gate(rows, base)):
        print(f"\n{saving.said}")
    for line in (*describe_exceptions(rows), *list_failures(sweep)):
        print(line)
    print()


def end_with(sweep: SweepResult) -> None:
    """Exits with a status other than 0 if candidates failed or none is approved."""
    failed = sum(bool(outcome.failure) for outcome in sweep.outcomes)
    if failed == len(sweep.outcomes):
        sys.exit(2)
    verdicts = [outcome.verdict for outcome in sweep.outcomes if outcome.verdict]
    if not any(verdict.decision == "approved" or verdict.proceed for verdict in verdicts):
        sys.exit(NONE_APPROVED)
    if failed:
        sys.exit(SOME_FAILED)


def _list_cells(name: str, row: Row, trains: bool) -> list[str]:
    before = [show_estimate(row.sft_pass_at_1, row.sft_interval), _show_shares(row.shares_before)]
    after = [show_score(row), _show_shares(row.shares_after)] if trains else [show_lead(row)]
    return [name, *before, show_pass_at_k(row), show(row.loss), show_verdict(row), *after]


def _show_shares(lost: Shares) -> str:
    known = [MISSING if share is None else show_percent(share).removesuffix("%") for share in lost[:2]]
    return MISSING if lost[:2] == (None, None) else f"{'/'.join(known)}%"


def print_work(work: Path, cached: str = "") -> None:
    """Prints the size of a work folder, if it exists, and what a run would take from its cache."""
    if cached:
        print_result("cached", cached)
    if work.is_dir():
        size = show_bytes(storage.measure(work))
        print_result("work", f"{shorten(work)} holds {size}; rlready clean --dry-run shows what can be removed")


def print_places(folder: Path, work: Path, tracked: bool = True) -> None:
    """Prints where a run's report is, and how to compare its candidates in MLflow if that took what was logged (`tracked`)."""
    print_result("report", folder / "report.html")
    print_work(work)
    storage.choose_store(work)
    server = os.environ["MLFLOW_TRACKING_URI"]
    file = store.find_file(server)
    # A file that did not take everything may still open.
    look = runs.read_experiment if file and tracked else runs.find_experiment
    experiment = look() if file or tracked else None
    if experiment and not server.startswith("http"):
        mlflow = shorten(Path(sys.executable).parent / "mlflow")
        address = f"{store.PREFIX}{shorten(file)}" if file else show_address(server)
        print_result("start", shlex.join([mlflow, "ui", "--backend-store-uri", address]))
        server = "http://127.0.0.1:5000"
    if experiment:
        page = f"experiments/{experiment}/runs?viewStateShareKey=rlready&workflowType=machine_learning"
        print_result("compare", f"{show_address(server).rstrip('/')}/#/{page}")
