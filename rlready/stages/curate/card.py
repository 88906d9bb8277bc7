"""The dataset card: what was read, kept and left out, with reasons and places."""

from collections import Counter
from collections.abc import Iterable, Mapping

from rlready.stages.curate.duplicates.contamination import Match
from rlready.verifier import describe_reference

EXAMPLES_OF_A_REASON = 3
CHARACTERS_OF_AN_EXAMPLE = 300
# Usable rows that no set takes.
NOT_DRAWN = "not drawn: more than"
NOT_SCORED = "not drawn: only kept out of training"


class Tally:
    """Counts rows by set and reason, with the places of the first few."""

    def __init__(self):
        self.counts: Counter = Counter()
        self.places: dict[tuple[str, str], list[str]] = {}

    def add(self, use: str, reason: str, place: str) -> None:
        """Counts one row."""
        self.counts[use, reason] += 1
        self.locate(use, reason, place)

    def locate(self, use: str, reason: str, place: str) -> None:
        """Adds the place of a row that is counted already."""
        places = self.places.setdefault((use, reason), [])
        if len(places) < EXAMPLES_OF_A_REASON:
            places.append(place)

    def count(self, use: str) -> str:
        """Returns the reasons of one set with their counts, for a message."""
        return "; ".join(f"{rows} x {reason}" for (name, reason), rows in sorted(self.counts.items()) if name == use)

    def describe(self) -> list[dict]:
        """Returns one entry per set and reason."""
        return [
            {"set": use, "reason": reason, "rows": count, "first": self.places.get((use, reason), [])}
            for (use, reason), count in sorted(self.counts.items())
        ]


class Dropped(Tally):
    """Counts rows that are left out, with examples of those that resemble another."""

    def __init__(self):
        super().__init__()
        self.parts = Tally()  # what was changed in rows that are kept
        self.examples: dict[tuple[str, str], list[dict]] = {}
        self.matches: Counter = Counter()  # rows that are evaluation problems, by set, evaluation set and reason

    def show(self, use: str, reason: str, place: str, text: str, other: str, **more) -> None:
        """Adds the texts of a row that was left out and of the one that it resembles, for the first few."""
        shown = self.examples.setdefault((use, reason), [])
        if len(shown) < EXAMPLES_OF_A_REASON:
            texts = {"text": text[:CHARACTERS_OF_AN_EXAMPLE], "other": other[:CHARACTERS_OF_AN_EXAMPLE]}
            shown.append({"place": place} | texts | more)

    def add_match(self, use: str, place: str, question: str, match: Match, exact: bool) -> None:
        """Counts one row that is also an evaluation problem."""
        reason = "also an evaluation problem" if exact else "nearly an evaluation problem"
        self.matches[use, match.benchmark, reason] += 1
        self.add(use, reason, place)
        more = {"benchmark": match.benchmark, "overlap": round(match.overlap, 3)}
        self.show(use, reason, place, question, match.question, **more)

    def describe(self) -> list[dict]:
        """Returns one entry per set and reason."""
        shown = ((entry, self.examples.get((entry["set"], entry["reason"]))) for entry in super().describe())
        return [entry | ({"examples": examples} if examples else {}) for entry, examples in shown]

    def describe_matches(self) -> list[dict]:
        """Returns one entry per training set, evaluation set and kind of match."""
        return [
            {"set": use, "benchmark": benchmark, "reason": reason, "rows": count}
            for (use, benchmark, reason), count in sorted(self.matches.items())
        ]


def balance_rows(read: Counter, sets: Mapping[str, dict | None], dropped: Dropped) -> list[dict]:
    """Returns for each use of a source the rows read, those in its sets, and those left out.

    Raises RuntimeError if a row is in no set and not counted, or counted twice.
    """
    made = {"sft": ["sft", "heldout"], "rl": [], "evaluation": ["benchmark"], "predictors": [], "decontaminate": []}
    made["rl" if "rl" in read else "sft"] += ["rl", "validation"]
    made["predictors" if "predictors" in read else "evaluation"].append("predictors")
    balance = []
    for use in filter(read.__contains__, made):
        rows = {name: entry["rows"] for name in made[use] if (entry := sets.get(name))}
        names = (use, "benchmark") if use == "evaluation" else (use,)
        left = sum(count for (name, _), count in dropped.counts.items() if name in names)
        if read[use] != sum(rows.values()) + left:
            raise RuntimeError(f"curate read {read[use]} rows as {use}, but {rows} are in sets and {left} left out")
        balance.append({"use": use, "read": read[use], "sets": rows, "left_out": left})
    return balance


def describe_groups(groups: Iterable) -> dict[str, float | None]:
    """Returns the numbers of problems, of groups, of problems in the largest group, and of problems that they are worth."""
    sizes = Counter(groups)
    problems, squares = sizes.total(), sum(size * size for size in sizes.values())
    effective = round(problems**2 / squares, 1) if squares else None  # Kish's number
    largest = max(sizes.values(), default=0)
    return {"problems": problems, "groups": len(sizes), "largest": largest, "effective": effective}


def count_by_text(sets: Mapping[str, Iterable[dict]]) -> list[dict]:
    """Returns per set and benchmark how many problems have a reference answer that only the same text matches."""
    counts: dict[tuple[str, str], Counter] = {}
    for name, rows in sets.items():
        for row in rows:
            kind = describe_reference(row["answer"], row["format"])
            counts.setdefault((name, row.get("benchmark", "")), Counter())[kind] += 1
    return [
        {"set": name, "benchmark": benchmark, "problems": kinds.total(), "by_text": kinds["text"]}
        for (name, benchmark), kinds in counts.items()
    ]


def describe_card(card: dict) -> str:
    """Returns the dataset card as Markdown."""
    rows: list[tuple] = []
    for name, entry in card["sets"].items():
        quantiles = " / ".join(f"{value:.0f}" for value in entry["characters"].values())
        rows.append((name, entry["rows"], entry["problems"], quantiles, entry["digest"]))
    lines = ["# Dataset card", *_write_table("set | rows | problems | characters p10 / p50 / p90 | digest", rows)]
    rows = [(name, some["revision"], some["rows"] or "endless", some["licence"]) for name, some in card["sources"].items()]
    lines += ["", f"Seed {card['seed']}.", *_write_table("source | revision or digest | rows read | licence", rows)]
    rows = []
    for some in card["balance"]:
        kept = ", ".join(f"{name} {count}" for name, count in some["sets"].items())
        rows.append((some["use"], some["read"], kept or "none", some["left_out"]))
    lines += _write_table("used as | rows read | in sets | left out", rows)
    head = "near-duplicates, of one template or document | problems | groups | problems of the largest | effective problems"
    columns = ("problems", "groups", "largest", "effective")
    lines += _write_table(head, [(use, *(some[key] or "–" for key in columns)) for use, some in card["groups"].items()])
    for head, key in (("left out of | reason", "dropped"), ("changed in rows that are kept | what", "parts")):
        rows = [(some["set"], some["reason"], some["rows"], ", ".join(some["first"])) for some in card[key]]
        lines += _write_table(f"{head} | rows | first", rows) if rows else []
    rows = [(some["set"], some["benchmark"], some["reason"], some["rows"]) for some in card["contamination"]]
    lines += _write_table("left out of | evaluation set | reason | rows", rows) if rows else []
    lines += [*_describe_references(card["golds"]), *_describe_pass_rates(card.get("pass_rates"))]
    if card["text"]:
        lines += [
            "",
            "A held-out prompt, and the solution that is trained after it. The chat template of the base model is added to the",
            "prompt, and its end token to the solution; plan shows both.",
        ]
        lines += [line for text in card["text"].values() for line in ("", "```text", text, "```")]
    for entry in card["dropped"]:
        for example in entry.get("examples", ()):
            overlap = f", overlap {example['overlap']}" if "overlap" in example else ""
            lines += ["", f"{entry['set']}, {entry['reason']}: {example['place']}{overlap}", ""]
            lines += [f"> {' '.join(example[side].split())}\n>" for side in ("text", "other")]
    return "\n".join(lines) + "\n"


def _write_table(heads: str, rows: Iterable[tuple]) -> list[str]:
    lines = [f"| {' | '.join(map(str, row))} |" for row in rows]
    return ["", f"| {heads} |", "|---" * (heads.count("|") + 1) + "|", *lines]


def _describe_references(counts: list[dict]) -> list[str]:
    if not any(some["by_text"] for some in counts):
        return []
    about = (
        "Problems whose reference answer can only be matched as text: a right answer in other words counts as wrong."
        " RL uses none of them."
    )
    rows = []
    for some in counts:
        name = ", ".join(filter(None, (some["set"], some["benchmark"])))
        rows.append((name, some["problems"], some["by_text"], f"{some['by_text'] / some['problems']:.1%}"))
    return ["", about, *_write_table("set | problems | matched as text only | share", rows)]


def _describe_pass_rates(rates: dict | None) -> list[str]:
    if not rates:
        return []
    low, high = rates["limits"]
    about = (
        f"Right samples of the base model, {rates['samples']} per problem (standard error of a rate at most"
        f" {0.5 / rates['samples'] ** 0.5:.2f}; kept: {low:g} to {high:g}):"
    )
    return ["", about, *_write_table("right samples | RL problems sampled", enumerate(rates["problems_by_right_samples"]))]
