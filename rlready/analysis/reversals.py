"""Pairs of settings that RL turned: the one was ahead after SFT and ended behind, both beyond the noise between seeds."""

import itertools
import math
from dataclasses import dataclass

from rlready.analysis.comparison import Row, Setting, group_settings
from rlready.stats.intervals import LEVEL
from rlready.stats.variation import find_scattered, pool_deviation

TITLE = "Which pairs of settings did RL turn?"
MOST = 10  # pairs in the table


@dataclass(frozen=True)
class Inversion:
    """A pair that RL turned.

    Attributes:
        ahead: Name of the setting with more Pass@1 after SFT.
        behind: Name of the other.
        lead: How much more, in the mean over seeds.
        loss: How much lower the first ended after RL, in the mean over seeds.
    """

    ahead: str
    behind: str
    lead: float
    loss: float


@dataclass(frozen=True)
class Turned:
    """What RL did to the order of the settings.

    Attributes:
        pairs: That it turned, the largest loss first.
        looked: How many pairs were looked at.
        scattered: Names of the settings in none of them, because their seeds scatter more than those of the others.
    """

    pairs: list[Inversion]
    looked: int
    scattered: list[str]


def find_inversions(rows: list[Row]) -> Turned | None:
    """Returns the pairs that RL turned.

    A pair counts where each of the two differences of means, before and after, exceeds what chance gives in 5 of 100 studies
    in any pair at all: Student's test with the deviation between seeds pooled over settings, and Bonferroni's correction for
    the number of pairs. Both must hold, so the chance of a false pair is no greater than that of one of them alone. One noise
    for all needs seeds that scatter alike, so settings that scatter more are left out.

    Returns:
        None where no setting repeats, so that the noise is unknown.
    """
    settings = [s for s in group_settings(rows) if s.scores and all(row.sft_pass_at_1 is not None for row in s.rows)]
    # Without SFT all seeds share one measurement, which says nothing of the noise between them.
    before = [_list_before(setting) for setting in settings]
    after = [setting.scores for setting in settings]
    apart = {number for values in (before, after) for number in find_scattered(values)}
    scattered = [setting.name for number, setting in enumerate(settings) if number in apart]
    settings, before, after = (
        [one for number, one in enumerate(ones) if number not in apart] for ones in (settings, before, after)
    )
    noises = pool_deviation(before), pool_deviation(after)
    pairs = list(itertools.combinations(range(len(settings)), 2))
    if None in noises or not pairs:
        return None
    from scipy.special import stdtrit

    limits = [deviation * float(stdtrit(freedom, 1 - (1 - LEVEL) / 2 / len(pairs))) for deviation, freedom in noises]
    found = []
    for pair in pairs:
        (lead, sure), (gain, surely) = (
            _compare(values, pair, limit) for values, limit in zip((before, after), limits, strict=True)
        )
        if sure and surely and lead * gain < 0:
            first, second = pair if lead > 0 else pair[::-1]
            found.append(Inversion(settings[first].name, settings[second].name, abs(lead), abs(gain)))
    return Turned(sorted(found, key=lambda inversion: -inversion.loss), len(pairs), scattered)


def _list_before(setting: Setting) -> list[float]:
    values = [row.sft_pass_at_1 for row in setting.rows]
    return values[:1] if setting.rows[0].candidate.is_base else values


def _compare(values: list[list[float]], pair: tuple[int, int], limit: float) -> tuple[float, bool]:
    """Returns the difference of two means, and whether it is beyond the limit for single values."""
    one, other = (values[number] for number in pair)
    difference = sum(one) / len(one) - sum(other) / len(other)
    return difference, abs(difference) > limit * math.sqrt(1 / len(one) + 1 / len(other))
