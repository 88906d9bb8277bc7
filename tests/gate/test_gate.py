"""Verdicts at the boundaries from a table of cases; then budget, audit, sequences, and what may not be compared."""

import dataclasses
import re
from fractions import Fraction
from math import comb
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from helpers import CASES
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from rlready.analysis.comparison import read_rows
from rlready.analysis.sweep_result import SweepResult
from rlready.cli.replay import replay
from rlready.config import Gate, parse_parameters
from rlready.config.recipes import change
from rlready.errors import InputError
from rlready.gate.decide import decide, draw_audit, rank, sort_best
from rlready.records.outcome import (
    Candidate,
    Failure,
    Outcome,
    PredictorsRecord,
    SampleStatistics,
    SequenceRecord,
    SftRecord,
)
from rlready.records.serialization import from_json, to_json
from rlready.records.verdicts import GateNumbers, Verdict
from rlready.stages.gate.stage import arrange
from rlready.stats.difference import estimate_difference

CASES = yaml.safe_load((CASES / "gate.yaml").read_text())
LENIENT = Gate(k=2, min_pass_at_k=0.0, min_pass_at_k_over_base=-1.0, max_loss_rise=100.0)


def make_outcome(correct=(2, 2), loss=0.4, subset="random", name="c", trajectory=((0, 1.0), (1, 0.4)), **changes):
    sequence = changes.pop("sequence", None)
    predictors = PredictorsRecord(
        generalization_loss=loss,
        loss_interval=[loss - 0.1, loss + 0.1] if loss else None,
        samples=4,
        correct=list(correct),
        by_products=SampleStatistics(
            verifier_disagreement=changes.pop("disagreement", 0.0),
            verifier_timeouts=0.0,
            verifier_unknown=changes.pop("unknown", 0.0),
            verifier_checks=changes.pop("checks", 2),
        ),
        sequence=sequence and SequenceRecord(**{"k": None, "low": None, "high": None} | sequence),
    )
    candidate = Candidate(name, 1, subset, 8, 1e-3, 0)
    return Outcome(candidate, sft=SftRecord(list(trajectory)), predictors=predictors, **changes)


def decide_one(outcome, base, settings):
    return decide([outcome], base, settings)[0]


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_verdict(case):
    settings = Gate(
        mode=case.get("mode", "enforce"),
        k=case.get("k", 2),
        min_pass_at_k=case.get("min_pass_at_k", 0.0),
        min_pass_at_k_over_base=case.get("min_over_base", -1.0),
        min_coverage_kept=case.get("min_coverage_kept", 0.0),
        max_generalization_loss=case.get("max_loss", 100.0),
        max_loss_rise=case.get("max_rise", 100.0),
        max_verifier_disagreement=case.get("max_disagreement", 0.1),
    )
    trajectory = [[epoch, loss] for epoch, loss in enumerate(case.get("trajectory", [1.0, 0.4]))]
    outcome = make_outcome(
        case.get("correct", [2, 2]), case.get("loss", 0.4), case.get("subset", "random"), trajectory=trajectory,
        disagreement=case.get("disagreement", 0.0), unknown=case.get("unknown", 0.0), sequence=case.get("sequence"),
        checks=case.get("checks", 2),
    )  # fmt: skip
    base = make_outcome(case.get("base", [2, 2]))
    verdict = decide_one(outcome, base, settings)
    assert verdict.decision == case["expect"], verdict.reason
    assert verdict.proceed == case.get("proceed", case["expect"] == "approved")
    assert case.get("reason", "") in verdict.reason
    # What crosses to the next stage must decide the same.
    assert decide_one(from_json(Outcome, to_json(outcome)), base, settings) == verdict


def test_a_count_above_n_is_undecided_and_does_not_cross_to_the_next_stage():
    outcome = make_outcome([9])
    verdict = decide_one(outcome, make_outcome(), LENIENT)
    assert verdict.decision == "undecided" and "Pass@2 missing" in verdict.reason
    with pytest.raises(InputError, match="predictors: 9 right samples of 4 are impossible"):
        from_json(Outcome, to_json(outcome))


def test_the_base_model_as_a_candidate_forgot_nothing_and_its_coverage_is_not_compared():
    base = make_measured("no-sft-s0", 0)
    settings = dataclasses.replace(LENIENT, min_coverage_kept=1.0)
    verdict = decide_one(base, base, settings)
    assert verdict.decision == "approved" and "coverage kept not compared: it is the base model" in verdict.reason
    assert verdict.numbers.coverage_kept == pytest.approx(0.8)  # c 2 of n 4: two draws of 2 both hold a right one: 4 of 6
    other = make_outcome([2, 1], name="checkpoint")
    assert decide_one(other, base, settings).decision == "rejected"


def test_coverage_kept_is_unknown_if_the_problems_are_in_another_order():
    base, other = (
        dataclasses.replace(one, predictors=dataclasses.replace(one.predictors, problem_ids=ids))
        for one, ids in ((make_outcome([4, 0]), ["a", "b"]), (make_outcome([0, 4], name="d"), ["b", "a"]))
    )
    verdict = decide_one(other, base, dataclasses.replace(LENIENT, min_coverage_kept=0.5))
    assert verdict.decision == "undecided" and "coverage kept missing" in verdict.reason


def make_sweep(*counts, losses=None):
    losses = losses or [0.4] * len(counts)
    return [make_outcome(c, loss, name=f"c{i}") for i, (c, loss) in enumerate(zip(counts, losses, strict=True))]


def test_the_budget_goes_to_the_best_by_pass_at_k_and_ties_to_the_lower_loss():
    sweep = make_sweep([1, 1], [3, 3], [2, 2], [2, 2], losses=[0.1, 0.4, 0.5, 0.3])
    verdicts = decide(sweep, make_outcome(), dataclasses.replace(LENIENT, max_rl_runs=2))
    assert [v.decision for v in verdicts] == ["rejected", "approved", "rejected", "approved"]
    assert [v.numbers.rank for v in verdicts] == [4, 1, 3, 2]
    low, high = estimate_difference([5 / 6] * 2, [5 / 6] * 2)
    said = f"ranked 3 of 4 by Pass@2, budget 2: 0.000 [{low:+.3f}, {high:+.3f}] worse than c3, not a clear difference"
    assert said in verdicts[2].reason
    assert [v.proceed for v in verdicts] == [False, True, False, True]


def test_what_misses_a_threshold_takes_no_place_in_the_budget():
    sweep = make_sweep([4, 4], [3, 3], [2, 2])
    sweep[0] = make_outcome([4, 4], loss=None, name="c0")
    sweep[1] = make_outcome([3, 3], trajectory=[[0, 0.1], [1, 20.0]], name="c1")
    verdicts = decide(sweep, make_outcome(), dataclasses.replace(LENIENT, max_rl_runs=1))
    assert [v.decision for v in verdicts] == ["undecided", "rejected", "approved"]
    assert verdicts[1].numbers.rank is None and verdicts[2].numbers.rank == 1


def test_the_budget_can_rank_by_the_loss():
    sweep = make_sweep([4, 4], [1, 1], losses=[0.9, 0.3])
    settings = dataclasses.replace(LENIENT, max_rl_runs=1, rank_by="generalization_loss")
    verdicts = decide(sweep, make_outcome(), settings)
    assert [v.decision for v in verdicts] == ["rejected", "approved"]
    assert "by loss, budget 1: 0.600 [+0.459, +0.741] worse than c1;" in verdicts[0].reason
    # Examples that are twice as hard as others are so for both: paired, a small difference is clear.
    losses = [[[3.0 * hard + more, 10] for hard in (1, 2) * 8] for more in (0.1, 0.0)]
    sweep = [replace_loss(outcome, some) for outcome, some in zip(sweep, losses, strict=True)]
    verdicts = decide(sweep, make_outcome(), settings)
    assert "by loss, budget 1: 0.010 [+0.010, +0.010] worse than c1;" in verdicts[0].reason
    assert rank(verdicts, sweep, settings)[1].standing.low == pytest.approx(0.01)


def test_the_loss_of_another_tokenizer_is_not_compared():
    one, other = make_sweep([4, 4], [4, 4])
    base = replace_loss(make_outcome(), [[4.0, 10]], "ours")
    sweep = [replace_loss(one, [[5.0, 10]], "ours"), replace_loss(other, [[0.1, 10]], "theirs")]
    for settings in (LENIENT, dataclasses.replace(LENIENT, rank_by="generalization_loss", max_rl_runs=1)):
        verdicts = rank(decide(sweep, base, settings), sweep, settings)
        assert "its tokenizer differs from the base model's" in verdicts[1].reason
        assert [v.numbers.generalization_loss for v in verdicts] == [0.5, None]
    assert [v.decision for v in verdicts] == ["approved", "undecided"] and verdicts[1].standing is None
    assert {row.name: row.loss for row in read_rows(SweepResult(sweep, base, {}))[0]} == {"c0": 0.5, "c1": None}


def test_a_budget_approves_none_without_the_number_that_ranks_them():
    sweep = [replace_loss(outcome) for outcome in make_sweep([2, 2], [2, 2], [3, 3])]
    ranked = {by: dataclasses.replace(LENIENT, max_rl_runs=2, rank_by=by) for by in ("pass_at_k", "generalization_loss")}
    assert [v.decision for v in decide(sweep, make_outcome(), ranked["pass_at_k"])] == ["approved", "rejected", "approved"]
    known = make_sweep([2, 2])[0]
    verdicts = decide([known, *sweep[1:]], make_outcome(), ranked["generalization_loss"])
    assert [(v.decision, v.proceed) for v in verdicts] == [("approved", True), ("undecided", False), ("undecided", False)]
    assert verdicts[1].reason.startswith("loss missing, by which the budget of 2 ranks; ")
    within = decide([known, sweep[1]], make_outcome(), ranked["generalization_loss"])
    assert [v.decision for v in within] == ["approved", "approved"]


COUNTS = st.lists(st.integers(0, 4), min_size=5, max_size=5)


@effort(max_examples=60, deadline=None, derandomize=True)
@given(COUNTS, COUNTS, COUNTS, st.sampled_from([0.3, 0.4]), st.sampled_from([-0.05, 0.0]), st.booleans())
def test_swapping_two_candidates_swaps_their_verdicts(one, other, base, loss, least, audited):
    gate = dataclasses.replace(LENIENT, max_rl_runs=1, min_pass_at_k=0.4, min_pass_at_k_over_base=least)
    gate = dataclasses.replace(gate, mode="audit" if audited else "enforce")
    there, back = (
        decide(make_sweep(*counts, losses=losses), make_outcome(base), gate)
        for counts, losses in (((one, other), (loss, 0.35)), ((other, one), (0.35, loss)))
    )
    names = {"c0": "c1", "c1": "c0"}
    for verdict, swapped in zip(there, back[::-1], strict=True):
        said = re.sub(r"\bc[01]\b", lambda found: names[found[0]], swapped.reason)
        assert (verdict.decision, verdict.proceed, verdict.reason) == (swapped.decision, swapped.proceed, said)


def replace_loss(outcome, losses=None, digest=""):
    """The same with these losses of held-out examples, or where nothing is held out."""
    changed = {"generalization_loss": None, "loss_interval": None, "heldout_tokens": 0}
    if losses:
        nats, tokens = (sum(values) for values in zip(*losses, strict=True))
        changed = {"generalization_loss": nats / tokens, "losses": losses, "heldout_digest": digest}
    return dataclasses.replace(outcome, predictors=dataclasses.replace(outcome.predictors, **changed))


def test_the_audit_draws_a_seeded_share_of_the_rejected_and_keeps_its_propensity():
    sweep = make_sweep([4, 4], *[[0, 0]] * 10)
    settings = dataclasses.replace(LENIENT, min_pass_at_k=0.5, audit_fraction=0.25)
    verdicts = decide(sweep, make_outcome(), settings)
    audited = [v for v in verdicts if v.audited]
    assert len(audited) == 3 and all(v.proceed and v.decision == "rejected" and v.propensity == 0.3 for v in audited)
    kept = [v for v in verdicts if v.decision == "rejected" and not v.audited]
    assert len(kept) == 7 and not any(v.proceed for v in kept) and {v.propensity for v in kept} == {0.3}
    assert verdicts[0].propensity == 1 and verdicts == decide(sweep, make_outcome(), settings)
    others = {
        tuple(v.candidate_id for v in decide(sweep, make_outcome(), dataclasses.replace(settings, seed=s)) if v.audited)
        for s in range(20)
    }
    assert len(others) > 5


def test_whoever_is_not_approved_is_audited_equally_often_over_runs_so_that_inverse_propensity_is_unbiased():
    sweep = [*make_sweep([4, 4], [0, 0], [0, 0], [0, 0]), make_outcome(loss=None, name="undecided")]
    judged = decide(sweep, make_outcome(), dataclasses.replace(LENIENT, min_pass_at_k=0.5))
    draws = [draw_audit(judged, 0.5, 0, f"run-{number}") for number in range(1000)]
    assert [v.decision for v in draws[0]] == ["approved", *["rejected"] * 3, "undecided"]
    assert all(v.propensity == (1 if v.decision == "approved" else 0.5) for v in draws[0])
    shares = np.mean([[v.audited for v in verdicts] for verdicts in draws], axis=0)
    assert shares[0] == 0 and np.abs(shares[1:] - 0.5).max() < 4 * np.sqrt(0.5 * 0.5 / 1000)
    ended = np.array([0.9, 0.1, 0.2, 0.3, 0.8])  # what RL would come to
    estimates = [sum(y / v.propensity for y, v in zip(ended, vs, strict=True) if v.audited) / 4 for vs in draws]
    assert abs(np.mean(estimates) - ended[1:].mean()) < 4 * np.std(estimates) / np.sqrt(1000)


def test_a_run_draws_its_audit_once_and_its_record_draws_it_again():
    sweep = make_sweep(*[[0, 0]] * 8)
    settings = dataclasses.replace(LENIENT, min_pass_at_k=0.5, audit_fraction=0.28)  # 0.28 * 25 is a float above 7
    parameters = {f"gate_{name}": value for name, value in dataclasses.asdict(settings).items()}
    names = []
    for run in ("one", "two", "one", None):  # None: of an older version, which drew by the seed alone
        verdicts = decide(sweep, make_outcome(), settings, run=run)
        outcomes = [dataclasses.replace(o, verdict=v) for o, v in zip(sweep, verdicts, strict=True)]
        assert not any(entry.differs for entry in replay(SweepResult(outcomes, make_outcome(), parameters), []))
        names.append([v.candidate_id for v in verdicts if v.audited])
        other = replay(SweepResult(outcomes, make_outcome(), parameters), ["gate_min_pass_at_k=0.6"])
        assert not any(entry.after.audited for entry in other)  # such a draw never happened
    assert names[0] == names[2] and len({*map(tuple, names)}) == 3 and {*map(len, names)} == {3}
    assert sum(v.audited for v in decide(make_sweep(*[[0, 0]] * 25), make_outcome(), settings)) == 7
    unaudited = decide(sweep, make_outcome(), dataclasses.replace(settings, audit_fraction=0.0), run="one")
    assert {v.drawn_by for v in unaudited} == {None}


def test_the_mode_audit_sends_everyone_with_propensity_one():
    settings = dataclasses.replace(LENIENT, min_pass_at_k=0.5, mode="audit", max_rl_runs=1)
    verdicts = decide(make_sweep([4, 4], [3, 3], [0, 0]), make_outcome(), settings)
    assert [v.decision for v in verdicts] == ["approved", "rejected", "rejected"]
    assert all(v.proceed and v.propensity == 1 for v in verdicts)
    assert [v.audited for v in verdicts] == [False, True, True]


def test_a_gate_that_is_off_sends_everyone_and_judges_nobody():
    verdicts = decide(make_sweep([4, 4], [0, 0]), make_outcome(), dataclasses.replace(LENIENT, k=1, mode="off"))
    assert [(v.decision, v.proceed, v.propensity, v.audited) for v in verdicts] == [("undecided", True, 1.0, False)] * 2


def test_outcomes_of_another_experiment_are_refused():
    sweep = [make_outcome(measurement="a"), make_outcome(measurement="b", name="other")]
    with pytest.raises(InputError, match="other: measured in another experiment"):
        decide(sweep, make_outcome(measurement="a"), LENIENT)


@pytest.mark.parametrize("mode", ["enforce", "audit", "off"])
def test_a_candidate_that_failed_is_rejected_with_its_reason_and_never_sent_to_rl(mode):
    failed = Outcome(Candidate("f", 1, "random", 8, 1e-3, 0), failure=Failure("sft", "out of memory", 12.0, 2))
    settings = dataclasses.replace(LENIENT, mode=mode, audit_fraction=1.0, max_rl_runs=2)
    kept, verdict = decide([make_outcome(), failed], make_outcome(), settings)
    assert kept.proceed and kept.numbers.rank in (1, None)
    assert (verdict.decision, verdict.proceed, verdict.audited, verdict.propensity) == ("rejected", False, False, 0.0)
    assert verdict.reason == "sft failed after 12 s and 2 tries: out of memory"


def make_measured(name, epochs, seed=0):
    return dataclasses.replace(make_outcome(), candidate=Candidate(name, epochs, "random", 8, 1e-3, seed))


def test_the_base_model_is_measured_once_for_all_candidates_without_sft():
    measured = [make_measured("no-sft-s0", 0), make_measured("a", 1)]
    shared = [[dataclasses.asdict(make_measured(f"no-sft-s{s}", 0, s).candidate), "no-sft-s0"] for s in (0, 1)]
    settings = SimpleNamespace(candidates=["no-sft-s1", "a", "no-sft-s0"], shared=shared, compares_base=True)
    baseline, outcomes = arrange(measured, settings)
    assert baseline is measured[0] and [o.candidate.candidate_id for o in outcomes] == settings.candidates
    assert outcomes[0].predictors is baseline.predictors and outcomes[0].candidate.seed == 1
    with pytest.raises(InputError, match="a: planned, but not measured"):
        arrange(measured[:1], settings)
    with pytest.raises(InputError, match="the base model was not measured"):
        arrange(measured[1:], settings)


def test_a_rejection_within_the_noise_says_so_and_a_clear_one_does_not():
    gate = dataclasses.replace(LENIENT, min_pass_at_k=0.6)
    few = decide_one(make_outcome([2, 0, 2, 0]), make_outcome([2] * 4), gate)
    many = decide_one(make_outcome([0] * 200), make_outcome([2] * 200), gate)
    assert few.decision == many.decision == "rejected"
    assert "< 0.6, not clearly below: 95% interval [" in few.reason
    assert "Pass@2 0.000 < 0.6" in many.reason and "clearly" not in many.reason


@pytest.mark.parametrize("problems", [20, 40, 60, 100, 200])
def test_a_lead_of_exactly_the_default_threshold_passes_whatever_the_base_models_score(problems):
    behind = problems // 20
    for solved in range(behind + 1, problems + 1, behind):
        base, outcome, worse = (
            make_outcome([4] * n + [0] * (problems - n)) for n in (solved, solved - behind, solved - behind - 1)
        )
        assert decide_one(outcome, base, Gate(k=4, min_pass_at_k=0)).decision == "approved"
        assert decide_one(worse, base, Gate(k=4, min_pass_at_k=0)).decision == "rejected"


def fraction(counts, k):
    return sum(1 - Fraction(comb(4 - c, k), comb(4, k)) for c in counts) / len(counts)


COUNTS = st.integers(1, 40).flatmap(lambda size: st.tuples(*[st.lists(st.integers(0, 4), min_size=size, max_size=size)] * 2))


@effort(max_examples=60, deadline=None)
@given(COUNTS, st.integers(1, 4))
def test_a_number_that_equals_its_threshold_passes(counts, k):
    """Computed in fractions, as a person would; a threshold above what one sample changes rejects."""
    (mine, base), unit = counts, Fraction(1, 4 * len(counts[0]) * 4)
    value, lead = fraction(mine, k), fraction(mine, k) - fraction(base, k)
    settings = dataclasses.replace(LENIENT, k=k, min_pass_at_k=float(value), min_pass_at_k_over_base=float(lead))
    assert decide_one(make_outcome(mine), make_outcome(base), settings).decision == "approved"
    for name, exact in (("min_pass_at_k", value), ("min_pass_at_k_over_base", lead)):
        above = dataclasses.replace(settings, **{name: float(exact + unit)})
        assert decide_one(make_outcome(mine), make_outcome(base), above).decision == "rejected"


@effort(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.none() | st.integers(0, 2)), max_size=8), st.randoms())
def test_ranks_are_those_of_the_exact_numbers_whatever_rounding_does(pairs, noise):
    """Numbers that are equal but for rounding tie, and ties go to the lower loss; a missing one stands last."""
    verdicts = [
        Verdict(
            f"c{place}", "approved", True, "",
            numbers=GateNumbers(
                pass_at_k=value / 7 + noise.uniform(-1, 1) * 1e-15,
                generalization_loss=None if loss is None else loss / 7 + noise.uniform(-1, 1) * 1e-15,
            ),
        )
        for place, (value, loss) in enumerate(pairs)
    ]  # fmt: skip
    expected = sorted(range(len(pairs)), key=lambda i: (-pairs[i][0], pairs[i][1] is None, pairs[i][1] or 0, f"c{i}"))
    assert [v.candidate_id for v in sort_best(verdicts, "pass_at_k")] == [f"c{place}" for place in expected]


@pytest.mark.parametrize(
    ("name", "disabled"),
    [
        ("gate_min_pass_at_k", 0.0), ("gate_min_pass_at_k_over_base", -1.0), ("gate_min_coverage_kept", 0.0),
        ("gate_max_generalization_loss", 100.0), ("gate_max_verifier_disagreement", 1.0), ("gate_max_verifier_unknown", 1.0),
        ("gate_max_rl_runs", 0), ("gate_max_loss_rise", 1e6),
    ],
)  # fmt: skip
def test_null_disables_a_threshold_in_a_recipe_and_on_the_command_line(name, disabled):
    assert parse_parameters({name: None}).get(name) == disabled
    assert change({}, [f"{name}=null"])[name] == disabled


def test_what_is_no_threshold_takes_no_null():
    with pytest.raises(InputError, match="gate_k: expected int, got None"):
        parse_parameters({"gate_k": None})
    with pytest.raises(InputError, match="sweep_epochs, item 1: null cannot be passed on to a stage"):
        parse_parameters({"sweep_epochs": [1, None]})
    with pytest.raises(InputError, match="rl_trainer_overrides: max_grad_norm: null cannot be passed on"):
        parse_parameters({"rl_trainer_overrides": {"max_grad_norm": None}})
    with pytest.raises(InputError, match="sft_trainer_overrides: max_grad_norm: expected finite numbers, got inf"):
        parse_parameters({"sft_trainer_overrides": {"max_grad_norm": float("inf")}})


def test_a_null_in_an_item_of_the_sweep_or_a_source_counts_as_not_given():
    items = [{"measured": "a.jsonl", "loss": None, "score": None, "seed": 0}]
    given = {"sweep_candidates": items, "curate_sources": {"mine": {"path": "x", "columns": None}}}
    experiment = parse_parameters(given)
    assert experiment.sweep.candidates == [{"measured": "a.jsonl", "seed": 0}]
    assert experiment.curate.sources == {"mine": {"path": "x"}}
