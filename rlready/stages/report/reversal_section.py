"""Which pairs of settings RL reversed."""

from rlready.analysis.comparison import Row
from rlready.analysis.format import count, name_some
from rlready.analysis.reversals import find_reversals
from rlready.stages.report.document import Section

TITLE = "Which settings swapped ranks in RL?"
MOST = 10  # pairs in the table
NOTES = [
    "Both differences exceed what the noise between seeds would give in any pair in 5 of 100 studies (Student's test,"
    " Bonferroni's correction for all pairs)."
]


def describe_reversals(rows: list[Row]) -> Section:
    """Returns the section on the rank reversals."""
    found = find_reversals(rows)
    if found is None:
        return Section(TITLE, ["The noise between seeds is unknown: no setting has finished RL with two seeds."])
    apart = [f"Excluded, because their seeds scatter more: {name_some(found.scattered)}."] if found.scattered else []
    looked = count(found.looked, "pair")
    if not found.pairs:
        return Section(TITLE, [f"None of {looked}, beyond the noise between seeds.", *apart])
    table = [["Ahead after SFT", "Ahead after RL", "Lead in SFT Pass@1", "Behind after RL"]]
    table += [[pair.ahead, pair.behind, f"{pair.lead:.3f}", f"{pair.loss:.3f}"] for pair in found.pairs[:MOST]]
    more = f" The table shows the {MOST} largest." if len(found.pairs) > MOST else ""
    return Section(TITLE, [f"{len(found.pairs)} of {looked}.{more}", *apart], table, NOTES)
