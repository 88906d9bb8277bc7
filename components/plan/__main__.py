"""Container face of plan: python -m rlready.components.plan --config run.json."""

import json

from rlready.components.core.launch import run_from_command_line
from rlready.components.core.records import to_json, write_atomically
from rlready.components.plan.plan import describe_plan, make_plan
from rlready.components.plan.sweep import make_candidate


def run(parameters: dict, summary: str) -> tuple:
    """Plans from flat parameters, writes the summary and returns the KFP outputs in their declared order."""
    plan = make_plan(parameters)
    write_atomically(summary, f"```\n{describe_plan(plan)}\n```\n")
    print(describe_plan(plan))
    reference = make_candidate(0, "random", 1, 1e-6, plan.candidates[0].seed)
    return (
        [to_json(candidate) for candidate in plan.candidates],
        to_json(reference),
        to_json(plan.base),
        json.dumps(plan.revisions, sort_keys=True),
        json.dumps(parameters, sort_keys=True),
        plan.experiment,
        *(plan.settings[stage] for stage in ("curate", "sft", "predictors", "gate", "rl", "benchmark")),
    )


if __name__ == "__main__":
    run_from_command_line("plan")
