"""A gateway with a login in front of a server."""

import datetime
import http.client
import ipaddress
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from rlready.run.kfp import credentials

SECRET = "eyJhbGciOiJSUzI1NiJ9.c2VjcmV0.c2lnbmF0dXJl"


PREFIX = "/pipeline"


def write_certificates(folder, name="127.0.0.1"):
    """Writes ca.pem, and server.pem with a certificate that the CA signed for a name or an address."""
    keys = {part: ec.generate_private_key(ec.SECP256R1()) for part in ("ca", "server")}
    now = datetime.datetime.now(datetime.UTC)

    def make(part, extensions):
        about = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, n)]) for n in (part, "ca")]
        made = x509.CertificateBuilder(*reversed(about), keys[part].public_key(), x509.random_serial_number())
        made = made.not_valid_before(now - datetime.timedelta(1)).not_valid_after(now + datetime.timedelta(1))
        for extension in extensions:
            made = made.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return made.sign(keys["ca"], hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    (folder / "ca.pem").write_bytes(make("ca", [x509.BasicConstraints(True, None)]))
    named = x509.IPAddress(ipaddress.ip_address(name)) if name[0].isdigit() else x509.DNSName(name)
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    certificate = make("server", [x509.SubjectAlternativeName([named])])
    (folder / "server.pem").write_bytes(keys["server"].private_bytes(*form) + certificate)


class Gateway(BaseHTTPRequestHandler):
    """Passes on what carries a credential that it accepts and is below its prefix; refuses the rest as it is told to."""

    def do_GET(self):
        gate = self.server.gate
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        sent = {self.headers.get("Authorization", ""), *self.headers.get("Cookie", "").split("; ")} - {""}
        gate.asked.append(sent)
        if not sent & gate.accepted:
            return gate.refuse(self)
        if not self.path.startswith(f"{PREFIX}/"):
            return self.answer(*gate.outside)
        upstream = http.client.HTTPConnection(urlsplit(gate.upstream).netloc)
        named = getattr(gate, "sends", None)  # by which the proxy itself is known there
        sends = dict(self.headers) | ({"Authorization": named, "Host": upstream.host} if named else {})
        upstream.request(self.command, self.path.removeprefix(PREFIX), body, sends)
        answer = upstream.getresponse()
        self.answer(answer.status, answer.read(), answer.headers["Content-Type"])

    do_POST = do_GET

    def answer(self, status, body=b"", kind="text/html", **headers):
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


def start(handler, certificates=None):
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    httpd.handle_error = lambda *arguments: None  # of clients that trust no CA
    if certificates:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificates / "server.pem")
        httpd.socket = context.wrap_socket(httpd.socket, server_side=True)
    threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True).start()
    return httpd


# How those who are not known are refused; the answers repeat what was sent, as careless servers do.
def dex(request):
    """Istio with oauth2-proxy and skip_provider_button, as Kubeflow installs them."""
    request.answer(302, Location=f"/dex/auth?client_id=kubeflow&state={SECRET}")


def page(request):
    request.answer(200, f"<html>Log in {SECRET}</html>".encode())


@pytest.fixture
def gate(server, monkeypatch, tmp_path):
    """Starts a gateway with TLS before the KFP server; yields what it accepts and what it was sent."""
    write_certificates(tmp_path)
    httpd = start(Gateway, tmp_path)
    httpd.gate = SimpleNamespace(
        accepted={f"Bearer {SECRET}"},
        refuse=dex,
        outside=(200, b"<html>Kubeflow Central Dashboard</html>"),
        upstream=server.host,
        asked=[],
        host=f"https://127.0.0.1:{httpd.server_port}",
        ca=tmp_path / "ca.pem",
    )
    for name in (*credentials.NAMES, credentials.CA, "KFP_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KFP_HOST", f"{httpd.gate.host}{PREFIX}")
    monkeypatch.setenv("KFP_SSL_CA_CERT", str(httpd.gate.ca))
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    yield httpd.gate
    httpd.shutdown()
    httpd.server_close()
