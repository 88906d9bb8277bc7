"""The built wheel holds every package and file that the source tree has, and imports without it."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import yaml
from helpers import ROOT


def test_the_wheel_holds_everything_and_imports(tmp_path):
    # From a copy: setuptools would take files that are gone from an old build folder, and leave one behind.
    source = tmp_path / "source"
    for folder in ("rlready", "components", "pipelines"):
        shutil.copytree(ROOT / folder, source / folder, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if name.startswith("rlready/")}
        archive.extractall(tmp_path / "site")
    folders = [ROOT / "rlready", ROOT / "rlready" / "components", ROOT / "rlready" / "pipelines"]
    kept = {
        str(path.relative_to(ROOT))
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".md" and "__pycache__" not in path.parts
    }
    assert held == kept
    # -S and -I keep the editable install out; the libraries come in by hand, behind the wheel's contents.
    libraries = str(Path(yaml.__file__).parent.parent)
    code = (
        f"import sys; sys.path[:0] = [{str(tmp_path / 'site')!r}, {libraries!r}]; import rlready.cli as c;"
        "from rlready.config.recipes import list_recipes; from rlready.models.load import BUILTIN;"
        f"assert c.__file__.startswith({str(tmp_path)!r}); assert 'laptop' in list_recipes();"
        "assert all((p / 'model.safetensors').exists() for p in BUILTIN.values())"
    )
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True)
