"""One warm worker for all runs of a test process: they differ in what they compute, not in the libraries they import."""

import atexit
import functools
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path


@functools.cache
def start_worker(*folders: str) -> str:
    """Starts the worker that finds modules in these folders too, the first time, and returns its socket once it serves."""
    path = Path(tempfile.mkdtemp(prefix="rlready-warm-")) / "worker"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "RLREADY"))}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (*folders, environment.get("PYTHONPATH"))))
    process = subprocess.Popen([sys.executable, "-m", "rlready.run.worker", str(path)], env=environment)
    atexit.register(process.kill)
    while not path.exists():
        assert process.poll() is None
        time.sleep(0.1)
    return str(path)
