"""Which pairs of candidates RL reversed."""

from rlready.analysis.comparison import Row
from rlready.analysis.format import count, name_some
from rlready.analysis.reversals import MOST, TITLE, find_inversions
from rlready.stages.report.document import Section


def describe_inversions(rows: list[Row]) -> Section:
    """Returns the section on the pairs that RL turned."""
    found = find_inversions(rows)
    if found is None:
        return Section(TITLE, ["No setting has finished RL with two seeds, so the noise to hold a pair against is unknown."])
    apart = (
        [f"Not looked at: {name_some(found.scattered)}, whose seeds scatter more than those of the others."]
        if found.scattered
        else []
    )
    looked = count(found.looked, "pair")
    if not found.pairs:
        return Section(TITLE, [f"None of {looked}, beyond the noise between seeds.", *apart])
    table = [["Ahead after SFT", "Ended before it", "Lead in SFT Pass@1", "Behind after RL"]]
    table += [[i.ahead, i.behind, f"{i.lead:.3f}", f"{i.loss:.3f}"] for i in found.pairs[:MOST]]
    more = f" The table shows the {MOST} that RL turned most." if len(found.pairs) > MOST else ""
    notes = [
        "Both differences are beyond what the noise between seeds would give in any pair in 5 of 100 studies (Student's test,"
        " Bonferroni's correction for all pairs)."
    ]
    return Section(TITLE, [f"{len(found.pairs)} of {looked}.{more}", *apart], table, notes)
