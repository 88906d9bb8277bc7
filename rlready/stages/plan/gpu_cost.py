"""What an experiment needs of GPUs: memory and hours, estimated from the model's shape before anything is loaded.

Estimates, not measurements: nothing here has been compared with a run on GPUs. Memory is what torch keeps, in the precision
in which the stages load and train, plus a margin. Hours are a range, from the best share of a GPU's speed in published runs to
a third of it.
"""

import itertools
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rlready.config import Experiment, Training
from rlready.models.architecture import Shape
from rlready.training.processes import divide_batch

# CUDA's context, NCCL's and cuBLAS's buffers, and fragmentation.
MARGIN = 4e9
# H100 SXM: dense bfloat16 operations and bytes of memory a second (NVIDIA's data sheet).
PEAK, BANDWIDTH = 989e12, 3.35e12
# Llama 3 was trained at 38 to 43% of that (arXiv 2407.21783, table 4); few GPUs and short runs reach less.
TRAINING_SHARES = (0.4, 0.13)
# Decoding reads all weights and caches for every token of a batch; engines reach about three quarters of the bandwidth.
DECODING_SHARES = (0.75, 0.25)
MOST_SEQUENCES = 256  # that vLLM decodes at once by default
STAGES = ("sft", "predictors", "rl", "benchmark")


@dataclass(frozen=True)
class Lengths:
    """Tokens of the data that was read: means for the work, and maxima for the memory."""

    prompt: float  # mean
    completion: float  # mean of the solutions, truncated at sampling_max_tokens
    longest: float  # SFT example, prompt included
    longest_prompt: float

    def guess_sample(self, most: int) -> float:
        """Returns the tokens of the mean sample, halfway to the limit: a model that has not learned to stop reaches it."""
        return (self.completion + most) / 2


@dataclass(frozen=True)
class GpuRequest:
    """What one stage needs of each GPU, and how long one candidate takes."""

    parts: dict[str, float]  # bytes by what they hold
    hours: tuple[float, float]  # GPU-hours of one candidate, minimum and maximum
    note: str = ""  # e.g. how many sequences fit

    @property
    def memory(self) -> float:
        """Total bytes."""
        return sum(self.parts.values())


def estimate_states(shape: Shape, training: Training, processes: int, autocast: bool = True) -> dict[str, float]:
    """Returns bytes of what training keeps on each of `processes` devices between steps, by what they hold.

    All weights: 16 bytes per parameter, as ZeRO counts them (https://arxiv.org/abs/1910.02054, section 3.1): float32 weights,
    gradients and Adam's two moments, or under DeepSpeed bfloat16 weights and gradients with float32 copies.
    Without DeepSpeed, `autocast` also keeps bfloat16 copies of the weights, from the forward to the backward pass.
    Adapters: frozen bfloat16 weights, and 16 bytes for each parameter of the adapters.
    """
    stage, frozen = training.zero_stage, 0
    trained = shape.parameters
    if training.lora_rank:
        frozen, trained = shape.parameters, shape.count_adapters(training.lora_rank)
    wide = 4 if training.lora_rank or not stage else 2
    weights, gradients, optimizer = wide * trained, wide * trained, (16 - 2 * wide) * trained
    shared = {"weights": stage >= 3, "gradients": stage >= 2, "optimizer": stage >= 2}
    whole = {"weights": weights + 2 * frozen, "gradients": gradients, "optimizer": optimizer}
    states = {name: size / (processes if shared[name] else 1) for name, size in whole.items()}
    return states | ({"copies": 2 * trained} if autocast and not stage and not training.lora_rank else {})


def count_checkpoint(shape: Shape, training: Training) -> float:
    """Returns bytes of a checkpoint of a training, which holds the weights that are trained and the optimizer's states."""
    states = estimate_states(shape, training, 1)
    frozen = 2 * shape.parameters if training.lora_rank else 0
    return states["weights"] - frozen + states["optimizer"]


def estimate_training(
    experiment: Experiment, shape: Shape, lengths: Lengths, stage: str, processes: int, autocast: bool = True
) -> dict[str, float]:
    """Returns bytes that SFT or RL keeps on each device, by what they hold, if all rows of a batch have the maximum length.

    Without `autocast` linear layers compute in float32, as on CPUs.
    """
    training = experiment.training
    longest = lengths.longest if stage == "sft" else lengths.longest_prompt + experiment.sampling.max_tokens
    rows, _ = divide_batch(stage, getattr(experiment, stage), processes)
    states = estimate_states(shape, training, processes, autocast)
    return states | {"activations": rows * longest * shape.count_activations(training.gradient_checkpointing, autocast)}


def estimate_needs(
    experiment: Experiment,
    shape: Shape,
    lengths: Lengths,
    tokens: dict[str, float],
    gpus: dict[str, int],
    memory: Mapping[str, float],
) -> dict[str, GpuRequest]:
    """Estimates what each stage that has GPUs needs of them.

    By stage: `tokens` of one candidate, `gpus` of a pod, and the `memory` of one GPU in bytes, 0 if unknown.
    """
    estimates = {"sft": _estimate_sft, "rl": _estimate_rl, "predictors": _estimate_sampling, "benchmark": _estimate_sampling}
    return {
        stage: estimates[stage](experiment, shape, lengths, tokens[stage], gpus[stage], memory[stage])
        for stage in STAGES
        if gpus.get(stage)
    }


def _estimate_sft(experiment, shape, lengths, tokens, gpus, memory) -> GpuRequest:
    training = experiment.training
    parts = estimate_training(experiment, shape, lengths, "sft", training.processes or gpus) | {"margin": MARGIN}
    return GpuRequest(parts, _spread(_train(shape, tokens, lengths.prompt + lengths.completion, training), TRAINING_SHARES))


def _estimate_rl(experiment, shape, lengths, tokens, gpus, memory) -> GpuRequest:
    rl, training, sampling = experiment.rl, experiment.training, experiment.sampling
    weights = 2 * shape.parameters / sampling.tensor_parallel
    engine = max(rl.gpu_memory_utilization * memory, weights)
    parts = estimate_training(experiment, shape, lengths, "rl", training.processes or gpus)
    parts |= {"vllm": engine, "margin": MARGIN}
    sample = lengths.guess_sample(sampling.max_tokens)
    mean = lengths.prompt + sample
    validated = experiment.validation_samples * sample
    trained = tokens - validated
    # The sampler's log-probabilities are compared with the policy's: one more forward pass.
    seconds = _train(shape, trained, mean, training) + 2 * shape.parameters * trained / PEAK
    most = rl.batch_size * sampling.tensor_parallel / gpus  # that one copy of the model rolls out
    written = trained * sample / mean + validated
    sequences, decoding = _decode(shape, written, mean, engine - weights, sampling.tensor_parallel, most)
    best, worst = _spread(seconds, TRAINING_SHARES)
    return GpuRequest(parts, (best + decoding[0], worst + decoding[1]), _describe_sequences(sequences, memory))


def _estimate_sampling(experiment, shape, lengths, tokens, gpus, memory) -> GpuRequest:
    sampling = experiment.sampling
    weights = 2 * shape.parameters / sampling.tensor_parallel
    longest = lengths.longest_prompt + sampling.max_tokens
    cache = max(sampling.gpu_memory_utilization * memory - weights - MARGIN, longest * shape.cache / sampling.tensor_parallel)
    mean = lengths.prompt + lengths.guess_sample(sampling.max_tokens)
    sequences, hours = _decode(shape, tokens, mean, cache, sampling.tensor_parallel)
    return GpuRequest({"weights": weights, "caches": cache, "margin": MARGIN}, hours, _describe_sequences(sequences, memory))


def _train(shape: Shape, tokens: float, length: float, training: Training) -> float:
    """Returns seconds at full speed, by PaLM's 6 operations per parameter and token and 12 LHQT of attention.

    See arXiv 2204.02311, appendix B.
    """
    forward = 2 * shape.parameters + 4 * shape.layers * shape.heads * shape.head_dim * length
    # Adapters need no gradients of the weights; checkpointing repeats the forward pass.
    passes = 3 - bool(training.lora_rank) + training.gradient_checkpointing
    return passes * forward * tokens / PEAK


def _decode(
    shape: Shape, tokens: float, length: float, cache: float, tensor_parallel: int, most: float = MOST_SEQUENCES
) -> tuple[float, tuple[float, float]]:
    """Returns how many sequences, of `most`, are decoded at once, and GPU-hours of these tokens."""
    room = cache * tensor_parallel / (shape.cache * length)
    sequences = max(1.0, min(MOST_SEQUENCES, room, most))
    step = (2 * shape.parameters + sequences * length / 2 * shape.cache) / BANDWIDTH
    seconds = tokens / sequences * max(step, 2 * shape.parameters * sequences / PEAK)
    return sequences, _spread(seconds, DECODING_SHARES)


def _spread(seconds: float, shares: tuple[float, float]) -> tuple[float, float]:
    """Returns the minimum and maximum hours of work that takes so many seconds at full speed."""
    return seconds / shares[0] / 3600, seconds / shares[1] / 3600


def _describe_sequences(sequences: float, memory: float) -> str:
    return f"{sequences:.0f} sequences at once" if memory else ""


def find_remedies(
    experiment: Experiment, estimate: Callable[[Experiment], dict[str, GpuRequest]], stage: str, memory: float
) -> list[str]:
    """Returns the changes of parameters with which a stage fits into a GPU's memory (bytes): the mildest one, else several."""
    changes = [{"sampling_tensor_parallel": 2}, {"sampling_tensor_parallel": 4}]
    if stage in ("sft", "rl"):
        changes = [{f"{stage}_per_device_batch_size": 1}, {"training_gradient_checkpointing": True}]
        changes += [{"training_zero_stage": 2}, {"training_zero_stage": 3}, {"training_lora_rank": 16}]
    together = list(itertools.accumulate(changes, operator.or_))[1:]
    return find_change(experiment, changes + together, lambda changed: estimate(changed)[stage].memory <= memory)


def find_change(experiment: Experiment, changes: list[dict], fits: Callable[[Experiment], bool]) -> list[str]:
    """Returns the first change of parameters with which an experiment fits, as options; none if there is no such change."""
    for change in changes:
        if fits(experiment.change(**change)):
            return [f"--set {name}={str(value).lower()}" for name, value in change.items()]
    return []
