"""What becomes of each row of the pool: held out, an RL prompt, an SFT example of some rank, or nothing."""

from dataclasses import dataclass

import numpy as np

from rlready.components.config import SUBSETS, Curate
from rlready.components.curate.card import Dropped
from rlready.components.curate.difficulty import PassRates
from rlready.components.curate.evaluation import NEAR, EvaluationSets
from rlready.components.curate.golds import draw_judged
from rlready.components.curate.pool import EXAMPLE, RowPool
from rlready.components.curate.reader import SourceReader


@dataclass(frozen=True)
class Split:
    """What becomes of the rows of the SFT source; arrays over its rows.

    Attributes:
        heldout: Whether it is held out.
        prompts: Whether it is an RL prompt.
        ranks: Its rank in each subset, -1 where it is not an SFT example.
    """

    heldout: np.ndarray
    prompts: np.ndarray
    ranks: dict[str, np.ndarray]


def clean_pools(
    evaluation: EvaluationSets, pools: list[RowPool], dropped: Dropped
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Leaves out duplicates, near-duplicates and what is near to an evaluation problem, and groups the rest by question.

    Args:
        evaluation: The evaluation problems.
        pools: The training sources.
        dropped: Counts what is left out.

    Returns:
        For each pool: whether each row stays; and a number for each row's problem, in all pools the same for near-duplicate
        questions, so that no split comes between them.
    """
    alive = [pool.remove_duplicates(evaluation.threshold) for pool in pools]
    found = group_problems(evaluation, pools, alive)
    for pool, stays, groups in zip(pools, alive, found, strict=True):
        near = np.flatnonzero(stays & (groups < len(evaluation.benchmarks)))
        stays[near] = False
        pool.leave_out(near, NEAR)
        for group in groups[near].tolist():
            dropped.matches[pool.use, evaluation.benchmarks[group], NEAR] += 1
    return list(zip(alive, found, strict=True))


def group_problems(evaluation: EvaluationSets, pools: list[RowPool], alive: list[np.ndarray]) -> list[np.ndarray]:
    """Returns a number for each row's problem: that of an evaluation problem where one is near, else one beyond those."""
    first, numbered, rows = len(evaluation.benchmarks), [], [np.arange(len(evaluation.benchmarks))]
    for pool, stays in zip(pools, alive, strict=True):
        # By the first of the rows that ask the same problem; a problem of which no row stays needs no place.
        drawn = pool.order(stays)
        problems, firsts, inverse = np.unique(pool.get("problems")[drawn], return_index=True, return_inverse=True)
        numbers = np.full(len(pool), -1)
        numbers[drawn] = first + inverse
        first += len(problems)
        numbered.append(numbers)
        rows.append(drawn[firsts] + pool.first)
    rows = np.concatenate(rows)
    groups = evaluation.questions.group(rows, evaluation.threshold) if evaluation.threshold else np.arange(len(rows))
    return [np.where(numbers < 0, -1, groups[numbers]) for numbers in numbered]


def split_pool(reader: SourceReader, pool: RowPool, alive: np.ndarray, groups: np.ndarray, rates: PassRates) -> Split:
    """Draws held-out problems, RL prompts and the SFT pool by problem, near-duplicate questions counting as one.

    Args:
        reader: Settings, and counts for messages.
        pool: The SFT source.
        alive: Whether each row stays.
        groups: Number of each row's problem.
        rates: The base model's pass rates, where they decide.

    Raises:
        InputError: If there are too few rows.
    """
    settings = reader.settings
    drawn = pool.order(alive)
    drawn = drawn[np.sort(np.unique(groups[drawn], return_index=True)[1])]
    own_rl = 0 if settings.rl_data else settings.rl_problems
    # Without RL nothing else is drawn from what is held out: there may be fewer.
    wanted = settings.heldout_problems + own_rl + 1 if settings.rl_problems else 1
    reader.require(len(drawn), wanted, "SFT", "sft", "held-out and RL problems")
    heldout, rest = np.split(drawn, [settings.heldout_problems])
    prompts = _draw_prompts(reader, pool, rest, own_rl, rates)
    is_heldout = alive & np.isin(groups, groups[heldout])
    in_pool = pool.order(alive & ~is_heldout & ~np.isin(groups, groups[prompts]))
    if settings.sft_examples:
        in_pool = in_pool[: settings.sft_examples]
        reader.require(len(in_pool), settings.sft_examples, "SFT", "sft", "curate_sft_examples")
    return Split(is_heldout, np.isin(np.arange(len(pool)), prompts), _rank(pool, in_pool, settings))


def _draw_prompts(reader: SourceReader, pool: RowPool, rows: np.ndarray, wanted: int, rates: PassRates) -> np.ndarray:
    """Returns the first rows that RL may learn from, as many as wanted."""
    drawn = draw_judged(pool, rows, wanted, rates)
    reader.require(len(drawn), wanted, "RL", "sft", "curate_rl_problems")
    return drawn


def draw_own_prompts(
    reader: SourceReader, pool: RowPool, alive: np.ndarray, shared: np.ndarray, near: np.ndarray, rates: PassRates
) -> list[dict]:
    """Returns RL prompts from a source of their own that share no problem with the SFT source.

    Args:
        reader: Settings, and counts for messages.
        pool: The RL source.
        alive: Whether each row stays.
        shared: Whether its problem is in the SFT source.
        near: Whether a near-duplicate of it is.
        rates: The base model's pass rates, where they decide.

    Raises:
        InputError: If there are too few.
    """
    settings = reader.settings
    pool.leave_out(np.flatnonzero(alive & shared), "also an SFT example")
    pool.leave_out(np.flatnonzero(alive & near & ~shared), "nearly an SFT example")
    chosen = np.zeros(len(pool), bool)
    chosen[draw_judged(pool, pool.order(alive & ~shared & ~near), settings.rl_problems, rates)] = True
    prompts = []
    for table in pool.read():
        prompts += table.select(EXAMPLE).filter(chosen[table["row"].to_numpy()]).to_pylist()
    reader.require(len(prompts), settings.rl_problems, "RL", "rl", "curate_rl_problems")
    return prompts


def _rank(pool: RowPool, rows: np.ndarray, settings: Curate) -> dict[str, np.ndarray]:
    """Returns each row's rank in each subset, -1 for rows that are not among these."""
    rows = rows[np.argsort(pool.get("keys")[rows], kind="stable")]
    by_tokens = settings.match == "tokens"
    lengths = pool.get("tokens" if by_tokens else "lengths")[rows].astype(np.int64)
    ranked = {}
    for subset, ranking in rank_subsets(lengths, by_tokens).items():
        ranked[subset] = np.full(len(pool), -1, np.int64)
        ranked[subset][rows] = ranking
    return ranked


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
