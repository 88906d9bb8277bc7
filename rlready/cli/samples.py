"""rlready samples."""

import argparse
import difflib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rlready.cli.arguments import add_work, find_past_run
from rlready.errors import InputError

if TYPE_CHECKING:
    from rlready.records.outcome import KeptSamples, Outcome

TEXT = "Read what the models of a run wrote, or that of an evaluation."
EXAMPLE = "rlready samples --candidate base --wrong"
EPILOG = """\
without --candidate: how many samples of each kind every candidate has
in a terminal $PAGER, or less, shows them; elsewhere they are printed one after another
"""
BASE = "base"  # name of the base model, which may also be a candidate
STAGES = ("predictors", "benchmark")
# What each option asks of a row of samples.
FILTERS = {
    "right": lambda row: row["verdict"] == "right",
    "wrong": lambda row: row["verdict"] == "wrong",
    "unknown": lambda row: row["verdict"] == "unknown",
    "truncated": lambda row: not row["finished"],
    "unreadable": lambda row: row["answer"] is None,
}
MEANINGS = {
    "right": "right ones",
    "wrong": "wrong ones",
    "unknown": "those of which the verifier does not know whether they are right",
    "truncated": "those that the length limit cut off",
    "unreadable": "those without a readable final answer",
}


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Adds what the command takes."""
    command.add_argument("run", nargs="?", help="name of a run, or folder of an evaluation; the last run if left out")
    command.add_argument("--candidate", help=f"whose samples; {BASE}: the base model's")
    command.add_argument("--stage", choices=STAGES, help="of which stage (predictors)")
    for name, meaning in MEANINGS.items():
        command.add_argument(f"--{name}", action="store_true", help=f"only {meaning}; several: what is one of them")
    add_work(command)
    command.epilog = EPILOG


def execute(arguments: argparse.Namespace) -> None:
    """Prints samples, or how many there are.

    Raises:
        InputError: If there is no such run, candidate or file.
    """
    folder = find_evaluation(arguments.run)
    if folder:
        if arguments.candidate or arguments.stage:
            raise InputError(f"{folder}: is an evaluation of one model; leave --candidate and --stage out")
        files = list_files(folder)
    else:
        from rlready.analysis.sweep_result import read_sweep

        run = find_past_run(arguments)
        sweep = read_sweep(run / "outcomes.json")
        outcomes = {outcome.candidate.candidate_id: outcome for outcome in sweep.outcomes}
        outcomes |= {BASE: sweep.baseline} if sweep.baseline else {}
        if not arguments.candidate:
            _print_counts(outcomes)
            return
        files = [find_file(outcomes, arguments.candidate, arguments.stage or STAGES[0])]
    chosen = [name for name in FILTERS if getattr(arguments, name)]
    _show(describe_samples(files, chosen))


def find_evaluation(name: str | None) -> Path | None:
    """Returns the folder of an evaluation, or None where the name is that of a run."""
    folder = Path(name) if name else None
    return folder if folder and (folder / "evaluation.json").exists() else None


def list_files(folder: Path) -> list[Path]:
    """Returns an evaluation's file of samples; of one that is not finished its parts, in the order of the problems."""
    from rlready.evaluation.samples import FILE

    if (folder / FILE).exists():
        return [folder / FILE]
    parts = sorted((folder / "parts").glob("*.parquet"), key=_read_place)
    if not parts:
        raise InputError(f"{folder}: nothing is drawn yet")
    return parts


def _read_place(part: Path) -> tuple[str, int]:
    kind, _, first = part.stem.rpartition("-")
    return kind, int(first)


def find_file(outcomes: dict[str, "Outcome"], name: str, stage: str) -> Path:
    """Returns a candidate's file of samples.

    Args:
        outcomes: Of a run, by the names of the candidates.
        name: The candidate's.
        stage: predictors or benchmark.

    Raises:
        InputError: If there is no such candidate, or its samples are not on this machine.
    """
    from rlready.evaluation.samples import FILE

    if name not in outcomes:
        near = difflib.get_close_matches(name, outcomes, 1)
        known = f"did you mean {near[0]}?" if near else f"there are {', '.join(outcomes)}"
        raise InputError(f"--candidate {name}: not in this run; {known}")
    place = outcomes[name].links.get(f"{stage}_samples")
    if not place:
        there = [other for other in STAGES if outcomes[name].links.get(f"{other}_samples")]
        instead = f"; --stage {there[0]} has some" if there else ""
        raise InputError(f"{name}: {stage} kept no samples in this run{instead}")
    file = Path(place) / FILE
    if not file.exists():
        raise InputError(f"{name}: its samples are not on this machine; they lie, or lay, in {place}")
    return file


def _print_counts(outcomes: dict[str, "Outcome"]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from rlready.evaluation.kept import KINDS

    table = Table(box=None, pad_edge=False)
    for name in ("candidate", "stage", "samples", *KINDS, "without text"):
        table.add_column(name, justify="left" if name in ("candidate", "stage") else "right", no_wrap=True)
    for name, stage, kept in _list_kept(outcomes):
        cells = [sum(kept.counts.values()), *(kept.counts.get(kind, 0) for kind in KINDS), kept.without_text or 0]
        table.add_row(*map(Text, (name, stage, *map(str, cells))))
    if not table.row_count:
        raise InputError("no stage of this run kept samples: an older version ran it, or every candidate failed before")
    Console(width=max(Console().width, 120)).print(table)
    print("\nto read them: rlready samples --candidate NAME --stage STAGE --wrong")


def _list_kept(outcomes: dict[str, "Outcome"]) -> Iterator[tuple[str, str, "KeptSamples"]]:
    for name, outcome in outcomes.items():
        for stage in STAGES:
            record = getattr(outcome, stage)
            if record and record.kept:
                yield name, stage, record.kept


def describe_samples(files: list[Path], chosen: list[str]) -> Iterator[str]:
    """Yields each sample as a text that is safe for a terminal, or says that there is none.

    Args:
        files: Of samples.
        chosen: Names of FILTERS, one of which a sample must pass; none: all.
    """
    from rlready.evaluation.samples import SAMPLES, read_rows

    def pick(columns: Sequence[str]) -> Iterator[dict]:
        rows = read_rows(files, columns)
        return (row for row in rows if not chosen or any(FILTERS[name](row) for name in chosen))

    total = sum(1 for _ in pick(("verdict", "finished", "answer")))
    for number, row in enumerate(pick(SAMPLES.names), 1):
        yield _describe(row, f"{number} of {total}")
    if not total:
        yield f"no sample is {' or '.join(chosen) or 'there'}\n"


def _describe(row: dict, place: str) -> str:
    from rlready.escape import show_controls

    drawn = f"sample {row['sample']}" if row["temperature"] else "greedy"
    drawn = drawn if row["draw"] is None else f"draw {row['draw']}, {drawn}"
    problem = ": ".join(filter(None, (row["benchmark"], row["problem_id"])))
    length = f"{row['tokens']} tokens{'' if row['finished'] else ', cut off'}"
    answer = "none that can be read" if row["answer"] is None else row["answer"]
    trouble = f" ({row['trouble']})" if row["trouble"] else ""
    completion = "not kept: above samples_text_mb" if row["completion"] is None else row["completion"]
    fields = {
        "prompt": row["prompt"],
        "completion": completion,
        "answer": answer,
        "gold": row["gold"],
        "verdict": row["verdict"] + trouble,
    }
    lines = [f"--- {place} | {problem} | {drawn} | {length}"]
    for label, text in fields.items():
        first, *more = show_controls(text).split("\n")
        lines += [f"{label:<11} {first}".rstrip(), *(f"{'':<11} {line}".rstrip() for line in more)]
    return show_controls("\n".join(lines)) + "\n\n"


def _show(texts: Iterator[str]) -> None:
    """Shows texts in the user's pager in a terminal; elsewhere writes one after another to standard output."""
    if not (sys.stdout.isatty() and sys.stdin.isatty()):
        sys.stdout.writelines(texts)
        return
    from rich.pager import SystemPager

    os.environ.setdefault("LESS", "FRX")  # as git does: short texts are printed, and what was read stays in the terminal
    SystemPager().show("".join(texts))
