"""MLflow's store where it is a file: whole or not there, and what is said where it is neither."""

import sqlite3
from dataclasses import replace

import pytest
from helpers.tracked import FULL

from rlready.cli.result import print_places
from rlready.tracking import client, log, runs, store


@pytest.fixture
def half(empty_store, tmp_path, monkeypatch):
    """Returns a store as it is left where its making is stopped: some tables are there, and no word of how far it came."""
    path = tmp_path / "mlflow.db"
    path.write_bytes(empty_store.read_bytes())
    with sqlite3.connect(path) as connection:
        connection.execute("drop table issues")
        connection.execute("delete from alembic_version")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")
    for name in ("_unreachable", "_reported"):
        monkeypatch.setattr(client, name, set())
    return path


def test_a_making_that_is_stopped_leaves_nothing_behind_that_the_next_one_stumbles_over(tmp_path, monkeypatch):
    from mlflow.store.db import utils

    def stop(engine):
        raise KeyboardInterrupt

    path = tmp_path / "work" / "mlflow.db"
    with store.hold_lock(path):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(utils, "_upgrade_db", stop)
            store.make(path)
        assert not path.exists()
        (path.parent / "mlflow.db.new-a").mkdir()  # what a kill leaves
        (path.parent / "mlflow.db.new-a" / "mlflow.db").write_text("half")
        store.make(path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")
    monkeypatch.setattr(client, "_unreachable", set())
    log.log_outcome(FULL, "run-1")
    assert runs.read_experiment() == "1"
    assert not list(path.parent.glob("*.new-*"))


def test_a_store_that_cannot_be_opened_is_not_tried_again_and_again(tmp_path, monkeypatch, capsys):
    from mlflow.store.db import utils

    waits: list[float] = []
    (tmp_path / "a store" / "mlflow.db").mkdir(parents=True)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/a%20store/mlflow.db")
    monkeypatch.setattr(utils.time, "sleep", waits.append)
    for name in ("_unreachable", "_reported"):
        monkeypatch.setattr(client, name, set())
    log.log_outcome(FULL, "run-1")
    assert "OperationalError" in capsys.readouterr().out
    assert not waits
    assert [path.name for path in tmp_path.iterdir()] == ["a store"]


def test_half_a_store_is_named_with_the_way_out_and_never_offered(half, tmp_path, monkeypatch, capsys):
    log.log_outcome(FULL, "run-1")
    said = capsys.readouterr().out
    assert said.startswith(
        f"tracking: lost ({half} is an incomplete MLflow store, because its creation was stopped; move it away"
    )
    assert f"mv {half} {half}.broken" in said
    print_places(tmp_path / "run", tmp_path, tracked=False)
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["report", "work"]
    half.rename(tmp_path / "mlflow.db.broken")
    monkeypatch.setattr(client, "_unreachable", set())
    print_places(tmp_path / "run", tmp_path, tracked=True)  # `rlready report`, and no store
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["report", "work"]


def test_a_store_that_opens_is_offered_with_the_page_to_look_at(mlflow_client, tmp_path, capsys):
    log.log_outcome(replace(FULL, links={}))
    print_places(tmp_path / "run", tmp_path)
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert f"--backend-store-uri sqlite:///{tmp_path}/mlflow.db" in lines["start"]
    assert "/#/experiments/1/runs?viewStateShareKey=rlready" in lines["compare"]


@pytest.mark.parametrize(
    ("content", "error", "said"),
    [
        (
            b"no database, but long enough to look like one" * 30,
            "file is not a database",
            "not an MLflow store .* move it away",
        ),
        (b"", "(sqlite3.OperationalError) database or disk is full", "its disk is full; free some space"),
        (
            b"",
            "Detected out-of-date database schema (found version a)",
            "an older MLflow; run: mlflow db upgrade sqlite:///",
        ),
        (b"", "Can't locate revision identified by 'a'", "a newer MLflow than the installed one"),
        (b"", "database is locked", None),
    ],
)
def test_what_a_file_lacks_is_said_with_what_to_do(content, error, said, tmp_path):
    import re

    path = tmp_path / "mlflow.db"
    path.write_bytes(content)
    line = store.describe_fault(path, RuntimeError(error))
    assert line is said if said is None else re.search(said, line) and line.startswith(str(path))
