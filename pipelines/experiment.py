"""The DAG: plan, curate, reference, then for every candidate sft, predictors, gate, and rl and benchmark if approved; report.

One definition is compiled for a cluster and run on a laptop. The loop and the condition each sit in a nested pipeline that
gets its values as inputs, because that is the form that both kfp.local and the backend execute; parameters that cross a
loop are JSON strings, because numbers become floats there.
"""

import inspect
from typing import List  # noqa: UP035  kfp reads the annotation by name

from kfp import dsl

from rlready.components.benchmark.component import benchmark
from rlready.components.config import list_parameters
from rlready.components.curate.component import curate
from rlready.components.gate.component import decline, gate
from rlready.components.plan.component import plan
from rlready.components.predictors.component import predictors
from rlready.components.report.component import report
from rlready.components.rl.component import rl
from rlready.components.sft.component import sft


@dsl.pipeline(name="post-train")
def post_train(
    candidate: str,
    base: str,
    data: dsl.Input[dsl.Dataset],
    base_record: dsl.Input[dsl.Artifact],
    sft_settings: str,
    predictors_settings: str,
    gate_settings: str,
    rl_settings: str,
    benchmark_settings: str,
) -> str:
    """Takes one candidate through SFT, predictors and the gate, and through RL and the benchmark if it is approved."""
    tuned = sft(candidate=candidate, base=base, settings=sft_settings, data=data).set_display_name("SFT")
    measured = predictors(
        candidate=candidate,
        base=base,
        settings=predictors_settings,
        data=data,
        model=tuned.outputs["model"],
        sft_record=tuned.outputs["record"],
    ).set_display_name("Predictors")
    judged = gate(
        settings=gate_settings,
        outcome=measured.outputs["Output"],
        record=measured.outputs["record"],
        base_record=base_record,
    ).set_display_name("Gate")
    with dsl.If(judged.outputs["proceed"] == "yes", name="approved"):
        trained = rl(
            candidate=candidate, settings=rl_settings, data=data, model=tuned.outputs["model"]
        ).set_display_name("RL")
        scored = benchmark(
            candidate=candidate,
            settings=benchmark_settings,
            outcome=judged.outputs["outcome"],
            data=data,
            model=trained.outputs["trained"],
            rl_record=trained.outputs["record"],
        ).set_display_name("Benchmark")
    with dsl.Else(name="rejected"):
        declined = decline(outcome=judged.outputs["outcome"]).set_display_name("No RL")
    return dsl.OneOf(scored.outputs["Output"], declined.output)


@dsl.pipeline(name="sweep")
def sweep(
    candidates: List[str],  # noqa: UP006
    base: str,
    data: dsl.Input[dsl.Dataset],
    base_record: dsl.Input[dsl.Artifact],
    sft_settings: str,
    predictors_settings: str,
    gate_settings: str,
    rl_settings: str,
    benchmark_settings: str,
) -> List[str]:  # noqa: UP006
    """Takes every candidate through `post_train` and collects the outcomes."""
    with dsl.ParallelFor(candidates, name="candidates") as candidate:
        done = post_train(
            candidate=candidate,
            base=base,
            data=data,
            base_record=base_record,
            sft_settings=sft_settings,
            predictors_settings=predictors_settings,
            gate_settings=gate_settings,
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
    data = curate(settings=planned.outputs["curate"], revisions=planned.outputs["revisions"]).set_display_name("Curate")
    root = sft(
        candidate=reference, base=base, settings=planned.outputs["sft"], data=data.outputs["data"]
    ).set_display_name("Reference: base model")
    root_measured = predictors(
        candidate=reference,
        base=base,
        settings=planned.outputs["predictors"],
        data=data.outputs["data"],
        model=root.outputs["model"],
        sft_record=root.outputs["record"],
    ).set_display_name("Reference: predictors")
    root_scored = benchmark(
        candidate=reference,
        settings=planned.outputs["benchmark"],
        outcome=root_measured.outputs["Output"],
        data=data.outputs["data"],
        model=root.outputs["model"],
    ).set_display_name("Reference: benchmark")
    swept = sweep(
        candidates=planned.outputs["candidates"],
        base=base,
        data=data.outputs["data"],
        base_record=root_measured.outputs["record"],
        sft_settings=planned.outputs["sft"],
        predictors_settings=planned.outputs["predictors"],
        gate_settings=planned.outputs["gate"],
        rl_settings=planned.outputs["rl"],
        benchmark_settings=planned.outputs["benchmark"],
    ).set_display_name("Sweep")
    reported = report(
        run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
        candidates=planned.outputs["candidates"],
        reference=root_scored.outputs["Output"],
        outcomes=swept.output,
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
