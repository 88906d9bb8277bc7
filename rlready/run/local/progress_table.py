"""The progress of a run on this machine: a table of candidates and stages, made of the events that the stages write."""

import json
import os
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table
from rich.text import Text

from rlready.analysis.format import explain_end
from rlready.records.outcome import AFTER_RL, BEFORE_RL, STAGE_NAMES
from rlready.runtime.events import show_clock
from rlready.stages.plan.needs import SIDE_BY_SIDE
from rlready.stages.plan.plan import Plan

STAGES = (*BEFORE_RL, "gate", *AFTER_RL)
TITLES = STAGE_NAMES | {"gate": "Gate"}
BASELINE = "base model"
INCOMPARABLE = BASELINE, "benchmark"  # its duration says little of the others', which score two models
LONGEST_NAME = 30  # characters of a candidate's name, so that the table fits 80 columns
ENOUGH = 0.1  # share of a stage from which its duration is extrapolated
STYLES = {"running": "yellow", "done": "green", "failed": "bold red", "undecided": "magenta"}
STYLES |= {"rejected": "red", "dropped": "red"}
SHOWN = {"waiting": "", "cached": "cached", "skipped": "-", "failed": "FAILED"}


@dataclass
class Cell:
    """One stage of one candidate."""

    state: str = "waiting"  # waiting, running, done, cached, skipped or failed
    begun: float = 0.0  # seconds since the epoch
    seconds: float = 0.0  # how long it took
    share: float = 0.0  # the part of its work that is done while it runs
    reached: float = 0.0  # when it was, as `begun`
    note: str = ""  # its speed while it runs, e.g. 1,200 tokens/s; the decision of a gate

    @property
    def expected(self) -> float | None:
        """How long it took, or will take; None if too little is done to say."""
        if self.state == "running" and self.share >= ENOUGH:
            return max((self.reached - self.begun) / self.share, time.time() - self.begun)
        return self.seconds if self.state == "done" else None

    def draw(self) -> Text:
        """Returns what the table shows."""
        style = STYLES.get(self.note, STYLES.get(self.state, "dim"))
        if self.state == "running":
            return Text(f"> {f'{self.share:.0%}' if self.note else show_clock(time.time() - self.begun)}", style)
        done = self.note or f"{self.seconds:.0f} s"
        return Text(done if self.state == "done" else SHOWN[self.state], style)


class ProgressTable:
    """The state of a run, fed with events; `workers` candidates run at a time."""

    def __init__(self, plan: Plan, workers: int = SIDE_BY_SIDE):
        self.plan, self.workers = plan, workers
        self.begun = time.time()
        self.failures: list[str] = []  # messages of failed stages
        self.lost = ""  # why MLflow lost data, according to the first stage that noticed
        self.written: dict[str, str] = {}  # paths of the report's files, once they exist
        self.current = "starting"  # a running stage before or after the sweep
        self.judged = False  # whether the gate has begun
        self.stages = STAGES if self.plan.trains else STAGES[: STAGES.index("rl")]
        self.rows = [BASELINE] if self.plan.compares_base else []
        self.rows += [c.candidate_id for c in self.plan.candidates]
        self.cells = {(row, stage): Cell() for row in self.rows for stage in self.stages}  # of BASELINE too
        self.midway = [c.candidate_id for c in self.plan.candidates if c.is_midway]  # the row of its end has their SFT
        for row, stage in [(BASELINE, "gate"), (BASELINE, "rl"), *((name, "sft") for name in self.midway)]:
            if (row, stage) in self.cells:
                self.cells[row, stage].state = "skipped"
        self.crowding = max(1.0, os.getloadavg()[0] / len(os.sched_getaffinity(0)))  # before the run adds its own load
        self.offset = 0

    def read(self, path: Path) -> list[str]:
        """Takes in the new events of a file and returns a line for each that is worth one."""
        if not path.exists():
            return []
        with path.open("rb") as file:
            file.seek(self.offset)
            lines = file.read().rpartition(b"\n")[:2]  # without a line that is still being written
        self.offset += sum(map(len, lines))
        return [text for line in lines[0].splitlines() if (text := self.take(json.loads(line)))]

    def take(self, event: dict) -> str | None:
        """Takes in one event; returns a line about it if it is worth one."""
        stage, state, row = event["stage"], event["state"], event["candidate"]
        if state == "lost":
            known, self.lost = self.lost, self.lost or event["message"]
            return None if known else self.lost
        if state == "waiting":
            return event["message"]
        if state == "written":
            self.written = {name: event[name] for name in ("html", "markdown", "records", "verdicts")}
            return None
        if state == "failed":
            self.failures.append(f"{f'{stage} of {row}' if row else stage}: {event['message']}")
        if row is None:
            return self._take_single(stage, state, event)
        # Until the gate has judged, the candidate that is the base model means the base model, which is measured for all.
        if self.plan.compares_base and not self.judged and row == self.plan.baseline.candidate_id:
            row = BASELINE
        if state == "decided":
            return self._take_decision(row, event)
        # The base model has no benchmark if no RL follows.
        return self._take_candidate(row, stage, event) if (row, stage) in self.cells else None

    def _take_single(self, stage: str, state: str, event: dict) -> str | None:
        """Takes in an event of a stage that runs once."""
        if state == "progress":
            self.current = f"{stage} {event['done'] / max(event['total'], 1):.0%}"
            return None
        if stage == "gate":
            self.judged = True
            # The rest was measured with another candidate that has the same model, or before a kill.
            passed = (*BEFORE_RL, "gate") if state == "cached" else BEFORE_RL
            self._set_waiting("cached", [(row, one) for row in self.rows for one in passed])
        if stage == "report":  # whatever is left was not to run, also if the gate's decisions came from the cache
            self._set_waiting("skipped", self.cells)
        self.current = stage if state == "started" else ""
        return None if state == "started" else f"{stage} {'from the cache' if state == 'cached' else state}"

    def _take_candidate(self, row: str, stage: str, event: dict) -> str | None:
        state, cell, what = event["state"], self.cells[row, stage], f"{row}: {TITLES[stage]}"
        if state == "started":
            cell.state, cell.begun = "running", event["time"]
        elif state == "progress":
            rate = f"{event['rate']:,.0f}" if event["rate"] >= 10 else f"{event['rate']:.2g}"
            cell.share, cell.reached = event["done"] / max(event["total"], 1), event["time"]
            cell.note = f"{rate} {event['unit']}/s"
        elif state == "finished":
            cell.state, cell.seconds, cell.note = "done", event["seconds"], ""
            return f"{what} done in {event['seconds']:.0f} s"
        elif state == "stopped":
            return f"{what} {explain_end(event['message'])}"
        elif state == "cached":
            # The predictors of a training are those of all its checkpoints.
            rows = [c.candidate_id for c in self.plan.candidates if stage == "predictors" and c.training.candidate_id == row]
            self._set_waiting("cached", [(one, stage) for one in rows or [row]])
            return f"{what} from the cache"
        elif state in ("failed", "skipped"):
            cell.state = state
            return f"{what} failed: {event['message']}" if state == "failed" else None
        return None

    def _take_decision(self, row: str, event: dict) -> str:
        """Takes in what the gate or the race decided; RL of a candidate that goes on after the race has not ended."""
        stage = "gate" if event["stage"] == "gate" else "rl"
        cell = self.cells[row, stage]
        cell.state, cell.note = ("waiting", "") if stage == "rl" and event["proceed"] else ("done", event["decision"])
        if not event["proceed"]:
            for later in self.stages[self.stages.index(stage) + 1 :]:
                self.cells[row, later].state = "skipped"
        return f"{row}: {event['decision']}: {event['reason']}"

    def _set_waiting(self, state: str, places: Iterable[tuple[str, str]]) -> None:
        for place in places:
            if self.cells[place].state == "waiting":
                self.cells[place].state = state

    def estimate_rest(self) -> float:
        """Returns the seconds left, from the means of the stages measured in this run.

        Other stages count as the plan estimates them, scaled by how much longer the measured ones took than estimated or,
        until there are some, by how many processes wait for each core.
        """
        measured = defaultdict(list)  # the seconds that stages took, or will take if enough is done to say
        for place, cell in self.cells.items():
            if cell.expected is not None and place != INCOMPARABLE:
                measured[place[1]].append(cell.expected)
        guesses = {stage: entry["seconds"] for stage, entry in self.plan.estimate.items()} | {"gate": 1.0}
        guesses["sft"] *= len(self.plan.candidates) / (len(self.plan.candidates) - len(self.midway))
        known = [(sum(v), len(v) * guesses[s]) for s, v in measured.items() if s in self.plan.estimate]
        scale = sum(k for k, _ in known) / sum(g for _, g in known) if known else self.crowding
        # A stage that runs longer than expected shows how slow the machine is before anything of it is done.
        for (_, stage), cell in self.cells.items():
            if cell.state == "running" and not cell.expected and guesses[stage]:
                scale = max(scale, (time.time() - cell.begun) / guesses[stage])
        expected = {s: guess * scale for s, guess in guesses.items()} | {s: sum(v) / len(v) for s, v in measured.items()}
        rest = dict.fromkeys(self.rows, 0.0)
        for (row, stage), cell in self.cells.items():
            if cell.state in ("waiting", "running"):
                done = time.time() - cell.begun if cell.state == "running" else 0.0
                rest[row] += max(0.0, (cell.expected or expected[stage]) - done)
        # The stages of one candidate follow each other.
        return max(sum(rest.values()) / self.workers, *rest.values())

    def describe_running(self) -> list[str]:
        """Returns a text per running stage, and the time left: an estimate until a candidate has finished each stage left."""
        lines = [self.current] if self.current else []
        for (row, stage), cell in self.cells.items():
            if cell.state == "running":
                done = f"{cell.share:.0%}, {cell.note}" if cell.note else show_clock(time.time() - cell.begun)
                lines.append(f"{TITLES[stage]} of {row}: {done}")
        left = {stage for (_, stage), cell in self.cells.items() if cell.state in ("waiting", "running") and stage != "gate"}
        measured = {place[1] for place, cell in self.cells.items() if cell.state == "done" and place != INCOMPARABLE}
        mark = "" if left <= measured else " (estimate)"
        return [*lines, f"about {show_clock(self.estimate_rest())} to go{mark}"]

    def draw(self) -> Table:
        """Returns the rich table to show, at most 80 columns wide."""
        *running, rest = self.describe_running()
        caption = "\n".join([*running, f"{show_clock(time.time() - self.begun)} so far, {rest}"])
        table = Table(caption=Text(caption), caption_justify="left", pad_edge=False, padding=(0, 1, 0, 0), box=None)
        table.add_column("candidate", no_wrap=True)
        for stage in self.stages:
            table.add_column(TITLES[stage], no_wrap=True, min_width=8)
        for row in self.rows:
            name = row if len(row) <= LONGEST_NAME else f"{row[: LONGEST_NAME // 2 - 1]}…{row[-LONGEST_NAME // 2 :]}"
            table.add_row(Text(name), *(self.cells[row, stage].draw() for stage in self.stages))
        return table
