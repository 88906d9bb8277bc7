"""Recipes: named sets of parameters, one YAML file each, with numbers and booleans of YAML 1.2 and no duplicate keys."""

import os
import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from rlready.config import complete_parameters, list_parameters
from rlready.errors import InputError, error_context

FOLDER = Path(__file__).parents[1] / "pipelines" / "recipes"
KEYS = {"description", "parameters", "placement"}
DATA = ("sft", "rl", "evaluation", "predictor")
# Parameters that can name files or folders.
PATHS = ("base_model", "base_measured", "curate_decontaminate", "curate_mirror", *(f"curate_{kind}_data" for kind in DATA))


class Loader(yaml.SafeLoader):
    """YAML in which `1e-5` is a number, `off` is a text, and a duplicate key is an error instead of replacing the first."""

    yaml_implicit_resolvers = {}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Returns the mapping of a node."""
        names: list[Hashable] = []
        for key, _ in node.value:
            if (name := self.construct_object(key, deep=True)) in names:
                raise yaml.constructor.ConstructorError(None, None, f"duplicate key {name!r}", key.start_mark)
            names.append(name)
        return super().construct_mapping(node, deep)


# YAML 1.2's core schema (https://yaml.org/spec/1.2.2, section 10.3.2); PyYAML's own is that of 1.1.
for tag, pattern, firsts in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    ("merge", r"<<", ["<"]),
):
    Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(rf"(?:{pattern})\Z"), firsts)


def read_yaml(path: Path) -> Any:
    """Returns the contents of a YAML file; raises InputError if it is not YAML or has a duplicate key."""
    try:
        text = path.read_text()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 ({error.reason} at byte {error.start}); convert the file") from error
    return parse_yaml(text, str(path))


def parse_yaml(text: str, where: str) -> Any:
    """Returns the value of a YAML text; raises InputError, which begins with `where`, if it is none or has a duplicate key."""
    try:
        return yaml.load(text, Loader)
    except yaml.YAMLError as error:
        raise InputError(f"{where}: not YAML: {' '.join(str(error).split())}") from error


def list_recipes() -> list[str]:
    """Returns the names of the recipes that come with rlready."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_recipe(name: str, overrides: list[str]) -> dict:
    """Returns every parameter of a recipe by its flat name, with what `--set` changes.

    `name` is a shipped recipe, or the path of a YAML file, to which the paths in it are relative; for `overrides` see
    `parse_overrides`. Raises InputError if the recipe does not exist, or a parameter is unknown or of the wrong type.
    """
    path, recipe = read_recipe(name)
    given = recipe["parameters"]
    if path.parent != FOLDER:
        given = {key: resolve(key, value, path.parent) for key, value in given.items()}
    with error_context(path.name):
        complete_parameters(given)
    return change(given, overrides)


def change(given: dict, overrides: list[str]) -> dict:
    """Returns every parameter by its flat name: the given ones with what `--set` changes, and `~` in paths expanded."""
    changed = parse_overrides(overrides)
    return complete_parameters({key: expand_home(value) for key, value in (given | changed).items()})


def parse_overrides(overrides: list[str]) -> dict[str, Any]:
    """Returns what `--set` changes, by name, from texts such as `gate_k=16`; a value is YAML, but a text needs no quotes.

    Raises InputError if one is not key=value, the key is unknown, or the value is of the wrong type.
    """
    changed = {}
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals:
            raise InputError(f"--set {override}: expected key=value")
        known = list_parameters().get(key)
        is_text = (known and known.type is str) or not value.strip()
        changed[key] = value if is_text else parse_yaml(value, f"--set {override}")
    with error_context("--set"):
        complete_parameters(changed)
    return changed


def find_origins(name: str | None, overrides: list[str]) -> dict[str, str]:
    """Returns where each given parameter comes from: `--set`, or the file of the recipe."""
    changed = {override.partition("=")[0]: "--set" for override in overrides}
    if name is None:
        return changed
    path, recipe = read_recipe(name)
    return dict.fromkeys(recipe["parameters"], path.name) | changed


def resolve(key: str, value: Any, folder: Path) -> Any:
    """Returns a parameter with paths relative to the recipe's folder made relative to the current one."""
    if key == "curate_sources" and isinstance(value, dict):
        return {name: _resolve_item(entry, "path", folder) for name, entry in value.items()}
    if key == "sweep_candidates" and isinstance(value, list):
        for name in ("model", "measured", "loss"):
            value = [_resolve_item(item, name, folder) for item in value]
        return value
    if key in PATHS and isinstance(value, list):
        return [resolve(key, item, folder) for item in value]
    if key not in PATHS or not isinstance(value, str):
        return value
    parts = [part.strip() for part in value.split(",")]
    return ",".join(
        os.path.relpath(folder / part) if part and (folder / part).exists() and not Path(part).is_absolute() else part
        for part in parts
    )


def _resolve_item(item: Any, name: str, folder: Path) -> Any:
    held = isinstance(item, dict) and name in item
    return item | {name: resolve("base_model", item[name], folder)} if held else item


def expand_home(value: Any) -> Any:
    """Returns a value with the user's home instead of `~` at the beginning of paths, also of several with commas."""
    if isinstance(value, str):
        return re.sub(r"(?:(?<=,)|^)(\s*)~(?=/)", lambda found: f"{found[1]}{Path.home()}", value)
    if isinstance(value, list):
        return [expand_home(item) for item in value]
    if isinstance(value, dict):
        return {key: expand_home(item) for key, item in value.items()}
    return value


def describe_recipe(name: str) -> str:
    """Returns the name of a recipe with its description."""
    path, recipe = read_recipe(name)
    shown = path.stem if path.parent == FOLDER else name
    return f"{shown}: {recipe['description']}" if recipe["description"] else shown


def read_recipe(name: str) -> tuple[Path, dict]:
    """Returns the file of a recipe, and its description, parameters and placement as written; None or {} if left out.

    Raises InputError if there is no such recipe, or it has other keys.
    """
    path = FOLDER / f"{name}.yaml" if name in list_recipes() else Path(name).expanduser()
    if not path.is_file():
        raise InputError(f"recipe: {name} is neither a file nor one of {', '.join(list_recipes())}")
    recipe = read_yaml(path)
    if not isinstance(recipe, dict) or recipe.keys() - KEYS:
        raise InputError(f"{path}: expected the keys description, parameters and placement")
    given = recipe.get("parameters") or {}
    odd = [key for key in given if not isinstance(key, str)] if isinstance(given, dict) else []
    if odd or not isinstance(given, dict):
        what = f"the name {odd[0]!r}" if odd else repr(given)
        raise InputError(f"{path}: parameters: expected lines of `name: value`, got {what}")
    return path, dict.fromkeys(KEYS) | recipe | {"parameters": given}
