"""The laptop recipe with changes."""

from rlready.config.recipes import load_recipe


def laptop(**changes):
    return load_recipe("laptop", []) | {"gate_audit_fraction": 0.0} | changes
