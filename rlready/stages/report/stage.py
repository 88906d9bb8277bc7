"""The stage itself: reads its inputs, works, writes its outcome."""

import dataclasses
import json
import os
from pathlib import Path

from rlready.analysis.answer import find_best
from rlready.analysis.comparison import read_rows
from rlready.analysis.noise import measure_noise
from rlready.analysis.plateau import look_for_plateau
from rlready.analysis.saving import weigh_gate
from rlready.analysis.sweep_result import add_results, check_ran, describe_origin, read_sweep, write_sweep
from rlready.errors import InputError
from rlready.records.outcome import Outcome
from rlready.records.serialization import read_record, write_atomically
from rlready.runtime import events
from rlready.stages.report.report import FILES, render_excerpts, write_report, write_verdicts
from rlready.tracking.log import log_outcomes, register_models
from rlready.tracking.runs import finish_run


def run(
    parameters: str, judged: str, baseline: str, results: list[str], html: str, markdown: str, records: str, verdicts: str
) -> None:
    """Writes the report as HTML and Markdown, and records and verdicts as JSON; completes the tracking of cached candidates.

    Raises InputError if RL ran against a verdict or did not although it should have; or, after the report is written, if every
    candidate failed.
    """
    sweep = read_sweep(Path(judged))
    sweep = add_results(sweep, [read_record(Outcome, path) for path in results], read_record(Outcome, baseline))
    check_ran(sweep.outcomes)
    given = json.loads(parameters)
    run_id = os.environ.get("RLREADY_RUN_ID", "")
    sweep = dataclasses.replace(sweep, parameters=given, origin=describe_origin(run_id, os.environ.get("RLREADY_COMMAND", "")))
    write_sweep(sweep, Path(records))
    document = write_report(sweep, Path(html), Path(markdown))
    write_atomically(verdicts, write_verdicts(sweep))
    log_outcomes(sweep.outcomes, sweep.baseline, run_id)
    rows, base, _ = read_rows(sweep)
    figures, said = {}, {}
    if sweep.shows_rl:
        saving, plateau = weigh_gate(rows, base), look_for_plateau(rows)
        figures = (saving.list_figures() if saving else {}) | plateau.list_figures()
        said = (saving.list_tags() if saving else {}) | plateau.list_tags()
    written = {"html": html, "markdown": markdown, "records": records, "verdicts": verdicts}
    events.emit("report", None, "written", **written)
    report = render_excerpts(document) | {FILES[name]: Path(path) for name, path in written.items()}
    best = find_best(rows, measure_noise(rows))
    winner = best.candidate if best else None
    if given.get("gate_register_models", True):
        register_models(run_id, sweep.outcomes, winner.name if winner else None)
    failed = [outcome.failure for outcome in sweep.outcomes if outcome.failure]
    lost = len(failed) == len(sweep.outcomes)
    finish_run(run_id, given, report, "FAILED" if lost else "FINISHED", figures, said)
    if lost:
        reasons = dict.fromkeys(f"{failure.stage} failed: {failure.reason}" for failure in failed)
        raise InputError("\n".join(["no candidate has a result:", *reasons]))
