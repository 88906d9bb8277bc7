"""The parameters as `rlready run --help` lists them: first those of the KFP form, which people change, then by stage."""

import json

from rlready.config import SECTIONS, Parameter, list_parameters


def list_texts() -> str:
    """Returns every parameter with its default and description, under the heading of its stage."""
    parameters = list_parameters()
    groups = {"common": [parameter for parameter in parameters.values() if parameter.form]}
    for section in SECTIONS:
        others = [p for p in parameters.values() if p.name.startswith(f"{section}_") and not p.form]
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
