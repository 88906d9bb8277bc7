"""Attention for decoding with grouped queries, without the copies that transformers makes of every key and value.

transformers 5.17 repeats the whole cache for each query head where there is a mask, at every token and layer; on the CPU
that took most of the time of sampling from SmolLM2-135M. One new token needs no causal mask, so the query heads that share
a key can be treated as the tokens of one attention.
"""

import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask

NAME = "rlready_grouped"


def attend_grouped(module, query, key, value, attention_mask, scaling=None, **kwargs):
    """Returns what transformers' sdpa attention returns, with the shapes (rows, tokens, heads, size) and no weights.

    Args:
        module: The attention layer.
        query: Shape (rows, heads, tokens, size).
        key: Shape (rows, key heads, length, size).
        value: Like key.
        attention_mask: Shape (rows, 1, tokens, length), or None.
        scaling: Factor of the scores.
        **kwargs: Passed on.
    """
    rows, heads, tokens, size = query.shape
    shared = key.shape[1]
    if tokens > 1 or heads == shared:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    side_by_side = query.reshape(rows, shared, heads // shared, size)  # the heads that share a key as tokens
    attended = torch.nn.functional.scaled_dot_product_attention(
        side_by_side, key, value, attn_mask=attention_mask, scale=scaling
    )
    return attended.reshape(rows, 1, heads, size), None


def use_grouped_attention(model) -> None:
    """Makes a model that uses sdpa attention decode with `attend_grouped`; its training is not touched."""
    AttentionInterface.register(NAME, attend_grouped)
    ALL_MASK_ATTENTION_FUNCTIONS.register(NAME, sdpa_mask)
    if model.config._attn_implementation == "sdpa":
        model.set_attn_implementation(NAME)
