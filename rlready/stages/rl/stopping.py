"""When RL ends before its last step: without a signal, after a collapse, or once validation gains nothing more."""

import math
from statistics import fmean

from transformers import TrainerCallback

from rlready.records.outcome import ValidationRecord
from rlready.stages.rl.validation import CORRECT, Validation, compare_steps
from rlready.stats.ties import reaches

SHARE = 0.2  # of the steps; after this many consecutive ones without a signal RL ends
FEWEST = 10  # steps; a model that is seldom right gives no signal in fewer by chance
WHY = {(0.0,): " (none was right)", (1.0,): " (every one was right)", (None,): " (the verifier could judge none)"}
SILENT = "frac_reward_zero_std"  # TRL's: share of the groups whose rewards are all equal
WATCHED = {"entropy": "entropy", "completions/mean_length": "completion length"}  # of TRL's log, with a name for each
FAR = 2.0  # factor below the lowest or above the highest mean of earlier steps


class StopEarly(TrainerCallback):
    """Ends RL early if a rule says so; needs a log per step.

    If all rewards of every group are equal, GRPO's advantages are 0 and nothing is learned. A collapse is a clear fall of
    validation while entropy or completion length is far from all that it was up to the best step; a fall alone may pass, and
    entropy alone may fall because the policy gets better.
    """

    def __init__(self, rl, validation: Validation):
        self.steps, self.silence = rl.steps, max(FEWEST, round(SHARE * rl.steps))
        self.patience, self.validation = rl.patience * rl.steps, validation

    def on_train_begin(self, args, state, control, **kwargs):
        """Ends a resumed run that had ended when it was killed: a checkpoint holds the log, not that training is over."""
        self.on_log(args, state, control)
        control.should_training_stop |= state.global_step >= state.max_steps

    def on_log(self, args, state, control, logs=None, **kwargs):
        """Checks the whole log, so that a resumed run counts the steps before."""
        history = state.log_history
        silent = count_silent_steps(history) >= self.silence
        judged = logs is None or CORRECT in logs  # nothing else changes what validation says
        if silent or (judged and self._judge(history)):
            control.should_training_stop = True

    def explain(self, history: list[dict]) -> str | None:
        """Returns in one line why RL ended early or taught nothing, by the Trainer's log; None if it did neither."""
        logged, silent = [entry for entry in history if SILENT in entry], count_silent_steps(history)
        steps, early = len(logged), len(logged) < self.steps
        reason = self._judge(history)
        if silent and silent >= min(self.silence, steps):
            why = WHY.get(tuple({entry["reward"] for entry in logged[-silent:]}), "")
            shown = "its only step" if steps == 1 else f"{'all' if silent == steps else 'the last'} {silent} steps"
            reason = f"no signal: the completions of every group had equal rewards{why} in {shown}"
        if reason is None or (reason.startswith("converged") and not early):
            return None
        return reason + (f"; stopped after {steps} of {self.steps}" if early else "")

    def _judge(self, history: list[dict]) -> str | None:
        """Returns what the latest validation says against more steps."""
        record = self.validation.read(history)
        if len(record.points) < 2:
            return None
        return explain_collapse(record, history) or explain_convergence(record, self.patience)


def count_silent_steps(history: list[dict]) -> int:
    """Returns how many of the last steps gave no signal, by the Trainer's log."""
    # If no completion was judged, TRL logs no mean reward, and no group's rewards as equal.
    silent = [entry[SILENT] is None or entry[SILENT] >= 1 or entry["reward"] is None for entry in history if SILENT in entry]
    return next((number for number, one in enumerate(reversed(silent)) if not one), len(silent))


def explain_collapse(record: ValidationRecord, history: list[dict]) -> str | None:
    """Returns how the policy collapsed by its latest validation; None if it did not.

    Entropy and length are means over the steps between two validations, compared with those up to the best one.
    """
    points, steps = record.points, compare_steps(record)
    best = steps.find_best()
    if not steps.is_worse(len(points) - 1):
        return None
    fell = f"validation Pass@1 fell from {points[best].pass_at_1:.3f} at step {points[best].step} to {points[-1].pass_at_1:.3f}"
    for key, name in WATCHED.items():
        ends = [point.step for point in points]
        means = [_average(history, key, *between) for between in zip(ends, ends[1:], strict=False)]
        before, now = [mean for mean in means[: max(1, best)] if mean is not None], means[-1]
        if now is None or not before or len(means) < 2:
            continue
        if now < min(before) / FAR or now > max(before) * FAR:
            return f"collapse: {fell}, and the mean {name} went from {before[-1]:.3g} to {now:.3g}"
    return None


def _average(history: list[dict], key: str, after: int, until: int) -> float | None:
    known = [entry.get(key) for entry in history if SILENT in entry and after < entry["step"] <= until]
    finite = [value for value in known if value is not None and math.isfinite(value)]
    return fmean(finite) if finite else None


def explain_convergence(record: ValidationRecord, patience: float) -> str | None:
    """Returns that validation gained nothing clearly over the last `patience` steps; None if it did, or if `patience` is 0."""
    ends = [point.step for point in record.points]
    since = max((number for number, step in enumerate(ends) if reaches(ends[-1] - step, patience)), default=None)
    if not patience or since is None or compare_steps(record).has_gained(since):
        return None
    return f"converged: no clear gain in validation Pass@1 since step {ends[since]}"
