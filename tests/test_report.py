"""The report: what it says of the result, that its numbers are right, and that it is one safe page."""

import re
from types import SimpleNamespace

import pytest
from scipy.stats import linregress, spearmanr

from rlready.components.core.records import Candidate, Outcome
from rlready.components.report.report import write_report

RUNS = [  # subset, epochs, SFT Pass@1, Pass@64, loss, post-RL Pass@1
    ("random", 1, 0.18, 0.74, 0.71, 0.40),
    ("random", 4, 0.23, 0.78, 0.65, 0.44),
    ("random", 16, 0.29, 0.73, 0.78, 0.42),
    ("random", 32, 0.31, 0.59, 1.21, None),
    ("shortest", 4, 0.26, 0.56, 0.09, 0.33),
    ("mixed", 4, 0.22, 0.77, 2.60, 0.43),
]


def make_outcome(subset, epochs, pass_at_1, pass_at_64, loss, score, name=None, reason="Pass@64 holds"):
    candidate = Candidate(name or f"{subset}-{epochs}", epochs, subset, 1024, 2e-5, 0)
    decision = "rejected" if score is None else "approved"
    return Outcome(
        candidate,
        sft={"trajectory": [[0, 1.4], [epochs, loss]], "steps": 9, "train_tokens": 9, "seconds": 10.0},
        predictors={
            "generalization_loss": loss,
            "greedy_pass_at_1": pass_at_1,
            "curve": [[1, pass_at_1], [64, pass_at_64], [100, pass_at_64]],
            "seconds": 20.0,
        },
        verdict={"decision": decision, "reason": reason, "mode": "enforce", "numbers": {"k": 64}},
        rl=None if score is None else {"rewards": [], "steps": 9, "seconds": 1000.0},
        benchmark=None
        if score is None
        else {"pass_at_1": score, "standard_error": 0.01, "greedy_pass_at_1": score, "seconds": 30.0},
    )


BASE = Outcome(
    Candidate("base", 0, "random", 0, 0.0, 0),
    predictors={"generalization_loss": 1.4, "greedy_pass_at_1": 0.1, "curve": [[1, 0.1], [64, 0.6]], "seconds": 1.0},
    benchmark={"pass_at_1": 0.11, "standard_error": 0.01, "greedy_pass_at_1": 0.12, "seconds": 1.0},
)


@pytest.fixture
def report(tmp_path):
    def write(outcomes, reference=BASE):
        paths = tmp_path / "report.html", tmp_path / "report.md"
        write_report("A sweep", outcomes, reference, *paths)
        html, markdown = (path.read_text() for path in paths)
        cells = (re.split(r" *(?<!\\)\| *", line)[1:-1] for line in markdown.splitlines() if line.startswith("|"))
        return SimpleNamespace(html=html, markdown=markdown, rows={first: rest for first, *rest in cells})

    return write


def test_predictor_table_equals_an_independent_computation(report):
    rows = report([make_outcome(*run) for run in RUNS]).rows
    finished = [run for run in RUNS if run[5] is not None]
    random = [run for run in finished if run[0] == "random"]
    assert len(random) < len(finished)
    for name, column, sign, runs in (
        ("SFT Pass@1 (T=1)", 2, 1, finished),
        ("SFT greedy Pass@1", 2, 1, finished),
        ("Pass@64", 3, 1, finished),
        ("Minus generalization loss (random subsets)", 4, -1, random),
    ):
        x, y = [sign * run[column] for run in runs], [run[5] for run in runs]
        expected = spearmanr(x, y).statistic, linregress(x, y).rvalue ** 2
        assert rows[name] == [str(len(runs)), *(f"{value:.2f}" for value in expected)]


def test_rows_stand_in_the_order_of_the_result_and_then_pass_at_k(report):
    unranked = make_outcome("longest", 4, 0.2, 0.6, 0.7, None)
    names = list(report([*(make_outcome(*run) for run in RUNS), unranked]).rows)
    expected = [
        "random-4",
        "mixed-4",
        "random-16",
        "random-1",
        "shortest-4",
        "longest-4",
        "random-32",
        "base model, no RL",
    ]
    assert [name for name in names if name in expected] == expected


def test_headline_says_that_the_best_after_sft_was_not_the_best_after_rl(report):
    text = report([make_outcome(*run) for run in RUNS]).markdown
    assert "random-4 ended best after RL, with Pass@1 0.440 ± 0.010." in text
    assert "6 candidates: 5 approved, 1 rejected." in text
    assert "0.310, belongs to random-32, which has no result of RL (rejected)" in text
    assert "random-16 led with 0.290 and ended at 0.420 ± 0.010, 0.020 lower (1.4 standard errors)" in text
    assert "weak evidence" in text


def test_headline_says_that_the_best_after_sft_was_the_best_after_rl(report):
    assert "0.230, was also the best after RL." in report([make_outcome(*run) for run in RUNS[:2]]).markdown


def test_candidates_with_the_same_score_are_level(report):
    text = report(
        [make_outcome("random", 1, 0.3, 0.7, 0.8, 0.4), make_outcome("mixed", 1, 0.2, 0.8, 0.7, 0.4)]
    ).markdown
    assert "mixed-1 ended best after RL" in text
    assert "not clearly worse: random-1." in text
    assert "0.300, was also the best after RL." in text


def test_no_finished_rl_leaves_the_answer_open(report):
    page = report([make_outcome(*run[:5], None) for run in RUNS])
    assert "No candidate has finished RL" in page.markdown
    assert page.rows["Pass@64"] == ["0", "not enough points", "not enough points"]
    assert "nothing to show: no candidate with RL to judge Pass@64 by" in page.html


def test_one_candidate_has_nothing_to_be_compared_with(report):
    page = report([make_outcome(*RUNS[0])])
    assert "Only random-1 has finished RL, with Pass@1 0.400 ± 0.010" in page.markdown
    assert page.rows["Pass@64"] == ["1", "not enough points", "not enough points"]


def test_missing_numbers_are_dashes(report):
    unknown = {"generalization_loss": None, "greedy_pass_at_1": None, "curve": [[1, None]], "seconds": None}
    benchmark = {"pass_at_1": float("nan"), "standard_error": None, "greedy_pass_at_1": None, "seconds": None}
    verdict = {"decision": "undecided", "reason": "loss missing", "mode": "audit", "numbers": {"k": 64}}
    sft = {"trajectory": [[0, None]], "seconds": None}
    lost = Outcome(Candidate("lost", 4, "random", 1, 1e-5, 0), sft, unknown, verdict, None, benchmark)
    page = report([lost, Outcome(Candidate("bare", 1, "random", 1, 1e-5, 0))], Outcome(BASE.candidate))
    assert page.rows["lost"] == ["–"] * 5  # the last table with this row is the one of seconds
    assert "| lost | 4 | random | – | – | – | – | undecided | – | – | loss missing |" in page.markdown
    assert "2 candidates: 0 approved, 0 rejected, 1 undecided, 1 without a verdict." in page.markdown
    assert page.html.count("nothing to show: ") == 6


def test_hostile_text_stays_text_in_both_outputs(report):
    name = "_<script>alert(1)</script>|$\\bad{$\n[x](y)"
    page = report(
        [make_outcome(*RUNS[0], name=name, reason=f"1 < 2 {name}"), *(make_outcome(*run) for run in RUNS[1:])]
    )
    assert "<script" not in page.html.lower() + page.markdown.lower()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.html
    widths = [line.count("|") for line in page.markdown.splitlines() if "alert(1)" in line and line.startswith("|")]
    assert widths == [12, 7]
    assert "[x]" not in page.markdown


def test_page_needs_nothing_from_outside(report):
    page = report([make_outcome(*run) for run in RUNS]).html
    assert page.count("<svg ") == 6
    assert not re.search(r"https?:|//\w|<(script|link|img|iframe)\b|@import|url\((?!#)", page)
    ids = re.findall(r' id="([^"]*)"', page)
    assert len(ids) == len(set(ids))
