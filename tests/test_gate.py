"""Verdicts at the boundaries, from a table of cases."""

from pathlib import Path

import pytest
import yaml

from rlready.components.config import Gate
from rlready.components.core.records import Candidate, PredictorsRecord, from_json, to_json
from rlready.components.gate.decide import decide

CASES = yaml.safe_load((Path(__file__).parent / "cases" / "gate.yaml").read_text())


def make_record(correct, loss=0.4, subset="random"):
    candidate = Candidate("c", 1, subset, 8, 1e-3, 0)
    return PredictorsRecord(candidate, loss, 100, 4, correct, 0.5, [], {}, 10, 1.0)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_verdict(case):
    settings = Gate(
        mode=case.get("mode", "enforce"),
        k=case.get("k", 2),
        min_pass_at_k=case.get("min_pass_at_k", 0.0),
        min_pass_at_k_over_base=case.get("min_over_base", -1.0),
        max_generalization_loss=case.get("max_loss", 100.0),
        max_loss_rise=case.get("max_rise", 100.0),
    )
    record = make_record(case.get("correct", [2, 2]), case.get("loss", 0.4), case.get("subset", "random"))
    trajectory = [[epoch, loss] for epoch, loss in enumerate(case.get("trajectory", [1.0, 0.4]))]
    verdict = decide(record, make_record(case.get("base", [2, 2])), trajectory, settings)
    assert verdict.decision == case["expect"], verdict.reason
    assert verdict.proceed == case.get("proceed", case["expect"] == "approved")
    assert case.get("reason", "") in verdict.reason
    # What crosses to the next stage must decide the same.
    assert decide(from_json(PredictorsRecord, to_json(record)), make_record(case.get("base", [2, 2])), trajectory,
                  settings).decision == verdict.decision  # fmt: skip
