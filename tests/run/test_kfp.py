"""What a user meets on a KFP server that is there, case by case, with a table of how each ended (make test-kfp).

KFP_HOST is the address of its UI, RLREADY_IMAGE the stages' image; RLREADY_SUBMIT holds what else submit needs. The recipe is
the laptop's, shortened; RLREADY_TEST_PLACEMENT names a YAML file with its placement. Cases that kill a process or delete a pod
need a KUBECONFIG that may do that, the one that resumes training a placement in which `rl` keeps checkpoints on a claim, those
that read files RLREADY_TEST_FILES, the URL of a folder (s3://bucket/folder) that this machine writes and the pods read; a case
whose needs are not met is skipped. `-k` runs one case; the cases after the first use its cache.
"""

import dataclasses
import json
import os
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import fsspec
import kfp_server_api as api
import pytest
import yaml
from helpers.kfp_runs import ALL_RAN, FAILED, NONE_APPROVED, ROWS, SOME_FAILED, Case, execute, kill, reach_pod

from rlready.config.recipes import load_recipe
from rlready.list_machine.problems import generate_rows
from rlready.run.kfp.server import connect

pytestmark = pytest.mark.kfp
NO_SFT, TUNED, SHORT = {"epochs": 0}, {"epochs": 1}, {"epochs": 1, "subset": "shortest"}
SHORTER = {
    "sweep_candidates": [NO_SFT, TUNED, SHORT],
    "sweep_examples": [64],
    "curate_seed": int(time.time()),  # the first run finds nothing in the cache
    "curate_sft_examples": 256,
    "curate_heldout_problems": 32,
    "curate_rl_problems": 64,
    "curate_predictor_problems": 8,
    "curate_benchmark_problems": 16,
    "predictors_samples": 16,
    "benchmark_samples": 2,
    "rl_steps": 2,
    "rl_trainer_overrides": {},
    # All pass the thresholds, whatever their figures are: what tells approved from rejected is the budget.
    "gate_k": 8,
    "gate_min_pass_at_k": 0,
    "gate_min_pass_at_k_over_base": -1,
    "gate_max_loss_rise": 1000,
    "gate_max_verifier_disagreement": 1,
    "gate_max_rl_runs": 0,
    "gate_audit_fraction": 0,
}
PODS = pytest.mark.skipif(not os.environ.get("KUBECONFIG"), reason="needs a KUBECONFIG to reach its pods")
FILES = os.environ.get("RLREADY_TEST_FILES")


@pytest.fixture(scope="module", autouse=True)
def table() -> Iterator[None]:
    """Prints the table at the end."""
    yield
    print("\n\n| case | ended | minutes | nodes | KB |\n|---|---|---|---|---|")
    for row in ROWS:
        print(f"| {row.case} | {row.ended} | {row.seconds / 60:.1f} | {row.nodes or ''} | {row.bytes // 1000 or ''} |")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Path:
    """The laptop recipe, shortened, with the placement of this cluster."""
    path = os.environ.get("RLREADY_TEST_PLACEMENT")
    placement = yaml.safe_load(Path(path).read_text()) if path else {}
    parameters = {name: value for name, value in load_recipe("laptop", []).items()} | SHORTER
    recipe = tmp_path_factory.mktemp("recipe") / "kfp-test.yaml"
    recipe.write_text(yaml.safe_dump({"parameters": parameters, "placement": placement}))
    return recipe


def write_rows(name: str, rows: list[dict]) -> str:
    """Writes a file that pods can read, and returns its URL."""
    url = f"{FILES}/{name}.jsonl"
    with fsspec.open(url, "w") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return url


def test_mixed(recipe):
    changed = {"gate_max_rl_runs": 1}
    if FILES:
        rows = list(islice(generate_rows("evaluation", seed=-1), 8))
        changed["curate_sources"] = {"other": {"path": write_rows("other", rows), "format": "word"}}
        changed["curate_off_target"] = ["other"]
    case = Case("mixed verdicts", recipe, changed)
    case.end(ALL_RAN)
    case.check(approved=1)
    assert "from the cache" not in case.said.split("Gate")[0]
    (trained,) = [outcome for outcome in case.sweep.outcomes if outcome.benchmark]
    assert [step for step, _ in trained.validated] == [0, 1, 2]
    assert trained.effect.before and trained.effect.predictors and bool(trained.effect.off_target) == bool(FILES)


def test_all_approved_then_from_the_cache(recipe):
    first = Case("all approved", recipe)
    first.end(ALL_RAN)
    first.check(approved=3)
    again = Case("all approved, from the cache", recipe)
    again.end(ALL_RAN)
    assert again.sweep.baseline == first.sweep.baseline
    # A forecast is made of the runs that have finished since, too.
    kept, before = ([dataclasses.replace(o, verdict=None) for o in case.sweep.outcomes] for case in (again, first))
    assert kept == before
    for outcome in again.sweep.outcomes:  # names and verdicts are told as in any other run
        name = outcome.candidate.candidate_id
        assert f"{name}: approved" in again.said and f"RL of {name}: from the cache" in again.said
    assert not re.search(r"candidate \d", again.said)


def test_race(recipe):
    case = Case("race, 1 of 3 finishes RL", recipe, {"race_steps": 1, "race_keep": 1})
    case.end(ALL_RAN)
    case.check(approved=3, trained=1)
    for outcome in case.sweep.outcomes:
        kept = outcome.benchmark is not None
        assert outcome.race.goes_on == kept and outcome.rl.steps == (2 if kept else 1)
        assert kept or f"{outcome.candidate.candidate_id}: dropped: {outcome.race.reason}" in case.said


def test_epochs_of_one_training(recipe):
    shared = {"sweep_candidates": [NO_SFT, TUNED, {"epochs": 2}], "sweep_checkpoints": "every-epoch"}
    case = Case("epochs of one training", recipe, shared)
    case.end(ALL_RAN)
    case.check(approved=3)
    _, midway, last = [outcome.sft for outcome in case.sweep.outcomes]
    assert midway.seconds is None and last.seconds and midway.trajectory == last.trajectory[:2]


def test_no_sft_twice(recipe):
    only = {"sweep_candidates": [NO_SFT]}
    for name in ("RL without SFT", "RL without SFT, again"):
        case = Case(name, recipe, only)
        case.end(ALL_RAN)
        case.check(approved=1)


def test_none_approved(recipe):
    case = Case("none approved", recipe, {"gate_min_pass_at_k_over_base": 1})
    case.end(NONE_APPROVED)
    case.check(approved=0)


def test_race_without_anyone(recipe):
    case = Case("race, none approved", recipe, {"race_steps": 1, "gate_min_pass_at_k_over_base": 1})
    case.end(NONE_APPROVED)
    case.check(approved=0)


@PODS
def test_killed_sft(recipe):
    changed = {"sweep_candidates": [TUNED, {"epochs": 40}]}
    case = Case("SFT killed", recipe, changed)
    kill(case.await_node("sft", lambda node: (node.candidate or {}).get("epochs") == 40))
    case.end(SOME_FAILED)
    case.check(approved=1)
    (failed,) = [outcome for outcome in case.sweep.outcomes if outcome.failure]
    assert failed.failure.stage == "sft" and "killed" in failed.failure.reason.lower()
    assert failed.failure.reason in case.said


@PODS
def test_killed_rl(recipe):
    case = Case("RL killed", recipe, {"sweep_candidates": [TUNED, SHORT], "rl_steps": 100})
    kill(case.await_node("rl", lambda node: node.candidate and node.candidate["subset"] == "shortest"))
    case.end(SOME_FAILED)
    case.check(approved=2, trained=1)
    (failed,) = [outcome for outcome in case.sweep.outcomes if outcome.failure]
    assert failed.failure.stage == "rl" and failed.failure.reason in case.said


@PODS
def test_lost_pod_resumes_from_its_volume(recipe):
    placement = yaml.safe_load(recipe.read_text())["placement"] or {}
    if not placement.get("rl", {}).get("checkpoints"):
        pytest.skip("needs a placement in which rl keeps checkpoints on a claim")
    case = Case("pod lost, resumed from its volume", recipe, {"sweep_candidates": [TUNED], "rl_steps": 101})
    node = case.await_node("rl")
    # In the folder whose lock this pod holds: other trainings may keep theirs on the same claim.
    code = (
        "import glob, os\n"
        "for path in glob.glob('/proc/[0-9]*/fd/*'):\n"
        "    try: held, kind = os.path.splitext(os.readlink(path))\n"
        "    except OSError: continue\n"
        "    if held.startswith('/checkpoints/rl-') and kind == '.lock': print(glob.glob(held + '/checkpoint-*/whole'))\n"
    )
    execute(node, code, "checkpoint-20")
    reach_pod("delete_namespaced_pod", node, grace_period_seconds=0)
    case.end(ALL_RAN)
    case.check(approved=1)
    # "pod lost" is said too if follow looked before Argo had restarted the pod.
    assert re.search(r"RL of .*: resumed from step \d\d after an interruption", case.said), case.said


def test_terminate(recipe):
    case = Case("terminated", recipe, {"sweep_candidates": [TUNED, {"epochs": 41}]})
    case.await_node("sft")
    server = connect()
    api.RunServiceApi(server.client).run_service_terminate_run(case.run)
    case.end(FAILED)
    assert "terminated" in case.complained


def test_finished_checkpoints_without_rl(recipe):
    checkpoints = {"sweep_candidates": [{"model": "builtin:list-machine", "name": "finished"}], "rl_steps": 0}
    case = Case("finished checkpoints, rl_steps 0", recipe, checkpoints)
    case.end(ALL_RAN)
    assert "Report: done" in case.said


@pytest.mark.skipif(not FILES, reason="needs RLREADY_TEST_FILES")
def test_measured_logs(recipe):
    a, b, base = (
        write_rows(name, [{"problem": f"p{n}", "correct": right, "samples": 16} for n in range(8)])
        for name, right in (("a", 6), ("b", 3), ("base", 1))
    )
    changed = {"base_model": "", "base_measured": base, "sweep_candidates": [{"measured": a}, {"measured": b}]}
    case = Case("logs, no model", recipe, changed | {"gate_max_rl_runs": 1})
    case.end(ALL_RAN)
    case.check(approved=1, trained=0)
    changed["sweep_candidates"][0]["model"] = changed["base_model"] = "builtin:list-machine"
    case = Case("logs, RL for the one with a model", recipe, changed)
    case.end(ALL_RAN)
    case.check(approved=2, trained=1)


def test_wrong_values(recipe):
    case = Case("a value that plan refuses", recipe, {"gate_k": 1000})
    case.end(FAILED)
    closing = case.complained.strip().splitlines()[0]
    assert "gate_k" in closing and "Error (exit code" not in case.complained
    server = connect()
    version = server.client  # what the API server refuses by itself is a type: no run is made
    body = api.V2beta1Run(
        display_name="wrong type",
        experiment_id=api.RunServiceApi(version).run_service_get_run(case.run).experiment_id,
        pipeline_version_reference=api.RunServiceApi(version).run_service_get_run(case.run).pipeline_version_reference,
        runtime_config=api.V2beta1RuntimeConfig(parameters={"unknown_parameter": 1}),
    )
    with pytest.raises(api.ApiException) as refused:
        api.RunServiceApi(version).run_service_create_run(body)
    assert refused.value.status == 400


def test_two_users_measure_the_same_at_once(recipe):
    fresh = {"curate_seed": SHORTER["curate_seed"] + 1, "gate_max_rl_runs": 1}
    cases = [Case(f"the same for two users at once, {name}", recipe, fresh) for name in ("first", "second")]
    with ThreadPoolExecutor(2) as threads:
        for sweep in threads.map(lambda case: case.end(ALL_RAN), cases):
            assert sum(outcome.benchmark is not None for outcome in sweep.outcomes) == 1


def test_sixty_four_candidates_with_a_budget_of_eight(recipe):
    rates = [round(1e-4 * (1 + number), 5) for number in range(64)]
    sweep = {"sweep_candidates": [{"epochs": 1, "examples": 8, "learning_rate": rate} for rate in rates]}
    case = Case("64 measured, 8 approved", recipe, sweep | {"gate_max_rl_runs": 8})
    case.end(ALL_RAN)
    case.check(approved=8)
