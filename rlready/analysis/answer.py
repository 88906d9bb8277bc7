"""The answer of a run: which candidate is best, how sure that is, and what limits it."""

import math
import statistics
from collections import defaultdict
from collections.abc import Sequence
from operator import attrgetter, itemgetter
from typing import NamedTuple

from rlready.analysis.comparison import Row, Setting, compare, group_settings, list_scores
from rlready.analysis.format import name_some, show, show_estimate, show_percent, show_result, show_score, show_verdict
from rlready.analysis.noise import ScoreNoise, compare_settings
from rlready.gate.decide import RANKED
from rlready.gate.lead import GREEDY, Lead, read_figure
from rlready.records.verdicts import Standing
from rlready.stats.ties import reaches

NEARLY_ALL = 0.9  # share of a model's samples that makes its score say nothing
TRUNCATED, NO_ANSWER, UNCLEAR, NOT_JUDGED = range(4)  # why samples have no answer that was judged
# What is wrong with them and what to do, if rlready drew them, and if they are of logs.
ADVICE = {
    TRUNCATED: (
        "were truncated by the length limit{mixed}; raise sampling_max_tokens{now}.",
        "were truncated by the length limit{mixed}; sample longer completions.",
    ),
    NO_ANSWER: (
        "have no final answer in the form the prompt asks for; change the prompt or format of the evaluation data"
        " (curate_sources), or teach the form by SFT.",
        "have no final answer in the form the verifier reads; change the prompt or --format, or teach the form by SFT.",
    ),
    UNCLEAR: ("have no final answer; whether they were truncated is unknown.",) * 2,
    NOT_JUDGED: (
        "could not be judged by the verifier, which counts as wrong; rlready samples --unknown shows them.",
        "have an unknown score, which counts as wrong.",
    ),
}


class First(NamedTuple):
    """Who has the highest figure, and the names of others: all, those not clearly worse, unknown ones, and its equals.

    With Bonferroni's correction for all comparisons, the true first is it or among the second as often as a single interval
    covers (Hsu 1981, Annals of Statistics 9).
    """

    name: str
    others: list[str]
    level: list[str]
    unknown: list[str]  # whether they are clearly worse
    equal: list[str]

    @property
    def tied(self) -> str:
        """Its name, and whom it equals."""
        return f"{self.name}, equal to {name_some(self.equal)}" if self.equal else self.name

    @classmethod
    def of(cls, name: str, leads: Sequence[tuple[str, Lead]]) -> "First":
        """Returns how sure it is that one is first, from its leads over all others."""
        level = [other for other, lead in leads if lead.low is not None and not lead.sure]
        equal = [other for other, lead in leads if lead.ahead is not None and abs(lead.ahead) < 1e-12]
        return cls(name, [other for other, _ in leads], level, [other for other, lead in leads if lead.low is None], equal)

    def describe(self, clearly: str, highest: str) -> str:
        """Returns that it is first, or, if that may be chance, has the highest figure, and which ones are not clearly worse."""
        if not self.level and not self.unknown:
            whom = self.others[0] if len(self.others) == 1 else f"each of the other {len(self.others)}"
            return f"{self.name} {clearly}: ahead of {whom} beyond chance."
        said = [f"{self.name} {highest}."] + ([f"Equal to it: {name_some(self.equal)}."] if self.equal else [])
        level, unknown = ([name for name in names if name not in self.equal] for names in (self.level, self.unknown))
        said += [f"Not clearly worse: {name_some(level)}."] if level else []
        said += [f"Whether it is ahead of {name_some(unknown)} beyond chance is unknown."] if unknown else []
        return " ".join(said)


class Best(NamedTuple):
    """The setting with the best mean result of RL, or the candidate, as a setting of its own, if no setting repeats."""

    setting: Setting
    first: First

    @property
    def candidate(self) -> Row | None:
        """Its best seed; None if that solved nothing, which makes none the best."""
        row, score = max(list_scores(self.setting.rows), key=lambda pair: pair[1])
        return row if score else None


def find_best(rows: list[Row], noise: ScoreNoise) -> Best | None:
    """Returns the setting, or candidate, with the best result of RL, compared with the others; None without any result."""
    finished = [setting for setting in _list_settings(rows, noise) if setting.scores]
    if not finished:
        return None
    best, *others = finished
    leads = [(other.name, compare_settings(best, other, noise, len(others))) for other in others]
    return Best(best, First.of(best.name, leads))


def _list_settings(rows: list[Row], noise: ScoreNoise) -> list[Setting]:
    """Returns what is compared, best mean first: settings if seeds repeat, else candidates; those without results last."""
    settings = group_settings(rows) if noise.repeated else [Setting(row.name, [row]) for row in rows]
    return sorted(settings, key=lambda setting: -statistics.fmean(setting.scores) if setting.scores else math.inf)


def sort_by_place(rows: list[Row]) -> list[tuple[Row, Standing]]:
    """Returns the candidates that have a place before RL, first place first."""
    ranked = [(row, row.verdict.standing) for row in rows if row.verdict.standing]
    return sorted(ranked, key=lambda pair: pair[1].place)


def label_ranked(k: int | None, by: str | None) -> str:
    """Returns the name of what the candidates are ranked by."""
    return RANKED[by or "pass_at_k"].format(k=k or "k")


def show_ranked(row: Row, k: int | None, by: str | None) -> str:
    """Returns what a candidate with a place is ranked by, with its interval."""
    return show_estimate(*(read_figure(row.outcome, by or "pass_at_k", k) or (None, None))[:2])


def find_first_before_rl(rows: list[Row], k: int | None, by: str | None) -> First | None:
    """Returns the candidate at the first place; None if none has a place."""
    ordered = [row for row, _ in sort_by_place(rows)]
    if not ordered:
        return None
    first, *others = ordered
    return First.of(first.name, [(row.name, compare(first, row, by or "pass_at_k", k, len(others))) for row in others])


def describe_greedy(rows: list[Row]) -> list[str]:
    """Returns who leads under greedy decoding and by how much, if that is another candidate than under sampling."""
    finished = [row for row, _ in list_scores(rows)]
    known = [(row, score) for row in finished if (score := row.greedy_score) is not None]
    best = finished[0]
    ahead, top = max(known, key=itemgetter(1), default=(best, 0.0))
    if best.greedy_score is None or reaches(best.greedy_score, top):
        return []
    lead = compare(ahead, best, GREEDY, comparisons=len(known) - 1)
    sure = ", beyond chance" if lead.sure else "" if lead.low is None else ", which may be chance"
    return [f"Under greedy decoding {ahead.name} leads with {show(top)}, by {lead.describe()}{sure}."]


def describe_sharpening(name: str, best: list[Row], base: Row) -> list[str]:
    """Returns what the best, a candidate or the seeds of a setting, gained, and how much of it greedy decoding had already."""
    if base.score is None:
        return []
    pairs = [(compare(row, base), compare(row, base, GREEDY)) for row, _ in list_scores(best)]
    gains = [(sampled.ahead, greedy.ahead) for sampled, greedy in pairs if None not in (sampled.ahead, greedy.ahead)]
    if not gains or len(gains) < len(pairs):
        return [f"How much of the gain of {name} is sharpening is unknown: greedy Pass@1 was not measured before and after."]
    gain, greedy_gain = (statistics.fmean(values) for values in zip(*gains, strict=True))
    said = f"Over the base model, {name} gained {gain:+z.3f} in sampled and {greedy_gain:+z.3f} in greedy Pass@1"
    sure = all(sampled.sure for sampled, _ in pairs)
    if any(sampled.low is None for sampled, _ in pairs) or (not sure and f"{gain:z.3f}" == "0.000"):
        return [f"{said}."]
    if all((sampled.high or 0.0) < 0 for sampled, _ in pairs):
        return [f"{said}; the sampled loss is beyond chance."]
    if not sure:
        return [f"{said}; the sampled {'gain' if gain > 0 else 'loss'} may be chance."]
    share = 1 - max(0.0, greedy_gain) / gain  # of the sampled gain, that is no greedy gain
    if share <= 0:
        return [f"{said}, so none of it is sharpening."]
    part = "all" if share == 1 else f"most ({show_percent(share)})" if share > 0.5 else show_percent(share)
    return [f"{said}: {part} of the sampled gain is sharpening towards answers that greedy decoding already gave."]


def describe_favorite(rows: list[Row], noise: ScoreNoise) -> list[str]:
    """Returns whether the highest Pass@1 before RL, of settings or candidates, predicted the best result of RL."""
    settings = _list_settings(rows, noise)
    means = [setting.average(attrgetter("sft_pass_at_1")) for setting in settings]
    measured = [(setting, mean) for setting, mean in zip(settings, means, strict=True) if mean is not None]
    best, before = settings[0], means[0]
    if before is None:
        return ["Whether Pass@1 before RL predicted this is unknown: it was not measured."]
    if not any(mean for _, mean in measured):
        return ["No candidate solved a problem in one try before RL, so Pass@1 could not rank them."]
    favorite, most = max(measured, key=itemgetter(1))
    leader, led = max((pair for pair in measured if pair[0].scores), key=itemgetter(1))
    said, among = [], "Among those measured, the" if len(measured) < len(settings) else "The"
    if not favorite.scores and not reaches(led, most):
        verdicts = ", ".join(dict.fromkeys(map(show_verdict, favorite.rows)))
        said.append(
            f"{among} highest Pass@1 before RL, {show(most)}, belongs to {favorite.name}, which has no result"
            f" of RL ({verdicts}); how it would have ended is unknown."
        )
        among = "Among those with RL, the"
    if reaches(statistics.fmean(leader.scores), statistics.fmean(best.scores)) or reaches(before, led):
        return [*said, f"{among} highest Pass@1 before RL, {show(led)}, was also the highest after RL."]
    lead = compare_settings(best, leader, noise)
    unsure = "" if lead.sure or lead.low is None else ", which may be chance"
    ended = show_score(leader.rows[0]) if len(leader.rows) == 1 else show_scores(leader)
    ended = f"{leader.name} led with {show(led)} and ended at {ended}, {lead.describe()} lower{unsure}."
    return [*said, f"{among} highest Pass@1 before RL was not the highest after RL: {ended}"]


def show_scores(setting: Setting) -> str:
    """Returns the result of a candidate, or the mean over the seeds of a setting; then greedy Pass@1 if that is known."""
    (row, _), *others = list_scores(setting.rows)
    if not others:
        return show_result(row)
    deviation, greedy = statistics.stdev(setting.scores), setting.average(attrgetter("greedy_score"))
    shown = f"{statistics.fmean(setting.scores):.3f} ± {deviation:.3f} (standard deviation over {len(setting.scores)} seeds)"
    return shown + ("" if greedy is None else f", greedy {greedy:.3f}")


def describe_lost_answers(rows: list[Row], max_tokens: int | None) -> tuple[list[str], list[str]]:
    """Returns what to change where nearly all samples have no answer that was judged, after RL or, without a score, before it.

    The first sentences are on most of the candidates, so that the scores of the run say little, the others on single ones.
    """
    shares: dict[int, list[tuple[Row, float, float]]] = defaultdict(list)
    for row in rows:
        seen = row.shares_before if row.score is None or row.elsewhere else row.shares_after
        if seen == (None, None, None):
            continue
        cut, unjudged = seen.truncated or 0.0, seen.not_judged or 0.0
        lost = max(cut, seen.no_answer or 0.0)
        # A truncated sample has no answer: the form is to blame only if most of the samples without one ended by themselves.
        why = UNCLEAR if seen.truncated is None else TRUNCATED if 2 * cut >= lost else NO_ANSWER
        shares[NOT_JUDGED if unjudged > lost else why].append((row, cut, max(lost, unjudged)))
    everywhere, somewhere = [], []
    for why, alike in sorted(shares.items()):
        general = len(alike) > len(rows) / 2 and statistics.fmean(lost for *_, lost in alike) >= NEARLY_ALL
        if not (told := alike if general else [one for one in alike if one[2] >= NEARLY_ALL]):
            continue
        own, *columns = zip(*told, strict=True)
        cut, lost = map(statistics.fmean, columns)
        mixed = why == TRUNCATED and cut < NEARLY_ALL
        what = ADVICE[why][all(row.candidate.log for row in own)].format(
            mixed=" or have no final answer" if mixed else "", now="" if max_tokens is None else f" (now {max_tokens})"
        )
        if general:
            share = show_percent(cut if why == TRUNCATED and not mixed else lost)
            everywhere.append(f"The scores say little: {share} of the samples {what}")
        else:
            somewhere.append(f"Nearly all samples of {name_some([row.name for row in own])} {what}")
    return everywhere, somewhere
