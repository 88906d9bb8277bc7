"""What the samples show besides Pass@k, and a few completions of every candidate."""

from rlready.analysis.comparison import Row, name_rows
from rlready.analysis.format import MISSING, count, label_kind, show
from rlready.analysis.predictor import label_pass_at
from rlready.escape import shorten, show_controls
from rlready.records.outcome import Excerpt, KeptSamples, SampleStatistics
from rlready.stages.report.document import Passage, Section

MOST_TEXT = 60_000  # characters of excerpts on the page, shared out over the candidates
LONGEST = 400  # characters of one text, if there are few candidates
EXCERPTS_TEXT = (
    "The first completion of each kind: right, unknown (the verifier could not judge it), truncated (by sampling_max_tokens),"
    " no answer (none in the form the prompt asks for) or wrong. To see all of them: rlready samples RUN"
    " --candidate NAME."
)

NOTES = [
    "Loss by length: held-out loss by quarter of completion length, shortest first. Entropy: nats per token. Answer diversity:"
    " different answers over samples. Zero-variance: groups of rl_num_generations completions with the same reward, from which"
    " GRPO learns nothing. Truncated: samples that reached the length limit. No answer: samples without a final answer in the"
    " form the prompt asks for. Not judged: samples that the verifier could not judge. Verifier disagreement: of the answers"
    " that it or math-verify accepts, the share that it rejects.",
    "False positives: samples accepted when compared with another problem's answer, with the 95% interval of the rate. Pass@k"
    " without them is corrected at that rate.",
]


def describe_samples(rows: list[Row], base: Row, k: int | None, most_rows: int) -> list[Section]:
    """Returns the section on the samples, or none if nothing was measured."""
    measured = [row.predictors for row in (*rows, base)]
    if all(record.by_products == SampleStatistics() and not record.loss_by_length for record in measured):
        return []
    lines = []
    for name, row in name_rows(rows, base, "base model"):
        seen = row.predictors.by_products
        cells = {
            "Candidate": name,
            "Loss by length": " / ".join(show(quarter.loss) for quarter in row.predictors.loss_by_length) or MISSING,
            "Entropy": show(seen.entropy),
            "Answer diversity": show(seen.diversity),
            "Zero-variance share": show(row.zero_variance),
            "Tokens per sample": show(seen.mean_tokens, 1),
            "Truncated": show(seen.truncated),
            "No answer": show(seen.unreadable),
            "Not judged": show(seen.verifier_unknown),
            "Verifier disagreement": show(seen.verifier_disagreement),
            "False positives": _show_false_positives(row),
            f"{label_pass_at(k)} without them": show(row.corrected),
        }
        lines.append(cells)
    table = [[*lines[0]], *([*cells.values()] for cells in lines)]
    folded = len(rows) > most_rows
    return [Section("Sample statistics", table=table, notes=NOTES, summed=base.measured, folded=folded)]


def _show_false_positives(row: Row) -> str:
    found = row.predictors.false_positives
    if found is None or None in (found.low, found.high) or not found.checked:
        return MISSING
    return f"{found.accepted}/{found.checked} [{found.low:.4f}, {found.high:.4f}]"


def describe_excerpts(rows: list[Row], base: Row, most_rows: int) -> list[Section]:
    """Returns the section with a few completions of every candidate, or none if no samples were kept."""
    kept = []
    for name, row in name_rows(rows, base, "base model"):
        later = "on the benchmark" if row is base else "after RL"
        stages = (("before RL", row.predictors.kept), (later, row.benchmark.kept))
        kept += [(f"{name}, {stage}", one) for stage, one in stages if one]
    excerpts = sum(len(one.excerpts) for _, one in kept)
    if not excerpts:
        return []
    longest = min(LONGEST, MOST_TEXT // (2 * excerpts))
    passages = [Passage(f"{title}: {_count(one)}", _list_lines(one.excerpts, longest)) for title, one in kept]
    return [Section("What the models wrote", [EXCERPTS_TEXT], passages=passages, folded=len(rows) > most_rows)]


def _count(kept: KeptSamples) -> str:
    said = ", ".join(f"{number} {label_kind(kind)}" for kind, number in kept.counts.items() if number)
    lost = f"; {count(kept.without_text, 'sample')} without text (samples_text_mb)" if kept.without_text else ""
    return said + lost


def _list_lines(excerpts: list[Excerpt], longest: int) -> list[tuple[str, str]]:
    """Returns (label, text) of each excerpt's prompt and completion."""
    lines = []
    for one in excerpts:
        found = "none" if one.answer is None else _clean(one.answer, longest)
        kind, reference = label_kind(one.kind), _clean(one.gold, longest)
        about = f"{kind}, {count(one.tokens or 0, 'token')}; answer: {found}; reference: {reference}"
        lines += [("prompt", _clean(one.prompt, longest)), (about, _clean(one.completion, longest))]
    return lines


def _clean(text: str, longest: int) -> str:
    return shorten(show_controls(text), longest)
