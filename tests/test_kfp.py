"""The laptop recipe, shortened, on a KFP server that is there: with mixed verdicts, then once more from the cache.

KFP_HOST and RLREADY_IMAGE name the server and the image (make test-kfp); RLREADY_SUBMIT holds what else submit needs.
"""

import json
import os
import re
import shlex
import subprocess
import sys
import time

import pytest

from rlready.pipelines.cluster import follow
from rlready.pipelines.cluster.server import connect

pytestmark = pytest.mark.kfp
CANDIDATES = [{"epochs": 0}, {"epochs": 4}, {"epochs": 4, "subset": "shortest"}]
SHORTER = {
    "sweep_candidates": CANDIDATES,
    "curate_seed": int(time.time()),  # the first run finds nothing in the cache
    "predictors_samples": 64,
    "rl_steps": 2,
    # Everybody passes the thresholds and the budget takes one: some approved and some rejected, whatever the figures are.
    "gate_min_pass_at_k": 0,
    "gate_min_pass_at_k_over_base": -1,
    "gate_max_loss_rise": 1000,
    "gate_max_verifier_disagreement": 1,
    "gate_max_rl_runs": 1,
}


def submit():
    """Runs the recipe and returns what was said and what its report says."""
    command = [sys.executable, "-m", "rlready.pipelines.cli", "submit", "--recipe", "laptop", "--follow"]
    command += [part for key, value in SHORTER.items() for part in ("--set", f"{key}={json.dumps(value)}")]
    command += shlex.split(os.environ.get("RLREADY_SUBMIT", ""))
    done = subprocess.run(command, capture_output=True, text=True)
    print(done.stdout, done.stderr)
    assert done.returncode == 0, done.stderr
    run = re.search(r"runs/details/([0-9a-f-]+)", done.stdout)[1]
    return done.stdout, follow.read_result(connect(), run)


def test_mixed_verdicts_end_in_a_report_the_first_time_and_from_the_cache():
    first, report = submit()
    assert first.count("Report: done") == 1 and "RL of" in first and "from the cache" not in first
    again, repeated = submit()
    assert again.count("Report: done") == 1
    assert again.count("from the cache") >= 2 * len(CANDIDATES)  # SFT and predictors of each
    if report is None:
        pytest.skip("KFP_HOST is the API server alone, which hands out no report; give the UI's address to check it")
    for sweep in (report, repeated):
        assert sorted(outcome.verdict.decision for outcome in sweep.outcomes) == ["approved", "rejected", "rejected"]
        for outcome in sweep.outcomes:
            assert (outcome.benchmark is not None) == (outcome.rl is not None) == outcome.verdict.proceed
    assert repeated.outcomes == report.outcomes and repeated.baseline == report.baseline
