"""The shape that ran on a real backend, as a pipeline whose stages do nothing."""

from pathlib import Path
from typing import List  # noqa: UP035  kfp reads the annotation by name

from kfp import compiler, dsl

from backend.package import Package, read_package

IMAGE = "registry.example/sketch:1"


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def plan(candidates: List[str]) -> List[str]:  # noqa: UP006
    return candidates


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def curate(data: dsl.Output[dsl.Dataset]):
    pass


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def sft(candidate: str, data: dsl.Input[dsl.Dataset], model: dsl.Output[dsl.Model]):
    pass


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def predictors(candidate: str, model: dsl.Input[dsl.Model], measured: dsl.Output[dsl.Artifact]):
    pass


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def gate(measured: dsl.Input[List[dsl.Artifact]], anyone: dsl.OutputPath(str), approved: dsl.OutputPath(list)):  # noqa: UP006
    pass


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def rl(candidate: str, digest: str, model: dsl.Input[dsl.Model], trained: dsl.Output[dsl.Model]):
    pass


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def benchmark(candidate: str, model: dsl.Input[dsl.Model], result: dsl.Output[dsl.Artifact]):
    pass


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def report(run: str, measured: dsl.Input[List[dsl.Artifact]], results: dsl.Input[List[dsl.Artifact]]):  # noqa: UP006
    pass


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def report_none(run: str, measured: dsl.Input[List[dsl.Artifact]]):  # noqa: UP006
    pass


@dsl.pipeline
def measure_candidates(candidates: List[str], data: dsl.Input[dsl.Dataset]) -> List[dsl.Artifact]:  # noqa: UP006
    with dsl.ParallelFor(candidates, parallelism=12) as candidate:
        tuned = sft(candidate=candidate, data=data)
        measured = predictors(candidate=candidate, model=tuned.outputs["model"])
    return dsl.Collected(measured.outputs["measured"])


@dsl.pipeline
def train_approved(approved: List[dict], data: dsl.Input[dsl.Dataset]) -> List[dsl.Artifact]:  # noqa: UP006
    with dsl.ParallelFor(approved, parallelism=12) as item:
        tuned = sft(candidate=item.candidate, data=data)
        trained = rl(candidate=item.candidate, digest=item.digest, model=tuned.outputs["model"])
        scored = benchmark(candidate=item.candidate, model=trained.outputs["trained"])
    return dsl.Collected(scored.outputs["result"])


@dsl.pipeline
def conclude(
    anyone: str,
    approved: List[dict],  # noqa: UP006
    data: dsl.Input[dsl.Dataset],
    measured: dsl.Input[List[dsl.Artifact]],  # noqa: UP006
):
    with dsl.If(anyone == "yes", name="rl"):
        trained = train_approved(approved=approved, data=data)
        report(run=dsl.PIPELINE_JOB_ID_PLACEHOLDER, measured=measured, results=trained.output).set_caching_options(False)
    with dsl.Else(name="no-rl"):
        report_none(run=dsl.PIPELINE_JOB_ID_PLACEHOLDER, measured=measured).set_caching_options(False)


@dsl.pipeline
def sketch(candidates: List[str]):  # noqa: UP006
    planned = plan(candidates=candidates).set_caching_options(False)
    curated = curate()
    measured = measure_candidates(candidates=planned.output, data=curated.outputs["data"])
    judged = gate(measured=measured.output)
    conclude(
        anyone=judged.outputs["anyone"],
        approved=judged.outputs["approved"],
        data=curated.outputs["data"],
        measured=measured.output,
    )


def compile_sketch(folder: Path) -> Package:
    """Returns the compiled sketch.

    Args:
        folder: Where to put the file.
    """
    compiler.Compiler().compile(sketch, str(folder / "sketch.yaml"))
    return read_package(folder / "sketch.yaml")
