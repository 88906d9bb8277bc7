"""Turns sources into training, held-out, RL and evaluation sets that share no problem."""

import itertools
import json
import shutil
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rlready.components.config import SUBSETS, Curate, InputError, needs_pass_rates
from rlready.components.core.registry import (
    BUILTIN,
    Source,
    find_benchmarks,
    find_source,
    get_mirror,
    list_benchmarks,
    list_sources,
)
from rlready.components.core.serialization import write_atomically
from rlready.components.core.sources import Chunk, check_rows, inspect, read_chunks, read_problem
from rlready.components.curate.card import EXAMPLES_OF_A_REASON, Dropped, describe_card
from rlready.components.curate.contamination import Contamination
from rlready.components.curate.digest import RowsDigest
from rlready.components.curate.pool import Pool, hash_place, split_tables
from rlready.components.curate.refine import Refiner, refine_all

ROWS_AT_ONCE = 8192
TABLES_AHEAD = 2
# Rows of an endless source that are made for each one wanted, where limits leave most of them out.
MOST_TRIES = 20
COLUMNS = ["problem_id", "question", "answer", "format", "solution"]
# Problems of an endless source that are made for each RL prompt wanted, where the base model's pass rate decides.
PROBLEMS_A_PROMPT = 16
# Fewest problems that the base model is asked at once.
PROBLEMS_AT_ONCE = 64
Tokenizer = Callable[[list[str]], list[int]]
PassCounter = Callable[[list[dict]], list[int]]


def curate(
    settings: Curate,
    revisions: dict[str, str],
    out: Path,
    count_tokens: Tokenizer | None = None,
    count_passes: PassCounter | None = None,
) -> dict:
    """Writes sft, heldout, rl, predictors and benchmark as Parquet, with a card.

    Training problems that are evaluation problems, exactly or nearly, leave first, then duplicates and near-duplicates; then
    held-out problems, RL prompts and the SFT pool are drawn by problem, where near-duplicate questions count as one. A subset
    of n examples is the rows of rank below n in its rank column (`rank_random`, `rank_shortest`, ...), so subsets are nested
    and no candidate changes another's data. Order of rows in the sources has no influence: a problem's place is a hash of
    the seed and its text. Texts stay on disk, so millions of rows need no more memory than their numbers.

    Args:
        settings: Sources, counts, thresholds and seed.
        revisions: Digest or commit of each source, as plan found it.
        out: Folder to write; appears only when complete.
        count_tokens: Counts tokens of texts, where the settings need that.
        count_passes: Counts the base model's right samples of problems, where the settings need that.

    Returns:
        The card: revisions, counts, length quantiles, digests, and what was left out and why, with examples.

    Raises:
        InputError: If a source is unreadable or has changed, or too few rows remain.
    """
    out, partial = Path(out), Path(f"{out}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    # Arrow's own allocator takes half as long again for millions of rows (mimalloc in pyarrow 25).
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        card = Curation(settings, revisions, partial, count_tokens, count_passes).run()
        write_atomically(partial / "card.json", json.dumps(card, indent=2))
        write_atomically(partial / "card.md", describe_card(card))
        if out.exists():
            out.rmdir()
        partial.rename(out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return card


class Curation:
    """One run of `curate`: what its steps share."""

    def __init__(
        self,
        settings: Curate,
        revisions: dict[str, str],
        folder: Path,
        count_tokens: Tokenizer | None,
        count_passes: PassCounter | None,
    ):
        self.settings, self.revisions, self.folder = settings, revisions, folder
        self.count_tokens, self.count_passes = count_tokens, count_passes
        # Right samples of the base model by problem.
        self.passes: dict[str, int] = {}
        self.dropped = Dropped()
        self.sources: dict[str, dict] = {}
        self.uses = list_sources(settings)
        self.evaluated = Contamination(settings.contamination_ngram, settings.contamination_overlap)

    def run(self) -> dict:
        """Writes the sets and returns the card."""
        settings = self.settings
        predictors, benchmark = self._read_evaluation()
        pool = self._fill("sft")
        alive = self._remove_duplicates(pool, "sft")
        groups = self._group_problems(pool, alive)
        drawn = pool.order(alive)
        drawn = drawn[np.sort(np.unique(groups[drawn], return_index=True)[1])]
        own_rl = 0 if settings.rl_data else settings.rl_problems
        self._require(len(drawn), settings.heldout_problems + own_rl + 1, "SFT", "sft", "held-out and RL problems")
        heldout, rest = np.split(drawn, [settings.heldout_problems])
        prompts = self._draw_prompts(pool, rest, own_rl)
        is_heldout = alive & np.isin(groups, groups[heldout])
        in_pool = pool.order(alive & ~is_heldout & ~np.isin(groups, groups[prompts]))
        if settings.sft_examples:
            in_pool = in_pool[: settings.sft_examples]
            self._require(len(in_pool), settings.sft_examples, "SFT", "sft", "curate_sft_examples")
        ranks = self._rank(pool, in_pool)

        is_prompt = np.isin(np.arange(len(pool)), prompts)
        held, asked = [], []

        def choose() -> Iterator[pa.Table]:
            for table in self._read(pool, "sft"):
                numbers, rows = table["row"].to_numpy(), table.select(COLUMNS)
                ranked = ranks["random"][numbers] >= 0
                held.extend(rows.filter(is_heldout[numbers] & ~ranked).to_pylist())
                asked.extend(rows.filter(is_prompt[numbers] & ~is_heldout[numbers] & ~ranked).to_pylist())
                chosen = rows.filter(ranked)
                for subset in SUBSETS:
                    chosen = chosen.append_column(f"rank_{subset}", pa.array(ranks[subset][numbers[ranked]]))
                yield chosen

        sets = {"sft": self._write("sft", choose())}
        sets["heldout"] = self._write("heldout", make_table(order_by_hash(held, settings.seed, "heldout")))
        asked = order_by_hash(self._read_prompts(pool) if settings.rl_data else asked, settings.seed, "rl")
        sets["rl"] = self._write("rl", make_table(self._describe_prompt(row) for row in asked))
        sets["predictors"] = self._write("predictors", make_table(predictors))
        sets["benchmark"] = self._write("benchmark", make_table(benchmark))
        shutil.rmtree(self.folder / "spool", ignore_errors=True)
        matches = self.dropped.describe_matches()
        dropped = self.dropped.describe()
        return {
            "sources": self.sources,
            "seed": settings.seed,
            "sets": sets,
            "dropped": dropped,
            "contamination": matches,
        } | self._describe_pass_rates()

    def _open(self, use: str, name: str, registry: str) -> tuple[Source, Iterator[Chunk]]:
        """Returns a source and its raw rows, and writes down what it was."""
        settings = self.settings
        source = find_source(name, registry, settings.sources, get_mirror(settings.mirror))
        revision = self.revisions.get(source.key, "")
        if source.path and inspect(source, settings.seed).digest != revision:
            raise InputError(f"{name}: has changed since plan looked at it ({revision}); start the run again")
        described = self.sources[source.key] = {"revision": revision, "rows": None, "licence": source.licence}

        def read() -> Iterator[Chunk]:
            rows = 0
            for chunk in read_chunks(source, use, settings.seed, revision):
                rows += len(chunk)
                yield chunk
            check_rows(source, rows)
            described["rows"] = rows

        return source, read()

    def _read_all(self, use: str, name: str, registry: str, wanted: int, taken: set[str] = frozenset()) -> list[dict]:
        """Returns the well-formed problems of an evaluation set, each once; of an endless one as many as wanted."""
        rows, seen = [], set()
        split = "evaluation" if use == "decontaminate" else use
        source, chunks = self._open(split, name, registry)
        for place, raw in itertools.chain.from_iterable(chunk.read() for chunk in chunks):
            try:
                row = read_problem(raw, False, source)
            except InputError as error:
                self.dropped.add(use, str(error), place)
                continue
            if row["problem_id"] in seen:
                self.dropped.add(use, "duplicate", place)
            elif row["problem_id"] in taken:
                self.dropped.add(use, "also an evaluation problem", place)
            else:
                seen.add(row["problem_id"])
                rows.append(row)
            if name == BUILTIN and len(rows) == wanted:
                break
        if not rows:
            raise InputError(f"{name}: no usable {use} row ({self.dropped.count(use) or 'the source is empty'})")
        return rows

    def _read_evaluation(self) -> tuple[list[dict], list[dict]]:
        """Returns the predictors' and the benchmarks' problems, after keeping all that are evaluated for the comparison."""
        settings, seed = self.settings, self.settings.seed
        own = 0 if settings.predictor_data else settings.predictor_problems
        wanted = own + settings.benchmark_problems
        names = list_benchmarks(settings)
        suite = find_benchmarks(names, settings.sources, get_mirror(settings.mirror))
        read = {}
        for name, source in zip(names, suite, strict=True):
            problems = self._read_all("evaluation", name, "benchmarks", wanted)
            self.evaluated.add(name, problems)
            read[source.benchmark] = order_by_hash(problems, seed, "evaluation")
        # A problem of two benchmarks is scored in both.
        every = {row["problem_id"]: row for problems in read.values() for row in problems}
        needed = wanted if len(suite) == 1 else own + 1
        self._require(len(every), needed, "evaluation", ("evaluation", names[0]), "predictor and benchmark problems")
        predictors = order_by_hash(every.values(), seed, "evaluation")[:own]
        taken = {row["problem_id"] for row in predictors}
        benchmark = []
        for named, (name, problems) in zip(names, read.items(), strict=True):
            left = [row for row in problems if row["problem_id"] not in taken][: settings.benchmark_problems]
            self._require(len(left), 1, "evaluation", ("evaluation", named), "a problem that predicts is not scored")
            benchmark += [row | {"benchmark": name} for row in left] if len(suite) > 1 else left
        if settings.predictor_data:
            taken = {row["problem_id"] for row in benchmark}
            number = settings.predictor_problems
            predictors = self._read_all("predictors", *self.uses["predictors"], number, taken)
            self.evaluated.add(settings.predictor_data, predictors)
            self._require(len(predictors), number, "predictor", "predictors", "curate_predictor_problems")
            predictors = order_by_hash(predictors, seed, "predictors")[:number]
        for name in settings.decontaminate:
            self.evaluated.add(name, self._read_all("decontaminate", name, "benchmarks", 0))
        return predictors, benchmark

    def _fill(self, use: str) -> Pool:
        """Reads a training source, leaves out what is malformed, evaluated or of the wrong length, and returns the rest."""
        settings, pool = self.settings, Pool(self.folder / "spool" / use)
        name, registry = self.uses[use]
        source, chunks = self._open(use, name, registry)
        if name == BUILTIN:
            wanted = settings.rl_problems * (PROBLEMS_A_PROMPT if needs_pass_rates(settings) else 1)
            if use == "sft":
                own_rl = 0 if settings.rl_data else wanted
                wanted = settings.sft_examples + settings.heldout_problems + own_rl
            chunks = self._take_until(pool, wanted, chunks)
        refiner = Refiner(use, source, settings, self.evaluated, self.count_tokens)
        for refined in refine_all(refiner, chunks):
            for reason, place in refined.dropped:
                self.dropped.add(use, reason, place)
            for place, question, match, exact in refined.matches:
                self.dropped.add_match(use, place, question, match, exact)
            if refined.texts:
                pool.add(refined.texts, refined.numbers)
            if refined.questions:
                pool.questions.add(*refined.questions)
            if refined.examples:
                pool.examples.add(*refined.examples)
        if not len(pool):
            raise InputError(f"{name}: no usable {use} row ({self.dropped.count(use) or 'the source is empty'})")
        return pool

    def _take_until(self, pool: Pool, wanted: int, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        """Yields rows of an endless source until the pool has as many as wanted, or most of them are of no use."""
        asked = 0
        while (missing := wanted - len(np.unique(pool.get("places")))) > 0 and asked < MOST_TRIES * wanted:
            for chunk in itertools.islice(chunks, missing):
                asked += 1
                yield chunk

    def _remove_duplicates(self, pool: Pool, use: str) -> np.ndarray:
        """Returns which rows remain; the others are told of when their texts are read again."""
        twice = pool.find_duplicates()
        alive = ~twice
        self._leave_out(pool, np.flatnonzero(twice), use, "duplicate")
        if self.settings.near_duplicates:
            texts = pool.examples if use == "sft" else pool.questions
            near = texts.find(pool.order(alive), self.settings.near_duplicates)
            alive[list(near)] = False
            self._leave_out(pool, np.array(list(near), np.int64), use, "near-duplicate")
            pool.pairs = list(near.items())[:EXAMPLES_OF_A_REASON]
        return alive

    def _group_problems(self, pool: Pool, alive: np.ndarray) -> np.ndarray:
        """Returns a number for each row's problem; near-duplicate questions have the same, so no split comes between them."""
        problems, groups = np.unique(pool.get("problems"), return_inverse=True)
        if self.settings.near_duplicates:
            rows = pool.order(alive)
            rows = rows[np.sort(np.unique(groups[rows], return_index=True)[1])]
            same = np.arange(len(problems))
            for row, stays in pool.questions.find(rows, self.settings.near_duplicates).items():
                same[groups[row]] = groups[stays]
            groups = same[groups]
        return groups

    def _draw_prompts(self, pool: Pool, rows: np.ndarray, wanted: int) -> np.ndarray:
        """Returns the first rows whose answer the verifier can read: one that it cannot would be wrong whatever RL writes."""
        readable = pool.get("readable")[rows] > 0
        drawn = self._choose_by_pass_rate(pool, rows[readable], wanted)
        if wanted:
            passed = rows[: np.flatnonzero(rows == drawn[-1])[0] + 1 if len(drawn) == wanted else None]
            self._leave_out(pool, passed[~readable[: len(passed)]], "rl", "the verifier cannot read the answer")
        self._require(len(drawn), wanted, "RL", "sft", "curate_rl_problems")
        return drawn

    def _choose_by_pass_rate(self, pool: Pool, rows: np.ndarray, wanted: int) -> np.ndarray:
        """Returns the first rows that the base model solves neither too rarely nor too often; the first ones if all do."""
        settings, samples = self.settings, self.settings.pass_rate_samples
        if not needs_pass_rates(settings):
            return rows[:wanted]
        chosen, hard, easy = [], [], []
        while len(chosen) < wanted and len(rows):
            some, rows = np.split(rows, [max(wanted - len(chosen), PROBLEMS_AT_ONCE)])
            problems = self._fetch(pool, some)
            for row, problem, right in zip(some, problems, self.count_passes(problems), strict=True):
                self.passes[problem["problem_id"]] = right
                rate = right / samples
                kind = hard if rate < settings.min_pass_rate else easy if rate > settings.max_pass_rate else chosen
                kind.append(row)
        self._leave_out(pool, np.array(hard, np.int64), "rl", "the base model solves it too rarely")
        self._leave_out(pool, np.array(easy, np.int64), "rl", "the base model solves it too often")
        return np.array(chosen[:wanted], np.int64)

    def _fetch(self, pool: Pool, rows: np.ndarray) -> list[dict]:
        """Returns the problems of some rows, in their order."""
        asked, problems = np.zeros(len(pool), bool), {}
        asked[rows] = True
        for table in pool.spool.read():
            some = table.filter(asked[table["row"].to_numpy()]).to_pylist()
            problems |= {row["row"]: {name: row[name] for name in COLUMNS[:-1]} for row in some}
        return [problems[row] for row in rows.tolist()]

    def _describe_prompt(self, row: dict) -> dict:
        """Returns a row of the RL set; where the base model was asked, with how many of its samples were right."""
        prompt = {name: row[name] for name in COLUMNS[:-1]}
        return prompt | ({"base_passes": self.passes[row["problem_id"]]} if self.passes else {})

    def _describe_pass_rates(self) -> dict:
        """Returns the part of the card on difficulty, where it was asked for."""
        if not self.passes:
            return {}
        samples, counts = self.settings.pass_rate_samples, Counter(self.passes.values())
        limits = [self.settings.min_pass_rate, self.settings.max_pass_rate]
        by_count = [counts[right] for right in range(samples + 1)]
        return {"pass_rates": {"samples": samples, "limits": limits, "problems_by_right_samples": by_count}}

    def _read_prompts(self, examples: Pool) -> list[dict]:
        """Returns RL prompts from a source of their own that share no problem with the SFT examples."""
        pool, wanted = self._fill("rl"), self.settings.rl_problems
        alive = self._remove_duplicates(pool, "rl")
        shared = alive & np.isin(pool.get("problems"), examples.get("problems"))
        self._leave_out(pool, np.flatnonzero(shared), "rl", "also an SFT example")
        chosen = np.zeros(len(pool), bool)
        chosen[self._choose_by_pass_rate(pool, pool.order(alive & ~shared), wanted)] = True
        prompts = []
        for table in self._read(pool, "rl"):
            prompts += table.select(COLUMNS).filter(chosen[table["row"].to_numpy()]).to_pylist()
        self._require(len(prompts), wanted, "RL", "rl", "curate_rl_problems")
        return prompts

    def _rank(self, pool: Pool, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Returns each row's rank in each subset, -1 for rows that are not in the pool."""
        rows = rows[np.argsort(pool.get("keys")[rows], kind="stable")]
        by_tokens = self.settings.match == "tokens"
        ranks = rank_subsets(pool.get("tokens" if by_tokens else "lengths")[rows].astype(np.int64), by_tokens)
        ranked = {}
        for subset, ranking in ranks.items():
            ranked[subset] = np.full(len(pool), -1, np.int64)
            ranked[subset][rows] = ranking
        return ranked

    def _leave_out(self, pool: Pool, rows: np.ndarray, use: str, reason: str) -> None:
        """Counts rows that leave; where they stand is known when their texts are read again."""
        if len(rows):
            self.dropped.counts[use, reason] += len(rows)
            pool.leave_out(rows, use, reason)

    def _read(self, pool: Pool, use: str) -> Iterator[pa.Table]:
        """Yields rows with their numbers in the order of writing, and notes where those stand that were left out."""
        asked = {number: {} for pair in pool.pairs for number in pair}
        for table in pool.spool.read():
            numbers = table["row"].to_numpy()
            if len(pool.reasons):
                for place in np.flatnonzero(pool.reasons[numbers]).tolist():
                    self.dropped.locate(*pool.told[pool.reasons[numbers[place]]], table["place"][place].as_py())
            for place in np.flatnonzero(np.isin(numbers, list(asked))).tolist():
                asked[numbers[place]] = table.slice(place, 1).to_pylist()[0]
            yield table
        for row, stays in pool.pairs:
            texts = (asked[row]["question"], asked[stays]["question"])
            self.dropped.show(use, "near-duplicate", asked[row]["place"], *texts)

    def _require(self, rows: int, wanted: int, name: str, use: str | tuple[str, str], what: str) -> None:
        if rows < wanted:
            left_out = "; ".join(filter(None, map(self.dropped.count, dict.fromkeys((use, name.lower())))))
            raise InputError(
                f"{self.uses[use][0]}: {wanted} {name} rows wanted ({what}), {rows} usable"
                f"{f' ({left_out})' if left_out else ''}; ask for fewer or add data"
            )

    def _write(self, name: str, tables: Iterable[pa.Table]) -> dict:
        """Writes a set and returns its entry of the card."""
        digest, problems, lengths, writer, waiting = RowsDigest(), [], [], None, deque()

        def append(table: pa.Table) -> None:
            digest.update(table)
            writer.write_table(table)
            problems.append(np.frombuffer(bytes.fromhex("".join(table["problem_id"].to_pylist())), ">u8"))
            lengths.append(pc.utf8_length(table["solution" if "solution" in table.column_names else "question"]))

        # Tables are written while the next ones are read and sorted.
        with ThreadPoolExecutor(1) as thread:
            for table in split_tables(tables, ROWS_AT_ONCE):
                writer = writer or pq.ParquetWriter(self.folder / f"{name}.parquet", table.schema)
                waiting.append(thread.submit(append, table))
                if len(waiting) > TABLES_AHEAD:
                    waiting.popleft().result()
            for written in waiting:
                written.result()
        writer.close()
        quantiles = np.quantile(np.concatenate(lengths), (0.1, 0.5, 0.9)).tolist()
        return {
            "rows": sum(map(len, problems)),
            "problems": len(np.unique(np.concatenate(problems))),
            "digest": digest.hexdigest()[:16],
            "characters": dict(zip(("p10", "p50", "p90"), quantiles, strict=True)),
        }


def make_table(rows: Iterable[dict]) -> list[pa.Table]:
    """Returns a table of rows of which some may lack a column, such as the number of options."""
    rows = list(rows)
    kinds = {name: pa.string() if isinstance(value, str) else pa.int64() for row in rows for name, value in row.items()}
    return [pa.Table.from_pylist(rows, pa.schema(list(kinds.items())))]


def order_by_hash(rows: Iterable[dict], seed: int, purpose: str) -> list[dict]:
    """Returns rows in a seeded order that depends on their contents only."""
    return sorted(rows, key=lambda row: hash_place(seed, purpose, row["problem_id"], row.get("solution", "")))


def rank_subsets(lengths: np.ndarray, by_tokens: bool = False) -> dict[str, np.ndarray]:
    """Returns a rank for each subset kind; the n examples of a subset are those of rank below n.

    Args:
        lengths: Of each example, in the random order; ties are broken by that order. mixed takes the shortest and the
            longest in turn.
        by_tokens: Whether a subset of n examples shall instead have at most as many tokens as the first n of the random order,
            and as many examples as fit; lengths are tokens then.

    Returns:
        For each subset, the rank of every example.
    """
    shortest, longest = np.argsort(lengths, kind="stable"), np.argsort(-lengths, kind="stable")
    mixed = np.stack([shortest, longest], 1).ravel()
    mixed = mixed[np.sort(np.unique(mixed, return_index=True)[1])]
    ranks = {}
    for subset, order in zip(SUBSETS, (np.arange(len(lengths)), shortest, longest, mixed), strict=True):
        ranks[subset] = np.empty(len(lengths), np.int64)
        budget, needed = np.cumsum(lengths), np.cumsum(lengths[order])
        ranks[subset][order] = np.searchsorted(budget, needed) if by_tokens else np.arange(len(lengths))
    return ranks
