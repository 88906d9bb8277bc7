"""Every knob of the experiment: one frozen dataclass a stage, each default with its source. Standard library only.

The dataclasses are the single source of the flat parameters that the KFP form, the recipes and `--set` use: the field
`k` of the section `gate` is the parameter `gate_k`.
"""

import dataclasses
import difflib
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

SUBSETS = ("random", "shortest", "longest", "mixed")
MODES = ("enforce", "audit", "off")
TRACES = ("all", "verified")
MATCHES = ("examples", "tokens")
SAMPLINGS = ("fixed", "sequential")
RANKINGS = ("pass_at_k", "pass_at_1", "generalization_loss")
ENGINES = ("auto", "transformers", "vllm")
ZERO_STAGES = (0, 2, 3)


class InputError(ValueError):
    """Something the user gave is wrong. The message says what, where and what to do; it is shown without a traceback."""


class Unreachable(InputError):
    """What should say whether the input is right, such as the hub, could not be asked."""


def knob(default: Any, description: str, source: str) -> Any:
    """Declares a parameter with its description and the source of its default."""
    metadata = {"description": description, "source": source}
    if isinstance(default, (list, dict)):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Base:
    """The base model that every candidate starts from."""

    model: str = knob(
        "HuggingFaceTB/SmolLM2-135M-Instruct",
        "Base model: a hub id, a local folder, or builtin:list-machine",
        "the smallest chat model whose GSM8K answers are sometimes right",
    )
    revision: str = knob("main", "Hub revision of the base model; plan pins it to a commit", "hub default")


@dataclass(frozen=True)
class Sweep:
    """The candidates: the product of the lists, or the explicit list when that is not empty."""

    epochs: list = knob(
        [1, 4, 16], "SFT epochs to try; 0 is the base model itself", "paper: 1 to 8, wider to see the turn"
    )
    subsets: list = knob(["random"], "SFT subsets to try: random, shortest, longest, mixed", "paper, instance level")
    examples: list = knob([1024], "SFT examples to try", "small enough for one GPU-hour with the default model")
    learning_rates: list = knob([2e-5], "SFT learning rates to try", "TRL SFTConfig default")
    seeds: list = knob([0], "Seeds to repeat every candidate with; each seeds SFT and RL", "one seed a candidate")
    candidates: list = knob(
        [], "Explicit candidates instead of the grid, e.g. [{epochs: 4, subset: longest}]", "empty: the grid is used"
    )
    attempts: dict = knob(
        {},
        "Candidates that failed and are to be tried again, with the number of the try, e.g. {random-64x4-lr0.001-s0: 2}",
        "a failure stays in the cache, as a result does",
    )


@dataclass(frozen=True)
class Curate:
    """Where the data comes from and how it is split."""

    sft_data: str = knob(
        "openai/gsm8k:main:train",
        "SFT examples with worked solutions: a name of datasets.yaml or curate_sources, hub_id[:config[:split]], a file,"
        " folder or URL (.jsonl, .parquet, .arrow), or builtin:list-machine",
        "the smallest public set with worked solutions",
    )
    rl_data: str = knob(
        "", "RL prompts, same forms; empty: problems of the SFT data kept apart for RL", "one source is enough"
    )
    evaluation_data: str = knob(
        "openai/gsm8k:main:test",
        "Evaluation problems, same forms, several with commas (math_500, aime_2025); names are those of benchmarks.yaml first",
        "test split of the default data",
    )
    predictor_data: str = knob(
        "", "Problems for Pass@k, same forms; empty: evaluation problems kept apart", "one source is enough"
    )
    sources: dict = knob(
        {}, "Data sources of your own by name, in the form of datasets.yaml", "the registries hold the paper's"
    )
    mirror: str = knob(
        "", "Folder with copies of hub datasets, read instead of the hub; empty: $RLREADY_MIRROR, else the hub", "hub"
    )
    decontaminate: list = knob(
        [],
        "More evaluation sets to keep out of the training data, e.g. [math_500, aime_2024]",
        "those of the run always are",
    )
    contamination_ngram: int = knob(
        4,
        "Words of the n-grams by which training and evaluation problems are compared; 0: exact matches only",
        "measured",
    )
    contamination_overlap: float = knob(
        0.6,
        "Least share of an evaluation problem's n-grams, its numbers being equal, that takes a training problem out",
        "measured: 55 of 60 near matches are the same problem (make near-matches)",
    )
    near_duplicates: float = knob(
        0.8, "Least similarity (Jaccard, of 5-word shingles) of near-duplicates to remove; 0 keeps them", "measured"
    )
    traces: str = knob("all", "all, or verified: only traces whose final answer is the given one", "the data as it is")
    min_tokens: int = knob(0, "Fewest tokens of a trace, by the base model's tokenizer; 0: no limit", "no limit")
    max_tokens: int = knob(0, "Most tokens of a trace, by the base model's tokenizer; 0: no limit", "no limit")
    match: str = knob(
        "examples",
        "What subsets of one size have in common: examples, or tokens (as many as the random subset has)",
        "paper: subsets of equal size",
    )
    min_pass_rate: float = knob(
        0.0, "Least share of the base model's samples of an RL problem that must be right; 0: no limit", "no filter"
    )
    max_pass_rate: float = knob(
        1.0, "Most of the base model's samples of an RL problem that may be right; 1: no limit", "no filter"
    )
    pass_rate_samples: int = knob(
        8,
        "Samples of the base model a problem, where its pass rate is limited",
        "the group of GRPO; 0.18 standard error",
    )
    sft_examples: int = knob(0, "Most SFT examples to use; 0: all (a builtin source needs a number)", "all of the data")
    heldout_problems: int = knob(
        256, "SFT problems held out for the generalization loss", "standard error about 2 % of the loss"
    )
    rl_problems: int = knob(1024, "RL prompts", "rl_steps x rl_prompts_per_step, each seen at most twice")
    predictor_problems: int = knob(
        128,
        "Evaluation problems for Pass@k, apart from RL's and the benchmark's",
        "paper: every benchmark; this costs less",
    )
    benchmark_problems: int = knob(
        512,
        "Evaluation problems for the benchmark, apart from the predictors'; at most so many of each of several",
        "about 2 points",
    )
    seed: int = knob(0, "Seeds every split and subset", "convention")


@dataclass(frozen=True)
class Sft:
    """Supervised fine-tuning with TRL's SFTTrainer."""

    batch_size: int = knob(32, "SFT examples per optimizer step, over all devices", "laptop miniature")
    device_batch_size: int = knob(
        0,
        "SFT examples that one device takes at once; 0: all of its share of the batch",
        "nothing to save in a small model",
    )
    packing: bool = knob(
        False,
        "Put several examples into one row, each attending to itself only (needs a GPU and flash-attn); a batch counts rows",
        "TRL default",
    )
    trainer_overrides: dict = knob({}, "Passed on to TRL's SFTConfig", "escape hatch")


@dataclass(frozen=True)
class Training:
    """What SFT and RL share: which weights are trained, and over how many devices."""

    lora_rank: int = knob(
        0,
        "Rank of LoRA adapters on every linear layer, merged into the checkpoint; 0: all weights",
        "paper: all weights",
    )
    processes: int = knob(0, "Training processes; 0: one a GPU, or one without GPUs", "accelerate's own default")
    zero_stage: int = knob(
        0,
        "DeepSpeed ZeRO stage: 2 shards optimizer and gradients, 3 the weights too, 0: no DeepSpeed",
        "fits one device",
    )
    gradient_checkpointing: bool = knob(
        False,
        "Compute activations again in the backward pass instead of keeping them",
        "a third slower, for large models",
    )


@dataclass(frozen=True)
class Sampling:
    """How completions are drawn, in predictors, RL and benchmark alike."""

    max_tokens: int = knob(512, "Longest completion in tokens", "TRL GRPOConfig max_completion_length")
    stop: list = knob(
        [], "Texts that end a completion, besides the model's own end token", "chat models end by themselves"
    )
    engine: str = knob("auto", "auto, transformers (embedded) or vllm; auto decides by device and size", "measured")
    replicas: int = knob(
        0,
        "Copies of the model that share the problems of a stage; 0: one a GPU (or tensor_parallel of them)",
        "one a device",
    )
    tensor_parallel: int = knob(1, "GPUs that hold one copy of the model, with vllm", "vLLM default")
    memory_fraction: float = knob(
        0.9, "Share of a GPU's memory that vllm takes", "vLLM default 0.92, less for what is beside it"
    )
    seed: int = knob(0, "Seeds the samples of predictors and benchmark", "convention")


@dataclass(frozen=True)
class Predictors:
    """What is measured before RL."""

    sampling: str = knob(
        "fixed",
        "fixed (n samples of every problem) or sequential (only as many as the gate's Pass@k threshold needs)",
        "fixed gives the whole curve",
    )
    samples: int = knob(256, "Samples a problem for Pass@k, at temperature 1", "paper: Pass@64 from 256 samples")
    sequential_alpha: float = knob(
        0.05, "Probability of a wrong approval, and of a wrong rejection, of the sequential test", "convention"
    )
    sequential_budget: int = knob(
        0, "Most samples of the sequential test; 0: as many as fixed would draw", "never dearer than fixed"
    )

    def count_samples(self, problems: int) -> int:
        """Returns how many samples are drawn of these problems together; by the sequential test, at most."""
        fixed = self.samples * problems
        return (self.sequential_budget or fixed) if self.sampling == "sequential" else fixed


@dataclass(frozen=True)
class Gate:
    """When a candidate may go on to RL. The defaults reject what has nothing to learn from, or has worn out in SFT."""

    mode: str = knob(
        "enforce", "enforce, audit (RL for all, decision recorded) or off (RL for all)", "the purpose of the gate"
    )
    k: int = knob(64, "The k of Pass@k", "paper: Pass@64")
    min_pass_at_k: float = knob(
        0.05,
        "Least Pass@k; 0 rejects nobody",
        "below it nearly every group of GRPO has the same reward and teaches nothing",
    )
    min_pass_at_k_over_base: float = knob(
        -0.05, "Least Pass@k minus the base model's; -1 rejects nobody", "within the noise of 128 problems"
    )
    max_generalization_loss: float = knob(
        100.0, "Most held-out loss in nats per token, for random subsets; 100 rejects nobody", "depends on the data"
    )
    max_verifier_disagreement: float = knob(
        0.1,
        "Most of the answers that math-verify calls right which its second check may refuse; above, undecided",
        "measured below 1 % on rewritten answers of MATH-500",
    )
    max_rl_runs: int = knob(
        0, "Most candidates to approve: the best of those that pass the thresholds; 0: all of them", "no budget"
    )
    rank_by: str = knob(
        "pass_at_k", "What the budget ranks by: pass_at_k, pass_at_1 or generalization_loss", "paper, protocol step 2"
    )
    audit_fraction: float = knob(
        0.0, "Share of the rejected that a seeded draw sends to RL anyway, to measure false rejections", "no audit"
    )
    seed: int = knob(0, "Seeds the draw of the audit", "convention")
    max_loss_rise: float = knob(
        1.25,
        "Most final held-out loss over the lowest of the candidate's own trajectory",
        "laptop miniature: 1.02 good, 1.7 worn out",
    )


@dataclass(frozen=True)
class Rl:
    """Reinforcement learning with TRL's GRPOTrainer and the verifier as the reward."""

    steps: int = knob(100, "GRPO optimizer steps", "past the steepest part of the reward curve")
    learning_rate: float = knob(1e-6, "GRPO learning rate", "TRL GRPOConfig default")
    prompts_per_step: int = knob(16, "Prompts per GRPO step", "laptop miniature")
    samples_per_prompt: int = knob(8, "Completions per prompt (the group)", "TRL GRPOConfig default num_generations")
    device_batch_size: int = knob(
        0,
        "Completions that one device takes at once; 0: all of its share of the step",
        "nothing to save in a small model",
    )
    memory_fraction: float = knob(
        0.3, "Share of a GPU's memory for vllm beside the trainer", "TRL GRPOConfig default vllm_gpu_memory_utilization"
    )
    trainer_overrides: dict = knob({}, "Passed on to TRL's GRPOConfig", "escape hatch")


@dataclass(frozen=True)
class Benchmark:
    """How the result of RL is scored."""

    samples: int = knob(8, "Samples a problem for Pass@1, at temperature 1", "laptop miniature; the paper averages 64")


SECTIONS = {
    "base": Base,
    "sweep": Sweep,
    "curate": Curate,
    "sft": Sft,
    "training": Training,
    "sampling": Sampling,
    "predictors": Predictors,
    "gate": Gate,
    "rl": Rl,
    "benchmark": Benchmark,
}

# What a stage's settings hold, so that a change elsewhere leaves the stage's cached result valid.
STAGE_SECTIONS = {
    "curate": ("curate",),
    "sft": ("sft", "training"),
    "predictors": ("predictors", "sampling"),
    "gate": ("gate",),
    "rl": ("rl", "training", "sampling"),
    "benchmark": ("benchmark", "sampling"),
}


@dataclass(frozen=True)
class Parameter:
    """One flat parameter of the pipeline: its name, type, default and texts."""

    name: str
    type: type
    default: Any
    description: str
    source: str


def list_parameters() -> dict[str, Parameter]:
    """Returns every parameter by its flat name, in the order of the sections."""
    listed = {}
    for section, kind in SECTIONS.items():
        instance = kind()
        for item in dataclasses.fields(kind):
            name = f"{section}_{item.name}"
            listed[name] = Parameter(name, item.type, getattr(instance, item.name), **item.metadata)
    return listed


def coerce(parameter: Parameter, value: Any) -> Any:
    """Returns the value in the parameter's declared type.

    Args:
        parameter: What is being set.
        value: A Python value, or the text of one.

    Returns:
        The value; whole floats become ints and ints become floats where the type asks for it (KFP sends numbers as doubles).

    Raises:
        InputError: If the value is not of the declared type.
    """
    kind, original = parameter.type, value
    if isinstance(value, str) and kind is not str:
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            if kind is list:
                value = [parse_scalar(part.strip()) for part in value.split(",") if part.strip()]
    value = restore_integers(value) if kind in (list, dict) else value
    if kind is float and type(value) is int:
        value = float(value)
    if kind is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool):
        raise InputError(f"{parameter.name}: expected {kind.__name__}, got {original!r}. {parameter.description}.")
    if kind is float and not math.isfinite(value):
        raise InputError(f"{parameter.name}: expected a finite number, got {original!r}.")
    return value


def restore_integers(value: Any) -> Any:
    """Returns lists and objects with their whole floats as ints: KFP's structs know doubles only, and trainers want ints."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [restore_integers(item) for item in value]
    if isinstance(value, dict):
        return {key: restore_integers(item) for key, item in value.items()}
    return value


def parse_scalar(text: str) -> Any:
    """Returns the JSON value of a text, or the text itself."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def complete_parameters(given: dict[str, Any]) -> dict[str, Any]:
    """Returns every parameter by its flat name, in its declared type; what is not given takes its default.

    Raises:
        InputError: For an unknown name (with the nearest known one) or a wrong type.
    """
    known = list_parameters()
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else "rlready run --help lists them."
            raise InputError(f"unknown parameter {name!r}; {hint}")
    return {name: coerce(p, given.get(name, p.default)) for name, p in known.items()}


def check_keys(where: str, given: dict, known: Iterable[str]) -> None:
    """Raises InputError if a mapping holds an unknown key, with the nearest known one.

    Args:
        where: What the message begins with.
        given: The mapping.
        known: The keys that it may hold.
    """
    known = list(known)
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            raise InputError(f"{where}: unknown key {key!r}; {hint}")


def parse_parameters(given: dict[str, Any]) -> SimpleNamespace:
    """Turns flat parameters into the section dataclasses.

    Args:
        given: Values by flat name; what is missing takes its default.

    Returns:
        A namespace with one attribute a section, e.g. `.gate.k`.

    Raises:
        InputError: For an unknown name (with the nearest known one) or a wrong type.
    """
    values = complete_parameters(given)
    return SimpleNamespace(
        **{
            section: kind(**{f.name: values[f"{section}_{f.name}"] for f in dataclasses.fields(kind)})
            for section, kind in SECTIONS.items()
        }
    )


def write_settings(experiment: SimpleNamespace, stage: str, more: dict | None = None) -> str:
    """Returns the JSON settings of one stage: the sections it depends on and nothing else.

    Args:
        experiment: Every section.
        stage: Name of the stage.
        more: What plan found that the stage depends on too.
    """
    sections = {name: dataclasses.asdict(getattr(experiment, name)) for name in STAGE_SECTIONS[stage]}
    if stage == "predictors" and experiment.predictors.sampling == "sequential":
        # The test asks whether Pass@k clears the gate's threshold, so these two are its settings too.
        sections["gate"] = {"k": experiment.gate.k, "min_pass_at_k": experiment.gate.min_pass_at_k}
    if stage == "curate" and (needs_tokens(experiment.curate) or needs_pass_rates(experiment.curate)):
        sections["base"] = dataclasses.asdict(experiment.base)
    if stage == "curate" and needs_pass_rates(experiment.curate):
        sections["sampling"] = dataclasses.asdict(experiment.sampling)
    return json.dumps(sections | (more or {}), sort_keys=True)


def divide_batch(name: str, batch: int, device_batch: int, processes: int) -> tuple[int, int]:
    """Divides the batch of an optimizer step among processes, and each share into what a device takes at once.

    Args:
        name: Parameter of the batch, for the message.
        batch: Examples an optimizer step.
        device_batch: Examples that a device takes at once; 0: all of its share.
        processes: How many train together.

    Returns:
        (examples a device takes at once, how often it does so in a step).

    Raises:
        InputError: If something does not divide.
    """
    share, rest = divmod(batch, processes)
    if rest:
        raise InputError(f"{name}: a step of {batch} does not divide among {processes} processes")
    if device_batch > 0 and share % device_batch:
        raise InputError(
            f"{name.split('_')[0]}_device_batch_size: {device_batch} does not divide {share}, the share of one of"
            f" {processes} processes in a step of {batch}"
        )
    size = device_batch or share
    return size, share // size


def needs_tokens(curate: Curate) -> bool:
    """Says whether curate counts tokens, and so depends on the base model."""
    return bool(curate.min_tokens or curate.max_tokens or curate.match == "tokens")


def needs_pass_rates(curate: Curate) -> bool:
    """Says whether curate samples from the base model, and so wants what sampling wants."""
    return curate.min_pass_rate > 0 or curate.max_pass_rate < 1


def read_settings(text: str) -> SimpleNamespace:
    """Returns a stage's settings, e.g. `.sft.batch_size`, from the JSON of `write_settings`; what plan added as it is."""
    sections = json.loads(text).items()
    return SimpleNamespace(**{name: SECTIONS[name](**held) if name in SECTIONS else held for name, held in sections})
