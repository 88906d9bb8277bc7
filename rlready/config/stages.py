"""The sections of a recipe that say how the stages work: training, sampling, samples, predictors, gate, RL and benchmark."""

from dataclasses import dataclass

from rlready.config.knob import knob


@dataclass(frozen=True)
class Sft:
    """Supervised fine-tuning with TRL's SFTTrainer."""

    batch_size: int = knob(32, "SFT examples per optimizer step, over all devices", "laptop miniature", least=1)
    per_device_batch_size: int = knob(
        0,
        "SFT examples that one device takes at once; 0: all of its share of the batch",
        "nothing to save in a small model",
        least=0,
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
        least=0,
    )
    processes: int = knob(0, "Training processes; 0: one a GPU, or one without GPUs", "accelerate's own default", least=0)
    zero_stage: int = knob(
        0,
        "DeepSpeed ZeRO stage: 2 shards optimizer and gradients, 3 the weights too, 0: no DeepSpeed",
        "fits one device",
        choices=(0, 2, 3),
    )
    gradient_checkpointing: bool = knob(
        False,
        "Compute activations again in the backward pass instead of keeping them",
        "a third slower, for large models",
    )


@dataclass(frozen=True)
class Sampling:
    """How completions are drawn, in predictors, RL and benchmark alike."""

    max_tokens: int = knob(512, "Longest completion in tokens", "TRL GRPOConfig max_completion_length", least=1, form=True)
    stop: list = knob([], "Texts that end a completion, besides the model's own end token", "chat models end by themselves")
    engine: str = knob(
        "auto",
        "auto, transformers (embedded) or vllm; auto decides by device and size",
        "measured",
        choices=("auto", "transformers", "vllm"),
    )
    replicas: int = knob(
        0,
        "Copies of the model that share the problems of a stage; 0: one a GPU (or tensor_parallel of them)",
        "one a device",
        least=0,
    )
    tensor_parallel: int = knob(1, "GPUs that hold one copy of the model, with vllm", "vLLM default", least=1)
    gpu_memory_utilization: float = knob(
        0.9, "Share of a GPU's memory that vllm takes", "vLLM default 0.92, less for what is beside it", above=0, most=1
    )
    seed: int = knob(0, "Seeds the samples of predictors and benchmark", "convention")


@dataclass(frozen=True)
class Samples:
    """What predictors and benchmark keep of what a model wrote."""

    text_mb: int = knob(
        100,
        "Most megabytes of completions that a stage keeps of one candidate, before compression; above it a sample keeps its"
        " verdict, answer and length, and not its text",
        "256 samples of 500 problems with 800 characters each",
        least=0,
    )


@dataclass(frozen=True)
class Predictors:
    """What is measured before RL."""

    sampling: str = knob(
        "fixed",
        "fixed (n samples of every problem) or sequential (only as many as the gate's Pass@k threshold needs)",
        "fixed gives the whole curve",
        choices=("fixed", "sequential"),
    )
    samples: int = knob(
        256, "Samples a problem for Pass@k, at temperature 1", "paper: Pass@64 from 256 samples", least=1, form=True
    )
    sequential_alpha: float = knob(
        0.05, "Probability of a wrong approval, and of a wrong rejection, of the sequential test", "convention"
    )
    sequential_budget: int = knob(
        0, "Most samples of the sequential test; 0: as many as fixed would draw", "never dearer than fixed", least=0
    )

    def count_samples(self, problems: int) -> int:
        """Returns how many samples are drawn of these problems together; by the sequential test, at most."""
        if self.sampling == "sequential" and self.sequential_budget:
            return self.sequential_budget
        return self.samples * problems


@dataclass(frozen=True)
class Gate:
    """When a candidate may go on to RL. The defaults reject what has nothing to learn from, or has worn out in SFT."""

    mode: str = knob(
        "enforce",
        "enforce, audit (RL for all, decision recorded) or off (RL for all)",
        "the purpose of the gate",
        choices=("enforce", "audit", "off"),
        form=True,
    )
    k: int = knob(64, "The k of Pass@k", "paper: Pass@64", least=1, form=True)
    min_pass_at_k: float = knob(
        0.05,
        "Least Pass@k; 0 rejects nobody",
        "a group of up to gate_k completions has two rewards at most that often: below, 95% of GRPO's teach nothing",
        least=0,
        most=1,
        form=True,
    )
    min_pass_at_k_over_base: float = knob(
        -0.05,
        "Least Pass@k minus the base model's; -1 rejects nobody",
        "within the noise of 128 problems",
        least=-1,
        most=1,
        form=True,
    )
    min_coverage_kept: float = knob(
        0.0,
        "Least share of the problems that the base model solves within gate_k which the candidate still solves; 0 rejects"
        " nobody",
        "off: a base model keeps less than 1 of itself, how much less depends on the problems",
        least=0,
        most=1,
    )
    max_generalization_loss: float = knob(
        100.0,
        "Most held-out loss in nats per token, for random subsets; 100 rejects nobody",
        "depends on the data",
        above=0,
    )
    max_verifier_disagreement: float = knob(
        0.1,
        "Most of the answers that math-verify calls right which its second check may refuse; above, undecided",
        "measured below 1 % on rewritten answers of MATH-500",
        least=0,
        most=1,
    )
    max_verifier_unknown: float = knob(
        0.02,
        "Most of the samples of which the verifier may not say whether they are right; above, undecided",
        "each can lower Pass@1 by its share at most",
        least=0,
        most=1,
    )
    max_rl_runs: int = knob(
        0,
        "Most candidates to approve: the best of those that pass the thresholds; 0: all of them",
        "no budget",
        least=0,
        form=True,
    )
    rank_by: str = knob(
        "pass_at_k",
        "What the budget ranks by: pass_at_k, pass_at_1 or generalization_loss",
        "paper, protocol step 2",
        choices=("pass_at_k", "pass_at_1", "generalization_loss"),
    )
    audit_fraction: float = knob(
        0.0,
        "Share of the candidates not approved that a draw of each run sends to RL anyway, to measure false rejections",
        "no audit",
        least=0,
        most=1,
        form=True,
    )
    seed: int = knob(0, "Seeds the draw of the audit, together with the id of the run", "convention")
    max_loss_rise: float = knob(
        1.25,
        "Most final held-out loss over the lowest of the candidate's own trajectory, for random subsets",
        "laptop miniature: 1.02 good, 1.7 worn out",
        least=1,
        form=True,
    )


@dataclass(frozen=True)
class Rl:
    """Reinforcement learning with TRL's GRPOTrainer and the verifier as the reward."""

    steps: int = knob(
        100,
        "GRPO optimizer steps; 0: no RL, the run ends with the gate's verdicts and the order of the candidates",
        "past the steepest part of the reward curve",
        least=0,
        form=True,
    )
    learning_rate: float = knob(1e-6, "GRPO learning rate", "TRL GRPOConfig default", above=0, form=True)
    prompts_per_step: int = knob(16, "Prompts per GRPO step", "laptop miniature", least=1)
    num_generations: int = knob(8, "Completions per prompt (the group)", "TRL GRPOConfig default num_generations", least=2)
    per_device_batch_size: int = knob(
        0,
        "Completions that one device takes at once; 0: all of its share of the step",
        "nothing to save in a small model",
        least=0,
    )
    gpu_memory_utilization: float = knob(
        0.3,
        "Share of a GPU's memory for vllm beside the trainer",
        "TRL GRPOConfig default vllm_gpu_memory_utilization",
        above=0,
        most=1,
    )
    trainer_overrides: dict = knob({}, "Passed on to TRL's GRPOConfig", "escape hatch")


@dataclass(frozen=True)
class Benchmark:
    """How the result of RL is scored."""

    samples: int = knob(
        8,
        "Samples a problem for Pass@1, at temperature 1",
        "laptop miniature; the paper averages 64",
        least=1,
        form=True,
    )
