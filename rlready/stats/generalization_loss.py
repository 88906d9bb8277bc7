"""Generalization loss: mean negative log-likelihood per completion token on held-out SFT examples (paper)."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from rlready.stats.intervals import LEVEL, reach_t

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TOKENS_PER_BATCH = 4096  # small batches of similar length waste little on padding


def measure_losses(
    model: "PreTrainedModel", examples: Sequence[dict[str, list[int]]], pad_token_id: int
) -> list[tuple[float, int]]:
    """Measures every example on its own, so the result depends neither on batch size nor on padding.

    An example has `input_ids` and `labels` (-100 for no loss), as from `prompts.encode_example`. Returns for each example
    (summed negative log-likelihood in nats, number of completion tokens).
    """
    import torch  # here, because the gate compares losses without it
    from torch.nn.utils.rnn import pad_sequence

    was_training = model.training
    model.eval()
    results: list[tuple[float, int]] = [(0.0, 0)] * len(examples)
    order = sorted(range(len(examples)), key=lambda i: -len(examples[i]["input_ids"]))
    start = 0
    while start < len(order):
        picked = order[start : start + max(1, TOKENS_PER_BATCH // len(examples[order[start]]["input_ids"]))]
        start += len(picked)
        ids, labels = (  # (rows, width)
            pad_sequence([torch.tensor(examples[i][name]) for i in picked], True, fill).to(model.device)
            for name, fill in (("input_ids", pad_token_id), ("labels", -100))
        )
        # Padding is on the right and attention is causal, so no counted token sees it.
        with torch.inference_mode():
            logits = model(input_ids=ids).logits[:, :-1].float()  # (rows, width - 1, vocabulary)
        targets = labels[:, 1:]  # (rows, width - 1)
        scored = targets != -100  # (rows, width - 1)
        losses = torch.zeros(targets.shape, dtype=torch.double, device=targets.device)  # nats
        losses[scored] = torch.nn.functional.cross_entropy(logits[scored], targets[scored], reduction="none").double()
        sums, counts = losses.sum(1).tolist(), scored.sum(1).tolist()
        for index, total, count in zip(picked, sums, counts, strict=True):
            results[index] = (total, count)
    model.train(was_training)
    return results


def mean_loss(losses: Sequence[tuple[float, int]]) -> float:
    """Returns nats per completion token over all examples."""
    return sum(total for total, _ in losses) / sum(count for _, count in losses)


def estimate_loss_interval(losses: ArrayLike, others: ArrayLike | None = None, level: float = LEVEL) -> tuple[float, float]:
    """Returns Student's interval of the mean loss, in nats per completion token; infinite for a single example.

    Each example is one observation, because its tokens are correlated; the variance is that of a ratio, by linearization
    (Cochran 1977, chapter 6). With the losses of another model on the same examples, it is the interval of the paired
    difference. Both are from `measure_losses`.
    """
    mean, pulls = _linearize(losses)
    if others is not None:
        other_mean, other_pulls = _linearize(others)
        mean, pulls = mean - other_mean, pulls - other_pulls
    count = len(pulls)
    if count < 2:
        return -math.inf, math.inf
    half = reach_t(count - 1, level) * math.sqrt(pulls @ pulls * count / (count - 1))
    return mean - half, mean + half


def _linearize(losses: ArrayLike) -> tuple[float, np.ndarray]:
    """Returns the mean loss, and how far each example moves it."""
    sums, counts = np.asarray(losses, dtype=float).T
    mean = float(sums.sum() / counts.sum())
    return mean, (sums - mean * counts) / counts.sum()


def split_by_length(losses: Sequence[tuple[float, int]]) -> list[dict[str, float]]:
    """Returns the loss by quarter of completion length, the shortest first.

    Each quarter has `shortest` and `longest` (tokens of a completion), `loss`, and `low` and `high` (its interval).
    """
    ordered = sorted(losses, key=lambda entry: entry[1])
    described = []
    for part in np.array_split(np.array(ordered, dtype=float), min(4, len(ordered))):
        low, high = estimate_loss_interval(part)
        tokens = {"shortest": int(part[0, 1]), "longest": int(part[-1, 1])}
        described.append(tokens | {"loss": mean_loss(part.tolist()), "low": low, "high": high})
    return described
