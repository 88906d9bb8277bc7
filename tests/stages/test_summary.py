"""What was run stands under the title, its result in four lines to paste, and names are short where nothing is lost."""

import dataclasses

from helpers.outcomes import BASE, make_outcome

from rlready.analysis.comparison import read_row, shorten_names
from rlready.analysis.sweep_result import SweepResult, read_sweep, write_sweep
from rlready.stages.report.document import render_html, render_markdown
from rlready.stages.report.report import compose

ORIGIN = {"run": "mine-1", "date": "2026-11-29", "version": "0.1.0", "command": "rlready run --recipe mine.yaml"}
LINKS = {"base_model": {"digest": "0123456789ab"}, "data": {"predictors": {"rows": 9, "digest": "ba9876543210"}}}


def make_sweep(tmp_path):
    names = ["random-8x1-lr0.001-s0", "random-8x2-lr0.001-s0", "no-sft-s0"]
    outcomes = [
        make_outcome("random", 2 - place, 0.2, 0.8 - place / 10, 0.5, score, name)
        for place, (name, score) in enumerate(zip(names, [0.5, None, None], strict=True))
    ]
    outcomes = [dataclasses.replace(o, candidate=dataclasses.replace(o.candidate, learning_rate=1e-3)) for o in outcomes]
    sized = dataclasses.replace(outcomes[0].predictors, problems=9, samples=64)
    outcomes[0] = dataclasses.replace(outcomes[0], predictors=sized, links=LINKS)
    parameters = {"base_model": "tiny", "curate_sft_data": "gsm8k", "rl_steps": 30}
    write_sweep(SweepResult(outcomes, BASE, parameters, ORIGIN), tmp_path / "outcomes.json")
    return read_sweep(tmp_path / "outcomes.json")


def test_a_report_says_what_was_run_and_sums_it_up(tmp_path):
    document = compose(sweep := make_sweep(tmp_path))
    assert document.title == "mine-1: tiny, 3 candidates"
    numbered = ORIGIN | {"run": "03aac22a-4f70-4de1-952b-566b1e8e6971"}  # by KFP
    assert compose(dataclasses.replace(sweep, origin=numbered)).title == "tiny: 3 candidates"
    assert dict(document.origin) == {
        "Run": "mine-1, 2026-11-29, rlready 0.1.0",
        "Base model": "tiny (01234567)",
        "Data": "SFT gsm8k; predictors 9 rows (ba987654)",
        "Measured": "9 problems x 64 samples before RL, k = 64, 30 RL steps",
        "Command": "rlready run --recipe mine.yaml",
    }
    assert document.summary == [
        "Winner: random-8x1-lr0.001-s0, Pass@1 0.500 ± 0.010 (greedy 0.500) after RL; base model 0.110",
        "Gate: approved random-8x1-lr0.001-s0 (1 of 3 candidates): Pass@64 holds",
        "Net saving: about 65% of the cost of RL for all candidates",
        "Certainty: unknown, nothing to compare it with",
    ]
    for text in (render_html(document), render_markdown(document)):
        assert all(line in text for line in (*document.summary, *dict(document.origin).values()))


def test_a_reason_is_below_its_row_and_verdict_and_result_are_next_to_the_name(tmp_path):
    document = compose(make_sweep(tmp_path))
    page = render_html(document)
    table = next(section.table for section in document.sections if section.title == "Candidates")
    assert table[0][:3] == ["Candidate", "Verdict", "Post-RL Pass@1"] and "<th>Reason" not in page
    assert page.count('<tr class="reason">') == 3
    assert [row[0] for row in table[1:]] == ["random-8x1", "random-8x2", "no-sft", "base model, no RL"]


def test_names_stay_whole_where_they_tell_candidates_apart():
    def shorten(*names, seeds=None, rates=None):
        rows = []
        for place, name in enumerate(names):
            seed, rate = (seeds or [0] * 9)[place], (rates or [1e-3] * 9)[place]
            outcome = make_outcome("random", 1, 0.1, 0.5, 0.5, None, name, seed=seed)
            candidate = dataclasses.replace(outcome.candidate, learning_rate=rate)
            rows.append(read_row(dataclasses.replace(outcome, candidate=candidate), 64))
        return [*shorten_names(rows).values()]

    assert shorten("a-lr0.001-s0", "b-lr0.001-s0") == ["a", "b"]
    assert shorten("a-lr0.001-s0", "a-lr0.001-s1", seeds=[0, 1]) == ["a-lr0.001-s0", "a-lr0.001-s1"]
    assert shorten("a-lr0.001-s0", "a-lr0.01-s0", rates=[1e-3, 1e-2]) == ["a-lr0.001", "a-lr0.01"]
    assert shorten("mine", "yours") == ["mine", "yours"] and shorten("a", "a-s0") == ["a", "a-s0"]
