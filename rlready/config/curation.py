"""The parameters of the data: where it comes from, and how it is split."""

from dataclasses import dataclass

from rlready.config.knob import LARGEST_SEED, knob

# Of each parameter the default and its text, then its source and bounds.
# fmt: off
SUBSETS = ("random", "shortest", "longest", "mixed")


@dataclass(frozen=True)
class Curate:
    """Where the data comes from and how it is split."""

    sft_data: str = knob(
        "openai/gsm8k:main:train",
        "SFT examples with worked solutions: a name from datasets.yaml or curate_sources, hub_id[:config[:split]], a file,"
        " folder or URL (.jsonl, .json, .csv, .tsv, .parquet, .arrow), builtin:list-machine or builtin:countdown; empty:"
        " none, for runs without SFT and RL",
        "the smallest public set with worked solutions", form=True,
    )
    rl_data: str = knob(
        "", "RL prompts, in the same forms; empty: some problems of the SFT data", "one source is enough", form=True
    )
    evaluation_data: str = knob(
        "openai/gsm8k:main:test",
        "Evaluation problems, in the same forms, separated by commas (math_500, aime_2025); benchmarks.yaml is searched first",
        "test split of the default data", form=True,
    )
    predictor_data: str = knob(
        "", "Problems for Pass@k, in the same forms; empty: some of the evaluation data", "one source is enough", form=True
    )
    sources: dict = knob(
        {}, "Data sources of your own by name, in the form of datasets.yaml", "the registries hold the paper's"
    )
    mirror: str = knob(
        "", "Folder with copies of hub datasets, read instead of the hub; empty: $RLREADY_MIRROR, else the hub", "hub"
    )
    off_target: list = knob(
        [], "Further evaluation sets that RL does not target: scored before and after RL, part of neither Pass@1 nor Pass@k",
        "none", texts=True,
    )
    decontaminate: list = knob(
        [], "Additional evaluation sets to remove from training data, e.g. [math_500, aime_2024]", "the run's own always are",
        texts=True,
    )
    contamination_ngram: int = knob(
        4, "Words per n-gram when training problems are compared with evaluation problems; 0: exact matches only",
        "measured", least=0,
    )
    contamination_overlap: float = knob(
        0.6, "A training problem with this share of an evaluation problem's n-grams, and the same numbers, is removed",
        "measured: 56 of 60 near matches are the same problem (make near-matches)", least=0, most=1,
    )
    near_duplicates: float = knob(
        0.8, "Jaccard similarity (5-word shingles) of near-duplicates, dropped or kept in one split; null or 0 disables it",
        "measured", least=0, most=1, off=0,
    )
    traces: str = knob(
        "all", "Worked solutions (traces): all, or verified (with the given answer)", "no filter", choices=("all", "verified")
    )
    min_tokens: int = knob(
        0, "Minimum tokens of a trace, by the base model's tokenizer; null or 0 disables it", "no limit", least=0, off=0
    )
    max_tokens: int = knob(
        0, "Maximum tokens of a trace, by the base model's tokenizer; null or 0 disables it", "no limit", least=0, off=0
    )
    match: str = knob(
        "examples", "What subsets of one size have in common: the number of examples, or of tokens (that of the random subset)",
        "paper: subsets of equal size", choices=("examples", "tokens"),
    )
    min_pass_rate: float = knob(
        0.0, "Minimum pass rate of the base model on an RL problem; null or 0 disables it", "no filter", least=0, most=1, off=0
    )
    max_pass_rate: float = knob(
        1.0, "Maximum pass rate of the base model on an RL problem; null or 1 disables it", "no filter", least=0, most=1, off=1
    )
    pass_rate_samples: int = knob(
        8, "Samples of the base model per problem, if the pass rate is limited",
        "size of a GRPO group; standard error at most 0.18", least=1,
    )
    sft_examples: int = knob(0, "Maximum SFT examples; null or 0: all (a builtin source needs a number)", "all", least=0, off=0)
    heldout_problems: int = knob(
        256, "SFT problems held out for the generalization loss; without RL, at most this many",
        "standard error about 2% of the loss", least=1,
    )
    rl_problems: int = knob(
        1024, "Problems for RL: prompts and validation problems", "each is seen at most twice in rl_steps",
        least=1,
    )
    validation_problems: int = knob(
        64, "RL problems set aside for validation instead of training, at most a quarter of them; null or 0: none",
        "standard error of about 5 points", least=0, off=0,
    )
    predictor_problems: int = knob(
        128, "Evaluation problems for Pass@k, apart from RL's and the benchmark's; without RL, at most this many",
        "the paper uses whole benchmarks; this costs less", least=1,
    )
    benchmark_problems: int = knob(
        512, "Evaluation problems for the benchmark, apart from the predictors'; with several benchmarks, this many of each",
        "standard error of about 2 points", least=1,
    )
    seed: int = knob(0, "Seed of every split and subset", "convention", least=0, most=LARGEST_SEED)

    @property
    def validated(self) -> int:
        """How many of the problems for RL are validation problems; fewer if some resemble a prompt."""
        return min(self.validation_problems, self.rl_problems // 4)

    @property
    def needs_tokens(self) -> bool:
        """Whether curate counts tokens, and so depends on the base model."""
        return bool(self.sft_data and (self.min_tokens or self.max_tokens or self.match == "tokens"))

    @property
    def needs_pass_rates(self) -> bool:
        """Whether curate samples from the base model, and so depends on the sampling parameters."""
        return self.min_pass_rate > 0 or self.max_pass_rate < 1
