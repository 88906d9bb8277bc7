"""A stage as a TrainJob: its manifest, and the way from the KFP task over the Kubernetes API to the outputs and back."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import kubernetes
import pytest
import yaml
from helpers import openapi
from helpers.manifests import MANIFESTS, load
from helpers.package import check_package, read_package
from helpers.servers import choose_port
from helpers.training import make_arguments
from kubeflow_trainer_api import models

from rlready.config.recipes import load_recipe
from rlready.models.load import digest_weights
from rlready.placement.placement import parse_placement
from rlready.placement.pods import describe_train_job
from rlready.records.outcome import Candidate, Outcome
from rlready.records.serialization import read_record, read_records, to_json, write_records
from rlready.run import launch
from rlready.run.kfp.package import write_package
from rlready.training import train_job

IMAGE = "registry.example/rlready@sha256:" + "0" * 64
PLACEMENT = {
    "all": {"secrets": {"rlready-hub": {"token": "HF_TOKEN"}}, "environment": {"A": "b"}, "hub_cache": "hub"},
    "rl": {
        "train_job": {"volume": "rlready-train-job", "nodes": 2},
        "gpus": 8,
        "cpus": 16,
        "memory": "512Gi",
        "shared_memory": "16Gi",
        "timeout": "24h",
        "queue": "research",
        "node_selector": {"pool": "gpu"},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoExecute", "toleration_seconds": 5}],
        "image_pull_secrets": ["registry"],
    },
}
ROLE = load(MANIFESTS / "train-job/role.yaml")[0]["rules"]
RIGHTS = {(rule["apiGroups"][0], kind, verb) for rule in ROLE for kind in rule["resources"] for verb in rule["verbs"]}


def read(manifest):
    """Reads a manifest as the API server does: by the models of Kubeflow Trainer, nothing unknown, nothing dropped."""
    job = models.TrainerV1alpha1TrainJob.from_dict(manifest)
    if job.to_dict() != manifest:
        raise ValueError("unknown field")
    for patch in job.spec.runtime_patches:  # as its admission webhook does
        for replicated in patch.training_runtime_spec.template.spec.replicated_jobs:
            for container in replicated.template.spec.template.spec.containers:
                if container.env:
                    raise ValueError("must not have envs for the node containers")
    return job


def describe(**entries):
    """Returns the manifest of sft with a few entries of its placement."""
    placement = parse_placement({"sft": {"train_job": {"volume": "v", "nodes": 1}} | entries})
    return describe_train_job(placement["sft"], IMAGE)


class Kubernetes(BaseHTTPRequestHandler):
    """The Kubernetes API as far as a TrainJob needs it, for an account with the rights of manifests/train-job.

    With `kubelet`, the pods are real processes on this machine.
    """

    def parse_request(self):
        if not super().parse_request():
            return False
        group, _, resources = urlsplit(self.path).path.partition("/namespaces/")
        _, resource, *rest = resources.split("/")
        if rest[1:]:  # pods/NAME/log
            resource = f"{resource}/{rest[1]}"
        verb = {"POST": "create", "DELETE": "delete"}.get(self.command, "get" if rest else "list")
        right = ("trainer.kubeflow.org" if "trainer.kubeflow.org" in group else "", resource, verb)
        self.server.state.used.add(right)
        if right in RIGHTS:
            return True
        self.refuse(403, f"{right} is forbidden")
        return False

    def do_POST(self):
        state = self.server.state
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.path == "/apis/trainer.kubeflow.org/v1alpha1/namespaces/team-a/trainjobs"
        if state.refusal:
            return self.refuse(*state.refusal)
        try:
            read(body)
        except ValueError as error:
            return self.refuse(422, str(error))
        state.made.append(body)
        if state.kubelet:
            state.start(body)
        return self.answer(body)

    def do_GET(self):
        state, url = self.server.state, urlsplit(self.path)
        if state.falter:
            state.falter -= 1
            return self.refuse(503, "etcd leader changed")
        if "/trainjobs/" in url.path:
            if url.path.rsplit("/", 1)[1] in state.deleted:
                return self.refuse(404, "not found")
            conditions = state.kubelet.conditions() if state.kubelet else state.conditions()
            return self.answer(state.made[-1] | {"status": {"conditions": conditions}})
        if url.path.endswith("/log"):
            pod, query = url.path.split("/")[-2], parse_qs(url.query)
            assert query["container"] == ["node"]
            log = state.kubelet.log if state.kubelet else lambda _: state.logs[pod]
            self.send_response(200)
            self.end_headers()
            for line in log(int(pod.rsplit("-", 1)[1])):
                self.wfile.write(line.encode())
            return None
        name = state.made[-1]["metadata"]["name"]
        assert parse_qs(url.query)["labelSelector"] == [f"jobset.sigs.k8s.io/jobset-name={name}"]
        return self.answer({"items": state.kubelet.pods() if state.kubelet else state.pods})

    def do_DELETE(self):
        self.server.state.deleted.append(self.path.rsplit("/", 1)[1])
        return self.answer({"status": "Success"})

    def answer(self, body, status=200):
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def refuse(self, status, message):
        self.answer({"kind": "Status", "status": "Failure", "message": message, "code": status}, status)

    def log_message(self, *arguments):
        pass


class Kubelet:
    """Runs what a TrainJob says in one process a node, with the environment that the torch runtime gives them."""

    def __init__(self):
        self.processes = []

    def start(self, job):
        trainer = job["spec"]["trainer"]
        runtime = {"PET_NNODES": trainer["numNodes"], "PET_NPROC_PER_NODE": trainer["numProcPerNode"]}
        runtime |= {"PET_MASTER_ADDR": "127.0.0.1", "PET_MASTER_PORT": choose_port(), "OMP_NUM_THREADS": 1}
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
        given = {entry["name"]: entry["value"] for entry in trainer["env"]}
        program = os.path.join(os.path.dirname(sys.executable), trainer["command"][0])
        for rank in range(trainer["numNodes"]):
            environment = kept | {k: str(v) for k, v in runtime.items()} | {"PET_NODE_RANK": str(rank)} | given
            self.processes.append(
                subprocess.Popen(
                    [program, *trainer["command"][1:]],
                    env=environment,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
            )

    def pods(self):
        phases = {None: "Running", 0: "Succeeded"}
        return [make_pod(i, phases.get(p.poll(), "Failed")) for i, p in enumerate(self.processes)]

    def conditions(self):
        codes = [process.poll() for process in self.processes]
        if any(codes):
            return [condition("Failed", "JobsFailed", "jobset failed")]
        return [] if None in codes else [condition("Complete", "JobsCompleted", "jobset completed")]

    def log(self, number):
        return self.processes[number].stdout


def make_pod(number, phase, waiting=None, scheduling=None):
    status = {"phase": phase}
    if waiting:
        container = {"name": "node", "image": IMAGE, "imageID": "", "ready": False, "restartCount": 0}
        status["containerStatuses"] = [container | {"state": {"waiting": waiting}}]
    if scheduling:
        status["conditions"] = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": scheduling}]
    labels = {"batch.kubernetes.io/job-completion-index": str(number)}
    pod = {"metadata": {"name": f"job-node-0-{number}", "labels": labels}, "status": status}
    openapi.read(pod, "V1Pod", kubernetes.client)
    return pod


def condition(kind, reason="", message=""):
    return {"type": kind, "status": "True", "reason": reason, "message": message}


@pytest.fixture
def cluster(monkeypatch, tmp_path):
    """Starts the API server, a volume and the environment of a task; yields what the server says and remembers."""
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Kubernetes)
    state = SimpleNamespace(
        made=[],
        used=set(),
        deleted=[],
        refusal=None,
        falter=0,
        pods=[],
        logs={},
        conditions=lambda: [condition("Complete")],
        kubelet=None,
    )
    state.start = lambda job: state.kubelet.start(job)
    httpd.state = state
    threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True).start()
    state.configuration = tmp_path / "kubeconfig"
    context = {"cluster": "c", "user": "u", "namespace": "team-a"}
    state.configuration.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{httpd.server_port}"}}],
                "users": [{"name": "u", "user": {"token": "t"}}],
                "contexts": [{"name": "x", "context": context}],
                "current-context": "x",
            }
        )
    )
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(state.configuration))
    state.volume = tmp_path / "volume"
    state.volume.mkdir()
    monkeypatch.setattr(train_job, "FOLDER", str(state.volume))
    monkeypatch.setattr(train_job, "PAUSE", 0.05)
    monkeypatch.setenv(train_job.MANIFEST, json.dumps(describe()))
    monkeypatch.setenv("RLREADY_RUN_ID", "run-1")
    monkeypatch.delenv(launch.SOCKET, raising=False)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    yield state
    httpd.shutdown()
    httpd.server_close()


@pytest.fixture
def arguments(tmp_path):
    """Returns arguments of sft whose input is there and whose outputs are not."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rows").write_text("rows")
    paths = {name: str(tmp_path / name) for name in ("data", "model", "outcome")}
    return {"candidate": to_json(Candidate("c", 1, "random", 8, 1e-3, 0)), "settings": "{}", "model_uri": ""} | paths


def fail(arguments):
    """Runs sft; returns the one line that its outcome gives as the reason of the failure."""
    launch.launch("sft", **arguments)
    reason = read_record(Outcome, arguments["outcome"]).failure.reason
    assert "\n" not in reason
    return reason


def test_the_manifest_says_what_the_placement_says():
    job = read(describe_train_job(parse_placement(PLACEMENT)["rl"], IMAGE))
    trainer = job.spec.trainer
    assert (trainer.image, trainer.num_nodes, trainer.num_proc_per_node) == (IMAGE, 2, 8)
    assert (job.spec.runtime_ref.name, job.spec.active_deadline_seconds) == ("torch-distributed", 24 * 3600)
    resources = trainer.resources_per_node.to_dict()
    assert resources["limits"] == {"nvidia.com/gpu": "8", "memory": "512Gi"}
    assert resources["requests"] == resources["limits"] | {"cpu": "16"}
    assert [entry.to_dict() for entry in trainer.env] == [
        {"name": "A", "value": "b"},
        {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "rlready-hub", "key": "token"}}},
        {"name": "HF_HOME", "value": "/cache/huggingface"},
    ]
    assert job.metadata.labels["kueue.x-k8s.io/queue-name"] == "research"
    (patch,) = job.spec.runtime_patches
    (replicated,) = patch.training_runtime_spec.template.spec.replicated_jobs
    pod = replicated.template.spec.template.spec
    assert pod.node_selector == {"pool": "gpu"}
    assert [secret.name for secret in pod.image_pull_secrets] == ["registry"]
    assert pod.tolerations[0].toleration_seconds == 5
    mounted = {mount.mount_path: mount.name for mount in pod.containers[0].volume_mounts}
    volumes = {volume.name: volume for volume in pod.volumes}
    assert volumes[mounted["/train-job"]].persistent_volume_claim.claim_name == "rlready-train-job"
    assert volumes[mounted["/cache/huggingface"]].persistent_volume_claim.claim_name == "hub"
    assert volumes[mounted["/dev/shm"]].empty_dir.size_limit.to_dict() == "16Gi"
    assert pod.containers[0].security_context.run_as_non_root is True
    assert set(volumes) == set(mounted.values())


def test_the_reader_of_manifests_refuses_what_the_api_server_would():
    for change, message in (
        (lambda job: job["spec"]["trainer"].update(node=1), "unknown field"),
        (lambda job: job["spec"]["trainer"].update(numNodes="2"), "valid integer"),
        (lambda job: job["spec"]["runtimeRef"].pop("name"), "valid string"),
    ):
        manifest = describe()
        change(manifest)
        with pytest.raises(ValueError, match=message):
            read(manifest)


def test_the_task_of_a_train_job_logs_with_the_account_of_its_placement(tmp_path):
    account = {"mlflow": {"user": "MLFLOW_TRACKING_USERNAME", "password": "MLFLOW_TRACKING_PASSWORD"}}
    rl = PLACEMENT["rl"] | {
        "secrets": account | {"hub": {"token": "HF_TOKEN"}},
        "environment": {"MLFLOW_TRACKING_URI": "x"},
    }
    path, placement = tmp_path / "p.yaml", parse_placement(PLACEMENT | {"rl": rl})
    write_package(path, load_recipe("laptop", []), placement, IMAGE)
    package = read_package(path)
    (secret,) = package.kubernetes["exec-rl"].secret_as_env
    taken = {pair.secret_key: pair.env_var for pair in secret.key_to_env}
    assert taken == account["mlflow"]
    assert "x" in [entry.value for entry in package.executors["exec-rl"].container.env if entry.name == "MLFLOW_TRACKING_URI"]


def test_the_task_of_a_train_job_asks_for_no_gpu_itself(tmp_path):
    path, placement = tmp_path / "p.yaml", parse_placement(PLACEMENT)
    write_package(path, load_recipe("laptop", []), placement, IMAGE)
    package = read_package(path)
    container, asked = package.executors["exec-rl"].container, package.kubernetes["exec-rl"]
    assert not container.resources.accelerator.resource_count and not asked.secret_as_env
    assert {mount.mount_path: mount.constant for mount in asked.pvc_mount} == {"/train-job": "rlready-train-job"}
    fields = {entry.name: entry.field_path for entry in asked.field_path_as_env}
    assert fields[train_job.POD_UID] == "metadata.uid" and fields[train_job.POD_NAME] == "metadata.name"
    assert asked.active_deadline_seconds == 24 * 3600
    assert not any(train_job.MANIFEST in str(package.executors[label]) for label in package.executors if "rl" not in label)
    assert check_package(path, placement) == []
    more = parse_placement(PLACEMENT | {"rl": PLACEMENT["rl"] | {"gpus": 4}})
    assert check_package(path, more) == ["exec-rl: does not make the TrainJob that the placement says"]


@pytest.mark.parametrize("nodes", [1, pytest.param(2, marks=pytest.mark.processes)])
def test_a_stage_trains_in_a_train_job(nodes, cluster, tiny_model, data, tmp_path, capfd, monkeypatch):
    cluster.kubelet = Kubelet()
    monkeypatch.setenv(train_job.MANIFEST, json.dumps(describe(train_job={"volume": "v", "nodes": nodes})))
    monkeypatch.setenv(train_job.POD_NAME, "rlready-abc-impl-1")
    monkeypatch.setenv(train_job.POD_UID, "123")
    launch.launch("sft", **make_arguments("sft", tiny_model, data, tmp_path))
    assert (tmp_path / "model" / "model.safetensors").exists()
    record = read_record(Outcome, tmp_path / "outcome.json").sft
    assert record.steps > 0 and record.devices == nodes  # one thread each
    assert [process.wait() for process in cluster.kubelet.processes] == [0] * nodes
    (job,) = cluster.made
    assert cluster.deleted == [job["metadata"]["name"]]
    assert job["metadata"]["ownerReferences"] == [
        {"apiVersion": "v1", "kind": "Pod", "name": "rlready-abc-impl-1", "uid": "123"}
    ]
    assert job["spec"]["trainer"]["command"][:4] == ["torchrun", "-m", "rlready.run.launch", "sft"]
    assert {"name": "RLREADY_RUN_ID", "value": "run-1"} in job["spec"]["trainer"]["env"]
    assert "'heldout_loss'" in capfd.readouterr().out  # what the trainers print
    assert not list((cluster.volume / "run-1").iterdir())


def test_the_epochs_of_a_training_are_kept_in_a_train_job_and_rl_takes_one(cluster, tiny_model, data, tmp_path, monkeypatch):
    cluster.kubelet = Kubelet()
    monkeypatch.setenv(train_job.MANIFEST, json.dumps(describe(train_job={"volume": "v", "nodes": 1})))
    arguments = make_arguments("sft", tiny_model, data, tmp_path)
    training = Candidate("random-64x3-lr0.001-s0", 3, "random", 64, 1e-3, 0, kept_epochs=[1, 3])
    launch.launch("sft", **arguments | {"candidate": to_json(training)})
    first, last = read_records(Outcome, tmp_path / "outcome.json")
    assert (first.candidate, last.candidate) == (training.at(1), training)
    for outcome in (first, last):
        assert outcome.sft.model_digest == digest_weights(tmp_path / "model" / f"epoch-{outcome.candidate.epochs}")

    given = make_arguments("rl", tiny_model, data, tmp_path) | {"trained": str(tmp_path / "trained")}
    given |= {"candidate": to_json(training), "before": str(tmp_path / "sft.json"), "model": str(tmp_path / "model")}
    write_records([first, last], given["before"])
    launch.launch("rl", **given | {"measured_digest": f"1/{first.sft.model_digest}"})
    trained = read_record(Outcome, tmp_path / "outcome.json")
    assert trained.failure is None and trained.candidate == first.candidate and trained.rl.steps
    assert (tmp_path / "trained" / "model.safetensors").exists() and len(cluster.made) == 2


def test_a_failed_train_job_is_one_line_and_loses_neither_logs_nor_checkpoints(cluster, arguments, capsys):
    cluster.pods = [make_pod(0, "Running"), make_pod(1, "Failed")]
    cluster.logs = {"job-node-0-0": ["step 1\n", "NCCL: peer lost\n"], "job-node-0-1": ["CUDA out of memory\n"]}
    cluster.conditions = lambda: [condition("Failed", "JobsFailed", "jobset failed:\n node-1")]
    line = fail(arguments)
    assert cluster.used - {("", "configmaps", "get")} == RIGHTS  # the SDK asks for its version, and lives without it
    name = cluster.made[0]["metadata"]["name"]
    assert line == f"TrainJob team-a/{name} failed: JobsFailed: jobset failed: node-1; its log is above"
    out = capsys.readouterr().out
    assert "step 1\nNCCL: peer lost\n" in out
    assert "--- pod job-node-0-1 ends with:\nCUDA out of memory" in out
    assert cluster.deleted == [name]
    folder = cluster.volume / "run-1" / "sft-c"
    assert (folder / "data" / "rows").read_text() == "rows"
    # A retry finds them again, and takes no output of the failed attempt for its own.
    (folder / "checkpoints").mkdir()
    (folder / "model").mkdir()
    cluster.conditions = lambda: [condition("Complete")]
    assert "succeeded without writing" in fail(arguments)
    assert (folder / "checkpoints").exists()


def test_what_keeps_pods_from_starting_is_said_once(cluster, arguments, capsys):
    steps = [
        ([condition("Suspended")], []),
        ([], [make_pod(0, "Pending", scheduling="0/3 nodes are available: 3 Insufficient nvidia.com/gpu.")]),
        ([], [make_pod(0, "Pending", waiting={"reason": "ContainerCreating"})]),
        ([], [make_pod(0, "Pending", waiting={"reason": "ErrImagePull", "message": "not found"})] * 2),
        (
            [],
            [make_pod(0, "Pending", waiting={"reason": "CreateContainerConfigError", "message": 'secret "x" not found'})],
        ),
        ([condition("Failed", "DeadlineExceeded", "too long")], []),
    ]

    def progress():
        conditions, cluster.pods = steps.pop(0) if len(steps) > 1 else steps[0]
        return conditions

    cluster.conditions = progress
    assert "failed: DeadlineExceeded: too long" in fail(arguments)
    *lines, last = [line.split(": ", 1)[1] for line in capsys.readouterr().out.splitlines()]
    assert last.startswith("failed: sft of c: TrainJob") and "DeadlineExceeded: too long" in last
    assert lines == [
        "created; waiting for its pods",
        "suspended; it waits until its queue admits it",
        "pod job-node-0-0 has no node: 0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
        "pod job-node-0-0 does not start: ErrImagePull: not found",
        'pod job-node-0-0 does not start: CreateContainerConfigError: secret "x" not found',
    ]


@pytest.mark.parametrize(
    ("refusal", "message"),
    [
        ((403, "trainjobs is forbidden"), r"not allowed \(trainjobs is forbidden\); give the account .* the rights"),
        ((404, "page not found"), "the cluster has no TrainJobs .*install Kubeflow Trainer"),
        ((403, 'admission webhook "v" denied the request: no runtime x'), r"refused \(403\): .*denied .*no runtime x"),
        ((500, "boom\nbang"), r"refused \(500\): boom bang"),
    ],
)
def test_a_refused_train_job_is_one_line(cluster, arguments, refusal, message):
    cluster.refusal = refusal
    line = fail(arguments)
    assert re.search(message, line), line
    assert not cluster.made and not cluster.deleted


def test_the_api_may_be_away_for_a_while(cluster, arguments, monkeypatch):
    cluster.falter = 5
    assert "succeeded without writing" in fail(arguments)
    monkeypatch.setattr(train_job, "LOST", 3)
    cluster.falter = 5
    assert "refused (503): etcd leader changed" in fail(arguments)
    assert len(cluster.deleted) == 2


def test_a_train_job_that_somebody_deletes_ends_the_task(cluster, arguments):
    def delete():
        cluster.deleted.append(cluster.made[0]["metadata"]["name"])
        return []

    cluster.conditions = delete
    assert "it was deleted" in fail(arguments)


def test_what_is_missing_in_the_pod_is_one_line(cluster, arguments, monkeypatch):
    cluster.volume.rmdir()
    assert "placement.sft.train_job needs its volume mounted" in fail(arguments)
    cluster.volume.mkdir()
    cluster.configuration.unlink()
    assert "no access to a Kubernetes cluster from here" in fail(arguments)
    monkeypatch.setitem(sys.modules, "kubeflow.trainer", None)
    assert "the image lacks the kubeflow SDK" in fail(arguments)


def test_a_task_that_is_stopped_deletes_its_train_job(cluster, arguments):
    cluster.conditions = lambda: []
    code = (
        "import json, sys; from rlready.run import launch; from rlready.training import train_job;"
        f"train_job.FOLDER = {str(cluster.volume)!r}; launch.launch('sft', **json.loads(sys.argv[1]))"
    )
    environment = os.environ | {"KUBECONFIG": str(cluster.configuration)}
    task = subprocess.Popen([sys.executable, "-c", code, json.dumps(arguments)], env=environment, stdout=subprocess.PIPE)
    assert b"waiting for its pods" in task.stdout.readline()
    time.sleep(0.2)
    task.send_signal(signal.SIGTERM)
    assert task.wait(20) == 1
    assert cluster.deleted == [cluster.made[0]["metadata"]["name"]]
