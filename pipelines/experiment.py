"""The DAG: plan, curate; SFT and predictors of every candidate; gate; SFT, RL and benchmark of the approved; report.

    plan -> curate -> measure-candidates -> gate -> train-approved -> report
    with a race:              ... gate -> probe-approved -> race -> train-approved -> report

One definition is compiled for a cluster and run on a laptop. Each loop is in a nested pipeline that gets its values as
inputs, which both kfp.local and the backend can execute. Candidates cross a loop as JSON strings, because numbers would become
floats. The report is in the root graph, where a reader of KFP's UI finds it, and runs even if no candidate is approved (see
`whole_loop`).

The base model is measured once, as the first item of the first loop: two tasks that measure it would return one cached
artifact, and the backend refuses a task that gets one artifact twice. No output comes from a branch (OneOf), because the
backend treats a branch that came wholly from the cache as one that never ran.

The gate judges the whole sweep at once, because a budget needs a ranking. After that, RL needs the model of each approved
candidate, but a model cannot be looked up by name at run time, and loops over lists of artifacts are not implemented. So the
second loop runs the same SFT again, which comes from KFP's cache, and the edge from SFT to RL is an ordinary, typed one. RL
compares the digest of its model with the one that the gate judged, so a run without caching fails instead of training another
model.
"""

import contextlib
import inspect
import os
from typing import Any, List  # noqa: UP035  kfp reads the annotation by name

from kfp import dsl

from rlready.components.benchmark.component import benchmark
from rlready.components.curate.component import curate
from rlready.components.gate.component import gate
from rlready.components.plan.component import plan
from rlready.components.predictors.component import predictors
from rlready.components.race.component import race
from rlready.components.report.component import report
from rlready.components.rl.component import rl
from rlready.components.sft.component import sft
from rlready.config import RACE, SECTIONS, list_form, list_parameters, name_fields
from rlready.placement.placement import read_parallelism, read_placement
from rlready.placement.pods import with_placement

# If compiled for a cluster, the tasks of a stage request what the recipe's placement says.
plan, curate, sft, predictors, gate = map(with_placement, (plan, curate, sft, predictors, gate))
race, rl, benchmark, report = map(with_placement, (race, rl, benchmark, report))
RACES = RACE in os.environ  # whether the experiment has a race


@dsl.pipeline(name="measure-candidates")
def measure_candidates(
    candidates: List[str],  # noqa: UP006
    data: dsl.Input[dsl.Dataset],
    sft_settings: str,
    predictors_settings: str,
) -> List[dsl.Artifact]:  # noqa: UP006
    """Runs SFT and the predictors for every candidate and collects the measurements."""
    with dsl.ParallelFor(candidates, name="candidates", parallelism=read_parallelism()) as candidate:
        tuned = sft(candidate=candidate, settings=sft_settings, data=data).set_display_name("SFT")
        given = {"model": tuned.outputs["model"], "before": tuned.outputs["sft_record"]}
        measured = predictors(candidate=candidate, settings=predictors_settings, data=data, **given)
        measured.set_display_name("Predictors")
    return dsl.Collected(measured.outputs["predictors_record"])


def whole_loop() -> contextlib.AbstractContextManager:
    """Returns what surrounds a loop that may be empty: on a cluster, a loop of one.

    The backend fails a task that collects from an empty loop, unless the loop is inside another loop's iteration
    (driver/resolve.go:753 and :975). kfp.local would make a list of lists; run/local/local.py has it collect from empty loops.
    """
    return dsl.ParallelFor(["once"], name="once") if read_placement() else contextlib.nullcontext()


def start_rl(item: Any, data: Any, sft_settings: Any, rl_settings: Any) -> dict[str, Any]:
    """Returns the inputs of RL for one approved candidate, after its SFT."""
    tuned = sft(candidate=item.candidate, settings=sft_settings, data=data).set_display_name("SFT (cached)")
    given = {"candidate": item.candidate, "measured_digest": item.digest, "settings": rl_settings, "data": data}
    return {**given, "model": tuned.outputs["model"], "before": tuned.outputs["sft_record"]}


@dsl.pipeline(name="probe-approved")
def probe_approved(
    approved: List[dict],  # noqa: UP006
    data: dsl.Input[dsl.Dataset],
    sft_settings: str,
    rl_settings: str,
) -> List[dsl.Artifact]:  # noqa: UP006
    """Runs RL for every approved candidate up to the race and collects the outcomes."""
    with whole_loop(), dsl.ParallelFor(approved, name="probed", parallelism=read_parallelism()) as item:
        probed = rl(**start_rl(item, data, sft_settings, rl_settings)).set_display_name("RL to the race")
    return dsl.Collected(probed.outputs["rl_record"])


@dsl.pipeline(name="train-approved")
def train_approved(
    approved: List[dict],  # noqa: UP006
    data: dsl.Input[dsl.Dataset],
    sft_settings: str,
    rl_settings: str,
    benchmark_settings: str,
) -> List[dsl.Artifact]:  # noqa: UP006
    """Runs RL, after a race the rest of it, and the benchmark for every approved candidate and collects the results."""
    with whole_loop(), dsl.ParallelFor(approved, name="approved", parallelism=read_parallelism()) as item:
        given = start_rl(item, data, sft_settings, rl_settings)
        if RACES:
            probed = rl(**given).set_display_name("RL (cached)")
            given |= {"before": probed.outputs["rl_record"], "probe": probed.outputs["rl_model"]}
        trained = rl(**given).set_display_name("RL").outputs
        models = {"model": trained["rl_model"], "before": trained["rl_record"], "start": given["model"]}
        scored = benchmark(candidate=item.candidate, settings=benchmark_settings, data=data, **models)
        scored.set_display_name("Benchmark")
    return dsl.Collected(scored.outputs["benchmark_record"])


def build(*arguments: Any) -> None:
    """Runs RL only for the fine-tuned candidates that pass a gate on Pass@k and generalization loss, and reports on all."""
    given = dict(zip(list_form(), arguments, strict=True))
    planned = plan(**given, run_name=dsl.PIPELINE_JOB_NAME_PLACEHOLDER, races=RACES).set_display_name("Plan")
    # Files can change under an unchanged path, so every run checks again.
    planned.set_caching_options(False)
    settings = {f"{stage}_settings": planned.outputs[stage] for stage in ("sft", "predictors", "rl", "benchmark")}
    data = curate(settings=planned.outputs["curate"]).set_display_name("Curate").outputs["data"]
    baseline = benchmark(candidate=planned.outputs["baseline"], settings=settings["benchmark_settings"], data=data)
    baseline.set_display_name("Benchmark (base)")
    measuring = {"sft_settings": settings["sft_settings"], "predictors_settings": settings.pop("predictors_settings")}
    measured = measure_candidates(candidates=planned.outputs["candidates"], data=data, **measuring)
    measured.set_display_name("Measure all")
    judged = gate(settings=planned.outputs["gate"], measured=measured.output).set_display_name("Gate")
    # A benchmark that cannot run should be known before RL, not after.
    judged.after(baseline)
    # On a cluster a cached task does not show where its outputs are, and every run shall show its verdicts; it takes seconds.
    judged.set_caching_options(read_placement() is None)
    training = {"approved": judged.outputs["approved"], "data": data, **settings}
    known = {"parameters": planned.outputs["parameters"], "baseline": baseline.outputs["benchmark_record"]}
    known["judged"] = judged.outputs["records"]
    if RACES:
        started = {name: training[name] for name in ("approved", "data", "sft_settings", "rl_settings")}
        probed = probe_approved(**started).set_display_name("RL to the race")
        raced = race(settings=planned.outputs["race"], judged=known["judged"], probed=probed.output).set_display_name("Race")
        raced.set_caching_options(read_placement() is None)
        training["approved"], known["judged"] = raced.outputs["finalists"], raced.outputs["records"]
    reported = report(**known, results=train_approved(**training).set_display_name("Train approved").output)
    # Never from the cache, so that the tracking of every run is completed.
    reported.set_display_name("Report").set_caching_options(False)


def _describe() -> str:
    """Returns the description in KFP's UI, as Markdown for a panel that does not scroll; then every parameter."""
    sections = {field[:1]: name.partition("_")[0] for name, field in name_fields().items()}
    about = {section: (inspect.getdoc(kind) or "").partition(". ")[0].rstrip(".") for section, kind in SECTIONS.items()}
    # Not an ordered list, whose numbers the panel does not show.
    numbered = [f"- `{number}_{name}`: {about.get(name, 'All other parameters')}" for number, name in sections.items()]
    lines = [f"{p.name}: {p.description} (default from: {p.source})" for p in list_parameters().values()]
    texts = "`rlready run --help` and rlready's page docs/reference/parameters.md explain every parameter"
    return "\n".join([
        f"{build.__doc__}\n\nThe fields of its form, by section:\n",
        *numbered,
        f"\nEntries called `example` are ignored; replace one to use it. {texts}.\n\nParameters:",
        *lines,
    ])  # fmt: skip


description = _describe()
# What kfp reads of the pipeline: names, types, defaults and texts of its form, which only config defines.
form, positional = list_form().values(), inspect.Parameter.POSITIONAL_OR_KEYWORD
signature = [inspect.Parameter(p.name, positional, default=p.default, annotation=p.type) for p in form]
texts = [f"        {p.name}: {p.description} (default from: {p.source})" for p in form]
build.__signature__ = inspect.Signature(signature)  # type: ignore[attr-defined]  # inspect reads it
build.__doc__ = "\n".join([f"{build.__doc__}\n", "    Args:", *texts])
experiment = dsl.pipeline(name="rlready", description=description)(build)
