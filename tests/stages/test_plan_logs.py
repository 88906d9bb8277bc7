"""Candidates that logs have measured, in a recipe: what plan makes of them, and what it refuses before anything runs."""

import json
import shutil
from pathlib import Path

import pytest
from helpers import logs
from helpers.laptop import laptop

from rlready.config import read_settings
from rlready.config.recipes import load_recipe
from rlready.errors import InputError
from rlready.measured.read import load_samples
from rlready.measured.sweep import find_problems, select
from rlready.records.candidate import Candidate
from rlready.records.serialization import from_json, to_json
from rlready.run.kfp.limits import check_paths
from rlready.stages.plan.plan import describe_plan, make_plan

QUESTIONS = {f"q{n}": f"What is {n} + {n}? Think, then say it." for n in range(8)}


def write_log(folder, name, correct=(2, 1, 0, 4, 1, 2, 0, 3), problems=QUESTIONS, samples=4, **columns):
    rows = [
        {"problem": key, "question": text, "correct": count, "samples": samples} | columns
        for (key, text), count in zip(problems.items(), correct, strict=False)
    ]
    return str(logs.write_jsonl(folder / f"{name}.jsonl", rows))


def write_data(folder):
    rows = [{"question": text, "answer": str(2 * n)} for n, text in enumerate(QUESTIONS.values())]
    return str(logs.write_jsonl(folder / "problems.jsonl", rows))


def plan(*items, **changes):
    return make_plan(laptop(sweep_candidates=list(items), **{"base_model": "", "gate_k": 4} | changes))


@pytest.fixture
def two(tmp_path):
    return [{"measured": write_log(tmp_path, "a")}, {"measured": write_log(tmp_path, "b", [1] * 8)}]


def test_logs_alone_need_no_data_no_model_and_end_at_the_gate(two):
    made = plan(*two)
    assert [c.candidate_id for c in made.measured] == ["a", "b"] and made.baseline is made.candidates[0]
    assert not made.trains and made.changes["rl_steps"] == 0 and not made.revisions and made.largest is None
    assert {entry["tokens"] for entry in made.estimate.values()} == {0}
    text = describe_plan(made)
    assert "plain, 8 problems x 4 samples" in text and "no candidate has weights (model:), so the run ends at the gate" in text
    for candidate in made.candidates:
        assert from_json(Candidate, to_json(candidate)) == candidate and not candidate.has_weights and not candidate.is_base


def test_another_content_of_log_or_loss_is_another_candidate(two, tmp_path):
    state = tmp_path / "trainer_state.json"
    seen = set()
    for loss in (1.0, 1.1):
        state.write_text(json.dumps({"log_history": [{"eval_loss": loss}]}))
        for count in (0, 1):
            write_log(tmp_path, "a", [count] * 8)
            seen.add(plan(two[0] | {"loss": str(state)}).candidates[0].log.digest)
    assert len(seen) == 4


def test_the_base_model_may_be_measured_by_a_log(two, tmp_path):
    made = plan(*two, base_measured=write_log(tmp_path, "base", [0] * 8), gate_min_pass_at_k_over_base=0.1)
    assert made.baseline.is_base and made.baseline.log and [c.candidate_id for c in made.measured] == ["no-sft-s0", "a", "b"]
    assert read_settings(made.settings["gate"]).compares_base and made.base is None
    assert not made.small and read_settings(made.settings["curate"]).curate.heldout_problems == 0  # no data is read


def test_two_checkpoints_of_one_log_are_two_models(two, tiny_model, tmp_path):
    shutil.copytree(tiny_model, tmp_path / "other")
    items = [two[0] | {"model": str(place), "seed": seed} for seed, place in enumerate((tiny_model, tmp_path / "other"))]
    made = plan(*items, base_model=str(tiny_model), base_measured=two[1]["measured"])
    assert [c.candidate_id for c in made.candidates] == ["a", "a-s1"] and made.shared == {}


def test_weights_are_found_and_repeated_with_seeds(two, tiny_model):
    data = {"base_model": str(tiny_model), "base_measured": two[1]["measured"], "sweep_seeds": [0, 1]}
    made = plan(two[0] | {"model": str(tiny_model)}, two[1], **data)
    assert [c.candidate_id for c in made.candidates] == ["a", "a-s1", "b"] and made.trains and made.shared == {"a-s1": "a"}
    assert made.candidates[0].checkpoint.digest and made.candidates[0].has_weights
    assert read_settings(made.settings["curate"]).curate.predictor_problems == 0  # none is sampled


def test_losses_count_if_all_are_of_one_kind(two, tmp_path):
    state = tmp_path / "trainer_state.json"
    state.write_text(json.dumps({"log_history": [{"eval_loss": 1.0}]}))
    for losses, counts in ((("1.5", 1.4), True), (("1.5", str(state)), False), (("1.5", ""), True)):
        made = plan(*(item | {"loss": loss} for item, loss in zip(two, losses, strict=True)))
        assert [c.compares_loss for c in made.candidates] == [counts, counts and losses[1] != ""]
        assert any("of different kinds" in line for line in made.texts) == (not counts)
    with pytest.raises(InputError, match="losses are not comparable"):
        plan(two[0] | {"loss": 1.5}, two[1], gate_rank_by="generalization_loss")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"gate_k": 8}, "4 samples per problem, Pass@8 needs 8; lower gate_k"),
        ({"curate_predictor_data": "{other}"}, "has 0 of the 8 problems checked of"),
        ({"predictors_sampling": "sequential"}, "sequential gives no counts to compare log with"),
    ],
)
def test_beside_sampled_candidates_problems_and_settings_must_be_the_same(change, said, tiny_model, tmp_path):
    item = {"measured": write_log(tmp_path, "log", temperature=1.0)}
    rows = [{"question": f"another {text}", "answer": "1"} for text in QUESTIONS.values()]
    other = str(logs.write_jsonl(tmp_path / "other.jsonl", rows))
    given = {"base_model": str(tiny_model), "curate_predictor_data": write_data(tmp_path), "curate_predictor_problems": 8}
    given |= {"gate_max_rl_runs": 0, "gate_min_pass_at_k": 0.5, "gate_min_pass_at_k_over_base": -1.0}
    made = plan({"epochs": 1}, item, **given)
    assert [c.candidate_id for c in made.measured][1:] == ["random-256x1-lr0.001-s0", "log"]
    assert not plan({"epochs": 1}, item | {"loss": 1.5}, **given).candidates[1].compares_loss  # the other's is measured here
    change = {key: other if value == "{other}" else value for key, value in change.items()}
    with pytest.raises(InputError, match=said) as raised:
        plan({"epochs": 1}, item, **given | change)
    assert len(str(raised.value).splitlines()) == 1
    greedy = {"measured": write_log(tmp_path, "cold", temperature=0.6)}
    with pytest.raises(InputError, match="cold: .*cold.jsonl: temperature is 0.6, this run's is 1.0"):
        plan({"epochs": 1}, greedy, **given)


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({"measured": "nowhere.jsonl"}, "nowhere: nowhere.jsonl: no such file or folder"),
        ({"measured": "{a}", "epochs": 1}, "is a log, so epochs cannot be chosen"),
        ({"measured": "{a}", "trained_on_sft_data": True}, "trained_on_sft_data"),
        ({"measured": "{a}", "judge": "yes"}, "judge must be true or false"),
        ({"measured": "{a}", "loss": "nowhere.json"}, "neither a loss in nats per token nor a file"),
        ({"measured": "{a}", "name": "a/b"}, "name 'a/b' cannot be one"),
        ({"measured": "{several}"}, "holds the candidates x, y; name one of them"),
        ({"measured": "{fewer}"}, "1 of its 8 are missing, 0 are new"),
        ({"measured": "{few}"}, "2 samples per problem, Pass@4 needs 4"),
    ],
)
def test_what_cannot_be_is_one_line(item, said, two, tmp_path):
    rows = [{"problem": "p", "candidate": name, "correct": 1, "samples": 4} for name in "xy"]
    places = {"a": two[0]["measured"], "several": str(logs.write_jsonl(tmp_path / "several.jsonl", rows))}
    places["fewer"] = write_log(tmp_path, "fewer", problems=dict(list(QUESTIONS.items())[:-1]))
    places["few"] = write_log(tmp_path, "few", [1] * 8, samples=2)
    item = {key: value.format(**places) if isinstance(value, str) else value for key, value in item.items()}
    with pytest.raises(InputError, match=said) as raised:
        plan(two[1], item)
    assert len(str(raised.value).splitlines()) == 1


def test_a_log_in_a_bucket_is_read_and_named_by_its_url(tmp_path):
    import fsspec

    store = fsspec.filesystem("memory")
    for name, count in {"a": 1, "b": 2}.items():
        local = Path(write_log(tmp_path, name, [count] * 8))
        store.pipe_file(f"/logs/{name}/part.jsonl", local.read_bytes())
    store.pipe_file("/logs/loss.jsonl", b'{"nats": 3.0, "tokens": 2}\n')
    made = plan({"measured": "memory://logs/a", "loss": "memory://logs/loss.jsonl"}, {"measured": "memory://logs/b/part.jsonl"})
    assert [c.candidate_id for c in made.candidates] == ["a", "part"] and made.logs["a"].loss.value == 1.5
    assert made.logs["part"].log.path == "memory://logs/b/part.jsonl" and made.logs["part"].log.correct == [2] * 8
    store.pipe_file("/logs/b/part.jsonl", b'{"problem": "x"}\n')
    with pytest.raises(InputError, match=r"part: memory://logs/b/part.jsonl: rows with problem are of no known tool"):
        plan({"measured": "memory://logs/b/part.jsonl"})


def test_paths_in_a_recipe_are_relative_to_it_and_a_cluster_refuses_them(tmp_path, monkeypatch):
    folder = tmp_path / "recipes"
    folder.mkdir()
    write_log(folder, "a")
    (folder / "my.yaml").write_text("parameters: {base_model: '', gate_k: 4, sweep_candidates: [{measured: a.jsonl}]}")
    monkeypatch.chdir(tmp_path)
    given = load_recipe(str(folder / "my.yaml"), [])
    assert given["sweep_candidates"] == [{"measured": "recipes/a.jsonl"}] and make_plan(given).logs["a"]
    with pytest.raises(InputError, match="sweep_candidates: recipes/a.jsonl is a path on this machine"):
        check_paths(given)
    check_paths(given | {"sweep_candidates": [{"measured": "/data/a.jsonl", "loss": 1.0}, {"measured": "s3://b/b.jsonl"}]})


def test_problems_are_found_by_id_and_by_text_and_never_by_part_of_a_number(tmp_path):
    log = load_samples(write_log(tmp_path, "log", [1, 2, 3], {"x": "Say: 11 + 1? Now!", "y": "2 + 2 ?", "z": "?"}))
    rows = [{"problem_id": "i", "question": question} for question in ("1 + 1?", "11 + 1?", "2  + 2 ?")]
    assert find_problems(log, [*rows, {"problem_id": "z", "question": "other"}]) == [None, 0, 1, 2]
    chosen = select(log, [rows[2] | {"problem_id": "j"}, rows[1]])
    assert (chosen.correct, chosen.problems, chosen.samples) == ([2, 1], ["j", "i"], 4)
    with pytest.raises(InputError, match="has 0 of the 1 problems on which others are sampled"):
        select(log, rows[:1])
