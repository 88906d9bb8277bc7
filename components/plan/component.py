"""KFP face of plan."""

from typing import List, NamedTuple  # noqa: UP035  kfp reads the annotation by name

from kfp import dsl

from rlready.components.images import resolve_image


# The parameters repeat config.list_parameters() because kfp compiles a function's source; a test keeps the two equal.
@dsl.component(base_image=resolve_image("plan"), install_kfp_package=False)
def plan(
    base_model: str,
    base_revision: str,
    sweep_epochs: list,
    sweep_subsets: list,
    sweep_examples: list,
    sweep_learning_rates: list,
    sweep_seeds: list,
    sweep_candidates: list,
    sweep_attempts: dict,
    curate_sft_data: str,
    curate_rl_data: str,
    curate_evaluation_data: str,
    curate_predictor_data: str,
    curate_sources: dict,
    curate_mirror: str,
    curate_decontaminate: list,
    curate_contamination_ngram: int,
    curate_contamination_overlap: float,
    curate_near_duplicates: float,
    curate_traces: str,
    curate_min_tokens: int,
    curate_max_tokens: int,
    curate_match: str,
    curate_min_pass_rate: float,
    curate_max_pass_rate: float,
    curate_pass_rate_samples: int,
    curate_sft_examples: int,
    curate_heldout_problems: int,
    curate_rl_problems: int,
    curate_predictor_problems: int,
    curate_benchmark_problems: int,
    curate_seed: int,
    sft_batch_size: int,
    sft_device_batch_size: int,
    sft_packing: bool,
    sft_trainer_overrides: dict,
    training_lora_rank: int,
    training_processes: int,
    training_zero_stage: int,
    training_gradient_checkpointing: bool,
    sampling_max_tokens: int,
    sampling_stop: list,
    sampling_engine: str,
    sampling_replicas: int,
    sampling_tensor_parallel: int,
    sampling_memory_fraction: float,
    sampling_seed: int,
    predictors_sampling: str,
    predictors_samples: int,
    predictors_sequential_alpha: float,
    predictors_sequential_budget: int,
    gate_mode: str,
    gate_k: int,
    gate_min_pass_at_k: float,
    gate_min_pass_at_k_over_base: float,
    gate_max_generalization_loss: float,
    gate_max_verifier_disagreement: float,
    gate_max_rl_runs: int,
    gate_rank_by: str,
    gate_audit_fraction: float,
    gate_seed: int,
    gate_max_loss_rise: float,
    rl_steps: int,
    rl_learning_rate: float,
    rl_prompts_per_step: int,
    rl_samples_per_prompt: int,
    rl_device_batch_size: int,
    rl_memory_fraction: float,
    rl_trainer_overrides: dict,
    benchmark_samples: int,
    run_name: str,
    summary: dsl.Output[dsl.Markdown],
) -> NamedTuple(
    "Plan",
    [
        ("candidates", List[str]),  # noqa: UP006
        ("baseline", str),
        ("parameters", str),
        ("curate", str),
        ("sft", str),
        ("predictors", str),
        ("gate", str),
        ("rl", str),
        ("benchmark", str),
    ],
):
    """Checks everything before anything expensive, expands the sweep and estimates what it will cost.

    Returns:
        What is to be measured, the base model first, as JSON; the pipeline's parameters; and the settings of each stage.
    """
    parameters = dict(locals())
    path, name = parameters.pop("summary").path, parameters.pop("run_name")
    from rlready.components.core.launch import launch

    return tuple(launch("plan", parameters=parameters, run_name=name, summary=path))
