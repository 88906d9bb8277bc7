"""How many rows there are for the splits: whether they are enough, and sizes that fit."""

from collections.abc import Mapping

from rlready.config import Experiment
from rlready.data.registry import list_benchmarks
from rlready.errors import InputError
from rlready.records.candidate import Candidate

Use = str | tuple[str, str]  # of a source: sft, rl or predictors; (evaluation, name) or (decontaminate, name)
LEAST_TRAINING, LEAST_EVALUATION = 12, 4  # problems; with fewer there is nothing to split


def name_use(use: Use) -> str:
    """Returns sft, rl, predictors, evaluation or decontaminate."""
    return use if isinstance(use, str) else use[0]


def count_problems(samples: dict[Use, list[dict]], complete: set[Use]) -> dict[str, int]:
    """Returns the distinct problems for training, RL, predictors and evaluation, of the sources of which all rows were read.

    Args:
        samples: Problems by use, as `look_at_sources` returns them.
        complete: Uses of which these are all.
    """
    evaluated = {row["problem_id"] for use, rows in samples.items() if use not in ("sft", "rl") for row in rows}
    uses: dict[str, set[Use]] = {}
    for use in samples:
        uses.setdefault(name_use(use), set()).add(use)
    counted = {}
    for name, parts in uses.items():
        if parts <= complete:
            problems = {row["problem_id"] for use in parts for row in samples[use]}
            counted[name] = len(problems - evaluated if name in ("sft", "rl") else problems)
    return counted


def count_rows(rows: dict[Use, float]) -> dict[str, float]:
    """Returns the most rows for training, RL, predictors and evaluation, of the most rows of each source."""
    counted: dict[str, float] = {}
    for use, count in rows.items():
        counted[name_use(use)] = counted.get(name_use(use), 0) + count
    return counted


def _list_wanted(experiment: Experiment, candidates: list[Candidate]) -> dict[str, dict[str, int]]:
    """Returns the problems that the splits of each use take, by the parameter that asks for them."""
    curate = experiment.curate
    examples = max((candidate.examples for candidate in candidates if candidate.epochs), default=1)
    own_rl, own_predictors = not curate.rl_data, not curate.predictor_data
    wanted = {
        "sft": {
            "curate_heldout_problems": curate.heldout_problems,
            **({"curate_rl_problems": curate.rl_problems} if own_rl else {}),
            "sweep_examples": max(examples, curate.sft_examples),
        },
        "rl": {"curate_rl_problems": curate.rl_problems},
        "evaluation": {
            **({"curate_predictor_problems": curate.predictor_problems} if own_predictors else {}),
            # Of several benchmarks each is cut to what there is.
            "curate_benchmark_problems": curate.benchmark_problems if len(list_benchmarks(curate)) == 1 else 1,
        },
        "predictors": {"curate_predictor_problems": curate.predictor_problems},
    }
    if not curate.benchmark_problems:  # nothing is set apart for RL, so all may predict, and what is held out may be fewer
        wanted["evaluation"] = wanted["predictors"] = {"problems": 1}
        if not any(candidate.epochs for candidate in candidates):
            wanted["sft"] = {"curate_heldout_problems": 1}
    return wanted


def find_short(experiment: Experiment, candidates: list[Candidate], counted: Mapping[str, float]) -> list[str]:
    """Returns the uses of which there are fewer problems than the splits take; arguments as of `check_sizes`."""
    wanted = _list_wanted(experiment, candidates)
    return [use for use in wanted if use in counted and counted[use] < sum(wanted[use].values())]


def check_sizes(experiment: Experiment, candidates: list[Candidate], counted: dict[str, int]) -> None:
    """Raises InputError if there are fewer problems than the splits take, with all counts and sizes that would fit.

    Args:
        experiment: Sizes asked for.
        candidates: The sweep.
        counted: What there is, as `count_problems` returns it; a use that is missing could not be counted.
    """
    curate, wanted = experiment.curate, _list_wanted(experiment, candidates)
    short = find_short(experiment, candidates, counted)
    names = {
        "sft": curate.sft_data,
        "rl": curate.rl_data,
        "evaluation": curate.evaluation_data,
        "predictors": curate.predictor_data,
    }
    if not short:
        return
    lines = [
        f"{names[use]}: {counted[use]} usable problems, and wanted are"
        f" {' + '.join(f'{number} ({name})' for name, number in wanted[use].items())} = {sum(wanted[use].values())}"
        for use in short
    ]
    fitting: dict[str, int] = {}
    for use in short:
        fitting |= propose_split(use, counted[use], not curate.rl_data, not curate.predictor_data)
    if fitting:
        lines += ["these fit: " + " ".join(f"--set {name}={number}" for name, number in fitting.items())]
    raise InputError("\n".join(lines))


def propose_split(use: str, problems: int, own_rl: bool = True, own_predictors: bool = True) -> dict[str, int]:
    """Returns sizes of the splits of so many problems, the defaults' shares where there are fewer than the defaults take.

    Args:
        use: sft, rl, evaluation or predictors.
        problems: Distinct ones that can be used.
        own_rl: Whether RL takes its prompts from the SFT source.
        own_predictors: Whether Pass@k takes its problems from the evaluation source.

    Raises:
        InputError: If they are too few to be split at all.
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
