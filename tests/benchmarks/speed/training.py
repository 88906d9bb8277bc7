"""A step of GRPO beside TRL's own trainer, on the laptop recipe's model and problems."""

import statistics
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


def run(given) -> None:
    """Prints the row of training; what is counted is sampling, rewards, loss and gradients, not the update."""
    plan = make_plan(
        load_recipe("laptop", [f"rl_steps={given.steps}", f"rl_prompts_per_step={PROMPTS}", f"rl_num_generations={SAMPLES}"])
    )
    settings = read_settings(plan.settings["rl"])
    with TemporaryDirectory() as folder:
        curate(plan.settings["curate"], f"{folder}/data", f"{folder}/card.md")

        def train(kind) -> pairs.Cost:
            costs = []

            class TimedTrainer(kind):
                def training_step(self, *arguments, **named):
                    loss = []
                    costs.append(
                        pairs.measure(lambda: loss.append(super(TimedTrainer, self).training_step(*arguments, **named)) or 1)
                    )
                    return loss[0]

            with patch.object(grpo, "ThriftyGRPOTrainer", TimedTrainer):
                out = Path(folder) / f"{kind.__name__}-{len(list(Path(folder).iterdir()))}"
                stage.train(plan.baseline, settings, Path(folder) / "data", str(BUILTIN[plan.base.location]), out)
            parts = len(costs) // given.steps  # forward and backward passes of a step
            sums = [
                [sum(getattr(cost, name) for cost in costs[start : start + parts]) for start in range(0, len(costs), parts)]
                for name in ("wall", "cores")
            ]
            wall, cores = (statistics.median(part) for part in sums)
            return pairs.Cost(wall, cores, 1)

        works = {"rlready": lambda: train(grpo.ThriftyGRPOTrainer), "TRL's GRPOTrainer": lambda: train(trl.GRPOTrainer)}
        costs = pairs.take_turns(works, given.rounds)
    pairs.print_pairs(f"steps of GRPO with {PROMPTS * SAMPLES} completions of the laptop recipe", costs)
