"""The verdicts as JSON for scripts; docs/guide/checkpoints.md explains every key."""

import json

from rlready.analysis.comparison import Row, read_rows
from rlready.analysis.sweep_result import SweepResult

VERSION = 1  # of the form: raised when a key goes, or means something else


def write_verdicts(sweep: SweepResult) -> str:
    """Returns the verdicts of a sweep as JSON, the candidates in the order of their places before RL."""
    rows, base, k = read_rows(sweep)
    rows = sorted(rows, key=lambda row: row.verdict.standing.place if row.verdict.standing else len(rows) + 1)
    approved = [row.name for row in rows if row.approved]
    written = {"version": VERSION, "k": k, "ranked_by": sweep.parameters.get("gate_rank_by"), "rl": sweep.shows_rl}
    written |= {"approved": approved, "candidates": [_describe(row) for row in rows]}
    written |= {"base_model": _list_figures(base) if base.measured else None}
    return json.dumps(written, indent=1)


def _describe(row: Row) -> dict:
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
