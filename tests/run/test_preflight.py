"""What a cluster lacks of a placement, according to a server that answers like the Kubernetes API."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
import yaml
from helpers import openapi
from kubernetes import client

from rlready.errors import InputError
from rlready.placement.placement import parse_placement
from rlready.run.kfp.preflight import compare_with_cluster

PLACEMENT = {
    "all": {"secrets": {"rlready-hub": {"token": "HF_TOKEN"}}, "hub_cache": "rlready-hub-cache", "queue": "research"},
    "sft": {"train_job": {"volume": "rlready-train-job", "nodes": 2}, "gpus": 8, "image_pull_secrets": ["registry"]},
    "rl": {
        "gpus": 4,
        "checkpoints": "rlready-checkpoints",
        "priority": "urgent",
        "node_selector": {"pool": "gpu"},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
    },
}


def make_secret(name, *keys):
    return "V1Secret", {"metadata": {"name": name}, "data": dict.fromkeys(keys, "aGlkZGVu")}


def make_claim(name, mode):
    return "V1PersistentVolumeClaim", {"metadata": {"name": name}, "spec": {"accessModes": [mode]}}


def make_node(gpus, labels=None, taints=(), unschedulable=False):
    node = {"metadata": {"name": "n", "labels": labels or {}}, "status": {"allocatable": {"nvidia.com/gpu": str(gpus)}}}
    return node | {"spec": {"taints": list(taints), "unschedulable": unschedulable}}


def make_groups(*names):
    version = {"groupVersion": "g/v1beta1", "version": "v1beta1"}
    groups = [{"name": name, "preferredVersion": version, "versions": [version]} for name in names]
    return "V1APIGroupList", {"groups": groups}


TAINT = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
NODES = [make_node(8), make_node(4, {"pool": "gpu"}, [TAINT])]
SPACE = "/api/v1/namespaces/kubeflow"
WHOLE = {
    "/apis/": make_groups("kueue.x-k8s.io", "trainer.kubeflow.org"),
    f"{SPACE}/secrets/rlready-hub": make_secret("rlready-hub", "token"),
    f"{SPACE}/secrets/registry": make_secret("registry", ".dockerconfigjson"),
    f"{SPACE}/persistentvolumeclaims/rlready-hub-cache": make_claim("rlready-hub-cache", "ReadWriteOnce"),
    f"{SPACE}/persistentvolumeclaims/rlready-train-job": make_claim("rlready-train-job", "ReadWriteMany"),
    f"{SPACE}/persistentvolumeclaims/rlready-checkpoints": make_claim("rlready-checkpoints", "ReadWriteMany"),
    "/apis/kueue.x-k8s.io/v1beta1/namespaces/kubeflow/localqueues/research": ("object", {}),
    "/apis/kueue.x-k8s.io/v1beta1/workloadpriorityclasses/urgent": ("object", {}),
    "/apis/trainer.kubeflow.org/v1beta1/clustertrainingruntimes/torch-distributed": ("object", {}),
    "/api/v1/nodes": ("V1NodeList", {"items": NODES}),
}


class Api(BaseHTTPRequestHandler):
    """Answers what is there, in the models' form, 404 for the rest, and what `refused` says before that."""

    def do_GET(self):
        state = self.server.state
        kind, body = state.there.get(self.path, ("V1Status", None))
        status = state.refused.get(self.path, 404 if body is None else 200)
        if status != 200:
            kind, body = "V1Status", {"status": "Failure", "code": status}
        openapi.read(body, kind, client)
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def api(monkeypatch, tmp_path):
    """Starts the API server of a cluster that has all that PLACEMENT names; yields what may be changed."""
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    httpd.state = SimpleNamespace(there=dict(WHOLE), refused={})
    threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True).start()
    configuration = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{httpd.server_port}"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(configuration))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "kubeconfig"))
    yield httpd.state
    httpd.shutdown()
    httpd.server_close()


def look(placement=PLACEMENT):
    return compare_with_cluster(parse_placement(placement), "kubeflow")


def test_a_cluster_that_has_everything(api):
    assert look() == ([], [])
    api.there = {"/apis/": make_groups()}
    assert look({}) == ([], [])


@pytest.mark.parametrize(
    "path, instead, message",
    [
        ("secrets/rlready-hub", None, "secret rlready-hub of plan, curate, .* does not exist"),
        ("secrets/rlready-hub", make_secret("rlready-hub", "tokn"), "secret rlready-hub of .* has no key token"),
        ("secrets/rlready-hub", make_secret("rlready-hub"), "secret rlready-hub of .* has no key token"),
        ("secrets/registry", None, "secret registry of sft does not exist"),
        ("persistentvolumeclaims/rlready-hub-cache", None, "volume claim rlready-hub-cache of plan, .* does not exist"),
        ("persistentvolumeclaims/rlready-checkpoints", None, "volume claim rlready-checkpoints of rl does not exist"),
        (
            "persistentvolumeclaims/rlready-train-job",
            make_claim("rlready-train-job", "ReadWriteOnce"),
            "volume claim rlready-train-job of sft is not ReadWriteMany",
        ),
        ("localqueues/research", None, r"research of plan, .* \(localqueues\) does not exist"),
        ("workloadpriorityclasses/urgent", None, r"urgent of rl \(workloadpriorityclasses\) does not exist"),
        ("torch-distributed", None, r"torch-distributed of sft \(clustertrainingruntimes\) does not exist"),
        (
            "/apis/",
            make_groups("kueue.x-k8s.io"),
            r"Kubeflow Trainer \(trainer.kubeflow.org\), for .* is not installed",
        ),
    ],
)
def test_what_is_missing_is_one_line(api, path, instead, message):
    (whole,) = [there for there in api.there if there.endswith(path)]
    api.there[whole] = instead or ("V1Status", None)
    (line,), doubts = look()
    assert re.fullmatch(f"{message}.*", line) and not doubts
    assert "aGlkZGVu" not in line


@pytest.mark.parametrize(
    "nodes, stages",
    [
        ([], ["sft", "rl"]),
        ([make_node(8)], ["rl"]),  # not its label
        ([make_node(8, {"pool": "gpu"}, [TAINT])], ["sft"]),  # does not accept the taint
        ([make_node(8, {"pool": "gpu"}, [TAINT | {"effect": "NoExecute"}])], ["sft", "rl"]),  # accepts another effect
        ([make_node(8, {"pool": "gpu"}, [TAINT | {"effect": "PreferNoSchedule"}])], []),
        ([make_node(4, {"pool": "gpu"})] * 2, ["sft"]),  # GPUs of two nodes are not one pod's
        ([make_node(8, {"pool": "gpu"}, unschedulable=True)], ["sft", "rl"]),
    ],
)
def test_gpus_are_looked_for_node_by_node(api, nodes, stages):
    api.there["/api/v1/nodes"] = ("V1NodeList", {"items": nodes})
    missing, doubts = look()
    assert not missing
    assert [re.match(r"no node has \d nvidia.com/gpu for (\w+)", line)[1] for line in doubts] == stages


def test_what_may_not_be_looked_at_is_a_doubt(api):
    api.refused = dict.fromkeys(WHOLE, 403)
    missing, doubts = look()
    assert not missing
    assert len(doubts) == 7 and all("not checked (403" in line for line in doubts)  # without groups, no custom objects


def test_checkpoints_on_a_volume_of_one_node_are_a_doubt(api):
    api.there[f"{SPACE}/persistentvolumeclaims/rlready-checkpoints"] = make_claim("rlready-checkpoints", "ReadWriteOnce")
    missing, (doubt,) = look()
    assert not missing and doubt.startswith("volume claim rlready-checkpoints of rl is not ReadWriteMany, so one node")


@pytest.mark.parametrize(("value", "off"), [("false", True), ("true", False), (None, False)])
def test_a_server_that_does_not_cache_is_missing_something(api, value, off):
    container = {"name": "ml-pipeline-api-server", "env": [{"name": "CACHEENABLED", "value": value}] if value else []}
    template = {"spec": {"containers": [container]}}
    deployment = {"spec": {"selector": {}, "template": template}}
    api.there["/apis/apps/v1/namespaces/kubeflow/deployments/ml-pipeline"] = ("V1Deployment", deployment)
    missing, doubts = look()
    assert not doubts and [line.split()[0] for line in missing] == ["CACHEENABLED"] * off


def test_no_cluster_to_ask_is_one_line(tmp_path, api):
    path = tmp_path / "kubeconfig"
    path.write_text(re.sub(r"127.0.0.1:\d+", "127.0.0.1:1", path.read_text()))
    with pytest.raises(InputError, match="the Kubernetes API does not answer"):
        look()
    path.unlink()
    with pytest.raises(InputError, match="no kubeconfig here"):
        look()
