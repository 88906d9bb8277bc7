"""rlready replay: the verdicts of a past run from its stored counts, as they were or with other thresholds."""

import dataclasses
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rlready.analysis.format import count_of
from rlready.analysis.sweep_result import SweepResult
from rlready.cli.command import PAST_RUN, REPEATED, Arguments, Command, read_past_run
from rlready.config import list_parameters, parse_parameters
from rlready.config.recipes import parse_overrides
from rlready.errors import InputError
from rlready.gate.decide import decide
from rlready.records.outcome import AFTER_RL, Outcome
from rlready.records.verdicts import Verdict
from rlready.stages.plan.checks import check_values

COMMAND = Command("replay", "rlready replay --set gate_min_pass_at_k=0.6", *PAST_RUN)
MEANING = "change a threshold; without it, check that the stored verdicts can be reproduced"
COMMAND.add_argument("--set", **REPEATED, metavar="gate_KEY=VALUE", help=MEANING)
COMPARED = ("decision", "proceed", "propensity", "audited", "numbers")  # not the reason: its wording may change


def execute(arguments: Arguments) -> None:
    """Prints every verdict of a past run with other thresholds, or fails if a stored verdict is not reproduced."""
    folder, past = read_past_run(arguments)
    replayed = replay(past, arguments.set)
    table = Table(box=None, pad_edge=False)
    for name in ("candidate", "was", "is", "RL Pass@1", "reason"):
        table.add_column(name, overflow="fold")
    for entry in replayed:
        before, after, score = entry.before.decision, entry.after.decision, entry.outcome.scored.pass_at_1
        external = "" if entry.outcome.benchmark else " (external)"
        shown = "-" if score is None else f"{score:.3f}{external}"
        cells = [entry.after.candidate_id, before, after, shown, entry.after.reason]
        table.add_row(*map(Text, cells), style="bold" if before != after else "")
    Console(width=max(Console().width, 100)).print(table)
    differing = [f"{entry.after.candidate_id}: {', '.join(entry.differs)}" for entry in replayed if entry.differs]
    if arguments.set:
        changed = sum(entry.before.decision != entry.after.decision for entry in replayed)
        trained = sum(entry.outcome.rl is not None for entry in replayed)
        ran = f"RL ran for {count_of(trained, len(replayed), 'candidate')}{'; its results stay' if trained else ''}"
        print(f"\nChanged: {count_of(changed, len(replayed), 'verdict')}. {ran}.")
    elif differing:
        raise InputError("\n".join(["these verdicts differ from the stored ones:", *differing]))
    else:
        print(f"\nevery verdict of {folder.name} is reproduced to the last digit ({len(replayed)} in all).")


@dataclass(frozen=True)
class Replayed:
    """One candidate's verdict, as stored and as recomputed, with the names of the fields that differ."""

    outcome: Outcome
    before: Verdict
    after: Verdict
    differs: list[str]


def replay(run: SweepResult, changes: list[str]) -> list[Replayed]:
    """Recomputes every verdict, with changes of the gate's parameters such as `gate_min_pass_at_k=0.6`, or unchanged."""
    given = {name: value for name, value in run.parameters.items() if name in list_parameters()}  # older runs have others
    gate = [name for name in list_parameters() if name.startswith("gate_")]
    for change in changes:
        if change.partition("=")[0] not in gate:
            raise InputError(f"--set {change}: expected key=value with a key of {', '.join(gate)}")
    experiment = parse_parameters(given | parse_overrides(changes))
    if wrong := check_values(experiment):
        raise InputError("\n".join(wrong))
    settings = experiment.gate
    if changes and not any(change.startswith("gate_audit_fraction=") for change in changes):
        settings = dataclasses.replace(settings, audit_fraction=0.0)  # RL has run for those that were drawn, and for no others
    drawn_by = next((o.verdict.drawn_by for o in run.outcomes if o.verdict and o.verdict.drawn_by), None)
    # As the gate saw them: without a later failure.
    seen = [dataclasses.replace(o, failure=None) if o.failure and o.failure.stage in AFTER_RL else o for o in run.outcomes]
    replayed = []
    for outcome, after in zip(run.outcomes, decide(seen, run.baseline, settings, run.trains, drawn_by), strict=True):
        before = outcome.verdict
        if before is None:
            raise InputError(f"{outcome.candidate.candidate_id}: has no verdict in this run")
        # Numbers that an older version did not compute yet cannot differ.
        unknown = dict.fromkeys(name for name, value in vars(before.numbers).items() if value is None)
        known = dataclasses.replace(after, numbers=dataclasses.replace(after.numbers, **unknown))
        differs = [name for name in COMPARED if getattr(before, name) != getattr(known, name)]
        replayed.append(Replayed(outcome, before, after, differs))
    return replayed
