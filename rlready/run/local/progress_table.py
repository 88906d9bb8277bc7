"""What a person sees of a local run: candidates by stages, from the events that the stages write."""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path

from rich.table import Table
from rich.text import Text

from rlready.stages.plan.machine import SIDE_BY_SIDE
from rlready.stages.plan.plan import Plan

STAGES = ("sft", "predictors", "gate", "rl", "benchmark")
MEASURING, TRAINING = STAGES[:2], STAGES[3:]  # the stages of the loops before and after the gate
TITLES = {"sft": "SFT", "predictors": "Predictors", "gate": "Gate", "rl": "RL", "benchmark": "Benchmark"}
BASELINE = "base model"


@dataclass
class Cell:
    """One stage of one candidate.

    Attributes:
        state: waiting, running, done, cached, skipped or failed.
        begun: When it started.
        seconds: How long it took.
        note: Progress while it runs, the decision of a gate.
    """

    state: str = "waiting"
    begun: float = 0.0
    seconds: float = 0.0
    note: str = ""


@dataclass
class ProgressTable:
    """The state of a run, fed with events.

    Attributes:
        plan: What is going to happen.
        workers: Candidates that run at a time.
        begun: When the run started.
        cells: By candidate and stage; the base model is the candidate BASELINE.
        failures: Messages of failed stages.
        lost: What MLflow did not take, as the first stage that noticed says it; empty if nothing.
        written: Paths of the report's files, once there.
        current: A stage before or after the sweep that is running.
        judged: Whether the gate has begun.
    """

    plan: Plan
    workers: int = SIDE_BY_SIDE
    begun: float = field(default_factory=time.time)
    cells: dict = field(default_factory=dict)
    failures: list = field(default_factory=list)
    lost: str = ""
    written: dict = field(default_factory=dict)
    current: str = "starting"

    def __post_init__(self):
        self.stages = STAGES if self.plan.trains else STAGES[: STAGES.index("rl")]
        self.rows = [BASELINE] * bool(self.plan.base) + [c.candidate_id for c in self.plan.candidates]
        self.cells = {(row, stage): Cell() for row in self.rows for stage in self.stages}
        for stage in ("gate", "rl"):
            if (BASELINE, stage) in self.cells:
                self.cells[BASELINE, stage].state = "skipped"
        self.judged = False
        self.found = []  # lines on what came from the cache, until they are read
        self.offset = 0

    def read(self, path: Path) -> list[str]:
        """Takes in new events and returns a line for each that is worth one."""
        if not path.exists():
            return []
        with path.open() as file:
            file.seek(self.offset)
            lines = file.readlines()
            if lines and not lines[-1].endswith("\n"):
                lines.pop()
            self.offset += sum(len(line.encode()) for line in lines)
        said = []
        for line in lines:
            told = self.take(json.loads(line))
            said += self.found + ([told] if told else [])
            self.found = []
        return said

    def take(self, event: dict) -> str | None:
        """Takes in one event."""
        stage, state = event["stage"], event["state"]
        if state == "lost":
            told, self.lost = self.lost, self.lost or event["message"]
            return None if told else self.lost
        if state == "written":
            self.written = {name: event[name] for name in ("html", "markdown", "records", "verdicts")}
            return None
        if state == "failed":
            who = f"{stage} of {event['candidate']}" if event["candidate"] else stage
            self.failures.append(f"{who}: {event['message']}")
        if event["candidate"] is None and state == "progress":
            self.current = f"{stage} {event['done'] / max(event['total'], 1):.0%}"
            return None
        if event["candidate"] is None:
            self.current = stage if state == "started" else ""
            if stage in ("gate", "report") and state == "started":
                self.judged = True
                self._infer_cached(self.rows, self.stages if stage == "report" else MEASURING)
            return f"{stage} {state}" if state != "started" else None
        row = self._find_row(event)
        if (row, stage) not in self.cells:  # the base model's benchmark, where no RL follows and nothing is scored
            return None
        cell = self.cells[row, stage]
        if state == "started":
            cell.state, cell.begun = "running", event["time"]
            loop = TRAINING if self.judged else MEASURING
            self._infer_cached(self.rows[: max(0, self.rows.index(row) - self.workers + 1)], loop, fresh=True)
            # The benchmark of the base model waits for none of its other stages.
            for earlier in () if row == BASELINE and stage == "benchmark" else STAGES[: STAGES.index(stage)]:
                self._mark_cached(row, earlier)
        elif state == "progress":
            rate = f"{event['rate']:,.0f}" if event["rate"] >= 10 else f"{event['rate']:.2g}"
            cell.note = f"{event['done'] / max(event['total'], 1):.0%} {rate} {event['unit']}/s"
        elif state == "decided":
            cell.state, cell.note = "done", event["decision"]
            if not event["proceed"]:
                for later in self.stages[self.stages.index("gate") + 1 :]:
                    self.cells[row, later].state = "skipped"
            return f"{row}: {event['decision']}: {event['reason']}"
        elif state == "finished":
            cell.state, cell.seconds = "done", event["seconds"]
            if stage != "gate":
                cell.note = ""
                return f"{row}: {TITLES[stage]} done in {event['seconds']:.0f} s"
        elif state == "stopped":
            return f"{row}: {TITLES[stage]} had {event['message']}"
        elif state in ("failed", "skipped"):
            cell.state = state
            return f"{row}: {TITLES[stage]} failed: {event['message']}" if state == "failed" else None
        return None

    def _find_row(self, event: dict) -> str:
        """Until the gate has judged, the candidate that is the base model stands for it; what is measured holds for all."""
        base = self.plan.base and not self.judged and event["candidate"] == self.plan.baseline.candidate_id
        return BASELINE if base else event["candidate"]

    def _mark_cached(self, row: str, stage: str) -> None:
        if self.cells[row, stage].state == "waiting":
            self.cells[row, stage].state = "cached"
            # What was measured of a model holds for its other candidates too, and came from no cache.
            if not (row in self.plan.shared and stage in MEASURING):
                self.found.append(f"{row}: {TITLES[stage]} from the cache")

    def _infer_cached(self, rows: list[str], stages: tuple[str, ...], fresh: bool = False) -> None:
        """A stage from the cache writes no event: it is known by what comes after it."""
        for row in rows:
            cells = [self.cells[row, stage] for stage in stages]
            if fresh and any(cell.state not in ("waiting", "skipped") for cell in cells):
                continue
            for stage in stages:
                self._mark_cached(row, stage)

    def estimate_rest(self) -> float:
        """Returns the seconds left: measured means where a stage has run, the plan's guess scaled to them elsewhere."""
        measured = {s: [c.seconds for (_, t), c in self.cells.items() if t == s and c.state == "done"] for s in self.stages}
        guesses = {s: e["seconds"] for s, e in self.plan.estimate.items()} | {"gate": 1.0}
        known = [(sum(v), len(v) * guesses[s]) for s, v in measured.items() if v and s in self.plan.estimate]
        scale = sum(k for k, _ in known) / sum(g for _, g in known) if known else 1.0
        expected = {s: sum(v) / len(v) if v else guesses[s] * scale for s, v in measured.items()}
        rest = 0.0
        for (_, stage), cell in self.cells.items():
            if cell.state == "waiting":
                rest += expected[stage]
            elif cell.state == "running":
                rest += max(0.0, expected[stage] - (time.time() - cell.begun))
        return rest / self.workers

    def draw(self) -> Table:
        """Returns the rich table to show."""
        elapsed = _clock(time.time() - self.begun)
        caption = f"{elapsed} so far, about {_clock(self.estimate_rest())} to go"
        if self.current:
            caption = f"{self.current} | {caption}"
        table = Table(caption=caption, caption_justify="left", pad_edge=False, box=None)
        table.add_column("candidate", no_wrap=True)
        for stage in self.stages:
            table.add_column(TITLES[stage], no_wrap=True, min_width=11)
        for row in self.rows:
            table.add_row(Text(row), *(_draw_cell(self.cells[row, stage]) for stage in self.stages))
        return table


def _draw_cell(cell: Cell) -> Text:
    if cell.state == "running":
        return Text(f"> {cell.note or _clock(time.time() - cell.begun)}", style="yellow")
    if cell.state == "done":
        style = {"rejected": "red", "undecided": "magenta"}.get(cell.note, "green")
        return Text(cell.note or f"{cell.seconds:.0f} s", style=style)
    shown = {
        "waiting": ("", "dim"),
        "cached": ("cached", "dim"),
        "skipped": ("-", "dim"),
        "failed": ("FAILED", "bold red"),
    }
    return Text(*shown[cell.state])


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
