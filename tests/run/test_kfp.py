"""What a user meets on a KFP server that is there, case by case, with a table of how each ended (make test-kfp).

KFP_HOST is the address of its UI, RLREADY_IMAGE the stages' image; RLREADY_SUBMIT holds what else submit needs. The recipe is
the laptop's, shortened; RLREADY_TEST_PLACEMENT names a YAML file with its placement. Cases that kill a process or delete a pod
need a KUBECONFIG that may do that, the one that resumes training a placement in which `rl` keeps checkpoints on a claim; a case
whose needs are not met is skipped, and the table says so. `-k` runs one case; the cases after the first use its cache.
"""

import dataclasses
import json
import os
import re
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import kfp_server_api as api
import pytest
import yaml
from backend.size import count_packed_bytes

from rlready.analysis.sweep_result import SweepResult
from rlready.config.recipes import load_recipe
from rlready.errors import InputError
from rlready.run.kfp import follow
from rlready.run.kfp.nodes import StageNode, list_stage_nodes, read_nodes
from rlready.run.kfp.runs import read_workflow
from rlready.run.kfp.server import connect

pytestmark = pytest.mark.kfp
NO_SFT, TUNED, SHORT = {"epochs": 0}, {"epochs": 1}, {"epochs": 1, "subset": "shortest"}
SHORTER = {
    "sweep_candidates": [NO_SFT, TUNED, SHORT],
    "sweep_examples": [64],
    "curate_seed": int(time.time()),  # the first run finds nothing in the cache
    "curate_sft_examples": 256,
    "curate_heldout_problems": 32,
    "curate_rl_problems": 64,
    "curate_predictor_problems": 8,
    "curate_benchmark_problems": 16,
    "predictors_samples": 16,
    "benchmark_samples": 2,
    "rl_steps": 2,
    "rl_trainer_overrides": {},
    # All pass the thresholds, whatever their figures are: what tells approved from rejected is the budget.
    "gate_k": 8,
    "gate_min_pass_at_k": 0,
    "gate_min_pass_at_k_over_base": -1,
    "gate_max_loss_rise": 1000,
    "gate_max_verifier_disagreement": 1,
    "gate_max_rl_runs": 0,
    "gate_audit_fraction": 0,
}
PODS = pytest.mark.skipif(not os.environ.get("KUBECONFIG"), reason="needs a KUBECONFIG to reach its pods")
ALL_RAN, SOME_FAILED, NONE_APPROVED, FAILED = 0, 3, 4, 2  # exit statuses


@dataclasses.dataclass
class Row:
    """How one case ended."""

    case: str
    ended: str = "not run"
    seconds: float = 0
    nodes: int = 0
    bytes: int = 0


ROWS: list[Row] = []


@pytest.fixture(scope="module", autouse=True)
def table() -> Iterator[None]:
    """Prints the table at the end."""
    yield
    print("\n\n| case | ended | minutes | nodes | KB |\n|---|---|---|---|---|")
    for row in ROWS:
        print(f"| {row.case} | {row.ended} | {row.seconds / 60:.1f} | {row.nodes or ''} | {row.bytes // 1000 or ''} |")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Path:
    """The laptop recipe, shortened, with the placement of this cluster."""
    path = os.environ.get("RLREADY_TEST_PLACEMENT")
    placement = yaml.safe_load(Path(path).read_text()) if path else {}
    parameters = {name: value for name, value in load_recipe("laptop", []).items()} | SHORTER
    recipe = tmp_path_factory.mktemp("recipe") / "kfp-test.yaml"
    recipe.write_text(yaml.safe_dump({"parameters": parameters, "placement": placement}))
    return recipe


class Case:
    """A run that is submitted and followed as a user does.

    Attributes:
        said: What `submit --follow` printed.
        complained: What it wrote to standard error.
        run: Id of the run, as soon as it is known.
        sweep: What its report says; None where it wrote none.
    """

    def __init__(self, name: str, recipe: Path, changed: dict | None = None):
        """Submits a run.

        Args:
            name: Name of the case in the table.
            recipe: The recipe.
            changed: Parameters that differ from it.
        """
        self.row, self.begun, self.said, self.run, self.sweep = Row(name), time.monotonic(), "", "", None
        ROWS.append(self.row)
        command = [sys.executable, "-m", "rlready.cli", "submit", "--recipe", str(recipe), "--follow"]
        command += [part for key, value in (changed or {}).items() for part in ("--set", f"{key}={json.dumps(value)}")]
        command += shlex.split(os.environ.get("RLREADY_SUBMIT", ""))
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._readers = [threading.Thread(target=self._read_said), threading.Thread(target=self._read_complained)]
        for reader in self._readers:
            reader.start()

    def _read_said(self) -> None:
        for line in self._process.stdout:
            print(f"[{self.row.case}] {line}", end="", flush=True)
            self.said += line
            if not self.run and (found := re.search(r"runs/details/([0-9a-f-]+)", line)):
                self.run = found[1]

    def _read_complained(self) -> None:
        self.complained = self._process.stderr.read()

    def await_node(self, stage: str, is_wanted: Callable[[StageNode], bool] = lambda node: True) -> StageNode:
        """Returns a node once its process runs."""
        while self._process.poll() is None:
            try:
                workflow = read_workflow(connect(), self.run) if self.run else None
            except InputError:  # the server may be away for a moment
                workflow = None
            for node in list_stage_nodes(workflow) if workflow else ():
                if (node.stage, node.state) == (stage, "running") and is_wanted(node):
                    return node
            time.sleep(1)
        raise AssertionError(f"the run ended before {stage} ran:\n{self.said}\n{self.complained}")

    def end(self, status: int) -> SweepResult | None:
        """Waits for the end, notes it in the table and returns what the report says.

        Args:
            status: The exit status that submit is to end with.
        """
        ended = self._process.wait()
        for reader in self._readers:
            reader.join()
        print(f"[{self.row.case}] {self.complained}")
        self.row.seconds = time.monotonic() - self.begun
        self.row.ended = f"exit {ended}" + ("" if ended == status else f", expected {status}")
        if self.run:
            nodes = {node["id"]: node for node in read_nodes(read_workflow(connect(), self.run) or {})}
            self.row.nodes, self.row.bytes = len(nodes), count_packed_bytes(nodes)
        assert ended == status, self.said + self.complained
        if status != FAILED:
            self.sweep = follow.read_result(connect(), self.run)
            assert self.sweep, "the server hands out no report: KFP_HOST must be the address of its UI"
            decided = [outcome.verdict.decision for outcome in self.sweep.outcomes]
            self.row.ended += f", {decided.count('approved')} of {len(decided)} approved"
            for outcome in self.sweep.outcomes:
                assert (outcome.rl is not None) <= outcome.verdict.proceed
                assert (outcome.benchmark is not None) <= (outcome.rl is not None)
        return self.sweep

    def check(self, approved: int, trained: int | None = None) -> None:
        """Asserts how many candidates the report calls approved, and how many of them have a benchmark after RL."""
        outcomes = self.sweep.outcomes
        assert sum(outcome.verdict.decision == "approved" for outcome in outcomes) == approved
        wanted = approved if trained is None else trained
        assert sum(outcome.benchmark is not None for outcome in outcomes) == wanted


def kill(node: StageNode) -> None:
    """Kills what a stage runs for its candidate, as a node short of memory does: a child of the pod's process."""
    code = (
        "import glob, os, signal\n"
        "for path in glob.glob('/proc/[0-9]*/cmdline'):\n"
        "    try: words = open(path).read().split('\\0')\n"
        "    except OSError: continue\n"
        f"    if 'rlready.run.launch' in words and {node.stage!r} in words:\n"
        "        os.kill(int(path.split('/')[2]), signal.SIGKILL); print('killed')\n"
    )
    execute(node, code, "killed")


def execute(node: StageNode, code: str, sought: str) -> None:
    """Runs Python code in the pod of a node, again and again until it prints what is sought."""
    deadline = time.monotonic() + 1200  # a busy node is slow
    while sought not in reach_pod("connect_get_namespaced_pod_exec", node, container="main", stderr=True, stdin=False,
                                  stdout=True, tty=False, command=["python3", "-c", code]):  # fmt: skip
        assert time.monotonic() < deadline, f"{node.pod} never printed {sought!r}"
        time.sleep(1)


def reach_pod(method: str, node: StageNode, **options):
    """Calls Kubernetes about the pod of a node."""
    from kubernetes import client, config, stream

    config.load_kube_config()
    core, namespace = client.CoreV1Api(), os.environ.get("RLREADY_TEST_NAMESPACE", "kubeflow")
    if method.startswith("connect"):
        return stream.stream(getattr(core, method), node.pod, namespace, **options)
    return getattr(core, method)(node.pod, namespace, **options)


def test_mixed(recipe):
    case = Case("mixed verdicts", recipe, {"gate_max_rl_runs": 1})
    case.end(ALL_RAN)
    case.check(approved=1)
    assert "from the cache" not in case.said.split("Gate")[0]


def test_all_approved_then_from_the_cache(recipe):
    first = Case("all approved", recipe)
    first.end(ALL_RAN)
    first.check(approved=3)
    again = Case("all approved, from the cache", recipe)
    again.end(ALL_RAN)
    assert again.sweep.baseline == first.sweep.baseline
    # A forecast is made of the runs that have finished since, too.
    kept, before = ([dataclasses.replace(o, verdict=None) for o in case.sweep.outcomes] for case in (again, first))
    assert kept == before
    for outcome in again.sweep.outcomes:  # names and verdicts are told as in any other run
        name = outcome.candidate.candidate_id
        assert f"{name}: approved" in again.said and f"RL of {name}: from the cache" in again.said
    assert not re.search(r"candidate \d", again.said)


def test_no_sft_twice(recipe):
    only = {"sweep_candidates": [NO_SFT]}
    for name in ("RL without SFT", "RL without SFT, again"):
        case = Case(name, recipe, only)
        case.end(ALL_RAN)
        case.check(approved=1)


def test_none_approved(recipe):
    case = Case("none approved", recipe, {"gate_min_pass_at_k_over_base": 1})
    case.end(NONE_APPROVED)
    case.check(approved=0)


@PODS
def test_killed_sft(recipe):
    changed = {"sweep_candidates": [TUNED, {"epochs": 40}]}
    case = Case("SFT killed", recipe, changed)
    kill(case.await_node("sft", lambda node: (node.candidate or {}).get("epochs") == 40))
    case.end(SOME_FAILED)
    case.check(approved=1)
    (failed,) = [outcome for outcome in case.sweep.outcomes if outcome.failure]
    assert failed.failure.stage == "sft" and "killed" in failed.failure.reason.lower()
    assert failed.failure.reason in case.said


@PODS
def test_killed_rl(recipe):
    case = Case("RL killed", recipe, {"sweep_candidates": [TUNED, SHORT], "rl_steps": 100})
    kill(case.await_node("rl", lambda node: node.candidate and node.candidate["subset"] == "shortest"))
    case.end(SOME_FAILED)
    case.check(approved=2, trained=1)
    (failed,) = [outcome for outcome in case.sweep.outcomes if outcome.failure]
    assert failed.failure.stage == "rl" and failed.failure.reason in case.said


@PODS
def test_lost_pod_resumes_from_its_volume(recipe):
    placement = yaml.safe_load(recipe.read_text())["placement"] or {}
    if not placement.get("rl", {}).get("checkpoints"):
        pytest.skip("needs a placement in which rl keeps checkpoints on a claim")
    case = Case("pod lost, resumed from its volume", recipe, {"sweep_candidates": [TUNED], "rl_steps": 101})
    node = case.await_node("rl")
    # In the folder whose lock this pod holds: other trainings may keep theirs on the same claim.
    code = (
        "import glob, os\n"
        "for path in glob.glob('/proc/[0-9]*/fd/*'):\n"
        "    try: held, kind = os.path.splitext(os.readlink(path))\n"
        "    except OSError: continue\n"
        "    if held.startswith('/checkpoints/rl-') and kind == '.lock': print(glob.glob(held + '/checkpoint-*/whole'))\n"
    )
    execute(node, code, "checkpoint-20")
    reach_pod("delete_namespaced_pod", node, grace_period_seconds=0)
    case.end(ALL_RAN)
    case.check(approved=1)
    assert re.search(r"RL of .*pod lost(.|\n)*RL of .*resumed from step \d\d", case.said), case.said


def test_terminate(recipe):
    case = Case("terminated", recipe, {"sweep_candidates": [TUNED, {"epochs": 41}]})
    case.await_node("sft")
    server = connect()
    api.RunServiceApi(server.client).run_service_terminate_run(case.run)
    case.end(FAILED)
    assert "terminated" in case.complained


def test_finished_checkpoints_without_rl(recipe):
    checkpoints = {"sweep_candidates": [{"model": "builtin:list-machine", "name": "finished"}], "rl_steps": 0}
    case = Case("finished checkpoints, rl_steps 0", recipe, checkpoints)
    case.end(ALL_RAN)
    assert "Report: done" in case.said


def test_wrong_values(recipe):
    case = Case("a value that plan refuses", recipe, {"gate_k": 1000})
    case.end(FAILED)
    closing = case.complained.strip().splitlines()[0]
    assert "gate_k" in closing and "Error (exit code" not in case.complained
    server = connect()
    version = server.client  # what the API server refuses by itself is a type: no run is made
    body = api.V2beta1Run(
        display_name="wrong type",
        experiment_id=api.RunServiceApi(version).run_service_get_run(case.run).experiment_id,
        pipeline_version_reference=api.RunServiceApi(version).run_service_get_run(case.run).pipeline_version_reference,
        runtime_config=api.V2beta1RuntimeConfig(parameters={"unknown_parameter": 1}),
    )
    with pytest.raises(api.ApiException) as refused:
        api.RunServiceApi(version).run_service_create_run(body)
    assert refused.value.status == 400


def test_two_users_measure_the_same_at_once(recipe):
    fresh = {"curate_seed": SHORTER["curate_seed"] + 1, "gate_max_rl_runs": 1}
    cases = [Case(f"the same for two users at once, {name}", recipe, fresh) for name in ("first", "second")]
    with ThreadPoolExecutor(2) as threads:
        for sweep in threads.map(lambda case: case.end(ALL_RAN), cases):
            assert sum(outcome.benchmark is not None for outcome in sweep.outcomes) == 1


def test_sixty_four_candidates_with_a_budget_of_eight(recipe):
    rates = [round(1e-4 * (1 + number), 5) for number in range(64)]
    sweep = {"sweep_candidates": [{"epochs": 1, "examples": 8, "learning_rate": rate} for rate in rates]}
    case = Case("64 measured, 8 approved", recipe, sweep | {"gate_max_rl_runs": 8})
    case.end(ALL_RAN)
    case.check(approved=8)
