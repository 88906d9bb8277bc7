"""Statistics of the samples before RL besides Pass@k."""

from rlready.analysis.comparison import Row, name_rows
from rlready.analysis.format import MISSING, show
from rlready.analysis.predictor import label_pass_at
from rlready.records.outcome import SampleStatistics
from rlready.stages.report.document import Section

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
    """Returns the section on the samples, or none where nothing was measured.

    Args:
        rows: The candidates.
        base: The base model.
        k: The gate's k.
        most_rows: A longer table is folded.
    """
    measured = [row.predictors for row in (*rows, base)]
    if all(record.by_products == SampleStatistics() and not record.loss_by_length for record in measured):
        return []
    header = [
        "Candidate",
        "Loss by length",
        "Entropy",
        "Answer diversity",
        "Zero-variance share",
        "Tokens per sample",
        "Truncated",
        "No answer",
        "Not judged",
        "Verifier disagreement",
        "False positives",
        f"{label_pass_at(k)} without them",
    ]
    table = [header]
    for name, row in name_rows(rows, base, "base model"):
        seen = row.predictors.by_products
        table.append(
            [
                name,
                " / ".join(show(quarter.loss) for quarter in row.predictors.loss_by_length) or MISSING,
                show(seen.entropy),
                show(seen.diversity),
                show(row.zero_variance),
                show(seen.mean_tokens, 1),
                show(seen.truncated),
                show(seen.unreadable),
                show(seen.verifier_unknown),
                show(seen.verifier_disagreement),
                _show_false_positives(row),
                show(row.corrected),
            ]
        )
    folded = len(rows) > most_rows
    return [Section("Sample statistics", table=table, notes=NOTES, summed=base.measured, folded=folded)]


def _show_false_positives(row: Row) -> str:
    found = row.predictors.false_positives
    if found is None or None in (found.low, found.high) or not found.checked:
        return MISSING
    return f"{found.accepted}/{found.checked} [{found.low:.4f}, {found.high:.4f}]"
