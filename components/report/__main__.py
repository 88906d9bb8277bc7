"""Container face of the report: python -m rlready.components.report --config run.json."""

import dataclasses
import json
import os
from pathlib import Path

from rlready.components.core import events
from rlready.components.core.launch import run_from_command_line
from rlready.components.core.records import Candidate, Outcome, check_outcomes, from_json, write_atomically
from rlready.components.core.tracking import finish_run, log_outcome
from rlready.components.report.report import write_report


def run(
    run_id: str,
    candidates: list[str],
    reference: str,
    outcomes: list[str],
    parameters: str,
    html: str,
    markdown: str,
    records: str,
) -> None:
    """Writes the report as HTML, Markdown and JSON, and completes the tracking of candidates that came from the cache.

    Raises:
        InputError: If RL ran against a verdict, or did not run where it should have.
    """
    planned = [from_json(Candidate, text) for text in candidates]
    read = [from_json(Outcome, text) for text in outcomes]
    base = from_json(Outcome, reference)
    check_outcomes(read, planned)
    everything = {"reference": dataclasses.asdict(base), "outcomes": [dataclasses.asdict(o) for o in read]}
    write_atomically(records, json.dumps(everything, indent=1))
    given = json.loads(parameters)
    title = f"{given['base_model']}: {len(planned)} candidates"
    write_report(title, read, base, Path(html), Path(markdown))
    # A local run names itself; KFP's own id is that of the cluster's run.
    run_id = os.environ.get("RLREADY_RUN_ID") or run_id
    log_outcome(base, run_id, role="reference")
    for outcome in read:
        log_outcome(outcome, run_id)
    events.emit("report", None, "written", html=html, markdown=markdown, records=records)
    finish_run(run_id, given, [Path(html), Path(markdown), Path(records)])


if __name__ == "__main__":
    run_from_command_line("report")
