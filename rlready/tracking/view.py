"""The shared view of MLflow's runs page, which shows no metrics by default: /#/experiments/<id>/runs?viewStateShareKey=rlready

MLflow 3.17 has no public call for it: this module writes the experiment tag that the page's Share button writes. If a later
MLflow ignores the tag, the page shows its default columns. The view has one line per candidate, with its run, its settings
and the parameters in which the runs of the experiment differ.
"""

import json
from typing import Any

from rlready.records.outcome import name_end
from rlready.tracking.client import search
from rlready.tracking.figures import ELSEWHERE, RESULT, SCORE, STOPPED

NOTE = "mlflow.note.content"  # what MLflow shows as the description of a run
VIEW = "mlflow.sharedViewState.rlready"
# MLflow's columns keep their place, and only this one is wide: it holds the intervals and the run's name (`describe`).
FIRST = "attributes.`Description`"
FIGURES = ("sft/pass_at_1", "sft/generalization_loss", SCORE)
SETTINGS = ("epochs", "subset", "examples", "learning_rate", "checkpoint", "seed")  # of a candidate
TAGS = ("verdict", "verdict.reason", "race", "failed.reason", STOPPED)


def share(client: Any, experiment: str) -> None:
    """Stores the view with the experiment, with the columns that its runs need."""
    runs = [run.data.params for run in search(client, experiment, "tags.`rlready.run_id` LIKE '%'")]
    order = {"orderByKey": f"metrics.`{SCORE}`", "orderByAsc": False}
    view = json.dumps({"searchFilter": "tags.`rlready.role` != 'pipeline'", "selectedColumns": list_columns(runs), **order})
    if client.get_experiment(experiment).tags.get(VIEW) != view:
        client.set_experiment_tag(experiment, VIEW, view)


def list_columns(runs: list[dict[str, str]]) -> list[str]:
    """Returns the columns, as MLflow names them, for runs and candidates with these parameters."""
    counts = sorted({f"sft/pass_at_{run['gate_k']}" for run in runs if "gate_k" in run} - {*FIGURES})
    names = dict.fromkeys(name for run in runs for name in run if not name.startswith("sweep_") and name != "candidate_id")
    differing = [name for name in names if len({run[name] for run in runs if name in run}) > 1]
    columns = {"metrics": (*FIGURES, *counts), "params": dict.fromkeys((*SETTINGS, *differing)), "tags": TAGS}
    return [FIRST, *(f"{kind}.`{name}`" for kind, names in columns.items() for name in names)]


def describe(run: Any) -> str:
    """Returns the description of a candidate's run: its figures with 95% intervals, the last stage's first, then its run."""
    metrics, tags, k = run.data.metrics, run.data.tags, run.data.params.get("gate_k", "1")
    names = {
        SCORE: "RL (external)" if tags.get(RESULT) == ELSEWHERE else "RL",
        "base/pass_at_1": "no RL",
        f"sft/pass_at_{k}": f"Pass@{k}",
        "sft/sequential": f"Pass@{k}",
    }
    parts = []
    for key, name in names.items():
        ends = [metrics.get(f"{key}_{end}") for end in ("low", "high")]
        value = [f"{metrics[key]:.0%}"] if key in metrics else []
        interval = [] if None in ends else ["[{:.0%}, {:.0%}]".format(*ends)]
        if value or interval:
            parts.append(" ".join([name, *value, *interval]))
    parts += [f"{tags['failed']} failed"] if "failed" in tags else []
    parts += [name_end(tags[STOPPED])] if STOPPED in tags else []
    return f"{', '.join(parts)} ({tags['run']})" if parts else tags["run"]
