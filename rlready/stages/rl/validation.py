"""Validation during RL: the policy on problems that it is not trained on, at some steps; and which step's model is kept."""

import itertools
import shutil
import time
from pathlib import Path
from typing import Any

from accelerate.utils import gather_object
from transformers import TrainerCallback

from rlready.config.experiment import list_validated_steps
from rlready.data.curated import read_set
from rlready.evaluation.score import count_right, score_problems
from rlready.records.outcome import ValidationPoint, ValidationRecord
from rlready.sampling.engine import Draw
from rlready.sampling.transformers_engine import TransformersEngine
from rlready.stages.rl.grpo import open_policy
from rlready.stats.pass_at_k import estimate_pass_at_k
from rlready.stats.steps import Steps
from rlready.training.processes import count_ranks, is_main
from rlready.training.trainer import keep_trained

CORRECT, UNKNOWN = "validation_correct", "validation_unknown"  # in the Trainer's log: samples of each problem


class Validation(TrainerCallback):
    """Validates the policy before the first step, at some steps and after the last; the log is part of the checkpoint.

    Samples depend on the candidate's seed and the problem only, so steps and candidates with one seed share random numbers, and
    training draws its own as if there were no validation. Every process samples a share of the problems.
    """

    trainer: Any  # set once it exists

    def __init__(self, candidate, settings, data: Path, start: str):
        self.candidate, self.keep, self.start = candidate, settings.rl.keep, start
        self.problems = read_set(data, "validation")
        self.steps = list_validated_steps(settings) if self.problems else []
        sampling = settings.sampling
        self.draw = Draw(settings.rl.eval_samples, sampling.max_tokens, seed=candidate.seed, stop=sampling.stop)

    def on_step_end(self, args, state, control, **kwargs):
        """Validates the policy if it is time, before the checkpoint of this step."""
        self._validate_at(state, control, state.global_step in self.steps)

    on_train_begin = on_step_end  # the initial model; after a kill also that of a step whose validation was not logged

    def on_save(self, args, state, control, **kwargs):
        """Removes the weights that the new checkpoint needs no more; until now a kill would have needed them."""
        if self.keep == "best" and self.steps and is_main():
            needed = self._name_kept(Path(args.output_dir), self.read(state.log_history))
            for folder in Path(args.output_dir).glob("kept-*"):
                if folder != needed:
                    shutil.rmtree(folder)

    def on_train_end(self, args, state, control, **kwargs):
        """Validates the last step if RL ended early."""
        self._validate_at(state, control, bool(self.steps))

    def _validate_at(self, state, control, due: bool) -> None:
        if not due or any(CORRECT in entry and entry["step"] == state.global_step for entry in state.log_history):
            return
        with open_policy(self.trainer) as policy:
            # In evaluation mode, or TRL would add the metrics of the step and forget them; nor is this the log of the step.
            logs = control.should_log
            self.trainer.log(self._measure(policy))
            control.should_log = logs
        record = self.read(state.log_history)
        point = record.points[-1]
        if is_main():
            shown = f"{point.pass_at_1:.3f} of {len(self.problems)} problems"
            print(f"rl {self.candidate.candidate_id}: validation Pass@1 {shown} at step {point.step}", flush=True)
        if self.keep == "best" and choose_step(record)[0] == state.global_step < self.steps[-1]:
            keep_trained(self.trainer, self.start, self._name_kept(Path(self.trainer.args.output_dir), record))

    def _measure(self, policy) -> dict:
        """Returns the entry of the log."""
        begun, rank, ranks = time.time(), self.trainer.accelerator.process_index, count_ranks()
        mine, found = self.problems[rank::ranks], []
        if mine:
            scored = score_problems(TransformersEngine(policy, self.trainer.processing_class), mine, self.draw)
            unknown = [sum(one.right is None for one in judged) for judged in scored.judgements]
            tokens = [sum(len(completion.ids) for completion in sampled) for sampled in scored.completions]
            found = list(zip(count_right(scored.judgements), unknown, tokens, strict=True))
        shares = gather_object([found]) if ranks > 1 else [found]
        rows = [row for rows in itertools.zip_longest(*shares) for row in rows if row is not None]  # in the problems' order
        correct, unknown, tokens = (list(column) for column in zip(*rows, strict=True))
        point, spent = make_point(0, correct, unknown, self.draw.samples), time.time() - begun
        shown = {"tokens": sum(tokens), "seconds": spent, "pass_at_1": point.pass_at_1, "pass_at_k": point.pass_at_k}
        return {CORRECT: correct, UNKNOWN: unknown} | {f"validation_{name}": value for name, value in shown.items()}

    @staticmethod
    def _name_kept(folder: Path, record: ValidationRecord) -> Path:
        return folder / f"kept-{choose_step(record)[0]}"

    def find_kept(self, state, folder: Path) -> Path | None:
        """Returns the folder of the best weights; None if they are those of the last step, or those are wanted."""
        record = self.read(state.log_history)
        if self.keep == "last" or not record.points or choose_step(record)[0] == state.global_step:
            return None
        return self._name_kept(folder, record)

    def read(self, history: list[dict]) -> ValidationRecord:
        """Returns what was measured, by the Trainer's log."""
        entries = [entry for entry in history if CORRECT in entry]
        samples, ids = self.draw.samples, [row["problem_id"] for row in self.problems]
        points = [make_point(entry["step"], entry[CORRECT], entry[UNKNOWN], samples) for entry in entries]
        tokens, seconds = (sum(entry[f"validation_{name}"] for entry in entries) for name in ("tokens", "seconds"))
        return ValidationRecord(points, samples, len(self.steps), ids, tokens, seconds=seconds)


def make_point(step: int, correct: list[int], unknown: list[int], samples: int) -> ValidationPoint:
    """Returns the figures of one validation from the counts of each problem."""
    first, all_of_them = (estimate_pass_at_k(correct, samples, k) for k in (1, samples))
    return ValidationPoint(step, correct, first.value, first[1:], all_of_them.value, unknown)


def compare_steps(record: ValidationRecord) -> Steps:
    """Returns the validated steps of one RL as they are compared."""
    right, unknown = ([getattr(point, name) for point in record.points] for name in ("correct", "unknown"))
    return Steps.of(right, unknown, record.samples or 1, record.planned or 1)


def choose_step(record: ValidationRecord) -> tuple[int, str]:
    """Returns the latest step that is not clearly worse than the best, and why."""
    points, steps = record.points, compare_steps(record)
    chosen, best = points[steps.choose_latest()], points[steps.find_best()]
    why = f"step {chosen.step}, the best in validation (Pass@1 {chosen.pass_at_1:.3f})"
    if chosen is not best:
        why = f"step {chosen.step}, not clearly worse in validation than the best, step {best.step}"
        why += f" (Pass@1 {chosen.pass_at_1:.3f} and {best.pass_at_1:.3f})"
    return chosen.step, why if chosen is points[-1] else f"{why}; all later ones are clearly worse"


def explain_last(record: ValidationRecord) -> str:
    """Returns why the last step was kept, and whether an earlier one was clearly better."""
    why, steps = "the last step (rl_keep: last)", compare_steps(record) if record.points else None
    if steps is None or not steps.is_worse(len(record.points) - 1):
        return why
    best, last = record.points[steps.find_best()], record.points[-1]
    shown = f"Pass@1 {last.pass_at_1:.3f} and {best.pass_at_1:.3f}"
    return f"{why}, although clearly worse in validation than step {best.step} ({shown})"
