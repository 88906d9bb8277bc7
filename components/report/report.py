"""Writes the report: which checkpoint was worth its RL, and whether the predictors were right."""

import statistics
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rlready.components.core.estimators.correlation import SPLITS
from rlready.components.core.estimators.intervals import DRAWS, MIN_POINTS
from rlready.components.core.records import Outcome, SampleStatistics
from rlready.components.core.serialization import write_atomically
from rlready.components.report.audit import CLEAR_DISTANCE, audit_rejections, check_forecasts, read_forecast
from rlready.components.report.comparison import (
    Row,
    Setting,
    count_standard_errors,
    find_k,
    flatten,
    group_settings,
    label_predictors,
    order,
)
from rlready.components.report.document import AUDITED, DECISIONS, Section, Table, render_html, render_markdown
from rlready.components.report.ledger import balance, list_entries
from rlready.components.report.plots import draw_plots
from rlready.components.report.quality import (
    Choice,
    Noise,
    choose,
    compare_predictors,
    judge_predictor,
    list_predictors,
    measure_noise,
    pick_main,
)

MISSING = "–"
MOST_NAMES = 4
MOST_ROWS = 15  # longer tables are folded
MOST_REASONS = 3
STAGE_NAMES = {"sft": "SFT", "predictors": "Predictors", "rl": "RL", "benchmark": "Benchmark"}
SETTINGS_TEXT = ["Mean over the seeds of a setting ± standard deviation between them."]
DIFFERENCE_NOTES = [
    "On the candidates that have both, with a paired 95 % bootstrap interval. An interval that holds 0 shows no difference.",
]
CHOICE_NOTES = [
    "Each row chooses among the settings that finished RL and can be judged by its predictor; predictor and score are means"
    " over the seeds of a setting. Of settings that tie one is drawn, in expectation.",
    "Regret is best possible minus chosen, ± one standard error from the noise between seeds (from the benchmark alone where"
    " nothing was repeated). The best of several noisy results looks better than it is, so regrets are rather too high.",
]


def write_report(title: str, outcomes: list[Outcome], reference: Outcome, html: Path, markdown: Path) -> None:
    """Writes the report as one self-contained page, and its text and tables as Markdown.

    Args:
        title: The heading.
        outcomes: The candidates, in any order.
        reference: The base model: its predictors, and a benchmark without RL.
        html: Where the page goes.
        markdown: Where the summary goes.
    """
    k = find_k(outcomes)
    rows, base = order([flatten(outcome, k) for outcome in outcomes]), flatten(reference, k)
    settings, noise = group_settings(rows), measure_noise(rows)
    repeated = len(settings) < len(rows)
    sections = [
        *([Section("Settings", SETTINGS_TEXT, tabulate_settings(settings, k))] if repeated else []),
        Section(
            "Candidates",
            [],
            tabulate_candidates(rows, base, k),
            list_marks(rows),
            summed=True,
            folded=len(rows) > MOST_ROWS,
        ),
        *_list_benchmarks(rows, base),
        Section(
            "How well the predictors told the result of RL", [], tabulate_quality(rows, k, noise), list_caveats(rows, k)
        ),
        Section("Do they tell more than Pass@1 after SFT?", [], tabulate_differences(rows, k), DIFFERENCE_NOTES),
        Section(
            "What choosing by a predictor would have cost",
            describe_noise(rows, noise),
            tabulate_choices(rows, k, noise),
            CHOICE_NOTES,
        ),
        Section("Were the rejections right?", describe_audit(rows)),
        Section("Did the forecasts hold?", describe_forecasts(rows)),
        Section("Plots", plots=draw_plots(rows, base, k)),
        *_describe_samples(rows, base, k),
        Section("What it cost", describe_balance(rows, base), tabulate_costs(rows, base)),
    ]
    result = describe_result(rows, base, settings, noise)
    write_atomically(html, render_html(title, result, sections))
    write_atomically(markdown, render_markdown(title, result, sections))


def describe_result(rows: list[Row], base: Row, settings: list[Setting], noise: Noise) -> list[str]:
    """Returns the result in plain words, the most important sentence first.

    Args:
        rows: The candidates, ordered.
        base: The base model.
        settings: The candidates by setting.
        noise: From `measure_noise`.

    Returns:
        Sentences without markup.
    """
    finished = [row for row in rows if row.score is not None]
    decisions = Counter(row.decision or "without a verdict" for row in rows)
    counts = ", ".join(
        f"{decisions[name]} {name}" for name in (*DECISIONS[:2], *sorted(decisions.keys() - DECISIONS[:2]))
    )
    counted = f"{len(rows)} candidate{'' if len(rows) == 1 else 's'}: {counts}."
    unaided = [] if base.score is None else [f"The base model without SFT and RL scores {_show_score(base)}."]
    chance = max((row.chance or 0.0 for row in (*rows, base)), default=0.0)
    unaided += [f"Guessing scores {_show(chance)}."] if chance else []
    if not finished:
        return ["No candidate has finished RL, so which one is worth it remains open.", counted, *unaided]
    best = finished[0]
    if len(finished) == 1:
        only = (
            f"Only {_name(best)} has finished RL, with Pass@1 {_show_score(best)}; there is nothing to compare it with."
        )
        return [only, counted, *unaided]
    if noise.repeated:
        return [*_describe_settings(rows, settings, noise, counted), *unaided]
    lead = f"{_name(best)} ended best after RL, with Pass@1 {_show_score(best)}."
    return [lead, counted, *_describe_rivals(best, finished[1:]), *_describe_favourite(best, rows), *unaided]


def _describe_settings(rows: list[Row], settings: list[Setting], noise: Noise, counted: str) -> list[str]:
    best = max((s for s in settings if s.scores), key=lambda s: statistics.fmean(s.scores))
    score = f"{statistics.fmean(best.scores):.3f}"
    if len(best.scores) > 1:
        score += f" ± {statistics.stdev(best.scores):.3f} (standard deviation over {len(best.scores)} seeds)"
    said = [f"{best.name} ended best after RL, with Pass@1 {score}.", f"{len(settings)} settings, {counted}"]
    choice = choose(rows, pick_main(None)["sft_pass_at_1"], noise)
    if choice is None:
        return [*said, "Whether the best Pass@1 after SFT told this cannot be said: it was not measured."]
    if choice.regret <= 0:
        return [*said, "The best Pass@1 (T=1) after SFT was also the best after RL."]
    ended = f"{_name_some(choice.chosen)}, which ended at {choice.score:.3f}, {_show_regret(choice)} lower."
    return [*said, f"The best Pass@1 (T=1) after SFT was not the best after RL: it belongs to {ended}"]


def _describe_rivals(best: Row, others: list[Row]) -> list[str]:
    distances = [(row, count_standard_errors(best, row)) for row in others]
    level = [_name(row) for row, d in distances if row.score == best.score or (d is not None and d < CLEAR_DISTANCE)]
    if not level:
        return []
    return [f"Within {CLEAR_DISTANCE} standard errors of it, so not clearly worse: {_name_some(level)}."]


def _describe_favourite(best: Row, rows: list[Row]) -> list[str]:
    measured = [row for row in rows if row.sft_pass_at_1 is not None]
    if best.sft_pass_at_1 is None or not measured:
        return ["Whether the best Pass@1 after SFT told this cannot be said: it was not measured."]
    favourite, leader = (
        max(group, key=lambda row: row.sft_pass_at_1)
        for group in (measured, [row for row in measured if row.score is not None])
    )
    said = []
    if favourite.score is None and favourite.sft_pass_at_1 > leader.sft_pass_at_1:
        said.append(
            f"The best Pass@1 (T=1) after SFT, {_show(favourite.sft_pass_at_1)}, belongs to {_name(favourite)}, "
            f"which has no result of RL ({favourite.decision or 'no verdict'}); how it would have ended is unknown."
        )
    among = "Among those that finished RL, the" if said else "The"
    if leader.score == best.score or leader.sft_pass_at_1 == best.sft_pass_at_1:
        return [
            *said,
            f"{among} best Pass@1 (T=1) after SFT, {_show(leader.sft_pass_at_1)}, was also the best after RL.",
        ]
    distance = count_standard_errors(best, leader)
    lower = _show(best.score - leader.score)
    errors = "" if distance is None else f" ({distance:.1f} standard errors)"
    return [
        *said,
        f"{among} best Pass@1 (T=1) after SFT was not the best after RL: {_name(leader)} led with "
        f"{_show(leader.sft_pass_at_1)} and ended at {_show_score(leader)}, {lower} lower{errors}.",
    ]


def tabulate_settings(settings: list[Setting], k: int | None) -> Table:
    """Returns one row a setting: means over its seeds, the best result of RL first."""
    labels = label_predictors(k)
    table = [["Setting", "Seeds", *labels.values(), "Verdicts", "Post-RL Pass@1"]]
    ranked = sorted(settings, key=lambda s: -statistics.fmean(s.scores) if s.scores else 1)
    for setting in ranked:
        verdicts = Counter(row.decision or "none" for row in setting.rows)
        measured = [_show_mean([getattr(row, field) for row in setting.rows]) for field in labels]
        shown = ", ".join(f"{count} {name}" for name, count in verdicts.items())
        table.append([setting.name, str(len(setting.rows)), *measured, shown, _show_mean(setting.scores)])
    return table


def tabulate_candidates(rows: list[Row], base: Row, k: int | None) -> Table:
    """Returns the candidates' table, header first and the base model last; columns that say nothing are left out."""
    labels = label_predictors(k)
    columns = {
        "Epochs": lambda row: str(row.candidate.epochs),
        "Subset": lambda row: row.candidate.subset,
        labels["sft_pass_at_1"]: lambda row: _show(row.sft_pass_at_1),
        labels["sft_greedy"]: lambda row: _show(row.sft_greedy),
        labels["pass_at_k"]: _show_pass_at_k,
        labels["loss"]: lambda row: _show_estimate(row.loss, row.loss_interval),
        "Verdict": lambda row: (row.decision or MISSING) + (AUDITED if row.audited else ""),
        "Forecast": _show_forecast,
        "Post-RL Pass@1": _show_score,
        "Post-RL greedy": lambda row: _show(row.score_greedy),
        "Reason": lambda row: row.reason or MISSING,
    }
    if all(read_forecast(row) is None for row in rows):
        del columns["Forecast"]
    table = [["Candidate", *columns]]
    table += [[_name(row), *(show(row) for show in columns.values())] for row in rows]
    measured = [MISSING if name in ("Epochs", "Subset") else show(base) for name, show in columns.items()]
    return [*table, ["base model, no RL", *measured]]


def _list_benchmarks(rows: list[Row], base: Row) -> list[Section]:
    """Returns the section with the result on each benchmark, where there are several."""
    names = list(dict.fromkeys(name for row in (*rows, base) for name in row.benchmarks))
    if not names:
        return []
    table = [["Candidate", "Mean", *names]]
    for label, row in [*((_name(row), row) for row in rows if row.benchmarks), ("base model, no RL", base)]:
        cells = [row.benchmarks.get(name, (None, None)) for name in names]
        table.append([label, _show_score(row), *(_show_with_error(value, error) for value, error in cells)])
    said = ["Pass@1 after RL, ± one standard error over problems. The mean counts every benchmark alike."]
    return [Section("By benchmark", said, table)]


def list_marks(rows: list[Row]) -> list[str]:
    """Returns what the marks in the candidates' table mean."""
    said = []
    if any(row.pass_at_k_interval or row.loss_interval for row in rows):
        said.append("In brackets: 95 % intervals, over problems for Pass@k and over held-out examples for the loss.")
    if any(row.sequential for row in rows):
        said.append("Sequential: sampled only until the gate could decide, which leaves an interval and no number.")
    if any(row.audited for row in rows):
        said.append("Audited: RL ran although the gate did not approve.")
    return said


def tabulate_quality(rows: list[Row], k: int | None, noise: Noise) -> Table:
    """Returns how well each predictor told the result of RL, header first."""
    table = [["Predictor", "Points", "Spearman", "R²", "R² over splits", "Regret"]]
    for predictor in list_predictors(rows, k):
        judged, choice = judge_predictor(rows, predictor), choose(rows, predictor, noise)
        repeated = f" in {judged.settings} settings" if judged.settings < judged.points else ""
        figures = [
            _show_judged(value, interval, judged.points, needed)
            for value, interval, needed in (
                (judged.spearman, judged.spearman_interval, 3),
                (judged.r_squared, judged.r_squared_interval, len(predictor.parts) + 2),
            )
        ]
        splits = "not enough settings" if judged.splits is None else "{:.2f} ± {:.2f}".format(*judged.splits)
        regret = "nothing to choose from" if choice is None else _show_regret(choice)
        table.append([predictor.label, f"{judged.points}{repeated}", *figures, splits, regret])
    return table


def list_caveats(rows: list[Row], k: int | None) -> list[str]:
    """Returns how to read the correlations of the predictors, and what limits them."""
    finished = [row for row in rows if row.score is not None]
    points, settings = len(finished), len({row.setting for row in finished})
    said = []
    if settings < MIN_POINTS:
        counted = f"{points}" if points == settings else f"{points} in {settings} settings"
        said.append(
            f"Few points ({counted} with a result of RL, fewer than {MIN_POINTS}): the correlations are weak evidence."
        )
    if any(row.mode == "enforce" and row.score is None for row in rows):
        audited = " and the audited" if any(row.audited for row in rows) else ""
        said.append(
            f"Rejected candidates have no post-RL score, so the correlations cover the approved ones{audited} only; "
            "the gate's modes audit and off run RL for all."
        )
    if any(row.sequential for row in rows):
        said.append(
            f"Pass@{k} was sampled sequentially: only an interval is known, so no correlation can be computed with it; "
            "predictors_sampling fixed gives the whole curve."
        )
    return [
        *said,
        f"In brackets: 95 % bootstrap intervals, {DRAWS:,} draws of whole settings with all their seeds. [{MISSING}]: no"
        f" interval, because there are fewer than {MIN_POINTS} settings or every draw agrees.",
        "R² is that of the least-squares fit through the same points; over splits it is mean ± standard deviation of the R²"
        f" on a random half of the settings, of a line fitted on the other half ({SPLITS} splits). Below 0 the line tells less"
        " than the mean would.",
        "The loss is judged on random subsets only, because losses on different data distributions are not comparable; "
        "its correlation is that of minus the loss, so that more is better. Pass@k and loss together: the mean of their ranks"
        " for Spearman and regret, a fit to both for R².",
        "With so many predictors some look good by chance; the intervals are not adjusted for their number.",
    ]


def tabulate_differences(rows: list[Row], k: int | None) -> Table:
    """Returns what the paper's predictors tell more than Pass@1 after SFT, header first."""
    main = pick_main(k)
    baseline = main.pop("sft_pass_at_1")
    table = [["Predictor", "Points", "Spearman", "SFT Pass@1's", "Difference"]]
    for predictor in main.values():
        found = compare_predictors(rows, predictor, baseline)
        undefined = "not enough points" if found.points < 3 else "undefined: all equal"
        if found.spearman is None or found.other is None:
            figures = [undefined] * 3
        else:
            difference = _show_signed(found.spearman - found.other, found.interval)
            figures = [f"{found.spearman:.2f}", f"{found.other:.2f}", difference]
        table.append([predictor.label, str(found.points), *figures])
    return table


def tabulate_choices(rows: list[Row], k: int | None, noise: Noise) -> Table:
    """Returns what became of the setting that each of the main predictors would have chosen, header first."""
    header = [
        "Predictor",
        "Settings",
        "Chosen",
        "Ended at",
        "Best possible",
        "Random choice",
        "By SFT Pass@1",
        "Regret",
    ]
    table = [header]
    for predictor in pick_main(k).values():
        choice = choose(rows, predictor, noise)
        if choice is None:
            table.append([predictor.label, MISSING, "nothing to choose from", *[MISSING] * 5])
            continue
        scores = [_show(value) for value in (choice.score, choice.best, choice.random, choice.by_pass_at_1)]
        chosen = _name_some(choice.chosen)
        table.append([predictor.label, str(choice.settings), chosen, *scores, _show_regret(choice)])
    return table


def describe_noise(rows: list[Row], noise: Noise) -> list[str]:
    """Returns how large the differences between settings are against the noise of RL."""
    scores = [row.score for row in rows if row.score is not None]
    if len(scores) < 2:
        return ["The noise of RL cannot be computed: fewer than two candidates have finished it."]
    benchmark = "unknown" if noise.benchmark is None else f"{noise.benchmark:.4f}"
    if not noise.repeated:
        return [
            "No setting finished RL with more than one seed (sweep_seeds), so the noise of RL is unknown. The standard error of"
            f" the benchmark, which is only a part of it, is {benchmark}; the scores of the candidates spread by"
            f" {statistics.stdev(scores):.4f} (standard deviation)."
        ]
    said = (
        f"Between the seeds of one setting the score varies by {_show_deviation(noise.deviation, noise.interval)}, pooled over"
        f" {noise.repeated} settings with {_count(noise.freedom, 'degree')} of freedom;"
    )
    if noise.rl_freedom:
        said += (
            f" RL alone, repeated on the base model without SFT, by {_show_deviation(noise.rl_deviation, noise.rl_interval)}"
            f" ({_count(noise.rl_freedom, 'degree')} of freedom);"
        )
    said = [f"{said} the standard error of the benchmark, a part of both, is {benchmark}."]
    found = noise.variation
    if found is None:
        return [*said, "Whether the settings differ by more than that cannot be computed."]
    low, high = found.share_interval
    larger = "is larger than the noise" if found.p < 0.05 else "is not shown to be larger than the noise"
    p = "p < 0.001" if found.p < 0.001 else f"p = {found.p:.3f}"
    settings = sum(bool(s.scores) for s in group_settings(rows)) - 1
    return [
        *said,
        f"The spread between settings {larger}: {found.share:.2f} [{low:.2f}, {high:.2f}] of the variance lies between them"
        f" (one-way analysis of variance, F({settings}, {found.freedom}) = {found.f:.1f}, {p}).",
    ]


def describe_audit(rows: list[Row]) -> list[str]:
    """Returns how many rejections were wrong and what they cost, or why that cannot be known."""
    audit = audit_rejections(rows)
    if isinstance(audit, str):
        return [audit]
    everyone = audit.observed == audit.rejected
    drawn = (
        "RL ran for all of them, so nothing is extrapolated; what remains is the noise of RL."
        if everyone
        else f"RL ran for {audit.observed} of them, drawn at random; what they show is weighted by inverse propensity."
    )
    clear = f", {audit.clear or 'none'} of them by more than {CLEAR_DISTANCE} standard errors" if audit.false else ""
    few = "too few for an interval"
    rate, regret = (
        ""
        if everyone
        else f" ({few})"
        if interval is None
        else f" (95 % interval {interval[0]:.{n}f} to {interval[1]:.{n}f})"
        for interval, n in ((audit.rate_interval, 2), (audit.regret_interval, 3))
    )
    undecided = sum(row.decision == "undecided" and row.score is None for row in rows)
    return [
        f"{_count(audit.rejected, 'candidate')} rejected. {drawn}",
        f"False rejections, which ended above the best approved candidate ({_name(audit.best)}, {_show_score(audit.best)}):"
        f" {audit.false} of {audit.observed} seen{clear}. Estimated false-rejection rate {audit.rate:.2f}{rate}.",
        f"Regret, the mean over the rejected of how far they end above it: {audit.regret:.3f}{regret}. The best approved is the"
        " best of several noisy results and looks better than it is, so both figures are rather too low.",
        *(
            [f"{_count(undecided, 'candidate')} undecided got no RL either and are not part of this."]
            if undecided
            else []
        ),
    ]


def describe_forecasts(rows: list[Row]) -> list[str]:
    """Returns how often reality fell inside the forecast intervals, or why there were none."""
    found = check_forecasts(rows)
    reasons = found.reasons[:MOST_REASONS] + (["other reasons"] if len(found.reasons) > MOST_REASONS else [])
    none = f" Without a forecast: {'; '.join(reasons)}." if reasons else ""
    if not found.made:
        return [f"No candidate with a result of RL had a forecast, so there is nothing to check.{none}"]
    low, high = found.share_interval
    missed = [
        _name(row)
        for row in rows
        if row.score is not None and (f := read_forecast(row)) is not None and not f[1] <= row.score <= f[2]
    ]
    outside = f" Outside: {_name_some(missed)}." if missed else ""
    return [
        f"{found.made} of {found.finished} candidates with a result of RL had a forecast, logged before it: {found.inside}"
        f" ended inside their 95 % prediction interval, {found.inside / found.made:.2f} of them (exact 95 % interval"
        f" {low:.2f} to {high:.2f}); the mean absolute error is {found.error:.3f}.{outside}{none}"
    ]


def _describe_samples(rows: list[Row], base: Row, k: int | None) -> list[Section]:
    names = {
        "entropy": "Entropy",
        "diversity": "Answer diversity",
        "zero_variance": "Zero-variance share",
        "mean_tokens": "Tokens a sample",
        "truncated": "Truncated",
        "verifier_disagreement": "Verifier disagreement",
    }
    if not any(row.by_products != SampleStatistics() or row.loss_by_length for row in (*rows, base)):
        return []
    table = [["Candidate", "Loss by length", *names.values(), "False positives", f"Pass@{k or 'k'} without them"]]
    for row in (*rows, base):
        quarters = " / ".join(map(_show, row.loss_by_length)) or MISSING
        samples = [
            MISSING
            if (value := getattr(row.by_products, name)) is None
            else f"{value:.{1 if name == 'mean_tokens' else 3}f}"
            for name in names
        ]
        table.append(
            [
                "base model" if row is base else _name(row),
                quarters,
                *samples,
                _show_false_positives(row),
                _show(row.corrected),
            ]
        )
    notes = [
        "Loss by length: held-out loss of the quarters by completion length, the shortest first. Entropy: nats a token."
        " Answer diversity: different answers over samples. Zero-variance: problems whose samples all have the same reward,"
        " which teach GRPO nothing. Verifier disagreement: of the answers that math-verify calls right, those that its second"
        " check refuses. False positives: samples called right against another problem's answer, of those held against one,"
        " with the 95 % interval of the rate; Pass@k without them is corrected at that rate.",
    ]
    folded = len(rows) > MOST_ROWS
    return [Section("What the samples showed", [], table, notes, summed=True, folded=folded)]


def tabulate_costs(rows: list[Row], base: Row) -> Table:
    """Returns the device-seconds by stage and kind of device, header first and the sums last."""
    entries, unknown = list_entries(rows, base)
    table = [["Stage", "Device", "Runs", "Device-seconds"]]
    table += [[STAGE_NAMES[e.stage], e.device, str(e.runs), f"{e.cost:,.1f}"] for e in entries]
    for device in dict.fromkeys(entry.device for entry in entries):
        of_kind = [entry for entry in entries if entry.device == device]
        total = sum(entry.cost for entry in of_kind)
        table.append(["Sum", device, str(sum(entry.runs for entry in of_kind)), f"{total:,.1f}"])
    return [*table, *([["Not recorded", MISSING, str(unknown), MISSING]] if unknown else [])]


def describe_balance(rows: list[Row], base: Row) -> list[str]:
    """Returns what the gate avoided against what it cost, or why that cannot be computed."""
    found = balance(rows, base)
    unit = "A device-second is one second on one device."
    if isinstance(found, str):
        return [found, unit]
    spent = (
        f"The predictors of all candidates and of the base model, which is what the gate costs, took {found.spent:,.0f}"
    )
    if found.skipped:
        error = "" if found.error is None else f" ± {found.error:,.0f}"
        avoided = (
            f"RL and benchmark of {_count(found.skipped, 'candidate')} that got none would have taken about"
            f" {found.avoided:,.0f}{error}, at the mean of those that ran."
        )
    else:
        avoided = "RL ran for every candidate, so nothing was avoided."
    verdict = "the gate saved more than it cost" if found.net > 0 else "the gate cost more than it saved"
    net = f"Net: {found.net:+,.0f} device-seconds, {verdict}."
    audit = (
        [
            f"RL and benchmark of {_count(found.refused, 'candidate')} that got them without being approved took"
            f" {found.avoidable:,.0f}: the price of the audit, and what the gate would have avoided without it."
        ]
        if found.refused
        else []
    )
    return [f"{spent} device-seconds. {avoided} {net}", *audit, unit]


def _show(value: float | None) -> str:
    return MISSING if value is None else f"{value:.3f}"


def _show_estimate(value: float | None, interval: tuple | None) -> str:
    return _show(value) if value is None or interval is None else f"{value:.3f} [{interval[0]:.2f}, {interval[1]:.2f}]"


def _show_judged(value: float | None, interval: tuple | None, points: int, needed: int) -> str:
    if value is None:
        return "not enough points" if points < needed else "undefined: all equal"
    return f"{value:.2f} [{MISSING}]" if interval is None else f"{value:.2f} [{interval[0]:.2f}, {interval[1]:.2f}]"


def _show_signed(value: float, interval: tuple | None) -> str:
    shown = MISSING if interval is None else f"{interval[0]:+.2f}, {interval[1]:+.2f}"
    return f"{value:+.2f} [{shown}]"


def _show_pass_at_k(row: Row) -> str:
    if row.sequential:
        low, high = row.pass_at_k_interval
        return f"{low:.2f}-{high:.2f} (sequential)"
    return _show_estimate(row.pass_at_k, row.pass_at_k_interval)


def _show_forecast(row: Row) -> str:
    forecast = read_forecast(row)
    return MISSING if forecast is None else _show_estimate(forecast[0], forecast[1:])


def _show_false_positives(row: Row) -> str:
    found = row.false_positives
    if found is None or None in (found.low, found.high) or not found.checked:
        return MISSING
    return f"{found.accepted}/{found.checked} [{found.low:.4f}, {found.high:.4f}]"


def _show_score(row: Row) -> str:
    return _show_with_error(row.score, row.standard_error)


def _show_with_error(value: float | None, error: float | None) -> str:
    return _show(value) if error is None else f"{_show(value)} ± {_show(error)}"


def _show_regret(choice: Choice) -> str:
    return f"{choice.regret:.3f}" + ("" if choice.error is None else f" ± {choice.error:.3f}")


def _show_deviation(deviation: float, interval: tuple[float, float]) -> str:
    return f"{deviation:.4f} (standard deviation, 95 % interval {interval[0]:.4f} to {interval[1]:.4f})"


def _show_mean(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return MISSING
    spread = f" ± {statistics.stdev(known):.3f}" if len(known) > 1 else ""
    return f"{statistics.fmean(known):.3f}{spread}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _name(row: Row) -> str:
    return row.candidate.candidate_id


def _name_some(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more
