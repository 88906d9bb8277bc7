"""Finds out which fine-tuned checkpoints are worth RL. The names of `__init__.pyi` are the Python API, imported when used."""

import ast
import importlib
import logging
import os
from pathlib import Path

# Set before MLflow, the Hugging Face hub and vLLM are imported. They send usage data from a thread, which reads the environment
# while accelerate writes to it; that has ended a training with SIGSEGV.
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")  # DO_NOT_TRACK must be true for MLflow, and 1 for vLLM
# MLflow prints a link for each run that ends, and urllib3 warns of each retry: together they hide the reason of a failure.
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
logging.getLogger("urllib3").setLevel(logging.ERROR)

_IMPORTS = [node for node in ast.parse(Path(__file__).with_suffix(".pyi").read_text()).body if isinstance(node, ast.ImportFrom)]
_MODULES = {alias.name: str(node.module) for node in _IMPORTS for alias in node.names}
__all__ = sorted(_MODULES)


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
