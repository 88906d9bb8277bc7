"""Whether the data has enough rows for the splits, and sizes that fit."""

from collections.abc import Mapping

from rlready.config import Experiment, list_parameters
from rlready.data.registry import Use, list_benchmarks
from rlready.errors import InputError
from rlready.records.candidate import Candidate

LEAST_TRAINING, LEAST_EVALUATION = 12, 4  # problems; fewer cannot be split


def name_use(use: Use) -> str:
    """Returns sft, rl, predictors, evaluation or decontaminate."""
    return use if isinstance(use, str) else use[0]


def count_problems(samples: dict[Use, list[dict]], complete: set[Use]) -> dict[str, int]:
    """Returns the number of distinct problems for training, RL, predictors and evaluation, of sources that were read whole."""
    evaluated = {row["problem_id"] for use, rows in samples.items() if use not in ("sft", "rl") for row in rows}
    counted = {}
    for name in map(name_use, samples):
        parts = {use for use in samples if name_use(use) == name}
        if parts <= complete:
            problems = {row["problem_id"] for use in parts for row in samples[use]}
            counted[name] = len(problems - evaluated if name in ("sft", "rl") else problems)
    return counted


def count_rows(rows: dict[Use, float]) -> dict[str, float]:
    """Returns the maximum number of rows for training, RL, predictors and evaluation, given that of each source."""
    counted: dict[str, float] = dict.fromkeys(map(name_use, rows), 0)
    for use, count in rows.items():
        counted[name_use(use)] += count
    return counted


def _list_wanted(experiment: Experiment, candidates: list[Candidate]) -> dict[str, dict[str, int]]:
    """Returns the number of problems that the splits of each use take, by parameter."""
    curate = experiment.curate
    examples = max((candidate.examples for candidate in candidates if candidate.epochs), default=1)
    rl = {"curate_rl_problems": curate.rl_problems}
    predictors = {"curate_predictor_problems": curate.predictor_problems}
    # Several benchmarks each give at most all their problems.
    scored = {"curate_benchmark_problems": curate.benchmark_problems if len(list_benchmarks(curate)) == 1 else 1}
    trained = {"sweep_examples": max(examples, curate.sft_examples)}
    wanted = {
        "sft": {"curate_heldout_problems": curate.heldout_problems} | ({} if curate.rl_data else rl) | trained,
        "rl": rl,
        "evaluation": ({} if curate.predictor_data else predictors) | scored,
        "predictors": predictors,
    }
    if not curate.benchmark_problems:  # without RL: all may go to the predictors, and fewer may be held out
        wanted["evaluation"] = wanted["predictors"] = {"problems": 1}
        if not any(candidate.epochs for candidate in candidates):
            wanted["sft"] = {"curate_heldout_problems": 1}
    return wanted


def find_short(experiment: Experiment, candidates: list[Candidate], counted: Mapping[str, float]) -> list[str]:
    """Returns the uses that have fewer problems than the splits take; for the arguments see `check_sizes`."""
    wanted = _list_wanted(experiment, candidates)
    return [use for use in wanted if use in counted and counted[use] < sum(wanted[use].values())]


def check_sizes(experiment: Experiment, candidates: list[Candidate], counted: dict[str, int]) -> None:
    """Raises InputError if a use has fewer problems than the splits take, with all counts and sizes that would fit."""
    curate, wanted = experiment.curate, _list_wanted(experiment, candidates)
    short = find_short(experiment, candidates, counted)
    if not short:
        return
    names = dict(sft=curate.sft_data, rl=curate.rl_data, evaluation=curate.evaluation_data, predictors=curate.predictor_data)
    for use in short:
        if use in ("sft", "rl") and not counted[use]:
            raise InputError(
                f"{names[use]}: all its problems are evaluation problems too, which are never trained on; name other data, or"
                " give each a part of the source (share: in curate_sources)"
            )
    lines = [
        f"{names[use]}: {counted[use]} usable problems, but the splits need"
        f" {' + '.join(f'{number} ({name})' for name, number in wanted[use].items())} = {sum(wanted[use].values())}"
        for use in short
    ]
    fitting: dict[str, int] = {}
    for use in short:
        fitting |= propose_split(use, counted[use], not curate.rl_data, not curate.predictor_data)
    if fitting:
        lines += ["sizes that fit: " + " ".join(_write_option(name, number) for name, number in fitting.items())]
    raise InputError("\n".join(lines))


def _write_option(name: str, number: int) -> str:
    """Returns the option that sets a size; that of SFT is a list, in quotes because shells expand brackets."""
    return f"--set '{name}=[{number}]'" if list_parameters()[name].type is list else f"--set {name}={number}"


def propose_split(use: str, problems: int, own_rl: bool = True, own_predictors: bool = True) -> dict[str, int]:
    """Returns sizes of the splits of this many distinct problems of a use: the defaults, or their shares if there are fewer.

    `own_rl` and `own_predictors`: RL and Pass@k take their problems from the SFT and evaluation sources. Raises InputError if
    the problems are too few to split.
    """
    least = LEAST_TRAINING if use == "sft" else LEAST_EVALUATION
    if problems < least:
        name = "training" if use == "sft" else use
        raise InputError(f"{problems} usable {name} problems cannot be split; at least {least} are needed: add data")
    if use == "rl":
        return {"curate_rl_problems": min(problems, 1024)}
    if use == "predictors":
        return {"curate_predictor_problems": min(problems, 128)}
    if use == "evaluation":
        predictors = min(problems // 2, 128) if own_predictors else 0
        sizes = {"curate_predictor_problems": predictors} if predictors else {}
        return sizes | {"curate_benchmark_problems": min(problems - predictors, 512)}
    heldout = min(problems // 6, 256)
    prompts = min(problems // 3, 1024) if own_rl else 0
    sizes = {"curate_heldout_problems": heldout} | ({"curate_rl_problems": prompts} if prompts else {})
    return sizes | {"sweep_examples": min(problems - heldout - prompts, 1024)}
