"""Every parameter but those of the data: default, text, source and bounds. A section's dataclass is one of a recipe."""

from dataclasses import dataclass

from rlready.config.knob import LARGEST_SEED, knob

# Of each parameter the default and its text, then its source and bounds.
# fmt: off


@dataclass(frozen=True)
class Base:
    """The base model that every candidate starts from."""

    model: str = knob(
        "HuggingFaceTB/SmolLM2-135M-Instruct",
        "Base model: a hub id, a local folder, builtin:list-machine or builtin:countdown; leave empty to rank"
        " finished checkpoints without RL",
        "the smallest chat model whose GSM8K answers are sometimes right", form=True,
    )
    revision: str = knob("main", "Hub revision of the base model; plan pins it to a commit", "hub default")
    measured: str = knob("", "Log of the base model's samples: a file, folder or URL; empty: it is sampled here", "sampled")


@dataclass(frozen=True)
class Sweep:
    """The candidates: the product of the lists, or the explicit list if it is not empty."""

    epochs: list = knob(
        [1, 4, 16], "SFT epochs to try; 0 is the base model itself", "paper: 1 to 8, wider to see the turning point", form=True
    )
    subsets: list = knob(["random"], "SFT subsets to try: random, shortest, longest, mixed", "paper, instance level", form=True)
    examples: list = knob([1024], "SFT examples to try", "small enough for one GPU-hour with the default model", form=True)
    learning_rates: list = knob([2e-5], "SFT learning rates to try", "TRL SFTConfig default", form=True)
    seeds: list = knob([0], "Seeds to repeat every candidate with, each for SFT and RL", "one seed per candidate", form=True)
    checkpoints: str = knob(
        "separate",
        "separate (a training for each candidate), or every-epoch: candidates that differ only in epochs are checkpoints of one"
        " training; the learning rate of the earlier ones has not fully decayed",
        "paper: each number of epochs is a training", choices=("separate", "every-epoch"),
    )
    candidates: list = knob(
        [],
        "Explicit candidates instead of the grid; each is one of: settings {epochs: 4, subset: longest}; a finished"
        " checkpoint {model: ./ckpt, name: mine}; another tool's log {measured: logs/a.jsonl}",
        "empty: the grid is used",
        form=True,
        example=[{"example": {"epochs": 4, "subset": "longest"}}, {"example": {"model": "owner/name", "name": "mine"}}],
    )
    attempts: dict = knob(
        {},
        "Failed candidates to retry, each with the number of the attempt (2 for the first retry): {random-64x4-lr0.001-s0: 2}",
        "a failure stays in the cache, like a result", form=True, example={"example": {"random-64x4-lr0.001-s0": 2}},
    )


@dataclass(frozen=True)
class Sft:
    """Supervised fine-tuning with TRL's SFTTrainer."""

    batch_size: int = knob(32, "SFT examples per optimizer step, over all devices", "laptop miniature", least=1)
    per_device_batch_size: int = knob(
        0, "SFT examples per device at once; 0: its whole share of the batch", "small models fit", least=0
    )
    packing: bool = knob(
        False,
        "Pack examples into one row, without attention across them (needs a GPU and flash-attn); a batch counts rows",
        "TRL default",
    )
    trainer_overrides: dict = knob({}, "Passed on to TRL's SFTConfig", "escape hatch")


@dataclass(frozen=True)
class Training:
    """What SFT and RL share: which weights are trained, and over how many devices."""

    lora_rank: int = knob(
        0, "Rank of LoRA adapters on every linear layer, merged into the checkpoint; 0: all weights",
        "paper: all weights", least=0,
    )
    processes: int = knob(0, "Training processes; 0: one per GPU, or one without GPUs", "accelerate's own default", least=0)
    zero_stage: int = knob(
        0, "DeepSpeed ZeRO stage: 2 shards optimizer and gradients, 3 the weights too, 0: no DeepSpeed",
        "fits one device", choices=(0, 2, 3),
    )
    gradient_checkpointing: bool = knob(
        False, "Recompute activations in the backward pass instead of keeping them", "a third slower; for large models"
    )


@dataclass(frozen=True)
class Sampling:
    """How completions are drawn, in predictors, RL and benchmark alike."""

    max_tokens: int = knob(512, "Maximum completion tokens", "TRL GRPOConfig max_completion_length", least=1, form=True)
    stop: list = knob(
        [], "Texts that end a completion, besides the model's own end token", "chat models stop by themselves", texts=True
    )
    engine: str = knob(
        "auto", "auto, transformers (embedded) or vllm; auto decides by device and size",
        "fits every machine; the size is a rule of thumb", choices=("auto", "transformers", "vllm"),
    )
    replicas: int = knob(
        0, "Copies of the model that share the problems of a stage; 0: one per GPU (or per tensor_parallel GPUs)",
        "one per device", least=0,
    )
    tensor_parallel: int = knob(1, "GPUs that hold one copy of the model, with vllm", "vLLM default", least=1)
    gpu_memory_utilization: float = knob(
        0.9, "Share of a GPU's memory that vllm takes", "vLLM default 0.92, less what runs next to it", above=0, most=1
    )
    seed: int = knob(0, "Seed of the samples of predictors and benchmark", "convention", least=0, most=LARGEST_SEED)


@dataclass(frozen=True)
class Samples:
    """What predictors and benchmark keep of what a model wrote."""

    text_mb: int = knob(
        100,
        "Maximum megabytes of completions that a stage keeps per candidate, before compression; samples beyond"
        " it keep judgement, answer and length, but no text",
        "256 samples of 500 problems with 800 characters each", least=0,
    )


@dataclass(frozen=True)
class Predictors:
    """What is measured before RL."""

    sampling: str = knob(
        "fixed", "fixed (n samples of every problem) or sequential (as few as needed to test the gate's Pass@k threshold)",
        "fixed gives the full curve", choices=("fixed", "sequential"),
    )
    samples: int = knob(
        256, "Samples per problem for Pass@k, at temperature 1", "paper: Pass@64 from 256 samples", least=1, form=True
    )
    sequential_alpha: float = knob(
        0.05, "Probability of a wrong approval, and of a wrong rejection, in the sequential test; below 0.5", "convention"
    )
    sequential_budget: int = knob(
        0, "Maximum samples of the sequential test; 0: as many as fixed would draw", "never more expensive than fixed", least=0
    )

    @property
    def is_sequential(self) -> bool:
        """Whether sampling ends as soon as the sequential test has decided."""
        return self.sampling == "sequential"

    def count_samples(self, problems: int) -> int:
        """Returns how many samples are drawn of these problems together; by the sequential test, at most."""
        if self.is_sequential and self.sequential_budget:
            return self.sequential_budget
        return self.samples * problems


@dataclass(frozen=True)
class Gate:
    """When a candidate may go on to RL. The defaults reject candidates with nothing to learn from, or over-trained by SFT."""

    mode: str = knob(
        "enforce", "enforce, audit (RL for all, decision recorded) or off (RL for all)",
        "the purpose of the gate", choices=("enforce", "audit", "off"), form=True,
    )
    k: int = knob(64, "The k of Pass@k: a power of two, or predictors_samples", "paper: Pass@64", least=1, form=True)
    min_pass_at_k: float = knob(
        0.05, "Minimum Pass@k; null or 0 disables it",
        "below it, at least 95% of groups of up to gate_k completions have equal rewards and teach GRPO nothing",
        least=0, most=1, off=0, form=True,
    )
    min_pass_at_k_over_base: float = knob(
        -0.05, "Minimum Pass@k minus the base model's; null or -1 disables it",
        "within the noise of 128 problems", least=-1, most=1, off=-1, form=True,
    )
    min_coverage_kept: float = knob(
        0.0,
        "Minimum share of the problems solved by the base model within gate_k that the candidate still solves; null or 0"
        " disables it",
        "off: sampled again, a base model keeps less than 1; how much less depends on the problems", least=0, off=0, most=1,
    )
    max_generalization_loss: float = knob(
        100.0, "Maximum held-out loss in nats per token, for random subsets; null or 100 disables it",
        "depends on the data", above=0, off=100,
    )
    max_verifier_disagreement: float = knob(
        0.1,
        "Of the answers that the exact check or math-verify accepts, the maximum share that the exact check refuses; above it,"
        " undecided; null or 1 disables it",
        "measured below 1% on rewritten answers of MATH-500", least=0, off=1, most=1,
    )
    max_verifier_unknown: float = knob(
        0.02, "Maximum share of samples that the verifier cannot judge; above it, undecided; null or 1 disables it",
        "each can lower Pass@1 by its share at most", least=0, off=1, most=1,
    )
    max_rl_runs: int = knob(
        0, "Maximum number of candidates to approve, the best of those that pass the thresholds; null or 0: all of them",
        "no budget", least=0, off=0, form=True,
    )
    rank_by: str = knob(
        "pass_at_k", "What the budget ranks by: pass_at_k, pass_at_1 or generalization_loss",
        "paper, protocol step 2", choices=("pass_at_k", "pass_at_1", "generalization_loss"),
    )
    audit_fraction: float = knob(
        0.0, "Share of non-approved candidates drawn at random for RL anyway, to measure false rejections",
        "no audit", least=0, most=1, form=True,
    )
    seed: int = knob(
        0, "Seed of the audit's draw, together with the id of the run", "convention", least=0, most=LARGEST_SEED
    )
    register_models: bool = knob(
        True, "Register the approved models in MLflow's model registry, and the best after RL with the alias rl-winner",
        "finding them again",
    )
    max_loss_rise: float = knob(
        1.25,
        "Maximum ratio of the final held-out loss to the lowest one during the candidate's training, for random subsets; null"
        " or any large number disables it",
        "laptop miniature: 1.02 good, 1.7 over-trained", least=1, off=1e6, form=True,
    )


@dataclass(frozen=True)
class Rl:
    """Reinforcement learning with TRL's GRPOTrainer and the verifier as the reward."""

    steps: int = knob(
        100, "GRPO optimizer steps; 0: no RL, the run ends with the verdicts and the ranking of the candidates",
        "past the steepest part of the reward curve", least=0, most=1_000_000, form=True,
    )
    learning_rate: float = knob(1e-6, "GRPO learning rate", "TRL GRPOConfig default", above=0, form=True)
    prompts_per_step: int = knob(16, "Prompts per GRPO step", "laptop miniature", least=1)
    num_generations: int = knob(8, "Completions per prompt (the group)", "TRL GRPOConfig default num_generations", least=2)
    per_device_batch_size: int = knob(
        0, "Completions per device at once; 0: its whole share of the step", "small models fit", least=0
    )
    gpu_memory_utilization: float = knob(
        0.3, "Share of a GPU's memory for vllm next to the trainer",
        "TRL GRPOConfig default vllm_gpu_memory_utilization", above=0, most=1,
    )
    eval_steps: float = knob(
        0.25, "GRPO steps from one validation to the next; below 1: a share of rl_steps; null or 0: no validation",
        "as TRL's eval_steps; five validations, with those before the first step and after the last", least=0, off=0,
    )
    eval_samples: int = knob(4, "Samples per validation problem, at temperature 1", "the rollouts of two steps", least=1)
    keep: str = knob(
        "last", "Which step's model is the result: last, or best (the latest that is not clearly worse than the best)",
        "candidates are compared at equal steps", choices=("last", "best"),
    )
    patience: float = knob(
        0.0, "Share of rl_steps without a clear gain in validation after which RL ends; null or 0 disables it",
        "candidates are compared at equal steps", least=0, most=1, off=0,
    )
    trainer_overrides: dict = knob({}, "Passed on to TRL's GRPOConfig", "escape hatch")

    @property
    def batch_size(self) -> int:
        """Completions per GRPO step, over all devices."""
        return self.prompts_per_step * self.num_generations

    @property
    def validated_steps(self) -> list[int]:
        """The steps after which the policy is validated: the first (0), the last and those between; none without validation."""
        if not self.eval_steps or not self.steps:
            return []
        stride = max(1, round(self.eval_steps * self.steps) if self.eval_steps < 1 else int(self.eval_steps))
        return [*range(0, self.steps, stride), self.steps]


@dataclass(frozen=True)
class Race:
    """The race: part of RL for every candidate that the gate sends to RL, the rest only for those not clearly behind."""

    steps: int = knob(
        0, "GRPO steps after which candidates are compared in validation, and those clearly behind dropped; null or 0: no race",
        "the paper trains every candidate to the end", least=0, off=0,
    )
    keep: int = knob(
        0, "Maximum number of candidates that go on after the race; null or 0: all that are not clearly behind", "no budget",
        least=0, off=0,
    )
    audit_fraction: float = knob(
        0.0, "Share of the dropped candidates that go on anyway, to measure what the race gets wrong",
        "no audit", least=0, most=1,
    )


@dataclass(frozen=True)
class Benchmark:
    """How the result of RL is scored."""

    samples: int = knob(
        8, "Samples per problem for Pass@1, at temperature 1", "laptop miniature; the paper averages 64", least=1, form=True
    )
    coverage_samples: int = knob(
        64, "Samples per predictors' problem after RL, for Pass@k with fixed sampling; null or 0: none",
        "gate_k", least=0, off=0,
    )
