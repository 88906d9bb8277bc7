"""The report: which checkpoint was worth its RL, and whether the predictors were right."""

import dataclasses
import json
import re
from html import escape
from pathlib import Path
from typing import Any

from rlready.analysis.comparison import Row, group_settings, read_rows
from rlready.analysis.format import count
from rlready.analysis.noise import measure_noise
from rlready.analysis.sweep_result import SweepResult, list_failures
from rlready.records.serialization import write_atomically
from rlready.stages.report import candidates, gate_sections, predictor_sections
from rlready.stages.report.document import Document, Section, render_html, render_markdown
from rlready.stages.report.figure import STYLE, draw_alone
from rlready.stages.report.headline import describe_origin, summarize, tell_result
from rlready.stages.report.plots import draw_plots
from rlready.stats.intervals import MIN_POINTS
from rlready.tracking.runs import is_kfp

# What the report's stage writes, and the names in a run's folder; the records come last, because they mark a run as finished.
FILES = {"html": "report.html", "markdown": "report.md", "verdicts": "verdicts.json", "records": "outcomes.json"}
LEADING_PLOTS = 2
MOST_ROWS = 15  # longer tables are folded
VERDICTS_VERSION = 1  # of the JSON: raised when a key goes, or means something else


@dataclasses.dataclass(frozen=True)
class Report:
    """A report as texts; a notebook shows its page."""

    html: str
    markdown: str
    verdicts: str  # JSON, as docs/guide/checkpoints.md explains it

    def _repr_html_(self) -> str:
        return f'<iframe srcdoc="{escape(self.html)}" width="100%" height="800"></iframe>'

    def to_pandas(self) -> Any:
        """Returns a data frame with one row per candidate, in the order of their places before RL."""
        import pandas as pd

        return pd.json_normalize(json.loads(self.verdicts)["candidates"])


def report(sweep: SweepResult) -> Report:
    """Returns the report of a sweep, of `rank` or of a run (`read_sweep`)."""
    document = compose(sweep)
    return Report(render_html(document), render_markdown(document), write_verdicts(sweep))


def write_report(sweep: SweepResult, html: Path, markdown: Path) -> Document:
    """Writes the report as one self-contained page, and its text and tables as Markdown; returns it."""
    document = compose(sweep)
    write_atomically(html, render_html(document))
    write_atomically(markdown, render_markdown(document))
    return document


def write_files(sweep: SweepResult, folder: Path) -> None:
    """Writes report.html, report.md and verdicts.json into a run's folder."""
    write_report(sweep, folder / "report.html", folder / "report.md")
    write_atomically(folder / "verdicts.json", write_verdicts(sweep))


def render_excerpts(document: Document) -> dict[str, str]:
    """Returns what MLflow shows of a run at a glance, by file name: the leading plots as pictures, the candidates as a page."""
    shown = [section for section in document.sections if section.title == "Candidates"]
    page = dataclasses.replace(document, plots=(), texts=(), sections=shown, minor=())
    pictures = {f"{re.sub(r'[^a-z0-9]+', '_', plot.title.lower())}.svg": draw_alone(plot.drawing) for plot in document.plots}
    return pictures | {"candidates.html": render_html(page)}


def compose(sweep: SweepResult) -> Document:
    """Returns the report: the answer and its plots, then candidates, savings, costs and samples, then the statistics."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        return _compose(sweep)


def _compose(sweep: SweepResult) -> Document:
    rows, base, k = read_rows(sweep)
    settings, noise = group_settings(rows), measure_noise(rows)
    trains, by = sweep.shows_rl, sweep.parameters.get("gate_rank_by")
    plots = draw_plots(rows, base, k, sweep.parameters.get("gate_min_pass_at_k"), trains)
    leading = [plot for plot in plots if plot.drawing][:LEADING_PLOTS]
    others = [plot for plot in plots if plot not in leading]
    last = [Section("More plots", plots=others)] if others else []
    here = trains or not all(row.candidate.log for row in rows)  # logs cost nothing here
    sections = [
        *([candidates.describe_settings(settings, k)] if trains and len(settings) < len(rows) else []),
        *([] if trains else candidates.describe_ranking(rows, k, by)),
        candidates.describe_candidates(rows, base, k, MOST_ROWS),
        *candidates.describe_benchmarks(rows, base),
        *candidates.describe_effect(rows, k),
        *([gate_sections.describe_audit(rows)] if trains else []),
        *([gate_sections.describe_costs(rows, base, trains)] if here else []),
        *candidates.describe_samples(rows, base, k, MOST_ROWS),
        *candidates.describe_excerpts(rows, base, MOST_ROWS),
        *([predictor_sections.describe_plateau(rows, k)] if trains else []),
    ]
    statistics = []
    if trains:
        statistics = [
            gate_sections.describe_policies(rows, base, k),
            predictor_sections.describe_quality(rows, k, noise),
            predictor_sections.describe_differences(rows, k),
            predictor_sections.describe_choices(rows, k, noise),
            *([predictor_sections.describe_reversals(rows)] if noise.repeated else []),
            predictor_sections.describe_forecasts(rows),
        ]
    finished = sum(bool(setting.scores) for setting in settings)
    few, evidence = finished < MIN_POINTS, f"{count(finished, 'setting')} with RL; fewer than {MIN_POINTS} are weak evidence"
    lead, *texts = tell_result(rows, base, sweep.parameters.get("sampling_max_tokens"), trains, by)
    # What tells this experiment from others; the number that KFP gives a run does not.
    run = sweep.origin.get("run", "")
    named = [*filter(None, (sweep.parameters.get("base_model", "base model"), count(len(rows), "candidate")))]
    return Document(
        title=f"{run}: {', '.join(named)}" if run and not is_kfp(run) else ": ".join(named),
        origin=describe_origin(sweep, rows, base, k),
        lead=lead,
        summary=summarize(sweep, rows, base, k),
        failures=list_failures(sweep),
        plots=leading,
        texts=texts,
        sections=[*sections, *([] if few else statistics), *last],
        minor=statistics if few else [],
        minor_title=f"Predictor quality and other policies ({evidence})",
    )


def write_verdicts(sweep: SweepResult) -> str:
    """Returns the verdicts as JSON (docs/guide/checkpoints.md), the candidates in the order of their places before RL."""
    rows, base, k = read_rows(sweep)
    rows = sorted(rows, key=lambda row: row.verdict.standing.place if row.verdict.standing else len(rows) + 1)
    written = {
        "version": VERDICTS_VERSION,
        "k": k,
        "ranked_by": sweep.parameters.get("gate_rank_by"),
        "rl": sweep.shows_rl,
        "approved": [row.name for row in rows if row.approved],
        "candidates": [_describe_verdict(row) for row in rows],
        "base_model": _list_figures(base) if base.measured else None,
    }
    return json.dumps(written, indent=1)


def _describe_verdict(row: Row) -> dict:
    standing, race, failure = row.verdict.standing, row.outcome.race, row.failure
    return {
        "candidate": row.name,
        **{key: getattr(row.verdict, key) for key in ("decision", "proceed", "audited", "reason")},
        "failed": failure and {key: getattr(failure, key) for key in ("stage", "reason")},
        "race": race and {key: getattr(race, key) for key in ("goes_on", "step", "place", "reason")},
        "place": standing and standing.place,
        "ahead_of": (standing and standing.ahead_of) or None,
        "lead": standing and standing.lead,
        "lead_interval": [standing.low, standing.high] if standing and standing.low is not None else None,
        **_list_figures(row),
        "setting": row.candidate.describe(),
    }


def _list_figures(row: Row) -> dict:
    return {
        "pass_at_1": row.sft_pass_at_1,
        "pass_at_k": row.pass_at_k,
        "pass_at_k_interval": row.pass_at_k_interval,
        "generalization_loss": row.loss,
        "score_after_rl": row.score,
    }
