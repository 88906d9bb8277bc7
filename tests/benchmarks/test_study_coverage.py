"""Coverage of the second study's intervals, printed (make bench)."""

import runpy

import numpy as np
import pytest
from helpers import ROOT


@pytest.mark.bench
def test_intervals_over_draws_cover():
    power = runpy.run_path(str(ROOT / "docs" / "study" / "power.py"))
    power["print_coverage"](power["estimate"](), np.random.default_rng(0))
