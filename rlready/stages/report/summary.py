"""What was run, and its result in four lines to paste: what tells one report from another."""

from rlready.analysis.answer import First, find_best, find_first_before_rl, label_ranked, read_ranked
from rlready.analysis.comparison import Row
from rlready.analysis.format import count, name_some, show, show_estimate, show_mean, show_result
from rlready.analysis.noise import measure_noise
from rlready.analysis.saving import weigh_gate
from rlready.analysis.sweep_result import SweepResult

DIGEST = 8  # characters of a digest


def describe_origin(sweep: SweepResult, rows: list[Row], base: Row, k: int | None) -> list[tuple[str, str]]:
    """Returns what was run, as pairs (label, text); what is not known is left out."""
    given, origin = sweep.parameters, sweep.origin
    run = ", ".join(filter(None, (origin.get("run"), origin.get("date"), f"rlready {origin['version']}" if origin else "")))
    steps = given.get("rl_steps")
    trained = "no RL" if not sweep.trains else "" if steps is None else f"{count(steps, 'RL step')}"
    sizes = [_describe_size(row.predictors.problems, row.predictors.samples, "before RL") for row in (*rows, base)]
    after = [_describe_size(row.benchmark.problems, row.benchmark.samples, "on the benchmark") for row in (*rows, base)]
    measured = [*dict.fromkeys(filter(None, sizes)), *dict.fromkeys(filter(None, after)), f"k = {k}" if k else "", trained]
    pairs = {
        "Run": run,
        "Base model": _describe_model(given.get("base_model", ""), (*rows, base)),
        "Data": _describe_data(given, (*rows, base)),
        "Measured": ", ".join(filter(None, measured)),
        "Command": origin.get("command", ""),
    }
    return [(label, text) for label, text in pairs.items() if text]


def _describe_size(problems: int | None, samples: int | None, when: str) -> str:
    return f"{problems} problems x {samples} samples {when}" if problems and samples else ""


def _describe_model(name: str, rows: tuple[Row, ...]) -> str:
    digests = [model["digest"] for row in rows if (model := row.outcome.links.get("base_model")) and model.get("digest")]
    return f"{name} ({digests[0][:DIGEST]})" if name and digests else name


def _describe_data(given: dict, rows: tuple[Row, ...]) -> str:
    names = {"SFT": given.get("curate_sft_data"), "evaluation": given.get("curate_evaluation_data")}
    named = [f"{use} {name}" for use, name in names.items() if name]
    sets: dict = next((row.outcome.links["data"] for row in rows if row.outcome.links.get("data")), {})
    sized = [f"{name} {entry['rows']} rows ({str(entry['digest'])[:DIGEST]})" for name, entry in sets.items()]
    return "; ".join(filter(None, (", ".join(named), ", ".join(sized))))


def summarize(sweep: SweepResult, rows: list[Row], base: Row, k: int | None) -> list[str]:
    """Returns four lines to paste: the winner, the gate's choice and why, the net saving, and how sure the winner is."""
    trains = sweep.shows_rl
    saving = weigh_gate(rows, base) if trains else None
    winner, sure = _describe_winner(rows, base) if trains else _describe_first(rows, k, sweep.parameters.get("gate_rank_by"))
    net = "unknown: no RL" if not trains else saving.net if saving else "none: the gate did not decide"
    return [f"Winner: {winner}", f"Gate: {_describe_gate(rows)}", f"Net saving: {net}", f"Certainty: {sure}"]


def _describe_winner(rows: list[Row], base: Row) -> tuple[str, str]:
    noise = measure_noise(rows)
    best = find_best(rows, noise)
    if best is None:
        return "unknown, no candidate has finished RL", "unknown"
    if best.candidate is None:
        return "none, no result of RL is above 0", "unknown"
    shown, over = show_result(best.candidate), "candidates with one seed each"
    if noise.repeated:
        shown, over = show_mean([row.score for row in best.setting.rows]), "settings, by the noise between seeds"
    before = "" if base.score is None else f"; base model {show(base.score)}"
    return f"{best.first.name}, Pass@1 {shown} after RL{before}", _describe_certainty(best.first, over)


def _describe_first(rows: list[Row], k: int | None, by: str | None) -> tuple[str, str]:
    first = find_first_before_rl(rows, k, by)
    if first is None:
        return f"unknown, no candidate has a single {label_ranked(k, by)}", "unknown"
    best = next(row for row in rows if row.name == first.name)
    winner = f"{first.name}, {label_ranked(k, by)} {show_estimate(*read_ranked(best, k, by)[:2])}, without RL"
    return winner, _describe_certainty(first, "compared problem by problem")


def _describe_certainty(first: First, over: str) -> str:
    if not first.others:
        return "unknown, nothing to compare it with"
    said = [f"not clearly ahead of {name_some(first.level)}"] if first.level else []
    said += [f"unknown against {name_some(first.unknown)}"] if first.unknown else []
    return f"{'; '.join(said) or 'ahead of all others beyond chance'} ({over})"


def _describe_gate(rows: list[Row]) -> str:
    judged = [row for row in rows if row.judged]
    if not judged:
        return "decided on no candidate"
    if any(row.verdict.mode == "off" for row in judged):
        return "off, RL for every candidate" + (", up to the race" if any(row.outrun for row in rows) else "")
    approved = [row for row in judged if row.approved]
    if not approved:
        said = f"approved none of {len(judged)} candidates;" if len(judged) > 1 else "did not approve the only one it judged,"
        return f"{said} {judged[0].name}: {_state_reason(judged[0])}"
    named = f"{name_some([row.name for row in approved])} ({len(approved)} of {count(len(judged), 'candidate')})"
    return f"approved {named}: {_state_reason(approved[0])}"


def _state_reason(row: Row) -> str:
    """Returns the first statement of the reason, which decided."""
    return row.verdict.reason.split("; ")[0]
