"""Zero signal: if all rewards of every group are equal, GRPO's advantages are 0 and nothing is learned."""

from transformers import TrainerCallback

SHARE = 0.2  # of the steps; after this many consecutive ones without a signal RL ends
FEWEST = 10  # steps; a model that is seldom right gives no signal in fewer by chance
WHY = {(0.0,): " (none was right)", (1.0,): " (every one was right)", (None,): " (the verifier could judge none)"}
SILENT = "frac_reward_zero_std"  # TRL's: share of the groups whose rewards are all equal


class StopWithoutSignal(TrainerCallback):
    """Ends RL early after consecutive steps without a signal, given its total number of steps; needs a log per step."""

    def __init__(self, steps: int):
        self.steps, self.patience = steps, max(FEWEST, round(SHARE * steps))

    def on_train_begin(self, args, state, control, **kwargs):
        """Ends a resumed run that had ended when it was killed: a checkpoint holds the log, not that training is over."""
        self.on_log(args, state, control)
        control.should_training_stop |= state.global_step >= state.max_steps

    def on_log(self, args, state, control, logs=None, **kwargs):
        """Checks the whole log, so that a resumed run counts the steps before."""
        if count_silent_steps(state.log_history) >= self.patience:
            control.should_training_stop = True

    def explain(self, history: list[dict]) -> str | None:
        """Returns in one line why RL ended early or taught nothing, by the Trainer's log; None if it did neither."""
        logged, silent = [entry for entry in history if SILENT in entry], count_silent_steps(history)
        if not silent or silent < min(self.patience, len(logged)):
            return None
        rewards = {entry["reward"] for entry in logged[-silent:]}
        why = WHY.get(tuple(rewards), "")
        shown = f"all {silent}" if silent == len(logged) else f"the last {silent}"
        end = f"; stopped after {len(logged)} of {self.steps}" if len(logged) < self.steps else ""
        return f"no signal: the completions of every group had equal rewards{why} in {shown} steps{end}"


def count_silent_steps(history: list[dict]) -> int:
    """Returns how many of the last steps gave no signal, by the Trainer's log."""
    # If no completion was judged, TRL logs no mean reward, and no group's rewards as equal.
    silent = [entry[SILENT] is None or entry[SILENT] >= 1 or entry["reward"] is None for entry in history if SILENT in entry]
    return next((number for number, one in enumerate(reversed(silent)) if not one), len(silent))
