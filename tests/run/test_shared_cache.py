"""Two runs in one work folder: what one of them is computing, the other waits for and takes from the cache."""

import json
import threading

import pytest

from rlready.records.candidate import Candidate
from rlready.records.serialization import to_json
from rlready.run.local.local import make_cache
from rlready.runtime import events


@pytest.fixture
def caches(tmp_path, monkeypatch):
    """Returns the caches of two runs, as two processes have them, and a function that returns the events."""
    monkeypatch.setenv(events.FILE, str(tmp_path / "events.jsonl"))
    (tmp_path / "events.jsonl").touch()
    made = [make_cache(tmp_path / name)(str(tmp_path / "cache")) for name in ("first.txt", "second.txt")]
    return *made, lambda: [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]


def compute_key(cache, component="comp-sft", candidate="a", **more):
    text = candidate if candidate.startswith("{") else json.dumps({"candidate_id": candidate})
    arguments = {"candidate": text} | more
    return cache.compute_key(component_name=component, image="i", full_command=["c"], arguments=arguments, env_vars={})


def test_the_second_run_waits_for_the_result_of_the_first_and_says_so(caches, tmp_path):
    first, second, read_events = caches
    key, found = compute_key(first), []
    assert first.get(key) is None and compute_key(second) == key
    waiting = threading.Thread(target=lambda: found.append(second.get(key)), daemon=True)
    waiting.start()
    waiting.join(timeout=1)
    assert waiting.is_alive() and not found
    first.put(key, {"seconds": 1.0})
    waiting.join(timeout=30)
    assert found == [{"seconds": 1.0}]
    event, cached = read_events()
    assert event["state"] == "waiting" and event["message"].startswith("sft of a: another run in this folder is computing")
    assert (cached["stage"], cached["candidate"], cached["state"]) == ("sft", "a", "cached")
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [f"{key}.json"]


def test_the_second_run_computes_what_the_first_one_left_unfinished(caches):
    first, second, read_events = caches
    key = compute_key(first)
    assert first.get(key) is None
    first.locks[key].close()  # as the system does when a process dies
    compute_key(second)
    assert second.get(key) is None and not read_events()


def test_other_candidates_wait_for_nothing(caches):
    first, second, read_events = caches
    assert first.get(compute_key(first)) is None and second.get(compute_key(second, candidate="b")) is None
    assert not read_events()


def test_a_stage_that_is_used_twice_has_one_key_and_every_key_is_noted(caches, tmp_path):
    first, *_ = caches
    keys = [compute_key(first, name) for name in ("comp-sft", "comp-sft-2")]
    assert keys[0] == keys[1] and (tmp_path / "first.txt").read_text().split() == keys


def test_what_the_cache_holds_is_an_event_once_and_what_this_run_computed_is_none(caches):
    first, second, read_events = caches
    key = compute_key(first)
    assert first.get(key) is None
    first.put(key, {"seconds": 1.0})
    assert first.get(compute_key(first, "comp-sft-2")) and not read_events()
    assert all(second.get(compute_key(second, name)) for name in ("comp-sft", "comp-sft-2"))
    assert [(event["stage"], event["candidate"], event["state"]) for event in read_events()] == [("sft", "a", "cached")]


def test_rl_of_a_training_is_of_the_checkpoint_that_the_digest_names(caches):
    first, second, read_events = caches
    training = Candidate("", 2, "random", 8, 1e-3, 0, kept_epochs=[1, 2]).at(2)
    for cache in (first, second):
        key = compute_key(cache, "comp-rl", candidate=to_json(training), measured_digest="1/abc")
        if cache.get(key) is None:
            cache.put(key, {})
    (event,) = read_events()
    assert (event["stage"], event["candidate"]) == ("rl", training.at(1).candidate_id)
