"""Predictors: what is measured before RL and may predict its result."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import NamedTuple

import numpy as np

from rlready.analysis.comparison import Row, Setting
from rlready.stats.correlation import rank
from rlready.stats.ties import TIE

Measure = Callable[[Row], float | None]


@dataclass(frozen=True)
class Predictor:
    """Something measured before RL that may predict its result; more of it should be better."""

    label: str  # its name in the tables
    # what it consists of; with two parts, Spearman is that of their mean rank and R² that of a fit to both
    parts: tuple[Measure, ...]
    # whether it is judged on random subsets only, because it contains a loss: losses on different data distributions are not
    # comparable (paper, instance level)
    restricted: bool = False

    @property
    def short(self) -> str:
        """The label if all settings are random subsets anyway."""
        return self.label.removesuffix(" (random subsets)")

    def restrict(self) -> "Predictor":
        """Returns the same predictor, judged on random subsets only."""
        return self if self.restricted else replace(self, label=f"{self.label} (random subsets)", restricted=True)

    def measure(self, row: Row) -> list[float] | None:
        """Returns the parts, or None if one is missing or the candidate is not to be judged by them."""
        values = [value for part in self.parts if (value := part(row)) is not None]
        return values if len(values) == len(self.parts) and (not self.restricted or row.candidate.compares_loss) else None


class MainPredictors(NamedTuple):
    """The predictors that the paper compares, at the gate's k."""

    sft_pass_at_1: Predictor
    pass_at_k: Predictor
    loss: Predictor
    both: Predictor


def label_pass_at(k: int | None) -> str:
    """Returns the report's name for Pass@k."""
    return f"Pass@{k or 'k'}"


def pick_main(k: int | None) -> MainPredictors:
    """Returns the predictors that the paper compares, at the gate's k."""
    label, at_k = label_pass_at(k), attrgetter("pass_at_k")
    return MainPredictors(
        Predictor("SFT Pass@1 (T=1)", (attrgetter("sft_pass_at_1"),)),
        Predictor(label, (at_k,)),
        Predictor("Minus generalization loss (random subsets)", (_minus_loss,), restricted=True),
        Predictor(f"{label} and loss (random subsets)", (at_k, _minus_loss), restricted=True),
    )


def list_predictors(rows: list[Row], k: int | None) -> list[Predictor]:
    """Returns the predictors to judge at the gate's k: the paper's, Pass@k for every power of two, and sample statistics."""

    def at(k: int) -> Measure:
        return lambda row: row.predictors.get_pass_at(k)

    powers = {int(k) for row in rows for k, _ in row.curve if k > 1 and float(k).is_integer() and int(k) & (int(k) - 1) == 0}
    main = pick_main(k)
    curves = [Predictor(f"Pass@{power}", (at(power),)) for power in sorted(powers - {k})]
    curves.insert(sum(k is not None and power < k for power in powers), main.pass_at_k)
    pairs = [(row.corrected, row.pass_at_k) for row in rows]
    if any(one is not None and other is not None and abs(one - other) > TIE for one, other in pairs):
        curves.append(Predictor(f"Pass@{k}, corrected", (lambda row: row.corrected,)))
    if any(row.coverage_kept is not None for row in rows):
        curves.append(Predictor("Coverage kept", (lambda row: row.coverage_kept,)))
    losses = [main.loss, main.both]
    if any(not row.candidate.compares_loss and row.loss is not None for row in rows):
        losses.insert(1, Predictor("Minus generalization loss (all subsets, not comparable)", (_minus_loss,)))
    return [
        main.sft_pass_at_1,
        Predictor("SFT greedy Pass@1", (lambda row: row.predictors.greedy_pass_at_1,)),
        *curves,
        *losses,
        Predictor("Entropy", (lambda row: row.predictors.by_products.entropy,)),
        Predictor("Answer diversity", (lambda row: row.predictors.by_products.diversity,)),
        Predictor("Minus zero-variance share", (lambda row: None if (share := row.zero_variance) is None else -share,)),
    ]


def _minus_loss(row: Row) -> float | None:
    return None if row.loss is None else -row.loss


def mixes_subsets(rows: list[Row]) -> bool:
    """Returns True if candidates whose loss is not comparable have finished RL."""
    return any(row.score is not None and not row.candidate.compares_loss for row in rows)


def select_finished(rows: list[Row], *predictors: Predictor) -> list[Row]:
    """Returns the candidates that finished RL and have all of these predictors."""
    return [row for row in rows if row.score is not None and all(p.measure(row) is not None for p in predictors)]


def score_rows(rows: list[Row], predictor: Predictor) -> np.ndarray:
    """Returns one number per row to rank by: the predictor, or the mean rank of its parts among these rows."""
    columns = np.array([predictor.measure(row) for row in rows], dtype=float).reshape(len(rows), len(predictor.parts))
    return columns[:, 0] if columns.shape[1] == 1 else np.mean([rank(column) for column in columns.T], axis=0)


def score_settings(settings: list[Setting], predictor: Predictor) -> np.ndarray | None:
    """Returns a predictor's mean over the seeds of each setting; None if a candidate lacks it."""
    rows = [row for setting in settings for row in setting.rows]
    if any(predictor.measure(row) is None for row in rows):
        return None
    sizes = [len(setting.rows) for setting in settings]
    return np.array([part.mean() for part in np.split(score_rows(rows, predictor), np.cumsum(sizes)[:-1])])
