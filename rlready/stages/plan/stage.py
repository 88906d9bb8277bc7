"""The stage itself: reads its inputs, works, writes its outcome."""

import functools
import json
import textwrap

from rlready.config import complete_parameters
from rlready.errors import InputError
from rlready.records.serialization import to_json, write_atomically
from rlready.runtime import events
from rlready.runtime.outputs import hand_on
from rlready.stages.plan.plan import PANEL, describe_plan, make_plan
from rlready.tracking.runs import open_run


def run(parameters: dict, run_name: str, races: bool, summary: str) -> tuple:
    """Plans from flat parameters, writes the summary and returns the KFP outputs in their declared order.

    Raises InputError if something is wrong, or the pipeline was built for an experiment with a race and this has none, or
    the other way round.
    """
    parameters = complete_parameters(parameters)
    if races != bool(parameters["race_steps"]):
        built, needed = ("with", "above 0") if races else ("without", "0")
        raise InputError(
            f"race_steps: {parameters['race_steps']}, but this pipeline was compiled {built} a race, so it must be {needed}; or"
            " compile the pipeline again from a recipe with this value"
        )
    plan = make_plan(parameters)
    parameters |= plan.changes
    described = describe_plan(plan)
    write_atomically(summary, write_markdown(described))
    print(described)
    events.tell(events.MEASURED + ", ".join(candidate.candidate_id for candidate in plan.measured))
    open_run(run_name, parameters)
    return hand_on(
        candidates=[to_json(candidate) for candidate in plan.measured],
        baseline=to_json(plan.baseline),
        parameters=json.dumps(parameters, sort_keys=True),
        **{stage: plan.settings[stage] for stage in ("curate", "sft", "predictors", "gate", "race", "rl", "benchmark")},
    )


def write_markdown(text: str) -> str:
    """Returns a text as a block of code with short lines; none of them ends the block, whatever the data hold."""
    wrap = functools.partial(textwrap.fill, width=PANEL, subsequent_indent="    ", break_long_words=False)
    return "\n".join(["```", *map(wrap, text.splitlines()), "```\n"])
