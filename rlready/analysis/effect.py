"""What RL gained and what it broke: the same problems before and after it."""

from dataclasses import dataclass
from typing import Any

from rlready.analysis.comparison import Row
from rlready.analysis.format import name_some, show
from rlready.gate.lead import SCORE, Lead, measure_lead, read_figure
from rlready.records.outcome import BenchmarkRecord, Outcome
from rlready.stats.pass_at_k import choose_k

LOST, UNKNOWN = "lost", "unknown"


@dataclass(frozen=True)
class Change:
    """One measure before and after RL."""

    what: str
    before: float
    after: float
    gain: Lead  # paired by problem

    @property
    def said(self) -> str:
        """What it means: gained or lost, clearly or perhaps."""
        if self.gain.low is None or self.gain.high is None:
            return UNKNOWN
        if self.gain.low > 0 or self.gain.high < 0:
            return "gained" if self.gain.low > 0 else LOST
        return "the same" if self.after == self.before else f"perhaps {'gained' if self.after > self.before else LOST}"

    def describe(self) -> str:
        """Returns both figures, the gain with its interval, and what it means."""
        return f"{show(self.before)} → {show(self.after)}, {self.gain.describe()}: {self.said}"


def list_changes(row: Row, k: int | None) -> list[Change]:
    """Returns what is known of a candidate before and after RL: Pass@1, each off-target benchmark, and coverage (Pass@k).

    Coverage is at the gate's k, or the largest that was sampled after RL.
    """
    outcome, effect = row.outcome, row.outcome.effect
    if effect is None:
        return []
    measured = [("Pass@1", effect.before, outcome.benchmark)]
    before = dict(_split(effect.off_target_before))
    measured += [(f"{name} (off target)", before[name], after) for name, after in _split(effect.off_target) if name in before]
    found = []
    for what, *records in measured:
        earlier, later = (Outcome(outcome.candidate, benchmark=record) for record in records)
        start, end = earlier.scored.pass_at_1, later.scored.pass_at_1
        if start is not None and end is not None:
            found.append(Change(what, start, end, measure_lead(later, earlier, SCORE)))
    if effect.predictors:
        most = effect.predictors.samples
        at, later = k if k and k <= most else choose_k(most), Outcome(outcome.candidate, predictors=effect.predictors)
        one, other = (read_figure(some, "pass_at_k", at) for some in (outcome, later))
        if one and other:
            gain = measure_lead(later, outcome, "pass_at_k", at)
            found.append(Change(f"Pass@{at} of the predictors' problems", one.mean, other.mean, gain))
    return found


def describe_lost(changes: dict[str, list[Change]]) -> list[str]:
    """Returns in sentences what of each candidate is clearly lower after RL, and for whom that is unknown."""
    lost = {name: [change.what for change in mine if change.said == LOST] for name, mine in changes.items()}
    broken = [f"{name} ({', '.join(found)})" for name, found in lost.items() if found]
    unsure = [name for name, mine in changes.items() if any(change.said == UNKNOWN for change in mine)]
    said = [f"Clearly lower after RL: {'; '.join(broken)}."] if broken else []
    said += [] if broken or len(unsure) == len(changes) else ["Nothing is clearly lower after RL."]
    return said + ([f"Unknown for {name_some(unsure)}, in part or whole: there is no interval."] if unsure else [])


def _split(record: BenchmarkRecord | None) -> list[tuple[str, BenchmarkRecord]]:
    """Returns the record of each benchmark, with its counts if they are known."""
    if record is None:
        return []
    split, first = [], 0
    for name, problems, pass_at_1, standard_error, _ in record.benchmarks:
        lists = {part: values for part in ("problem_ids", "correct", "groups") if (values := getattr(record, part))}
        own: dict[str, Any] = {part: values[first : first + problems] for part, values in lists.items()}
        split.append((name, BenchmarkRecord(pass_at_1, standard_error, problems=problems, samples=record.samples, **own)))
        first += problems
    return split
