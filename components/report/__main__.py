"""Container face of the report: python -m rlready.components.report --config run.json."""

import dataclasses
import json
import os
from pathlib import Path

from rlready.components.core.launch import run_from_command_line
from rlready.components.core.records import (
    Candidate,
    Judged,
    Outcome,
    Result,
    Verdict,
    assemble,
    check_comparable,
    check_outcomes,
    from_json,
    read_record,
    write_atomically,
)
from rlready.components.core.runtime import events
from rlready.components.core.tracking import finish_run, log_outcome
from rlready.components.report.report import write_report


def run(
    run_id: str,
    candidates: list[str],
    reference: str,
    reference_result: str,
    measured: list[str],
    verdicts: list[str],
    results: list[str],
    parameters: str,
    html: str,
    markdown: str,
    records: str,
) -> None:
    """Writes the report as HTML, Markdown and JSON, and completes the tracking of candidates that came from the cache.

    Raises:
        InputError: If outcomes of different experiments meet, RL ran against a verdict, or did not run where it should have.
    """
    planned = [from_json(Candidate, text) for text in candidates]
    judged = [Verdict(**from_json(Judged, text).verdict) for text in verdicts]
    outcomes = assemble(
        [read_record(Outcome, path) for path in measured], judged, [from_json(Result, text) for text in results if text]
    )
    base = read_record(Outcome, reference)
    base = dataclasses.replace(base, benchmark=from_json(Result, reference_result).benchmark)
    check_comparable(outcomes, base)
    check_outcomes(outcomes, planned)
    given = json.loads(parameters)
    everything = {"reference": dataclasses.asdict(base), "outcomes": [dataclasses.asdict(o) for o in outcomes]}
    write_atomically(records, json.dumps(everything | {"parameters": given}, indent=1))
    title = f"{given['base_model']}: {len(planned)} candidates"
    write_report(title, outcomes, base, Path(html), Path(markdown))
    # A local run names itself; KFP's own id is that of the cluster's run.
    run_id = os.environ.get("RLREADY_RUN_ID") or run_id
    log_outcome(base, run_id, role="reference")
    for outcome in outcomes:
        log_outcome(outcome, run_id)
    events.emit("report", None, "written", html=html, markdown=markdown, records=records)
    report = {"report.html": Path(html), "report.md": Path(markdown), "outcomes.json": Path(records)}
    finish_run(run_id, given, report)


if __name__ == "__main__":
    run_from_command_line("report")
