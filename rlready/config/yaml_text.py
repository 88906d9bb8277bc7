"""The YAML of recipes, registries and `--set`: numbers and booleans of YAML 1.2, and no duplicate keys."""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from rlready.errors import InputError


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
