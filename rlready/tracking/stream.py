"""Streams what a Trainer logs to the candidate's run in MLflow."""

import os
import time
from typing import Any

from rlready.records.candidate import Candidate
from rlready.tracking.client import attempt, survive
from rlready.tracking.figures import is_number, name_metric
from rlready.tracking.runs import open_child


def stream_training(prefix: str, candidate: Candidate) -> Any:
    """Returns a callback for a transformers Trainer; with the prefix sft or rl, its loss becomes `<prefix>/train_loss`."""
    from transformers import TrainerCallback

    class StreamTraining(TrainerCallback):
        def __init__(self):
            self.points, self.sent = [], 0.0
            self.target: tuple[Any, str] | None = None
            self.alive = bool(os.environ.get("RLREADY_RUN_ID") and os.environ.get("MLFLOW_TRACKING_URI"))

        def on_log(self, args, state, control, logs=None, **kwargs):
            if self.alive and state.is_world_process_zero:
                now = int(time.time() * 1000)
                for name, value in (logs or {}).items():
                    if is_number(value) and not name.startswith(("train_", "total_")):
                        key = f"{prefix}/{name}" if name.startswith("validation_pass") else f"{prefix}/train_{name}"
                        self.points.append((name_metric(key), value, now, state.global_step))
                if time.monotonic() - self.sent > 1:
                    self.send()

        def on_train_end(self, args, state, control, **kwargs):
            if self.alive and self.points:
                self.send()

        def send(self):
            self.sent = time.monotonic()
            if self.target is None:
                run_id = os.environ["RLREADY_RUN_ID"]
                self.target = attempt(lambda c, e: (c, open_child(c, e, run_id, candidate).info.run_id))
            target = self.target
            self.alive = bool(target and survive(lambda: self.log(*target)))
            self.points = []

        def log(self, client, child):
            from mlflow.entities import Metric

            client.log_batch(child, metrics=[Metric(*point) for point in self.points])
            return True

    return StreamTraining()
