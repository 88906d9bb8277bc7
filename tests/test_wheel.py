"""The source distribution and the wheel built from it hold what the source tree has, and no more; the wheel imports."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import yaml
from helpers import ROOT


def test_the_distributions_hold_everything_and_the_wheel_imports(tmp_path):
    # From a copy: setuptools would take files that are gone from an old build folder, and leave one behind.
    source = tmp_path / "source"
    for folder in ("rlready", "components", "pipelines", "tests"):
        shutil.copytree(ROOT / folder, source / folder, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("MANIFEST.in", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(tmp_path), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    ((sdist,), (wheel,)) = (tmp_path.glob(f"*{suffix}") for suffix in (".tar.gz", ".whl"))
    with tarfile.open(sdist) as archive:
        top = {name.split("/")[1] for name in archive.getnames() if "/" in name}
    made = {"PKG-INFO", "setup.cfg", "rlready.egg-info"}
    assert top == made | {"MANIFEST.in", "pyproject.toml", "README.md", "LICENSE", "rlready"}
    with zipfile.ZipFile(wheel) as archive:
        held, licences = ({n for n in archive.namelist() if part in n} for part in ("rlready/", "/licenses/"))
        archive.extractall(tmp_path / "site")
    folders = [ROOT / "rlready", ROOT / "rlready" / "components", ROOT / "rlready" / "pipelines"]
    kept = {
        str(path.relative_to(ROOT))
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".md" and "__pycache__" not in path.parts
    }
    assert held == kept and len(licences) == 1
    # -S and -I keep the editable install out; the libraries come in by hand, behind the wheel's contents.
    libraries = str(Path(yaml.__file__).parent.parent)
    code = (
        f"import sys; sys.path[:0] = [{str(tmp_path / 'site')!r}, {libraries!r}]; import rlready.cli as c;"
        "from rlready.config.recipes import list_recipes; from rlready.models.load import BUILTIN;"
        f"assert c.__file__.startswith({str(tmp_path)!r}); assert 'laptop' in list_recipes();"
        "assert all((p / 'model.safetensors').exists() for p in BUILTIN.values())"
    )
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True)
