"""MLflow: one run a pipeline run, one child run a candidate, with its datasets and models. Losing it stops nothing.

Everything is looked up before it is written, so an outcome can be logged again, or fuller, without a duplicate. Runs
are made with MlflowClient alone: an orchestrator's own MLFLOW_RUN_ID is never touched.
"""

import contextlib
import dataclasses
import json
import logging
import math
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rlready.components.core.records import Candidate, Outcome
from rlready.components.core.runtime import events

LONGEST_PARAMETER, LONGEST_TAG = 6000, 5000  # MLflow's limits
SERIES = ("sft/heldout_loss", "rl/reward")
DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
# A shared view of the runs page, which shows no metrics by default: /#/experiments/<id>/runs?viewStateShareKey=rlready
VIEW = "mlflow.sharedViewState.rlready"
COLUMNS = {
    "metrics": ("sft/pass_at_1", "sft/pass_at_16", "sft/pass_at_64", "sft/generalization_loss", "rl/pass_at_1"),
    "params": ("epochs", "subset", "learning_rate"),
    "tags": ("verdict", "verdict.reason"),
}
_unreachable: set[str] = set()
_reported: set[str] = set()


def log_outcome(outcome: Outcome, run_id: str | None = None, role: str = "candidate") -> None:
    """Logs what an outcome holds and its run in MLflow does not hold yet.

    Does nothing without MLFLOW_TRACKING_URI or without a run id. Never raises: a loss is printed once.

    Args:
        outcome: What is known so far. Its links may hold `data` ({split: {digest, rows, source}}), `base_model`
            (location, revision, digest) and the URIs `sft_model` and `rl_model`.
        run_id: Id of the pipeline run; defaults to RLREADY_RUN_ID.
        role: candidate, or baseline for the base model, whose benchmark is logged under `base/` instead of `rl/`.
    """
    run_id = run_id or os.environ.get("RLREADY_RUN_ID")
    # Before the gate nobody knows whether the base model is a candidate or only what all are compared with.
    unknown = role == "candidate" and not (outcome.candidate.epochs or outcome.verdict or outcome.rl)
    if run_id and not unknown:
        _attempt(lambda client, experiment: _log_outcome(client, experiment, outcome, run_id, role))


def open_run(name: str) -> None:
    """Makes the pipeline's run in MLflow, under the name that the user gave the run. Never raises."""
    run_id = os.environ.get("RLREADY_RUN_ID")
    if run_id:
        _attempt(lambda client, experiment: _open_parent(client, experiment, run_id, name))


def end_candidate(candidate: Candidate, status: str) -> None:
    """Marks a candidate's run, and the pipeline's, as FAILED or KILLED: a stage was stopped. Never raises."""
    run_id = os.environ.get("RLREADY_RUN_ID")

    def end(client: Any, experiment: str) -> None:
        for run in (
            _open_child(client, experiment, run_id, candidate, "candidate"),
            _open_parent(client, experiment, run_id),
        ):
            client.set_terminated(run.info.run_id, status)

    if run_id:
        _attempt(end)


def finish_run(run_id: str, parameters: dict, report: dict[str, Path], status: str = "FINISHED") -> None:
    """Completes the pipeline's run: its parameters, the report's files, and its state. Never raises.

    Args:
        run_id: Id of the pipeline run.
        parameters: Flat pipeline parameters; longer values than MLflow takes are cut and end in `…`.
        report: Text files to upload, by the name that they get: KFP calls its files html and markdown.
        status: FINISHED, or FAILED where no candidate has a result.
    """

    def finish(client: Any, experiment: str) -> None:
        run = _open_parent(client, experiment, run_id)
        values = {k: v if isinstance(v, str) else json.dumps(v) for k, v in parameters.items()}
        short = {k: v if len(v) <= LONGEST_PARAMETER else v[: LONGEST_PARAMETER - 1] + "…" for k, v in values.items()}
        _log_missing(client, run, short)
        for name, path in report.items():
            client.log_text(run.info.run_id, path.read_text(), name)
        client.set_terminated(run.info.run_id, status)

    _attempt(finish)


def fail_run(run_id: str) -> None:
    """Marks the pipeline's run as failed; the same command makes a new run. Never raises."""
    _attempt(
        lambda client, experiment: client.set_terminated(_open_parent(client, experiment, run_id).info.run_id, "FAILED")
    )


def log_evaluation(name: str, description: dict, metrics: dict[str, float], files: list[Path]) -> None:
    """Logs an evaluation without a pipeline: a run of this name, its parameters, metrics, datasets and files. Never raises.

    Args:
        name: Of the evaluation; the same one is not logged twice.
        description: From `Evaluation.describe`.
        metrics: By name, e.g. gsm8k/pass_at_1.
        files: To upload.
    """

    def log(client: Any, experiment: str) -> None:
        from mlflow.entities import Metric

        run = _open_run(client, experiment, name, {"rlready.evaluation": name, "rlready.role": "evaluation"})
        now, values = int(time.time() * 1000), {_name_metric(k): v for k, v in metrics.items() if _is_number(v)}
        new = [Metric(key, value, now, 0) for key, value in values.items() if run.data.metrics.get(key) != value]
        parameters = {key: description[key] for key in ("model", "digest", "samples")} | description["sampling"]
        _log_missing(client, run, parameters, metrics=new)
        data = {
            name: {"digest": about["digest"], "rows": about["problems"], "source": about["revision"]}
            for name, about in description["benchmarks"].items()
        }
        client.log_inputs(run.info.run_id, datasets=_list_datasets(data))
        for path in files:
            client.log_artifact(run.info.run_id, str(path))
        client.set_terminated(run.info.run_id)

    _attempt(log)


def find_finished(experiment: str, predictor: str, score: str) -> dict[str, tuple[float, float]]:
    """Returns (predictor, score) of the candidates that have both, by candidate id; the newest run where there are several.

    Args:
        experiment: What `links["experiment"]` of the logged outcomes must be.
        predictor: Name of a metric, e.g. sft/pass_at_64.
        score: Name of a metric, e.g. rl/pass_at_1.

    Returns:
        Nothing where tracking is off or lost.
    """

    def find(client: Any, experiment_id: str) -> dict:
        query = f"tags.`rlready.experiment` = '{experiment}' and tags.`rlready.role` = 'candidate'"
        found, token = {}, None
        while True:
            page = client.search_runs([experiment_id], query, order_by=["start_time ASC"], page_token=token)
            for run in page:
                point = run.data.metrics.get(predictor), run.data.metrics.get(score)
                if None not in point:
                    found[run.data.tags["rlready.candidate_id"]] = point
            token = page.token
            if not token:
                return found

    return _attempt(find) or {}


def find_experiment() -> str | None:
    """Returns the id of the experiment on the tracking server; None where tracking is off or lost."""
    return _attempt(lambda client, experiment: experiment)


def stream_training(prefix: str, candidate: Candidate) -> Any:
    """Returns a callback for a transformers Trainer that sends what it logs to the candidate's run while it trains.

    Args:
        prefix: sft or rl; the loss becomes the metric `<prefix>/train_loss`.
        candidate: Whose training.
    """
    from transformers import TrainerCallback

    class StreamTraining(TrainerCallback):
        def __init__(self):
            self.points, self.sent, self.target = [], 0.0, None
            self.alive = bool(os.environ.get("RLREADY_RUN_ID") and os.environ.get("MLFLOW_TRACKING_URI"))

        def on_log(self, args, state, control, logs=None, **kwargs):
            if self.alive and state.is_world_process_zero:
                now = int(time.time() * 1000)
                for name, value in (logs or {}).items():
                    if _is_number(value) and not name.startswith(("train_", "total_")):
                        self.points.append((_name_metric(f"{prefix}/train_{name}"), value, now, state.global_step))
                if time.monotonic() - self.sent > 1:
                    self.send()

        def on_train_end(self, args, state, control, **kwargs):
            if self.alive and self.points:
                self.send()

        def send(self):
            self.sent = time.monotonic()
            if self.target is None:
                run_id = os.environ["RLREADY_RUN_ID"]
                self.target = _attempt(lambda c, e: (c, _open_child(c, e, run_id, candidate, "candidate").info.run_id))
            self.alive = self.target is not None and bool(_survive(self.log))
            self.points = []

        def log(self):
            from mlflow.entities import Metric

            client, child = self.target
            client.log_batch(child, metrics=[Metric(*point) for point in self.points])
            return True

    return StreamTraining()


def _log_outcome(client: Any, experiment: str, outcome: Outcome, run_id: str, role: str) -> None:
    from mlflow.entities import Metric

    run = _open_child(client, experiment, run_id, outcome.candidate, role)
    child, verdict = run.info.run_id, outcome.verdict
    tags = {"verdict": verdict.decision, "verdict.reason": verdict.reason} if verdict else {}
    tags |= {"audited": "yes"} if verdict and verdict.audited else {}
    tags |= {"failed": f"{outcome.failure.stage}: {outcome.failure.reason}"[:LONGEST_TAG]} if outcome.failure else {}
    tags |= {"rlready.experiment": outcome.links["experiment"]} if "experiment" in outcome.links else {}
    known = {(key, 0, value) for key, value in run.data.metrics.items() if key not in SERIES}
    for key in SERIES:
        known |= {(m.key, m.step, m.value) for m in client.get_metric_history(child, key)}
    new = [point for point in _list_metrics(outcome, role) if point not in known]
    now = int(time.time() * 1000)
    metrics = [Metric(key, value, now, step) for key, step, value in new]
    _log_missing(client, run, dataclasses.asdict(outcome.candidate), tags, metrics)
    if outcome.links.get("data"):
        client.log_inputs(child, datasets=_list_datasets(outcome.links["data"]))
    done = role != "candidate" or (verdict and (not verdict.proceed or outcome.benchmark))
    status = "FAILED" if outcome.failure else "FINISHED"
    if (done or outcome.failure) and run.info.status != status:
        client.set_terminated(child, status)
    _log_models(client, experiment, client.get_run(child), outcome, role)


def _list_metrics(outcome: Outcome, role: str) -> list[tuple[str, int, float]]:
    """Returns (name, step, value) of every figure that is known."""
    points = [*_list_before_rl(outcome), *_list_after_rl(outcome, "rl" if role == "candidate" else "base")]
    return [(_name_metric(key), step, float(value)) for key, step, value in points if value is not None]


def _list_before_rl(outcome: Outcome) -> Iterator[tuple[str, int, float | None]]:
    sft, predictors = outcome.sft, outcome.predictors
    if sft:
        yield "sft/seconds", 0, sft.seconds
        yield from (("sft/heldout_loss", int(epoch), value) for epoch, value in sft.trajectory)
    if predictors is None:
        return
    yield from ((f"sft/pass_at_{k}", 0, value) for k, value in predictors.curve)
    yield from ((f"sft/pass_at_{k}_corrected", 0, value) for k, value in predictors.corrected)
    for k, interval in predictors.intervals.items():
        yield from (
            (f"sft/pass_at_{k}_{side}", 0, value) for side, value in zip(("low", "high"), interval, strict=True)
        )
    yield "sft/false_positive_rate", 0, predictors.false_positives and predictors.false_positives.rate
    for name in ("low", "high", "samples") if predictors.sequence else ():
        yield f"sft/sequential_{name}", 0, getattr(predictors.sequence, name)
    yield from ((f"sft/{name}", 0, value) for name, value in dataclasses.asdict(predictors.by_products).items())
    yield "sft/greedy_pass_at_1", 0, predictors.greedy_pass_at_1
    yield "sft/generalization_loss", 0, predictors.generalization_loss
    for number, quarter in enumerate(predictors.loss_by_length, 1):
        yield f"sft/loss_of_length_quartile_{number}", 0, quarter.loss
    yield "predictors/seconds", 0, predictors.seconds


def _list_after_rl(outcome: Outcome, after: str) -> Iterator[tuple[str, int, float | None]]:
    verdict, rl, benchmark = outcome.verdict, outcome.rl, outcome.benchmark
    if verdict:
        yield "gate/rank", 0, verdict.numbers.rank
        yield "gate/propensity", 0, verdict.propensity
        yield from ((f"forecast/{name}", 0, getattr(verdict.forecast, name)) for name in ("predicted", "low", "high"))
    if rl:
        yield "rl/seconds", 0, rl.seconds
        yield from (("rl/reward", int(step), value) for step, value in rl.rewards)
    if benchmark:
        yield f"{after}/pass_at_1", 0, benchmark.pass_at_1
        yield f"{after}/pass_at_1_standard_error", 0, benchmark.standard_error
        yield f"{after}/greedy_pass_at_1", 0, benchmark.greedy_pass_at_1
        yield from ((f"{after}/{name}/pass_at_1", 0, value) for name, _, value, *_ in benchmark.benchmarks)
        yield "benchmark/chance", 0, benchmark.chance or None
        yield "benchmark/seconds", 0, benchmark.seconds


def _name_metric(name: str) -> str:
    """Returns a name that MLflow takes: one that it refuses, such as that of a file with brackets, would lose all numbers."""
    return re.sub(r"[^A-Za-z0-9_./: -]", "_", name)


def _list_datasets(data: dict) -> list:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    listed = []
    for split, about in data.items():
        source = json.dumps({"tags": {"source": about.get("source")}})
        profile = json.dumps({"num_rows": about.get("rows")})
        dataset = Dataset(split, str(about["digest"])[:36], "code", source, profile=profile)
        listed.append(DatasetInput(dataset, [InputTag("mlflow.data.context", split)]))
    return listed


def _log_models(client: Any, experiment: str, run: Any, outcome: Outcome, role: str) -> None:
    import mlflow
    from mlflow.entities import LoggedModelInput, LoggedModelOutput, Metric

    child, candidate, base = run.info.run_id, outcome.candidate, outcome.links.get("base_model") or {}
    places = {"sft": outcome.links.get("sft_model"), "rl": outcome.links.get("rl_model")}
    places, parent = (places, base.get("location", "")) if role == "candidate" else ({"base": base.get("location")}, "")
    places = {stage: place for stage, place in places.items() if place}
    found = client.search_logged_models([experiment], f"source_run_id = '{child}'") if places else []
    models = {model.tags.get("rlready.stage"): model for model in found}
    outputs = {model.model_id for model in run.outputs.model_outputs} if run.outputs else set()
    inputs = {model.model_id for model in run.inputs.model_inputs} if run.inputs else set()
    parameters = {**dataclasses.asdict(candidate), **{f"base_{key}": value for key, value in base.items()}}
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
        # The run's own point again, to the millisecond: MLflow then adds it to the model only.
        points = [Metric(m.key, m.value, m.timestamp, m.step, model.model_id) for m in last]
        client.log_batch(child, metrics=points)


def _log_missing(client: Any, run: Any, parameters: dict, tags: dict | None = None, metrics: list = ()) -> None:
    from mlflow.entities import Param, RunTag

    missing = [Param(key, str(value)) for key, value in parameters.items() if key not in run.data.params]
    client.log_batch(run.info.run_id, metrics, missing, [RunTag(key, value) for key, value in (tags or {}).items()])


def _open_child(client: Any, experiment: str, run_id: str, candidate: Candidate, role: str) -> Any:
    parent = _open_parent(client, experiment, run_id).info.run_id
    tags = {"rlready.run_id": run_id, "rlready.candidate_id": candidate.candidate_id, "rlready.role": role}
    name = candidate.candidate_id if role == "candidate" else "base model"
    child = _open_run(client, experiment, name, tags, {"mlflow.parentRunId": parent})
    if child.data.tags.get("mlflow.parentRunId") != parent:
        client.set_tag(child.info.run_id, "mlflow.parentRunId", parent)
    return child


def _open_parent(client: Any, experiment: str, run_id: str, name: str = "") -> Any:
    return _open_run(client, experiment, name or run_id, {"rlready.run_id": run_id, "rlready.role": "pipeline"})


def _open_run(client: Any, experiment: str, name: str, tags: dict, more: dict | None = None) -> Any:
    """Returns the oldest run with these tags; where two processes made one each, both settle on it."""
    query = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    found = client.search_runs([experiment], query)
    if not found:
        client.create_run(experiment, tags=tags | (more or {}), run_name=name)
        found = client.search_runs([experiment], query)
    first, *others = sorted(found, key=lambda run: (run.info.start_time, run.info.run_id))
    for other in others:
        with contextlib.suppress(Exception):  # the other process deleted it
            client.delete_run(other.info.run_id)
    return first


def _attempt(work: Callable[[Any, str], Any]) -> Any:
    """Returns what the work returns, given a client and the id of the experiment; None if tracking is off or lost."""
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    return _survive(lambda: _connect_and(work, uri)) if uri and uri not in _unreachable else None


def _connect_and(work: Callable[[Any, str], Any], uri: str) -> Any:
    for key, value in DEFAULTS.items():
        os.environ.setdefault(key, value)
    with contextlib.ExitStack() as stack:
        try:
            from mlflow import MlflowClient

            for name in ("mlflow", "alembic", "urllib3.connectionpool"):
                logging.getLogger(name).setLevel(logging.ERROR)
            database = Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None
            if database:
                stack.enter_context(_hold_lock(database))
            client = MlflowClient(uri)
            experiment = _open_experiment(client, database)
        except Exception:
            _unreachable.add(uri)
            raise
        return work(client, experiment)


def _open_experiment(client: Any, database: Path | None) -> str:
    from mlflow.exceptions import MlflowException

    given, name = os.environ.get("MLFLOW_EXPERIMENT_ID"), os.environ.get("MLFLOW_EXPERIMENT_NAME") or "rlready"
    experiment = client.get_experiment(given) if given else client.get_experiment_by_name(name)
    if experiment is None:
        folder = str(database.resolve().parent / "mlartifacts") if database else None
        try:
            experiment = client.get_experiment(client.create_experiment(name, folder))
        except MlflowException:
            experiment = client.get_experiment_by_name(name)  # another process was first
            if experiment is None:
                raise
    columns = [f"{kind}.`{key}`" for kind, keys in COLUMNS.items() for key in keys]
    order = {"orderByKey": "metrics.`rl/pass_at_1`", "orderByAsc": False}
    view = json.dumps({"searchFilter": "tags.`rlready.role` != 'pipeline'", "selectedColumns": columns, **order})
    if experiment.tags.get(VIEW) != view:
        client.set_experiment_tag(experiment.experiment_id, VIEW, view)
    return experiment.experiment_id


@contextlib.contextmanager
def _hold_lock(database: Path):
    import fcntl

    database.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{database}.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _survive(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except Exception as error:
        uri = os.environ["MLFLOW_TRACKING_URI"]
        if not _reported:
            cause = error
            while cause.__cause__ or cause.__context__:
                cause = cause.__cause__ or cause.__context__
            what = f"{uri} cannot be reached" if uri in _unreachable else f"{uri} did not take everything"
            line = re.sub(r"//[^@/\s]+@", "//", f"tracking: lost ({what}: {' '.join(repr(cause).split())[:200]})")
            line += "; the run goes on, the report will hold all numbers"
            print(line, flush=True)
            events.emit("tracking", None, "lost", message=line)
        _reported.add(uri)
        return None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
