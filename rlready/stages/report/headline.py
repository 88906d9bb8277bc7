"""The result in plain words, the answer first."""

import statistics
from collections import Counter

from rlready.analysis.comparison import Row, Setting, compare, group_settings, read_interval
from rlready.analysis.format import count, name_some, show, show_percent, show_result, show_score, show_shares, show_verdict
from rlready.analysis.noise import ScoreNoise, compare_settings, measure_noise
from rlready.analysis.predictor import pick_main
from rlready.gate.lead import GREEDY, Lead
from rlready.stages.report.document import DECISIONS, shorten_reason
from rlready.stages.report.plateau import look_for_plateau
from rlready.stages.report.ranking import tell_first, tell_order
from rlready.stages.report.savings import weigh_gate
from rlready.stages.report.selection import choose, show_regret

NEARLY_ALL = 0.9  # share of a model's samples that makes its score say nothing
UNMEASURED = "Whether Pass@1 after SFT predicted this is unknown: it was not measured."
ONE_SEED = (
    "RL ran once for each candidate, so this holds for these checkpoints, not for their settings: the noise between seeds is"
    " unknown (sweep_seeds)."
)


def describe_result(
    rows: list[Row], base: Row, max_tokens: int | None, trains: bool = True, by: str | None = None
) -> list[str]:
    """Returns the result in sentences without markup, the most important one first.

    Args:
        rows: The candidates, ordered.
        base: The base model.
        max_tokens: Longest completion in tokens; None if unknown.
        trains: Whether RL was requested; if not, the ranking of the candidates is the result.
        by: What they are ranked by.
    """
    settings, noise, counted = group_settings(rows), measure_noise(rows), _count_decisions(rows)
    if noise.repeated:
        counted = f"{len(settings)} settings, {counted}"
    everywhere, somewhere = _describe_lost_answers(rows, max_tokens)
    k = next((row.verdict.numbers.k for row in rows if row.verdict.numbers.k), None)
    answer, *more = (not trains and tell_order(rows, k, by)) or _describe_answer(rows, settings, noise, base)
    plateau, saving = look_for_plateau(rows), weigh_gate(rows, base) if trains else None
    if plateau.rising:
        answer = f"{plateau.said} {answer}"
    elif plateau.said:
        more = [plateau.said, *more]
    told = [*([saving.said] if saving else []), *describe_stopped(rows), *describe_elsewhere(rows)]
    return [*everywhere, answer, counted, *told, *somewhere, *more, *_describe_base(rows, base)]


def describe_stopped(rows: list[Row]) -> list[str]:
    """Returns one sentence per reason why RL had nothing to learn from, with the candidates concerned."""
    named: dict[str, list[str]] = {}
    for row in rows:
        if row.stopped:
            named.setdefault(row.stopped, []).append(row.name)
    return [f"RL of {name_some(names)} had {reason}." for reason, names in named.items()]


def _describe_answer(rows: list[Row], settings: list[Setting], noise: ScoreNoise, base: Row) -> list[str]:
    finished = [row for row in rows if row.score is not None]
    if not finished:
        return _explain_no_result(rows)
    best = finished[0]
    if not best.score:
        return [_describe_zeros(finished)]
    if len(finished) == 1:
        alone = f"Only {best.name} has finished RL, with Pass@1 {show_result(best)}, so there is nothing to compare it with."
        return [" ".join([alone, *_describe_sharpening(best.name, [best], base)])]
    if noise.repeated:
        return _describe_settings(rows, settings, noise, base)
    others = finished[1:]
    leads = [(other.name, compare(best, other, comparisons=len(others))) for other in others]
    lead, greedy = _tell_best(best.name, show_result(best), leads), _describe_greedy(best, finished)
    answer = " ".join([lead, *greedy, *_describe_sharpening(best.name, [best], base)])
    return [answer, ONE_SEED, *_describe_favourite(best, rows)]


def _explain_no_result(rows: list[Row]) -> list[str]:
    failed = [row for row in rows if row.failure]
    late = [row.name for row in failed if not row.failed_early]
    if failed and len(failed) == len(rows):
        return [f"No candidate has a result: {'all' if len(rows) > 1 else 'the only one'} failed."]
    if late:
        whom = "the only candidate" if len(late) == 1 else "all candidates"
        return [f"No candidate has finished RL: it or its benchmark failed for {whom} sent to it, {name_some(late)}."]
    judged = [row for row in rows if row.judged]
    if not judged or any(row.verdict.proceed for row in judged):
        return ["No candidate has finished RL, so which one is worth it is still unknown."]
    best, none = judged[0], "none of them" if len(judged) > 1 else "none"
    reason = shorten_reason(best.verdict.reason).removesuffix(" …")
    had = "" if best.pass_at_k is None else "has the highest Pass@k and "
    why = f"{best.name} {had}is {best.verdict.decision}: {reason}."
    return [f"No candidate has finished RL, because the gate approved {none}.", why]


def _describe_zeros(finished: list[Row]) -> str:
    intervals = [read_interval(row.benchmark.interval) for row in finished]
    tops = [interval[1] for interval in intervals if interval]
    room = f"; their true Pass@1 may still be up to {show(max(tops))}" if len(tops) == len(intervals) else ""
    who = "The only candidate" if len(finished) == 1 else f"All {len(finished)} candidates"
    return (
        f"{who} that finished RL solved nothing on the benchmark (Pass@1 0.000{room}), so none is best. To tell them"
        " apart, use more problems or samples (curate_benchmark_problems, benchmark_samples) or easier problems"
        " (curate_evaluation_data)."
    )


def _count_decisions(rows: list[Row]) -> str:
    """Counts the verdicts; a candidate that failed before the gate has none, and is no rejection."""
    early = sum(row.failed_early for row in rows)
    decisions = Counter(row.verdict.decision or "without a verdict" for row in rows if not row.failed_early)
    names = (*DECISIONS[:2], *sorted(decisions.keys() - DECISIONS[:2]))
    counts = [f"{decisions[name]} {name}" for name in names]
    counts += [f"{early} failed before the gate"] if early else []
    late = sum(row.failure is not None for row in rows) - early
    after = f"; {late} failed after the gate" if late else ""
    return f"{count(len(rows), 'candidate')}: {', '.join(counts)}{after}."


def describe_elsewhere(rows: list[Row]) -> list[str]:
    """Returns how many results are external, and that they were not checked."""
    finished = [row for row in rows if row.score is not None]
    theirs = sum(row.elsewhere is not None for row in finished)
    if not theirs:
        return []
    which = "All" if theirs == len(finished) else f"{theirs} of {len(finished)}"
    return [
        f"{which} results of RL are external, shown as recorded: whether RL and benchmark were the same for all of them was"
        " not checked."
    ]


def _describe_base(rows: list[Row], base: Row) -> list[str]:
    shares = show_shares(base.benchmark.truncated, base.benchmark.unreadable, base.benchmark.unknown)
    said = []
    if base.score is not None:
        shown = show_result(base) + (f"; {shares}" if shares else "")
        said.append(f"The base model, without SFT and RL, scores {shown}.")
    chances = [row.benchmark.chance for row in (*rows, base) if row.benchmark.chance]
    return [*said, f"Guessing scores {show(max(chances))}."] if chances else said


def _describe_lost_answers(rows: list[Row], max_tokens: int | None) -> tuple[list[str], list[str]]:
    """Returns what to change if nearly all samples were truncated or have no answer: for all candidates, and for some.

    The samples are those after RL, or before it if the candidate has no score from this run.
    """
    seen = [(row.name, row.predictors.by_products if row.score is None or row.elsewhere else row.benchmark) for row in rows]
    raised = "sampling_max_tokens" if max_tokens is None else f"sampling_max_tokens (now {max_tokens})"
    cut = {name: shares.truncated for name, shares in seen if shares.truncated is not None}
    cutoff = {name for name, share in cut.items() if share >= NEARLY_ALL}
    lost = {name: shares.unreadable for name, shares in seen if shares.unreadable is not None and name not in cutoff}
    everywhere, somewhere = [], []
    for shares, text in (
        (cut, f"were truncated by the length limit; raise {raised}"),
        (
            lost,
            "have no final answer in the form the prompt asks for; change the prompt or format of the evaluation data"
            " (curate_sources), or teach the form by SFT",
        ),
    ):
        if len(shares) > len(seen) / 2 and (mean := statistics.fmean(shares.values())) >= NEARLY_ALL:
            everywhere.append(f"The scores say little: {show_percent(mean)} of the samples {text}.")
        elif names := [name for name, share in shares.items() if share >= NEARLY_ALL]:
            somewhere.append(f"Nearly all samples of {name_some(names)} {text}.")
    return everywhere, somewhere


def _describe_settings(rows: list[Row], settings: list[Setting], noise: ScoreNoise, base: Row) -> list[str]:
    best, *others = sorted((s for s in settings if s.scores), key=lambda s: -statistics.fmean(s.scores))
    score, greedy = f"{statistics.fmean(best.scores):.3f}", best.average(lambda row: row.greedy_score)
    if len(best.scores) > 1:
        score += f" ± {statistics.stdev(best.scores):.3f} (standard deviation over {len(best.scores)} seeds)"
    score += "" if greedy is None else f", greedy {greedy:.3f}"
    leads = [(other.name, compare_settings(best, other, noise, len(others))) for other in others]
    lead = _tell_best(best.name, score, leads) if others else f"Only {best.name} has finished RL, with Pass@1 {score}."
    said = [" ".join([lead, *_describe_sharpening(best.name, best.rows, base)])]
    choice = choose(rows, pick_main(None).sft_pass_at_1, noise)
    if choice is None:
        return [*said, UNMEASURED]
    if choice.regret <= 0:
        return [*said, "The highest Pass@1 (T=1) after SFT was also the highest after RL."]
    ended = f"{name_some(choice.chosen)}, which ended at {choice.score:.3f}, {show_regret(choice)} lower."
    return [*said, f"The highest Pass@1 (T=1) after SFT was not the highest after RL: it belongs to {ended}"]


def _tell_best(name: str, score: str, leads: list[tuple[str, Lead]]) -> str:
    first = f"ended best after RL, with Pass@1 {score}"
    return tell_first(name, first, f"has the highest Pass@1 after RL, {score}", leads)


def _describe_greedy(best: Row, finished: list[Row]) -> list[str]:
    """Returns who leads under greedy decoding, if that is another candidate than under sampling."""
    known = [(row, score) for row in finished if (score := row.greedy_score) is not None]
    ahead, top = max(known, key=lambda pair: pair[1], default=(best, 0.0))
    if best.greedy_score is None or top <= best.greedy_score:
        return []
    lead = compare(ahead, best, GREEDY, comparisons=len(known) - 1)
    sure = ", beyond chance" if lead.sure else "" if lead.low is None else ", which may be chance"
    return [f"Under greedy decoding {ahead.name} leads with {top:.3f}, by {lead.describe()}{sure}."]


def _describe_sharpening(name: str, best: list[Row], base: Row) -> list[str]:
    """Returns how much of the best candidate's, or setting's, gain over the base model greedy decoding had already."""
    best = [row for row in best if row.score is not None]
    if not best or base.score is None:
        return []
    pairs = [(compare(row, base), compare(row, base, GREEDY)) for row in best]
    gains = [(one.ahead, other.ahead) for one, other in pairs if one.ahead is not None and other.ahead is not None]
    if len(gains) < len(pairs):
        return [f"How much of the gain of {name} is sharpening is unknown: greedy Pass@1 was not measured before and after."]
    gain, greedily = (statistics.fmean(values) for values in zip(*gains, strict=True))
    said = f"Over the base model, {name} gained {gain:+z.3f} in sampled and {greedily:+z.3f} in greedy Pass@1"
    if not all(sampled.sure for sampled, _ in pairs):
        return [f"{said}; the sampled gain may be chance." if pairs[0][0].low is not None else f"{said}."]
    share = 1 - max(0.0, greedily) / gain
    if share <= 0:
        return [f"{said}, so none of it is sharpening."]
    part = "all" if share == 1 else f"most ({show_percent(share)})" if share > 0.5 else show_percent(share)
    return [f"{said}: {part} of the sampled gain is sharpening towards answers that greedy decoding already gave."]


def _describe_favourite(best: Row, rows: list[Row]) -> list[str]:
    """Returns whether the highest Pass@1 after SFT predicted the best result of RL."""
    measured = [(row, value) for row in rows if (value := row.sft_pass_at_1) is not None]
    if best.sft_pass_at_1 is None or not measured:
        return [UNMEASURED]
    favorite, most = max(measured, key=lambda pair: pair[1])
    leader, led = max(((row, value) for row, value in measured if row.score is not None), key=lambda pair: pair[1])
    if not most:
        return ["No candidate solved a problem in one try after SFT (T=1), so Pass@1 could not rank them."]
    said = []
    if favorite.score is None and most > led:
        said.append(
            f"The highest Pass@1 (T=1) after SFT, {show(most)}, belongs to {favorite.name}, which has no result of RL"
            f" ({show_verdict(favorite)}); how it would have ended is unknown."
        )
    among = "Among those with RL, the" if said else "The"
    if leader.score == best.score or led == best.sft_pass_at_1:
        first = f"{among} highest Pass@1 (T=1) after SFT, {show(led)}, was also the highest after RL."
        return [*said, first]
    lead = compare(best, leader)
    unsure = "" if lead.sure or lead.low is None else ", which may be chance"
    return [
        *said,
        f"{among} highest Pass@1 (T=1) after SFT was not the highest after RL: {leader.name} led with "
        f"{show(led)} and ended at {show_score(leader)}, {lead.describe()} lower{unsure}.",
    ]
