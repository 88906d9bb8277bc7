"""Imports point one way: config and core, then stage logic, then component.py, then pipelines; and light stages stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SHARED = {"config", "core", "list_machine"}
STAGES = {"plan", "curate", "sft", "predictors", "gate", "rl", "benchmark", "report"}
# The rooms of core, the ground floor first: each imports only what lies on a floor below, or stands in the same room.
FLOORS = (
    {"records", "candidate", "elsewhere", "verdicts", "serialization", "models", "outputs", "storage"}
    | {"printable", "prompts", "weights", "yaml_text"},
    {"estimators", "verifier", "runtime"},
    {"data", "thresholds"},
    {"sampling", "training", "tracking"},
    {"evaluation"},
    {"launch"},
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
MODULES = sorted([*(ROOT / "components").rglob("*.py"), *(ROOT / "pipelines").rglob("*.py")])


def list_imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


@pytest.mark.parametrize("path", sorted((ROOT / "components").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_imports_only_what_lies_below_it(path):
    inside = path.relative_to(ROOT / "components")
    layer = inside.parts[0].removesuffix(".py")
    for name in list_imports(path):
        assert not name.startswith("rlready.pipelines"), name
        if name.startswith("kfp"):
            assert path.name == "component.py", f"{inside} imports {name}"
        if name.startswith("rlready.components."):
            target = name.split(".")[2]
            allowed = (
                SHARED
                | ({layer} if layer in STAGES else set())
                | ({"images"} if path.name == "component.py" else set())
            )
            assert target in allowed, f"{inside} imports {name}"
            assert layer != "config" or target == "config", f"config imports {name}"


@pytest.mark.parametrize(
    "path", sorted((ROOT / "components/core").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT))
)
def test_a_room_of_core_imports_only_lower_floors(path):
    inside = path.relative_to(ROOT / "components" / "core")
    room = inside.parts[0].removesuffix(".py")
    for name in list_imports(path):
        parts = name.split(".")
        if room != "__init__" and parts[:3] == ["rlready", "components", "core"] and parts[3] != room:
            assert FLOOR[parts[3]] <= FLOOR[room], f"{inside} imports {name}"
            assert FLOOR[parts[3]] < FLOOR[room] or FLOOR[room] == 0, f"{inside} imports {name}, on the same floor"


def test_no_modules_import_each_other_in_a_circle():
    names = {
        "rlready." + ".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p for p in MODULES
    }
    graph = {}
    for module, path in names.items():
        found = {".".join(name.split(".")[:size]) for name in list_imports(path) for size in range(2, 9)}
        graph[module] = {n for n in found & names.keys() if n != module and not module.startswith(n + ".")}
    state, trail = {}, []

    def visit(module):
        trail.append(module)
        state[module] = "open"
        for target in sorted(graph[module]):
            assert state.get(target) != "open", " -> ".join([*trail[trail.index(target) :], target])
            if target not in state:
                visit(target)
        state[module] = "done"
        trail.pop()

    for module in graph:
        if module not in state:
            visit(module)


@pytest.mark.parametrize("path", sorted((ROOT / "components").rglob("component.py")), ids=lambda p: p.parent.name)
def test_component_bodies_are_thin(path):
    for function in ast.parse(path.read_text()).body:
        if isinstance(function, ast.FunctionDef):
            body = function.body[1:]
            assert body[-1].end_lineno - body[0].lineno < 15, function.name


@pytest.mark.parametrize("module", ["plan.__main__", "gate.__main__", "report.__main__", "curate.__main__"])
def test_light_stages_do_not_import_torch(module):
    code = (
        f"import sys, rlready.components.{module}; sys.exit(any(m in sys.modules for m in ('torch', 'mlflow', 'kfp')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
