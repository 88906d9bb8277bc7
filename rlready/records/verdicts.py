"""What the gate says of a candidate: records that cross to what follows, as those of records.py do."""

from dataclasses import dataclass, field

from rlready.records.serialization import Record


@dataclass(frozen=True)
class GateNumbers(Record):
    """The figures that a verdict rests on; what was not measured is None. Pass@k is at the gate's k.

    Coverage kept (`estimators.coverage`) is within that k too; of a candidate without SFT it is what the base model keeps of
    itself.
    """

    k: int | None = None
    pass_at_1: float | None = None
    pass_at_k: float | None = None
    pass_at_k_low: float | None = None
    pass_at_k_high: float | None = None
    base_pass_at_k: float | None = None
    pass_at_k_over_base: float | None = None
    generalization_loss: float | None = None
    loss_rise: float | None = None
    verifier_disagreement: float | None = None
    verifier_unknown: float | None = None
    rank: int | None = None
    ranked: int | None = None
    coverage_kept: float | None = None
    coverage_kept_low: float | None = None
    coverage_kept_high: float | None = None


@dataclass(frozen=True)
class Forecast(Record):
    """Post-RL Pass@1 to expect, with its 95 % prediction interval; or the reason why there is none.

    Attributes:
        points: Finished runs that it rests on.
        predictor: What it is told by.
        elsewhere: How many of the points are results of RL in other systems.
    """

    predicted: float | None = None
    low: float | None = None
    high: float | None = None
    points: int | None = None
    predictor: str = ""
    reason: str = ""
    elsewhere: int | None = None
    tried: list = field(default_factory=list)  # second predictors, in records of older versions

    @property
    def made(self) -> bool:
        """Whether there is one."""
        return None not in (self.predicted, self.low, self.high)


@dataclass(frozen=True)
class Standing(Record):
    """A candidate's place by what the gate ranks by, and how sure it is.

    Attributes:
        place: Counted from 1.
        ranked: How many have one.
        ahead_of: The candidate at the next place; empty for the last.
        lead: How far it is ahead of that one.
        low: Lower end of the 95 % interval of the lead, over the problems that both were measured on.
        high: Its upper end.
    """

    place: int
    ranked: int
    ahead_of: str = ""
    lead: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def sure(self) -> bool:
        """Whether the order of the two is beyond chance."""
        return self.low is not None and self.low > 0


@dataclass(frozen=True)
class Verdict(Record):
    """What the gate decided, and why.

    Attributes:
        candidate_id: Whose verdict.
        decision: approved, rejected or undecided.
        proceed: Whether RL runs; differs from approved in the modes audit and off, and for the audited.
        reason: One line a person can read.
        mode: enforce, audit or off.
        propensity: Probability with which RL runs for a candidate with this decision; weights what the audit finds.
        audited: Whether RL runs although the candidate was not approved.
        drawn_by: Id of the run that drew the audit; None if there was none, or an older version drew it by the seed alone.
        numbers: The figures that the decision rests on.
        forecast: What to expect of RL.
        standing: Its place before RL; None where it was not measured.
    """

    candidate_id: str
    decision: str
    proceed: bool
    reason: str
    mode: str = "enforce"
    propensity: float | None = None
    audited: bool = False
    numbers: GateNumbers = field(default_factory=GateNumbers)
    forecast: Forecast = field(default_factory=Forecast)
    standing: Standing | None = None
    drawn_by: str | None = None
