"""Problems, traces and noise of the list machine.

The problem `RS:abcd?` means: apply the moves R, then S, to the word abcd. A trace is each move followed by the word after it,
then `#` and the result: `RdcbaScdba#cdba`. A *leap* leaves out words between moves, which is shorter and more error-prone. The
answer is one exact word, so the reward needs no parser and is never in doubt.
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
    """Probabilities of errors in a trace. The base model learns from noisy traces; SFT examples have no errors."""

    wrong_letter: float = 0.0  # a word is written with one wrong letter, and the trace continues from it
    dropped_move: float = 0.0  # a move is written but not applied
    direct: float = 0.0  # the trace is the bare answer


def apply_moves(moves: str, word: str) -> str:
    """Returns the word after all moves, from left to right."""
    for move in moves:
        word = MOVES[move](word)
    return word


def write_problem(rng: random.Random, moves: int) -> tuple[str, str]:
    """Draws a problem with this many distinct moves and returns (question, answer)."""
    word = "".join(rng.choice(LETTERS) for _ in range(WORD_LENGTH))
    chosen = "".join(rng.sample(list(MOVES), moves))
    return f"{chosen}:{word}?", apply_moves(chosen, word)


def write_trace(rng: random.Random, question: str, leap: float, noise: TraceNoise = TraceNoise()) -> str:
    """Returns a trace of a question, which ends in `#` and the last word; a word is left out with the probability `leap`."""
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
    """Yields endless rows of a split: `sft` with 1 to 8 moves, `rl` and `evaluation` with 4 to 10; equal for equal seeds.

    A row has a question, an answer and, in `sft`, a solution. Half of the solutions have leaps.
    """
    rng = random.Random(f"{seed}/{split}")
    while True:
        question, answer = write_problem(rng, rng.randint(1, 8) if split == "sft" else rng.randint(4, 10))
        row = {"question": question, "answer": answer}
        if split == "sft":
            row["solution"] = write_trace(rng, question, leap=rng.choice((0.0, 0.6)))
        yield row
