"""The RL stage: trains one checkpoint with TRL's GRPOTrainer and the verifier as the reward."""

import dataclasses
import shutil
from pathlib import Path
from types import SimpleNamespace

from rlready.config import read_settings
from rlready.data.curated import identify_data
from rlready.errors import InputError
from rlready.models.load import digest_folder
from rlready.records.candidate import Candidate
from rlready.records.outcome import Outcome, RlRecord
from rlready.records.serialization import from_json, identify_work, read_record, write_record
from rlready.runtime import events
from rlready.stages.rl.grpo import build_trainer
from rlready.stages.rl.stopping import StopEarly
from rlready.stages.rl.validation import Validation, choose_step, explain_last
from rlready.stats.plateau import average_blocks
from rlready.tracking.log import log_outcome
from rlready.training.processes import describe_device, is_main
from rlready.training.trainer import train_resumably


def run(
    candidate: str,
    settings: str,
    data: str,
    model: str,
    before: str,
    measured_digest: str,
    trained: str,
    model_uri: str,
    outcome: str,
    probe: str | None = None,
) -> dict[str, float | None]:
    """Trains one checkpoint, writes model folder and outcome, and returns its headline figures.

    With a race in its settings RL pauses at `race_steps`, unless it ended before, and `trained` holds its training state. Given
    as `probe`, RL goes on from there, with `before` as the paused RL left it.

    Raises InputError if the weights are not those that the predictors measured.
    """
    chosen, given, so_far = from_json(Candidate, candidate), read_settings(settings), read_record(Outcome, before)
    digest = so_far.sft.model_digest if so_far.sft else None
    if digest != measured_digest:
        raise InputError(
            f"{chosen.candidate_id}: SFT ran again and gave other weights ({digest}) than those that the gate judged"
            f" ({measured_digest}); enable caching for this run, so that RL gets the measured checkpoint"
        )
    race = given.race.steps if hasattr(given, "race") else None
    record: RlRecord | None
    if probe and race and so_far.rl and (so_far.rl.steps or 0) < race:  # it has ended already
        shutil.copytree(probe, trained, dirs_exist_ok=True)
        record = so_far.rl
    else:
        leg = {"begun_in": Path(probe)} if probe else {"until": race}
        record = train(chosen, given, Path(data), model, Path(trained), **leg)
    if record is None:  # in every process but the main one
        return {}
    # What pauses for the race has a training state, not a model.
    links = {} if race and not probe and record.steps == race else {"rl_model": model_uri}
    reached = dataclasses.replace(so_far, rl=record, links=so_far.links | links)
    write_record(reached, outcome)
    log_outcome(reached)
    last = record.rewards[-1][1] if record.rewards else None
    return {"reward": last, "steps": record.steps, "seconds": record.seconds}


def train(candidate: Candidate, settings: SimpleNamespace, data: Path, model: str, out: Path, **leg) -> RlRecord | None:
    """Trains a checkpoint with GRPO: on-policy, temperature 1, no KL term, rewards scaled within a prompt's group.

    A killed run resumes from its last checkpoint. `leg` is `until` or `begun_in` of `train_resumably`. Returns None in
    processes other than the main one. Raises InputError if the prompts or completions of a step do not divide.
    """
    validation = Validation(candidate, settings, data, model)
    stopping = StopEarly(settings.rl, validation)
    digests = [digest_folder(Path(model)), *identify_data(data, "rl", "validation")]
    work = [identify_work(candidate), repr(settings), *digests, *leg]  # the name of the leg

    def build(folder: Path, shared: list):
        validation.trainer = build_trainer(candidate, settings, data, model, [stopping, validation], folder, shared)
        return validation.trainer

    best = settings.rl.keep == "best"
    state, seconds = train_resumably("rl", candidate, work, build, model, out, validation.find_kept, int(best), **leg)
    if not is_main():
        return None
    history, measured = state.log_history, validation.read(state.log_history)
    stopped = stopping.explain(history)
    kept, why = choose_step(measured) if best and measured.points else (state.global_step, explain_last(measured))
    if stopped:
        events.tell(stopped)
        events.emit("rl", candidate.candidate_id, "stopped", message=stopped)
    if kept != state.global_step:
        events.tell(f"kept {why}")
    validated = measured if measured.points else None
    record = RlRecord(list_rewards(history), state.global_step, seconds=seconds, **describe_device())
    return dataclasses.replace(record, stopped=stopped, validation=validated, kept_step=kept, kept_why=why)


def list_rewards(history: list[dict]) -> list[list]:
    """Returns [last step, mean reward] of blocks of steps of the log; None if no completion was judged."""
    return average_blocks([(entry["step"], entry["reward"]) for entry in history if "reward" in entry])
