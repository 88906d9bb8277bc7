"""How answers are compared with the reference answers of what RL and evaluation ask: by their value, or by their text alone."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from rlready.stages.curate.difficulty import PassRates
from rlready.stages.curate.pool import RowPool
from rlready.verifier import describe_reference

UNREADABLE = "the verifier cannot read the answer"
BY_TEXT = "nothing but the very text of the gold answer would be right"
# RL prompts that are looked at in one pass over the pool: those wanted and some more, since few leave.
SPARE, FEWEST = 1.25, 64


def draw_judged(
    pool: RowPool, rows: np.ndarray, wanted: int, rates: PassRates, find_shared: Callable, shared: str
) -> np.ndarray:
    """Returns the first rows that RL may learn from: not in another set, judged by the verifier, and of the right pass rate.

    If the verifier cannot read a reference answer, whatever RL writes is wrong; if it can match it by its text only, right
    answers in other words are wrong. Answers are looked at in the order of drawing until there are enough, since it takes a
    millisecond to understand one and a pool may hold millions; plain numbers are known already.

    Args:
        pool: Counts what is left out, of set rl.
        rows: In the order of drawing.
        wanted: How many.
        rates: The base model's pass rates, where they decide.
        find_shared: Says which rows nearly ask what another set does.
        shared: The reason why these leave.
    """
    drawn, size = np.zeros(0, np.int64), max(int(SPARE * wanted), FEWEST)
    while len(drawn) < wanted and len(rows):
        some, rows, size = rows[:size], rows[size:], 2 * size
        reasons = _find_reasons(pool, some)
        reasons[find_shared(some)] = shared
        found = rates.choose(pool, some[reasons == ""], wanted - len(drawn))
        drawn = np.append(drawn, found)
        # What stands behind the last prompt was not needed.
        passed = np.flatnonzero(some == drawn[-1])[0] if len(drawn) == wanted else len(some)
        for reason in (UNREADABLE, BY_TEXT, shared):
            pool.leave_out(some[:passed][reasons[:passed] == reason], reason, "rl")
    return drawn


def _find_reasons(pool: RowPool, rows: np.ndarray) -> np.ndarray:
    """Returns why RL cannot learn from each row, or nothing."""
    reasons = np.full(len(rows), "", object)
    places = np.flatnonzero(pool.get("plain")[rows] == 0)
    if len(places):
        kinds = [describe_reference(row["answer"], row["format"]) for row in pool.fetch(rows[places])]
        reasons[places] = [{None: UNREADABLE, "text": BY_TEXT}.get(kind, "") for kind in kinds]
    return reasons


def count_by_text(sets: Mapping[str, Iterable[dict]]) -> list[dict]:
    """Returns per set and benchmark how many problems have a reference answer that only the same text matches."""
    counted = []
    for name, rows in sets.items():
        kinds: dict[str, Counter] = {}
        for row in rows:
            kinds.setdefault(row.get("benchmark", ""), Counter())[describe_reference(row["answer"], row["format"])] += 1
        counted += [
            {"set": name, "benchmark": benchmark, "problems": found.total(), "by_text": found["text"]}
            for benchmark, found in kinds.items()
        ]
    return counted
