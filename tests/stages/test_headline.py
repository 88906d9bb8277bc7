"""Every sentence of the answer is true of the outcome that it is said of: generated outcomes, parsed sentences."""

import dataclasses
import math
import re
from statistics import NormalDist

import pytest
from helpers.generated import BASES, SWEEPS
from helpers.outcomes import BASE, make_outcome
from hypothesis import given, settings
from scipy.stats import ttest_ind

from rlready.analysis.answer import find_best
from rlready.analysis.comparison import group_settings, read_row, read_rows
from rlready.analysis.gate_audit import audit_rejections
from rlready.analysis.noise import compare_settings, measure_noise
from rlready.analysis.saving import weigh_gate
from rlready.analysis.sweep_result import SweepResult
from rlready.config import Gate
from rlready.gate.decide import decide, rank
from rlready.records.candidate import LogSource
from rlready.records.outcome import Candidate, PredictorsRecord, SequenceRecord
from rlready.stages.report.headline import tell_result


def is_ahead(one, other, comparisons):
    """Returns whether one is ahead beyond chance, by two standard errors only; None where that is unknown."""
    errors = one.benchmark.standard_error, other.benchmark.standard_error
    if not all(errors):
        return None
    return one.score - other.score > NormalDist().inv_cdf(1 - 0.025 / comparisons) * math.hypot(*errors)


def check_first(said, rows):
    finished = [row for row in rows if row.score is not None]
    if level := re.match(r"Choosing hardly mattered: the results of (\d+) candidates .*?\]\. ", said):
        assert int(level[1]) == len(finished) > 2
        assert not is_ahead(finished[0], finished[-1], math.comb(len(finished), 2))
        said = said.removeprefix(level[0])
    first = re.match(r"(\w+) (ended best|has the highest Pass@1) after RL, (?:with Pass@1 )?(\d\.\d+)", said)
    if not first:
        assert len(finished) < 2 or not any(row.score for row in finished)
        return
    best = next(row for row in finished if row.name == first[1])
    assert best.score == max(row.score for row in finished) == pytest.approx(float(first[3]), abs=5e-4)
    told = {row.name: is_ahead(best, row, len(finished) - 1) for row in finished if row is not best}
    assert (first[2] == "ended best") == all(told.values())
    tied = re.search(r"Equal to it: (.*?)(?:\. |\.$)", said)
    equal = set(tied[1].split(", ") if tied else ())
    assert equal == {row.name for row in finished if row is not best and row.score == best.score}
    named = re.search(r"Not clearly worse: (.*?)(?:\. |\.$)", said)
    assert set(named[1].split(", ") if named else ()) == {name for name, ahead in told.items() if ahead is False} - equal
    unknown = re.search(r"Whether it is ahead of (.*?) beyond chance is unknown", said)
    assert set(unknown[1].split(", ") if unknown else ()) == {name for name, ahead in told.items() if ahead is None} - equal
    if greedily := re.search(r"Under greedy decoding (\w+) leads with (\d\.\d+)", said):
        known = {row.name: row.greedy_score for row in finished if row.greedy_score is not None}
        assert known[greedily[1]] == max(known.values()) > known[best.name]


def check_sharpening(said, rows, base):
    found = re.search(
        r"model, (\w+) gained ([-+]\d\.\d+) in sampled and ([-+]\d\.\d+) in greedy Pass@1(?:: (.*?) of the sampled)?", said
    )
    if not found:
        return
    row = next(row for row in rows if row.name == found[1])
    gain, greedily = row.score - base.score, row.greedy_score - base.greedy_score
    assert [float(found[2]), float(found[3])] == pytest.approx([gain, greedily], abs=6e-4)
    if found[4]:
        assert is_ahead(row, base, 1) and gain > max(0, greedily)
        share = 1 - max(0, greedily) / gain
        assert (found[4] == "all") == (greedily <= 0) and found[4].startswith("most") == (0.5 < share < 1)
        if percent := re.search(r"(\d+)%", found[4]):
            assert int(percent[1]) == pytest.approx(100 * share, abs=1)


def check_saving(saving, rows):
    if saving is None:
        return
    judged = [row for row in rows if row.judged and not row.failure]
    approved = [row for row in judged if row.verdict.decision == "approved"]
    costs = [row.outcome.rl and row.outcome.rl.seconds for row in judged if row.outcome.rl]
    unknown = None in costs or any(row.elsewhere for row in judged) or not costs
    if unknown or not approved:
        assert saving.avoided is None and "%" not in saving.said
    if re.search("leaves? no result", saving.said):
        assert not approved
    if re.search("so it saved nothing", saving.said):
        assert len(approved) == len(judged)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(SWEEPS, BASES)
def test_every_sentence_is_true_of_its_outcome(outcomes, base):
    rows, base, _ = read_rows(SweepResult(list(outcomes), base, {}))
    said = list(tell_result(rows, base, 64))
    assert not re.search(r"\bnan\b|None|-0\.000", " ".join(said))
    check_first(said[0], rows)
    check_sharpening(said[0], rows, base)
    check_saving(weigh_gate(rows, base), rows)
    pattern = r"(\d+) candidates?: (\d+) approved, (\d+) rejected"
    counted = next(found for text in said if (found := re.match(pattern, text)))
    decisions = [row.verdict.decision for row in rows if not row.failed_early]
    assert [int(n) for n in counted.groups()] == [len(rows), decisions.count("approved"), decisions.count("rejected")]
    for text in said:
        if also := re.search(r"highest Pass@1 before RL, (\d\.\d+), was also the highest after RL", text):
            leaders = [row for row in rows if row.score == max(r.score for r in rows if r.score is not None)]
            assert float(also[1]) in [pytest.approx(row.sft_pass_at_1, abs=5e-4) for row in leaders]
    audit = audit_rejections(rows)
    if not isinstance(audit, str):
        refused = [row for row in rows if row.verdict.decision in ("rejected", "undecided") and row.score is not None]
        above = [is_ahead(row, audit.best, audit.observed) for row in refused if row.score > audit.best.score]
        assert (audit.false, audit.clear, audit.unknown) == (len(above), above.count(True), above.count(None))


@pytest.mark.parametrize(
    ("base", "best", "said"),
    [
        ((0.04, 0.52), (0.60, 0.62), "gained +0.560 in sampled and +0.100 in greedy Pass@1: most (82%)"),
        ((0.04, 0.52), (0.50, 0.50), "gained +0.460 in sampled and -0.020 in greedy Pass@1: all of the sampled gain"),
        ((0.20, 0.20), (0.60, 0.65), "gained +0.400 in sampled and +0.450 in greedy Pass@1, so none of it is sharpening."),
        ((0.20, 0.20), (0.60, 0.50), "gained +0.400 in sampled and +0.300 in greedy Pass@1: 25% of the sampled gain"),
        ((0.59, 0.50), (0.60, 0.62), "gained +0.010 in sampled and +0.120 in greedy Pass@1; the sampled gain may be chance."),
        ((0.60, 0.50), (0.60, 0.50), "gained +0.000 in sampled and +0.000 in greedy Pass@1."),
        ((0.61, 0.50), (0.60, 0.62), "gained -0.010 in sampled and +0.120 in greedy Pass@1; the sampled loss may be chance."),
        ((0.60, 0.50), (0.20, 0.20), "gained -0.400 in sampled and -0.300 in greedy Pass@1; the sampled loss is beyond"),
        ((0.04, None), (0.60, 0.62), "How much of the gain of a is sharpening is unknown"),
    ],
)  # fmt: skip
def test_the_answer_says_how_much_of_the_gain_is_sharpening(base, best, said):
    a, b = (
        make_outcome("random", n, 0.2, 0.7, 0.7, score, name) for n, (name, score) in enumerate([("a", best[0]), ("b", 0.1)])
    )
    a, other = (
        dataclasses.replace(o, benchmark=dataclasses.replace(o.benchmark, pass_at_1=score, greedy_pass_at_1=greedy))
        for o, (score, greedy) in ((a, best), (BASE, base))
    )
    rows, other, _ = read_rows(SweepResult([a, b], other, {}))
    assert said in list(tell_result(rows, other, 64))[0]


def measure(name, correct):
    predictors = PredictorsRecord(samples=8, correct=correct, problems=len(correct), greedy_pass_at_1=0.5,
                                  curve=[[1, sum(correct) / 8 / len(correct)]])  # fmt: skip
    return dataclasses.replace(BASE, candidate=Candidate(name, 1, "random", 8, 1e-3, 0), predictors=predictors)


def test_first_by_a_predictor_is_ahead_of_each_and_not_of_the_next_only():
    first, second, third = [8] * 30 + [0] * 34, [8] * 12 + [0] * 52, [0] * 8 + [8] * 22 + [8] * 5 + [0] * 29
    gate = Gate(k=1, min_pass_at_k=0.0, rank_by="pass_at_1")
    for counts, said in (
        ((first, second), "a comes first by Pass@1, with 0.469 [0.35, 0.59] (greedy Pass@1 0.500): ahead of b beyond chance."),
        ((first, second, third), "a has the highest Pass@1, 0.469 [0.35, 0.59] (greedy Pass@1 0.500). Not clearly worse: c."),
    ):
        outcomes = [measure(name, correct) for name, correct in zip("abc", counts, strict=False)]
        verdicts = rank(decide(outcomes, None, gate, False), outcomes, gate)
        judged = [dataclasses.replace(o, verdict=v, benchmark=None) for o, v in zip(outcomes, verdicts, strict=True)]
        rows, base, _ = read_rows(SweepResult(judged, None, {}))
        assert list(tell_result(rows, base, 64, False, "pass_at_1"))[0] == said


def test_who_led_after_sft_is_not_beaten_by_rounding():
    outcomes = [
        make_outcome("random", number, before, 0.7, 0.7, after, f"c{number}")
        for number, (before, after) in enumerate([(0.3, 0.3), (0.2, 0.1 + 0.2)])
    ]
    said = list(tell_result(*read_rows(SweepResult(outcomes, BASE, {}))[:2], 64))
    assert "The highest Pass@1 before RL, 0.300, was also the highest after RL." in said
    assert not any("Under greedy decoding" in text for text in said)


def test_settings_are_compared_by_the_noise_between_seeds():
    scores = [0.50, 0.53, 0.55], [0.41, 0.46, 0.42]
    rows = [
        read_row(make_outcome("random", n, 0.2, 0.7, 0.7, score, f"c{n}-s{seed}", seed=seed), 64)
        for n, seeds in enumerate(scores) for seed, score in enumerate(seeds)
    ]  # fmt: skip
    (one, other), noise = group_settings(rows), measure_noise(rows)
    lead, back = compare_settings(one, other, noise), compare_settings(other, one, noise)
    expected = ttest_ind(*scores).confidence_interval()
    assert lead == pytest.approx((0.0966667, *expected), abs=1e-6) and lead.sure
    assert back == pytest.approx((-lead.ahead, -lead.high, -lead.low)) and not back.sure
    alike = dataclasses.replace(noise, seeds=(0.0, noise.seeds[1]))
    assert compare_settings(one, other, alike)[1:] == (None, None)  # seeds that all score alike tell nothing of others


def make_seeds(setting, epochs, before, *scores):
    return [
        make_outcome("random", epochs, before, 0.7, 0.7, score, f"{setting}-s{seed}", seed=seed)
        for seed, score in enumerate(scores)
    ]


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ([], "Only a has finished RL, with Pass@1 0.310 ± 0.014 (standard deviation over 2 seeds), greedy 0.310, so there is"),
        (make_seeds("b", 2, 0.1, 0.2), "The highest Pass@1 before RL, 0.200, was also the highest after RL."),
        (make_seeds("b", 2, 0.3, 0.2), "before RL was not the highest after RL: b led with 0.300 and ended at 0.200"),
        (
            make_seeds("b", 2, 0.4, None) + make_seeds("c", 3, 0.1, 0.2),
            "The highest Pass@1 before RL, 0.400, belongs to b, which has no result of RL (rej",
        ),
        (
            [dataclasses.replace(one, predictors=None) for one in make_seeds("b", 2, 0.4, 0.1)],
            "Among those measured, the highest Pass@1 before RL, 0.200, was also the highest after RL.",
        ),
    ],
)
def test_the_favorite_among_settings_is_one_of_all_and_not_of_those_with_rl_only(others, said):
    rows, base, _ = read_rows(SweepResult([*make_seeds("a", 1, 0.2, 0.3, 0.32), *others], BASE, {}))
    told = " ".join(tell_result(rows, base, 64))
    assert said in told
    assert f"{1 + len(others)} setting{'s' * bool(others)}, {2 + len(others)} candidates: " in told
    assert "it was not measured" not in told


def test_why_there_is_no_order_and_no_result_is_the_reason_of_the_run():
    approved = make_outcome("random", 1, 0.2, 0.7, 0.7, None, "a", decision="approved")
    sampled = dataclasses.replace(approved, predictors=PredictorsRecord(sequence=SequenceRecord(64, 0.6, 0.8)))
    rows, base, _ = read_rows(SweepResult([sampled], BASE, {}))
    said = "The candidates cannot be ranked: Pass@64 was not measured, only its interval (sequential sampling)."
    assert next(tell_result(rows, base, None, False)) == said
    logged = dataclasses.replace(approved, candidate=Candidate("a", 0, "", 0, 0.0, 0, log=LogSource("a.jsonl")))
    rows, base, _ = read_rows(SweepResult([logged, make_outcome("random", 2, 0.2, 0.6, 0.7, None, "b")], BASE, {}))
    said = "No candidate has finished RL: it cannot run here for a, whose weights are elsewhere."
    assert next(tell_result(rows, base, None)) == said


def test_the_winner_is_a_seed_of_the_setting_that_is_named_best_and_none_if_nothing_was_solved():
    for scores, winner in ((((0.3, 0.6), (0.5, 0.55)), "b-s1"), (((0.0, 0.0), (0.0, 0.0)), None)):
        outcomes = make_seeds("a", 1, 0.2, *scores[0]) + make_seeds("b", 2, 0.2, *scores[1])
        rows, _, _ = read_rows(SweepResult(outcomes, BASE, {}))
        best = find_best(rows, measure_noise(rows))
        assert (best.candidate and best.candidate.name) == winner
