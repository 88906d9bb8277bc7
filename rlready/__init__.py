"""Decides which fine-tuned checkpoints are worth RL. The names in `__all__` are the Python API, imported when first used."""

import importlib
import logging
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rlready.analysis.sweep_result import SweepResult, read_sweep
    from rlready.config.stages import Gate
    from rlready.errors import InputError
    from rlready.gate.decide import decide
    from rlready.gate.lead import Lead, measure_lead
    from rlready.measured.log import MeasuredLog
    from rlready.measured.read import load_candidates, load_samples
    from rlready.measured.sweep import rank
    from rlready.records.candidate import Candidate
    from rlready.records.outcome import Outcome, PredictorsRecord, SampleStatistics
    from rlready.records.verdicts import Verdict
    from rlready.stats.pass_at_k import Estimate, estimate_pass_at_k
    from rlready.verifier.formats.format import Judgement
    from rlready.verifier.judgement import judge

# Before MLflow, Hugging Face's hub and vLLM are imported: what they report to their makers they send from a thread. It looks up
# a host, and so reads the environment, while accelerate writes it; that has ended a training with SIGSEGV.
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")  # DO_NOT_TRACK must be true for MLflow, and 1 for vLLM
# MLflow prints "View run ... at" for each run that ends, and urllib3 warns of each retry: the reason of a failure drowns there.
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
logging.getLogger("urllib3").setLevel(logging.ERROR)

_MODULES = {
    "analysis.sweep_result": ("SweepResult", "read_sweep"),
    "config.stages": ("Gate",),
    "errors": ("InputError",),
    "gate.decide": ("decide",),
    "gate.lead": ("Lead", "measure_lead"),
    "measured.log": ("MeasuredLog",),
    "measured.read": ("load_candidates", "load_samples"),
    "measured.sweep": ("rank",),
    "records.candidate": ("Candidate",),
    "records.outcome": ("Outcome", "PredictorsRecord", "SampleStatistics"),
    "records.verdicts": ("Verdict",),
    "stats.pass_at_k": ("Estimate", "estimate_pass_at_k"),
    "verifier.formats.format": ("Judgement",),
    "verifier.judgement": ("judge",),
}
__all__ = [
    "Candidate",
    "Estimate",
    "Gate",
    "InputError",
    "Judgement",
    "Lead",
    "MeasuredLog",
    "Outcome",
    "PredictorsRecord",
    "SampleStatistics",
    "SweepResult",
    "Verdict",
    "decide",
    "estimate_pass_at_k",
    "judge",
    "load_candidates",
    "load_samples",
    "measure_lead",
    "rank",
    "read_sweep",
]


def __getattr__(name: str) -> object:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(f"rlready.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
