"""The dataset card: what went in, what came out, and what was left out, why, and where."""

from collections import Counter
from collections.abc import Iterable, Mapping

from rlready.stages.curate.duplicates.contamination import Match

EXAMPLES_OF_A_REASON = 3
CHARACTERS_OF_AN_EXAMPLE = 300
# Rows that could be used, but that nothing asks for.
NOT_DRAWN = "not drawn: more than"
NOT_SCORED = "not drawn: only kept out of training"


class Tally:
    """Counts rows by set and reason, and remembers where the first few stand."""

    def __init__(self):
        self.counts: Counter = Counter()
        self.places: dict[tuple[str, str], list[str]] = {}

    def add(self, use: str, reason: str, place: str) -> None:
        """Counts one row, and remembers where the first few stand."""
        self.counts[use, reason] += 1
        self.locate(use, reason, place)

    def locate(self, use: str, reason: str, place: str) -> None:
        """Remembers where the first few rows of a set and reason stand."""
        places = self.places.setdefault((use, reason), [])
        if len(places) < EXAMPLES_OF_A_REASON:
            places.append(place)

    def count(self, use: str) -> str:
        """Returns the reasons of one set with their counts, for a message."""
        return "; ".join(f"{rows} x {reason}" for (name, reason), rows in sorted(self.counts.items()) if name == use)

    def describe(self) -> list[dict]:
        """Returns one entry a set and reason."""
        return [
            {"set": use, "reason": reason, "rows": count, "first": self.places.get((use, reason), [])}
            for (use, reason), count in sorted(self.counts.items())
        ]


class Dropped(Tally):
    """Counts the rows left out, with examples of those that are like another.

    Attributes:
        parts: Counts what was left out of, or added to, rows that stay.
        matches: Rows that are evaluation problems, by set, evaluation set and reason.
    """

    def __init__(self):
        super().__init__()
        self.parts = Tally()
        self.examples: dict[tuple[str, str], list[dict]] = {}
        self.matches: Counter = Counter()

    def show(self, use: str, reason: str, place: str, text: str, other: str, **more) -> None:
        """Remembers the first few pairs of a row that was left out and the one that it is like."""
        shown = self.examples.setdefault((use, reason), [])
        if len(shown) < EXAMPLES_OF_A_REASON:
            texts = {"text": text[:CHARACTERS_OF_AN_EXAMPLE], "other": other[:CHARACTERS_OF_AN_EXAMPLE]}
            shown.append({"place": place} | texts | more)

    def add_match(self, use: str, place: str, question: str, match: Match, exact: bool) -> None:
        """Counts one row that is an evaluation problem too."""
        reason = "also an evaluation problem" if exact else "nearly an evaluation problem"
        self.matches[use, match.benchmark, reason] += 1
        self.add(use, reason, place)
        more = {"benchmark": match.benchmark, "overlap": round(match.overlap, 3)}
        self.show(use, reason, place, question, match.question, **more)

    def describe(self) -> list[dict]:
        """Returns one entry a set and reason."""
        shown = ((entry, self.examples.get((entry["set"], entry["reason"]))) for entry in super().describe())
        return [entry | ({"examples": examples} if examples else {}) for entry, examples in shown]

    def describe_matches(self) -> list[dict]:
        """Returns one entry a training set, evaluation set and kind of match."""
        return [
            {"set": use, "benchmark": benchmark, "reason": reason, "rows": count}
            for (use, benchmark, reason), count in sorted(self.matches.items())
        ]


def balance_rows(read: Counter, sets: Mapping[str, dict | None], dropped: Dropped) -> list[dict]:
    """Returns for each use of a source the rows read, those in its sets, and those left out.

    Args:
        read: Rows by the use of their source.
        sets: Entries of the sets.
        dropped: Rows left out.

    Raises:
        RuntimeError: If a row is in no set and not counted, or counted twice.
    """
    made = {"sft": ["sft", "heldout"], "rl": [], "evaluation": ["benchmark"], "predictors": [], "decontaminate": []}
    made["rl" if "rl" in read else "sft"].append("rl")
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
    """Returns how many problems, groups and problems of the largest group there are, and of how many single ones' worth."""
    sizes = Counter(groups)
    problems, squares = sizes.total(), sum(size * size for size in sizes.values())
    effective = round(problems**2 / squares, 1) if squares else None  # Kish's number
    largest = max(sizes.values(), default=0)
    return {"problems": problems, "groups": len(sizes), "largest": largest, "effective": effective}


def describe_card(card: dict) -> str:
    """Returns the dataset card as Markdown."""
    lines = [
        "# Dataset card",
        "",
        "| set | rows | problems | characters p10 / p50 / p90 | digest |",
        "|---|---|---|---|---|",
    ]
    for name, entry in card["sets"].items():
        lengths = " / ".join(f"{v:.0f}" for v in entry["characters"].values())
        lines.append(f"| {name} | {entry['rows']} | {entry['problems']} | {lengths} | {entry['digest']} |")
    lines += [
        "",
        f"Seed {card['seed']}.",
        "",
        "| source | revision or digest | rows read | licence |",
        "|---|---|---|---|",
    ]
    for name, entry in card["sources"].items():
        lines.append(f"| {name} | {entry['revision']} | {entry['rows'] or 'endless'} | {entry['licence']} |")
    lines += _describe_balance(card)
    if card["dropped"]:
        lines += ["", "| left out of | reason | rows | first |", "|---|---|---|---|"]
        lines += [f"| {d['set']} | {d['reason']} | {d['rows']} | {', '.join(d['first'])} |" for d in card["dropped"]]
    if card["parts"]:
        lines += ["", "| changed in rows that stay in | what | rows | first |", "|---|---|---|---|"]
        lines += [f"| {p['set']} | {p['reason']} | {p['rows']} | {', '.join(p['first'])} |" for p in card["parts"]]
    if card["contamination"]:
        lines += ["", "| left out of | evaluation set | reason | rows |", "|---|---|---|---|"]
        lines += [f"| {m['set']} | {m['benchmark']} | {m['reason']} | {m['rows']} |" for m in card["contamination"]]
    lines += _describe_references(card["golds"])
    if "pass_rates" in card:
        rates = card["pass_rates"]
        low, high = rates["limits"]
        lines += [
            "",
            f"Right samples of the base model, {rates['samples']} a problem (standard error of a rate at most"
            f" {0.5 / rates['samples'] ** 0.5:.2f}; kept: {low:g} to {high:g}):",
            "",
            "| right samples | RL problems asked |",
            "|---|---|",
            *(f"| {right} | {problems} |" for right, problems in enumerate(rates["problems_by_right_samples"])),
        ]
    if card["text"]:
        lines += [
            "",
            "A held-out prompt, and the text of such an example that is trained behind it. The base model's chat template",
            "goes around the prompt and its end token behind the text; plan shows them with both.",
            "",
        ]
        lines += ["```text", card["text"]["prompt"], "```", "", "```text", card["text"]["solution"], "```"]
    for entry in card["dropped"]:
        for example in entry.get("examples", ()):
            overlap = f", overlap {example['overlap']}" if "overlap" in example else ""
            lines += ["", f"{entry['set']}, {entry['reason']}: {example['place']}{overlap}", ""]
            lines += [f"> {' '.join(example[side].split())}\n>" for side in ("text", "other")]
    return "\n".join(lines) + "\n"


def _describe_balance(card: dict) -> list[str]:
    """Returns lines on where the rows of each source went, and on groups of near-duplicate questions."""
    lines = ["", "| used as | rows read | in sets | left out |", "|---|---|---|---|"]
    for some in card["balance"]:
        sets = ", ".join(f"{name} {rows}" for name, rows in some["sets"].items())
        lines.append(f"| {some['use']} | {some['read']} | {sets or 'none'} | {some['left_out']} |")
    head = "| near-duplicates, of one template or document | problems | groups | problems of the largest | effective problems |"
    lines += ["", head, "|---|---|---|---|---|"]
    for use, some in card["groups"].items():
        effective = "–" if some["effective"] is None else f"{some['effective']:g}"
        lines.append(f"| {use} | {some['problems']} | {some['groups']} | {some['largest']} | {effective} |")
    return lines


def _describe_references(golds: list[dict]) -> list[str]:
    """Returns lines on scored problems whose reference answer is matched by its text only; none if there are none."""
    if not any(some["by_text"] for some in golds):
        return []
    lines = [
        "",
        "Problems with a gold answer that the verifier matches by its text only, so that a right answer in other words",
    ]
    lines += [
        "counts as wrong. RL asks none such.",
        "",
        "| set | problems | matched by text only | share |",
        "|---|---|---|---|",
    ]
    for some in golds:
        name, count, problems = (
            ", ".join(filter(None, (some["set"], some["benchmark"]))),
            some["by_text"],
            some["problems"],
        )
        lines.append(f"| {name} | {problems} | {count} | {count / problems:.1%} |")
    return lines
