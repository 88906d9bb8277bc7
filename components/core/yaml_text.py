"""The YAML that recipes and registries are written in: no key stands twice."""

from pathlib import Path
from typing import Any

import yaml

from rlready.components.config import InputError


class Loader(yaml.SafeLoader):
    """YAML in which a key that stands twice is an error, not silently the last one."""

    def construct_mapping(self, node, deep=False):
        """Returns the mapping of a node."""
        names = [self.construct_object(key, deep=True) for key, _ in node.value]
        for name in names:
            if names.count(name) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"{name!r} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> Any:
    """Returns what a YAML file holds.

    Raises:
        InputError: If it is not YAML, or a key stands twice in a mapping.
    """
    try:
        return yaml.load(path.read_text(), Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
