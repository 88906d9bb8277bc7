"""The sources of a run: opened at the revision that plan saw, counted, and described for the card."""

import itertools
from collections import Counter
from collections.abc import Iterator, Set, Sized

from rlready.config import Curate
from rlready.data.problems import read_problems
from rlready.data.registry import BUILTIN, Source, find_source, get_mirror, list_sources
from rlready.data.sources import Chunk, check_rows, examine, read_chunks
from rlready.errors import InputError
from rlready.stages.curate.card import Dropped


class SourceReader:
    """Reads the sources of a run."""

    def __init__(self, settings: Curate, revisions: dict[str, str], dropped: Dropped):
        self.settings, self.revisions, self.dropped = settings, revisions, dropped
        self.uses = list_sources(settings)
        self.places: dict[str, str] = {}  # of the problems of evaluation sets, by their id
        self.described: dict[str, dict] = {}  # entries of the card, by key of the source
        self.read: Counter = Counter()  # rows by use
        self.evaluated: Counter = Counter()  # rows read of evaluation sets, by source
        self.kept: Counter = Counter()  # of evaluation sets, rows by (source, set)
        self.left: Counter = Counter()  # of evaluation sets, rows that are left out, by source

    def open(self, use: str, name: str, registry: str) -> tuple[Source, Iterator[Chunk]]:
        """Returns a source and its raw rows; arguments as in `read_problems`.

        Raises InputError if it has changed since plan read it, or does not have the number of rows of its entry.
        """
        settings = self.settings
        source = find_source(name, registry, settings.sources, get_mirror(settings.mirror))
        revision = self.revisions.get(source.key, "")
        if source.path and examine(source, settings.seed, parse=False).digest != revision:
            raise InputError(f"{name}: has changed since plan read it ({revision}); start the run again")
        described = self.described[source.key] = {"revision": revision, "rows": None, "licence": source.licence}

        split = "evaluation" if use == "decontaminate" else use

        def read() -> Iterator[Chunk]:
            rows = 0
            for chunk in read_chunks(source, split, settings.seed, revision):
                rows += len(chunk)
                self.read[use] += len(chunk)
                if use == "evaluation":
                    self.evaluated[name] += len(chunk)
                yield chunk
            check_rows(source, rows)
            described["rows"] = rows

        return source, read()

    def read_problems(self, use: str, name: str, registry: str, wanted: int, taken: Set[str] = frozenset()) -> list[dict]:
        """Returns the usable problems of an evaluation set, each once and without those `taken`; of an endless one `wanted`.

        Raises InputError if none is left.
        """
        rows: list[dict] = []
        seen: set[str] = set()
        source, chunks = self.open(use, name, registry)
        raw = itertools.chain.from_iterable(chunk.read() for chunk in chunks)
        for place, row, noted in read_problems(raw, False, source):
            if row is None:
                self.leave_out(use, noted[0], place, name)
                continue
            for what in noted:
                self.dropped.parts.add(use, what, place)
            if row["problem_id"] in seen:
                self.leave_out(use, "duplicate", place, name)
            elif row["problem_id"] in taken:
                self.leave_out(use, "also an evaluation problem", place, name)
            else:
                seen.add(row["problem_id"])
                self.places[row["problem_id"]] = place
                rows.append(row)
            if name in BUILTIN and len(rows) == wanted:
                break
        self.require_some(rows, use, name)
        return rows

    def leave_out(self, use: str, reason: str, row: str | dict, name: str) -> None:
        """Counts a row of an evaluation set, by its place or its problem, as left out of a set."""
        self.dropped.add(use, reason, row if isinstance(row, str) else self.places[row["problem_id"]])
        if use in ("evaluation", "benchmark"):
            self.left[name] += 1

    def balance(self) -> list[dict]:
        """Returns for each evaluation set, if there are several, the rows read, those in sets, and those left out.

        Raises RuntimeError if a row is in no set and not counted, or counted twice.
        """
        balance = []
        for name, rows in self.evaluated.items():
            sets = {kept: count for (source, kept), count in self.kept.items() if source == name}
            if rows != sum(sets.values()) + self.left[name]:
                raise RuntimeError(f"curate read {rows} rows of {name}, but {sets} are in sets and {self.left[name]} left out")
            balance.append({"use": f"evaluation, {name}", "read": rows, "sets": sets, "left_out": self.left[name]})
        return balance if len(balance) > 1 else []

    def require_some(self, rows: Sized, use: str, name: str) -> None:
        """Raises InputError with the reasons if a source has no usable row."""
        if not len(rows):
            raise InputError(f"{name}: no usable {use} row ({self.dropped.count(use) or 'the source is empty'})")

    def require(self, rows: int, wanted: int, name: str, use: str | tuple[str, str], what: str) -> None:
        """Raises InputError with the reasons if there are fewer rows than wanted."""
        if rows < wanted:
            sets = dict.fromkeys((use if isinstance(use, str) else use[0], name.lower()))
            left_out = "; ".join(filter(None, map(self.dropped.count, sets)))
            raise InputError(
                f"{self.uses[use][0]}: {wanted} {name} rows wanted ({what}), {rows} usable"
                f"{f' ({left_out})' if left_out else ''}; lower the number, or add data"
            )
