"""The result in plain words, the answer first; what was run, and the result in four lines to paste."""

from collections import Counter
from collections.abc import Iterator

from rlready.analysis import answer
from rlready.analysis.comparison import Row, group_settings, list_scores
from rlready.analysis.format import (
    count,
    count_of,
    explain_end,
    name_some,
    show,
    show_mean,
    show_result,
    show_shares,
)
from rlready.analysis.noise import ScoreNoise, describe_small_spread, measure_noise
from rlready.analysis.plateau import look_for_plateau
from rlready.analysis.saving import weigh_gate
from rlready.analysis.sweep_result import SweepResult
from rlready.gate.lead import measure_gain, read_interval
from rlready.stages.report.document import DECISIONS, shorten_reason

DIGEST = 8  # characters of a digest
ONE_SEED = (
    "Each result is from one seed, so this holds for these checkpoints, not for their settings: the noise between seeds is"
    " unknown (sweep_seeds)."
)


def tell_result(
    rows: list[Row], base: Row, max_tokens: int | None, trains: bool = True, by: str | None = None
) -> Iterator[str]:
    """Yields the result in sentences without markup, the most important one first.

    The gate's saving, which takes longest, is weighed after the first one. `max_tokens` is the longest completion, None if
    unknown. Without RL (`trains`), the ranking of the candidates is the result.
    """
    noise, k = measure_noise(rows), next((row.verdict.numbers.k for row in rows if row.verdict.numbers.k), None)
    everywhere, somewhere = answer.describe_lost_answers(rows, max_tokens)
    first, *more = _describe_answer(rows, noise, base) if trains else _describe_order(rows, k, by)
    first = " ".join([*describe_small_spread(rows, noise), first])
    plateau = look_for_plateau(rows)
    if plateau.rising:
        first = f"{plateau.said} {first}"
    elif plateau.said:
        more = [plateau.said, *more]
    yield from (*everywhere, first, _count_decisions(rows, noise))
    saving = weigh_gate(rows, base) if trains else None
    yield from (*([saving.said] if saving else []), *describe_exceptions(rows), *somewhere, *more)
    if base.score is not None:
        shares = show_shares(base.shares_after)
        yield f"The base model, without SFT and RL, scores {'; '.join(filter(None, (show_result(base), shares)))}."
    if chances := [row.benchmark.chance for row in (*rows, base) if row.benchmark.chance]:
        yield f"Guessing scores {show(max(chances))}."


def describe_exceptions(rows: list[Row]) -> Iterator[str]:
    """Yields whose RL ended early and why, which results are external, and how to go on without the weights."""
    stopped: dict[str, list[str]] = {}
    for row in rows:
        if row.stopped:
            stopped.setdefault(row.stopped, []).append(row.name)
    yield from (f"RL of {name_some(names)} {explain_end(reason)}." for reason, names in stopped.items())
    finished = [row for row, _ in list_scores(rows)]
    if theirs := sum(row.elsewhere is not None for row in finished):
        checked = "whether RL and benchmark were the same for all of them was not checked"
        if len(finished) == 1:
            checked = "it was not checked"
        yield f"External, and shown as recorded: {count_of(theirs, len(finished), 'RL result')}; {checked}."
        gains = [f"{row.name} {gain.describe()}" for row in finished if (gain := measure_gain(row.outcome)).ahead is not None]
        if gains:
            yield f"Gain in Pass@1 by RL, on the problems of the predictors: {'; '.join(gains)}."
    if waiting := [row.name for row in rows if row.approved and not row.candidate.has_weights and row.score is None]:
        yield (
            f"Next: run RL for {name_some(waiting)} in the system that has the weights, then record the result: rlready record"
            f" --log {waiting[0]}=LOG. To run it here, give the weights in a recipe (model:)."
        )


def _describe_answer(rows: list[Row], noise: ScoreNoise, base: Row) -> list[str]:
    best = answer.find_best(rows, noise)
    if best is None:
        return _explain_no_result(rows)
    (setting, first), score = best, answer.show_scores(best.setting)
    if best.candidate is None:
        return [_describe_zeros(rows)]
    gained = answer.describe_sharpening(first.name, setting.rows, base)
    if not first.others:
        alone = f"Only {first.name} has finished RL, with Pass@1 {score}, so there is nothing to compare it with."
        return [" ".join([alone, *gained])]
    said = first.describe(f"ended best after RL, with Pass@1 {score}", f"has the highest Pass@1 after RL, {score}")
    favorite = answer.describe_favorite(rows, noise)
    if noise.repeated:
        return [" ".join([said, *gained]), *favorite]
    return [" ".join([said, *answer.describe_greedy(rows), *gained]), ONE_SEED, *favorite]


def _describe_order(rows: list[Row], k: int | None, by: str | None) -> list[str]:
    first, label = answer.find_first_before_rl(rows, k, by), answer.label_ranked(k, by)
    if first is None:
        if all(row.failure for row in rows):
            return _explain_no_result(rows)
        only = ", only its interval (sequential sampling)" if any(row.sequential for row in rows) else ""
        return [f"The candidates cannot be ranked: {label} was not measured{only}."]
    (best, _), *others = answer.sort_by_place(rows)
    figure = answer.show_ranked(best, k, by)
    if (greedy := best.predictors.greedy_pass_at_1) is not None:
        figure += f" (greedy Pass@1 {greedy:.3f})"
    comes = f"comes first by {label}, with {figure}"
    if not others:
        return [f"{best.name} {comes}; there is no other to compare it with."]
    end = "lowest" if by == "generalization_loss" else "highest"
    pairs = "; ".join(f"{row.name} and {standing.ahead_of}" for row, standing in others[:-1] if not standing.sure)
    more = [f"The order may also be chance between {pairs}."] if pairs else []
    return [first.describe(comes, f"has the {end} {label}, {figure}"), *more]


def _explain_no_result(rows: list[Row]) -> list[str]:
    failed = [row for row in rows if row.failure]
    late = [row.name for row in failed if not row.failed_early]
    if failed and len(failed) == len(rows):
        return [f"No candidate has a result: {'all' if len(rows) > 1 else 'the only one'} failed."]
    none, dropped = "No candidate has finished RL", sum(row.dropped for row in rows)
    if late and dropped:
        others = count(dropped, "other")
        return [f"{none}: it or its benchmark failed for {name_some(late)}, and the race dropped {others}."]
    if late:
        whom = "the only candidate" if len(late) == 1 else "all candidates"
        return [f"{none}: it or its benchmark failed for {whom} sent to it, {name_some(late)}."]
    judged = [row for row in rows if row.judged]
    if not judged or any(row.verdict.proceed for row in judged):
        return [f"{none}, so which one is worth it is still unknown."]
    if elsewhere := [row.name for row in judged if row.approved]:
        return [f"{none}: it cannot run here for {name_some(elsewhere)}, whose weights are elsewhere."]
    best, reason = judged[0], shorten_reason(judged[0].verdict.reason).removesuffix(" …")
    if len(judged) == 1:
        return [f"{none}, because the gate approved none.", f"{best.name} is {best.verdict.decision}: {reason}."]
    had = "" if best.pass_at_k is None else "has the highest Pass@k and "
    return [f"{none}, because the gate approved none of them.", f"{best.name} {had}is {best.verdict.decision}: {reason}."]


def _describe_zeros(rows: list[Row]) -> str:
    finished = [row.benchmark for row, _ in list_scores(rows)]
    # What was not judged may be right.
    tops = [interval[1] + (found.unknown or 0.0) for found in finished if (interval := read_interval(found.interval))]
    room = f"; the true Pass@1 may still be as high as {show(min(1.0, max(tops)))}" if len(tops) == len(finished) else ""
    return (
        f"No candidate that finished RL solved a problem of the benchmark (Pass@1 0.000{room}), so none is best. To measure a"
        " Pass@1 this low, use more problems or samples (curate_benchmark_problems, benchmark_samples) or easier problems"
        " (curate_evaluation_data)."
    )


def _count_decisions(rows: list[Row], noise: ScoreNoise) -> str:
    """Counts the verdicts; a candidate that failed before the gate has none, and is no rejection."""
    early = sum(row.failed_early for row in rows)
    late = sum(row.failure is not None for row in rows) - early
    decisions = Counter(row.verdict.decision or "without a verdict" for row in rows if not row.failed_early)
    names = (*DECISIONS[:2], *sorted(decisions.keys() - DECISIONS[:2]))
    counts = [f"{decisions[name]} {name}" for name in names] + ([f"{early} failed before the gate"] if early else [])
    who = f"{count(len(group_settings(rows)), 'setting')}, " if noise.repeated else ""
    after = f"; {late} failed after the gate" if late else ""
    return f"{who}{count(len(rows), 'candidate')}: {', '.join(counts)}{after}."


def describe_origin(sweep: SweepResult, rows: list[Row], base: Row, k: int | None) -> list[tuple[str, str]]:
    """Returns what was run, as pairs (label, text); what is not known is left out."""
    given, origin = sweep.parameters, sweep.origin
    version = f"rlready {origin['version']}" if "version" in origin else ""
    run = ", ".join(filter(None, (origin.get("run"), origin.get("date"), version)))
    steps = given.get("rl_steps")
    trained = "no RL" if not sweep.trains else "" if steps is None else f"{count(steps, 'RL step')}"
    every = (*rows, base)
    before = [(row.predictors.problems, row.predictors.samples, "before RL") for row in every]
    sizes = [*before, *((row.benchmark.problems, row.benchmark.samples, "on the benchmark") for row in every)]
    known = [f"{count(n, 'problem')} x {count(samples, 'sample')} {when}" for n, samples, when in sizes if n and samples]
    measured = [*dict.fromkeys(known), f"k = {k}" if k else "", trained]
    digests = [model["digest"] for row in every if (model := row.outcome.links.get("base_model")) and model.get("digest")]
    model = given.get("base_model", "")
    names = {"SFT": given.get("curate_sft_data"), "evaluation": given.get("curate_evaluation_data")}
    named = ", ".join(f"{use} {name}" for use, name in names.items() if name)
    sets: dict = next((row.outcome.links["data"] for row in every if row.outcome.links.get("data")), {})
    sized = [f"{name} {count(entry['rows'], 'row')} ({str(entry['digest'])[:DIGEST]})" for name, entry in sets.items()]
    pairs = {
        "Run": run,
        "Base model": f"{model} ({digests[0][:DIGEST]})" if model and digests else model,
        "Data": "; ".join(filter(None, (named, ", ".join(sized)))),
        "Measured": ", ".join(filter(None, measured)),
        "Command": origin.get("command", ""),
    }
    return [(label, text) for label, text in pairs.items() if text]


def summarize(sweep: SweepResult, rows: list[Row], base: Row, k: int | None) -> list[str]:
    """Returns four lines to paste: the winner, the gate's choice and why, the net saving, and how sure the winner is."""
    trains = sweep.shows_rl
    saving = weigh_gate(rows, base) if trains else None
    winner, sure = _describe_winner(rows, base) if trains else _describe_first(rows, k, sweep.parameters.get("gate_rank_by"))
    net = saving.net if saving else "none, because the gate did not decide" if trains else "unknown, because no RL ran"
    return [f"Winner: {winner}", f"Gate: {_describe_gate(rows)}", f"Net saving: {net}", f"Certainty: {sure}"]


def _describe_winner(rows: list[Row], base: Row) -> tuple[str, str]:
    noise = measure_noise(rows)
    best = answer.find_best(rows, noise)
    if best is None:
        return "unknown, no candidate has finished RL", "unknown"
    if best.candidate is None:
        return "none, no result of RL is above 0", "unknown"
    shown, over = show_result(best.candidate), "candidates with one seed each"
    if noise.repeated:
        shown, over = show_mean([row.score for row in best.setting.rows]), "settings, by the noise between seeds"
    before = "" if base.score is None else f"; base model {show(base.score)}"
    return f"{best.first.tied}, Pass@1 {shown} after RL{before}", _describe_certainty(best.first, over)


def _describe_first(rows: list[Row], k: int | None, by: str | None) -> tuple[str, str]:
    first, label = answer.find_first_before_rl(rows, k, by), answer.label_ranked(k, by)
    if first is None:
        return f"unknown, no candidate has a single {label}", "unknown"
    shown = next(answer.show_ranked(row, k, by) for row in rows if row.name == first.name)
    return f"{first.tied}, {label} {shown}, without RL", _describe_certainty(first, "compared problem by problem")


def _describe_certainty(first: answer.First, over: str) -> str:
    if not first.others:
        return "unknown, nothing to compare it with"
    said = [f"not clearly ahead of {name_some(first.level)}"] if first.level else []
    said += [f"unknown against {name_some(first.unknown)}"] if first.unknown else []
    return f"{'; '.join(said) or 'ahead of all others beyond chance'} ({over})"


def _describe_gate(rows: list[Row]) -> str:
    judged = [row for row in rows if row.judged]
    if not judged:
        return "decided on no candidate"
    if any(row.verdict.mode == "off" for row in judged):
        return "off, RL for every candidate" + (", up to the race" if any(row.outrun for row in rows) else "")
    approved = [row for row in judged if row.approved]
    first = (approved or judged)[0]
    share = count_of(len(approved), len(judged), "candidate")
    said = f"approved {name_some([row.name for row in approved])} ({share})" if approved else f"approved {share}"
    reason = first.verdict.reason.split("; ")[0]  # its first statement decided; curves keep none
    whose = "" if len(approved) == 1 else f"; {first.name}"
    return f"{said}{whose}: {reason}" if reason else said
