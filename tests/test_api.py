"""The Python API: the example in the docs runs, importing the package stays light, and every name is there."""

import re
import shutil
import subprocess
import sys

import pytest
from helpers import CASES, ROOT, logs

import rlready


def test_the_example_in_the_docs_runs(tmp_path, monkeypatch, capsys):
    code = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "reference" / "api.md").read_text(), re.DOTALL)[1]
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs" / "my-run"
    folder.mkdir(parents=True)
    shutil.copy(CASES / "outcomes-schema2.json", folder / "outcomes.json")
    exec(compile(code, "docs/reference/api.md", "exec"), {"__name__": "example"})
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "[True, False]"
    assert re.fullmatch(r"mine: Pass@4 0\.\d\d \[0\.\d\d, 0\.\d\d\]", printed[2])
    assert printed[3].endswith("] True") and printed[4].startswith("approved - Pass@4 ")
    assert len(printed) > 5


def test_the_example_for_logs_of_other_tools_runs(tmp_path, monkeypatch, capsys):
    code = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "guide" / "measured.md").read_text(), re.DOTALL)[1]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "logs").mkdir()
    for name in "ab":
        logs.write_plain(tmp_path / "logs", f"{name}.jsonl")
    exec(compile(code, "docs/guide/measured.md", "exec"), {"__name__": "example"})
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("Estimate(value=0.66") and "b approved Pass@4 0.667 >= 0.05" in "\n".join(printed)
    assert printed[-1].split()[1:] == ["b", "approved", "0.666667"] and "<table" in (tmp_path / "report.html").read_text()


def test_every_name_is_there_and_no_other():
    assert all(getattr(rlready, name) for name in rlready.__all__) and set(rlready.__all__) <= set(dir(rlready))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        rlready.nothing  # noqa: B018


def test_importing_the_package_is_light():
    code = "import sys, rlready; sys.exit(any(name in sys.modules for name in ('numpy', 'torch', 'kfp', 'mlflow')))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
