"""Rank reversals: one setting leads after SFT and ends behind after RL, both beyond the noise between seeds."""

import itertools
from dataclasses import dataclass
from statistics import fmean

from rlready.analysis.comparison import Row, Setting, group_settings
from rlready.stats.intervals import LEVEL
from rlready.stats.variation import find_scattered, pool_deviation


@dataclass(frozen=True)
class Reversal:
    """A pair of settings, by name, that RL reversed.

    Attributes:
        ahead: The setting with more Pass@1 after SFT.
        behind: The other.
        lead: By how much, in the mean over seeds.
        loss: How far the first ended behind after RL, in the mean over seeds.
    """

    ahead: str
    behind: str
    lead: float
    loss: float


@dataclass(frozen=True)
class Reversals:
    """The reversed pairs, largest loss first, out of this many; and settings left out because their seeds scatter more."""

    pairs: list[Reversal]
    looked: int
    scattered: list[str]


def find_reversals(rows: list[Row]) -> Reversals | None:
    """Returns the pairs of settings that RL reversed; None if no setting repeats, so that the noise is unknown.

    A pair counts if each of the two differences of means, before and after, exceeds what chance gives in any pair at all in 5
    of 100 studies: Student's test with the deviation between seeds pooled over settings, and Bonferroni's correction for the
    number of pairs. Both must hold, so the chance of a false pair is no greater than that of one of them alone. Pooling needs
    seeds that scatter alike, so settings that scatter more are left out.
    """
    known = [s for s in group_settings(rows) if s.scores and all(row.sft_pass_at_1 is not None for row in s.rows)]
    values = [(_list_before(setting), setting.scores) for setting in known]
    apart = {number for phase in (0, 1) for number in find_scattered([both[phase] for both in values])}
    scattered = [setting.name for number, setting in enumerate(known) if number in apart]
    settings = [(setting.name, *values[number]) for number, setting in enumerate(known) if number not in apart]
    before, after = pool_deviation([one[1] for one in settings]), pool_deviation([one[2] for one in settings])
    pairs = list(itertools.combinations(settings, 2))
    if before is None or after is None or not pairs:
        return None
    from scipy.special import stdtrit

    limit_before, limit_after = (
        deviation * float(stdtrit(freedom, 1 - (1 - LEVEL) / 2 / len(pairs))) for deviation, freedom in (before, after)
    )
    found = []
    for (one, one_before, one_after), (other, other_before, other_after) in pairs:
        lead, gain = fmean(one_before) - fmean(other_before), fmean(one_after) - fmean(other_after)
        sure = abs(lead) > limit_before * (1 / len(one_before) + 1 / len(other_before)) ** 0.5
        surely = abs(gain) > limit_after * (1 / len(one_after) + 1 / len(other_after)) ** 0.5
        if sure and surely and lead * gain < 0:
            names = (one, other) if lead > 0 else (other, one)
            found.append(Reversal(*names, abs(lead), abs(gain)))
    return Reversals(sorted(found, key=lambda pair: -pair.loss), len(pairs), scattered)


def _list_before(setting: Setting) -> list[float]:
    """SFT Pass@1 of the seeds; without SFT they share one measurement, which says nothing about the noise between them."""
    values = [value for row in setting.rows if (value := row.sft_pass_at_1) is not None]
    return values[:1] if setting.rows[0].candidate.is_base else values
