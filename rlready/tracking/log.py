"""Logs outcomes, samples, evaluations and models to MLflow, as far as it does not have them."""

import contextlib
import json
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlready.records.candidate import Candidate
from rlready.records.outcome import Outcome
from rlready.tracking import figures, view
from rlready.tracking.client import LONGEST_TAG, attempt, survive
from rlready.tracking.runs import find_or_create, log_missing, open_child

WINNER = "rl-winner"  # alias of the model that is best after RL


def log_outcome(outcome: Outcome, run_id: str | None = None, role: str = "candidate") -> None:
    """Logs what an outcome has and its run in MLflow does not. Never raises; does nothing without a run id or tracking.

    Its links may hold `data` ({split: {digest, rows, source}}), `base_model` (location, revision, digest) and the URIs
    `sft_model` and `rl_model`. The run id is by default RLREADY_RUN_ID. The role is candidate, or baseline for the base model,
    whose benchmark is logged under `base/` instead of `rl/`.
    """
    run_id, candidate = run_id or os.environ.get("RLREADY_RUN_ID", ""), outcome.candidate

    def log(client: Any, experiment: str) -> None:
        run = open_child(client, experiment, run_id, candidate, role)
        child = run.info.run_id
        known = {(key, 0, value) for key, value in run.data.metrics.items() if key not in figures.SERIES}
        for key in run.data.metrics.keys() & set(figures.SERIES):
            known |= {(m.key, m.step, m.value) for m in client.get_metric_history(child, key)}
        new = [point for point in figures.list_metrics(outcome, role) if point not in known]
        log_missing(client, run, candidate.describe(), _list_tags(outcome), new)
        if outcome.links.get("data"):
            client.log_inputs(child, datasets=list_datasets(outcome.links["data"]))
        stopped = (outcome.verdict and not outcome.verdict.proceed) or (outcome.race and not outcome.race.goes_on)
        status = "FAILED" if outcome.failure else "FINISHED"
        if (role != "candidate" or outcome.benchmark or stopped or outcome.failure) and run.info.status != status:
            client.set_terminated(child, status)
        run = client.get_run(child)
        if run.data.tags.get(view.NOTE) != (said := view.describe(run)):
            client.set_tag(child, view.NOTE, said)
        log_models(client, experiment, run, outcome, role)

    # Before the gate it is unknown whether the base model is a candidate or only the baseline.
    if run_id and (role != "candidate" or not candidate.is_base or outcome.verdict or outcome.rl or outcome.failure):
        attempt(log)


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
    """Logs an evaluation (its `describe()`; metrics by name, e.g. gsm8k/pass_at_1; files), once per name. Never raises."""

    def log(client: Any, experiment: str) -> None:
        run = find_or_create(client, experiment, {"rlready.evaluation": name, "rlready.role": "evaluation"}, name)
        values = {figures.name_metric(key): value for key, value in metrics.items() if figures.is_number(value)}
        new = [(key, 0, value) for key, value in values.items() if run.data.metrics.get(key) != value]
        parameters = {key: description[key] for key in ("model", "digest", "samples")} | description["sampling"]
        log_missing(client, run, parameters, points=new)
        data = {}
        for benchmark, about in description["benchmarks"].items():
            data[benchmark] = {"digest": about["digest"], "rows": about["problems"], "source": about["revision"]}
        client.log_inputs(run.info.run_id, datasets=list_datasets(data))
        for path in files:
            client.log_artifact(run.info.run_id, str(path))
        client.set_terminated(run.info.run_id)

    attempt(log)


def _list_tags(outcome: Outcome) -> dict[str, str]:
    """Returns what is known of an outcome besides its figures."""
    tags: dict[str, str | None] = {
        figures.RESULT: figures.ELSEWHERE if outcome.elsewhere else None,
        figures.STOPPED: outcome.rl.stopped if outcome.rl else None,
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
        tags |= {figures.COMPARES_LOSS: outcome.predictors.heldout_digest or "yes"}
    return {name: text[:LONGEST_TAG] for name, text in tags.items() if text}


def list_datasets(data: dict) -> list:
    """Returns MLflow's inputs for {split: {digest, rows, source}}."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    def describe(split: str, about: dict) -> Dataset:
        source, profile = {"tags": {"source": about.get("source")}}, {"num_rows": about.get("rows")}
        return Dataset(split, str(about["digest"])[:36], "code", json.dumps(source), profile=json.dumps(profile))

    return [DatasetInput(describe(*item), [InputTag("mlflow.data.context", item[0])]) for item in data.items()]


def find_models(client: Any, experiment: str, child: str) -> dict[str, Any]:
    """Returns the models that a candidate's run has logged, by their stage."""
    logged = client.search_logged_models([experiment], f"source_run_id = '{child}'")
    return {model.tags.get("rlready.stage"): model for model in logged}


def log_models(client: Any, experiment: str, run: Any, outcome: Outcome, role: str) -> None:
    """Logs the models that `outcome.links` locates and MLflow does not have: each with its parent, settings and metrics."""
    import mlflow
    from mlflow.entities import LoggedModelInput, LoggedModelOutput, Metric

    child, candidate, links = run.info.run_id, outcome.candidate, outcome.links
    base: dict[str, Any] = links.get("base_model") or {}
    of_candidate = {"sft": links.get("sft_model"), "rl": links.get("rl_model")}
    known = of_candidate if role == "candidate" else {"base": base.get("location")}
    # The base model has no parent, and that of a finished checkpoint is unknown.
    parent = "" if role != "candidate" or candidate.checkpoint else base.get("location", "")
    places = {stage: place for stage, place in known.items() if place}
    models = find_models(client, experiment, child) if places else {}
    outputs = {model.model_id for model in run.outputs.model_outputs} if run.outputs else set()
    inputs = {model.model_id for model in run.inputs.model_inputs} if run.inputs else set()
    parameters = candidate.describe() | {f"base_{key}": value for key, value in base.items()}
    settings = {key: str(value) for key, value in parameters.items()}
    for stage, place in places.items():
        name = re.sub(r"[^A-Za-z0-9_-]", "_", f"{stage}-{candidate.candidate_id}")
        tags = {"rlready.stage": stage, "rlready.location": place, "rlready.parent_model": parent}
        model = models.get(stage) or mlflow.create_external_model(name, child, tags, settings, "llm", experiment)
        client.set_logged_model_tags(model.model_id, tags)
        if model.model_id not in outputs:
            client.log_outputs(child, [LoggedModelOutput(model.model_id, 0)])
        if stage == "rl" and "sft" in places and parent not in inputs:
            client.log_inputs(child, models=[LoggedModelInput(parent)])
        parent = model.model_id
        measured = {(m.key, m.value) for m in model.metrics or []}
        prefixes = ("sft/", "base/") if stage == "base" else f"{stage}/"
        own = {k: v for k, v in run.data.metrics.items() if k.startswith(prefixes) and "/train_" not in k}
        missing = [client.get_metric_history(child, key) for key, value in own.items() if (key, value) not in measured]
        last = [max(points, key=lambda m: (m.step, m.timestamp)) for points in missing]
        # With the run's own timestamp MLflow adds the point to the model only.
        points = [Metric(m.key, m.value, m.timestamp, m.step, model.model_id) for m in last]
        client.log_batch(child, metrics=points)


def register_models(run_id: str, outcomes: Sequence[Outcome], winner: str | None) -> None:
    """Registers the models of approved candidates and of the best one after RL, each once. Never raises.

    The outcomes are logged already. The registered model is named after the experiment. A version is a candidate's model after
    RL, or after SFT if it has no other; its tags hold the verdict. The alias moves to the winner of this run, if there is one.
    """

    def register(client: Any, experiment: str) -> None:
        from mlflow.exceptions import MlflowException

        name = re.sub(r"[^\w.-]", "_", client.get_experiment(experiment).name)
        versions: dict[str, Any] | None = None
        for outcome in outcomes:
            candidate, verdict = outcome.candidate.candidate_id, outcome.verdict
            if verdict is None or (verdict.decision != "approved" and candidate != winner):
                continue
            child = open_child(client, experiment, run_id, outcome.candidate).info.run_id
            models = find_models(client, experiment, child)
            model = models.get("rl") or models.get("sft")
            if model is None:
                continue
            if versions is None:
                with contextlib.suppress(MlflowException):  # it exists
                    client.create_registered_model(name)
                versions = {version.source: version for version in client.search_model_versions(f"name = '{name}'")}
            source, options = f"models:/{model.model_id}", {"await_creation_for": 0, "model_id": model.model_id}
            version = versions.get(source) or client.create_model_version(name, source, child, **options)
            tags = {"candidate": candidate, "verdict": verdict.decision, "verdict.reason": verdict.reason[:LONGEST_TAG]}
            for key, value in (tags | {"location": model.tags["rlready.location"]}).items():
                client.set_model_version_tag(name, version.version, key, value)
            if candidate == winner and "rl" in models:
                client.set_registered_model_alias(name, WINNER, version.version)

    if run_id:
        attempt(register)


def stream_training(prefix: str, candidate: Candidate) -> Any:
    """Returns a callback for a transformers Trainer; with the prefix sft or rl, its loss becomes `<prefix>/train_loss`."""
    from transformers import TrainerCallback

    class StreamTraining(TrainerCallback):
        def __init__(self):
            self.points, self.sent = [], 0.0
            self.target: Any = None  # client and id of the candidate's run
            self.alive = bool(os.environ.get("RLREADY_RUN_ID") and os.environ.get("MLFLOW_TRACKING_URI"))

        def on_log(self, args, state, control, logs=None, **kwargs):
            if self.alive and state.is_world_process_zero:
                now = int(time.time() * 1000)
                for name, value in (logs or {}).items():
                    if figures.is_number(value) and not name.startswith(("train_", "total_")):
                        key = f"{prefix}/{name}" if name.startswith("validation_pass") else f"{prefix}/train_{name}"
                        self.points.append((figures.name_metric(key), value, now, state.global_step))
                if time.monotonic() - self.sent > 1:
                    self.send()

        def on_train_end(self, args, state, control, **kwargs):
            if self.alive and self.points:
                self.send()

        def send(self):
            self.sent = time.monotonic()
            run_id = os.environ["RLREADY_RUN_ID"]
            self.target = self.target or attempt(lambda c, e: (c, open_child(c, e, run_id, candidate).info.run_id))
            self.alive = bool(self.target and survive(self.log))
            self.points = []

        def log(self) -> bool:
            from mlflow.entities import Metric

            client, child = self.target
            client.log_batch(child, metrics=[Metric(*point) for point in self.points])
            return True

    return StreamTraining()
