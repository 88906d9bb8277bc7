"""Runs on a KFP server that is there, as a user submits and follows them, and what is done to their pods."""

import dataclasses
import json
import os
import re
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from backend.size import count_packed_bytes

from rlready.analysis.sweep_result import SweepResult
from rlready.errors import InputError
from rlready.run.kfp import follow
from rlready.run.kfp.nodes import StageNode, list_stage_nodes, read_nodes
from rlready.run.kfp.runs import read_workflow
from rlready.run.kfp.server import connect

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
        for key, value in (changed or {}).items():
            command += ["--set", f"{key}={value if isinstance(value, str) else json.dumps(value)}"]
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
