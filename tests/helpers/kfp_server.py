"""A KFP server of the tests' own, as far as the command line sees one, and the Argo workflows that it keeps of runs."""

import base64
import email
import functools
import gzip
import json
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import kfp_server_api
import pytest
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from helpers import openapi
from rlready import cli
from rlready.config.recipes import load_recipe
from rlready.placement.placement import parse_placement
from rlready.run.kfp.package import write_package

IMAGE = "registry.example/rlready@sha256:" + "0" * 64
BODIES = {
    "pipelines": "V2beta1Pipeline",
    "experiments": "V2beta1Experiment",
    "runs": "V2beta1Run",
    "recurringruns": "V2beta1RecurringRun",
}
IDS = {
    "pipelines": "pipeline_id",
    "experiments": "experiment_id",
    "runs": "run_id",
    "recurringruns": "recurring_run_id",
}
UNIQUE = {"pipelines", "pipeline_versions", "experiments"}  # kinds of which no two have one name


class Kfp(BaseHTTPRequestHandler):
    """A KFP server as far as a submission sees it; it refuses what the models do not allow, and remembers the rest."""

    def do_GET(self):
        state, (kind, *rest), query = self.read_request()
        if self.interfere(state):
            return None
        if kind == "healthz":
            return self.answer(200, state.health[self.path.split("/")[2]])
        if "/artifacts/get" in self.path or "/k8s/pod/logs" in self.path or rest[-1:] == ["log"]:
            return self.hand_out(state, rest, query)
        if kind == "runs" and not rest:
            found = state.past if query.get("filter") is None else []
            return self.answer(200, {"runs": found[: int(query.get("page_size", ["10"])[0])]})
        if kind == "runs" and "v1beta1" in self.path:
            text = json.dumps(state.workflow) if state.workflow else ""
            return self.answer(200, {"run": {}, "pipeline_runtime": {"workflow_manifest": text} if text else {}})
        if kind == "runs":
            step = state.progress.pop(0) if len(state.progress) > 1 else state.progress[0]
            run, state.workflow = step if isinstance(step, tuple) else (step, None)
            openapi.read(run, "V2beta1Run", kfp_server_api)
            return self.answer(200, run)
        wanted = json.loads(query["filter"][0])["predicates"][0]
        assert (wanted["operation"], wanted["key"]) == ("EQUALS", "display_name")
        kind = "pipeline_versions" if rest else kind
        found = [entry for entry in state.made[kind] if entry["display_name"] == wanted["stringValue"]]
        if kind in state.hidden:
            state.hidden.remove(kind)
            found = []
        return self.answer(200, {kind: found} if found else {})

    def hand_out(self, state, rest, query):
        """Answers as the API server, with `ui` as the UI's server does; what is not there is told as they tell it."""
        if rest[-1:] == ["log"]:  # runs/RUN/nodes/POD/log; the UI's server does not pass it on
            held = None if state.ui else state.logs.get(rest[2], {"error_message": "not found", "error_details": "x"})
        elif "/k8s/pod/logs" in self.path:
            held = state.logs.get(query["podname"][0]) if state.ui else None
        else:
            address = f"{query['source'][0]}://{query['bucket'][0]}/{query['key'][0]}"
            held = state.artifacts.get(address) if state.ui else None
        if held is None:
            return self.answer(404, b"<html>not here</html>", "text/html")
        return self.answer(200, held.encode() if isinstance(held, str) else held, "text/plain")

    def do_POST(self):
        state, (kind, *rest), query = self.read_request()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.interfere(state):
            return None
        if rest == ["upload_version"]:
            message = email.message_from_bytes(b"Content-Type: " + self.headers["Content-Type"].encode() + b"\n\n" + body)
            (part,) = message.get_payload()
            assert part.get_param("name", header="content-disposition") == "uploadfile"
            documents = list(yaml.safe_load_all(part.get_payload(decode=True)))
            json_format.ParseDict(documents[0], pipeline_spec_pb2.PipelineSpec())
            entry = {k: query[k][0] for k in ("name", "display_name", "description")} | {"pipeline_id": query["pipelineid"][0]}
            entry |= {"pipeline_version_id": f"version-{len(state.made['pipeline_versions'])}"}
            state.documents = documents
            kind = "pipeline_versions"
        else:
            entry = json.loads(body)
            try:
                openapi.read(entry, BODIES[kind], kfp_server_api)
            except ValueError as error:
                return self.answer(400, {"error": str(error)})
            entry[IDS[kind]] = f"{kind}-{len(state.made[kind])}"
        known = [other["display_name"] for other in state.made[kind]]
        if kind in UNIQUE and entry["display_name"] in known:
            return self.answer(409, {"error": "Already exist error", "code": 6})
        state.made[kind].append(entry)
        return self.answer(200, entry)

    def read_request(self):
        url = urlsplit(self.path)
        state = self.server.state
        state.tokens.append(self.headers.get("authorization"))
        return state, url.path.split("/")[3:] or [""], parse_qs(url.query)

    def interfere(self, state):
        """Answers with the failure that is due, if one is."""
        for place, failure in state.failures.items():
            if place in self.path:
                failure(self)
                return True
        return False

    def answer(self, status, body, kind="application/json"):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in (("Content-Type", kind), ("Content-Length", str(len(data))), ("Location", "/dex/login")):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments):
        pass


@pytest.fixture(name="server")
def serve_kfp(monkeypatch):
    """Starts the server; yields what it says and remembers."""
    for name in (
        "KFP_TOKEN",
        "KF_PIPELINES_ENDPOINT",
        "KUBERNETES_SERVICE_HOST",
        "KF_PIPELINES_UI_ENDPOINT",
        "RLREADY_IMAGE",
    ):
        monkeypatch.delenv(name, raising=False)
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Kfp)
    httpd.handle_error = lambda *arguments: None  # of clients that gave up
    current = {"tag_name": "2.17.0", "multi_user": False, "pipeline_store": "database"}
    httpd.state = SimpleNamespace(
        health={"v2beta1": current, "v1beta1": current},
        made={kind: [] for kind in (*BODIES, "pipeline_versions")},
        hidden=set(),  # kinds whose next listing is from before they were made
        progress=[{"run_id": "runs-0", "state": "SUCCEEDED"}],
        workflow=None,  # of the run asked for last
        past=[],  # runs, the newest first
        ui=True,  # whether this is the UI's server, which hands out artifacts, or the API server alone
        logs={},  # texts by pod
        artifacts={},  # texts by address
        failures={},
        tokens=[],
        host=f"http://127.0.0.1:{httpd.server_port}",
    )
    threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("KFP_HOST", httpd.state.host)
    yield httpd.state
    httpd.shutdown()
    httpd.server_close()


def rlready(monkeypatch, *arguments):
    """Runs the command line in this process and returns its exit status."""
    monkeypatch.setattr(sys, "argv", ["rlready", *arguments])
    try:
        cli.main()
    except SystemExit as end:
        return end.code or 0
    return 0


@functools.cache
def list_titles(races=False):
    """Returns what the compiled pipeline calls its tasks for the UI, by their place without the numbers of iterations."""
    changes = ["race_steps=100"] if races else []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rlready.yaml"
        write_package(path, load_recipe("laptop", changes), parse_placement(None), IMAGE)
        spec = next(yaml.safe_load_all(path.read_text()))

    def walk(place, component):
        for name, task in component.get("dag", {}).get("tasks", {}).items():
            yield (*place, name), task["taskInfo"]["name"]
            yield from walk((*place, name), spec["components"][task["componentRef"]["name"]])

    return dict(walk((), spec["root"]))


def write_output(stage, own):
    """Returns the output of a stage's process as KFP's launcher keeps it: that of KFP's executor, and the stage's own."""
    given = json.dumps({"inputs": {"parameterValues": {"gate_k": 64}}, "outputs": {"artifacts": {}}}, indent=4)
    head = "[KFP Executor 2026-11-29 09:00:01,482 INFO]:"
    return "\n".join([
        f"{head} Looking for component `{stage}` in --component_module_path `/tmp/tmp.x/ephemeral_component.py`",
        f"{head} Got executor_input:\n{given}",
        own,
    ])  # fmt: skip


def write_log(output, fault="exit status 1"):
    """Returns the log of the pod of a stage with this output, as KFP 2.17's launcher and Argo 4.0 write around it."""
    clock, child = "1129 09:00:41.204411      17", fault.startswith(("exit", "signal"))
    lines = [
        'time=2026-11-29T09:00:00.931Z level=INFO msg="capturing logs" argo=true',
        "I1129 09:00:00.967120      17 main.go:69] Setting log level to: '1'",
        output,
        f"E{clock} launcher_v2.go:449] Component failed to execute successfully: {fault}"
        if child
        else f'I{clock} launcher_v2.go:1230] ExecutorOutput: {{\n  "parameterValues": {{}}\n}}',
        f"I{clock} launcher_v2.go:867] Executing uploadOutputArtifacts attempt: 1",
        f"I{clock} launcher_v2.go:800] outputArtifact in uploadOutputArtifacts call: executor-logs",
        f"I{clock} launcher_v2.go:206] publish success.",
    ]
    lines += [f"F{clock} main.go:61] failed to execute component: {fault}"] * bool(fault)
    lines.append(f'time=2026-11-29T09:00:41.316Z level=INFO msg="sub-process exited" argo=true error={fault or None!r}')
    return "\n".join([*lines, *["Error: exit status 1"] * bool(fault), ""])


class Argo:
    """The workflow of a run while it happens: nodes with the names and states that a real backend gives them."""

    def __init__(self, name="rlready-x4k9q", races=False, **spec):
        self.name, self.nodes, self.spec, self.races = name, {}, spec, races
        self.logs, self.artifacts = {}, {}  # what the server's state of these names holds
        self.add("", "entrypoint", "Retry", "Running")
        self.add("(0)", "entrypoint", "DAG", "Running")

    def add(self, path, template, kind, phase, inputs=(), outputs=(), **more):
        code = 2166136261
        for byte in (name := self.name + path).encode():
            code = (code ^ byte) * 16777619 & 0xFFFFFFFF  # FNV-1a
        node = {"id": f"{self.name}-{code}", "name": name, "displayName": path.rsplit(".", 1)[-1], "type": kind}
        node |= {"templateName": template, "phase": phase, "startedAt": f"2026-01-01T00:00:{len(self.nodes):06}Z"}
        for side, given in (("inputs", inputs), ("outputs", outputs)):
            if given:
                node[side] = {"parameters": [{"name": key, "value": value} for key, value in dict(given).items()]}
        self.nodes[name] = node | more
        return node["id"].rsplit("-", 1)[-1]

    def twice(self, path, template, kind, phase, **more):
        """Adds a node with the retries that KFP's ConfigMap gives every template around it; returns the inner one's number."""
        self.add(path, template, "Retry", phase, **{k: v for k, v in more.items() if k != "message"})
        return self.add(f"{path}(0)", template, kind, phase, **more)

    def enter(self, place):
        """Returns the path of a graph, with its nodes made where they are not there yet."""
        path = "(0)"
        for part in ("root", *place):
            steps = [part] if isinstance(part, str) else [f"iteration-iterations({part}:{part})", "iteration-item"]
            for step in steps:
                path += f".{step}"
                if self.name + path not in self.nodes:
                    self.twice(path, step, "DAG", "Running")
                path += "(0)"
        return path

    def loop(self, *place, count):
        """Begins a loop of so many items."""
        path = self.enter(place)
        self.twice(f"{path}.iteration-driver", "system-dag-driver", "Pod", "Succeeded", outputs={"iteration-count": str(count)})

    def task(self, *place, state, candidate=None, artifacts=(), message="", output="", fault=""):
        """Brings the task of a stage to a state; returns the pod that it runs in, if it has one.

        States are those of a step, and failed-driver and skipped. The stage writes its output; the launcher ends with a fault.
        """
        path = f"{self.enter(place[:-1])}.{place[-1]}"
        driver = {"waiting-driver": "Pending", "failed-driver": "Error", "starting": "Running"}.get(state, "Succeeded")
        title = list_titles(self.races).get(tuple(part for part in place if isinstance(part, str)))
        about = {"task": json.dumps({"taskInfo": {"name": title}})} if title else {}
        number = self.twice(f"{path}-driver", "system-container-driver", "Pod", driver, inputs=about, message=message)
        if driver != "Succeeded":
            return f"{self.name}-system-container-driver-{number}"
        if state == "skipped":
            self.add(path, "system-container-executor", "Skipped", "Omitted")
            return ""
        whole = {"done": "Succeeded", "cached": "Succeeded", "failed": "Failed"}.get(state, "Running")
        executor = f"{path}(0).executor"
        if state == "cached":
            self.twice(
                path,
                "system-container-executor",
                "DAG",
                whole,
                inputs={"pod-spec-patch": "", "cached-decision": "true"},
            )
            self.add(executor, "system-container-impl", "Skipped", "Skipped", message="when 'true != true' evaluated false")
            return ""
        given = {"inputs": {"parameterValues": {"candidate": json.dumps(candidate)} if candidate else {}}}
        logs = self.locate_logs(*place)
        made = {key: {"artifacts": [{"uri": uri}]} for key, uri in {"executor-logs": logs, **dict(artifacts)}.items()}
        command = ["launch", "--executor_input", json.dumps(given | {"outputs": {"artifacts": made}}), "--"]
        patch = json.dumps({"containers": [{"name": "main", "command": command, "args": ["x"]}]})
        self.twice(path, "system-container-executor", "DAG", whole, inputs={"pod-spec-patch": patch})
        phase = {"waiting": "Pending", "running": "Running"}.get(state, whole)
        number = self.twice(executor, "system-container-impl", "Pod", phase, message=message)
        pod = f"{self.name}-system-container-impl-{number}"
        self.say(pod, place[-1], f"{logs}-0", output, fault or "exit status 1" * (state == "failed"))
        return pod

    def locate_logs(self, *place):
        """Returns where the output of a task goes, but for the number of the attempt that KFP adds."""
        return f"minio://mlpipeline/v2/artifacts/rlready/{'/'.join(map(str, place))}/executor-logs"

    def say(self, pod, stage, address, output, fault=""):
        """Keeps what a pod wrote, as the UI's server hands it out: the log while there is one, and the artifact at the end."""
        written = write_output(stage, output)
        self.logs[pod], self.artifacts[address] = write_log(written, fault), written

    def lose(self, *place):
        """Loses the pod of a running task, which Argo tries again."""
        path = f"{self.enter(place[:-1])}.{place[-1]}(0).executor"
        self.nodes[f"{self.name}{path}(0)"]["phase"] = "Error"
        return f"{self.name}-system-container-impl-{self.add(f'{path}(1)', 'system-container-impl', 'Pod', 'Running')}"

    def write(self, packed=False):
        """Returns the workflow as it is now."""
        nodes = {node["id"]: node for node in self.nodes.values()}
        status = {"nodes": nodes}
        if packed:
            status = {"compressedNodes": base64.b64encode(gzip.compress(json.dumps(nodes).encode())).decode()}
        about = {"name": self.name, "namespace": "kubeflow"}
        return json.loads(json.dumps({"metadata": about, "spec": self.spec, "status": status}))
