"""The regret of choosing a setting by a predictor."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from rlready.analysis.comparison import Row, group_settings
from rlready.analysis.format import MISSING, name_some, show
from rlready.analysis.noise import ScoreNoise, compare_settings, describe_noise
from rlready.analysis.predictor import Predictor, pick_main, score_settings, select_finished
from rlready.gate.lead import Lead
from rlready.stages.report.document import Section
from rlready.stats.ties import reaches

NOTES = [
    "Each predictor chooses among the settings that finished RL and have it; predictor and score are means over seeds. Ties are"
    " broken at random, in expectation.",
    "Regret is the best possible score minus the chosen one, with its 95% interval from the noise between seeds (over the"
    " benchmark's problems if no seed was repeated). The best of several noisy results looks better than it is, so regrets are"
    " overestimated.",
]


@dataclass(frozen=True)
class Choice:
    """What comes of choosing the setting with the most of a predictor, among the settings that it can be judged on.

    Attributes:
        settings: How many there are to choose from.
        chosen: Names of the settings chosen; more than one where they tie.
        score: Mean post-RL Pass@1 of the chosen.
        best: That of the best setting.
        random: That of a random setting, in expectation.
        by_pass_at_1: That of the settings with the best SFT Pass@1; None where it was not measured for all.
        lead: Of the best over the chosen; None where the best is chosen, or several tie.
    """

    settings: int
    chosen: list[str]
    score: float
    best: float
    random: float
    by_pass_at_1: float | None
    lead: Lead | None

    @property
    def regret(self) -> float:
        """How much the best possible choice is better."""
        return self.best - self.score


def choose(rows: list[Row], predictor: Predictor, noise: ScoreNoise) -> Choice | None:
    """Chooses a setting by a predictor and looks what became of it.

    Predictors and scores are means over the seeds of a setting, so that the noise of RL is averaged where it was repeated.

    Args:
        rows: The candidates.
        predictor: What to choose by; the most wins, and of settings that tie one is drawn, in expectation.
        noise: From `measure_noise`.

    Returns:
        None if fewer than two settings finished RL and have the predictor.
    """
    settings = group_settings(select_finished(rows, predictor))
    if len(settings) < 2:
        return None
    scores = [statistics.fmean(setting.scores) for setting in settings]

    def pick(means: Sequence[float]) -> list[int]:
        return [i for i, mean in enumerate(means) if reaches(mean, max(means))]

    values = score_settings(settings, predictor)
    if values is None:
        return None
    chosen, best = pick(values.tolist()), max(range(len(settings)), key=scores.__getitem__)
    pass_at_1 = [mean for setting in settings if (mean := setting.average(lambda row: row.sft_pass_at_1)) is not None]
    favourites = pick(pass_at_1) if len(pass_at_1) == len(settings) else []
    alone = len(chosen) == 1 and best not in chosen
    return Choice(
        len(settings),
        [settings[i].name for i in chosen],
        statistics.fmean(scores[i] for i in chosen),
        scores[best],
        statistics.fmean(scores),
        statistics.fmean(scores[i] for i in favourites) if favourites else None,
        compare_settings(settings[best], settings[chosen[0]], noise) if alone else None,
    )


def describe_choices(rows: list[Row], k: int | None, noise: ScoreNoise) -> Section:
    """Returns the section on what became of the setting that each of the main predictors would have chosen."""
    table = [["Predictor", "Settings", "Chosen", "Ended at", "Best possible", "Random choice", "By SFT Pass@1", "Regret"]]
    for predictor in pick_main(k):
        choice = choose(rows, predictor, noise)
        if choice is None:
            table.append([predictor.label, MISSING, "nothing to choose from", *[MISSING] * 5])
            continue
        scores = [show(value) for value in (choice.score, choice.best, choice.random, choice.by_pass_at_1)]
        table.append([predictor.label, str(choice.settings), name_some(choice.chosen), *scores, show_regret(choice)])
    return Section("Regret of choosing by a predictor", describe_noise(rows, noise), table, NOTES)


def show_regret(choice: Choice) -> str:
    """Returns the regret with its interval."""
    return choice.lead.describe() if choice.lead else f"{choice.regret:z.3f}"
