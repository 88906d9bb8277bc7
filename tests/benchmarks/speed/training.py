"""A step of GRPO beside TRL's own trainer, on the laptop recipe's model and problems."""

import statistics
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import pairs
import trl

from rlready.config import read_settings
from rlready.config.recipes import load_recipe
from rlready.models.load import BUILTIN
from rlready.stages.curate.stage import run as curate
from rlready.stages.plan.plan import make_plan
from rlready.stages.rl import grpo, stage

PROMPTS, SAMPLES = 16, 16


class SharedSampling(trl.GRPOTrainer):
    """TRL's trainer with rlready's sampling."""

    def __init__(self, *args, stop=(), **kwargs):
        super().__init__(*args, **kwargs)


class Plain(SharedSampling):
    """TRL's trainer as it is, which samples with `generate`."""

    def __init__(self, *args, rollout_func=None, **kwargs):
        super().__init__(*args, **kwargs)


def sum_steps(costs: list[pairs.Cost], steps: int) -> pairs.Cost:
    """Returns the median cost of a step from those of its forward and backward passes."""
    parts = len(costs) // steps
    ranges = [costs[start : start + parts] for start in range(0, len(costs), parts)]
    wall, cores = (
        statistics.median(sum(getattr(cost, name) for cost in some) for some in ranges) for name in ("wall", "cores")
    )
    return pairs.Cost(wall, cores, 1)


def run(given) -> None:
    """Prints the rows of training; what is counted is sampling, rewards, loss and gradients, not the update."""
    changes = {"rl_steps": given.steps, "rl_eval_steps": 0, "rl_prompts_per_step": PROMPTS, "rl_num_generations": SAMPLES}
    plan = make_plan(load_recipe("laptop", [f"{name}={value}" for name, value in changes.items()]))
    settings = read_settings(plan.settings["rl"])

    def train(kind, data: Path) -> pairs.Cost:
        costs: list[pairs.Cost] = []

        class TimedTrainer(kind):
            def training_step(self, *args, **kwargs):
                loss = []
                costs.append(pairs.measure(lambda: loss.append(super(TimedTrainer, self).training_step(*args, **kwargs)) or 1))
                return loss[0]

        with TemporaryDirectory() as out, patch.object(grpo, "ThriftyGRPOTrainer", TimedTrainer):
            stage.train(plan.baseline, settings, data, str(BUILTIN[plan.base.location]), Path(out) / "model")
        return sum_steps(costs, given.steps)

    with TemporaryDirectory() as folder:
        curate(plan.settings["curate"], f"{folder}/data", f"{folder}/card.md")
        kinds = {
            "rlready": grpo.ThriftyGRPOTrainer,
            "TRL's GRPOTrainer": Plain,
            "TRL's GRPOTrainer with rlready's sampling": SharedSampling,
        }
        works = {name: partial(train, kind, Path(folder) / "data") for name, kind in kinds.items()}
        costs = pairs.take_turns(works, given.rounds)
    pairs.print_pairs(f"steps of GRPO with {PROMPTS * SAMPLES} completions of the laptop recipe", costs)
