"""The YAML of recipes, registries and `--set`: numbers and booleans are YAML 1.2's, and no key stands twice."""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from rlready.errors import InputError


class Loader(yaml.SafeLoader):
    """YAML in which `1e-5` is a number and `off` a text, and a key that stands twice is an error, not silently the last one."""

    yaml_implicit_resolvers = {}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Returns the mapping of a node."""
        names = [self.construct_object(key, deep=True) for key, _ in node.value]
        for name in names:
            if names.count(name) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"{name!r} stands twice", node.start_mark)
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
    """Returns what a YAML file holds.

    Raises:
        InputError: If it is not YAML, or a key stands twice in a mapping.
    """
    try:
        text = path.read_text()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not YAML: {error}") from error
    return parse_yaml(text, str(path))


def parse_yaml(text: str, where: str) -> Any:
    """Returns what a YAML text says; errors begin with `where`.

    Raises:
        InputError: If it is not YAML, or a key stands twice in a mapping.
    """
    try:
        return yaml.load(text, Loader)
    except yaml.YAMLError as error:
        raise InputError(f"{where}: not YAML: {' '.join(str(error).split())}") from error
