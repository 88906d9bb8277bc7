"""The shared view of MLflow's runs page, where by default no metric is shown: /#/experiments/<id>/runs?viewStateShareKey=rlready.

One line a candidate, with the run that it belongs to and the settings in which the runs of the experiment differ, so that the
same candidate in three runs is three lines that can be told apart.
"""

import json
from typing import Any

from rlready.components.core.records import Outcome
from rlready.components.core.tracking.client import search

VIEW = "mlflow.sharedViewState.rlready"
# MLflow's columns keep their place, and only this one is wide: it holds the run's name and the intervals (`describe`).
FIRST = "attributes.`Description`"
FIGURES = ("sft/pass_at_1", "sft/generalization_loss", "rl/pass_at_1")
SETTINGS = ("epochs", "subset", "learning_rate", "seed")  # of a candidate
TAGS = ("verdict", "verdict.reason", "failed.reason")
MOST_DIFFERENCES = 8  # columns; more would not be looked at


def share(client: Any, experiment: str) -> None:
    """Stores the view with the experiment, as the pipeline runs that there are need it."""
    runs = [run.data.params for run in search(client, experiment, "tags.`rlready.role` = 'pipeline'")]
    order = {"orderByKey": "metrics.`rl/pass_at_1`", "orderByAsc": False}
    view = json.dumps(
        {"searchFilter": "tags.`rlready.role` != 'pipeline'", "selectedColumns": list_columns(runs), **order}
    )
    if client.get_experiment(experiment).tags.get(VIEW) != view:
        client.set_experiment_tag(experiment, VIEW, view)


def list_columns(runs: list[dict[str, str]]) -> list[str]:
    """Returns the columns, as MLflow names them, for runs with these parameters."""
    counts = sorted({f"sft/pass_at_{run['gate_k']}" for run in runs if "gate_k" in run} - {*FIGURES})
    metrics, settings = (*FIGURES, *counts), (*SETTINGS, *list_differences(runs))
    named = {"metrics": metrics, "params": settings, "tags": TAGS}
    return [FIRST, *(f"{kind}.`{name}`" for kind, names in named.items() for name in names)]


def describe(run: str, outcome: Outcome) -> str:
    """Returns what the first column says of a candidate: its pipeline run, and its figures with their 95 % intervals.

    Args:
        run: Name of the pipeline run.
        outcome: The last figure comes first, because the column ends.
    """
    parts = [f"{outcome.failure.stage} failed"] if outcome.failure else []
    if scored := outcome.benchmark:
        parts.append(f"{'RL' if outcome.rl else 'no RL'} {_write(scored.interval, scored.pass_at_1)}")
    predictors = outcome.predictors
    if predictors and predictors.intervals:
        k = str(outcome.verdict and outcome.verdict.numbers.k)
        k = k if k in predictors.intervals else max(predictors.intervals, key=int)
        parts.append(f"Pass@{k} {_write(predictors.intervals[k], predictors.get_pass_at(int(k)))}")
    elif predictors and predictors.sequence:
        parts.append(f"Pass@{predictors.sequence.k} {_write([predictors.sequence.low, predictors.sequence.high])}")
    return ": ".join([run, ", ".join(parts)] if parts else [run])


def _write(interval: list | None, value: float | None = None) -> str:
    ends = [] if interval is None or None in interval else ["[{:.2f}, {:.2f}]".format(*interval)]
    return " ".join(([] if value is None else [f"{value:.2f}"]) + ends)


def list_differences(runs: list[dict[str, str]]) -> list[str]:
    """Returns the parameters in which runs differ; those of the sweep are its candidates' own."""
    names = dict.fromkeys(name for run in runs for name in run if not name.startswith("sweep_"))
    return [name for name in names if len({run[name] for run in runs if name in run}) > 1][:MOST_DIFFERENCES]
