"""The work folder: how large it is, what no kept run needs, and that nothing is removed while a run is alive."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers.kfp_server import rlready

from rlready.run.local import storage

# Runs from the oldest to the newest: the keys that each looked up, and whether it finished.
RUNS = {"old": ("a", "b", True), "last": ("b", "c", True), "stopped": ("d", "", False)}


def test_folders_are_for_their_user_alone_and_others_keep_their_mode(tmp_path):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o775)
    before = os.umask(0)
    storage.make_private(tmp_path / "shared", tmp_path / "shared" / "run", tmp_path / "runs")
    os.umask(before)
    modes = {name: oct((tmp_path / name).stat().st_mode)[-3:] for name in ("shared", "shared/run", "runs")}
    assert modes == {"shared": "775", "shared/run": "700", "runs": "700"}


def test_runs_that_begin_in_the_same_second_have_folders_of_their_own(tmp_path):
    with ThreadPoolExecutor(3) as threads:
        folders = [*threads.map(lambda name: storage.make_run(tmp_path / "runs", name), ["rank"] * 3)]
    assert len({*folders}) == 3 and all(folder.is_dir() for folder in folders)


@pytest.fixture
def work(tmp_path):
    """A work folder of three runs; the outputs of key x lie in artifacts/of-x, but for d's, which lie beside b's."""
    (tmp_path / "cache").mkdir()
    for key in "abcd":
        place = tmp_path / "artifacts" / f"of-{'b' if key == 'd' else key}" / "sft" / f"model-{key}"
        place.mkdir(parents=True)
        (place / "model.safetensors").touch()
        os.truncate(place / "model.safetensors", 2_000_000)
        held = {"__kfp_artifact__": True, "uri": str(place), "metadata": {}}
        (tmp_path / "cache" / f"{key}.json").write_text(json.dumps({"model": held, "seconds": 1.5, "names": ["x"]}))
    (tmp_path / "artifacts" / "of-b" / "sft" / "executor_output.json").write_text("{}")
    for age, (name, (*keys, finished)) in enumerate(reversed(RUNS.items())):
        run = tmp_path / name
        run.mkdir()
        (run / storage.PARAMETERS).write_text("{}")
        (run / storage.TAKEN).write_text("".join(f"{key}\n" for key in keys if key))
        if finished:
            (run / storage.RESULT).write_text("{}")
        os.utime(run / storage.PARAMETERS, (1e9 - age * 100,) * 2)
    for name, written in (("sft-abandoned", 1e9 - 1000), ("rl-to-go-on-with", 1e9)):
        (tmp_path / "checkpoints" / name / "checkpoint-3").mkdir(parents=True)
        os.utime(tmp_path / "checkpoints" / name / "checkpoint-3", (written, written))
        os.utime(tmp_path / "checkpoints" / name, (1e9 - 1000,) * 2)
    (tmp_path / "mlflow.db").write_text("kept")
    return tmp_path


def list_files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.name.startswith(".")}


def test_only_what_no_kept_run_needs_goes(work, monkeypatch, capsys):
    before = list_files(work)
    assert rlready(monkeypatch, "clean", "--work", str(work), "--dry-run") == 0
    said = capsys.readouterr().out
    assert list_files(work) == before
    assert "keeps       last and everything it needs" in said and "keeps       stopped and everything it needs" in said
    assert "reports, records and logs of 1 other run" in said and "would go    3 outputs and 1 cached result" in said
    assert rlready(monkeypatch, "clean", "--work", str(work)) == 0
    assert "removes     3 outputs and 1 cached result, 2 MB" in (said := capsys.readouterr().out)
    assert said.splitlines()[-1].endswith("holds 6 MB")
    gone = {path for path in before - list_files(work)}
    assert {path for path in gone if path.count("/") == 1} == {
        "cache/a.json",
        "artifacts/of-a",
        "checkpoints/sft-abandoned",
    }
    assert "artifacts/of-b/sft/executor_output.json" in gone
    assert {"artifacts/of-b/sft/model-b", "artifacts/of-b/sft/model-d", "old/outcomes.json"} <= list_files(work)
    assert rlready(monkeypatch, "clean", "--work", str(work), "--dry-run") == 0
    assert "0 outputs and 0 cached results" in capsys.readouterr().out


def test_more_runs_are_kept_on_request(work, monkeypatch, capsys):
    (work / "first").mkdir()
    (work / "first" / storage.PARAMETERS).write_text("{}")
    os.utime(work / "first" / storage.PARAMETERS, (1e9 - 1000,) * 2)
    assert rlready(monkeypatch, "clean", "--work", str(work), "--keep", "2") == 0
    said = capsys.readouterr().out
    assert (work / "cache" / "a.json").exists() and "keeps       old and everything" in said and "keeps       first" not in said


def test_nothing_is_removed_while_a_run_is_alive_and_a_killed_run_does_not_count(work, monkeypatch, capsys):
    code = (
        "import sys, pathlib; from rlready.run.local import storage\n"
        "work = pathlib.Path(sys.argv[1])\n"
        "with storage.share_lock(work), storage.lock_run(work / 'stopped'):\n    print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(work)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    before = list_files(work)
    assert rlready(monkeypatch, "clean", "--work", str(work)) == 2
    assert f"stopped is running in {work}; wait until it ends, or stop it" in capsys.readouterr().err
    assert list_files(work) == before
    holder.kill()
    holder.wait()
    assert rlready(monkeypatch, "clean", "--work", str(work)) == 0


def test_a_run_that_starts_waits_until_cleaning_has_ended(work):
    code = "import pathlib, sys; from rlready.run.local import storage\n"
    code += "with storage.share_lock(pathlib.Path(sys.argv[1])): pass"
    with storage.claim_lock(work):
        run = subprocess.Popen([sys.executable, "-c", code, str(work)])
        with pytest.raises(subprocess.TimeoutExpired):
            run.wait(timeout=4)
    assert run.wait(timeout=60) == 0


def test_what_a_run_of_an_earlier_version_needs_is_not_guessed(work, monkeypatch, capsys):
    (work / "last" / storage.TAKEN).unlink()
    assert rlready(monkeypatch, "clean", "--work", str(work)) == 2
    assert "last: run by an earlier version, so it is not known what it needs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--work", "nowhere"], "--work nowhere: no such folder"),
        (["--work", "empty"], "no run here"),
        (["--work", "empty", "--keep", "0"], "--keep 0: must be at least 1; to remove everything, delete"),
    ],
)
def test_what_cannot_be_cleaned_is_said(tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert rlready(monkeypatch, "clean", *options) == 2
    assert message in capsys.readouterr().err


def test_sizes_count_files_once_and_no_links(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "data").write_bytes(b"x" * 500)
    (tmp_path / "a" / "link").symlink_to(tmp_path / "a" / "b")
    length = (tmp_path / "a" / "link").lstat().st_size
    assert storage.measure(tmp_path) == storage.measure(tmp_path / "a") == 500 + length
    assert storage.measure(tmp_path / "nowhere") == 0
