"""rlready samples."""

import itertools
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.pager import SystemPager

from rlready.analysis.format import label_kind
from rlready.cli.command import PAST_RUN, Arguments, Command, print_table, read_past_run
from rlready.errors import InputError, suggest
from rlready.escape import show_controls
from rlready.evaluation.samples import FILE, KINDS, SAMPLES, read_rows
from rlready.records.outcome import Outcome

EPILOG = """\
The run may also be the folder of an evaluation.
Without --candidate it prints how many samples of each kind every candidate has.
In a terminal the samples are shown in $PAGER (less); otherwise they are printed.
"""
BASE = "base"  # name of the base model, which may also be a candidate
STAGES = ("predictors", "benchmark")
# What each option requires of a sample, and its help.
FILTERS = {
    "right": (lambda row: row["verdict"] == "right", "samples judged right"),
    "wrong": (lambda row: row["verdict"] == "wrong", "samples judged wrong"),
    "unknown": (lambda row: row["verdict"] == "unknown", "samples that the verifier could not judge"),
    "truncated": (lambda row: not row["finished"], "samples truncated at sampling_max_tokens"),
    "no-answer": (lambda row: row["answer"] is None, "samples without a final answer"),
}
COMMAND = Command("samples", "rlready samples --candidate base --wrong", *PAST_RUN, epilog=EPILOG)
COMMAND.add_argument("--candidate", help=f"candidate whose samples to show; {BASE} for the base model")
COMMAND.add_argument("--stage", choices=STAGES, help="predictors: before RL; benchmark: after RL (predictors)")
for name, (_, meaning) in FILTERS.items():
    COMMAND.add_argument(f"--{name}", action="store_true", help=f"show {meaning}")


def execute(arguments: Arguments) -> None:
    """Prints samples, or how many there are."""
    folder = Path(arguments.run or "")
    if arguments.run and (folder / "evaluation.json").exists():
        if arguments.candidate or arguments.stage:
            raise InputError(f"{folder}: an evaluation of one model; leave out --candidate and --stage")
        files = list_files(folder)
    else:
        _, sweep = read_past_run(arguments)
        outcomes = {outcome.candidate.candidate_id: outcome for outcome in sweep.outcomes}
        outcomes |= {BASE: sweep.baseline} if sweep.baseline else {}
        if not arguments.candidate:
            _print_counts(outcomes)
            return
        files = [find_file(outcomes, arguments.candidate, arguments.stage or STAGES[0])]
    texts = describe_samples(files, [name for name in FILTERS if getattr(arguments, name.replace("-", "_"))])
    if sys.stdout.isatty() and sys.stdin.isatty():
        os.environ.setdefault("LESS", "FRX")  # as git does: short texts are printed, and what was read stays in the terminal
        SystemPager().show("".join(texts))
    else:
        sys.stdout.writelines(texts)


def list_files(folder: Path) -> list[Path]:
    """Returns an evaluation's file of samples, or its parts in the order of the problems if it is not finished."""
    if (folder / FILE).exists():
        return [folder / FILE]
    parts = {path: path.stem.rpartition("-") for path in (folder / "parts").glob("*.parquet")}  # kind, -, first problem
    if not parts:
        raise InputError(f"{folder}: no samples yet")
    return sorted(parts, key=lambda path: (parts[path][0], int(parts[path][2])))


def find_file(outcomes: dict[str, Outcome], name: str, stage: str) -> Path:
    """Returns the candidate's file of samples; raises InputError if the run has no such candidate, or the file is elsewhere."""
    if name not in outcomes:
        known = suggest(name, outcomes, f"its candidates are {', '.join(outcomes)}")
        raise InputError(f"--candidate {name}: not in this run; {known}")
    place = outcomes[name].links.get(f"{stage}_samples")
    if not place:
        there = [other for other in STAGES if outcomes[name].links.get(f"{other}_samples")]
        instead = f"; --stage {there[0]} has some" if there else ""
        raise InputError(f"{name}: {stage} kept no samples in this run{instead}")
    file = Path(place) / FILE
    if not file.exists():
        raise InputError(f"{name}: its samples are not on this machine; they were written to {place}")
    return file


def _print_counts(outcomes: dict[str, Outcome]) -> None:
    rows = []
    for (name, outcome), stage in itertools.product(outcomes.items(), STAGES):
        record = getattr(outcome, stage)
        if record and (kept := record.kept):
            counts = [sum(kept.counts.values()), *(kept.counts.get(kind, 0) for kind in KINDS), kept.without_text or 0]
            rows.append([name, stage, *map(str, counts)])
    if not rows:
        why = "logs measured its candidates, an older version ran it, or all failed before sampling"
        raise InputError(f"this run kept no samples: {why}")
    columns = ["candidate", "stage", "samples", *map(label_kind, KINDS), "without text"]
    print_table(columns, rows, 120, ["candidate", "stage"])
    print("\nto show them: rlready samples --candidate NAME --stage STAGE --wrong")


def describe_samples(files: list[Path], chosen: list[str]) -> Iterator[str]:
    """Yields samples that pass one of the chosen FILTERS, or all without any, safe for a terminal; or that there is none."""

    def pick(columns: Sequence[str]) -> Iterator[dict]:
        tests = [FILTERS[name][0] for name in chosen]
        return (row for row in read_rows(files, columns) if not tests or any(test(row) for test in tests))

    total = sum(1 for _ in pick(("verdict", "finished", "answer")))
    for number, row in enumerate(pick(SAMPLES.names), 1):
        yield _describe(row, f"{number} of {total}")
    if not total:
        yield f"no sample matches {' or '.join(f'--{name}' for name in chosen)}\n" if chosen else "no samples\n"


def _describe(row: dict, place: str) -> str:
    drawn = f"sample {row['sample']}" if row["temperature"] else "greedy"
    drawn = drawn if row["draw"] is None else f"draw {row['draw']}, {drawn}"
    problem = ": ".join(str(row[name]) for name in ("benchmark", "problem_id") if row[name])
    length = f"{row['tokens']} tokens{'' if row['finished'] else ', truncated'}"
    fields = {
        "prompt": row["prompt"],
        "completion": "not kept: beyond the limit samples_text_mb" if row["completion"] is None else row["completion"],
        "answer": "no answer" if row["answer"] is None else row["answer"],
        "reference": row["gold"],
        "judgement": f"{row['verdict']}" + (f" ({row['trouble']})" if row["trouble"] else ""),
    }
    lines = [f"--- {place} | {problem} | {drawn} | {length}"]
    for label, text in fields.items():
        first, *more = show_controls("unknown" if text is None else str(text)).split("\n")
        lines += [f"{label:<11} {first}".rstrip(), *(f"{'':<11} {line}".rstrip() for line in more)]
    return show_controls("\n".join(lines)) + "\n\n"
