"""The stage itself: reads its inputs, works, writes its outcome."""

import dataclasses
import os
from pathlib import Path

from rlready.analysis.forecast import forecast_race
from rlready.analysis.format import show_forecast
from rlready.analysis.sweep_result import add_results, list_items, read_sweep, write_sweep
from rlready.config import read_settings
from rlready.errors import InputError
from rlready.gate.race import judge_race
from rlready.records.outcome import Outcome
from rlready.records.serialization import read_record, write_atomically
from rlready.runtime import events
from rlready.runtime.outputs import hand_on
from rlready.tracking.log import log_outcome


def run(settings: str, judged: str, probed: list[str], records: str, verdicts: str) -> list[dict[str, str]]:
    """Judges the race, writes its verdicts, and returns for each candidate that goes on its JSON and its checkpoint's digest.

    Raises InputError if a candidate that the gate sent to RL is missing: an orchestrator can skip a branch silently.
    """
    given = read_settings(settings)
    sweep = add_results(read_sweep(judged), [read_record(Outcome, path) for path in probed])
    racing = [outcome for outcome in sweep.outcomes if outcome.verdict and outcome.verdict.proceed]
    if lost := [o.candidate.candidate_id for o in racing if not (o.rl or o.failure)]:
        raise InputError(f"{', '.join(lost)}: sent to RL, but did not race; the orchestrator skipped it")
    decided = judge_race(racing, given.race, given.gate.seed, os.environ.get("RLREADY_RUN_ID"))
    experiment = next((outcome.links["experiment"] for outcome in racing if outcome.links.get("experiment")), "")
    expected = forecast_race(racing, given.race.steps, experiment)
    decided = [dataclasses.replace(v, forecast=f) for v, f in zip(decided, expected, strict=True)]
    rows = ["| candidate | goes on | forecast | reason |", "|---|---|---|---|"]
    whole = {outcome.candidate.candidate_id: outcome for outcome in sweep.outcomes}
    for outcome, verdict in zip(racing, decided, strict=True):
        name, decision = outcome.candidate.candidate_id, "goes on" if verdict.goes_on else "dropped"
        expects = show_forecast(verdict.forecast)
        whole[name] = dataclasses.replace(outcome, race=verdict)
        rows.append(f"| {name} | {'yes' if verdict.goes_on else 'no'} | {expects} | {verdict.reason} |")
        events.emit("race", name, "decided", decision=decision, reason=verdict.reason, proceed=verdict.goes_on)
        events.tell(f"{name}: {decision}: {verdict.reason}")
        if verdict.forecast.made:
            events.tell(f"{name}: forecast for the end of RL: Pass@1 {expects}")
        log_outcome(whole[name])
    finalists = [outcome for outcome in whole.values() if outcome.race and outcome.race.goes_on]
    events.tell(events.FINALISTS + (", ".join(outcome.candidate.candidate_id for outcome in finalists) or "none"))
    write_atomically(verdicts, "\n".join(rows) + "\n")
    write_sweep(dataclasses.replace(sweep, outcomes=[*whole.values()]), Path(records))
    return hand_on(finalists=list_items(finalists))[0]
