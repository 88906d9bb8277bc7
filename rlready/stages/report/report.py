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
from rlready.stages.report.candidates import (
    describe_benchmarks,
    describe_candidates,
    describe_effect,
    describe_ranking,
    describe_settings,
)
from rlready.stages.report.document import Document, Section, render_html, render_markdown
from rlready.stages.report.figure import STYLE, draw_alone
from rlready.stages.report.gate_sections import describe_audit, describe_costs, describe_policies
from rlready.stages.report.headline import tell_result
from rlready.stages.report.plots import draw_plots
from rlready.stages.report.predictor_sections import (
    describe_choices,
    describe_differences,
    describe_forecasts,
    describe_plateau,
    describe_quality,
    describe_reversals,
)
from rlready.stages.report.samples import describe_excerpts, describe_samples
from rlready.stages.report.summary import describe_origin, summarize
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
    others = Section("More plots", plots=[plot for plot in plots if plot not in leading])
    candidates = describe_candidates(rows, base, k, MOST_ROWS, trains)
    costs = describe_costs(rows, base, trains)
    samples = [*describe_samples(rows, base, k, MOST_ROWS), *describe_excerpts(rows, base, MOST_ROWS)]
    sections, statistics = [*describe_ranking(rows, k, by), candidates, costs, *samples], []
    if trains:
        sections = [
            *([describe_settings(settings, k)] if len(settings) < len(rows) else []),
            candidates,
            *describe_benchmarks(rows, base),
            *describe_effect(rows, k),
            describe_audit(rows),
            costs,
            *samples,
            describe_plateau(rows, k),
        ]
        statistics = [
            describe_policies(rows, base, k),
            describe_quality(rows, k, noise),
            describe_differences(rows, k),
            describe_choices(rows, k, noise),
            *([describe_reversals(rows)] if noise.repeated else []),
            describe_forecasts(rows),
        ]
    finished = sum(bool(setting.scores) for setting in settings)
    evidence = f"{count(finished, 'setting')} with RL: weak evidence below {MIN_POINTS}"
    few = finished < MIN_POINTS
    lead, *texts = tell_result(rows, base, sweep.parameters.get("sampling_max_tokens"), trains, by)
    return Document(
        title=_name(sweep, len(rows)),
        origin=describe_origin(sweep, rows, base, k),
        lead=lead,
        summary=summarize(sweep, rows, base, k),
        failures=list_failures(sweep),
        plots=leading,
        texts=texts,
        sections=[*sections, *([] if few else statistics), others],
        minor=statistics if few else [],
        minor_title=f"Predictor quality and other policies, from {evidence}",
    )


def _name(sweep: SweepResult, candidates: int) -> str:
    """Returns what tells this experiment from others: its run, unless KFP numbered it, its base model and its candidates."""
    run, what = sweep.origin.get("run", ""), count(candidates, "candidate")
    model = sweep.parameters.get("base_model", "base model")
    named = run and not is_kfp(run)
    return f"{run}: {', '.join(filter(None, (model, what)))}" if named else ": ".join(filter(None, (model, what)))


def write_verdicts(sweep: SweepResult) -> str:
    """Returns the verdicts of a sweep as JSON, the candidates in the order of their places before RL.

    docs/guide/checkpoints.md explains every key.
    """
    rows, base, k = read_rows(sweep)
    rows = sorted(rows, key=lambda row: row.verdict.standing.place if row.verdict.standing else len(rows) + 1)
    approved = [row.name for row in rows if row.approved]
    written = {"version": VERDICTS_VERSION, "k": k, "ranked_by": sweep.parameters.get("gate_rank_by"), "rl": sweep.shows_rl}
    written |= {"approved": approved, "candidates": [_describe_verdict(row) for row in rows]}
    written |= {"base_model": _list_figures(base) if base.measured else None}
    return json.dumps(written, indent=1)


def _describe_verdict(row: Row) -> dict:
    verdict, candidate = row.verdict, row.candidate
    standing, failed = verdict.standing, row.failure
    described = {"candidate": row.name} | {key: getattr(verdict, key) for key in ("decision", "proceed", "audited", "reason")}
    described |= {"failed": failed and {"stage": failed.stage, "reason": failed.reason}}
    race = row.outcome.race
    described |= {"race": race and {"goes_on": race.goes_on, "step": race.step, "place": race.place, "reason": race.reason}}
    described |= {"place": standing and standing.place, "ahead_of": (standing and standing.ahead_of) or None}
    described |= {"lead": standing and standing.lead}
    described |= {"lead_interval": [standing.low, standing.high] if standing and standing.low is not None else None}
    return described | _list_figures(row) | {"setting": candidate.describe()}


def _list_figures(row: Row) -> dict:
    return {
        "pass_at_1": row.sft_pass_at_1,
        "pass_at_k": row.pass_at_k,
        "pass_at_k_interval": row.pass_at_k_interval,
        "generalization_loss": row.loss,
        "score_after_rl": row.score,
    }
