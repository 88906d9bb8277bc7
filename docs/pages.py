"""Writes the generated pages: parameters, commands, and a README per component (python docs/pages.py, make docs)."""

import importlib
import inspect
import json
from collections.abc import Iterator
from pathlib import Path

import docstring_parser

from rlready.cli.command import COMMANDS, Command
from rlready.config import SECTIONS, Parameter, list_parameters
from rlready.placement.placement import Placement, load_placement
from rlready.records.outcome import STAGES

PLACED = ("qwen3-4b", "llama3-8b")  # recipes whose requests a component's README shows
PARAMETERS = """\
# Parameters

Recipes, `--set` and the KFP form set these parameters. Those with a star are fields of the form; the others are keys of its
field `settings`. The form puts the number of the section before each name, as in `6_gate_k`, because KFP sorts its fields.
In the last column, *paper* is [Quagmires in SFT-RL Post-Training](https://arxiv.org/abs/2510.01624), and *laptop miniature* the
recipe `laptop`. `make docs` generates this page from the declarations in [rlready/config/](../../rlready/config/)."""
COMMAND_PAGE = """\
# Commands

`make docs` generates this page from the commands in [rlready/cli/](../../rlready/cli/). Defaults are in parentheses."""


def write_parameters() -> str:
    """Returns the page of parameters: one table per section, with defaults, bounds and the sources of the defaults."""
    lines = [PARAMETERS]
    for section, kind in SECTIONS.items():
        lines += ["", f"## {section}", "", inspect.getdoc(kind) or "", ""]
        lines += ["| parameter | default | bounds | what it is | source of the default |", "|---|---|---|---|---|"]
        lines += [_write_parameter(p) for p in list_parameters().values() if p.name.startswith(f"{section}_")]
    return "\n".join([*lines, ""])


def write_commands() -> str:
    """Returns the page of commands: for each its purpose, an example, and a table of its arguments."""
    lines = [COMMAND_PAGE]
    for name, text in COMMANDS.items():
        command = importlib.import_module(f"rlready.cli.{name}").COMMAND
        lines += ["", f"## rlready {name}", "", text, "", "```", command.example, "```", ""]
        lines += ["| argument | meaning |", "|---|---|", *_write_arguments(command)]
    return "\n".join([*lines, ""])


def _write_arguments(command: Command) -> Iterator[str]:
    for action in command._actions[1:]:  # without --help
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
    return ", ".join(f"{sign} {bound:,}" for sign, bound in bounds if bound is not None)


def write_component(stage: str) -> str:
    """Returns a component's README: its purpose, its inputs and outputs, and what its pods request."""
    component = getattr(importlib.import_module(f"rlready.components.{stage}.component"), stage)
    parsed, spec = docstring_parser.parse(inspect.getdoc(component.python_func) or ""), component.component_spec
    texts = dict.fromkeys(list_parameters(), "see [parameters](../../docs/reference/parameters.md)")
    texts |= {parameter.arg_name: parameter.description or "" for parameter in parsed.params}
    lines = [f"# {stage}", "", parsed.short_description or ""]
    lines += ["", "`make docs` generates this page from [component.py](component.py) and the recipes."]
    for title, entries in (("Inputs", spec.inputs), ("Outputs", spec.outputs)):
        lines += ["", f"## {title}", "", "| name | type | what it is |", "|---|---|---|"]
        for name, entry in (entries or {}).items():
            kind = entry.type.removeprefix("system.").removeprefix("typing.").partition("@")[0]
            kind = f"List[{kind}]" if getattr(entry, "is_artifact_list", False) else kind
            optional = " (optional)" if getattr(entry, "optional", False) else ""
            lines.append(write_row(f"`{name}`", kind + optional, texts.get(name, "")))
    if parsed.returns:
        lines += ["", f"Returns: {parsed.returns.description}"]
    lines += ["", "## Resources", "", "What the `placement:` part of a recipe requests per pod:", ""]
    lines += ["| recipe | GPUs | CPUs | memory | /dev/shm |", "|---|---|---|---|---|"]
    placements = {"default": Placement()} | {name: load_placement(name)[stage] for name in PLACED}
    for name, given in placements.items():
        sizes = (f"{given.cpus:g}" if given.cpus else "", given.memory, given.shared_memory)
        lines.append(write_row(name, str(given.gpus), *(size or "cluster's default" for size in sizes)))
    return "\n".join([*lines, ""])


def write_pages() -> dict[str, str]:
    """Returns every generated page by its path from the root of the repository."""
    pages = {"docs/reference/parameters.md": write_parameters(), "docs/reference/commands.md": write_commands()}
    return pages | {f"components/{stage}/README.md": write_component(stage) for stage in STAGES}


if __name__ == "__main__":
    for path, text in write_pages().items():
        (Path(__file__).parents[1] / path).write_text(text)
