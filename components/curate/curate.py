"""Turns sources into training, held-out, RL and evaluation sets that share no problem."""

import hashlib
import itertools
import json
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rlready.components.config import SUBSETS, Curate, InputError
from rlready.components.core.records import write_atomically
from rlready.components.core.registry import BUILTIN, find_source, get_mirror
from rlready.components.core.sources import check_rows, inspect, read_problem, read_rows
from rlready.components.core.verify import is_readable

EXAMPLES_OF_A_REASON = 3


class Dropped:
    """Counts the rows left out, by source and reason, and remembers the first few places."""

    def __init__(self):
        self.counts: Counter = Counter()
        self.places: dict[tuple[str, str], list[str]] = {}

    def add(self, source: str, reason: str, place: str) -> None:
        """Counts one row."""
        self.counts[source, reason] += 1
        if self.counts[source, reason] <= EXAMPLES_OF_A_REASON:
            self.places.setdefault((source, reason), []).append(place)

    def describe(self) -> list[dict]:
        """Returns one entry a source and reason."""
        return [
            {"set": source, "reason": reason, "rows": count, "first": self.places[source, reason]}
            for (source, reason), count in sorted(self.counts.items())
        ]


def curate(settings: Curate, revisions: dict[str, str], out: Path) -> dict:
    """Writes sft, heldout, rl, predictors and benchmark as Parquet, with a card.

    Evaluation problems are drawn first and leave the training data; then held-out problems, RL prompts and the SFT pool
    are drawn by problem. A subset of n examples is the first n rows in the order of its rank column (`rank_random`,
    `rank_shortest`, ...), so subsets are nested and no candidate changes another's data. Order of rows in the sources has
    no influence: a problem's place is a hash of the seed and its text.

    Args:
        settings: Sources, counts and seed.
        revisions: Digest or commit of each source, as plan found it.
        out: Folder to write; appears only when complete.

    Returns:
        The card: counts, length quantiles, digests and what was dropped.

    Raises:
        InputError: If a source is unreadable or too few rows remain.
    """
    dropped = Dropped()
    seed = settings.seed
    evaluation = _read(settings.evaluation_data, "evaluation", settings, revisions, dropped)
    evaluation = order_by_hash(evaluation, seed, "evaluation")
    own_predictors = 0 if settings.predictor_data else settings.predictor_problems
    wanted = own_predictors + settings.benchmark_problems
    _require(evaluation, wanted, "evaluation", settings.evaluation_data, "predictor and benchmark problems")
    predictors, benchmark = evaluation[:own_predictors], evaluation[own_predictors:wanted]
    taken = {row["problem_id"] for row in evaluation[:wanted]}
    if settings.predictor_data:
        predictors = _read(settings.predictor_data, "predictors", settings, revisions, dropped, taken)
        _require(
            predictors, settings.predictor_problems, "predictor", settings.predictor_data, "curate_predictor_problems"
        )
        predictors = order_by_hash(predictors, seed, "predictors")[: settings.predictor_problems]
        taken |= {row["problem_id"] for row in predictors}

    examples = _read(settings.sft_data, "sft", settings, revisions, dropped, taken)
    problems = list(dict.fromkeys(row["problem_id"] for row in order_by_hash(examples, seed, "sft")))
    heldout_ids = set(problems[: settings.heldout_problems])
    own_rl = 0 if settings.rl_data else settings.rl_problems
    _require(problems, settings.heldout_problems + own_rl + 1, "SFT", settings.sft_data, "held-out and RL problems")
    rl_ids = _draw_prompts(examples, problems[settings.heldout_problems :], own_rl, dropped)
    _require(rl_ids, own_rl, "RL", settings.sft_data, "curate_rl_problems")
    heldout = [row for row in examples if row["problem_id"] in heldout_ids]
    pool = [row for row in examples if row["problem_id"] not in heldout_ids | rl_ids]
    if settings.sft_examples:
        pool = order_by_hash(pool, seed, "sft")[: settings.sft_examples]
        _require(pool, settings.sft_examples, "SFT", settings.sft_data, "curate_sft_examples")
    if settings.rl_data:
        not_for_rl = dict.fromkeys(taken, "also an evaluation problem")
        not_for_rl |= {row["problem_id"]: "also an SFT example" for row in examples}
        rl = _read(settings.rl_data, "rl", settings, revisions, dropped, not_for_rl)
        _require(rl, settings.rl_problems, "RL", settings.rl_data, "curate_rl_problems")
        rl = order_by_hash(rl, seed, "rl")[: settings.rl_problems]
    else:
        rl = list({row["problem_id"]: row for row in examples if row["problem_id"] in rl_ids}.values())
        rl = [{k: v for k, v in row.items() if k != "solution"} for row in order_by_hash(rl, seed, "rl")]

    sets = {
        "sft": rank_subsets(pool, seed),
        "heldout": order_by_hash(heldout, seed, "heldout"),
        "rl": rl,
        "predictors": predictors,
        "benchmark": benchmark,
    }
    return _write(sets, settings, revisions, dropped, Path(out))


def _draw_prompts(examples: list[dict], problems: list[str], wanted: int, dropped: Dropped) -> set[str]:
    """Returns the first problems whose answer the verifier can read: one that it cannot would be wrong whatever RL writes."""
    answers = {row["problem_id"]: row for row in examples}
    drawn = set()
    for name in problems:
        if len(drawn) == wanted:
            break
        row = answers[name]
        if is_readable(row["answer"], row["format"]):
            drawn.add(name)
        else:
            dropped.add("rl", "the verifier cannot read the answer", f"problem {name}: {row['answer'][:40]!r}")
    return drawn


def order_by_hash(rows: Iterable[dict], seed: int, purpose: str) -> list[dict]:
    """Returns rows in a seeded order that depends on their contents only."""

    def place(row: dict) -> str:
        text = f"{seed}/{purpose}/{row['problem_id']}/{row.get('solution', '')}"
        return hashlib.sha256(text.encode()).hexdigest()

    return sorted(rows, key=place)


def rank_subsets(pool: list[dict], seed: int) -> list[dict]:
    """Adds a rank for each subset kind; the n examples of a subset are those of rank below n.

    Length is that of the worked solution in characters; ties are broken by the random order. mixed takes the shortest and
    the longest in turn.
    """
    pool = order_by_hash(pool, seed, "subset")
    shortest = sorted(range(len(pool)), key=lambda i: len(pool[i]["solution"]))
    longest = sorted(range(len(pool)), key=lambda i: -len(pool[i]["solution"]))
    mixed = list(dict.fromkeys(itertools.chain.from_iterable(zip(shortest, longest, strict=True))))
    orders = {"random": range(len(pool)), "shortest": shortest, "longest": longest, "mixed": mixed}
    ranked = [dict(row) for row in pool]
    for subset in SUBSETS:
        for rank, index in enumerate(orders[subset]):
            ranked[index][f"rank_{subset}"] = rank
    return ranked


def _read(source: str, split: str, settings: Curate, revisions: dict, dropped: Dropped, taken=()) -> list[dict]:
    """Reads well-formed rows, each once; `taken` problems are left out, with its reason if it is a mapping."""
    wanted = {
        "sft": settings.sft_examples + settings.heldout_problems + (0 if settings.rl_data else settings.rl_problems),
        "rl": settings.rl_problems,
        "evaluation": settings.benchmark_problems + (0 if settings.predictor_data else settings.predictor_problems),
        "predictors": settings.predictor_problems,
    }[split]
    rows, seen, number = [], set(), 0
    registry = "datasets" if split in ("sft", "rl") else "benchmarks"
    found = find_source(source, registry, settings.sources, get_mirror(settings.mirror))
    if found.path and inspect(found, settings.seed).digest != revisions[source]:
        raise InputError(f"{source}: has changed since plan looked at it ({revisions[source]}); start the run again")
    for number, (place, raw) in enumerate(read_rows(found, split, settings.seed, revisions.get(source, "")), 1):  # noqa: B007
        if source == BUILTIN and len(rows) == wanted:
            break
        try:
            row = read_problem(raw, split == "sft", found)
        except InputError as error:
            dropped.add(split, str(error), place)
            continue
        identity = (row["problem_id"], row.get("solution"))
        if identity in seen:
            dropped.add(split, "duplicate", place)
        elif row["problem_id"] in taken:
            reason = taken[row["problem_id"]] if isinstance(taken, dict) else "also an evaluation problem"
            dropped.add(split, reason, place)
        else:
            seen.add(identity)
            rows.append(row)
    check_rows(found, number)
    if not rows:
        reasons = "; ".join(f"{d['rows']} x {d['reason']}" for d in dropped.describe() if d["set"] == split)
        raise InputError(f"{source}: no usable {split} row ({reasons or 'the source is empty'})")
    return rows


def _require(rows: list | set, wanted: int, name: str, source: str, what: str) -> None:
    if len(rows) < wanted:
        raise InputError(
            f"{source}: {wanted} {name} rows wanted ({what}), {len(rows)} usable; ask for fewer or add data"
        )


def _write(sets: dict[str, list[dict]], settings: Curate, revisions: dict, dropped: Dropped, out: Path) -> dict:
    partial = Path(f"{out}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    card = {"sources": revisions, "seed": settings.seed, "sets": {}, "dropped": dropped.describe()}
    for name, rows in sets.items():
        pq.write_table(pa.Table.from_pylist(rows), partial / f"{name}.parquet")
        texts = [row.get("solution", row["question"]) for row in rows]
        card["sets"][name] = {
            "rows": len(rows),
            "problems": len({row["problem_id"] for row in rows}),
            "digest": hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()[:16],
            "characters": dict(
                zip(("p10", "p50", "p90"), np.quantile([len(t) for t in texts], (0.1, 0.5, 0.9)).tolist(), strict=True)
            ),
        }
    write_atomically(partial / "card.json", json.dumps(card, indent=2))
    write_atomically(partial / "card.md", describe_card(card))
    if out.exists():
        out.rmdir()
    partial.rename(out)
    return card


def describe_card(card: dict) -> str:
    """Returns the dataset card as Markdown."""
    lines = [
        "# Dataset card",
        "",
        "| set | rows | problems | characters p10 / p50 / p90 | digest |",
        "|---|---|---|---|---|",
    ]
    for name, entry in card["sets"].items():
        lengths = " / ".join(f"{v:.0f}" for v in entry["characters"].values())
        lines.append(f"| {name} | {entry['rows']} | {entry['problems']} | {lengths} | {entry['digest']} |")
    lines += ["", f"Seed {card['seed']}. Sources: " + ", ".join(f"{s} ({d})" for s, d in card["sources"].items()), ""]
    if card["dropped"]:
        lines += ["| left out of | reason | rows | first |", "|---|---|---|---|"]
        lines += [f"| {d['set']} | {d['reason']} | {d['rows']} | {', '.join(d['first'])} |" for d in card["dropped"]]
    return "\n".join(lines) + "\n"
