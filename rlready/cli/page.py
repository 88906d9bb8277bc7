"""The page of parameters: python -m rlready.cli.page > docs/reference/parameters.md (make docs)."""

import inspect
import json

from rlready.config import SECTIONS, Parameter, list_parameters

START = """\
# Every parameter

You want to know what a recipe, `--set` or the KFP form may say. Those with a star are fields of the form, the others are
keys of its field `settings`. A field has the number of its section before its name, as in `6_gate_k`, because KFP sorts the
form. `make docs` writes this page from the declarations in
[rlready/config/](../../rlready/config/)."""


def write_page() -> str:
    """Returns every parameter as Markdown: a table a section, with defaults, bounds and where the defaults come from."""
    lines = [START]
    for section, kind in SECTIONS.items():
        lines += ["", f"## {section}", "", inspect.getdoc(kind), ""]
        lines += ["| parameter | default | bounds | what it is | default from |", "|---|---|---|---|---|"]
        lines += [_write_row(p) for p in list_parameters().values() if p.name.startswith(f"{section}_")]
    return "\n".join([*lines, ""])


def _write_row(parameter: Parameter) -> str:
    name = f"`{parameter.name}`" + " *" * parameter.form
    default = json.dumps(parameter.default) if parameter.default not in ("", [], {}) else "empty"
    cells = (name, default, _describe_bounds(parameter), parameter.description, parameter.source)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _describe_bounds(parameter: Parameter) -> str:
    if parameter.choices:
        return ", ".join(map(str, parameter.choices))
    bounds = ((">", parameter.above), ("≥", parameter.least), ("≤", parameter.most))
    return ", ".join(f"{sign} {bound:g}" for sign, bound in bounds if bound is not None)


if __name__ == "__main__":
    print(write_page(), end="")
