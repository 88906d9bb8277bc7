"""The stages of a run on this machine in containers: `rlready run --image`.

    python -m rlready.run.local.containers RUN    waits for the end of its input, then removes the containers of the run

What a stage needs is mounted under the path that it has outside: the work folder, the hub's cache and, read-only, the files
that parameters name.
"""

import codecs
import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, DockerException, ImageNotFound
from docker.types import Mount

from rlready.config import parse_parameters
from rlready.errors import InputError, one_line
from rlready.placement import images
from rlready.run.kfp.limits import list_paths

LABEL = "rlready.run"
PASSED = ("AWS_", "HF_", "MLFLOW_", "OMP_", "RLREADY_", "TOKENIZERS_")  # variables that a stage reads


def find_image(reference: str) -> str:
    """Returns the id of an image, which is pulled if this machine does not have it.

    The id is part of the cache keys, so a tag that moves to another image does not return results of the first one. Raises
    InputError if it is no reference of an image, no engine answers, or the image cannot be pulled.
    """
    images.check_image(reference, force_tag=True)
    with contextlib.closing(_connect()) as client:
        try:
            return client.images.get(reference).id
        except ImageNotFound:
            print(f"{reference} is not on this machine: pulling it", flush=True)
        said = []
        try:
            # An error on the way is a line of an answer that began with success.
            said = list(client.api.pull(reference, stream=True, decode=True))
            return client.images.get(reference).id
        except APIError as error:
            reason = next((line["error"] for line in said if "error" in line), error.explanation or str(error))
            remedy = "check its name, log in to its registry, or build it with make images"
            raise InputError(f"--image {reference}: cannot be pulled ({one_line(reason)}); {remedy}") from error


def _connect() -> docker.DockerClient:
    try:
        client = docker.from_env()
        client.ping()
    except DockerException as error:
        where = os.environ.get("DOCKER_HOST", "Docker's own socket")
        remedy = "start Docker, or `podman system service` and set DOCKER_HOST"
        raise InputError(f"--image: no container engine answers at {where}; {remedy}") from error
    return client


def make_runner(work: Path, run: Path, parameters: dict[str, Any]) -> Any:
    """Returns kfp.local's runner for containers, labelled with the run, that see and write files as this process does."""
    from huggingface_hub.constants import HF_HOME
    from kfp import local
    from kfp.local import docker_task_handler

    docker_task_handler.run_docker_container = run_container
    hub = Path(HF_HOME).absolute()
    hub.mkdir(parents=True, exist_ok=True)
    given = {path for path in find_files(parameters) if not any(path.is_relative_to(folder) for folder in (work, hub))}
    with contextlib.closing(_connect()) as client:
        # If the engine is rootless, root inside is the caller outside.
        rootless = any("rootless" in option for option in client.info().get("SecurityOptions") or [])
    return local.DockerRunner(
        environment={k: v for k, v in os.environ.items() if k.startswith(PASSED)} | {"HF_HOME": str(hub)},
        mounts=[Mount(str(folder), str(folder), "bind") for folder in (work, hub)]
        + [Mount(str(path), str(path), "bind", read_only=True) for path in sorted(given)],
        user="0:0" if rootless else f"{os.getuid()}:{os.getgid()}",
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        network_mode="host",  # or localhost in MLFLOW_TRACKING_URI would be the container
        working_dir=str(Path.cwd()),  # for paths that are relative to it
        labels={LABEL: str(run)},
    )


def find_files(parameters: dict[str, Any]) -> set[Path]:
    """Returns the files and folders of this machine that parameters and variables name."""
    experiment = parse_parameters(parameters)
    texts = [text for _, text in list_paths(experiment)]
    texts += [*experiment.sft.trainer_overrides.values(), *experiment.rl.trainer_overrides.values()]
    texts += [os.environ.get(name, "") for name in ("RLREADY_MIRROR", "MLFLOW_TRACKING_SERVER_CERT_PATH")]
    return {Path(text).absolute() for text in texts if text and isinstance(text, str) and os.path.exists(text)}


def run_container(client: docker.DockerClient, image: str, command: list[str], volumes: dict, **arguments: Any) -> int:
    """Runs a container, prints its output, and returns its exit status; kfp's own takes one that is removed for a success."""
    container = client.containers.run(image, command, volumes=volumes, detach=True, **arguments)
    try:
        for text in codecs.iterdecode(container.logs(stream=True), "utf-8", "replace"):
            print(text, end="")
        return container.wait()["StatusCode"]
    finally:
        container.remove(force=True)


@contextlib.contextmanager
def removed_at_end(run: Path) -> Iterator[None]:
    """Removes the containers of a run when this process ends, even if it is killed: they are children of the engine."""
    command = [sys.executable, "-m", "rlready.run.local.containers", str(run)]
    remover = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    try:
        yield
    finally:
        remover.communicate()


def main(run: str) -> None:
    """Removes the containers of a run once standard input ends."""
    sys.stdin.read()
    with contextlib.closing(_connect()) as client:
        for container in client.containers.list(all=True, filters={"label": f"{LABEL}={run}"}):
            with contextlib.suppress(APIError):  # it has ended meanwhile
                container.remove(force=True)


if __name__ == "__main__":
    main(sys.argv[1])
