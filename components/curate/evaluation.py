"""The evaluation problems: which of them predict, which are the benchmark, and all that training data must not hold."""

from dataclasses import dataclass

from rlready.components.core.data.registry import find_benchmarks, get_mirror, list_benchmarks
from rlready.components.curate.contamination import Contamination
from rlready.components.curate.pool import order_by_hash
from rlready.components.curate.reader import Reader


@dataclass(frozen=True)
class Evaluation:
    """The evaluation problems of a run.

    Attributes:
        predictors: Problems for Pass@k.
        benchmark: Problems for the benchmark; of several, each with the name of its own.
        contamination: All that were read, to hold training problems against.
    """

    predictors: list[dict]
    benchmark: list[dict]
    contamination: Contamination


def read_evaluation(reader: Reader) -> Evaluation:
    """Reads all evaluation sets and draws the predictors' and the benchmarks' problems.

    Raises:
        InputError: If a set cannot be read or has too few problems.
    """
    settings, seed = reader.settings, reader.settings.seed
    contamination = Contamination(settings.contamination_ngram, settings.contamination_overlap)
    own = 0 if settings.predictor_data else settings.predictor_problems
    wanted = own + settings.benchmark_problems
    names = list_benchmarks(settings)
    suite = find_benchmarks(names, settings.sources, get_mirror(settings.mirror))
    read = {}
    for name, source in zip(names, suite, strict=True):
        problems = reader.read_problems("evaluation", name, "benchmarks", wanted)
        contamination.add(name, problems)
        read[source.benchmark] = order_by_hash(problems, seed, "evaluation")
    # A problem of two benchmarks is scored in both.
    every = {row["problem_id"]: row for problems in read.values() for row in problems}
    needed = wanted if len(suite) == 1 else own + 1
    reader.require(len(every), needed, "evaluation", ("evaluation", names[0]), "predictor and benchmark problems")
    predictors = order_by_hash(every.values(), seed, "evaluation")[:own]
    taken = {row["problem_id"] for row in predictors}
    benchmark = []
    for named, (name, problems) in zip(names, read.items(), strict=True):
        left = [row for row in problems if row["problem_id"] not in taken][: settings.benchmark_problems]
        reader.require(len(left), 1, "evaluation", ("evaluation", named), "a problem that predicts is not scored")
        benchmark += [row | {"benchmark": name} for row in left] if len(suite) > 1 else left
    if settings.predictor_data:
        taken = {row["problem_id"] for row in benchmark}
        number = settings.predictor_problems
        predictors = reader.read_problems("predictors", *reader.uses["predictors"], number, taken)
        contamination.add(settings.predictor_data, predictors)
        reader.require(len(predictors), number, "predictor", "predictors", "curate_predictor_problems")
        predictors = order_by_hash(predictors, seed, "predictors")[:number]
    for name in settings.decontaminate:
        contamination.add(name, reader.read_problems("decontaminate", name, "benchmarks", 0))
    return Evaluation(predictors, benchmark, contamination)
