"""MLflow's model registry: the models of approved candidates with their verdicts, and which one is best after RL."""

import contextlib
import re
from collections.abc import Sequence
from typing import Any

from rlready.records.outcome import Outcome
from rlready.tracking.client import LONGEST_TAG, attempt
from rlready.tracking.lineage import find_models
from rlready.tracking.runs import open_child

WINNER = "rl-winner"  # alias of the model that is best after RL


def register_models(run_id: str, outcomes: Sequence[Outcome], winner: str | None) -> None:
    """Registers the models of approved candidates and of the best one after RL, each once. Never raises.

    The registered model is named after the experiment. A version is a candidate's model after RL, or after SFT if it has no
    other; its tags hold the verdict. The alias moves to the winner of this run.

    Args:
        run_id: Id of the pipeline run, to which the outcomes are logged already.
        outcomes: The candidates.
        winner: Name of the best candidate after RL; None if there is none.
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
