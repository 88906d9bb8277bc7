"""The README of every component, generated from its component.py and the placements of the recipes (make docs)."""

import importlib
import inspect
import sys
from pathlib import Path

import docstring_parser

from rlready.cli.page import write_commands, write_parameters, write_row
from rlready.config import list_parameters
from rlready.placement.placement import Placement, load_placement
from rlready.records.outcome import STAGES

PLACED = ("qwen3-4b", "llama3-8b")  # recipes whose requests a README shows


def write_component(stage: str) -> str:
    """Returns a component's README as Markdown: what it does, its inputs and outputs, and what its pods request."""
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
        (Path(sys.argv[1]) / path).write_text(text)
