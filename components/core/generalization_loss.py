"""Generalization loss: mean negative log-likelihood a completion token on held-out SFT examples (paper)."""

from collections.abc import Sequence

import torch

TOKENS_PER_BATCH = 4096  # small batches of like length waste little on padding


@torch.inference_mode()
def measure_losses(model, examples: Sequence[dict[str, list[int]]], pad_token_id: int) -> list[tuple[float, int]]:
    """Measures every example on its own, so the result depends neither on batch size nor on padding.

    Args:
        model: A causal language model.
        examples: `input_ids` and `labels` (-100 where there is no loss), as `prompts.encode_example` makes them.
        pad_token_id: Fills up shorter rows.

    Returns:
        For each example (summed negative log-likelihood in nats, number of completion tokens).
    """
    was_training = model.training
    model.eval()
    results: list[tuple[float, int]] = [(0.0, 0)] * len(examples)
    order = sorted(range(len(examples)), key=lambda i: -len(examples[i]["input_ids"]))
    start = 0
    while start < len(order):
        width = len(examples[order[start]]["input_ids"])
        picked = order[start : start + max(1, TOKENS_PER_BATCH // width)]
        start += len(picked)
        ids = torch.full((len(picked), width), pad_token_id)
        labels = torch.full((len(picked), width), -100)
        for row, index in enumerate(picked):
            length = len(examples[index]["input_ids"])
            ids[row, :length] = torch.tensor(examples[index]["input_ids"])
            labels[row, :length] = torch.tensor(examples[index]["labels"])
        ids, labels = ids.to(model.device), labels.to(model.device)
        # Padding stands on the right and attention is causal: it cannot reach a token that counts.
        logits = model(input_ids=ids).logits[:, :-1].float()
        targets = labels[:, 1:]
        scored = targets != -100
        losses = torch.zeros(targets.shape, dtype=torch.double, device=targets.device)
        losses[scored] = torch.nn.functional.cross_entropy(logits[scored], targets[scored], reduction="none").double()
        sums, counts = losses.sum(1).tolist(), scored.sum(1).tolist()
        for index, total, count in zip(picked, sums, counts, strict=True):
            results[index] = (total, count)
    model.train(was_training)
    return results


def mean_loss(losses: Sequence[tuple[float, int]]) -> float:
    """Returns nats per completion token over all examples."""
    return sum(total for total, _ in losses) / sum(count for _, count in losses)
