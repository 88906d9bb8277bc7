"""Candidates that are finished checkpoints: what plan makes of them, what SFT writes for them, and what the gate judges."""

import dataclasses
import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from helpers import CASES
from helpers.rows import make_gsm8k_rows

from rlready.config import Gate
from rlready.config.recipes import load_recipe
from rlready.errors import InputError
from rlready.gate.decide import decide, rank
from rlready.models.load import digest_folder, digest_weights, load_model, load_tokenizer, locate
from rlready.records.outcome import BaseModel, Candidate, Outcome, PredictorsRecord, SampleStatistics, SftRecord
from rlready.records.serialization import from_json, to_json
from rlready.stages.plan.plan import describe_plan, make_plan
from rlready.stages.sft.stage import adopt

CASES = yaml.safe_load((CASES / "checkpoints.yaml").read_text())


def laptop(*items, **changes):
    return load_recipe("laptop", []) | {"sweep_candidates": list(items), "gate_audit_fraction": 0.0} | changes


@pytest.fixture(scope="module")
def folders(tiny_model, tmp_path_factory):
    """Returns model folders: tiny, another one with other weights, one of more tokens, and adapters of tiny."""
    import torch
    from helpers.miniature import build_model, build_tokenizer
    from peft import LoraConfig, get_peft_model

    root = tmp_path_factory.mktemp("folders")
    build_model(build_tokenizer(), hidden=32, layers=1, seed=1).save_pretrained(root / "other")
    build_tokenizer().save_pretrained(root / "other")
    model = load_model(str(tiny_model))
    model.resize_token_embeddings(40)
    model.save_pretrained(root / "wide")
    build_tokenizer().save_pretrained(root / "wide")
    adapted = get_peft_model(load_model(str(tiny_model)), LoraConfig(r=2, target_modules="all-linear"))
    torch.manual_seed(0)
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    adapted.save_pretrained(root / "adapters")
    named = {path.name: str(path) for path in root.iterdir()}
    return named | {"tiny": str(tiny_model)}


def break_folder(folders, make, target):
    """Returns a folder that lacks or holds what a case says."""
    shutil.copytree(folders["adapters" if "adapters" in make else "tiny"], target)
    if "drop" in make:
        (target / make["drop"]).unlink()
    if "file" in make:
        (target / make["file"]).write_text(make["text"])
    if "adapters" in make:
        (target / "adapter_config.json").write_text(json.dumps(fill(make["adapters"], folders)))
    return str(target)


def fill(value, folders):
    if isinstance(value, dict):
        return {key: fill(item, folders) for key, item in value.items()}
    return re.sub(r"^\{(\w+)\}$", lambda found: folders[found[1]], value) if isinstance(value, str) else value


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_plan_refuses_in_one_line(case, folders, tmp_path):
    places = folders | {"broken": break_folder(folders, case.get("make", {}), tmp_path / "broken")}
    items = [fill(item, places) for item in case["items"]]
    with pytest.raises(InputError, match=case["expect"]) as raised:
        make_plan(laptop(*items, **{"base_model": folders["tiny"]} | case.get("set", {})))
    assert len(str(raised.value).splitlines()) == 1


def test_plan_pins_checkpoints_and_measures_one_model_once(folders, tmp_path):
    copy = shutil.copytree(folders["other"], tmp_path / "copy")
    items = [
        {"model": folders["tiny"], "name": "same"},
        {"model": folders["other"]},
        {"model": str(copy)},
        {"epochs": 1},
    ]
    plan = make_plan(laptop(*items, base_model=folders["tiny"], sweep_seeds=[0, 1]))
    assert [c.candidate_id for c in plan.candidates][:6] == ["same", "same-s1", "other", "other-s1", "copy", "copy-s1"]
    assert plan.candidates[2].checkpoint == BaseModel(folders["other"], "", digest_folder(Path(folders["other"])))
    measured = [c.candidate_id for c in plan.measured]
    assert measured == ["no-sft-s0", "other", "random-256x1-lr0.001-s0", "random-256x1-lr0.001-s1"]
    assert plan.shared == {"same": "no-sft-s0", "same-s1": "no-sft-s0"} | dict.fromkeys(
        ("other-s1", "copy", "copy-s1"), "other"
    )
    text = describe_plan(plan)
    assert f"copy: {copy} (" in text and "the model of other, measured once" in text
    for candidate in plan.measured:
        assert from_json(Candidate, to_json(candidate)) == candidate


def test_another_model_is_allowed_and_said(folders):
    texts = make_plan(laptop({"model": folders["wide"], "name": "a"}, base_model=folders["tiny"])).texts
    assert any("a is a different model" in line and "its loss is not" in line for line in texts)


def test_without_a_base_model_what_is_measured_does_not_depend_on_who_else_is_ranked(folders):
    both = [{"model": folders["tiny"]}, {"model": folders["other"]}]
    empty = {"base_model": "", "curate_sft_data": "", "rl_steps": 0}
    plans = [make_plan(laptop(*items, **empty)) for items in (both, both[::-1], both[:1])]
    assert plans[0].base is None and [c.candidate_id for c in plans[0].measured] == ["model", "other"]
    for stage in ("curate", "sft", "predictors"):
        assert len({plan.settings[stage] for plan in plans}) == 1
    assert plans[0].measured[0] == plans[2].measured[0]
    assert set(plans[0].estimate) == {"sft", "predictors"}


def test_without_rl_nothing_is_set_apart_for_it_and_sizes_are_upper_bounds(folders, gsm8k_file, tmp_path):
    import pyarrow.parquet as pq

    from rlready.config import read_settings
    from rlready.stages.curate.curate import curate

    few, problems = gsm8k_file("train.jsonl", make_gsm8k_rows(20)), gsm8k_file("test.jsonl", make_gsm8k_rows(9, 1, 500))
    given = laptop(
        {"model": folders["tiny"], "name": "a"},
        base_model="", curate_sft_data=str(few), curate_evaluation_data=str(problems), curate_rl_data="", rl_steps=0,
        curate_sft_examples=0,
    )  # fmt: skip
    for changes, held in (({}, 20), ({"curate_sft_data": ""}, None), ({"curate_heldout_problems": 5}, 5)):
        settings = read_settings(make_plan(given | changes).settings["curate"])
        out = tmp_path / f"data{held}"
        card = curate(settings.curate, settings.revisions, out)
        assert card["sets"]["predictors"]["rows"] == 9 and not card["sets"].keys() & {"rl", "benchmark"}
        assert card["sets"].get("heldout", {}).get("rows") == held
        assert pq.read_table(out / "predictors.parquet").num_rows == 9


def adopt_one(model, out, **more):
    candidate = Candidate("a", 0, "", 0, 0.0, 0, checkpoint=model, **more)
    return adopt(candidate.checkpoint, candidate.adapter_base, out)


def test_sft_of_a_whole_checkpoint_is_a_pointer_with_its_own_tokenizer(folders, tmp_path):
    model = BaseModel(folders["other"], "", "digest")
    record = adopt_one(model, tmp_path / "out")
    assert record.trajectory == [] and record.model_digest == "digest" == digest_weights(tmp_path / "out")
    assert locate(tmp_path / "out")["pretrained_model_name_or_path"] == folders["other"]
    assert load_tokenizer(tmp_path / "out").chat_template


def test_adapters_are_merged_into_their_base_model(folders, tmp_path):
    import torch
    from peft import PeftModel

    plan = make_plan(laptop({"model": folders["adapters"], "name": "a"}, base_model=folders["other"]))
    (candidate,) = plan.candidates
    assert candidate.adapter_base.location == folders["tiny"] and "adapters of" in describe_plan(plan)
    record = adopt(candidate.checkpoint, candidate.adapter_base, tmp_path / "out")
    ids = torch.arange(3, 20)[None]
    expected = PeftModel.from_pretrained(load_model(folders["tiny"]), folders["adapters"])(ids).logits
    assert torch.allclose(load_model(tmp_path / "out")(ids).logits, expected, atol=1e-5)
    assert not torch.allclose(load_model(folders["tiny"])(ids).logits, expected, atol=1e-2)
    # Adapters with a tokenizer of their own, as TRL saves them, have no config.json.
    own = shutil.copytree(folders["adapters"], tmp_path / "own")
    for path in Path(folders["tiny"]).glob("*token*"):
        shutil.copy(path, own)
    shutil.copy(Path(folders["tiny"]) / "chat_template.jinja", own)
    assert make_plan(laptop({"model": str(own), "name": "a"}, base_model=folders["other"])).models["a"].adapter_base
    # Merged again, it is the model that was judged, whatever the last bit of its weights.
    assert adopt(candidate.checkpoint, candidate.adapter_base, tmp_path / "again").model_digest == record.model_digest


def test_adapters_of_another_model_are_one_line(folders, tmp_path):
    wrong = tmp_path / "wrong"
    shutil.copytree(folders["adapters"], wrong)
    adapters, base = BaseModel(str(wrong), "", "a"), BaseModel("builtin:list-machine", "", "b")
    with pytest.raises(InputError, match="its adapters do not fit builtin:list-machine"):
        adopt_one(adapters, tmp_path / "out", adapter_base=base)


def test_a_checkpoint_in_a_store_is_checked_by_its_small_files_and_copied(folders, tmp_path):
    import fsspec

    store = fsspec.filesystem("memory")
    for path in Path(folders["other"]).iterdir():
        store.pipe_file(f"/bucket/ckpt/{path.name}", path.read_bytes())
    store.pipe_file("/bucket/ckpt/optimizer.pt", b"not to be copied")
    (candidate,) = make_plan(laptop({"model": "memory://bucket/ckpt/"}, base_model=folders["tiny"])).candidates
    assert candidate.candidate_id == "ckpt" and candidate.checkpoint.digest
    for _ in range(2):  # a retry may find what a killed attempt has copied
        adopt(candidate.checkpoint, candidate.adapter_base, tmp_path / "out")
    assert digest_weights(tmp_path / "out") == digest_weights(folders["other"])
    assert not (tmp_path / "out" / "optimizer.pt").exists()
    store.pipe_file("/bucket/ckpt/model.safetensors", b"changed")
    with pytest.raises(InputError, match="has changed since plan checked it"):
        adopt(candidate.checkpoint, candidate.adapter_base, tmp_path / "again")
    store.rm("/bucket/ckpt/chat_template.jinja")
    with pytest.raises(InputError, match="ckpt: memory://bucket/ckpt/? has no chat template"):
        make_plan(laptop({"model": "memory://bucket/ckpt"}, base_model=folders["tiny"]))


LENIENT = Gate(k=2, min_pass_at_k=0.0, min_pass_at_k_over_base=-1.0, max_generalization_loss=0.5)


def measure(name, correct=(2, 2), loss=0.9, heldout=100, trained=False):
    predictors = PredictorsRecord(
        generalization_loss=loss, heldout_tokens=heldout, samples=4, correct=list(correct),
        loss_interval=[loss - 0.1, loss + 0.1] if loss else None,
        by_products=SampleStatistics(verifier_disagreement=0.0),
    )  # fmt: skip
    model = BaseModel(name, "", name)
    candidate = Candidate(name, 0, "", 0, 0.0, 0, checkpoint=model, trained_on_sft_data=trained)
    return Outcome(candidate, sft=SftRecord([]), predictors=predictors)


@pytest.mark.parametrize(
    ("changes", "decision", "reason"),
    [
        ({}, "approved", "loss not judged: not declared comparable"),
        ({"trained": True}, "rejected", "loss 0.900 > 0.5"),
        ({"trained": True, "loss": 0.4}, "approved", "loss 0.400 <= 0.5"),
        ({"loss": None}, "undecided", "loss missing or not finite"),
        ({"loss": None, "heldout": 0}, "approved", "loss not judged: nothing is held out"),
        ({"loss": None, "heldout": None, "trained": True}, "undecided", "loss missing or not finite"),
    ],
)
def test_the_loss_of_a_checkpoint_is_judged_where_the_user_says_that_it_compares(changes, decision, reason):
    (verdict,) = decide([measure("a", **changes)], measure("base"), LENIENT)
    assert (verdict.decision, reason in verdict.reason) == (decision, True), verdict.reason
    assert "rise" not in verdict.reason


def test_without_rl_and_base_model_verdicts_are_final_and_no_candidate_proceeds():
    outcomes = [measure("a", [4, 4, 4, 0]), measure("b", [0, 0, 0, 0])]
    verdicts = decide(outcomes, None, dataclasses.replace(LENIENT, min_pass_at_k=0.5), trains=False)
    assert [(v.decision, v.proceed, v.propensity) for v in verdicts] == [
        ("approved", False, 0.0),
        ("rejected", False, 0.0),
    ]
    assert verdicts[0].numbers.pass_at_k_over_base is None


def test_the_order_names_the_next_and_says_how_sure_it_is():
    outcomes = [measure("low", [0] * 30), measure("mid", [1] * 15 + [3] * 15), measure("high", [4] * 16 + [2] * 14)]
    ranked = rank(decide(outcomes, None, LENIENT, trains=False), outcomes, LENIENT)
    standings = {verdict.candidate_id: verdict.standing for verdict in ranked}
    assert [standings[name].place for name in ("high", "mid", "low")] == [1, 2, 3]
    assert standings["high"].ahead_of == "mid" and standings["low"].ahead_of == "" and standings["low"].lead is None
    assert standings["mid"].sure and standings["mid"].low < standings["mid"].lead < standings["mid"].high
    twins = [measure("a", [2] * 30), measure("b", [2] * 30)]
    first, _ = rank(decide(twins, None, LENIENT, trains=False), twins, LENIENT)
    assert first.standing.lead == 0 and not first.standing.sure and first.standing.low < 0 < first.standing.high


def test_a_checkpoint_s_settings_are_where_it_comes_from():
    model = BaseModel("org/name", "abc", "abc")
    candidate = Candidate("a", 0, "", 0, 0.0, 3, checkpoint=model)
    described = candidate.describe()
    assert described["checkpoint"] == "org/name" and described["checkpoint_revision"] == "abc" and described["seed"] == 3
    assert not described.keys() & {"epochs", "subset", "examples", "learning_rate"} and not candidate.is_base


def test_a_candidate_of_an_older_version_is_read():
    old = {"candidate_id": "x", "epochs": 1, "subset": "random", "examples": 8, "learning_rate": 0.1, "seed": 0}
    read = from_json(Candidate, json.dumps(old))
    assert read.checkpoint is None and read.compares_loss and not read.is_base
