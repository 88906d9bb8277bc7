"""Imports point one way: config and core, then stage logic, then component.py, then pipelines; and light stages stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SHARED = {"config", "core", "list_machine"}
STAGES = {"plan", "curate", "sft", "predictors", "gate", "rl", "benchmark", "report"}


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
            assert layer != "config", f"config imports {name}"


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
