"""The answer of a run: which candidate is best, how sure that is, and what limits it."""

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from rlready.analysis.comparison import Row, Setting, compare, group_settings, list_scores
from rlready.analysis.noise import ScoreNoise, compare_settings
from rlready.gate.decide import RANKED
from rlready.gate.lead import GREEDY, Figure, Lead, read_figure
from rlready.records.verdicts import Standing
from rlready.stats.ties import reaches

NEARLY_ALL = 0.9  # share of a model's samples that makes its score say nothing


class First(NamedTuple):
    """Who has the highest figure, and the names of others: all, those not clearly worse, and those for which that is unknown.

    With Bonferroni's correction for all comparisons, the true first is it or among the second as often as a single interval
    covers (Hsu 1981, Annals of Statistics 9).
    """

    name: str
    others: list[str]
    level: list[str]
    unknown: list[str]

    @property
    def sure(self) -> bool:
        """Whether it is ahead of each of the others beyond chance."""
        return not self.level and not self.unknown


def find_first(name: str, leads: Sequence[tuple[str, Lead]]) -> First:
    """Returns how sure it is that one is first, from its leads over all others."""
    level = [other for other, lead in leads if lead.low is not None and not lead.sure]
    return First(name, [other for other, _ in leads], level, [other for other, lead in leads if lead.low is None])


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
    return Best(best, find_first(best.name, leads))


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


def read_ranked(row: Row, k: int | None, by: str | None) -> Figure:
    """Returns what a candidate with a place is ranked by."""
    return read_figure(row.outcome, by or "pass_at_k", k) or Figure(float("nan"))


def find_first_before_rl(rows: list[Row], k: int | None, by: str | None) -> First | None:
    """Returns the candidate at the first place; None if none has a place."""
    ordered = [row for row, _ in sort_by_place(rows)]
    if not ordered:
        return None
    first, *others = ordered
    return find_first(first.name, [(row.name, compare(first, row, by or "pass_at_k", k, len(others))) for row in others])


def find_greedy_leader(rows: list[Row]) -> tuple[Row, Lead] | None:
    """Returns who leads under greedy decoding and by how much, if that is another candidate than under sampling."""
    finished = [row for row, _ in list_scores(rows)]
    known = [(row, score) for row in finished if (score := row.greedy_score) is not None]
    best = finished[0]
    ahead, top = max(known, key=lambda pair: pair[1], default=(best, 0.0))
    if best.greedy_score is None or reaches(best.greedy_score, top):
        return None
    return ahead, compare(ahead, best, GREEDY, comparisons=len(known) - 1)


class Sharpening(NamedTuple):
    """The gain over the base model, and how much of it greedy decoding had already."""

    gain: float  # in sampled Pass@1
    greedy: float  # in greedy Pass@1
    sure: bool | None  # whether the sampled gain is beyond chance; None if that is unknown

    @property
    def share(self) -> float:
        """Share of the sampled gain that is no greedy gain; at most 1."""
        return 1 - max(0.0, self.greedy) / self.gain


def measure_sharpening(best: list[Row], base: Row) -> Sharpening | None:
    """Returns the gain of a candidate, or of the seeds of a setting; None if greedy Pass@1 is not known before and after."""
    pairs = [(compare(row, base), compare(row, base, GREEDY)) for row, _ in list_scores(best)]
    gains = [(one.ahead, other.ahead) for one, other in pairs if one.ahead is not None and other.ahead is not None]
    if not gains or len(gains) < len(pairs):
        return None
    gain, greedy = (statistics.fmean(values) for values in zip(*gains, strict=True))
    unknown = any(sampled.low is None for sampled, _ in pairs)
    return Sharpening(gain, greedy, None if unknown else all(sampled.sure for sampled, _ in pairs))


class Favorite(NamedTuple):
    """The setting, or candidate, with the highest Pass@1 after SFT."""

    untested: Setting | None  # it, if it has no result of RL
    most: float  # its Pass@1 after SFT
    leader: Setting  # the one with the highest Pass@1 after SFT among those with a result
    led: float  # that one's
    best: bool  # whether that one is also best after RL
    lead: Lead  # of the best over the leader
    unmeasured: int  # settings, or candidates, without a Pass@1 after SFT


def find_favorite(rows: list[Row], noise: ScoreNoise) -> Favorite | None:
    """Returns the favorite after SFT; None if Pass@1 was not measured for the best after RL, or is 0 for all."""
    settings = _list_settings(rows, noise)
    means = [setting.average(lambda row: row.sft_pass_at_1) for setting in settings]
    measured = [(setting, mean) for setting, mean in zip(settings, means, strict=True) if mean is not None]
    best, before = settings[0], means[0]
    if before is None or not any(mean for _, mean in measured):
        return None
    favorite, most = max(measured, key=lambda pair: pair[1])
    leader, led = max(((setting, mean) for setting, mean in measured if setting.scores), key=lambda pair: pair[1])
    untested = favorite if not favorite.scores and not reaches(led, most) else None
    wins = reaches(statistics.fmean(leader.scores), statistics.fmean(best.scores)) or reaches(before, led)
    lead = compare_settings(best, leader, noise)
    return Favorite(untested, most, leader, led, wins, lead, len(settings) - len(measured))


CAUSES = TRUNCATED, NO_ANSWER, UNCLEAR, NOT_JUDGED = "truncated", "no answer", "no answer or truncated", "not judged"


class Lost(NamedTuple):
    """Candidates most of whose samples have no answer that was judged."""

    why: str  # TRUNCATED by the length limit, NO_ANSWER in the right form, UNCLEAR which of these, or NOT_JUDGED
    names: list[str]  # the candidates
    all: bool  # whether it is most of the candidates, so that the scores of the run say little
    share: float  # mean share of samples truncated; or without an answer, if that explains it or fewer are truncated
    whole: bool  # whether nearly all samples were truncated, or simply have no answer


def find_lost_answers(rows: list[Row]) -> list[Lost]:
    """Returns which candidates lost nearly all answers: after RL, or before it without a score from this run."""
    shares = []
    for row in rows:
        early = row.score is None or row.elsewhere
        seen = row.predictors.by_products if early else row.benchmark
        unjudged = row.predictors.by_products.verifier_unknown if early else row.benchmark.unknown
        cut, lost = seen.truncated or 0.0, max(seen.truncated or 0.0, seen.unreadable or 0.0)
        # A truncated sample has no answer: the form is to blame only if most of the samples without one ended by themselves.
        why = UNCLEAR if seen.truncated is None else TRUNCATED if 2 * cut >= lost else NO_ANSWER
        why = NOT_JUDGED if (unjudged or 0.0) > lost else why
        if (seen.truncated, seen.unreadable, unjudged) != (None, None, None):
            shares.append((row.name, why, cut, max(lost, unjudged or 0.0)))
    found = []
    for why in CAUSES:
        alike = [(name, cut, lost) for name, cause, cut, lost in shares if cause == why]
        nearly = [entry for entry in alike if entry[2] >= NEARLY_ALL]
        everywhere = len(alike) > len(rows) / 2 and statistics.fmean(lost for *_, lost in alike) >= NEARLY_ALL
        if told := alike if everywhere else nearly:
            cut, lost = statistics.fmean(cut for _, cut, _ in told), statistics.fmean(lost for *_, lost in told)
            whole = why != TRUNCATED or cut >= NEARLY_ALL
            share = cut if why == TRUNCATED and whole else lost
            found.append(Lost(why, [name for name, *_ in told], everywhere, share, whole))
    return found
