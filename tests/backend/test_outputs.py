"""Whatever a stage knows leaves it in a form that KFP takes and keeps."""

import json
import math
from types import SimpleNamespace

import pytest

from backend.outputs import Refused, keep_metadata, pass_on, read_output, read_scalars
from rlready.errors import InputError
from rlready.runtime.outputs import LONGEST_TEXT, annotate, hand_on

# What figures, reasons and names may hold, and what a later task is to read of it; None where it is left out.
VALUES = {
    "a number": (0.25, 0.25),
    "zero": (0, 0),
    "less than nothing": (-1.5, -1.5),
    "unknown": (None, None),
    "no number": (math.nan, None),
    "no end": (-math.inf, None),
    "an integer that a double holds": (2**53, 2**53),
    "one that no double holds": (2**53 + 1, str(2**53 + 1)),
    "a truth": (True, "true"),
    "a list": ([1, None], "[1, null]"),
    "an object": ({"a": {"b": None}}, '{"a": {"b": null}}'),
    "an empty text": ("", ""),
    "an empty list": ([], "[]"),
    "letters": ("Größe µ 中 😀", "Größe µ 中 😀"),
    "half a letter": ("a\ud800b", "a<U+D800>b"),
    "the end of a string": ("a\0b", "a␀b"),
    "a template": ("{{workflow.name}} and {{{=1+1}}}", "{ {workflow.name}} and { { {=1+1}}}"),
    "a variable": ("$(HOME) costs $$5 $$$(A)", "$ (HOME) costs $ $5 $ $ $ (A)"),
    "a long reason": ("x" * 100_000 + "y", "x" * 148 + " … " + "x" * 148 + "y"),
}


def make_artifact(folder, name, kind="system.Artifact"):
    """Returns an output as kfp's executor hands it to a component."""
    return SimpleNamespace(metadata={}, path=str(folder / name), schema_title=kind)


def leave(artifact):
    """Returns what a later task reads of an artifact's metadata, and the first reads on its command line."""
    text = json.dumps({"artifacts": {"out": {"artifacts": [{"metadata": artifact.metadata}]}}})
    kept = keep_metadata("out", read_output(text)[1].get("out", {}))
    assert pass_on({"metadata": kept}) == {"metadata": kept}
    return {key: value for key, value in kept.items() if key not in ("display_name", "store_session_info")}


@pytest.mark.parametrize("name", VALUES)
def test_metadata_comes_back_as_it_was_written(name, tmp_path):
    given, expected = VALUES[name]
    outcome = make_artifact(tmp_path, "outcome")
    annotate({"it": given, "display_name": "a"}, outcome)
    read = leave(outcome)
    assert read == ({} if expected is None else {"it": expected})
    assert all(len(value) <= LONGEST_TEXT for value in read.values() if isinstance(value, str))


def test_metrics_take_figures_only_and_what_is_handed_on_does_not_repeat_them(tmp_path):
    outcome, metrics = make_artifact(tmp_path, "outcome"), make_artifact(tmp_path, "metrics", "system.Metrics")
    about = {name: value for name, (value, _) in VALUES.items()} | {"display_name": "a: benchmark", "failed": "rl: why"}
    annotate(about, outcome, metrics)
    figures = {n: e for n, (_, e) in VALUES.items() if e is not None and not isinstance(e, str)}
    assert leave(metrics) == figures == read_scalars(leave(metrics))
    assert not figures.keys() & leave(outcome).keys() and leave(outcome)["failed"] == "rl: why"
    assert outcome.metadata["display_name"] == metrics.metadata["display_name"] == "a: benchmark"


def test_an_output_without_a_file_gets_one_and_others_stay(tmp_path):
    outcome, metrics = make_artifact(tmp_path, "outcome"), make_artifact(tmp_path, "metrics", "system.Metrics")
    (tmp_path / "outcome").write_text("mine")
    annotate({"loss": 2.0, "rise": None}, outcome, metrics)
    assert (tmp_path / "outcome").read_text() == "mine"
    assert json.loads((tmp_path / "metrics").read_text()) == {"loss": 2.0}


@pytest.mark.parametrize("text", ["{{x}} $$ $(HOME) $", "{{{", "$$$$", "\ud800 \0 \\u0024 \\", "ä 😀"])
def test_a_parameter_reads_as_it_was_after_every_command_line(text):
    given = json.dumps({"stop": [text], "more": {"number": 2**60}})
    texts, items, plain = hand_on(settings=given, approved=[{"candidate": given}], anyone="yes")
    parameters, _ = read_output(json.dumps({"parameterValues": {"s": texts, "i": items, "a": plain}}))
    passed = pass_on({"inputs": parameters})["inputs"]
    assert json.loads(passed["s"]) == json.loads(passed["i"][0]["candidate"]) == json.loads(given)
    assert passed["a"] == "yes"


@pytest.mark.parametrize("value", [None, 1, 0.5, True, [None], {"a": 2}])
def test_only_texts_are_handed_on(value):
    with pytest.raises(TypeError, match="settings"):
        hand_on(settings=value)


def test_a_parameter_that_no_command_line_takes_is_refused_where_it_is_made():
    largest = json.dumps(["random-256x4-lr0.001-s0"] * 2_400)
    with pytest.raises(InputError, match="gate: .* KiB on a command line"):
        hand_on(gate=largest + " " * 20_000)
    (text,) = hand_on(gate=largest)
    pass_on({"inputs": {"parameterValues": {"settings": text}}})
    with pytest.raises(Refused, match="longer than 128 KiB"):
        pass_on({"inputs": {"parameterValues": {"settings": json.dumps(["random"] * 7_000)}}})
