"""Starts runs on a KFP server: a pipeline version, an experiment, a run or a schedule of runs."""

import functools
import json
import re
from pathlib import Path
from typing import Any

import kfp_server_api as api

from rlready.config import fold_parameters, name_fields
from rlready.errors import InputError
from rlready.run.kfp.package import PIPELINE, describe_package, name_version
from rlready.run.kfp.server import Server, call, create

DESCRIPTION = (
    "The report: node Report, its artifact report, tab Visualization. The verdicts: node Gate, its artifact verdicts. What will"
    " be done, and what it costs: node Plan, its artifact plan."
)


def upload(server: Server, package: Path, recipe: str) -> tuple[str, str]:
    """Uploads the compiled pipeline, unless the server has the same version already.

    Args:
        server: The KFP server.
        package: The compiled pipeline.
        recipe: Name of its recipe, part of the version's name.

    Returns:
        The ids of the pipeline and of its version.
    """
    pipelines, uploads = api.PipelineServiceApi(server.client), api.PipelineUploadServiceApi(server.client)
    space = {"namespace": server.namespace} if server.namespace else {}
    details = {"description": describe_package(package)}
    listed = call(server.client, pipelines.pipeline_service_list_pipelines, filter=_select(PIPELINE), **space)
    if listed.pipelines:
        pipeline = listed.pipelines[0].pipeline_id
    else:
        new = api.V2beta1Pipeline(display_name=PIPELINE, name=PIPELINE, **details, **space)
        pipeline = create(server.client, pipelines.pipeline_service_create_pipeline, new, "pipeline_id")
    version = name_version(package, recipe)
    known = call(server.client, pipelines.pipeline_service_list_pipeline_versions, pipeline, filter=_select(version))
    if known.pipeline_versions:
        return pipeline, known.pipeline_versions[0].pipeline_version_id
    details |= {"name": version, "display_name": version, "pipelineid": pipeline}
    send = functools.partial(uploads.upload_pipeline_version, **details)
    return pipeline, create(server.client, send, str(package), "pipeline_version_id")


def _select(name: str) -> str:
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": name}]})


def open_experiment(server: Server, name: str) -> str:
    """Returns the id of the experiment of this name, which is created if there is none."""
    experiments = api.ExperimentServiceApi(server.client)
    space = {"namespace": server.namespace} if server.namespace else {}
    listed = call(server.client, experiments.experiment_service_list_experiments, filter=_select(name), **space)
    if listed.experiments:
        return listed.experiments[0].experiment_id
    new = api.V2beta1Experiment(display_name=name, **space)
    return create(server.client, experiments.experiment_service_create_experiment, new, "experiment_id")


def start_run(
    server: Server,
    version: tuple[str, str],
    experiment: str,
    name: str,
    parameters: dict[str, Any],
    account: str | None = None,
    every: str | None = None,
) -> str:
    """Starts a run, or a schedule of runs.

    Args:
        server: The KFP server.
        version: Ids of the pipeline and of its version.
        experiment: Id of the experiment.
        name: Name of the run.
        parameters: Every parameter by its flat name.
        account: Kubernetes service account of the pods; defaults to the server's.
        every: Cron expression of a schedule; one run at a time, and missed ones are skipped.

    Returns:
        The id of the run or of the schedule.
    """
    fields = name_fields()
    values = {fields[name]: value for name, value in fold_parameters(parameters).items()}
    common = {
        "experiment_id": experiment,
        "display_name": name,
        "description": DESCRIPTION,
        "pipeline_version_reference": api.V2beta1PipelineVersionReference(*version),
        "runtime_config": api.V2beta1RuntimeConfig(parameters=values),
        "service_account": account,
    }
    if every is None:
        run = api.V2beta1Run(**common)
        return create(server.client, api.RunServiceApi(server.client).run_service_create_run, run, "run_id")
    schedule = api.V2beta1RecurringRun(
        **common,
        trigger=api.V2beta1Trigger(cron_schedule=api.V2beta1CronSchedule(cron=parse_cron(every))),
        mode=api.RecurringRunMode.ENABLE,
        max_concurrency="1",
        no_catchup=True,
    )
    recurring = api.RecurringRunServiceApi(server.client)
    start = recurring.recurring_run_service_create_recurring_run
    return create(server.client, start, schedule, "recurring_run_id")


def parse_cron(text: str) -> str:
    """Returns a cron expression as KFP reads it, with seconds first; the usual five fields start at second 0.

    KFP would read five fields as second, minute, hour, day and month (robfig/cron 1.2).

    Raises:
        InputError: If there are not five or six fields of a cron expression.
    """
    fields = text.split()
    if len(fields) not in (5, 6) or not all(re.fullmatch(r"[\d*/,?A-Za-z-]+", field) for field in fields):
        raise InputError(f"--every {text!r}: expected minute, hour, day, month and weekday, e.g. '0 3 * * 1'")
    return " ".join(fields if len(fields) == 6 else ["0", *fields])
