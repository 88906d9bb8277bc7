"""Options that several commands take, and what they mean."""

import argparse
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from rlready.config.recipes import find_origins, list_recipes, load_recipe
from rlready.errors import InputError
from rlready.placement.placement import load_placement


def add_recipe(command: argparse.ArgumentParser) -> None:
    """Adds --recipe, --set and --mirror."""
    command.add_argument("--recipe", default="laptop", help=f"{', '.join(list_recipes())}, or a YAML file (laptop)")
    command.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a parameter")
    add_mirror(command)


def add_mirror(command: argparse.ArgumentParser) -> None:
    """Adds --mirror."""
    command.add_argument("--mirror", metavar="DIR", help="read hub datasets from copies there (curate_mirror)")


def add_work(command: argparse.ArgumentParser) -> None:
    """Adds --work."""
    command.add_argument("--work", type=Path, default=Path("runs"), help="folder for runs, cache and tracking (runs)")


def add_past_run(command: argparse.ArgumentParser) -> None:
    """Adds the name of a run on this machine, and --work."""
    command.add_argument("run", nargs="?", help="name of the run; the last one if left out")
    add_work(command)


def add_image(command: argparse.ArgumentParser) -> None:
    """Adds --image and --force-tag."""
    command.add_argument("--image", help="container image of the stages, by digest (RLREADY_IMAGE)")
    command.add_argument("--force-tag", action="store_true", help="take a tag, whose cached results can be stale")


def add_server(command: argparse.ArgumentParser) -> None:
    """Adds --host and --namespace."""
    command.add_argument("--host", help="address of the KFP server (KFP_HOST); credentials come from variables only")
    namespace = os.environ.get("KFP_NAMESPACE")
    command.add_argument("--namespace", default=namespace, help="a user's namespace, on a server for several (KFP_NAMESPACE)")


def list_changes(arguments: argparse.Namespace) -> list[str]:
    """Returns what --set and --mirror change, as KEY=VALUE."""
    return arguments.set + ([f"curate_mirror={arguments.mirror}"] if getattr(arguments, "mirror", None) else [])


def read_parameters(arguments: argparse.Namespace) -> dict:
    """Returns every parameter of the recipe, with what --set and --mirror change.

    Raises:
        InputError: If the recipe does not exist or holds something unknown or of the wrong type.
    """
    load_placement(arguments.recipe)  # a run on this machine ignores it, but should not keep quiet about an error in it
    return load_recipe(arguments.recipe, list_changes(arguments))


@contextlib.contextmanager
def annotate_errors(arguments: argparse.Namespace) -> Iterator[None]:
    """Puts where a parameter was given before every line of an error that begins with its name: the recipe's file, or --set."""
    try:
        yield
    except InputError as error:
        if "set" not in arguments:
            raise
        origins = find_origins(getattr(arguments, "recipe", None), list_changes(arguments))
        lines = [_name_origin(line, origins) for line in str(error).splitlines()]
        raise type(error)("\n".join(lines)) from error


def _name_origin(line: str, origins: dict[str, str]) -> str:
    where = origins.get(line.partition(":")[0])
    return f"{where} {line}" if where == "--set" else f"{where}: {line}" if where else line


def choose_image(arguments: argparse.Namespace) -> str | None:
    """Returns the image of --image or RLREADY_IMAGE, if there is one.

    Raises:
        InputError: If it is no reference of an image, or a tag without --force-tag.
    """
    from rlready.placement import images

    image = arguments.image or os.environ.get(images.IMAGE)
    if image:
        images.check_image(image, arguments.force_tag)
    return image


def check_work(work: Path) -> None:
    """Raises InputError if a folder for runs, or that for temporary files, is none, or cannot hold MLflow's file."""
    temporary = os.environ.get("TMPDIR")
    if temporary and not Path(temporary).is_dir():
        raise InputError(f"TMPDIR: {temporary} is no folder; create it, or set TMPDIR to another folder for temporary files")
    if there := next((path for path in (work, *work.absolute().parents) if path.exists() and not path.is_dir()), None):
        raise InputError(f"--work {work}: {there} is a file; expected a folder for runs")
    if "?" in str(work.resolve()):
        raise InputError(f"{work.resolve()}: MLflow's file cannot lie below a folder with a question mark in its name")


def find_past_run(arguments: argparse.Namespace) -> Path:
    """Returns the folder of the run asked for, or of the last one that finished."""
    work = arguments.work.resolve()
    if arguments.run:
        return work / arguments.run
    finished = sorted((p.parent for p in work.glob("*/outcomes.json")), key=lambda p: p.stat().st_mtime)
    return finished[-1] if finished else work
