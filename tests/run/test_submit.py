"""Runs on a KFP server: what is sent, checked against the server's own models, and what every failure says."""

import re
import time

import pytest
from helpers.kfp_server import IMAGE, rlready

from rlready.config import complete_parameters
from rlready.config.recipes import load_recipe
from rlready.errors import InputError
from rlready.run.kfp import runs
from rlready.run.kfp import server as kfp


def test_submit_makes_what_is_missing_and_starts_a_run(server, monkeypatch, capsys):
    monkeypatch.setenv("KFP_TOKEN", "s3cret")
    command = ("submit", "--image", IMAGE, "--set", "gate_k=16", "--service-account", "rlready-runner")
    assert rlready(monkeypatch, *command) == 0
    assert rlready(monkeypatch, *command, "--set", "gate_min_pass_at_k=0.4", "--experiment", "second") == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [f"{server.host}/#/runs/details/runs-{n}" for n in (0, 1)]
    # One pipeline, and one version of it: the parameters go with the run.
    (pipeline,), (version,) = server.made["pipelines"], server.made["pipeline_versions"]
    assert pipeline["display_name"] == "rlready" and re.fullmatch(r"laptop-[0-9a-f]{12}", version["name"])
    # The UI shows what comes with the upload, in a panel without a scroll bar.
    assert "`6_gate`: When a candidate" in version["description"] == pipeline["description"]
    assert len(version["description"]) < 1000
    assert [entry["display_name"] for entry in server.made["experiments"]] == ["rlready", "second"]
    first, second = server.made["runs"]
    assert complete_parameters(first["runtime_config"]["parameters"]) == load_recipe("laptop", ["gate_k=16"])
    assert second["runtime_config"]["parameters"]["6_gate_min_pass_at_k"] == 0.4
    assert first["pipeline_version_reference"] == {"pipeline_id": "pipelines-0", "pipeline_version_id": "version-0"}
    assert (first["experiment_id"], second["experiment_id"]) == ("experiments-0", "experiments-1")
    assert "node Report" in first["description"]
    assert first["service_account"] == "rlready-runner"
    defaults = server.documents[0]["root"]["inputDefinitions"]["parameters"]
    assert defaults["6_gate_k"]["defaultValue"] == 64
    images = {e["container"]["image"] for e in server.documents[0]["deploymentSpec"]["executors"].values()}
    assert images == {IMAGE}
    assert set(server.tokens) == {"Bearer s3cret"}
    assert "s3cret" not in out + err


def test_a_race_that_only_the_command_asks_for_is_compiled(server, monkeypatch):
    for changes, races in (((), False), (("--set", "race_steps=20"), True)):
        assert rlready(monkeypatch, "submit", "--image", IMAGE, *changes) == 0
        assert ("race" in server.documents[0]["root"]["dag"]["tasks"]) == races


def test_two_users_submit_the_same_at_once(server, monkeypatch):
    """The second lists before the first has made it, and the server makes it once (storage/pipeline_store.go:965)."""
    command = ("submit", "--image", IMAGE)
    assert rlready(monkeypatch, *command) == 0
    server.hidden |= {"pipelines", "pipeline_versions", "experiments"}
    assert rlready(monkeypatch, *command) == 0
    assert not server.hidden
    first, second = server.made["runs"]
    assert first["pipeline_version_reference"] == second["pipeline_version_reference"]
    assert first["experiment_id"] == second["experiment_id"]


def test_tracking_that_is_down_is_no_matter_before_a_run_exists(server, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert rlready(monkeypatch, "submit", "--image", IMAGE) == 0
    assert capsys.readouterr() == (f"{server.host}/#/runs/details/runs-0\n", "")


def test_the_token_of_a_pod_is_read_again_for_every_request(server, monkeypatch, tmp_path):
    file = tmp_path / "token"
    file.write_text("one\n")
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(file))
    connection = kfp.connect()
    file.write_text("two\n")
    runs.open_experiment(connection, "e")
    assert server.tokens == ["Bearer one", "Bearer two", "Bearer two"]


def test_a_schedule_of_runs(server, monkeypatch, capsys):
    assert rlready(monkeypatch, "submit", "--image", IMAGE, "--every", "30 3 * * 1") == 0
    (schedule,) = server.made["recurringruns"]
    assert schedule["trigger"] == {"cron_schedule": {"cron": "0 30 3 * * 1"}}
    assert (schedule["mode"], schedule["max_concurrency"], schedule["no_catchup"]) == ("ENABLE", "1", True)
    assert capsys.readouterr().out == f"{server.host}/#/recurringrun/details/recurringruns-0\n"
    assert not server.made["runs"]


def test_a_server_for_several_users_gets_the_namespace(server, monkeypatch, tmp_path):
    server.health["v2beta1"] = {"multi_user": True, "pipeline_store": "database"}
    with pytest.raises(InputError, match="set --namespace or KFP_NAMESPACE"):
        kfp.connect()
    monkeypatch.setattr(kfp, "NAMESPACE_FILE", tmp_path / "namespace")
    kfp.NAMESPACE_FILE.write_text("team-a\n")
    assert kfp.connect().namespace == "team-a"
    runs.open_experiment(kfp.connect(namespace="team-b"), "e")
    assert server.made["experiments"][0]["namespace"] == "team-b"


def refuse(status, message=""):
    return lambda request: request.answer(status, {"error": "x", "code": 7, "message": message} if message else b"")


def hang(request):
    time.sleep(1.5)


def close(request):
    request.connection.close()


@pytest.mark.parametrize(
    ("where", "failure", "message"),
    [
        ("healthz", refuse(401), r"requires a login \(401\); it does not accept KFP_TOKEN: has it"),
        (
            "healthz",
            refuse(403, "RBAC: access denied"),
            r"does not allow this \(403\): RBAC: access denied; the token's",
        ),
        ("healthz", refuse(302), r"redirects \(302\) to a login page, http://127.0.0.1:\d+/dex/login; it does not"),
        ("healthz", refuse(404), "does not have this .*; is it the address of a KFP server"),
        ("healthz", refuse(500, "boom\nbang"), r"refuses \(500 Internal Server Error\): boom bang"),
        ("healthz", lambda r: r.answer(200, b"<html>Welcome</html>", "text/html"), "answers with a web page"),
        ("healthz", lambda r: r.answer(200, {"status": "fine"}), "not as a KFP server does"),
        ("healthz", lambda r: r.answer(200, [1]), "not as a KFP server does"),
        ("healthz", hang, "no answer within 1 seconds"),
        ("healthz", close, r"cannot be reached \(Remote end closed connection without response\)"),
        ("healthz", lambda r: r.wfile.write(b"\0\0\x18\4\0"), "answers, but not as a web server does"),
        ("/pipelines?", refuse(403, "no"), r"does not allow this \(403\): no"),
        ("/pipelines", lambda r: r.answer(200, b"<html>"), "not as a KFP server does"),
        (
            "upload_version",
            refuse(400, "The pipeline spec is invalid"),
            "refuses .400 Bad Request.: The pipeline spec is",
        ),
        ("/experiments", hang, "no answer within 1 seconds"),
        ("/runs", refuse(409, "exists"), r"refuses \(409 Conflict\): exists"),
    ],
)
def test_a_server_that_fails_is_one_line(server, monkeypatch, capsys, where, failure, message):
    if failure is hang:
        monkeypatch.setattr(kfp, "TIMEOUT", (1, 1))
    monkeypatch.setenv("KFP_TOKEN", "s3cret")
    server.failures[where] = failure
    assert rlready(monkeypatch, "submit", "--image", IMAGE) == 2
    out, err = capsys.readouterr()
    assert not out
    (line,) = err.splitlines()
    assert line.startswith(f"rlready: {server.host}: ") and re.search(message, line), line
    assert "s3cret" not in line


@pytest.mark.parametrize(
    ("new", "old", "message"),
    [
        ({"multi_user": False}, {"tag_name": "2.5.0"}, "KFP 2.5.0 is older than 2.16"),
        ({"tag_name": "2.15.2", "multi_user": False}, {}, "KFP 2.15.2 is older than 2.16"),
        ({"tag_name": "1.8.22", "multi_user": False}, {}, "KFP 1.8.22 is older"),
    ],
)
def test_an_old_server_is_refused(server, new, old, message):
    server.health = {"v2beta1": new, "v1beta1": old}
    with pytest.raises(InputError, match=message):
        kfp.connect()


def test_a_server_that_does_not_say_its_version_is_taken(server):
    server.health = {"v2beta1": {"multi_user": False}, "v1beta1": {"tag_name": "unknown"}}
    assert kfp.connect().version == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--image", IMAGE, "--host", "localhost:8080"], "expected an address that begins with http"),
        (["--image", IMAGE, "--host", "http://127.0.0.1:1"], "cannot be reached .*port-forward"),
        (["--image", IMAGE, "--host", "https://127.0.0.1:1"], "cannot be reached"),
        ([], "--image: missing"),
        (["--image", "rlready:latest"], "is a tag"),
        (["--image", IMAGE, "--every", "at noon"], "--every 'at noon': expected minute"),
        (["--image", IMAGE, "--every", "0 3 * * 1", "--follow"], "not possible with --every"),
        (["--image", IMAGE, "--set", "curate_sft_data=train.jsonl"], "is a path on this machine"),
        (["--image", IMAGE, "--set", "base_model=./model"], "is a path on this machine"),
        (
            ["--image", IMAGE, "--set", "sweep_candidates=[{model: ./a}]"],
            "sweep_candidates: ./a is a path on this machine",
        ),
        (
            ["--image", IMAGE, "--set", "curate_rl_data=traces.arrow"],
            "curate_rl_data: traces.arrow is a path on this machine",
        ),
        (
            ["--image", IMAGE, "--set", "curate_evaluation_data=math_500, ./t.jsonl"],
            "evaluation_data: ./t.jsonl is a path",
        ),
        (
            ["--image", IMAGE, "--set", 'curate_decontaminate=["math_500", "../m.parquet"]'],
            "decontaminate: ../m.parquet is",
        ),
        (
            ["--image", IMAGE, "--set", 'curate_sources={"mine": {"path": "data/mine"}}'],
            "curate_sources: data/mine is a path",
        ),
        (["--image", IMAGE, "--set", "base_measured=b.jsonl"], "base_measured: b.jsonl is a path on this machine"),
        (
            ["--image", IMAGE, "--set", "sweep_candidates=[{measured: s3://logs/a.jsonl, loss: a.json}]"],
            "sweep_candidates: a.json is a path on this machine",
        ),
        (
            ["--image", IMAGE, "--set", "sweep_candidates=[{measured: a.jsonl, loss: 1.5}]"],
            "sweep_candidates: a.jsonl is a path on this machine",
        ),
        (["--image", IMAGE, "--mirror", "copies"], "curate_mirror: copies is a path on this machine"),
        (["--image", IMAGE, "--set", "gate_kk=1"], "did you mean gate_k"),
    ],
)
def test_a_wrong_submission_is_one_line_and_sends_nothing(server, monkeypatch, capsys, arguments, message):
    assert rlready(monkeypatch, "submit", *arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(message, line), line
    assert not any(server.made.values())


def test_a_server_must_be_named(server, monkeypatch):
    monkeypatch.delenv("KFP_HOST")
    with pytest.raises(InputError, match="no KFP server: give --host or set KFP_HOST"):
        kfp.connect()


def test_a_tls_server_with_an_unknown_certificate_is_one_line(server):
    with pytest.raises(InputError, match="cannot be reached|no secure connection"):
        kfp.connect(server.host.replace("http", "https"))
