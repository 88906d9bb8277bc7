"""A run's records in which one value was changed or lost: refused with file and key, or read; never a traceback."""

import contextlib
import copy
import itertools
import json
import re

from helpers import CASES

from rlready.analysis.sweep_result import parse_sweep
from rlready.cli.replay import replay
from rlready.cli.result import print_outcomes
from rlready.errors import InputError
from rlready.stages.report.report import compose

OLD = CASES / "outcomes-schema2.json"
LOST = object()
OTHERS = (LOST, None, "x", -1, True, {}, float("nan"))
SHOWN = 16  # of this many changed runs that are read, one is shown, for time


def list_places(value, place=()):
    """Yields the place of everything in JSON, of a list that of the first item."""
    if place:
        yield place
    if isinstance(value, (dict, list)):
        for key in value if isinstance(value, dict) else range(len(value[:1])):
            yield from list_places(value[key], (*place, key))


def change(values, place, other):
    changed = copy.deepcopy(values)
    holder = changed
    for key in place[:-1]:
        holder = holder[key]
    if other is LOST:
        del holder[place[-1]]
    else:
        holder[place[-1]] = other
    return changed


# The base model's records are like a candidate's, and parameters are checked by code of their own.
OTHER_PLACES = [("reference",), ("parameters",), ("parameters", "gate_k"), ("parameters", "gate_mode")]
PLACES = [place for place in list_places(json.loads(OLD.read_text())) if place[0] == "outcomes" or place in OTHER_PLACES]


def test_a_changed_value_is_refused_by_its_key_or_can_be_shown(capsys):
    values, read = json.loads(OLD.read_text()), []
    for place, other in itertools.product(PLACES, OTHERS):
        try:
            read.append(parse_sweep("outcomes.json", json.dumps(change(values, place, other))))
        except InputError as error:
            assert re.match(r"outcomes\.json: \w", str(error)) and "\n" not in str(error)
    assert len(read) < len(PLACES) * len(OTHERS) / 2
    for sweep in read[::SHOWN]:
        print_outcomes(sweep)
        compose(sweep)
        with contextlib.suppress(InputError):
            replay(sweep, [])
    assert not re.search(r"\bnan\b|\binf\b", capsys.readouterr().out)
