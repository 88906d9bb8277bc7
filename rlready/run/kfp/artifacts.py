"""Output of stages and small artifacts, read through the KFP server."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from rlready.errors import InputError
from rlready.escape import show_controls
from rlready.run.kfp.nodes import StageNode
from rlready.run.kfp.server import Server, get
from rlready.runtime.events import FAILED, MARK

LOGS = "executor-logs"  # an output that KFP adds to every task: what its process wrote, without the launcher's own lines
LAST_LINES = 15
# A line of KFP's driver or launcher (glog), and the lines of Argo's emissary and of KFP's executor that begin every log.
GLOG = re.compile(r"([IWEF])\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ [\w.-]+:\d+\] (.*)")
FOREIGN = re.compile(r"""time=("[^"]*"|\S+) level=\w+ |\{"time":"|\[KFP Executor |Error: exit status \d+$""")
CONTINUED = re.compile(r"[{}\s].*|")  # what follows such a line in JSON over several
CHILD = re.compile(r".*(exit status \d+|signal: \w+)$")  # how the launcher ends if the stage's own process failed
TRACEBACK = "Traceback (most recent call last):"


@dataclass(frozen=True)
class Output:
    """What a pod wrote."""

    own: list[str]  # the lines of the stage itself
    marked: list[str]  # those of them that it marked, without the mark
    fault: str  # why the driver or the launcher failed; empty if it did not

    @property
    def reasons(self) -> list[str]:
        """Why the stage failed, if the output says so."""
        if said := [line.removeprefix(FAILED) for line in self.marked if line.startswith(FAILED)]:
            return said
        if self.fault and not CHILD.match(self.fault):
            return [self.fault]
        return self.own[-1:] if TRACEBACK in self.own else []

    @property
    def end(self) -> list[str]:
        """The last of its own lines; if the reason is marked, only those of a traceback."""
        lines = [line for line in self.own if not line.startswith(MARK)]
        if len(lines) < len(self.own) and TRACEBACK not in lines:
            return []
        return lines[-LAST_LINES:]


def parse_output(text: str) -> Output:
    """Parses a pod's log, or the artifact with the output of a stage."""
    own, fault, foreign = [], "", False
    for line in show_controls(text).splitlines():
        glog = GLOG.match(line)
        if glog and glog[1] == "F":
            fault = glog[2]
        foreign = bool(glog or FOREIGN.match(line) or foreign and CONTINUED.fullmatch(line))
        if line.strip() and not foreign:
            own.append(line)
    return Output(own, [line.removeprefix(MARK) for line in own if line.startswith(MARK)], fault)


def read_artifact(server: Server, address: str) -> bytes | None:
    """Returns the content of an artifact such as minio://bucket/key; None if the server does not serve it."""
    place = urlsplit(address)
    query = {"source": place.scheme, "bucket": place.netloc, "key": place.path.lstrip("/")} | server.scope
    try:
        return get(server, "/artifacts/get", query) if address else None
    except InputError:
        return None


def read_outputs(server: Server, run: str, namespace: str, node: StageNode) -> Iterator[Output]:
    """Yields what is available of the output of a stage's pod: first the artifact with the stage's own lines, then the log."""
    query, logs = {"podname": node.pod, "runid": run, "podnamespace": namespace}, node.find_output(LOGS)
    ways = [
        lambda: read_artifact(server, logs and f"{logs}-{node.attempt}"),  # one for each attempt since KFP 2.16.1
        lambda: read_artifact(server, logs),
        lambda: get(server, f"/apis/v1alpha1/runs/{run}/nodes/{node.pod}/log"),  # the API server
        lambda: get(server, "/k8s/pod/logs", query),  # the UI's server
    ]
    for way in ways:
        try:
            text = (way() or b"").decode(errors="replace")
        except InputError:
            continue
        # The API server answers 200 before it looks for a log; the UI's server answers unknown paths with a page.
        if text.strip() and not text.lstrip().startswith("<") and '{"error_message"' not in text[-2000:]:
            yield parse_output(text)
