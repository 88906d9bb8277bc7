"""Generalization loss: mean negative log-likelihood a completion token on held-out SFT examples (paper)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from transformers import PreTrainedModel

BOOTSTRAP_DRAWS = 2000
QUARTILES = 4
TOKENS_PER_BATCH = 4096  # small batches of like length waste little on padding


def measure_losses(
    model: "PreTrainedModel", examples: Sequence[dict[str, list[int]]], pad_token_id: int
) -> list[tuple[float, int]]:
    """Measures every example on its own, so the result depends neither on batch size nor on padding.

    Args:
        model: A causal language model.
        examples: `input_ids` and `labels` (-100 where there is no loss), as `prompts.encode_example` makes them.
        pad_token_id: Fills up shorter rows.

    Returns:
        For each example (summed negative log-likelihood in nats, number of completion tokens).
    """
    import torch  # here, because the gate compares losses without it

    was_training = model.training
    model.eval()
    results: list[tuple[float, int]] = [(0.0, 0)] * len(examples)
    order = sorted(range(len(examples)), key=lambda i: -len(examples[i]["input_ids"]))
    start = 0
    while start < len(order):
        width = len(examples[order[start]]["input_ids"])
        picked = order[start : start + max(1, TOKENS_PER_BATCH // width)]
        start += len(picked)
        ids = torch.full((len(picked), width), pad_token_id)  # (rows, width)
        labels = torch.full((len(picked), width), -100)  # (rows, width)
        for row, index in enumerate(picked):
            length = len(examples[index]["input_ids"])
            ids[row, :length] = torch.tensor(examples[index]["input_ids"])
            labels[row, :length] = torch.tensor(examples[index]["labels"])
        ids, labels = ids.to(model.device), labels.to(model.device)
        # Padding stands on the right and attention is causal: it cannot reach a token that counts.
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


def estimate_loss_interval(losses: ArrayLike, others: ArrayLike | None = None, level: float = 0.95) -> tuple[float, float]:
    """Returns the bootstrap interval of the mean loss; whole examples are drawn, because tokens of one go together.

    Args:
        losses: From `measure_losses`.
        others: Another model's on the same examples: the interval is then that of the difference, each example compared
            with itself, so that what is hard for both models cancels out.
        level: Coverage.

    Returns:
        (low, high) in nats per completion token.
    """
    count = len(np.asarray(losses))
    picks = np.random.default_rng(0).integers(0, count, (BOOTSTRAP_DRAWS, count))  # (draws, examples)
    means = []  # (draws,) each
    for measured in (losses, others) if others is not None else (losses,):
        sums, counts = np.array(measured, dtype=float).T
        means.append(sums[picks].sum(1) / counts[picks].sum(1))
    drawn = means[0] - means[1] if others is not None else means[0]
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def split_by_length(losses: Sequence[tuple[float, int]]) -> list[dict[str, float]]:
    """Returns the loss by quartile of completion length, the shortest first.

    Args:
        losses: From `measure_losses`.

    Returns:
        For each quartile: shortest and longest (completion tokens), loss, low and high (its interval).
    """
    ordered = sorted(losses, key=lambda entry: entry[1])
    parts = [part for part in np.array_split(np.array(ordered, dtype=float), QUARTILES) if len(part)]
    described = []
    for part in parts:
        low, high = estimate_loss_interval(part)
        shortest, longest = int(part[0, 1]), int(part[-1, 1])
        described.append({"shortest": shortest, "longest": longest, "loss": mean_loss(part.tolist()), "low": low, "high": high})
    return described
