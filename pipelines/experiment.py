"""The DAG: plan, curate, reference; sft and predictors of every candidate; the gate; rl and benchmark of the approved; report.

One definition is compiled for a cluster and run on a laptop. The loops and the condition each sit in a nested pipeline that
gets its values as inputs, because that is the form that both kfp.local and the backend execute; parameters that cross a
loop are JSON strings, because numbers become floats there.

The gate judges the whole sweep at once, because a budget needs a ranking. Each winner's model has to come back after that:
a model cannot be looked up by name at run time, and iterating over a list of artifacts is not implemented. So the second
loop asks for the same SFT again, gets it from KFP's cache, and the edge from SFT to RL is an ordinary, typed one. RL compares
the digest of what it got with the one that the gate judged, so a run without caching fails instead of training another model.
"""

import inspect
from typing import List  # noqa: UP035  kfp reads the annotation by name

from kfp import dsl

from rlready.components.benchmark.component import benchmark
from rlready.components.config import list_parameters
from rlready.components.curate.component import curate
from rlready.components.gate.component import admit, decline, gate
from rlready.components.plan.component import plan
from rlready.components.predictors.component import predictors
from rlready.components.report.component import report
from rlready.components.rl.component import rl
from rlready.components.sft.component import sft
from rlready.pipelines.cluster.pods import placed

# Compiled for a cluster, the tasks of a stage go where the recipe's placement says.
plan, curate, sft, predictors = placed(plan), placed(curate), placed(sft), placed(predictors)
gate, admit, decline = placed(gate), placed(admit, "gate"), placed(decline, "gate")
rl, benchmark, report = placed(rl), placed(benchmark), placed(report)


@dsl.pipeline(name="measure-candidates")
def measure_candidates(
    candidates: List[str],  # noqa: UP006
    base: str,
    data: dsl.Input[dsl.Dataset],
    sft_settings: str,
    predictors_settings: str,
) -> List[dsl.Artifact]:  # noqa: UP006
    """Takes every candidate through SFT and the predictors and collects what was measured."""
    with dsl.ParallelFor(candidates, name="candidates") as candidate:
        tuned = sft(candidate=candidate, base=base, settings=sft_settings, data=data).set_display_name("SFT")
        measured = predictors(
            candidate=candidate,
            base=base,
            settings=predictors_settings,
            data=data,
            model=tuned.outputs["model"],
            sft_record=tuned.outputs["record"],
        ).set_display_name("Predictors")
    return dsl.Collected(measured.outputs["measured"])


@dsl.pipeline(name="post-train")
def post_train(
    judged: str,
    base: str,
    data: dsl.Input[dsl.Dataset],
    sft_settings: str,
    rl_settings: str,
    benchmark_settings: str,
) -> str:
    """Takes one candidate through RL and the benchmark if its verdict says so."""
    admission = admit(judged=judged).set_display_name("Verdict")
    candidate = admission.outputs["candidate"]
    with dsl.If(admission.outputs["proceed"] == "yes", name="approved"):
        tuned = sft(candidate=candidate, base=base, settings=sft_settings, data=data).set_display_name("SFT (cached)")
        trained = rl(
            candidate=candidate,
            settings=rl_settings,
            data=data,
            model=tuned.outputs["model"],
            sft_record=tuned.outputs["record"],
            measured_digest=admission.outputs["measured_digest"],
        ).set_display_name("RL")
        scored = benchmark(
            candidate=candidate,
            settings=benchmark_settings,
            data=data,
            model=trained.outputs["trained"],
            rl_record=trained.outputs["record"],
        ).set_display_name("Benchmark")
    with dsl.Else(name="rejected"):
        declined = decline(candidate=candidate).set_display_name("No RL")
    return dsl.OneOf(scored.outputs["Output"], declined.output)


@dsl.pipeline(name="train-approved")
def train_approved(
    verdicts: List[str],  # noqa: UP006
    base: str,
    data: dsl.Input[dsl.Dataset],
    sft_settings: str,
    rl_settings: str,
    benchmark_settings: str,
) -> List[str]:  # noqa: UP006
    """Takes every candidate through `post_train` and collects the results; a rejected one's is empty."""
    with dsl.ParallelFor(verdicts, name="verdicts") as judged:
        done = post_train(
            judged=judged,
            base=base,
            data=data,
            sft_settings=sft_settings,
            rl_settings=rl_settings,
            benchmark_settings=benchmark_settings,
        ).set_display_name("Candidate")
    return dsl.Collected(done.output)


def experiment(*arguments):
    """Runs RL only for the fine-tuned candidates that pass a gate on Pass@k and generalization loss, and reports on all."""
    planned = plan(**dict(zip(list_parameters(), arguments, strict=True))).set_display_name("Plan")
    # Files can change under an unchanged path, so the checks are made anew in every run.
    planned.set_caching_options(False)
    base, reference = planned.outputs["base"], planned.outputs["reference"]
    curated = curate(settings=planned.outputs["curate"], revisions=planned.outputs["revisions"]).set_display_name(
        "Curate"
    )
    data = curated.outputs["data"]
    root = sft(candidate=reference, base=base, settings=planned.outputs["sft"], data=data).set_display_name(
        "Reference: base model"
    )
    root_measured = predictors(
        candidate=reference,
        base=base,
        settings=planned.outputs["predictors"],
        data=data,
        model=root.outputs["model"],
        sft_record=root.outputs["record"],
    ).set_display_name("Reference: predictors")
    root_scored = benchmark(
        candidate=reference, settings=planned.outputs["benchmark"], data=data, model=root.outputs["model"]
    ).set_display_name("Reference: benchmark")
    measured = measure_candidates(
        candidates=planned.outputs["candidates"],
        base=base,
        data=data,
        sft_settings=planned.outputs["sft"],
        predictors_settings=planned.outputs["predictors"],
    ).set_display_name("Measure candidates")
    judged = gate(
        settings=planned.outputs["gate"],
        experiment=planned.outputs["experiment"],
        measured=measured.output,
        reference=root_measured.outputs["measured"],
    ).set_display_name("Gate")
    # A benchmark that cannot run should be known before RL, not after.
    judged.after(root_scored)
    trained = train_approved(
        verdicts=judged.outputs["Output"],
        base=base,
        data=data,
        sft_settings=planned.outputs["sft"],
        rl_settings=planned.outputs["rl"],
        benchmark_settings=planned.outputs["benchmark"],
    ).set_display_name("Train the approved")
    reported = report(
        run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
        candidates=planned.outputs["candidates"],
        reference=root_measured.outputs["measured"],
        reference_result=root_scored.outputs["Output"],
        measured=measured.output,
        verdicts=judged.outputs["Output"],
        results=trained.output,
        parameters=planned.outputs["parameters"],
    ).set_display_name("Report")
    # Completes the tracking of this run, whatever came from the cache.
    reported.set_caching_options(False)


def _describe_parameters() -> str:
    lines = [f"{p.name}: {p.description} (default from: {p.source})" for p in list_parameters().values()]
    return f"{experiment.__doc__}\n\nParameters:\n" + "\n".join(lines)


# The signature that kfp reads comes from the dataclasses, so a parameter's name, type and default stand in one place.
experiment.__signature__ = inspect.Signature(
    [
        inspect.Parameter(p.name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=p.default, annotation=p.type)
        for p in list_parameters().values()
    ]
)
experiment = dsl.pipeline(name="rlready", description=_describe_parameters())(experiment)
