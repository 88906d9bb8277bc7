"""KFP component of plan."""

from typing import List, NamedTuple  # noqa: UP035  kfp reads the annotation by name

from kfp import dsl

from rlready.placement.images import resolve_image


# The parameters repeat config.list_form() because kfp compiles a function's source; a test keeps the two equal.
@dsl.component(base_image=resolve_image("plan"), install_kfp_package=False)
def plan(
    base_model: str,
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
    sampling_max_tokens: int,
    predictors_samples: int,
    gate_mode: str,
    gate_k: int,
    gate_min_pass_at_k: float,
    gate_min_pass_at_k_over_base: float,
    gate_max_rl_runs: int,
    gate_audit_fraction: float,
    gate_max_loss_rise: float,
    rl_steps: int,
    rl_learning_rate: float,
    benchmark_samples: int,
    settings: dict,
    run_name: str,
    races: bool,
    plan: dsl.Output[dsl.Markdown],
) -> NamedTuple(  # type: ignore[valid-type]  # kfp compiles the function alone
    "Plan",
    [
        ("candidates", List[str]),  # noqa: UP006
        ("baseline", str),
        ("parameters", str),
        ("curate", str),
        ("sft", str),
        ("predictors", str),
        ("gate", str),
        ("race", str),
        ("rl", str),
        ("benchmark", str),
    ],
):
    """Checks the recipe before anything expensive runs, expands the sweep and estimates its cost.

    Args:
        settings: All other parameters, by their flat names.
        run_name: Name of the pipeline run.
        races: Whether the pipeline was built with a race.
        plan: What will run and what it is expected to cost.

    Returns:
        The candidates to measure as JSON, the base model first; the pipeline's parameters; and the settings of each stage.
    """
    parameters = dict(locals())
    given = {"summary": parameters.pop("plan"), **{name: parameters.pop(name) for name in ("run_name", "races")}}
    from rlready.run.launch import launch

    return tuple(launch("plan", parameters=parameters, **given))
