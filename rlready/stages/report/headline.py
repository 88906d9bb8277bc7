"""The result in plain words, the answer first."""

import statistics
from collections import Counter
from collections.abc import Iterator

from rlready.analysis import answer
from rlready.analysis.answer import First, Lost, Sharpening
from rlready.analysis.comparison import Row, Setting, group_settings, list_scores
from rlready.analysis.format import (
    count,
    explain_end,
    name_some,
    show,
    show_estimate,
    show_percent,
    show_result,
    show_score,
    show_shares,
    show_verdict,
)
from rlready.analysis.noise import ScoreNoise, describe_small_spread, measure_noise
from rlready.analysis.plateau import look_for_plateau
from rlready.analysis.saving import weigh_gate
from rlready.gate.lead import measure_gain, read_interval
from rlready.stages.report.document import DECISIONS, shorten_reason

UNMEASURED = "Whether Pass@1 after SFT predicted this is unknown: it was not measured."
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
    noise, counted = measure_noise(rows), _count_decisions(rows)
    if noise.repeated:
        counted = f"{count(len(group_settings(rows)), 'setting')}, {counted}"
    lost = [(one.all, _describe_lost(one, max_tokens)) for one in answer.find_lost_answers(rows)]
    k = next((row.verdict.numbers.k for row in rows if row.verdict.numbers.k), None)
    first, *more = _describe_answer(rows, noise, base) if trains else _describe_order(rows, k, by)
    first = " ".join([*describe_small_spread(rows, noise), first])
    plateau = look_for_plateau(rows)
    if plateau.rising:
        first = f"{plateau.said} {first}"
    elif plateau.said:
        more = [plateau.said, *more]
    everywhere, somewhere = ([said for everyone, said in lost if everyone == wanted] for wanted in (True, False))
    yield from (*everywhere, first, counted)
    saving = weigh_gate(rows, base) if trains else None
    yield from (*([saving.said] if saving else []), *describe_stopped(rows), *describe_external(rows), *describe_next(rows))
    yield from (*somewhere, *more, *_describe_base(rows, base))


def describe_stopped(rows: list[Row]) -> list[str]:
    """Returns one sentence per reason why RL ended early or had nothing to learn from, with the candidates concerned."""
    named: dict[str, list[str]] = {}
    for row in rows:
        if row.stopped:
            named.setdefault(row.stopped, []).append(row.name)
    return [f"RL of {name_some(names)} {explain_end(reason)}." for reason, names in named.items()]


def describe_external(rows: list[Row]) -> list[str]:
    """Returns how many results are external, that they were not checked, and what RL gained where that is known."""
    finished = [row for row, _ in list_scores(rows)]
    theirs = sum(row.elsewhere is not None for row in finished)
    if not theirs:
        return []
    which = "All results of RL are" if theirs == len(finished) else f"{theirs} of {len(finished)} results of RL are"
    checked = "whether RL and benchmark were the same for all of them was not checked"
    if len(finished) == 1:
        which, checked = "The only result of RL is", "it was not checked"
    said = [f"{which} external, shown as recorded: {checked}."]
    gains = [f"{row.name} {gain.describe()}" for row in finished if (gain := measure_gain(row.outcome)).ahead is not None]
    if gains:
        said.append(f"Gain in Pass@1 by RL, on the problems of the predictors: {'; '.join(gains)}.")
    return said


def describe_next(rows: list[Row]) -> list[str]:
    """Returns how to go on with approved candidates whose weights are not here, so that RL cannot run here."""
    waiting = [row.name for row in rows if row.approved and not row.candidate.has_weights and row.score is None]
    if not waiting:
        return []
    return [
        f"Next: run RL for {name_some(waiting)} in the system that has the weights, then record the result: rlready record"
        f" --log {waiting[0]}=LOG. To run it here, give the weights in a recipe (model:)."
    ]


def _describe_answer(rows: list[Row], noise: ScoreNoise, base: Row) -> list[str]:
    best = answer.find_best(rows, noise)
    if best is None:
        return _explain_no_result(rows)
    (setting, first), score = best, _show_scores(best.setting)
    if best.candidate is None:
        return [_describe_zeros(rows)]
    gained = _describe_sharpening(first.name, setting.rows, base)
    if not first.others:
        alone = f"Only {first.name} has finished RL, with Pass@1 {score}, so there is nothing to compare it with."
        return [" ".join([alone, *gained])]
    said, favorite = _describe_best(first, score), _describe_favorite(rows, noise, setting)
    if noise.repeated:
        return [" ".join([said, *gained]), *favorite]
    return [" ".join([said, *_describe_greedy(rows), *gained]), ONE_SEED, *favorite]


def _show_scores(setting: Setting) -> str:
    """Returns the result of a candidate, or the mean over the seeds of a setting; then greedy Pass@1 if that is known."""
    (row, _), *others = list_scores(setting.rows)
    if not others:
        return show_result(row)
    deviation, greedy = statistics.stdev(setting.scores), setting.average(lambda row: row.greedy_score)
    shown = f"{statistics.fmean(setting.scores):.3f} ± {deviation:.3f} (standard deviation over {len(setting.scores)} seeds)"
    return shown + ("" if greedy is None else f", greedy {greedy:.3f}")


def _describe_best(first: First, score: str) -> str:
    return describe_first(first, f"ended best after RL, with Pass@1 {score}", f"has the highest Pass@1 after RL, {score}")


def describe_first(first: First, clearly: str, highest: str) -> str:
    """Returns that one is first, or, if that may be chance, has the highest figure, and which ones are not clearly worse."""
    if first.sure:
        whom = first.others[0] if len(first.others) == 1 else f"each of the other {len(first.others)}"
        return f"{first.name} {clearly}: ahead of {whom} beyond chance."
    said = [f"{first.name} {highest}."]
    said += [f"Not clearly worse: {name_some(first.level)}."] if first.level else []
    said += [f"Whether it is ahead of {name_some(first.unknown)} beyond chance is unknown."] if first.unknown else []
    return " ".join(said)


def _describe_order(rows: list[Row], k: int | None, by: str | None) -> list[str]:
    first, label = answer.find_first_before_rl(rows, k, by), answer.label_ranked(k, by)
    if first is None:
        if all(row.failure for row in rows):
            return _explain_no_result(rows)
        only = ", only its interval (sequential sampling)" if any(row.sequential for row in rows) else ""
        return [f"The candidates cannot be ranked: {label} was not measured{only}."]
    (best, _), *others = answer.sort_by_place(rows)
    figure = show_estimate(*answer.read_ranked(best, k, by)[:2])
    if (greedy := best.predictors.greedy_pass_at_1) is not None:
        figure += f" (greedy Pass@1 {greedy:.3f})"
    comes = f"comes first by {label}, with {figure}"
    if not others:
        return [f"{best.name} {comes}; there is no other to compare it with."]
    end = "lowest" if by == "generalization_loss" else "highest"
    pairs = ", ".join(f"{row.name} and {standing.ahead_of}" for row, standing in others[:-1] if not standing.sure)
    more = [f"The order may also be chance between {pairs}."] if pairs else []
    return [describe_first(first, comes, f"has the {end} {label}, {figure}"), *more]


def _explain_no_result(rows: list[Row]) -> list[str]:
    failed = [row for row in rows if row.failure]
    late = [row.name for row in failed if not row.failed_early]
    if failed and len(failed) == len(rows):
        return [f"No candidate has a result: {'all' if len(rows) > 1 else 'the only one'} failed."]
    if late:
        whom = "the only candidate" if len(late) == 1 else "all candidates"
        if dropped := sum(row.dropped for row in rows):
            lost = f"it or its benchmark failed for {name_some(late)}, and the race dropped {dropped}"
            return [f"No candidate has finished RL: {lost}."]
        return [f"No candidate has finished RL: it or its benchmark failed for {whom} sent to it, {name_some(late)}."]
    judged = [row for row in rows if row.judged]
    if not judged or any(row.verdict.proceed for row in judged):
        return ["No candidate has finished RL, so which one is worth it is still unknown."]
    if elsewhere := [row.name for row in judged if row.approved]:
        return [f"No candidate has finished RL: it cannot run here for {name_some(elsewhere)}, whose weights are elsewhere."]
    best, *others = judged
    reason = shorten_reason(best.verdict.reason).removesuffix(" …")
    had = "has the highest Pass@k and " if others and best.pass_at_k is not None else ""
    why = f"{best.name} {had}is {best.verdict.decision}: {reason}."
    return [f"No candidate has finished RL, because the gate approved none{' of them' if others else ''}.", why]


def _describe_zeros(rows: list[Row]) -> str:
    finished = [row for row, _ in list_scores(rows)]
    # What was not judged may be right.
    tops = [interval[1] + (r.benchmark.unknown or 0.0) for r in finished if (interval := read_interval(r.benchmark.interval))]
    whose = "its" if len(finished) == 1 else "their"
    room = f"; {whose} true Pass@1 may still be as high as {show(min(1.0, max(tops)))}" if len(tops) == len(finished) else ""
    who = {1: "The only candidate", 2: "Both candidates"}.get(len(finished), f"All {len(finished)} candidates")
    none = ", so none is best. To tell them apart," if len(finished) > 1 else ". To measure a Pass@1 this low,"
    return (
        f"{who} that finished RL solved nothing on the benchmark (Pass@1 0.000{room}){none} use more problems or samples"
        " (curate_benchmark_problems, benchmark_samples) or easier problems (curate_evaluation_data)."
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


def _describe_base(rows: list[Row], base: Row) -> list[str]:
    shares = show_shares(base.benchmark.truncated, base.benchmark.unreadable, base.benchmark.unknown)
    said = []
    if base.score is not None:
        shown = show_result(base) + (f"; {shares}" if shares else "")
        said.append(f"The base model, without SFT and RL, scores {shown}.")
    chances = [row.benchmark.chance for row in (*rows, base) if row.benchmark.chance]
    return [*said, f"Guessing scores {show(max(chances))}."] if chances else said


def _describe_lost(lost: Lost, max_tokens: int | None) -> str:
    """Returns what to change if nearly all samples were truncated or have no answer."""
    subject = "of the samples" if lost.all else f"samples of {name_some(lost.names)}"
    start = f"The scores say little: {show_percent(lost.share)} {subject}" if lost.all else f"Nearly all {subject}"
    if lost.why == answer.NOT_JUDGED:
        return f"{start} could not be judged by the verifier, which counts as wrong; rlready samples --unknown shows them."
    if lost.why == answer.UNCLEAR:
        return f"{start} have no final answer; whether they were truncated is unknown."
    if lost.why == answer.NO_ANSWER:
        return (
            f"{start} have no final answer in the form the prompt asks for; change the prompt or format of the evaluation data"
            " (curate_sources), or teach the form by SFT."
        )
    raised = "sampling_max_tokens" if max_tokens is None else f"sampling_max_tokens (now {max_tokens})"
    what = "were truncated by the length limit" if lost.whole else "were truncated by the length limit or have no final answer"
    return f"{start} {what}; raise {raised}."


def _describe_greedy(rows: list[Row]) -> list[str]:
    if (found := answer.find_greedy_leader(rows)) is None:
        return []
    ahead, lead = found
    sure = ", beyond chance" if lead.sure else "" if lead.low is None else ", which may be chance"
    return [f"Under greedy decoding {ahead.name} leads with {show(ahead.greedy_score)}, by {lead.describe()}{sure}."]


def _describe_sharpening(name: str, best: list[Row], base: Row) -> list[str]:
    if base.score is None:
        return []
    found = answer.measure_sharpening(best, base)
    if found is None:
        return [f"How much of the gain of {name} is sharpening is unknown: greedy Pass@1 was not measured before and after."]
    said = f"Over the base model, {name} gained {found.gain:+z.3f} in sampled and {found.greedy:+z.3f} in greedy Pass@1"
    return [
        said + ("." if found.sure is None else _describe_share(found) if found.sure else "; the sampled gain may be chance.")
    ]


def _describe_share(found: Sharpening) -> str:
    share = found.share
    if share <= 0:
        return ", so none of it is sharpening."
    part = "all" if share == 1 else f"most ({show_percent(share)})" if share > 0.5 else show_percent(share)
    return f": {part} of the sampled gain is sharpening towards answers that greedy decoding already gave."


def _describe_favorite(rows: list[Row], noise: ScoreNoise, best: Setting) -> list[str]:
    """Returns whether the highest Pass@1 after SFT predicted the best result of RL."""
    found = answer.find_favorite(rows, noise)
    if found is None and best.average(lambda row: row.sft_pass_at_1) is None:
        return [UNMEASURED]
    if found is None:
        return ["No candidate solved a problem in one try after SFT (T=1), so Pass@1 could not rank them."]
    said, lead, led = [], found.lead, show(found.led)
    among = "Among those measured, the" if found.unmeasured else "The"
    if found.untested:
        verdicts = ", ".join(dict.fromkeys(map(show_verdict, found.untested.rows)))
        said.append(
            f"{among} highest Pass@1 (T=1) after SFT, {show(found.most)}, belongs to {found.untested.name}, which has no result"
            f" of RL ({verdicts}); how it would have ended is unknown."
        )
        among = "Among those with RL, the"
    if found.best:
        return [*said, f"{among} highest Pass@1 (T=1) after SFT, {led}, was also the highest after RL."]
    unsure = "" if lead.sure or lead.low is None else ", which may be chance"
    ended = show_score(found.leader.rows[0]) if len(found.leader.rows) == 1 else _show_scores(found.leader)
    ended = f"{found.leader.name} led with {led} and ended at {ended}, {lead.describe()} lower{unsure}."
    return [*said, f"{among} highest Pass@1 (T=1) after SFT was not the highest after RL: {ended}"]
