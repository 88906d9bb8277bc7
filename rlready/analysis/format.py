"""How the report writes figures, intervals, names and verdicts."""

import statistics
from collections.abc import Sequence

from rlready.analysis.comparison import Interval, Row, read_interval
from rlready.records.outcome import STAGE_NAMES
from rlready.stats.intervals import estimate_interval

MISSING = "–"
MOST_NAMES = 4


def show(value: float | None, digits: int = 3) -> str:
    """Returns a figure, or a dash."""
    return MISSING if value is None else f"{value:.{digits}f}"


def show_estimate(value: float | None, interval: Interval | None, digits: int = 2) -> str:
    """Returns a figure with its interval behind it, whose ends have so many digits."""
    if value is None or interval is None:
        return show(value)
    return f"{value:.3f} [{interval[0]:.{digits}f}, {interval[1]:.{digits}f}]"


def show_with_error(value: float | None, error: float | None) -> str:
    """Returns a figure ± its standard error; an error of 0 says nothing and is left out."""
    return f"{show(value)} ± {show(error)}" if error else show(value)


def show_signed(value: float, interval: Interval | None) -> str:
    """Returns a difference with its interval behind it."""
    shown = MISSING if interval is None else f"{interval[0]:+.2f}, {interval[1]:+.2f}"
    return f"{value:+.2f} [{shown}]"


def show_mean(values: Sequence[float | None]) -> str:
    """Returns the mean of the figures that are there ± their standard deviation, which says nothing where all are alike.

    Where some are missing it says of how many it is.
    """
    known = [value for value in values if value is not None]
    if not known:
        return MISSING
    shown = show_with_error(statistics.fmean(known), statistics.stdev(known) if len(known) > 1 else None)
    return shown + (f" ({len(known)} of {len(values)})" if len(known) < len(values) else "")


def show_score(row: Row) -> str:
    """Returns Pass@1 on the benchmark with its interval, or ± its standard error where no interval was recorded.

    A result from elsewhere says so.
    """
    interval = read_interval(row.benchmark.interval)
    if interval:
        return show_estimate(row.score, interval, 3)
    return show_with_error(row.score, row.benchmark.standard_error) + " (elsewhere)" * bool(row.elsewhere)


def show_result(row: Row) -> str:
    """Returns both main results: Pass@1 of samples, and behind it that of greedy decoding where it is known."""
    greedy = row.greedy_score
    return show_score(row) + ("" if greedy is None else f" (greedy {greedy:.3f})")


def show_greedy(share: float | None, problems: int | None) -> str:
    """Returns the share of problems solved greedily with its interval, which one benchmark allows and a mean does not."""
    if share is None or not problems:
        return show(share)
    solved = round(share * problems)
    return show_estimate(share, estimate_interval([1.0] * solved + [0.0] * (problems - solved)))


def show_shares(truncated: float | None, unreadable: float | None, unknown: float | None) -> str:
    """Returns which share of the samples was cut off, has no readable answer, and no verdict if there is any such."""
    known = [("cut", truncated), ("unreadable", unreadable), ("without verdict", unknown or None)]
    return ", ".join(f"{name} {show_percent(share)}" for name, share in known if share is not None)


def show_percent(share: float) -> str:
    """Returns a share in percent, where only nothing is 0 and only all is 100."""
    if 0 < share < 0.005 or 0.995 <= share < 1:
        return "< 1 %" if share < 0.5 else "> 99 %"
    return f"{100 * share:.0f} %"


def show_verdict(row: Row) -> str:
    """Returns what became of a candidate: the gate's verdict, with what went wrong after it, or what failed before it."""
    failed = row.failure and f"{STAGE_NAMES[row.failure.stage]} failed"
    if row.failed_early:
        return failed
    marks = ["audited"] * row.verdict.audited + ["RL without signal"] * bool(row.stopped) + ([failed] if failed else [])
    return (row.verdict.decision or MISSING) + "".join(f" ({mark})" for mark in marks)


def count(number: int, noun: str) -> str:
    """Returns a number with its noun."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def name_some(names: Sequence[str]) -> str:
    """Returns the first names, and how many more there are."""
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more
