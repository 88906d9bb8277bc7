"""The sources of a run, opened as plan saw them, and its evaluation problems: for Pass@k, benchmarks, or not to train on."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Set, Sized
from pathlib import Path

import numpy as np

from rlready.config import Curate
from rlready.data.problems import read_problems
from rlready.data.references import name_duplicate
from rlready.data.registry import BUILTIN, Source, find_benchmarks, find_source, get_mirror, list_benchmarks, list_sources
from rlready.data.sources import Chunk, check_rows, examine, read_chunks
from rlready.errors import InputError
from rlready.stages.curate.card import NOT_DRAWN, NOT_SCORED, Dropped, balance
from rlready.stages.curate.duplicates.contamination import Contamination, Text, list_words
from rlready.stages.curate.duplicates.near_duplicates import Signatures, sign
from rlready.stages.curate.pool import hash_place, order_by_hash
from rlready.stats.intervals import number_clusters

NEAR = "nearly an evaluation problem"
UNUSED = f"{NOT_DRAWN} curate_predictor_problems and curate_benchmark_problems"


class SourceReader:
    """Reads the sources of a run."""

    def __init__(self, settings: Curate, revisions: dict[str, str]):
        self.settings, self.revisions, self.dropped = settings, revisions, Dropped()
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
        rows: dict[str, dict] = {}
        source, chunks = self.open(use, name, registry)
        raw = itertools.chain.from_iterable(chunk.read() for chunk in chunks)
        for place, row, noted, _ in read_problems(raw, False, source):
            if row is None:
                self.leave_out(use, noted[0], place, name)
                continue
            for what in noted:
                self.dropped.parts.add(use, what, place)
            problem = row["problem_id"]
            if problem in rows or problem in taken:
                reason = name_duplicate(row, rows[problem]) if problem in rows else "also an evaluation problem"
                self.leave_out(use, reason, place, name)
            else:
                rows[problem], self.places[problem] = row, place
            if name in BUILTIN and len(rows) == wanted:
                break
        self.require_some(rows, use, name)
        return list(rows.values())

    def leave_out(self, use: str, reason: str, row: str | dict, name: str) -> None:
        """Counts a row of an evaluation set, by its place or its problem, as left out of a set."""
        self.dropped.add(use, reason, row if isinstance(row, str) else self.places[row["problem_id"]])
        if use in ("evaluation", "benchmark"):
            self.left[name] += 1

    def balance(self) -> list[dict]:
        """Returns for each evaluation set, if there are several, the rows read, those in sets, and those left out."""
        found = []
        for name, rows in self.evaluated.items():
            sets = {kept: count for (source, kept), count in self.kept.items() if source == name}
            found.append(balance(f"evaluation, {name}", rows, sets, self.left[name]))
        return found if len(found) > 1 else []

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


def find_copies(
    settings: Curate,
    questions: Signatures,
    ones: np.ndarray,
    problems: list[dict],
    rows: np.ndarray,
    texts: Iterable[tuple[int, str, str]],
) -> tuple[np.ndarray, set[str]]:
    """Finds which rows are copies of some problems: near-duplicates, or with the numbers and most n-grams of one.

    `ones` and `rows` are the numbers of the signatures of the problems and the rows, and `texts` (place among the rows,
    problem_id, question) of each row. Returns whether each row is a copy, and the ids of the problems of which a row has the
    n-grams.
    """
    copies = questions.find_copies(ones, rows, settings.near_duplicates) >= 0
    found: set[str] = set()
    if settings.contamination_ngram and problems:
        kept = Contamination(settings.contamination_ngram, settings.contamination_overlap)
        kept.add("", problems)
        for place, problem_id, question in texts:
            matches = kept.find_all(problem_id, Text(question))
            copies[place] |= bool(matches)
            found.update(match.problem_id for match in matches)
    return copies, found


class EvaluationSets:
    """The evaluation problems of a run, to compare training problems with, and which of them are used for what."""

    def __init__(self, reader: SourceReader, folder: Path):
        settings = self.settings = reader.settings
        self.contamination = Contamination(settings.contamination_ngram, settings.contamination_overlap)
        self.questions, self.threshold = Signatures(folder / "questions"), settings.near_duplicates
        self.numbers: dict[str, int] = {}  # by the id of a problem
        self.benchmarks: list[str] = []  # name of the evaluation set of each signature
        self.predictors: list[dict] = []
        self.benchmark: list[dict] = []  # of several benchmarks, each with the name of its own

    def add(self, name: str, problems: list[dict]) -> None:
        """Adds an evaluation set."""
        self.contamination.add(name, problems)
        new = {row["problem_id"]: row for row in problems if row["problem_id"] not in self.numbers}
        self.numbers |= zip(new, range(len(self.numbers), len(self.numbers) + len(new)), strict=True)
        self.benchmarks += [name] * len(new)
        if self.threshold and new:
            texts, answers = ([row[key] for row in new.values()] for key in ("question", "answer"))
            self.questions.add(*sign(texts, list(map(list_words, texts)), answers))

    def find_shared(self, problems: list[dict], others: list[dict]) -> set[str]:
        """Returns the ids of the other evaluation problems that are, or resemble, one of these."""
        ones, rows = (np.array([self.numbers[row["problem_id"]] for row in some], int) for some in (problems, others))
        texts = ((place, row["problem_id"], row["question"]) for place, row in enumerate(others))
        copies, _ = find_copies(self.settings, self.questions, ones, problems, rows, texts)
        groups = set(self.group(problems))
        named = zip(others, copies, self.group(others), strict=True)
        return {row["problem_id"] for row, copied, group in named if copied or group in groups}

    def group(self, problems: Iterable[dict]) -> list[str]:
        """Returns the group of each problem: the id of the first of its near-duplicates, usually its own."""
        ids = sorted(self.numbers)
        leaders = self.questions.group(np.array([self.numbers[name] for name in ids], int), self.threshold)
        led = {name: ids[leader] for name, leader in zip(ids, leaders.tolist(), strict=True)}
        return [led[row["problem_id"]] for row in problems]

    def join(self, problems: list[dict]) -> list[dict]:
        """Returns the problems with their `group`, the same for near-duplicates and for problems made from the same thing.

        A group that all problems of a benchmark have is ignored.
        """
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        if not problems:
            return []
        leaders = self.group(problems)
        kinds: defaultdict[str | None, set[str | None]] = defaultdict(set)
        for row in problems:
            kinds[row.get("benchmark")].add(row.get("group"))
        told = [len(kinds[row.get("benchmark")]) > 1 and row.get("group") for row in problems]
        near = number_clusters(leaders)
        made = number_clusters([name or id_ for name, id_ in zip(told, leaders, strict=True)]) + len(problems)
        links = coo_array((np.ones(len(problems)), (near, made)), shape=(2 * len(problems), 2 * len(problems)))
        _, linked = connected_components(links, directed=False)
        _, firsts, groups = np.unique(linked[near], return_index=True, return_inverse=True)
        return [row | {"group": leaders[first]} for row, first in zip(problems, firsts[groups].tolist(), strict=True)]


def read_evaluation(reader: SourceReader, folder: Path) -> EvaluationSets:
    """Reads all evaluation sets and draws the problems for Pass@k and of the benchmarks; signatures go into the folder.

    At most one of several near-duplicates is used for Pass@k, and then none of them for the benchmark. Raises InputError if a
    set cannot be read or has too few problems.
    """
    settings, evaluation = reader.settings, EvaluationSets(reader, folder)
    names = list_benchmarks(settings)
    if not names:
        return evaluation
    suite = find_benchmarks(names, settings.sources, get_mirror(settings.mirror))
    own = 0 if settings.predictor_data else settings.predictor_problems
    sets = {}
    for name in names:
        sets[name] = reader.read_problems("evaluation", name, "benchmarks", own + settings.benchmark_problems)
        evaluation.add(name, sets[name])
    _draw(reader, evaluation, sets, {name: source.benchmark for name, source in zip(names, suite, strict=True)}, own)
    if settings.predictor_data:
        _read_predictors(reader, evaluation)
    for rows in (evaluation.predictors, evaluation.benchmark):
        rows[:] = evaluation.join(rows)
    for name in settings.decontaminate:
        problems = reader.read_problems("decontaminate", name, "benchmarks", 0)
        evaluation.add(name, problems)
        for row in problems:
            reader.leave_out("decontaminate", NOT_SCORED, row, name)
    return evaluation


def _draw(
    reader: SourceReader, evaluation: EvaluationSets, sets: dict[str, list[dict]], benchmarks: dict[str, str], own: int
) -> None:
    """Draws `own` problems for Pass@k from all sets together, and each benchmark from problems that resemble none of them."""
    settings, seed = reader.settings, reader.settings.seed
    # A problem of two benchmarks is scored in both.
    every = {row["problem_id"]: row for problems in sets.values() for row in problems}
    wanted = own + (settings.benchmark_problems if len(sets) == 1 else 1)
    if not settings.benchmark_problems:  # without RL nothing is scored, so all problems may be used for Pass@k
        wanted = own = min(own, len(every))
    first, what = next(iter(sets)), "predictor and benchmark problems"
    reader.require(len(every), wanted, "evaluation", ("evaluation", first), what)
    groups = dict(zip(every, evaluation.group(every.values()), strict=True))
    firsts: dict[str, dict] = {}
    off = {row["problem_id"] for name in settings.off_target for row in sets[name]}
    for row in order_by_hash(every.values(), seed, "evaluation"):
        if row["problem_id"] not in off:
            firsts.setdefault(groups[row["problem_id"]], row)
    if settings.benchmark_problems:
        reader.require(len(firsts), own, "evaluation", ("evaluation", first), what)
    drawn = sorted(firsts, key=lambda group: hash_place(seed, "problem", group))[:own]
    evaluation.predictors = [firsts[group] for group in drawn]
    predicts = {row["problem_id"] for row in evaluation.predictors}
    shared = evaluation.find_shared(evaluation.predictors, list(every.values()))
    for name, benchmark in benchmarks.items():
        left = []
        for row in order_by_hash(sets[name], seed, "evaluation"):
            if row["problem_id"] not in shared:
                marks = {"benchmark": benchmark} | ({"off_target": 1} if name in settings.off_target else {})
                left.append(row | (marks if len(sets) > 1 else {}))
            elif row["problem_id"] not in predicts:
                reader.leave_out("benchmark", "nearly a predictor problem", row, name)
            elif row is not every[row["problem_id"]]:
                reader.leave_out("benchmark", "also a predictor problem", row, name)
            else:
                reader.kept[name, "predictors"] += 1
        usable, needed = (own + len(left), wanted) if len(sets) == 1 else (len(left), 1)
        if settings.benchmark_problems:
            reader.require(usable, needed, "evaluation", ("evaluation", name), "predictor problems are not scored")
        evaluation.benchmark += left[: settings.benchmark_problems]
        reader.kept[name, "benchmark"] += len(left[: settings.benchmark_problems])
        for row in left[settings.benchmark_problems :]:
            reader.leave_out("evaluation", UNUSED, row, name)


def _read_predictors(reader: SourceReader, evaluation: EvaluationSets) -> None:
    """Reads the problems for Pass@k from a source of their own, without those that are, or resemble, a benchmark's."""
    settings = reader.settings
    taken = {row["problem_id"] for row in evaluation.benchmark}
    problems = reader.read_problems("predictors", *reader.uses["predictors"], settings.predictor_problems, taken)
    evaluation.add(settings.predictor_data, problems)
    shared = evaluation.find_shared(evaluation.benchmark, problems)
    for row in problems:
        if row["problem_id"] in shared:
            reader.leave_out("predictors", NEAR, row, settings.predictor_data)
    kept = order_by_hash((row for row in problems if row["problem_id"] not in shared), settings.seed, "predictors")
    wanted = settings.predictor_problems if settings.benchmark_problems else 1
    reader.require(len(kept), wanted, "predictor", "predictors", "curate_predictor_problems")
    for row in kept[settings.predictor_problems :]:
        reader.leave_out("predictors", f"{NOT_DRAWN} curate_predictor_problems", row, settings.predictor_data)
    evaluation.predictors = kept[: settings.predictor_problems]
