"""The pinned versions."""

import re

from packaging.utils import canonicalize_name

PIN = re.compile(r"([\w.-]+)==(\S+)")


def read_pins(path):
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith(("#", "--constraint "))]
    pins = [PIN.fullmatch(line).groups() for line in lines]
    names = [canonicalize_name(name) for name, _ in pins]
    assert len(names) == len(set(names))
    return dict(zip(names, (version for _, version in pins), strict=True))
