"""The candidates of a sweep."""

import dataclasses
import itertools

from rlready.components.config import SUBSETS, InputError, Sweep
from rlready.components.core.records import Candidate


def expand_sweep(sweep: Sweep) -> list[Candidate]:
    """Returns the candidates of a sweep, in the order given.

    An explicit candidate takes what it leaves out from the first value of the lists, and without a seed of its own it is
    repeated with every seed. All settings with 0 epochs of one seed are the same candidate, the base model.

    Raises:
        InputError: If a candidate has an unknown key, a bad value, or stands there twice.
    """
    names = {
        "epochs": "epochs",
        "subset": "subsets",
        "examples": "examples",
        "learning_rate": "learning_rates",
        "seed": "seeds",
    }
    lists = {name: getattr(sweep, source) for name, source in names.items()}
    if sweep.candidates:
        settings = []
        for number, given in enumerate(sweep.candidates):
            if not isinstance(given, dict) or not given or given.keys() - names.keys():
                raise InputError(
                    f"sweep_candidates, item {number}: expected an object with keys of {', '.join(names)}, got {given!r}"
                )
            whole = {name: given.get(name, (values or [None])[0]) for name, values in lists.items()}
            settings += [whole | {"seed": seed} for seed in ([given["seed"]] if "seed" in given else lists["seed"])]
    else:
        settings = [dict(zip(lists, values, strict=True)) for values in itertools.product(*lists.values())]
    candidates: dict[str, Candidate] = {}
    for setting in settings:
        candidate = make_candidate(**setting)
        # In a grid, 0 epochs meets every subset: one base model. Anything else that comes twice is a mistake.
        if candidate.candidate_id in candidates and (sweep.candidates or candidate.epochs):
            raise InputError(f"sweep: the candidate {candidate.candidate_id} is given twice")
        candidates[candidate.candidate_id] = candidate
    for name, attempt in sweep.attempts.items():
        if name not in candidates:
            raise InputError(f"sweep_attempts: {name} is none of the candidates {', '.join(candidates)}")
        if not isinstance(attempt, int) or isinstance(attempt, bool) or attempt < 1:
            raise InputError(f"sweep_attempts: {name}: the number of a try is 1 or more, got {attempt!r}")
        candidates[name] = dataclasses.replace(candidates[name], attempt=attempt)
    return list(candidates.values())


def make_candidate(epochs, subset, examples, learning_rate, seed) -> Candidate:
    """Returns a checked candidate; its id is made from its setting."""
    epochs, examples, seed = (
        int(v) if isinstance(v, float) and v.is_integer() else v for v in (epochs, examples, seed)
    )
    learning_rate = float(learning_rate) if isinstance(learning_rate, int) else learning_rate
    for name, value, least in (("epochs", epochs, 0), ("examples", examples, 1), ("seed", seed, 0)):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise InputError(f"sweep: {name} must be a whole number of at least {least}, got {value!r}")
    if not isinstance(learning_rate, float) or not 0 < learning_rate < 1:
        raise InputError(f"sweep: learning_rate must lie between 0 and 1, got {learning_rate!r}")
    if subset not in SUBSETS:
        raise InputError(f"sweep: subset must be one of {', '.join(SUBSETS)}, got {subset!r}")
    if epochs == 0:
        return Candidate(f"no-sft-s{seed}", 0, "random", 1, 1e-6, seed)
    identity = f"{subset}-{examples}x{epochs}-lr{learning_rate:g}-s{seed}"
    return Candidate(identity, epochs, subset, examples, learning_rate, seed)
