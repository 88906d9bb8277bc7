"""A KFP server behind a login: dex, oauth2-proxy and identity proxies as they answer, over TLS with a CA of its own."""

import json
import logging
import shlex
import traceback

import pytest
from helpers.gateway import PREFIX, SECRET, Gateway, dex, page, start, write_certificates
from helpers.kfp_server import IMAGE, rlready

from rlready.errors import InputError
from rlready.run.kfp import follow
from rlready.run.kfp import server as kfp
from rlready.run.kfp.runs import find_newest_run


def oauth2_proxy(request):
    request.answer(403, f"<html>Sign in with OpenID Connect {SECRET}</html>".encode())


def api_of_oauth2_proxy(request):
    request.answer(401, json.dumps({"message": f"no session for {SECRET}"}).encode(), "application/json")


def identity_proxy(request):
    request.answer(401, f"Invalid IAP credentials: {SECRET}".encode(), "text/plain")


def istio(request):
    request.answer(403, b"RBAC: access denied", "text/plain")


def write_command(folder, text, status=0):
    """Returns a command that prints a text to one stream and nothing to the other."""
    (folder / "printer.sh").write_text(f"echo {shlex.quote(text)} >&{2 if status else 1}; exit {status}")
    return f"sh '{folder}/printer.sh'"


@pytest.mark.parametrize("way", ["KFP_TOKEN", "KF_PIPELINES_SA_TOKEN_PATH", "command", "ExecCredential", "KFP_COOKIE"])
def test_every_kind_of_credential_gets_in(gate, server, monkeypatch, tmp_path, way):
    (tmp_path / "token").write_text(f"{SECRET}\n")
    text = json.dumps({"kind": "ExecCredential", "status": {"token": SECRET}}) if way == "ExecCredential" else SECRET
    values = {"KFP_TOKEN": SECRET, "KF_PIPELINES_SA_TOKEN_PATH": str(tmp_path / "token")}
    values["KFP_COOKIE"] = f"oauth2_proxy_kubeflow={SECRET}; theme=dark"
    name = way if way in values else "KFP_TOKEN_COMMAND"
    monkeypatch.setenv(name, values.get(way) or write_command(tmp_path, text))
    gate.accepted = {f"oauth2_proxy_kubeflow={SECRET}"} if way == "KFP_COOKIE" else gate.accepted
    assert rlready(monkeypatch, "submit", "--image", IMAGE) == 0
    assert server.made["runs"] and server.documents  # the upload of a file came through as well
    assert all(len(sent) == (2 if way == "KFP_COOKIE" else 1) for sent in gate.asked)


@pytest.mark.parametrize("sent", [True, False])
@pytest.mark.parametrize(
    ("refuse", "message"),
    [
        (dex, "redirects (302) to a login page, {host}/dex/auth; "),
        (oauth2_proxy, "requires a login (403); "),
        (api_of_oauth2_proxy, "requires a login (401): no session for ***; "),
        (identity_proxy, "requires a login (401): Invalid IAP credentials: ***; "),
        (page, "answers with a web page; either KFP is below a path such as /pipeline, or this is a login: "),
    ],
)
def test_a_login_page_is_described_with_what_to_set_and_nothing_secret(gate, monkeypatch, caplog, refuse, message, sent):
    caplog.set_level(logging.DEBUG, "urllib3"), caplog.set_level(logging.DEBUG)
    gate.accepted, gate.refuse = {"nothing"}, refuse
    if sent:
        monkeypatch.setenv("KFP_TOKEN", SECRET)
    with pytest.raises(InputError) as caught:
        kfp.connect()
    advice = "it does not accept KFP_TOKEN: has it expired? " if sent else "set KFP_COOKIE to the session cookie"
    expected = message.format(host=gate.host).replace("***", "***" if sent else SECRET)
    assert str(caught.value).startswith(f"{gate.host}{PREFIX}: {expected}{advice}")
    if sent:
        assert SECRET not in "".join(traceback.format_exception(caught.value)) + caplog.text


def test_doctor_reports_an_account_without_permission(gate, server, monkeypatch, capsys):
    monkeypatch.setenv("KFP_TOKEN", SECRET)
    monkeypatch.setenv("KFP_NAMESPACE", "team-b")
    server.health["v2beta1"] = {"multi_user": True, "pipeline_store": "database"}
    server.failures["namespace=team-b"] = lambda r: r.answer(403, {"code": 7, "message": "not authorized in team-b"})
    assert rlready(monkeypatch, "doctor") == 2
    assert "does not allow this (403): not authorized in team-b; the token's account needs" in capsys.readouterr().out
    gate.refuse, gate.accepted = istio, set()
    assert rlready(monkeypatch, "doctor") == 2
    assert "does not allow this (403): RBAC: access denied; the token's account" in capsys.readouterr().out
    monkeypatch.delenv("KFP_TOKEN")
    with pytest.raises(InputError, match="requires a login .403.: RBAC: access denied; set KFP_COOKIE"):
        kfp.connect()


def test_a_users_namespace_is_that_of_every_request(gate, server, monkeypatch):
    monkeypatch.setenv("KFP_TOKEN", SECRET)
    monkeypatch.setenv("KFP_NAMESPACE", "team-a")
    server.health["v2beta1"] = {"multi_user": True, "pipeline_store": "database"}
    server.failures["runs?"] = lambda r: r.answer(200 if "namespace=team-a" in r.path else 403, {})
    assert rlready(monkeypatch, "submit", "--image", IMAGE) == 0
    assert {entry["namespace"] for kind in ("pipelines", "experiments") for entry in server.made[kind]} == {"team-a"}


@pytest.mark.parametrize(
    ("outside", "message"),
    [
        ((200, b"<html>Dashboard</html>"), "answers with a web page; either KFP is below a path such as /pipeline"),
        ((404, b"<html>nginx</html>"), "does not have this .404.; .* with its path, such as https://host/pipeline"),
        ((404, b"404 page not found", "text/plain"), "with its path, such as https://host/pipeline"),
    ],
)
def test_a_wrong_path_is_described(gate, monkeypatch, outside, message):
    monkeypatch.setenv("KFP_TOKEN", SECRET)
    gate.outside = outside
    with pytest.raises(InputError, match=message):
        kfp.connect(gate.host)


def test_credentials_do_not_follow_a_redirect(gate, monkeypatch):
    arrived = []

    class Elsewhere(Gateway):
        def do_GET(self):
            arrived.append(dict(self.headers))
            self.answer(200)

    elsewhere = start(Elsewhere)
    address = f"http://localhost:{elsewhere.server_port}"
    monkeypatch.setenv("KFP_TOKEN", SECRET)
    monkeypatch.setenv("KFP_COOKIE", f"session={SECRET}")
    gate.accepted = set()
    gate.refuse = lambda request: request.answer(307, Location=f"{address}{request.path}?token={SECRET}")
    with pytest.raises(InputError) as caught:
        kfp.connect()
    assert str(caught.value).endswith(f"redirects (307) to {address}{PREFIX}; give that address")
    elsewhere.shutdown()
    assert not arrived


@pytest.mark.parametrize(
    ("name", "refuse"),
    [
        ("KFP_TOKEN_COMMAND", dex),
        ("KFP_TOKEN_COMMAND", identity_proxy),
        ("KFP_TOKEN_COMMAND", page),
        ("KF_PIPELINES_SA_TOKEN_PATH", oauth2_proxy),
    ],
)
def test_a_token_that_ends_while_a_run_is_followed_is_read_again(gate, server, monkeypatch, tmp_path, name, refuse):
    """The gateway accepts each token twice; who prints or writes tokens has the next one by then."""
    counter, file, served = tmp_path / "counter", tmp_path / "token", [0]
    (tmp_path / "next.sh").write_text(f"touch {counter}; echo token-$(wc -c < {counter}); printf x >> {counter}")
    command = f"sh {tmp_path}/next.sh"
    monkeypatch.setenv(name, command if name == "KFP_TOKEN_COMMAND" else str(file))
    file.write_text("token-0")

    class Accepted:
        def __rand__(self, sent):
            token = sent & {f"Bearer token-{served[0] // 2}"}
            served[0] += bool(token)
            file.write_text(f"token-{served[0] // 2}")
            return token

    gate.accepted, gate.refuse = Accepted(), refuse
    server.progress = [*({"run_id": "runs-0", "state": "RUNNING"},) * 2, {"run_id": "runs-0", "state": "SUCCEEDED"}]
    list(follow.follow(kfp.connect(), "runs-0", pause=0))
    assert served[0] > 6
    if name == "KFP_TOKEN_COMMAND":
        assert len(counter.read_text()) == 1 + (served[0] - 1) // 2  # and not once a request


def test_a_refused_token_is_renewed_only_once(gate, monkeypatch, tmp_path):
    monkeypatch.setenv("KFP_TOKEN_COMMAND", write_command(tmp_path, "stale"))
    with pytest.raises(InputError, match="redirects .302. to a login page.* it does not accept KFP_TOKEN_COMMAND"):
        kfp.connect()
    assert gate.asked == [{"Bearer stale"}]  # the same token again would be refused again


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("KFP_TOKEN", f"{SECRET}\n{SECRET}", "KFP_TOKEN: expected one token, without spaces or line breaks"),
        ("KFP_TOKEN", f"{SECRET}ü", "KFP_TOKEN: expected one token"),
        ("KFP_COOKIE", SECRET, "KFP_COOKIE: expected name=value, as the browser sends it"),
        ("KFP_COOKIE", f"a={SECRET}\r\nX: y", "KFP_COOKIE: expected name=value"),
        ("KF_PIPELINES_SA_TOKEN_PATH", "/nowhere/token", "KF_PIPELINES_SA_TOKEN_PATH: /nowhere/token cannot be read"),
        ("KFP_TOKEN_COMMAND", f"no-such-program --password {SECRET}", "KFP_TOKEN_COMMAND: no-such-program cannot be run"),
        ("KFP_TOKEN_COMMAND", f"'sh {SECRET}", "cannot be run .is it quoted as"),
        ("KFP_TOKEN_COMMAND", "printed", "gave no token .exit status 3.: not logged in"),
        ("KFP_TOKEN_COMMAND", "true", "true gave no token .exit status 0."),
        ("KFP_TOKEN_COMMAND", f"sh -c 'echo {SECRET}; exit 3'", "sh gave no token .exit status 3."),
        ("KFP_TOKEN_COMMAND", f"echo '{{\"token\": \"{SECRET}\"}}'", "printed JSON, but no ExecCredential"),
        ("KFP_HOST", f"https://user:{SECRET}@127.0.0.1/pipeline", "an address without user and password"),
    ],
)  # fmt: skip
def test_an_invalid_credential_is_described_and_not_shown(gate, monkeypatch, tmp_path, caplog, name, value, message):
    caplog.set_level(logging.DEBUG, "urllib3"), caplog.set_level(logging.DEBUG)
    monkeypatch.setenv(name, write_command(tmp_path, "not logged in", 3) if value == "printed" else value)
    with pytest.raises(InputError, match=message) as caught:
        kfp.connect()
    assert SECRET not in "".join(traceback.format_exception(caught.value)) + caplog.text
    assert not gate.asked


def test_a_wrong_certificate_is_described_with_what_to_set(gate, monkeypatch, tmp_path):
    monkeypatch.setenv("KFP_TOKEN", SECRET)
    assert find_newest_run(kfp.connect()) == ""
    for path, message in (
        ("", "certificate is from an unknown CA; set KFP_SSL_CA_CERT to the CA's file"),
        (tmp_path / "none.pem", "KFP_SSL_CA_CERT: .*none.pem is not a certificate file .*No such file"),
        (__file__, "KFP_SSL_CA_CERT: .*test_credentials.py is not a certificate file"),
    ):
        monkeypatch.setenv("KFP_SSL_CA_CERT", str(path))
        with pytest.raises(InputError, match=message):
            kfp.connect()
    other = tmp_path / "other"
    other.mkdir()
    write_certificates(other, "kubeflow.example.com")
    httpd = start(Gateway, other)
    monkeypatch.setenv("KFP_SSL_CA_CERT", str(other / "ca.pem"))
    with pytest.raises(InputError, match="its certificate is for another name .*use that name"):
        kfp.connect(f"https://127.0.0.1:{httpd.server_port}")
    httpd.shutdown()
    assert all(sent == {f"Bearer {SECRET}"} for sent in gate.asked)
