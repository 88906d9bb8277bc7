"""Verdicts of the gate, and the figures that they rest on."""

from dataclasses import dataclass, field
from typing import Annotated

from rlready.records.serialization import Record
from rlready.records.values import Amount, Count, Share, one_of


@dataclass(frozen=True, kw_only=True)
class GateNumbers(Record):
    """The figures that a verdict rests on; what was not measured is None. Pass@k and coverage kept are at the gate's k.

    Coverage kept of a candidate without SFT is what the base model keeps of itself.
    """

    k: Count | None = None
    pass_at_1: Share | None = None
    pass_at_k: Share | None = None
    pass_at_k_low: Share | None = None
    pass_at_k_high: Share | None = None
    base_pass_at_k: Share | None = None
    pass_at_k_over_base: float | None = None
    generalization_loss: Amount | None = None
    loss_rise: float | None = None
    verifier_disagreement: Share | None = None
    verifier_unknown: Share | None = None
    rank: Count | None = None
    ranked: Count | None = None
    coverage_kept: Share | None = None
    coverage_kept_low: Share | None = None
    coverage_kept_high: Share | None = None


@dataclass(frozen=True)
class Forecast(Record):
    """Expected post-RL Pass@1 with its 95% prediction interval, or the reason why there is none."""

    predicted: float | None = None
    low: float | None = None
    high: float | None = None
    points: Count | None = None  # finished runs that it rests on
    predictor: str = ""
    reason: str = ""
    elsewhere: Count | None = None  # of the points, those with external results
    tried: list = field(default_factory=list)  # second predictors, in records of older versions

    @property
    def made(self) -> bool:
        """Whether there is one."""
        return None not in (self.predicted, self.low, self.high)


@dataclass(frozen=True)
class Standing(Record):
    """A candidate's rank by the gate's predictor, and its lead over the next candidate."""

    place: Count  # from 1
    ranked: Count  # number of candidates with a place
    ahead_of: str = ""  # candidate at the next place; empty for the last
    lead: float | None = None  # over that candidate, with its 95% interval over the problems that both were measured on
    low: float | None = None
    high: float | None = None

    @property
    def sure(self) -> bool:
        """Whether the order of the two is unlikely to be chance."""
        return self.low is not None and self.low > 0

    def find_fault(self) -> str:
        """Returns how its values contradict each other."""
        missing = len({value is None for value in (self.lead, self.low, self.high)}) > 1
        return "of its lead and interval only a part is known" if missing else super().find_fault()


@dataclass(frozen=True)
class RaceVerdict(Record):
    """What the race decided about a candidate, and why."""

    goes_on: bool  # whether RL goes on after the race
    reason: str  # one line
    step: Count | None = None  # of the validation that it rests on; smaller than the race's if RL ended earlier
    place: Count | None = None  # by Pass@1 in validation, from 1
    raced: Count | None = None  # number of candidates with a place
    lead: float | None = None  # over the best one, so 0 or negative; its interval holds for all candidates together
    low: float | None = None
    high: float | None = None
    audited: bool = False  # goes on although it was dropped
    propensity: Share | None = None  # probability with which a candidate with this result goes on
    drawn_by: str | None = None  # id of the run that drew the audit
    forecast: Forecast = field(default_factory=Forecast)  # of the result of RL, from the validation at the race


@dataclass(frozen=True)
class Verdict(Record):
    """What the gate decided, and why."""

    candidate_id: str
    decision: Annotated[str, one_of("approved", "rejected", "undecided")]
    proceed: bool  # whether RL runs; differs from approved in the modes audit and off, and for the audited
    reason: str  # one line
    mode: Annotated[str, one_of("enforce", "audit", "off")] = "enforce"
    propensity: Share | None = None  # probability with which RL runs for a candidate with this decision
    audited: bool = False  # RL runs although the candidate was not approved
    numbers: GateNumbers = field(default_factory=GateNumbers)
    forecast: Forecast = field(default_factory=Forecast)
    standing: Standing | None = None  # None if it was not measured
    drawn_by: str | None = None  # id of the run that drew the gate audit; None without one, and in some older records
