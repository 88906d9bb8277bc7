"""The generated pages of docs/reference and the README of every component (make docs)."""

import argparse
import inspect
import json
from collections.abc import Iterator

from rlready.cli.parser import COMMANDS
from rlready.config import SECTIONS, Parameter, list_parameters

PARAMETERS = """\
# Parameters

What a recipe, `--set` or the KFP form may set. Parameters with a star are fields of the form; the others are keys of its field
`settings`. The form puts the number of the section before each name, as in `6_gate_k`, because KFP sorts its fields.
`make docs` generates this page from the declarations in [rlready/config/](../../rlready/config/)."""
COMMAND_PAGE = """\
# Commands

`make docs` generates this page from the commands in [rlready/cli/](../../rlready/cli/). Defaults are in parentheses."""


def write_parameters() -> str:
    """Returns every parameter as Markdown: one table per section, with defaults, bounds and the sources of the defaults."""
    lines = [PARAMETERS]
    for section, kind in SECTIONS.items():
        lines += ["", f"## {section}", "", inspect.getdoc(kind) or "", ""]
        lines += ["| parameter | default | bounds | what it is | default from |", "|---|---|---|---|---|"]
        lines += [_write_parameter(p) for p in list_parameters().values() if p.name.startswith(f"{section}_")]
    return "\n".join([*lines, ""])


def write_commands() -> str:
    """Returns every command as Markdown: what it does, an example, and a table of its arguments."""
    lines = [COMMAND_PAGE]
    for name, module in COMMANDS.items():
        command = argparse.ArgumentParser(add_help=False)
        module.add_arguments(command)
        lines += ["", f"## rlready {name}", "", module.TEXT, "", "```", module.EXAMPLE, "```", ""]
        lines += ["| argument | meaning |", "|---|---|", *_write_arguments(command)]
    return "\n".join([*lines, ""])


def _write_arguments(command: argparse.ArgumentParser) -> Iterator[str]:
    for action in command._actions:
        value = "" if action.nargs == 0 else action.metavar or (action.choices and "{" + ",".join(action.choices) + "}")
        value = value if value is not None else action.dest.upper()
        names = ", ".join(action.option_strings)
        yield write_row(f"`{names} {value}`" if names and value else f"`{names or value}`", action.help or "")


def _write_parameter(parameter: Parameter) -> str:
    name = f"`{parameter.name}`" + " *" * parameter.form
    default = json.dumps(parameter.default) if parameter.default not in ("", [], {}) else "empty"
    return write_row(name, default, _describe_bounds(parameter), parameter.description, parameter.source)


def write_row(*cells: str) -> str:
    """Returns a row of a table in Markdown."""
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _describe_bounds(parameter: Parameter) -> str:
    if parameter.choices:
        return ", ".join(map(str, parameter.choices))
    bounds = ((">", parameter.above), ("≥", parameter.least), ("≤", parameter.most))
    return ", ".join(f"{sign} {bound:g}" for sign, bound in bounds if bound is not None)
