"""Imports point one way, down the layers of the library; no circle of files or of folders; and light stages stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ROOT

# The ground floor first. A folder or file imports what lies on a lower line, or left of it on its own.
LAYERS = (
    ("errors", "list_machine", "countdown"),
    ("escape", "config", "stats", "verifier", "records", "rewards"),
    ("runtime", "gate"),
    ("models", "data"),
    ("training", "sampling", "tracking"),
    ("evaluation", "analysis", "measured"),
    ("stages",),
    ("run/launch",),
    ("placement",),
    ("components",),
    ("pipelines",),
    ("run",),
    ("cli",),
    ("",),  # rlready/__init__.py imports its names when they are first used
)
FLOOR = {name: (floor, place) for floor, names in enumerate(LAYERS) for place, name in enumerate(names)}
STAGES = ("plan", "curate", "sft", "predictors", "gate", "race", "rl", "benchmark", "report")
MODULES = {}
for folder in ("rlready", "components", "pipelines"):
    for path in sorted((ROOT / folder).rglob("*.py")):
        if not any(parent.is_symlink() for parent in path.parents):
            inside = path.relative_to(ROOT) if folder == "rlready" else Path("rlready") / path.relative_to(ROOT)
            MODULES[".".join(inside.with_suffix("").parts).removesuffix(".__init__")] = path


def list_imports(path: Path) -> set[str]:
    """Returns the modules of the library that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name for name in names if name in MODULES and name != "rlready"}


IMPORTS = {module: list_imports(path) - {module} for module, path in MODULES.items()}


def find_layer(module: str) -> str:
    parts = module.split(".")
    return "run/launch" if parts[1:3] == ["run", "launch"] else parts[1] if len(parts) > 1 else ""


@pytest.mark.parametrize("module", sorted(IMPORTS))
def test_a_module_imports_only_what_lies_below_it(module):
    layer = find_layer(module)
    for name in IMPORTS[module]:
        below = find_layer(name)
        assert below == layer or FLOOR[below] < FLOOR[layer], f"{module} imports {name}"
        assert "verifier" not in module or below in ("verifier", "errors"), f"{module} imports {name}"


@pytest.mark.parametrize("stage", STAGES)
def test_stages_meet_only_in_what_lies_below_them(stage):
    for module, names in IMPORTS.items():
        if module.startswith(f"rlready.stages.{stage}."):
            others = [name for name in names if name.split(".")[1] == "stages" and name.split(".")[2:3] != [stage]]
            assert not others, f"{module} imports {others}"


def test_only_components_and_the_pipeline_import_kfp_at_the_top():
    for module, path in MODULES.items():
        if find_layer(module) not in ("components", "pipelines", "placement", "run", "cli"):
            assert "import kfp" not in path.read_text() and "from kfp" not in path.read_text(), module


def find_circle(graph: dict[str, set[str]]) -> str:
    state, trail = {}, []

    def visit(node):
        trail.append(node)
        state[node] = "open"
        for target in sorted(graph.get(node, ())):
            if state.get(target) == "open":
                return " -> ".join([*trail[trail.index(target) :], target])
            if target not in state and (found := visit(target)):
                return found
        state[node] = "done"
        trail.pop()
        return ""

    return next((found for node in sorted(graph) if node not in state and (found := visit(node))), "")


def test_no_files_import_each_other_in_a_circle():
    # A package's __init__ is imported with every module in it.
    assert not find_circle({m: {n for n in names if not m.startswith(n + ".")} for m, names in IMPORTS.items()})


def test_no_folders_import_each_other_in_a_circle():
    folders = {}
    for module, names in IMPORTS.items():
        own = MODULES[module].parent
        if module == "rlready":
            continue
        folders.setdefault(str(own), set()).update(str(MODULES[n].parent) for n in names if MODULES[n].parent != own)
    assert not find_circle(folders)


@pytest.mark.parametrize("path", sorted((ROOT / "components").rglob("component.py")), ids=lambda p: p.parent.name)
def test_component_bodies_are_thin(path):
    for function in ast.parse(path.read_text()).body:
        if isinstance(function, ast.FunctionDef):
            body = function.body[1:]
            assert body[-1].end_lineno - body[0].lineno < 15, function.name


@pytest.mark.parametrize("stage", ["plan", "gate", "report", "curate"])
def test_light_stages_do_not_import_torch(stage):
    code = f"import sys, rlready.stages.{stage}.stage; sys.exit(any(m in sys.modules for m in ('torch', 'mlflow', 'kfp')))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
