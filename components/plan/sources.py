"""A look at every source of the data before anything is spent on it."""

from collections.abc import Callable

from rlready.components.config import Curate, InputError
from rlready.components.core.data.problems import read_some
from rlready.components.core.data.registry import find_source, get_mirror, list_benchmarks, list_sources
from rlready.components.core.data.sources import examine

ROWS_LOOKED_AT = 200


def look_at_sources(
    curate: Curate, ask: Callable = lambda look: look()
) -> tuple[dict[str, str], dict[str, list[dict]]]:
    """Checks that every source is there and as its registry entry says, and reads the first rows of each.

    Args:
        curate: Names of the sources.
        ask: Calls what looks at a source; its None says that the source is out of reach, and no rows are read.

    Returns:
        (digest or commit by the key of the source, some problems by their use, as in `list_sources`).

    Raises:
        InputError: If a source is absent, gated, damaged, has changed, or its rows cannot be used.
    """
    revisions, samples = {}, {}
    uses = list_sources(curate) | {("decontaminate", name): (name, "benchmarks") for name in curate.decontaminate}
    for use, (text, registry) in uses.items():
        source = find_source(text, registry, curate.sources, get_mirror(curate.mirror))
        contents = ask(lambda source=source: examine(source, curate.seed))
        if contents is None:
            revisions[source.key], samples[use] = "not checked", []
            continue
        revision = revisions[source.key] = contents.digest
        split = use if use in ("sft", "rl") else "evaluation"
        samples[use] = read_some(source, split, curate.seed, ROWS_LOOKED_AT, "" if source.path else revision)
    return revisions, samples


def refuse_guessing(curate: Curate, samples: dict[str, list[dict]]) -> None:
    """Raises InputError if Pass@k would be measured on multiple choice, where guessing alone passes at a large k."""
    asked = {curate.predictor_data: samples.get("predictors")} if curate.predictor_data else {}
    asked = asked or {name: samples["evaluation", name] for name in list_benchmarks(curate)}
    for name, rows in asked.items():
        options = next((row["options"] for row in rows if row.get("options")), 0)
        if options:
            guessed = 1 - (1 - 1 / options) ** 64
            raise InputError(
                f"{name}: multiple choice with {options} options: guessing alone has Pass@64 = {guessed:.3f}, so it"
                " predicts nothing; name other problems with curate_predictor_data (it can stay the benchmark)"
            )
