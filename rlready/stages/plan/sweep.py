"""The candidates of a sweep."""

import dataclasses
import itertools
import re
from collections import defaultdict
from collections.abc import Collection, Iterator
from typing import Any

from rlready.config import SUBSETS, Experiment, Sweep, check_keys
from rlready.config.knob import LARGEST_SEED
from rlready.errors import InputError
from rlready.measured.read import name_log
from rlready.records.candidate import BaseModel, Candidate, LogSource

# Keys of a setting, and the lists from which they take their defaults.
LISTS = {"epochs": "epochs", "subset": "subsets", "examples": "examples", "learning_rate": "learning_rates", "seed": "seeds"}
CHECKPOINT = ("model", "revision", "name", "trained_on_sft_data", "seed")
MEASURED = ("measured", "loss", "score", "format", "judge", "allow_repeats", "model", "revision", "name", "seed")
TEXTS = ("measured", "loss", "score", "format", "model", "revision", "name")
FLAGS = ("judge", "allow_repeats", "trained_on_sft_data")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
SEEDED = re.compile(r".*-s\d+")  # candidates whose seed is not 0
MOST = {"epochs": 1000, "seed": LARGEST_SEED}  # more epochs are a mistake
RESERVED = "no-sft"  # the name of the base model's candidates


def expand_sweep(sweep: Sweep) -> list[Candidate]:
    """Returns the candidates of a sweep, in the given order; checkpoints have no digest yet.

    With `checkpoints` every-epoch those that differ by their epochs alone come from one training (`Candidate.kept_epochs`). An
    explicit candidate takes missing keys from the first values of the lists, and without a seed of its own it is repeated
    with every seed. All settings with 0 epochs and the same seed are one candidate, the base model. Raises InputError if a
    candidate has an unknown key or a bad value, or is given twice.
    """
    lists = {name: getattr(sweep, source) for name, source in LISTS.items()}
    if sweep.candidates:
        expanded = [candidate for number, given in enumerate(sweep.candidates) for candidate in _expand(number, given, lists)]
    else:
        expanded = [make_candidate(**dict(zip(lists, values, strict=True))) for values in itertools.product(*lists.values())]
    candidates: dict[str, Candidate] = {}
    for candidate in expanded:
        other = candidates.get(candidate.candidate_id)
        # In a grid, 0 epochs is the base model for every subset. Anything else that is given twice is a mistake.
        if other and (sweep.candidates or candidate.epochs):
            places = [place.location for one in (other, candidate) if (place := one.log or one.checkpoint)]
            if not places:
                raise InputError(f"sweep: the candidate {other.candidate_id} is given twice")
            raise InputError(
                f"sweep_candidates: two are called {other.candidate_id} ({', '.join(places)}); give them different names,"
                f" e.g. {{{'measured' if candidate.log else 'model'}: {places[-1]}, name: other}}"
            )
        candidates[candidate.candidate_id] = candidate
    if sweep.checkpoints == "every-epoch":
        candidates = {candidate.candidate_id: candidate for candidate in _share_trainings(candidates.values())}
    for name, attempt in sweep.attempts.items():
        if name not in candidates:
            raise InputError(f"sweep_attempts: {name} is not one of the candidates {', '.join(candidates)}")
        _read_whole(f"sweep_attempts: {name}", "the number of the attempt", attempt, 1)
        training = candidates[name].training.candidate_id
        for key, one in candidates.items():  # the checkpoints of one training share the number of its attempt
            if one.training.candidate_id == training:
                candidates[key] = dataclasses.replace(one, attempt=max(attempt, one.attempt))
    return list(candidates.values())


def _share_trainings(candidates: Collection[Candidate]) -> Iterator[Candidate]:
    """Yields the candidates, those that differ by their epochs alone as checkpoints of one training."""
    # Without SFT a candidate is none of a training, so it keeps its id.
    trainings = [dataclasses.replace(c, epochs=0, candidate_id="" if c.epochs else c.candidate_id) for c in candidates]
    epochs: defaultdict[Candidate, list[int]] = defaultdict(list)
    for candidate, training in zip(candidates, trainings, strict=True):
        epochs[training].append(candidate.epochs)
    for candidate, training in zip(candidates, trainings, strict=True):
        shared = dataclasses.replace(candidate, kept_epochs=sorted(epochs[training]))
        yield shared.at(candidate.epochs) if len(epochs[training]) > 1 else candidate


def needs_models(experiment: Experiment) -> bool:
    """Returns True if a run loads models: to train or sample one, not only to judge what logs say."""
    candidates = expand_sweep(experiment.sweep)
    trains = experiment.rl.steps > 0 and any(candidate.has_weights for candidate in candidates)
    return trains or is_sampled(experiment, candidates)


def is_sampled(experiment: Experiment, candidates: list[Candidate]) -> bool:
    """Returns True if a candidate, or the base model, is sampled here."""
    base = experiment.base.model and not experiment.base.measured
    return bool(base) or any(candidate.log is None for candidate in candidates)


def _expand(number: int, given: Any, lists: dict[str, list]) -> list[Candidate]:
    """Returns the candidates of one item of `sweep_candidates`, one per seed."""
    where = f"sweep_candidates, item {number}"
    if not isinstance(given, dict) or not given:
        raise InputError(
            f"{where}: expected an object with keys of {', '.join(LISTS)}, of {', '.join(CHECKPOINT)}, or of"
            f" {', '.join(MEASURED)}, got {given!r}"
        )
    keys = MEASURED if "measured" in given else CHECKPOINT if "model" in given else tuple(LISTS)
    if keys[0] != "epochs" and (trained := [key for key in given if key in LISTS and key not in keys]):
        finished = "a log" if keys is MEASURED else "a finished checkpoint"
        raise InputError(f"{where}: {given[keys[0]]} is {finished}, so {', '.join(trained)} cannot be chosen")
    check_keys(where, given, keys)
    if keys is MEASURED and "revision" in given and "model" not in given:
        raise InputError(f"{where}: revision is of a model, and none is given; name it (model:), or leave revision out")
    for key, value in given.items():
        if key in FLAGS and not isinstance(value, bool):
            raise InputError(f"{where}: {key} must be true or false, got {value!r}")
        is_loss = key == "loss" and isinstance(value, int | float) and not isinstance(value, bool)
        is_text = isinstance(value, str) and (value.strip() or key not in ("measured", "model"))
        if key in TEXTS and not is_text and not is_loss:
            raise InputError(f"{where}: {key} must be a text, got {value!r}")
    seeds = [given["seed"]] if "seed" in given else lists["seed"]
    if keys is MEASURED:
        # Without weights there is no RL, which a seed could repeat.
        return [make_measured(where, **given | {"seed": seed}) for seed in (seeds if given.get("model") else seeds[:1])]
    if keys is CHECKPOINT:
        return [make_checkpoint(where, **given | {"seed": seed}) for seed in seeds]
    whole = {name: given.get(name, (values or [None])[0]) for name, values in lists.items()}
    return [make_candidate(**whole | {"seed": seed}) for seed in seeds]


def make_candidate(epochs, subset, examples, learning_rate, seed) -> Candidate:
    """Returns a candidate whose id is made from its setting; raises InputError for a bad value."""
    epochs, seed = _read_whole("sweep", "epochs", epochs), _read_whole("sweep", "seed", seed)
    examples = _read_whole("sweep", "examples", examples, 1)
    learning_rate = float(learning_rate) if isinstance(learning_rate, int) else learning_rate
    if not isinstance(learning_rate, float) or not 0 < learning_rate < 1:
        raise InputError(f"sweep: learning_rate must lie between 0 and 1, got {_show(learning_rate)}")
    if subset not in SUBSETS:
        raise InputError(f"sweep: subset must be one of {', '.join(SUBSETS)}, got {subset!r}")
    if epochs == 0:
        return Candidate(f"{RESERVED}-s{seed}", 0, "random", 1, 1e-6, seed)
    return Candidate("", epochs, subset, examples, learning_rate, seed).at(epochs)


def make_checkpoint(where: str, model, seed, revision="", name="", trained_on_sft_data=False) -> Candidate:
    """Returns the candidate of a finished checkpoint, with its name or the last part of its location as the id.

    Raises InputError, which begins with `where`, if the seed is none, or the name is not allowed.
    """
    seed = _read_whole(where, "seed", seed)
    identity = _name(where, name or re.split(r"[/:]", model.rstrip("/"))[-1], name, model, seed)
    found = BaseModel(model, revision, "")
    return Candidate(identity, 0, "", 0, 0.0, seed, checkpoint=found, trained_on_sft_data=trained_on_sft_data)


def make_measured(
    where: str, measured, seed, loss="", score=None, format="boxed", judge=False, allow_repeats=False, name="", **checkpoint
) -> Candidate:
    """Returns the candidate of a log, with its name or that of its file as the id; `checkpoint` are its weights, if given.

    Raises InputError as `make_checkpoint`.
    """
    called = name or name_log(measured)
    log = LogSource(measured, "", name, score, format, judge, allow_repeats, str(loss))
    if checkpoint:
        return dataclasses.replace(make_checkpoint(where, seed=seed, name=called, **checkpoint), log=log)
    return Candidate(_name(where, called, name, measured, 0), 0, "", 0, 0.0, 0, log=log)


def _name(where: str, called: str, name: str, location: str, seed: int) -> str:
    """Returns the id of a candidate that was not trained here; `name` is empty if it is called after its location."""
    if not NAME.fullmatch(called) or SEEDED.fullmatch(called) or called == RESERVED:
        given = f"name {name!r} cannot be one" if name else f"{location} has no name in its last part; give it one (name:)"
        raise InputError(
            f"{where}: {given}: at most 64 letters, digits, dots, dashes and underscores, the first a letter or digit, not"
            f" {RESERVED}, and the end not like a seed's (-s1)"
        )
    return called if seed == 0 else f"{called}-s{seed}"


def _show(value: Any) -> str:
    """Returns a value that is no number for a message; the text of a number with what to write instead."""
    quoted = isinstance(value, str) and re.fullmatch(r"[-+]?[\d.]+(?:[eE][-+]?\d+)?", value)
    return f"the text {value!r}; write {value} without quotes" if quoted else repr(value)


def _read_whole(where: str, name: str, value: Any, least: int = 0) -> int:
    value = int(value) if isinstance(value, float) and value.is_integer() else value
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InputError(f"{where}: {name} must be a whole number of at least {least}, got {_show(value)}")
    if value > MOST.get(name, value):
        raise InputError(f"{where}: {name} must be at most {MOST[name]}, got {value!r}")
    return value
