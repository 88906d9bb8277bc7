"""Logs outcomes, samples and evaluations to MLflow, as far as it does not have them."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlready.records.candidate import Candidate
from rlready.records.outcome import Outcome
from rlready.tracking import view
from rlready.tracking.client import LONGEST_TAG, attempt
from rlready.tracking.figures import (
    COMPARES_LOSS,
    ELSEWHERE,
    RESULT,
    SERIES,
    STOPPED,
    is_number,
    list_metrics,
    name_metric,
)
from rlready.tracking.models import list_datasets, log_models
from rlready.tracking.runs import find_or_create, log_missing, open_child


def log_outcome(outcome: Outcome, run_id: str | None = None, role: str = "candidate") -> None:
    """Logs what an outcome has and its run in MLflow does not. Never raises; does nothing without a run id or tracking.

    Args:
        outcome: What is known so far. Its links may hold `data` ({split: {digest, rows, source}}), `base_model`
            (location, revision, digest) and the URIs `sft_model` and `rl_model`.
        run_id: Id of the pipeline run; defaults to RLREADY_RUN_ID.
        role: candidate, or baseline for the base model, whose benchmark is logged under `base/` instead of `rl/`.
    """
    run_id = run_id or os.environ.get("RLREADY_RUN_ID")
    # Before the gate it is unknown whether the base model is a candidate or only the baseline.
    known = not outcome.candidate.is_base or outcome.verdict or outcome.rl or outcome.failure
    if run_id and (role != "candidate" or known):
        attempt(lambda client, experiment: _log_outcome(client, experiment, outcome, run_id, role))


def log_outcomes(outcomes: Sequence[Outcome], baseline: Outcome | None, run_id: str) -> None:
    """Logs the outcomes of a run, and the base model's if there is one; see `log_outcome`."""
    if baseline:
        log_outcome(baseline, run_id, role="baseline")
    for outcome in outcomes:
        log_outcome(outcome, run_id)


def log_samples(candidate: Candidate, stage: str, file: Path, baseline: bool) -> None:
    """Uploads a stage's samples to the candidate's run or the baseline's, in a folder named after the stage. Never raises."""
    run_id = os.environ.get("RLREADY_RUN_ID", "")

    def log(client: Any, experiment: str) -> None:
        run = open_child(client, experiment, run_id, candidate, "baseline" if baseline else "candidate")
        client.log_artifact(run.info.run_id, str(file), stage)

    if run_id:
        attempt(log)


def log_evaluation(name: str, description: dict, metrics: dict[str, float | None], files: list[Path]) -> None:
    """Logs an evaluation without a pipeline, once per name: parameters, metrics, datasets and files. Never raises.

    `description` is from `Evaluation.describe`; the metrics are by name, e.g. gsm8k/pass_at_1.
    """

    def log(client: Any, experiment: str) -> None:
        from mlflow.entities import Metric

        tags = {"rlready.evaluation": name, "rlready.role": "evaluation"}
        run = find_or_create(client, experiment, tags, name)
        now, values = int(time.time() * 1000), {name_metric(k): v for k, v in metrics.items() if v is not None and is_number(v)}
        new = [Metric(key, value, now, 0) for key, value in values.items() if run.data.metrics.get(key) != value]
        parameters = {key: description[key] for key in ("model", "digest", "samples")} | description["sampling"]
        log_missing(client, run, parameters, metrics=new)
        data = {
            name: {"digest": about["digest"], "rows": about["problems"], "source": about["revision"]}
            for name, about in description["benchmarks"].items()
        }
        client.log_inputs(run.info.run_id, datasets=list_datasets(data))
        for path in files:
            client.log_artifact(run.info.run_id, str(path))
        client.set_terminated(run.info.run_id)

    attempt(log)


def _list_tags(outcome: Outcome) -> dict[str, str]:
    """Returns what is known of an outcome besides its figures."""
    tags: dict[str, str | None] = {
        RESULT: ELSEWHERE if outcome.elsewhere else None,
        STOPPED: outcome.rl.stopped if outcome.rl else None,
        "rlready.experiment": outcome.links.get("experiment"),
    }
    tags |= {f"samples.{stage}": outcome.links.get(f"{stage}_samples") for stage in ("predictors", "benchmark")}
    if verdict := outcome.verdict:
        tags |= {"verdict": verdict.decision, "verdict.reason": verdict.reason, "audited": "yes" if verdict.audited else None}
    if race := outcome.race:
        tags |= {"race": "goes on" if race.goes_on else "dropped", "race.reason": race.reason}
    if failure := outcome.failure:
        tags |= {"failed": failure.stage, "failed.reason": failure.reason}
    if outcome.candidate.compares_loss and outcome.predictors:
        tags |= {COMPARES_LOSS: outcome.predictors.heldout_digest or "yes"}
    return {name: text[:LONGEST_TAG] for name, text in tags.items() if text}


def _log_outcome(client: Any, experiment: str, outcome: Outcome, run_id: str, role: str) -> None:
    from mlflow.entities import Metric

    run = open_child(client, experiment, run_id, outcome.candidate, role)
    child, verdict = run.info.run_id, outcome.verdict
    race, failure = outcome.race, outcome.failure
    known = {(key, 0, value) for key, value in run.data.metrics.items() if key not in SERIES}
    for key in run.data.metrics.keys() & set(SERIES):
        known |= {(m.key, m.step, m.value) for m in client.get_metric_history(child, key)}
    new = [point for point in list_metrics(outcome, role) if point not in known]
    now = int(time.time() * 1000)
    metrics = [Metric(key, value, now, step) for key, step, value in new]
    log_missing(client, run, outcome.candidate.describe(), _list_tags(outcome), metrics)
    if outcome.links.get("data"):
        client.log_inputs(child, datasets=list_datasets(outcome.links["data"]))
    done = role != "candidate" or outcome.benchmark or (verdict and not verdict.proceed) or (race and not race.goes_on)
    status = "FAILED" if failure else "FINISHED"
    if (done or failure) and run.info.status != status:
        client.set_terminated(child, status)
    run = client.get_run(child)
    if run.data.tags.get(view.NOTE) != (said := view.describe(run)):
        client.set_tag(child, view.NOTE, said)
    log_models(client, experiment, run, outcome, role)
