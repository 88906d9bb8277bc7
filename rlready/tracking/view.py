"""The shared view of MLflow's runs page, which shows no metrics by default: /#/experiments/<id>/runs?viewStateShareKey=rlready

One line a candidate, with the run that it belongs to and the settings in which the runs of the experiment differ, so that the
same candidate in three runs is three lines that can be told apart.
"""

import json
from typing import Any

from rlready.tracking.client import search
from rlready.tracking.metrics import ELSEWHERE, RESULT

NOTE = "mlflow.note.content"  # what MLflow shows as the description of a run
VIEW = "mlflow.sharedViewState.rlready"
# MLflow's columns keep their place, and only this one is wide: it holds the run's name and the intervals (`describe`).
FIRST = "attributes.`Description`"
FIGURES = ("sft/pass_at_1", "sft/generalization_loss", "rl/pass_at_1")
SETTINGS = ("epochs", "subset", "learning_rate", "checkpoint", "seed")  # of a candidate
TAGS = ("verdict", "verdict.reason", "failed.reason", "rl.stopped")
MOST_DIFFERENCES = 8  # columns; more would not be looked at


def share(client: Any, experiment: str) -> None:
    """Stores the view with the experiment, as the pipeline runs that there are need it."""
    runs = [run.data.params for run in search(client, experiment, "tags.`rlready.role` = 'pipeline'")]
    order = {"orderByKey": "metrics.`rl/pass_at_1`", "orderByAsc": False}
    view = json.dumps({"searchFilter": "tags.`rlready.role` != 'pipeline'", "selectedColumns": list_columns(runs), **order})
    if client.get_experiment(experiment).tags.get(VIEW) != view:
        client.set_experiment_tag(experiment, VIEW, view)


def list_columns(runs: list[dict[str, str]]) -> list[str]:
    """Returns the columns, as MLflow names them, for runs with these parameters."""
    counts = sorted({f"sft/pass_at_{run['gate_k']}" for run in runs if "gate_k" in run} - {*FIGURES})
    metrics, settings = (*FIGURES, *counts), (*SETTINGS, *list_differences(runs))
    named = {"metrics": metrics, "params": settings, "tags": TAGS}
    return [FIRST, *(f"{kind}.`{name}`" for kind, names in named.items() for name in names)]


def describe(run: Any) -> str:
    """Returns what the first column says of a candidate's run: the pipeline's run, and its figures with their 95 % intervals.

    The last figure comes first, because the column ends.
    """
    metrics, k = run.data.metrics, run.data.params.get("gate_k", "1")
    names = {
        "rl/pass_at_1": f"RL {ELSEWHERE}" if run.data.tags.get(RESULT) == ELSEWHERE else "RL",
        "base/pass_at_1": "no RL",
        f"sft/pass_at_{k}": f"Pass@{k}",
        "sft/sequential": f"Pass@{k}",
    }
    parts = [f"{run.data.tags['failed']} failed"] if "failed" in run.data.tags else []
    parts += ["RL without signal"] if "rl.stopped" in run.data.tags else []
    for key, name in names.items():
        ends = [metrics.get(f"{key}_{end}") for end in ("low", "high")]
        value = [f"{metrics[key]:.0%}"[:-1]] if key in metrics else []
        interval = [] if None in ends else ["[{:.0f}, {:.0f}]".format(*(100 * end for end in ends))]
        if value or interval:
            parts.append(" ".join([name, *value, *interval, "%"]))
    return ": ".join([run.data.tags["run"], ", ".join(parts)] if parts else [run.data.tags["run"]])


def list_differences(runs: list[dict[str, str]]) -> list[str]:
    """Returns the parameters in which runs differ; those of the sweep are its candidates' own."""
    names = dict.fromkeys(name for run in runs for name in run if not name.startswith("sweep_"))
    return [name for name in names if len({run[name] for run in runs if name in run}) > 1][:MOST_DIFFERENCES]
