"""How figures, intervals, names and verdicts are written, in the report and on the terminal."""

import statistics
from collections.abc import Sequence

from rlready.analysis.comparison import Interval, Row, Shares
from rlready.gate.lead import Lead, read_interval
from rlready.records.outcome import STAGE_NAMES, BenchmarkRecord, name_end
from rlready.records.verdicts import Forecast

MISSING = "–"
MOST_NAMES = 4


def show(value: float | None, digits: int = 3) -> str:
    """Returns a figure, or a dash."""
    return MISSING if value is None else f"{value:z.{digits}f}"


def show_estimate(value: float | None, interval: Interval | None, digits: int = 2) -> str:
    """Returns a figure followed by its interval, whose ends have this many digits."""
    if value is None or interval is None:
        return show(value)
    return f"{value:z.3f} [{interval[0]:z.{digits}f}, {interval[1]:z.{digits}f}]"


def show_with_error(value: float | None, error: float | None) -> str:
    """Returns a figure ± its standard error; an error of 0 is left out, because it says nothing."""
    return f"{show(value)} ± {show(error)}" if error else show(value)


def show_forecast(forecast: Forecast) -> str:
    """Returns a forecast with its interval, or why there is none."""
    if not forecast.made:
        return f"unknown, {forecast.reason or 'not made'}"
    return show_estimate(forecast.predicted, read_interval([forecast.low, forecast.high]))


def show_mean(values: Sequence[float | None]) -> str:
    """Returns the mean of the known figures ± their standard deviation, and how many are known if some are missing."""
    known = [value for value in values if value is not None]
    if not known:
        return MISSING
    shown = show_with_error(statistics.fmean(known), statistics.stdev(known) if len(known) > 1 else None)
    return shown + (f" ({len(known)} of {len(values)})" if len(known) < len(values) else "")


def show_score(row: Row) -> str:
    """Returns Pass@1 on the benchmark, as `show_pass_at_1`, with a mark if it is external."""
    return show_pass_at_1(row.benchmark) + (" (external)" if row.elsewhere else "")


def show_pass_at_1(scored: BenchmarkRecord) -> str:
    """Returns Pass@1 with its interval, or ± its standard error if no interval was recorded."""
    if interval := read_interval(scored.interval):
        return show_estimate(scored.pass_at_1, interval, 3)
    return show_with_error(scored.pass_at_1, scored.standard_error)


def show_pass_at_k(row: Row) -> str:
    """Returns Pass@k before RL with its interval, or the interval alone if sampling was sequential."""
    if row.sequential:
        return "{:.2f}-{:.2f}".format(*row.pass_at_k_interval or ())
    return show_estimate(row.pass_at_k, row.pass_at_k_interval)


def show_result(row: Row) -> str:
    """Returns sampled Pass@1, followed by greedy Pass@1 if that is known."""
    greedy = row.greedy_score
    return show_score(row) + ("" if greedy is None else f" (greedy {greedy:.3f})")


def show_shares(lost: Shares) -> str:
    """Returns which shares of the samples were truncated, have no answer and, if any, could not be judged."""
    known = [("truncated", lost.truncated), ("no answer", lost.no_answer), ("not judged", lost.not_judged or None)]
    return ", ".join(f"{name} {show_percent(share)}" for name, share in known if share is not None)


def show_percent(share: float) -> str:
    """Returns a share in percent; only none is 0% and only all is 100%."""
    if 0 < share <= 0.005 or 0.995 <= share < 1:
        return "< 1%" if share < 0.5 else "> 99%"
    return f"{100 * share:.0f}%"


def show_verdict(row: Row) -> str:
    """Returns the gate's verdict and what went wrong after it, or what failed before it."""
    failed = f"{STAGE_NAMES[row.failure.stage]} failed" if row.failure else ""
    if row.failed_early:
        return failed
    race, marks = row.outcome.race, ["audited"] * row.verdict.audited
    if race and race.place is not None:  # without a place it failed before
        marks += ["race audited"] * race.audited if race.goes_on else [f"dropped at step {race.step}"]
    marks += [name_end(row.stopped)] if row.stopped else []
    return (row.verdict.decision or MISSING) + "".join(f" ({mark})" for mark in (*marks, failed) if mark)


def explain_end(reason: str) -> str:
    """Returns what happened to RL that ended early, or had nothing to learn from, as the predicate of a sentence."""
    return f"had {reason}" if reason.startswith("no signal") else f"ended early, {reason}"


def show_regret(regret: float, lead: Lead | None) -> str:
    """Returns the regret of a choice, with the interval of the best setting's lead over the chosen one."""
    return lead.describe() if lead else f"{regret:z.3f}"


def label_kind(kind: str) -> str:
    """Returns what a kind of samples is called; its name in records is older."""
    return "no answer" if kind == "unreadable" else kind


def show_lead(row: Row) -> str:
    """Returns a candidate's lead over the next with the interval; a dash for the last."""
    standing = row.verdict.standing
    if standing is None or standing.lead is None:
        return MISSING
    shown = Lead(standing.lead, standing.low, standing.high).describe()
    return shown + ("" if standing.sure or standing.low is None else ", may be chance")


def count(number: int, noun: str) -> str:
    """Returns a number with its noun."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def count_of(part: int, whole: int, noun: str) -> str:
    """Returns a part of some things: "2 of 3 runs", "all 3 runs", "both runs", "the only run", "none of 3 runs", "no run"."""
    if not part:
        return f"none of {count(whole, noun)}" if whole > 1 else f"no {noun}"
    if part == whole:
        return {1: f"the only {noun}", 2: f"both {noun}s"}.get(whole, f"all {whole} {noun}s")
    return f"{part} of {whole} {noun}s"


def count_them(part: int, whole: int) -> str:
    """Returns a part of what was named before: "2 of them", "all of them", "none of them", or "it" if there is one."""
    if part == whole:
        return "it" if whole == 1 else "all of them"
    return f"{part or 'none'} of them"


def name_some(names: Sequence[str]) -> str:
    """Returns the first names, and how many more there are."""
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more
