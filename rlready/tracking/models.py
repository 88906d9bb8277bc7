"""The datasets and models of a candidate's run in MLflow, and the model registry: approved models, and the best after RL."""

import contextlib
import json
import re
from collections.abc import Sequence
from typing import Any

from rlready.records.outcome import Outcome
from rlready.tracking.client import LONGEST_TAG, attempt
from rlready.tracking.runs import open_child

WINNER = "rl-winner"  # alias of the model that is best after RL


def list_datasets(data: dict) -> list:
    """Returns MLflow's inputs for {split: {digest, rows, source}}."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    listed = []
    for split, about in data.items():
        source = json.dumps({"tags": {"source": about.get("source")}})
        profile = json.dumps({"num_rows": about.get("rows")})
        dataset = Dataset(split, str(about["digest"])[:36], "code", source, profile=profile)
        listed.append(DatasetInput(dataset, [InputTag("mlflow.data.context", split)]))
    return listed


def find_models(client: Any, experiment: str, child: str) -> dict[str, Any]:
    """Returns the models that a candidate's run has logged, by their stage."""
    logged = client.search_logged_models([experiment], f"source_run_id = '{child}'")
    return {model.tags.get("rlready.stage"): model for model in logged}


def log_models(client: Any, experiment: str, run: Any, outcome: Outcome, role: str) -> None:
    """Logs the models that `outcome.links` locates and MLflow does not have: each with its parent, settings and metrics."""
    import mlflow
    from mlflow.entities import LoggedModelInput, LoggedModelOutput, Metric

    child, candidate = run.info.run_id, outcome.candidate
    base: dict[str, Any] = outcome.links.get("base_model") or {}
    if role == "candidate":
        known = {"sft": outcome.links.get("sft_model"), "rl": outcome.links.get("rl_model")}
        # The parent of a finished checkpoint is unknown.
        parent = "" if candidate.checkpoint else base.get("location", "")
    else:
        known, parent = {"base": base.get("location")}, ""
    places = {stage: place for stage, place in known.items() if place}
    models = find_models(client, experiment, child) if places else {}
    outputs = {model.model_id for model in run.outputs.model_outputs} if run.outputs else set()
    inputs = {model.model_id for model in run.inputs.model_inputs} if run.inputs else set()
    parameters = {**candidate.describe(), **{f"base_{key}": value for key, value in base.items()}}
    for stage, place in places.items():
        name = re.sub(r"[^A-Za-z0-9_-]", "_", f"{stage}-{candidate.candidate_id}")
        tags = {"rlready.stage": stage, "rlready.location": place, "rlready.parent_model": parent}
        model = models.get(stage) or mlflow.create_external_model(
            name, child, tags, {k: str(v) for k, v in parameters.items()}, "llm", experiment
        )
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
            versions = _find_versions(client, name) if versions is None else versions
            source = f"models:/{model.model_id}"
            version = versions.get(source) or client.create_model_version(
                name, source, child, await_creation_for=0, model_id=model.model_id
            )
            tags = {"candidate": candidate, "verdict": verdict.decision, "verdict.reason": verdict.reason[:LONGEST_TAG]}
            for key, value in (tags | {"location": model.tags["rlready.location"]}).items():
                client.set_model_version_tag(name, version.version, key, value)
            if candidate == winner and "rl" in models:
                client.set_registered_model_alias(name, WINNER, version.version)

    if run_id:
        attempt(register)


def _find_versions(client: Any, name: str) -> dict[str, Any]:
    """Returns the versions of a registered model by their sources; creates the registered model if there is none."""
    from mlflow.exceptions import MlflowException

    with contextlib.suppress(MlflowException):  # it exists
        client.create_registered_model(name)
    return {version.source: version for version in client.search_model_versions(f"name = '{name}'")}
