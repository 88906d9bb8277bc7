"""The tables of what is known of each candidate, and of each setting if seeds repeat; what the samples show."""

import statistics
from collections import Counter
from collections.abc import Iterator
from operator import attrgetter

from rlready.analysis.answer import label_ranked, show_ranked, sort_by_place
from rlready.analysis.comparison import BASE_NAME, Row, Setting, Shares, name_rows, shorten_names
from rlready.analysis.effect import describe_lost, list_changes
from rlready.analysis.format import (
    MISSING,
    count,
    label_kind,
    name_some,
    show,
    show_estimate,
    show_forecast,
    show_lead,
    show_mean,
    show_pass_at_k,
    show_score,
    show_shares,
    show_verdict,
    show_with_error,
)
from rlready.analysis.predictor import label_pass_at
from rlready.escape import shorten, show_controls
from rlready.gate.lead import GREEDY, bound_greedy, read_figure, read_interval
from rlready.stages.report.document import Passage, Section, lay_out
from rlready.stats.intervals import estimate_interval
from rlready.stats.pass_at_k import estimate_own_coverage

RANKING_NOTE = (
    "Each candidate is compared with the next on the problems that both were measured on; in brackets: the 95% interval of the"
    " difference. If it contains 0, their order may be due to chance: "
)
MIDWAY = (
    "2 of 8 epochs: a checkpoint of a training of 8 epochs (sweep_checkpoints: every-epoch), taken before the learning rate had"
    " decayed. A training of 2 epochs ends with a decayed learning rate, and may do better. The cost of SFT is that of the"
    " trainings, each counted once. Intervals over settings take checkpoints of one training, which are alike, for settings of"
    " their own, so they are too narrow."
)
BENCHMARKS_TEXT = (
    "Pass@1 after RL ± one standard error over problems; in brackets: 95% intervals. The mean weights all benchmarks equally."
)
EFFECT_NOTE = (
    "Before → after RL, on the same problems; then the gain with its 95% interval. Perhaps: the interval contains 0. A policy"
    " that is right more often on fewer problems gains Pass@1 and loses Pass@k."
)
MOST_TEXT = 60_000  # characters of excerpts on the page, shared out over the candidates
LONGEST = 400  # characters of one text, if there are few candidates
EXCERPTS_TEXT = (
    "The first completion of each kind: right, unknown (the verifier could not judge it), truncated (by sampling_max_tokens),"
    " no answer (none in the form the prompt asks for) or wrong. To see all of them: rlready samples RUN"
    " --candidate NAME."
)
SAMPLES_NOTES = {  # of the columns that need one; the candidates' table explains truncated samples and those without an answer
    "Loss by length": "held-out loss by quarter of completion length, shortest first.",
    "Entropy": "nats per token.",
    "Answer diversity": "different answers over samples.",
    "Zero-variance share": "groups of rl_num_generations completions with the same reward, from which GRPO learns nothing.",
    "Not judged": "samples that the verifier could not judge.",
    "Verifier disagreement": "of the answers that it or math-verify accepts, the share that it rejects.",
    "False positives": "samples accepted when compared with another problem's answer, with the 95% interval of the rate. Pass@k"
    " without them is corrected at that rate.",
}


def describe_settings(settings: list[Setting], k: int | None) -> Section:
    """Returns the section with one row a setting: means over its seeds, the best result of RL first."""
    named = ["SFT Pass@1 (T=1)", "SFT greedy Pass@1", label_pass_at(k), "Generalization loss"]
    measures = ["sft_pass_at_1", "predictors.greedy_pass_at_1", "pass_at_k", "loss", "score", "greedy_score"]
    table = [["Setting", "Seeds", *named, "Verdicts", "Post-RL Pass@1", "Post-RL greedy"]]
    for setting in sorted(settings, key=lambda s: -statistics.fmean(s.scores) if s.scores else 1):
        verdicts = ", ".join(f"{number} {name}" for name, number in Counter(map(show_verdict, setting.rows)).items())
        *measured, score, greedy = (show_mean([*map(attrgetter(measure), setting.rows)]) for measure in measures)
        theirs = sum(row.elsewhere is not None for row in setting.rows)
        score += f" ({theirs} external)" if theirs else ""
        table.append([setting.name, str(len(setting.rows)), *measured, verdicts, score, greedy])
    return Section("Settings", ["Mean ± standard deviation over the seeds of a setting."], table)


def describe_candidates(rows: list[Row], base: Row, k: int | None, most_rows: int) -> Section:
    """Returns the section with one row a candidate and the base model last."""
    finished = all(row.candidate.is_finished for row in rows)  # then no figure is of rlready's own SFT, or of its sampling
    sampled, greedy = ("Pass@1", "Greedy Pass@1") if finished else ("SFT Pass@1 (T=1)", "SFT greedy Pass@1")
    short, lines = shorten_names(rows), []
    for name, row in name_rows(rows, base, BASE_NAME):
        own, share, problems = row.candidate, row.predictors.greedy_pass_at_1, row.predictors.problems
        epochs = f"{own.epochs} of {own.training.epochs}" if own.is_midway else str(own.epochs)
        forecast = row.verdict.forecast
        if row.outcome.race and row.outcome.race.forecast.made:
            forecast = row.outcome.race.forecast
        cells = {
            "Candidate": short.get(name, name),
            "Verdict": show_verdict(row),
            "Post-RL Pass@1": _add_shares(show_score(row), row.shares_after),
            "Post-RL greedy": show_estimate(*(read_figure(row.outcome, GREEDY) or (None, None))[:2]),
            sampled: _add_shares(show_estimate(row.sft_pass_at_1, row.sft_interval), row.shares_before),
            greedy: show_estimate(share, bound_greedy(share, problems) if share is not None and problems else None),
            label_pass_at(k): show_pass_at_k(row) + (" (sequential)" if row.sequential else ""),
            "Coverage kept": _show_coverage_kept(row, k),
            "Generalization loss": show_estimate(row.loss, read_interval(row.predictors.loss_interval)),
            "Forecast": show_forecast(forecast) if forecast.made else MISSING,
            "Epochs": MISSING if row is base or own.is_finished else epochs,
            "Subset": MISSING if row is base else own.subset or MISSING,
            "Reason": _show_reason(row),
        }
        lines.append(cells)
    table = lay_out(lines)
    notes = [*_list_marks(rows, base, table[0] if table else []), *_list_checkpoints(rows)]
    if any(row.candidate.is_midway for row in rows):
        notes.append(MIDWAY)
    if any(name != shown for name, shown in short.items()):
        notes.insert(0, "Names omit the seed or learning rate that all candidates share.")
    return Section("Candidates", [], table, notes, summed=base.measured, folded=len(rows) > most_rows)


def _list_checkpoints(rows: list[Row]) -> list[str]:
    """Returns where the finished checkpoints and logs come from, the seeds of one in one line."""
    named: dict[str, list[str]] = {}
    for row in rows:
        model, base, log = row.candidate.checkpoint, row.candidate.adapter_base, row.candidate.log
        places = [f"measured by {row.outcome.links.get('tool')}, {log.location} ({log.digest})"] if log else []
        places += [f"{model.location} ({model.digest})" + (f", adapters of {base.location}" if base else "")] if model else []
        if places:
            named.setdefault("; ".join(places), []).append(row.name)
    return [f"{name_some(sorted(names))}: {place}." for place, names in named.items()]


def describe_benchmarks(rows: list[Row], base: Row) -> list[Section]:
    """Returns the section with the result on each benchmark, if there are several."""
    lines = [
        {"Candidate": label, "Mean": show_score(row)}
        | {entry[0]: _show_benchmark(*entry[1:]) for entry in row.benchmark.benchmarks}
        for label, row in name_rows(rows, base, BASE_NAME)
        if row.benchmark.benchmarks
    ]
    return [Section("By benchmark", [BENCHMARKS_TEXT], lay_out(lines))] if lines else []


def _show_benchmark(problems: int, pass_at_1: float | None, standard_error: float | None, _: float | None) -> str:
    if pass_at_1 is None or standard_error != 0:
        return show_with_error(pass_at_1, standard_error)
    return show_estimate(pass_at_1, estimate_interval([pass_at_1] * problems))  # all problems score alike


def _show_coverage_kept(row: Row, k: int | None) -> str:
    """Returns what a candidate keeps of the base model, or the base model of itself."""
    numbers = row.verdict.numbers
    if numbers.coverage_kept is not None:
        return show_estimate(numbers.coverage_kept, read_interval([numbers.coverage_kept_low, numbers.coverage_kept_high]))
    if row.verdict.decision or not k or not row.predictors.correct:
        return MISSING
    own = estimate_own_coverage(row.predictors.correct, row.predictors.samples, k, row.predictors.groups)
    return show_estimate(own[0], own[1:]) if own else MISSING


def _show_reason(row: Row) -> str:
    """Returns why it failed, why RL taught nothing, and the gate's reason unless that is the failure."""
    race = row.outcome.race
    reasons = [
        row.failure.reason if row.failure else "",
        row.stopped,
        f"race: {race.reason}" if race and race.place else "",
        "" if row.failed_early else row.verdict.reason or MISSING,
    ]
    return "; ".join(filter(None, reasons))


def _add_shares(figure: str, shares: Shares) -> str:
    shown = show_shares(shares)
    return f"{figure}; {shown}" if shown and figure != MISSING else figure


def _list_marks(rows: list[Row], base: Row, columns: list[str]) -> Iterator[str]:
    """Yields what the marks and columns in the candidates' table mean."""
    shares = [one for row in (*rows, base) for one in (row.shares_before, row.shares_after)]
    if any(row.pass_at_k_interval for row in rows):
        yield "In brackets: 95% intervals over problems."
    if any(row.predictors.loss_interval for row in rows):
        yield "In brackets after the loss: its 95% interval over held-out examples."
    if any(one.truncated is not None or one.no_answer is not None for one in shares):
        yield (
            "Truncated: samples that reached the length limit. No answer: samples without a final answer in the form the prompt"
            " asks for. Both count as wrong."
        )
    if any(one.not_judged for one in shares):
        yield "Not judged: samples that the verifier could not judge. They count as wrong."
    if "Coverage kept" in columns:
        yield (
            "Coverage kept: of the problems that the base model solves within the gate's k, the share that the candidate still"
            " solves within k. The base model's own value compares two draws of its samples: it is what a candidate that forgot"
            " nothing would keep. It needs 2k samples per problem."
        )
    if any(row.sequential for row in rows):
        yield "Sequential: sampled only until the gate could decide, so only an interval is known."
    if any(row.elsewhere for row in rows):
        yield "External: RL ran in another system; score, standard error and cost are shown as recorded (rlready record)."
    if any(row.stopped.startswith("no signal") for row in rows):
        yield "RL without signal: all completions of a prompt got the same reward, so RL had nothing to learn from."
    if any(row.dropped for row in rows):
        yield "Dropped: RL ended after the race (race_steps), because others were ahead in validation; it has no result."
    if any(row.outcome.race and row.outcome.race.audited for row in rows):
        yield "Race audited: RL went on although the candidate was dropped."
    if any(row.verdict.audited for row in rows):
        yield "Audited: RL ran although the gate did not approve."


def describe_effect(rows: list[Row], k: int | None) -> list[Section]:
    """Returns the section on what RL gained and broke, or none if nothing was measured before it."""
    changed = {row.name: changes for row in rows if (changes := list_changes(row, k))}
    if not changed:
        return []
    lines = [{"Candidate": name} | {one.what: one.describe() for one in changes} for name, changes in changed.items()]
    # Which step's model is the result, where that needs saying: not the last one, or worse than an earlier one.
    trained = [(row.name, row.outcome.rl) for row in rows if row.outcome.rl and row.outcome.rl.kept_why and not row.dropped]
    kept = [f"{name}: kept {rl.kept_why}." for name, rl in trained if rl.kept_step != rl.steps or "although" in rl.kept_why]
    return [Section("What RL changed", describe_lost(changed), lay_out(lines), [EFFECT_NOTE, *kept])]


def describe_ranking(rows: list[Row], k: int | None, by: str | None) -> list[Section]:
    """Returns the section on the ranking before RL, or none if no candidate has a place."""
    ordered = sort_by_place(rows)
    if not ordered:
        return []
    table = [["Rank", "Candidate", label_ranked(k, by), "Ahead of the next by"]]
    for row, standing in ordered:
        table.append([str(standing.place), row.name, show_ranked(row, k, by), show_lead(row)])
    more = "use more problems (curate_predictor_problems) or samples (predictors_samples)."
    if all(row.candidate.log for row in rows):
        more = "use logs of more problems or samples."
    return [Section("Ranking", [], table, [RANKING_NOTE + more])]


def describe_samples(rows: list[Row], base: Row, k: int | None, most_rows: int) -> list[Section]:
    """Returns the section on the samples, or none if nothing was measured."""
    lines = []
    for name, row in name_rows(rows, base, "base model"):
        seen, false = row.predictors.by_products, row.predictors.false_positives
        accepted = MISSING
        if false and false.checked and false.low is not None and false.high is not None:
            accepted = f"{false.accepted}/{false.checked} [{false.low:.4f}, {false.high:.4f}]"
        cells = {
            "Candidate": name,
            "Loss by length": " / ".join(show(quarter.loss) for quarter in row.predictors.loss_by_length) or MISSING,
            "Entropy": show(seen.entropy),
            "Answer diversity": show(seen.diversity),
            "Zero-variance share": show(row.zero_variance),
            "Tokens per sample": show(seen.mean_tokens, 1),
            "Truncated": show(seen.truncated),
            "No answer": show(seen.unreadable),
            "Not judged": show(seen.verifier_unknown),
            "Verifier disagreement": show(seen.verifier_disagreement),
            "False positives": accepted,
            f"{label_pass_at(k)} without them": show(row.corrected),
        }
        lines.append(cells)
    table = lay_out(lines)
    if not table or table[0] == ["Candidate"]:
        return []
    notes = [f"{name}: {text}" for name, text in SAMPLES_NOTES.items() if name in table[0]]
    return [Section("Sample statistics", [], table, notes, summed=base.measured, folded=len(rows) > most_rows)]


def describe_excerpts(rows: list[Row], base: Row, most_rows: int) -> list[Section]:
    """Returns the section with a few completions of every candidate, or none if no samples were kept."""
    kept = []
    for name, row in name_rows(rows, base, "base model"):
        later = "on the benchmark" if row is base else "after RL"
        stages = (("before RL", row.predictors.kept), (later, row.benchmark.kept))
        kept += [(f"{name}, {stage}", one) for stage, one in stages if one]
    excerpts = sum(len(one.excerpts) for _, one in kept)
    if not excerpts:
        return []
    longest = min(LONGEST, MOST_TEXT // (2 * excerpts))
    passages = []
    for title, one in kept:
        counted = ", ".join(f"{number} {label_kind(kind)}" for kind, number in one.counts.items() if number)
        lost = f"; {count(one.without_text, 'sample')} without text (samples_text_mb)" if one.without_text else ""
        lines = []
        for found in one.excerpts:
            texts = found.prompt, found.completion, found.gold, found.answer or ""
            prompt, completion, reference, answer = (shorten(show_controls(text), longest) for text in texts)
            said = "none" if found.answer is None else answer
            about = f"{label_kind(found.kind)}, {count(found.tokens or 0, 'token')}; answer: {said}; reference: {reference}"
            lines += [("prompt", prompt), (about, completion)]
        passages.append(Passage(f"{title}: {counted}{lost}", lines))
    return [Section("What the models wrote", [EXCERPTS_TEXT], passages=passages, folded=len(rows) > most_rows)]
