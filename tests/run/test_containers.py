"""The image, and the whole DAG in its containers: make test-containers builds the one and names it in RLREADY_IMAGE."""

import contextlib
import json
import os
import signal
import subprocess
import time

import docker
import pytest
from helpers import ROOT
from helpers.pins import read_pins
from helpers.runs import list_started, run, start, wait_for_event
from packaging.utils import canonicalize_name

from rlready.run.local.containers import LABEL, run_container

pytestmark = pytest.mark.containers
ODD_USER = {"user": "1000650000:0", "read_only": True, "tmpfs": {"/tmp": ""}, "cap_drop": ["ALL"]}


@pytest.fixture(scope="module")
def image():
    return os.environ["RLREADY_IMAGE"]


@pytest.fixture(scope="module")
def client():
    with contextlib.closing(docker.from_env()) as client:
        yield client


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def first(recipe, work, image):
    return run(recipe, work, "--image", image)


def ask(client, image, code, **options):
    return client.containers.run(image, ["python", "-c", code], remove=True, **options).decode()


def test_rl_runs_in_containers_for_the_approved_candidate_only(first):
    output, outcomes, events, folder = first
    assert outcomes[1]["verdict"]["decision"] == "rejected" and outcomes[1]["rl"] is None
    assert outcomes[6]["verdict"]["decision"] == "approved" and outcomes[6]["rl"]["steps"] == 2
    assert 0 <= outcomes[6]["benchmark"]["pass_at_1"] <= 1
    started = list_started(events)
    assert [stage for stage, _ in started].count("rl") == 1 and len(started) == len(set(started)), started
    assert (folder / "report.html").stat().st_size > 5000 and "approved" in output


def test_tracking_and_files_reach_the_caller(first, work):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{work / 'mlflow.db'}")
    (experiment,) = [e for e in client.search_experiments() if e.name == "rlready"]
    (approved,) = client.search_runs([experiment.experiment_id], "tags.verdict = 'approved'")
    assert "rl/pass_at_1" in approved.data.metrics
    assert {path.stat().st_uid for path in work.rglob("*")} == {os.getuid()}


def test_the_same_command_again_computes_nothing(first, recipe, work, image):
    _, outcomes, events, _ = run(recipe, work, "--image", image)
    assert list_started(events) == [("plan", ""), ("report", "")]
    assert outcomes == first[1]


def test_without_containers_the_results_are_the_same_and_come_from_no_container(first, recipe, work):
    _, outcomes, events, _ = run(recipe, work)
    assert ("rl", outcomes[6]["candidate"]["candidate_id"]) in list_started(events)
    for epochs, outcome in outcomes.items():
        expected = first[1][epochs]
        assert outcome["verdict"]["decision"] == expected["verdict"]["decision"]
        assert outcome["predictors"]["generalization_loss"] == pytest.approx(
            expected["predictors"]["generalization_loss"], rel=1e-4
        )


def test_a_stop_leaves_no_container(first, recipe, work, image, client):
    process = start(recipe, work, "--image", image, "--set", "sampling_seed=7")
    folder = wait_for_event(work, "predictors", "started")
    assert client.containers.list(filters={"label": f"{LABEL}={folder}"})
    os.kill(process.pid, signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    deadline = time.time() + 20
    while client.containers.list(all=True, filters={"label": f"{LABEL}={folder}"}):
        assert time.time() < deadline
        time.sleep(0.2)


def test_a_failing_stage_is_one_line(first, recipe, work, image, client):
    process = start(recipe, work, "--image", image, "--set", "sft_trainer_overrides={per_device_train_batch_size: 2}")
    output, _ = process.communicate(timeout=400)
    assert process.returncode == 2
    assert "is 2, a process's share of a step is 4" in output and "Traceback" not in output
    assert not client.containers.list(all=True, filters={"label": f"{LABEL}={find_newest(work)}"})


def find_newest(work):
    return max(work.glob("*/parameters.json"), key=lambda path: path.stat().st_mtime).parent


def test_a_container_that_fails_at_once_is_no_success(client, image):
    for status in (0, 3, 3, 3, 3, 3):
        assert run_container(client, image, ["sh", "-c", f"exit {status}"], {}, labels={LABEL: "exit"}) == status
    assert not client.containers.list(all=True, filters={"label": f"{LABEL}=exit"})


def test_the_image_says_where_it_comes_from_and_starts_without_special_rights(client, image):
    held = client.images.get(image)
    revision = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
    assert held.labels["org.opencontainers.image.revision"] == revision
    assert held.labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    user, _, group = held.attrs["Config"]["User"].partition(":")
    assert int(user) > 0 and group == "0"


def test_the_package_is_a_wheel_with_the_pinned_libraries(client, image):
    code = (
        "import importlib.metadata as m, json; d = m.distribution('rlready');"
        "print(json.dumps([d.read_text('direct_url.json'), {x.name: x.version for x in m.distributions()}]))"
    )
    url, installed = json.loads(ask(client, image, code))
    assert '"dir_info"' not in (url or ""), "editable"
    root = ROOT
    pinned = read_pins(root / "constraints.txt") | read_pins(root / "constraints-gpu.txt")
    for name, version in installed.items():
        if name != "rlready":
            assert version.split("+")[0] == pinned[canonicalize_name(name)], name


def test_any_user_can_start_a_stage_on_a_read_only_root(client, image):
    code = (
        "import getpass, tempfile, matplotlib.pyplot, mlflow, trl; getpass.getuser(); tempfile.mkdtemp();"
        "import rlready.stages.sft.train; print('well')"
    )
    assert ask(client, image, code, **ODD_USER).endswith("well\n")


def test_a_light_stage_is_there_within_a_second(client, image):
    code = "import time; t = time.time(); import rlready.stages.gate.stage; print(time.time() - t)"
    assert min(float(ask(client, image, code, **ODD_USER)) for _ in range(3)) < 1


def test_an_image_that_cannot_be_pulled_is_one_line(recipe, work):
    process = start(recipe, work, "--image", "localhost:1/rlready-cpu:none")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2 and "Traceback" not in output
    assert "--image localhost:1/rlready-cpu:none: cannot be pulled" in output
