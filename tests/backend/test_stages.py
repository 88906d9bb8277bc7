"""The real stages on the model of the backend: what kfp's executor leaves behind is what launcher and MLMD take."""

import json
import os
from importlib import import_module
from pathlib import Path

import pytest
from helpers import PLUGINS
from helpers.rows import make_gsm8k_rows
from helpers.tokenizer import make_byte_tokenizer
from helpers.warm import start_worker

from backend.executor import make_stages
from backend.server import Server
from rlready.config import fold_parameters, name_fields
from rlready.config.recipes import load_recipe

STAGES = ("plan", "curate", "sft", "predictors", "gate", "race", "rl", "benchmark", "report")
FUNCTIONS = {name: getattr(import_module(f"rlready.components.{name}.component"), name) for name in STAGES}
TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
CODE = {"function": "add", "tests": [{"args": [1, 2], "result": 3}]}
# Rows of the formats in which one check decides, by their number.
ROWS = {
    "exact": lambda n: {"question": f"Say w{n} {n * n}.", "answer": f"w{n}"},
    "python-tests": lambda n: {"question": f"Write add(a, b), {n} times {n * n}.", "answer": CODE},
    "countdown": lambda n: {"question": f"{n} {n * n}.", "answer": {"numbers": [n, 1], "target": n + 1}},
}
SMALL = {
    "curate_contamination_ngram": 0,
    "curate_near_duplicates": 0,
    "curate_predictor_problems": 2,
    "curate_benchmark_problems": 2,
    "sampling_max_tokens": 8,
    "predictors_samples": 4,
    "gate_k": 2,
    "gate_min_pass_at_k": 0.0,
    "gate_min_pass_at_k_over_base": -1.0,
    "gate_max_generalization_loss": 100.0,
    "gate_max_loss_rise": 100.0,
}


@pytest.fixture(scope="module")
def worker():
    """A process that has what the stages import, so that a stage costs a fork: a container's imports take ten seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RLREADY_WARM_WORKER", start_worker(str(PLUGINS)))
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(PLUGINS), os.environ.get("PYTHONPATH")))))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield


def run(pipeline, stages, **parameters):
    """Returns the run of an experiment."""
    given, fields = fold_parameters(load_recipe("laptop", []) | SMALL | parameters), name_fields()
    return Server().run(pipeline, stages, {fields[name]: value for name, value in given.items()})


@pytest.fixture(scope="module")
def byte_model(tmp_path_factory):
    from helpers.miniature import build_model

    folder = tmp_path_factory.mktemp("bytes") / "model"
    tokenizer = make_byte_tokenizer(TEMPLATE, [], pad_token="<pad>", eos_token="<eos>")
    build_model(tokenizer, hidden=32, layers=1).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def write_sources(folder, **rows):
    """Writes data sets and returns them as `curate_sources` names them."""
    sources = {}
    for name, written in rows.items():
        path = folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in written))
        sources[name] = {"path": str(path)}
    return sources


def read_predictors(found):
    """Returns what the predictors of a run recorded and what KFP shows of it, for every candidate without a failure."""
    made = [found.read_outputs(task) for task in found.list_tasks("predictors")]
    records = [json.loads(Path(outputs["predictors_record"].content).read_text())["predictors"] for outputs in made]
    return [(record, outputs["metrics"].metadata) for record, outputs in zip(records, made, strict=True) if record]


def test_a_finished_checkpoint_and_formats_with_one_check_leave_what_kfp_takes(pipeline, worker, byte_model, tmp_path):
    sources = write_sources(tmp_path, **{form: [write(n) for n in range(12)] for form, write in ROWS.items()})
    # What follows the measurement is the same for every format: fake here, and real in the test below.
    fakes = {"gate": lambda given: {"approved": [], "records": "", "verdicts": ""}}
    fakes |= {"benchmark": lambda given: {"benchmark_record": ""}, "report": lambda given: {}}
    found = run(
        pipeline,
        make_stages(FUNCTIONS, tmp_path) | fakes,
        base_model="",
        curate_sft_data="",
        curate_evaluation_data=",".join(sources),
        curate_sources={form: source | {"format": form} for form, source in sources.items()},
        curate_predictor_problems=6,
        sweep_candidates=[{"model": byte_model, "name": "finished"}],
        rl_steps=0,
        gate_audit_fraction=0.0,
    )
    assert found.state == "Succeeded", found.list_reasons()
    ((record, shown),) = read_predictors(found)
    unknown = {name for name, value in record["by_products"].items() if value is None}
    assert "verifier_disagreement" in unknown and record["by_products"]["verifier_checks"] == 1
    assert not unknown & shown.keys() and "generalization_loss" not in shown
    assert shown["pass_at_2"] == record["curve"][1][1]


def test_a_failed_candidate_and_one_with_rl_leave_what_kfp_takes(pipeline, worker, byte_model, tmp_path):
    choices = [{"question": f"Which is {n}?", "choices": ["one", f"{n}", "none"], "answer": 1} for n in range(7, 19)]
    sources = write_sources(
        tmp_path,
        # Of so many rows plan does not count all, so that SFT is the first to know that there are too few.
        train=make_gsm8k_rows(1100),
        boxed=make_gsm8k_rows(12, start=2000),
        rl=make_gsm8k_rows(12, start=3000),
        letter=choices,
    )
    found = run(
        pipeline,
        make_stages(FUNCTIONS, tmp_path),
        base_model=byte_model,
        curate_sources=sources,
        curate_sft_data="train",
        curate_rl_data="rl",
        curate_predictor_data="boxed",
        curate_evaluation_data="letter",
        curate_sft_examples=0,
        curate_heldout_problems=8,
        curate_rl_problems=8,
        sweep_candidates=[{"epochs": 1, "examples": 16}, {"epochs": 2, "examples": 10_000}],
        gate_audit_fraction=0.0,
        gate_mode="audit",  # nothing is right, so the gate decides nothing
        rl_steps=1,
        rl_prompts_per_step=2,
        rl_num_generations=2,
        rl_per_device_batch_size=4,
        benchmark_samples=2,
    )
    assert found.state == "Succeeded", found.list_reasons()
    artifacts = found.store.artifacts.values()
    *_, records = [artifact.content for artifact in artifacts if artifact.key == "records"]  # the gate's, the report's
    outcomes = json.loads(Path(records).read_text())["outcomes"]
    assert [bool(o["failure"]) for o in outcomes] == [False, True]
    assert [bool(o["benchmark"]) for o in outcomes] == [o["verdict"]["proceed"] for o in outcomes] == [True, False]
    failed = [a.key for a in artifacts if "10000 examples" in a.metadata.get("failed", "")]
    assert failed == ["model", "sft_record", "predictors_record"]  # of SFT, and of the predictors, which pass it on
    for record, shown in read_predictors(found):
        assert record["by_products"]["verifier_checks"] == 2 and shown["generalization_loss"] > 0
