"""Training checkpoints: found again by the same work and source only, and never by two runs at once. And models' digests."""

import errno
import fcntl
import os
import shutil
import subprocess
import sys

import pytest

from rlready.errors import InputError
from rlready.models.load import digest_folder, digest_weights
from rlready.runtime import source
from rlready.runtime.failures import lacks_space
from rlready.training.checkpoints import WHOLE, count_seconds, find_last, keep_last, open_folder

HOLD = """
import sys
from rlready.runtime.failures import lacks_space
from rlready.training.checkpoints import count_seconds, find_last, keep_last, open_folder
with open_folder("rl", ["work"], sys.argv[1]) as folder:
    found = [path.name for path in folder.iterdir()]
    half = folder / "checkpoint-5"
    half.mkdir()
    print(*found, flush=True)
    sys.stdin.readline()
    assert half.exists(), "the other run has removed it"
    print("done", flush=True)
"""


def start(place):
    environment = {name: value for name, value in os.environ.items() if name != "RLREADY_CHECKPOINTS"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment}
    return subprocess.Popen([sys.executable, "-c", HOLD, str(place)], **pipes)


def test_a_second_run_of_the_same_work_waits_and_says_so(tmp_path):
    first = start(tmp_path / "model")
    assert first.stdout.readline() == "\n"
    second = start(tmp_path / "model")
    assert "rl: another run does the same work in" in second.stdout.readline()
    assert first.communicate("\n")[0] == "done\n" and first.returncode == 0
    assert second.communicate("\n")[0] == "\ndone\n" and second.returncode == 0
    assert not list((tmp_path / "checkpoints").iterdir())


def test_a_killed_run_leaves_its_whole_checkpoints_and_no_lock(tmp_path):
    first = start(tmp_path / "model")
    first.stdout.readline()
    (folder,) = (path for path in (tmp_path / "checkpoints").iterdir() if path.is_dir())
    (folder / "checkpoint-5").rename(folder / "checkpoint-3")
    keep_last(folder, 1.0)
    (folder / "checkpoint-5").mkdir()
    first.kill()
    first.wait()
    second = start(tmp_path / "model")
    assert second.stdout.readline() == "rlready: resumed from step 3 after an interruption\n"
    assert second.stdout.readline() == "checkpoint-3\n"  # and the half-written one is gone
    second.communicate("\n")


DIE_WHILE_REMOVING = """
import os, pathlib, sys
from rlready.training.checkpoints import keep_last, open_folder

def die(event, arguments):
    if event == "shutil.rmtree":
        for weights in pathlib.Path(arguments[0]).rglob("weights"):  # files are removed in any order
            weights.unlink()
            os._exit(9)

with open_folder("rl", ["work"], sys.argv[1]) as folder:
    (folder / "checkpoint-5").mkdir()
    (folder / "checkpoint-5" / "weights").touch()
    keep_last(folder, 1.0)
    sys.addaudithook(die)
"""


def test_a_run_killed_while_it_removes_its_checkpoints_leaves_no_part_of_one_to_resume_from(tmp_path, monkeypatch):
    monkeypatch.delenv("RLREADY_CHECKPOINTS", raising=False)
    assert subprocess.run([sys.executable, "-c", DIE_WHILE_REMOVING, str(tmp_path / "model")]).returncode == 9
    with open_folder("rl", ["work"], tmp_path / "model") as folder:
        assert not list(folder.iterdir())
    assert not list((tmp_path / "checkpoints").iterdir())


def test_work_that_fails_keeps_its_checkpoints(tmp_path):
    with pytest.raises(ZeroDivisionError), open_folder("sft", ["work"], tmp_path / "model") as folder:
        raise ZeroDivisionError
    assert folder.exists() and not list(tmp_path.rglob("*.lock"))


def test_the_old_checkpoint_goes_when_the_new_one_is_whole(tmp_path):
    for step in (9, 10):
        (tmp_path / f"checkpoint-{step}" / "part").mkdir(parents=True)
        (tmp_path / f"checkpoint-{step}" / "part" / "weights").write_text("w")
        if step == 9:
            keep_last(tmp_path, 1.5)
    # Killed while the second was written: the first is what counts.
    assert find_last(tmp_path) == str(tmp_path / "checkpoint-9") and count_seconds(tmp_path) == 1.5
    # Killed while the first was removed: the second counts.
    (tmp_path / "checkpoint-10" / WHOLE).write_text("2.5")
    assert find_last(tmp_path) == str(tmp_path / "checkpoint-10")
    keep_last(tmp_path, 2.5)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-10"] and count_seconds(tmp_path) == 2.5
    assert count_seconds(tmp_path / "nothing") == 0


def test_work_on_another_number_of_processes_has_another_folder(tmp_path, monkeypatch):
    folders = set()
    for processes in ("1", "2"):
        monkeypatch.setenv("WORLD_SIZE", processes)
        with open_folder("sft", ["work"], tmp_path / "model") as folder:
            folders.add(folder)
    assert len(folders) == 2


def test_only_the_first_process_of_all_pods_makes_the_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("LOCAL_RANK", "0")  # the first of the second pod
    with open_folder("sft", ["work"], tmp_path / "model") as folder:
        assert not folder.exists()


def test_without_locks_a_run_finds_its_own_checkpoints_only(tmp_path, monkeypatch, capsys):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    for run in ("run-1", "run-1", "run-2"):
        monkeypatch.setenv("RLREADY_RUN_ID", run)
        with pytest.raises(ZeroDivisionError), open_folder("sft", ["work"], tmp_path / "model") as folder:
            raise ZeroDivisionError
        assert folder.name.endswith(run)
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2
    assert "this file system has no locks" in capsys.readouterr().out


def test_a_volume_that_cannot_be_written_to_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("RLREADY_CHECKPOINTS", str(tmp_path / "file" / "checkpoints"))
    with pytest.raises(InputError, match="checkpoints cannot be written to .*; it must be writable for user"):
        open_folder("sft", ["work"], tmp_path / "model").__enter__()


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), True),
        (OSError(errno.EACCES, "Permission denied"), False),
        (Exception("Error while serializing: I/O error: No space left on device (os error 28)"), True),
        (RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0"), True),
        (RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"), True),
        (RuntimeError("CUDA error"), False),
    ],
)
def test_a_full_disk_is_known_by_whoever_found_it(error, full):
    assert lacks_space(error) == full


def test_edited_code_or_another_library_resumes_no_old_checkpoint(tmp_path, monkeypatch):
    def name(stage):
        with open_folder(stage, ["work"], tmp_path / "model") as folder:
            return folder.name

    copy = tmp_path / "rlready"
    shutil.copytree(source.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(source, "PACKAGE", copy)
    before = name("rl"), name("sft")
    with (copy / "stages" / "rl" / "stage.py").open("a") as file:
        file.write("# edited\n")
    assert name("rl") != before[0] and name("sft") == before[1]
    known = source.find_libraries()
    assert known.keys() >= {"accelerate", "datasets", "deepspeed", "numpy", "peft", "sympy", "tokenizers", "vllm"}
    monkeypatch.setattr(source, "find_libraries", lambda: known | {"accelerate": "0.0"})
    assert name("sft") != before[1]


def test_the_digest_of_a_model_is_that_of_its_contents_however_large_and_however_old(tmp_path):
    """A sparse file of 65 MB stands for a shard of weights."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    with (folder / "model.safetensors").open("wb") as file:
        file.truncate(65 << 20)
    before, weights = digest_folder(folder), digest_weights(folder)
    shutil.copytree(folder, tmp_path / "copy", copy_function=shutil.copyfile)
    os.utime(folder / "model.safetensors", ns=(0, 0))
    assert digest_folder(folder) == before == digest_folder(tmp_path / "copy")
    stat = (folder / "model.safetensors").stat()
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(40 << 20)
        file.write(b"x")
    os.utime(folder / "model.safetensors", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert digest_folder(folder) != before and digest_weights(folder) != weights
    changed = digest_folder(folder)
    (folder / "config.json").rename(folder / "other.json")
    assert digest_folder(folder) != changed


def test_checkpoints_take_a_tenth_of_the_time_at_most(monkeypatch, tmp_path):
    from types import SimpleNamespace

    from transformers import TrainerControl, TrainerState

    from rlready.training import trainer

    clock = [100.0]
    monkeypatch.setattr(trainer, "time", SimpleNamespace(time=lambda: clock[0]))

    def train(step_takes, saving_takes, steps, processes=1):
        """Returns at which steps a checkpoint is written, where one is due after each."""
        callback, saved = trainer.SaveCheckpoints(tmp_path / f"{saving_takes}-{processes}", clock[0], None), []
        arguments = SimpleNamespace(world_size=processes)
        for step in range(steps):
            control = TrainerControl(should_save=True)
            clock[0] += step_takes
            callback.on_step_end(arguments, TrainerState(), control)
            if control.should_save:
                clock[0] += saving_takes
                (callback.folder / f"checkpoint-{step}").mkdir(parents=True)
                callback.on_save(arguments, TrainerState(), control)
                saved.append(step)
        return saved

    assert train(step_takes=10, saving_takes=0.5, steps=5) == [0, 1, 2, 3, 4]
    assert train(step_takes=10, saving_takes=5, steps=12) == [0, 5, 10]
    assert train(step_takes=10, saving_takes=5, steps=3, processes=2) == [0, 1, 2]
