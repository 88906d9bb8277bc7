"""What curate writes: sets as Parquet files with a digest of their rows, and the dataset card: what was kept and left out."""

import hashlib
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rlready.stages.curate.duplicates.contamination import Match
from rlready.verifier import describe_reference

EXAMPLES_OF_A_REASON = 3
CHARACTERS_OF_AN_EXAMPLE = 300
# Usable rows that no set takes.
NOT_DRAWN = "not drawn: more than"
NOT_SCORED = "not drawn: only kept out of training"
ROWS_AT_ONCE = 8192
TABLES_AHEAD = 2


class Tally:
    """Counts rows by set and reason, with the places of the first few, and the texts of those that resemble another row."""

    def __init__(self):
        self.counts: Counter = Counter()
        self.places: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        self.examples: defaultdict[tuple[str, str], list[dict]] = defaultdict(list)

    def add(self, use: str, reason: str, place: str) -> None:
        """Counts one row."""
        self.counts[use, reason] += 1
        self.locate(use, reason, place)

    def locate(self, use: str, reason: str, place: str) -> None:
        """Adds the place of a row that is counted already."""
        if len(self.places[use, reason]) < EXAMPLES_OF_A_REASON:
            self.places[use, reason].append(place)

    def show(self, use: str, reason: str, place: str, text: str, other: str, **more) -> None:
        """Adds the texts of a row that was left out and of the one that it resembles, for the first few."""
        if len(self.examples[use, reason]) < EXAMPLES_OF_A_REASON:
            texts = {"text": text[:CHARACTERS_OF_AN_EXAMPLE], "other": other[:CHARACTERS_OF_AN_EXAMPLE]}
            self.examples[use, reason].append({"place": place} | texts | more)

    def count(self, use: str) -> str:
        """Returns the reasons of one set with their counts, for a message."""
        return "; ".join(f"{rows} x {reason}" for (name, reason), rows in sorted(self.counts.items()) if name == use)

    def describe(self) -> list[dict]:
        """Returns one entry per set and reason."""
        return [
            {"set": key[0], "reason": key[1], "rows": count, "first": self.places[key]}
            | ({"examples": self.examples[key]} if key in self.examples else {})
            for key, count in sorted(self.counts.items())
        ]


class Dropped(Tally):
    """Counts rows that are left out, and what is changed in those that are kept."""

    def __init__(self):
        super().__init__()
        self.parts = Tally()  # what was changed in rows, or is odd about them
        self.matches: Counter = Counter()  # rows that are evaluation problems, by set, evaluation set and reason

    def add_match(self, use: str, place: str, question: str, match: Match, exact: bool) -> None:
        """Counts one row that is also an evaluation problem."""
        reason = "also an evaluation problem" if exact else "nearly an evaluation problem"
        self.matches[use, match.benchmark, reason] += 1
        self.add(use, reason, place)
        more = {"benchmark": match.benchmark, "overlap": round(match.overlap, 3)}
        self.show(use, reason, place, question, match.question, **more)

    def describe_matches(self) -> list[dict]:
        """Returns one entry per training set, evaluation set and kind of match."""
        names = ("set", "benchmark", "reason", "rows")
        return [dict(zip(names, (*key, count), strict=True)) for key, count in sorted(self.matches.items())]


def balance(use: str, read: int, sets: dict[str, int], left: int) -> dict:
    """Returns the entry of the rows of a source or use; raises RuntimeError if one is uncounted, or counted twice."""
    if read != sum(sets.values()) + left:
        raise RuntimeError(f"curate read {read} rows as {use}, but {sets} are in sets and {left} left out")
    return {"use": use, "read": read, "sets": sets, "left_out": left}


def balance_rows(read: Counter, sets: Mapping[str, dict | None], dropped: Dropped) -> list[dict]:
    """Returns for each use of a source the rows read, those in its sets, and those left out; see `balance`."""
    made = {"sft": ["sft", "heldout"], "rl": [], "evaluation": ["benchmark"], "predictors": [], "decontaminate": []}
    made["rl" if "rl" in read else "sft"] += ["rl", "validation"]
    made["predictors" if "predictors" in read else "evaluation"].append("predictors")
    found = []
    for use in filter(read.__contains__, made):
        rows = {name: entry["rows"] for name in made[use] if (entry := sets.get(name))}
        names = (use, "benchmark") if use == "evaluation" else (use,)
        left = sum(count for (name, _), count in dropped.counts.items() if name in names)
        found.append(balance(use, read[use], rows, left))
    return found


def describe_groups(groups: Iterable) -> dict[str, float | None]:
    """Returns the numbers of problems, of groups, of problems in the largest group, and of problems that they are worth."""
    sizes = Counter(groups)
    problems, squares = sizes.total(), sum(size * size for size in sizes.values())
    effective = round(problems**2 / squares, 1) if squares else None  # Kish's number
    largest = max(sizes.values(), default=0)
    return {"problems": problems, "groups": len(sizes), "largest": largest, "effective": effective}


def count_by_text(sets: Mapping[str, Iterable[dict]]) -> list[dict]:
    """Returns per set and benchmark how many problems have a reference answer that only the same text matches."""
    counts: dict[tuple[str, str], Counter] = {}
    for name, rows in sets.items():
        for row in rows:
            kind = describe_reference(row["answer"], row["format"])
            counts.setdefault((name, row.get("benchmark", "")), Counter())[kind] += 1
    return [
        {"set": name, "benchmark": benchmark, "problems": kinds.total(), "by_text": kinds["text"]}
        for (name, benchmark), kinds in counts.items()
    ]


def describe_card(card: dict) -> str:
    """Returns the dataset card as Markdown."""
    rows: list[tuple] = []
    for name, entry in card["sets"].items():
        quantiles = " / ".join(f"{value:.0f}" for value in entry["characters"].values())
        rows.append((name, entry["rows"], entry["problems"], quantiles, entry["digest"]))
    lines = ["# Dataset card", *_write_table("set | rows | problems | characters p10 / p50 / p90 | digest", rows)]
    rows = [(name, some["revision"], some["rows"] or "endless", some["licence"]) for name, some in card["sources"].items()]
    lines += ["", f"Seed {card['seed']}.", *_write_table("source | revision or digest | rows read | licence", rows)]
    rows = []
    for some in card["balance"]:
        kept = ", ".join(f"{name} {count}" for name, count in some["sets"].items())
        rows.append((some["use"], some["read"], kept or "none", some["left_out"]))
    lines += _write_table("used as | rows read | in sets | left out", rows)
    head = "near-duplicates, of one template or document | problems | groups | problems of the largest | effective problems"
    columns = ("problems", "groups", "largest", "effective")
    lines += _write_table(head, [(use, *(some[key] or "–" for key in columns)) for use, some in card["groups"].items()])
    for head, key in (("left out of | reason", "dropped"), ("noted of rows of | what", "parts")):
        rows = [(some["set"], some["reason"], some["rows"], ", ".join(some["first"])) for some in card[key]]
        lines += _write_table(f"{head} | rows | first", rows) if rows else []
    rows = [(some["set"], some["benchmark"], some["reason"], some["rows"]) for some in card["contamination"]]
    lines += _write_table("left out of | evaluation set | reason | rows", rows) if rows else []
    lines += _describe_references(card["golds"])
    if rates := card.get("pass_rates"):
        low, high = rates["limits"]
        about = (
            f"Right samples of the base model, {rates['samples']} per problem (standard error of a rate at most"
            f" {0.5 / rates['samples'] ** 0.5:.2f}; kept: {low:g} to {high:g}):"
        )
        passes = enumerate(rates["problems_by_right_samples"])
        lines += ["", about, *_write_table("right samples | RL problems sampled", passes)]
    if card["text"]:
        lines += [
            "",
            "A held-out prompt, and the solution that is trained after it. The chat template of the base model is added to the",
            "prompt, and its end token to the solution; plan shows both.",
        ]
        lines += [line for text in card["text"].values() for line in ("", "```text", text, "```")]
    for entry in card["dropped"]:
        for example in entry.get("examples", ()):
            overlap = f", overlap {example['overlap']}" if "overlap" in example else ""
            lines += ["", f"{entry['set']}, {entry['reason']}: {example['place']}{overlap}", ""]
            lines += [f"> {' '.join(example[side].split())}\n>" for side in ("text", "other")]
    return "\n".join(lines) + "\n"


def _write_table(heads: str, rows: Iterable[tuple]) -> list[str]:
    lines = [f"| {' | '.join(map(str, row))} |" for row in rows]
    return ["", f"| {heads} |", "|---" * (heads.count("|") + 1) + "|", *lines]


def _describe_references(counts: list[dict]) -> list[str]:
    if not any(some["by_text"] for some in counts):
        return []
    about = (
        "Problems whose reference answer can only be matched as text: a right answer in other words counts as wrong."
        " RL uses none of them."
    )
    rows = []
    for some in counts:
        name = ", ".join(filter(None, (some["set"], some["benchmark"])))
        rows.append((name, some["problems"], some["by_text"], f"{some['by_text'] / some['problems']:.1%}"))
    return ["", about, *_write_table("set | problems | matched as text only | share", rows)]


def write_set(path: Path, tables: Iterable[pa.Table]) -> dict | None:
    """Writes a set, unless it is empty, and returns its entry: rows, problems, digest, quantiles of lengths in characters."""
    digest, problems, lengths = RowsDigest(), [], []
    writer: pq.ParquetWriter | None = None
    waiting: deque[Future[None]] = deque()

    def append(writer: pq.ParquetWriter, table: pa.Table) -> None:
        digest.update(table)
        writer.write_table(table)
        problems.append(np.frombuffer(bytes.fromhex("".join(table["problem_id"].to_pylist())), ">u8"))
        lengths.append(pc.utf8_length(table["solution" if "solution" in table.column_names else "question"]))

    # Tables are written while the next ones are read.
    with ThreadPoolExecutor(1) as thread:
        for table in _split_tables(tables, ROWS_AT_ONCE):
            writer = writer or pq.ParquetWriter(path, table.schema)
            waiting.append(thread.submit(append, writer, table))
            if len(waiting) > TABLES_AHEAD:
                waiting.popleft().result()
        for written in waiting:
            written.result()
    if writer is None:
        return None
    writer.close()
    quantiles = np.quantile(np.concatenate(lengths), (0.1, 0.5, 0.9)).tolist()
    return {
        "rows": sum(map(len, problems)),
        "problems": len(np.unique(np.concatenate(problems))),
        "digest": digest.hexdigest()[:16],
        "characters": dict(zip(("p10", "p50", "p90"), quantiles, strict=True)),
    }


def make_table(rows: Iterable[dict]) -> list[pa.Table]:
    """Returns a table of rows, some of which may lack a column such as the number of options."""
    rows = list(rows)
    kinds = {name: pa.string() if isinstance(value, str) else pa.int64() for row in rows for name, value in row.items()}
    return [pa.Table.from_pylist(rows, pa.schema(list(kinds.items())))]


def _split_tables(tables: Iterable[pa.Table], size: int) -> Iterator[pa.Table]:
    waiting: list[pa.Table] = []
    rows = 0
    for table in tables:
        waiting.append(table)
        rows += len(table)
        if rows >= size:
            table, full = pa.concat_tables(waiting), rows - rows % size
            yield from (table.slice(start, size) for start in range(0, full, size))
            waiting, rows = [table.slice(full)], rows - full
    if rows:
        yield pa.concat_tables(waiting)


class RowsDigest:
    """SHA-256 of rows, however they are split into tables; the bytes of a file would change with the library that writes it.

    Each column has two digests: of its lengths in bytes (64 bits each, -1 for null) and of its contents.
    """

    def __init__(self):
        self._columns: dict[str, tuple[hashlib._Hash, hashlib._Hash]] = {}

    def update(self, table: pa.Table) -> None:
        """Adds rows; columns are texts and integers, in any order, the same in every table."""
        for name, column in zip(table.column_names, table.columns, strict=True):
            lengths, contents = self._columns.setdefault(name, (hashlib.sha256(), hashlib.sha256()))
            if pa.types.is_string(column.type):
                lengths.update(pc.binary_length(column).fill_null(-1).to_numpy().astype("<i8").tobytes())
                for texts in column.fill_null("").chunks:
                    _, offsets, data = texts.buffers()
                    if data is not None and len(texts):
                        ends = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
                        contents.update(memoryview(data)[ends[0] : ends[-1]])
            else:
                lengths.update(np.where(column.is_null().to_numpy(), -1, 8).astype("<i8").tobytes())
                contents.update(column.fill_null(0).to_numpy().astype("<i8").tobytes())

    def hexdigest(self) -> str:
        """Returns the digest of all rows so far."""
        columns = sorted((name, *(part.hexdigest() for part in parts)) for name, parts in self._columns.items())
        return hashlib.sha256(repr(columns).encode()).hexdigest()
