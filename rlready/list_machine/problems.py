"""Problems, traces and noise of the list machine.

A problem `RS:abcd?` asks to apply the moves R, then S, to the word abcd. A trace writes each move followed by the word
after it, and the result behind a single `#`: `RdcbaScdba#cdba`. A *leap* writes two or more moves before the next word,
which is shorter and easier to get wrong. The answer is one exact word, so a reward needs no parser and cannot be argued with.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

LETTERS = "abcdefghijkl"
WORD_LENGTH = 4


def _shift(letter: str, by: int) -> str:
    return LETTERS[(LETTERS.index(letter) + by) % len(LETTERS)]


MOVES = {
    "R": lambda w: w[::-1],
    "L": lambda w: w[1:] + w[0],
    "T": lambda w: w[-1] + w[:-1],
    "S": lambda w: w[1] + w[0] + w[2:],
    "M": lambda w: w[0] + w[2] + w[1] + w[3:],
    "E": lambda w: w[:-2] + w[-1] + w[-2],
    "U": lambda w: _shift(w[0], 1) + w[1:],
    "D": lambda w: _shift(w[0], -1) + w[1:],
    "V": lambda w: w[:-1] + _shift(w[-1], 1),
    "W": lambda w: w[:-1] + _shift(w[-1], -1),
}
ALPHABET = "".join(MOVES) + LETTERS + ":?#"


@dataclass(frozen=True)
class TraceNoise:
    """How often a trace goes wrong: the base model learns from noisy traces, SFT examples are clean.

    Attributes:
        wrong_letter: Probability that a written word has one wrong letter; the trace goes on from the wrong word.
        dropped_move: Probability that a move is written but not applied.
        direct: Probability that the trace is the bare answer.
    """

    wrong_letter: float = 0.0
    dropped_move: float = 0.0
    direct: float = 0.0


def apply_moves(moves: str, word: str) -> str:
    """Returns the word after all moves, left to right."""
    for move in moves:
        word = MOVES[move](word)
    return word


def write_problem(rng: random.Random, moves: int) -> tuple[str, str]:
    """Draws a problem with this many distinct moves and returns (question, answer)."""
    word = "".join(rng.choice(LETTERS) for _ in range(WORD_LENGTH))
    chosen = "".join(rng.sample(list(MOVES), moves))
    return f"{chosen}:{word}?", apply_moves(chosen, word)


def write_trace(rng: random.Random, question: str, leap: float, noise: TraceNoise = TraceNoise()) -> str:
    """Writes a trace of a question.

    Args:
        rng: Source of randomness.
        question: A problem as `write_problem` returns it.
        leap: Probability that a word is left out between two moves.
        noise: How often the trace goes wrong.

    Returns:
        The trace, ending in `#` and the word it arrived at.
    """
    moves, word = question.rstrip("?").split(":")
    if rng.random() < noise.direct:
        return "#" + apply_moves(moves, word)
    trace = []
    for position, move in enumerate(moves):
        if rng.random() >= noise.dropped_move:
            word = MOVES[move](word)
        trace.append(move)
        if position == len(moves) - 1 or rng.random() >= leap:
            if rng.random() < noise.wrong_letter:
                spot = rng.randrange(WORD_LENGTH)
                word = word[:spot] + rng.choice(LETTERS) + word[spot + 1 :]
            trace.append(word)
    return "".join(trace) + "#" + word


def generate_rows(split: str, seed: int) -> Iterator[dict[str, str]]:
    """Yields endless rows of one split: `sft` (1 to 8 moves, half the traces leaping), `rl` and `evaluation` (4 to 10 moves).

    Args:
        split: `sft`, `rl` or `evaluation`.
        seed: The same seed and split give the same rows.

    Yields:
        Rows with the keys question, answer and, in `sft`, solution.
    """
    rng = random.Random(f"{seed}/{split}")
    while True:
        question, answer = write_problem(rng, rng.randint(1, 8) if split == "sft" else rng.randint(4, 10))
        row = {"question": question, "answer": answer}
        if split == "sft":
            row["solution"] = write_trace(rng, question, leap=rng.choice((0.0, 0.6)))
        yield row
