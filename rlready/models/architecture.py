"""What a model's config.json describes: its tensors, size, positions and kind of layers."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlready.errors import InputError, one_line
from rlready.models.weights import FLOATS, Tensors, quiet_transformers, refuse_keys

ATTENTION = {"full_attention", "sliding_attention", "chunked_attention"}  # layers whose cache the embedded engine supports
OWN_CACHES = {"minimax", "recurrent_gemma", "rwkv", "xlstm"}  # architectures without transformers' cache, or that read padding
PLAIN = ("llama", "mistral", "qwen2", "qwen3")  # decoders that `Shape` describes to the last tensor
# Types of the values in a plain decoder's config.json.
TYPES: dict[tuple[type, ...], tuple[str, ...]] = {
    (bool,): ("attention_bias", "mlp_bias", "tie_word_embeddings"),
    (float,): ("initializer_range", "rms_norm_eps"),
    (float, int): ("attention_dropout",),
    (int,): ("max_position_embeddings", "num_key_value_heads"),
    (int, type(None)): ("bos_token_id", "head_dim", "pad_token_id"),
}
REQUIRED = {"max_position_embeddings", "num_key_value_heads", "rms_norm_eps", "tie_word_embeddings"}
DEQUANTISE = "dequantise them (model.dequantize()) and save the model again"
# Linear layers of a decoder layer, in the order of `Shape.linear`.
LINEAR = [f"self_attn.{name}_proj" for name in "qkvo"] + [f"mlp.{name}_proj" for name in ("gate", "up", "down")]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The shape of a Llama-like decoder: attention with grouped heads and a gated MLP, all without biases."""

    layers: int
    hidden: int  # width of the residual stream
    heads: int  # of queries
    kv_heads: int
    head_dim: int
    intermediate: int  # width of the MLP
    vocabulary: int  # rows of the embedding
    tied: bool  # the output layer is the embedding
    normed_heads: bool  # queries and keys are normed (Qwen3)

    @property
    def linear(self) -> list[tuple[int, int]]:
        """Inputs and outputs of each linear layer of a decoder layer."""
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        hidden, inner = self.hidden, self.intermediate
        return [(hidden, queries), *[(hidden, keys)] * 2, (queries, hidden), *[(hidden, inner)] * 2, (inner, hidden)]

    @property
    def parameters(self) -> int:
        """Number of parameters, embeddings included."""
        norms = 2 * self.hidden + (2 * self.head_dim if self.normed_heads else 0)
        layer = sum(inputs * outputs for inputs, outputs in self.linear) + norms
        return self.layers * layer + self.hidden + self.vocabulary * self.hidden * (1 if self.tied else 2)

    def count_adapters(self, rank: int) -> int:
        """Returns the parameters of LoRA adapters on every linear layer but the output layer (https://arxiv.org/abs/2106.09685)."""
        return self.layers * sum(rank * (inputs + outputs) for inputs, outputs in self.linear)

    @property
    def cache(self) -> int:
        """Bytes of keys and values of one token in bfloat16."""
        return 2 * 2 * self.layers * self.kv_heads * self.head_dim

    def count_activations(self, checkpointing: bool, autocast: bool = True) -> int:
        """Returns the bytes that one token of a training batch keeps for the backward pass.

        Counted tensor by tensor as in Korthikanti et al. 2022 (https://arxiv.org/abs/2205.05198), section 4.1, for a gated
        MLP and attention that does not keep its scores. The loss does not keep the logits (TRL 1.16 computes them in pieces).
        With `checkpointing` only the inputs of layers are kept, and one layer at a time is computed again; with `autocast`
        linear layers compute in bfloat16, as on GPUs, and the residual stream and the norms in float32.
        """
        hidden, queries, keys = self.hidden, self.heads * self.head_dim, self.kv_heads * self.head_dim
        # Two norms keep their input and what they multiply, in float32; autocast casts the input of each linear layer.
        wide = 2 if autocast else 4
        layer = 2 * 8 * hidden + wide * (2 * hidden + 2 * queries + 2 * keys + 4 * self.intermediate)
        layer += 2 * 3 * hidden if autocast else 0
        if self.normed_heads:
            layer += (4 + wide if autocast else 8) * (queries + keys)
        last_norm = 8 * hidden
        return last_norm + (self.layers * 4 * hidden + layer if checkpointing else self.layers * layer)


def read_shape(config: dict) -> Shape | None:
    """Returns the shape that a config.json describes; None if its keys are not those of a Llama-like decoder."""
    try:
        heads, hidden = config["num_attention_heads"], config["hidden_size"]
        return Shape(
            layers=config["num_hidden_layers"],
            hidden=hidden,
            heads=heads,
            kv_heads=config.get("num_key_value_heads") or heads,
            head_dim=config.get("head_dim") or hidden // heads,
            intermediate=config["intermediate_size"],
            vocabulary=config["vocab_size"],
            tied=config.get("tie_word_embeddings", False),
            normed_heads=config.get("model_type") == "qwen3",
        )
    except (KeyError, TypeError, ZeroDivisionError):
        return None


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What plan has to know of a model."""

    kind: str  # model_type
    vocabulary: int  # rows of the embedding
    positions: tuple[int | None, bool]  # see `count_positions`
    recurrent: bool  # see `is_recurrent`
    routed: bool  # a mixture of experts whose router has a loss
    parameters: int  # tied ones once


def inspect_architecture(location: dict[str, Any], config: dict, tensors: Tensors | None = None) -> Architecture:
    """Returns what a config.json describes, compared with `tensors`, the headers of the weights, if they are given.

    A plain decoder with exactly the tensors that it should have is accepted without transformers, which takes ten seconds of
    CPU to import; transformers, given `location`, the arguments of `from_pretrained`, decides on everything else. Raises
    InputError if it does not know the architecture, the weights are quantised, or the tensors are not those of the model.
    """
    where = location["pretrained_model_name_or_path"]
    _refuse_sizes(config, where)
    plain = _list_tensors(config)
    # Quantised tensors are of no shape of a plain decoder.
    stored = None if tensors is None else {name: shape if kind in FLOATS else [] for name, (kind, shape) in tensors.items()}
    if plain and stored in (None, plain):
        return Architecture(
            kind=config["model_type"],
            vocabulary=config["vocab_size"],
            positions=(config["max_position_embeddings"], False),
            recurrent=False,
            routed=False,
            parameters=sum(map(math.prod, plain.values())),
        )
    known = read_architecture(location)
    with quiet_transformers():
        model = build_empty(known)
        if tensors is not None:
            _compare(model, known, tensors, where)
    return Architecture(
        kind=known.model_type,
        vocabulary=known.get_text_config().vocab_size,
        positions=count_positions(known),
        recurrent=is_recurrent(known, model),
        routed=hasattr(known.get_text_config(), "output_router_logits"),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
    )


def _refuse_sizes(config: dict, where: str) -> None:
    """Raises InputError if positions or heads cannot be computed, which transformers finds when it does."""
    theta = (config.get("rope_parameters") or {}).get("rope_theta", config.get("rope_theta"))
    if isinstance(theta, int | float) and theta <= 0:
        raise InputError(f"{where}: rope_theta is {theta:g}, and must be above 0; correct its config.json")
    shape = read_shape(config) if config.get("model_type") in PLAIN else None
    if not shape or any(type(size) is not int or size < 1 for size in (shape.heads, shape.kv_heads, shape.head_dim)):
        return
    if shape.heads % shape.kv_heads:
        what = f"num_attention_heads {shape.heads} is no multiple of num_key_value_heads {shape.kv_heads}"
        raise InputError(f"{where}: {what}; correct its config.json")
    if shape.head_dim % 2:
        raise InputError(f"{where}: head_dim {shape.head_dim} is odd, and rotary positions turn pairs; correct its config.json")


def _is_usual(config: dict) -> bool:
    """Returns True if transformers accepts a config.json of a plain decoder, and no option of it changes the tensors."""
    try:
        ends, types = config.get("eos_token_id"), {config.get(name, "float32") for name in ("dtype", "torch_dtype")}
        rope = {**(config.get("rope_parameters") or {}), **(config.get("rope_scaling") or {})}
        return (
            config.keys() >= REQUIRED
            and all(type(config[name]) in kinds for kinds, names in TYPES.items() for name in names if name in config)
            and all(type(end) is int for end in (ends if isinstance(ends, list) else [ends or 0]))
            and all(type(name) is str for name in config.get("architectures") or [])
            and types <= {"float32", "bfloat16", "float16"}
            and config.get("hidden_act") == "silu"
            and rope.get("rope_type", "default") == "default"
            and "type" not in rope
            and set(config.get("layer_types") or []) <= ATTENTION
            and (config.get("pad_token_id") or 0) < config.get("vocab_size", 0)
            and not any(config.get(name) for name in ("attention_bias", "mlp_bias", "quantization_config"))
        )
    except TypeError:  # a value of another type, on which transformers decides
        return False


def _list_tensors(config: dict) -> dict[str, list[int]] | None:
    """Returns the shapes of a plain decoder's tensors by name; None for any other architecture or an unusual option."""
    shape, kind = read_shape(config), config.get("model_type")
    if kind not in PLAIN or not shape or not _is_usual(config):
        return None
    sizes = [value for value in vars(shape).values() if type(value) is not bool]
    # Some architectures refuse a width that the heads do not divide.
    if any(type(size) is not int or size < 1 for size in sizes) or shape.hidden % shape.heads:
        return None
    tensors = {"model.embed_tokens.weight": [shape.vocabulary, shape.hidden], "model.norm.weight": [shape.hidden]}
    tensors |= {} if shape.tied else {"lm_head.weight": [shape.vocabulary, shape.hidden]}
    for number in range(shape.layers):
        layer = {f"{name}.weight": [outputs, inputs] for name, (inputs, outputs) in zip(LINEAR, shape.linear, strict=True)}
        if kind == "qwen2":
            layer |= {f"{name}.bias": [outputs] for name, (_, outputs) in zip(LINEAR[:3], shape.linear, strict=False)}
        if shape.normed_heads:
            layer |= {f"self_attn.{name}_norm.weight": [shape.head_dim] for name in "qk"}
        layer |= {f"{name}_layernorm.weight": [shape.hidden] for name in ("input", "post_attention")}
        tensors |= {f"model.layers.{number}.{name}": size for name, size in layer.items()}
    return tensors


def read_architecture(location: dict[str, Any]):
    """Returns the configuration of a model, given the arguments of `from_pretrained`; raises InputError if it is unusable."""
    from transformers import AutoConfig

    where = location["pretrained_model_name_or_path"]
    try:
        config = AutoConfig.from_pretrained(**location)
    except Exception as error:  # whatever its checks raise
        path = Path(where) / "config.json"
        kind = json.loads(path.read_text()).get("model_type") if path.exists() else None
        raise InputError(
            f"{where}: transformers cannot read its config.json; the model_type {kind} is unknown, or the values are not those"
            f" of that architecture ({one_line(error)}). rlready does not run code that comes with a model"
        ) from error
    if getattr(config, "is_decoder", True) is False and "gpt_neox" not in config.model_type:  # which reads one way anyway
        raise InputError(
            f"{where}: a {config.model_type} reads texts in both directions (is_decoder is false in its config.json), so it"
            " cannot write any; take a causal language model"
        )
    if quantised := getattr(config, "quantization_config", None):
        how = quantised if isinstance(quantised, dict) else vars(quantised)
        kind = how.get("quant_method", "quantization_config in config.json")
        raise InputError(f"{where}: its weights are quantised ({kind}), which is not supported; {DEQUANTISE}")
    return config


def build_empty(config):
    """Returns the model of a configuration, on the meta device; raises InputError if it cannot be built."""
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    kind = AutoModelForImageTextToText if hasattr(config, "vision_config") else AutoModelForCausalLM
    try:
        with torch.device("meta"):
            return kind.from_config(config)
    except Exception as error:  # such as AssertionError, if its pad token has no embedding
        where = config.name_or_path or "the model"
        raise InputError(f"{where}: its architecture ({config.model_type}) cannot be built: {one_line(error)}") from error


def _compare(model, config, tensors: Tensors, where: str) -> None:
    """Raises InputError if these are not exactly the tensors that transformers looks for."""
    import torch

    for name, (kind, _) in tensors.items():
        if name.endswith(".weight") and kind not in FLOATS:
            raise InputError(f"{where}: {name} is stored as {kind}: quantised weights are not supported; {DEQUANTISE}")
    empty = {name: torch.empty(shape, device="meta") for name, (_, shape) in tensors.items()}
    options = {"device_map": "meta", "ignore_mismatched_sizes": True, "output_loading_info": True}
    try:
        _, found = type(model).from_pretrained(None, config=config, state_dict=empty, **options)
    except RuntimeError as error:  # e.g. weights stored in another layout than the model's
        raise InputError(f"{where}: its weights do not fit its config.json ({one_line(error)})") from error
    refuse_keys(found, where)


def is_recurrent(config, model) -> bool:
    """Returns True if a model has layers with a state instead of, or besides, keys and values."""
    kinds = getattr(config.get_text_config(), "layer_types", None) or []
    return bool(getattr(model, "_is_stateful", False)) or not set(kinds) <= ATTENTION


def check_recurrence(kind: str, recurrent: bool) -> str | None:
    """Returns a note on a recurrent or hybrid architecture, None for any other; raises InputError if only vllm samples it."""
    if kind in OWN_CACHES:
        raise InputError(f"its architecture ({kind}) needs a cache of its own, as only vllm has; set sampling_engine to vllm")
    slow = (
        f"its architecture ({kind}) has layers that keep a state, so the transformers engine copies the cache for every token"
        " and batches only prompts of one length, which is slower; vllm may support it (sampling_engine)"
    )
    return slow if recurrent else None


def count_positions(config) -> tuple[int | None, bool]:
    """Returns the maximum number of positions of a model, None if unlimited, and whether a longer text is an error."""
    text = config.get_text_config()
    most, rope = getattr(text, "max_position_embeddings", None), getattr(text, "rope_parameters", None) or {}
    if not most or getattr(text, "alibi", False):
        return None, False
    stretched = (rope.get("original_max_position_embeddings") or most) * (rope.get("factor") or 1)
    return max(most, int(stretched)), not rope


def check_length(positions: tuple[int | None, bool], longest: float, what: str, advice: str) -> str | None:
    """Returns a warning if a text of `longest` tokens exceeds a model's `positions` but is accepted; None if it does not.

    `what` begins the message and names the text, `advice` ends it. Raises InputError if the model has no positions for it.
    """
    most, learned = positions
    if most is None or longest <= most:
        return None
    line = f"{what}, and the model has {most} positions (max_position_embeddings)"
    if learned:
        raise InputError(f"{line}; {advice}")
    return f"{line}; it was not built to write beyond them: {advice}"
