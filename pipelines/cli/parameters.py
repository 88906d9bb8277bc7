"""The parameters as `rlready run --help` lists them: the common ones first, then the others by stage."""

import json

from rlready.components.config import SECTIONS, Parameter, list_parameters

COMMON = (
    "base_model",
    "curate_sft_data",
    "curate_evaluation_data",
    "sweep_epochs",
    "sweep_subsets",
    "sweep_examples",
    "sweep_learning_rates",
    "sweep_seeds",
    "predictors_samples",
    "sampling_max_tokens",
    "gate_mode",
    "gate_k",
    "gate_min_pass_at_k",
    "gate_max_rl_runs",
    "rl_steps",
)


def list_texts() -> str:
    """Returns every parameter with its default and description, under the heading of its stage."""
    parameters = list_parameters()
    groups = {"common": [parameters[name] for name in COMMON]}
    for section in SECTIONS:
        others = [p for p in parameters.values() if p.name.startswith(f"{section}_") and p.name not in COMMON]
        if others:
            groups[section] = others
    return "\n".join(
        ["parameters of --set and recipes, with their defaults", *(_write_group(*group) for group in groups.items())]
    )


def _write_group(title: str, parameters: list[Parameter]) -> str:
    lines = [f"\n{title}:"]
    for parameter in parameters:
        lines += [f"  {parameter.name} = {json.dumps(parameter.default)}", f"      {parameter.description}"]
    return "\n".join(lines)
