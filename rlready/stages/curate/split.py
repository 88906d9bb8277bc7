"""What becomes of each row of a pool: held-out example, RL prompt or validation problem of some difficulty, SFT example."""

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np

from rlready.config import SUBSETS, Base, Curate, Sampling
from rlready.evaluation.score import score_problems
from rlready.models.load import write_pointer
from rlready.records.candidate import BaseModel
from rlready.runtime.events import Progress
from rlready.sampling.choose import open_engine
from rlready.sampling.engine import Draw
from rlready.stages.curate.card import NOT_DRAWN, Dropped
from rlready.stages.curate.evaluation import NEAR, EvaluationSets, SourceReader, find_copies
from rlready.stages.curate.pool import RowPool, hash_place
from rlready.verifier import describe_reference

PassCounter = Callable[[list[dict]], list[tuple[int, int]]]
# Minimum number of problems per call of the base model.
PROBLEMS_AT_ONCE = 64
HARD = "the base model solves it too rarely"
EASY = "the base model solves it too often"
OPEN = "the verifier cannot tell how often the base model solves it"
UNREADABLE = "the verifier cannot read the answer"
BY_TEXT = "only the exact text of the reference answer would be right"
# RL prompts that are checked in one pass over the pool: those wanted and some more, since few are left out.
SPARE, FEWEST = 1.25, 64


@contextmanager
def open_pass_counter(base: Base, sampling: Sampling, samples: int) -> Iterator[PassCounter]:
    """Yields a function from problems to (right samples, unknown samples) of each, by the base model at temperature 1.

    Samples are seeded by problem, so batches change nothing. The model is loaded at the first call.
    """
    draw = Draw(samples, sampling.max_tokens, seed=sampling.seed, stop=sampling.stop)
    with ExitStack() as opened:
        engine = None

        def count(problems: list[dict]) -> list[tuple[int, int]]:
            nonlocal engine
            if engine is None:
                folder = opened.enter_context(tempfile.TemporaryDirectory())
                write_pointer(folder, BaseModel(base.model, base.revision, base.revision))
                engine = opened.enter_context(open_engine(folder, sampling))
            progress = Progress("curate", None, samples * len(problems))
            judged = score_problems(engine, problems, draw, progress.update).judgements
            verdicts = ([judgement.right for judgement in sampled] for sampled in judged)
            return [(found.count(True), found.count(None)) for found in verdicts]

        yield count


class PassRates:
    """How many samples of the base model were right, by the id of the problem."""

    def __init__(self, settings: Curate, count_passes: PassCounter | None):
        self.settings, self.count_passes = settings, count_passes
        self.passes: dict[str, int] = {}

    def choose(self, pool: RowPool, rows: np.ndarray, wanted: int) -> np.ndarray:
        """Returns the first rows whose pass rate is within the limits, as many as wanted; without limits the first rows."""
        settings = self.settings
        if not settings.needs_pass_rates:
            return rows[:wanted]
        if self.count_passes is None:
            raise ValueError("limits of the pass rate need count_passes")
        samples = settings.pass_rate_samples
        chosen: list[int] = []
        left: dict[str, list[int]] = {HARD: [], EASY: [], OPEN: []}
        while len(chosen) < wanted and len(rows):
            some, rows = np.split(rows, [max(wanted - len(chosen), PROBLEMS_AT_ONCE)])
            problems = pool.fetch(some)
            for row, problem, (right, unknown) in zip(some, problems, self.count_passes(problems), strict=True):
                self.passes[problem["problem_id"]] = right
                least, most = right / samples, (right + unknown) / samples
                if settings.min_pass_rate <= least and most <= settings.max_pass_rate:
                    chosen.append(row)
                elif most < settings.min_pass_rate:
                    left[HARD].append(row)
                else:
                    left[EASY if least > settings.max_pass_rate else OPEN].append(row)
        for reason, numbers in left.items():
            pool.leave_out(np.array(numbers, np.int64), reason, "rl")
        return np.array(chosen[:wanted], np.int64)

    def describe_problem(self, row: dict) -> dict:
        """Returns a problem's column of right samples, if the base model was sampled."""
        return {"base_passes": self.passes[row["problem_id"]]} if self.passes else {}

    def describe(self) -> dict:
        """Returns the card's entry on difficulty, if the base model was sampled."""
        if not self.passes:
            return {}
        samples, counts = self.settings.pass_rate_samples, Counter(self.passes.values())
        limits = [self.settings.min_pass_rate, self.settings.max_pass_rate]
        by_count = [counts[right] for right in range(samples + 1)]
        return {"pass_rates": {"samples": samples, "limits": limits, "problems_by_right_samples": by_count}}


@dataclass(frozen=True)
class Split:
    """What becomes of the rows of a training source; arrays over its rows."""

    heldout: np.ndarray  # whether it is held out
    prompts: np.ndarray  # whether it is an RL prompt
    validation: np.ndarray  # whether it is a validation problem
    ranks: dict[str, np.ndarray]  # by subset; -1 if it is not an SFT example; none of the RL source


def clean_pools(evaluation: EvaluationSets, pools: list[RowPool], dropped: Dropped) -> list[np.ndarray]:
    """Leaves out duplicates, near-duplicates and what resembles an evaluation problem, and groups the rest by question.

    Returns for each pool the group of each row: the id, as a number, of the first of its near-duplicate problems in all pools;
    0 for rows that are left out.
    """
    if not pools:
        return []
    asked, ids = [], []
    for pool in pools:
        pool.note_contrary()
        pool.remove_duplicates(evaluation.threshold)
        rows, problems = pool.list_problems()
        evaluated = np.arange(len(evaluation.numbers))
        copied = evaluation.questions.find_copies(evaluated, rows + pool.first, evaluation.threshold)
        near = copied >= 0
        left = np.flatnonzero(pool.alive & np.isin(pool.get("problems"), problems[near]))
        pool.leave_out(left, NEAR)
        for place in copied[near][np.searchsorted(problems[near], pool.get("problems")[left])].tolist():
            dropped.matches[pool.use, evaluation.benchmarks[place], NEAR] += 1
        asked.append(rows[~near] + pool.first)
        ids.append(problems[~near])
    leaders = np.concatenate(ids)[evaluation.questions.group(np.concatenate(asked), evaluation.threshold)]
    found = []
    for pool, problems, led in zip(pools, ids, np.split(leaders, np.cumsum([*map(len, ids)])[:-1]), strict=True):
        groups, rows = np.zeros(len(pool), np.uint64), np.flatnonzero(pool.alive)
        groups[rows] = led[np.searchsorted(problems, pool.get("problems")[rows])]
        found.append(groups)
    return found


def draw_problems(pool: RowPool, groups: np.ndarray, seed: int) -> np.ndarray:
    """Returns one row of each group of problems, in an order that does not depend on the numbers of rows."""
    drawn = pool.order()
    named, firsts = np.unique(groups[drawn], return_index=True)
    places = [hash_place(seed, "problem", f"{group:016x}") for group in named.tolist()]
    return drawn[firsts[np.argsort(places, kind="stable")]]


def find_copies_of(
    settings: Curate, source: RowPool, problems: np.ndarray, pool: RowPool, rows: np.ndarray
) -> tuple[np.ndarray, set[str]]:
    """Returns what `find_copies` does for problems of a source and rows of a pool."""
    asked = source.fetch(problems) if settings.contamination_ngram and len(problems) else []
    texts = pool.list_questions(rows)
    return find_copies(settings, pool.questions, problems + source.first, asked, rows + pool.first, texts)


def split_pool(reader: SourceReader, pool: RowPool, groups: np.ndarray, rates: PassRates) -> Split:
    """Draws held-out problems, problems for RL and the SFT pool of the SFT source by group of problems.

    Raises InputError if there are too few rows.
    """
    settings = reader.settings
    drawn = draw_problems(pool, groups, settings.seed)
    own_rl = 0 if settings.rl_data else settings.rl_problems
    # Without RL there may be fewer held-out problems.
    wanted = settings.heldout_problems + own_rl + 1 if settings.rl_problems else 1
    reader.require(len(drawn), wanted, "SFT", "sft", "held-out and RL problems")
    first, others = np.split(drawn, [settings.heldout_problems])
    heldout = pool.alive & np.isin(groups, groups[first])

    def find_shared(rows: np.ndarray, taken: np.ndarray) -> np.ndarray:
        return find_copies_of(settings, pool, pool.list_problems(taken)[0], pool, rows)[0]

    prompts = draw_judged(pool, others, own_rl, rates, lambda rows: find_shared(rows, heldout), "nearly a held-out problem")
    reader.require(len(prompts), own_rl, "RL", "sft", "curate_rl_problems")
    asked = np.isin(np.arange(len(pool)), prompts)
    pool.leave_out(np.flatnonzero(pool.alive & np.isin(groups, groups[prompts]) & ~asked), "another row of an RL problem")
    rest = np.flatnonzero(pool.alive & ~heldout & ~asked)
    pool.leave_out(rest[find_shared(rest, heldout | asked)], "nearly a held-out or RL problem")
    in_pool = pool.order(pool.alive & ~heldout & ~asked)
    if settings.sft_examples:
        reader.require(len(in_pool), settings.sft_examples, "SFT", "sft", "curate_sft_examples")
        in_pool, spare = np.split(in_pool, [settings.sft_examples])
        pool.leave_out(spare, f"{NOT_DRAWN} curate_sft_examples")
    validation = choose_validation(settings, pool, prompts)
    return Split(heldout, asked & ~validation, validation, _rank(pool, in_pool, settings))


def draw_judged(
    pool: RowPool, rows: np.ndarray, wanted: int, rates: PassRates, find_shared: Callable, shared: str
) -> np.ndarray:
    """Returns the first rows that RL can learn from: in no other set, judged by the verifier, and with the right pass rate.

    With a reference answer that the verifier cannot read, every completion is wrong; with one that it can match only as text,
    right answers in other words are wrong. Answers are checked in the order of drawing, which is that of the rows, until there
    are enough, since each takes a millisecond and a pool may hold millions; plain numbers are known already. `find_shared`
    returns which rows resemble a problem of another set; these are left out for the reason `shared`.
    """
    drawn, size = np.zeros(0, np.int64), max(int(SPARE * wanted), FEWEST)
    while len(drawn) < wanted and len(rows):
        some, rows, size = rows[:size], rows[size:], 2 * size
        reasons = np.full(len(some), "", object)
        if len(unsure := np.flatnonzero(pool.get("plain")[some] == 0)):
            kinds = [describe_reference(row["answer"], row["format"]) for row in pool.fetch(some[unsure])]
            reasons[unsure] = [{None: UNREADABLE, "text": BY_TEXT}.get(kind, "") for kind in kinds]
        reasons[find_shared(some)] = shared
        found = rates.choose(pool, some[reasons == ""], wanted - len(drawn))
        drawn = np.append(drawn, found)
        # Rows after the last prompt were not needed.
        passed = np.flatnonzero(some == drawn[-1])[0] if len(drawn) == wanted else len(some)
        for reason in (UNREADABLE, BY_TEXT, shared):
            pool.leave_out(some[:passed][reasons[:passed] == reason], reason, "rl")
    return drawn


def choose_validation(settings: Curate, pool: RowPool, drawn: np.ndarray) -> np.ndarray:
    """Returns which rows of a pool are validation problems: the last of those drawn for RL that resemble no prompt."""
    validation = drawn[len(drawn) - min(settings.validated, len(drawn)) :]
    copied = len(validation) > 0
    while copied:  # what becomes a prompt may resemble another one
        copies, _ = find_copies_of(settings, pool, np.setdiff1d(drawn, validation), pool, validation)
        validation, copied = validation[~copies], bool(copies.any())
    return np.isin(np.arange(len(pool)), validation)


def draw_own_prompts(reader: SourceReader, pools: list[RowPool], groups: list[np.ndarray], rates: PassRates) -> Split:
    """Draws RL prompts and validation problems of the RL source, the last pool, and none of the SFT source's problems.

    Raises InputError if there are too few.
    """
    settings, pool, trained = reader.settings, pools[-1], pools[0]
    problems, used = pool.get("problems"), trained.list_problems()[0]
    if trained is not pool:
        pool.leave_out(np.flatnonzero(pool.alive & np.isin(problems, trained.get("problems"))), "also an SFT example")
        rows = np.flatnonzero(pool.alive)
        near = pool.questions.find_copies(used + trained.first, rows + pool.first, settings.near_duplicates) >= 0
        pool.leave_out(rows[near | np.isin(groups[-1][rows], groups[0][used])], "nearly an SFT example")

    def find_trained(rows: np.ndarray) -> np.ndarray:
        found = find_copies_of(settings, pool, rows, trained, used)[1] if trained is not pool else ()
        return np.isin(problems[rows], np.array([int(problem, 16) for problem in found], np.uint64))

    drawn = draw_problems(pool, groups[-1], settings.seed)
    drawn = draw_judged(pool, drawn, settings.rl_problems, rates, find_trained, "nearly an SFT example")
    chosen = np.isin(np.arange(len(pool)), drawn)
    pool.leave_out(np.flatnonzero(pool.alive & ~chosen), f"{NOT_DRAWN} curate_rl_problems")
    reader.require(len(drawn), settings.rl_problems, "RL", "rl", "curate_rl_problems")
    validation = choose_validation(settings, pool, drawn)
    return Split(np.zeros_like(chosen), chosen & ~validation, validation, {})


def _rank(pool: RowPool, rows: np.ndarray, settings: Curate) -> dict[str, np.ndarray]:
    rows = rows[np.argsort(pool.get("keys")[rows], kind="stable")]
    by_tokens = settings.match == "tokens"
    lengths = pool.get("tokens" if by_tokens else "lengths")[rows].astype(np.int64)
    ranked = {}
    for subset, ranking in rank_subsets(lengths, by_tokens).items():
        ranked[subset] = np.full(len(pool), -1, np.int64)
        ranked[subset][rows] = ranking
    return ranked


def rank_subsets(lengths: np.ndarray, by_tokens: bool) -> dict[str, np.ndarray]:
    """Returns the rank of every example in each subset; the n examples of a subset are those of rank below n.

    The lengths are in the random order, which breaks ties; `mixed` alternates between the shortest and longest. If they are
    tokens (`by_tokens`), a subset of n examples is as many as fit into the tokens of the first n of the random order.
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
