"""Kinds of answer that other packages bring: found by name, refused in one line, run apart, and judged in three values."""

import contextlib
import importlib
import json
import os
import signal
import threading

import pytest
import yaml
from helpers import CASES, PLUGINS
from helpers.laptop import laptop

from rlready.data.problems import read_problem
from rlready.data.registry import Source, read_own
from rlready.errors import InputError
from rlready.evaluation.score import find_control
from rlready.models.prompts import write_messages
from rlready.stages.plan.plan import make_plan
from rlready.verifier import (
    count_checks,
    describe_reference,
    find_format,
    find_origin,
    judge,
    judge_all,
    measure_disagreement,
    measure_trouble,
    registry,
    verify,
)
from rlready.verifier.formats import python_tests
from rlready.verifier.formats.format import Judgement
from rlready.verifier.processes import workers

KINDS = yaml.safe_load((CASES / "plugins.yaml").read_text())
CODE = yaml.safe_load((CASES / "python_tests.yaml").read_text())
EXACT = yaml.safe_load((CASES / "exact_match.yaml").read_text())
GOOD = """
def extract(completion): return completion.partition('=')[2]
def check(answer, reference): return answer == reference
"""
TASK = {"numbers": [3, 4, 5], "target": 17}
ADD = json.dumps(
    {
        "function": "add",
        "tests": [{"args": [1, 2], "result": 3}, {"args": [-1, 1], "result": 0}, {"args": [0.1, 0.2], "result": 0.3}],
    }
)


def forget():
    importlib.invalidate_caches()
    registry.find_format.cache_clear()
    registry.find_origin.cache_clear()


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Returns a function that installs a package of one module, as pip would, under the name of its format."""

    def install(name, body, target="", version="0.1"):
        module = name.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(body.replace("GOOD", GOOD))
        info = tmp_path / f"{module}-{version}.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[rlready.verifiers]\n{name} = {module}{target}\n")
        forget()

    monkeypatch.syspath_prepend(tmp_path)
    yield install
    forget()


@pytest.fixture
def countdown(monkeypatch):
    monkeypatch.syspath_prepend(PLUGINS)
    forget()
    yield
    forget()


def write_block(code):
    return f"So:\n```python\n{code}\n```\n"


def test_a_format_is_known_by_its_package_and_version(countdown):
    origin = find_origin("countdown")
    assert (origin.package, origin.version, origin.target) == ("countdown", "0.1", "countdown") and origin.digest
    assert [find_origin(name).package for name in ("word", "boxed", "letter", "exact", "python-tests")] == ["rlready"] * 5
    assert registry.list_formats()[-1] == "countdown"


def test_a_changed_plugin_is_another_release_even_of_the_same_version(install):
    install("mine", "GOOD")
    first = find_origin("mine").release
    install("mine", "GOOD\nMORE = 1")
    assert find_origin("mine").release != first and find_origin("mine").version == "0.1"


def test_two_packages_with_one_name_are_refused_and_none_can_take_a_name_of_rlready(install, tmp_path):
    install("mine", "GOOD")
    install("word", "raise KeyError")
    assert find_origin("word").package == "rlready" and verify("#ab", "ab", "word")
    (tmp_path / "word-0.1.dist-info" / "entry_points.txt").write_text("[rlready.verifiers]\nmine = word\n")
    forget()
    with pytest.raises(InputError, match="'mine' is provided by .* and .*; uninstall one"):
        find_origin("mine")


def test_countdown_is_judged(countdown):
    reference = json.dumps(TASK)
    texts = ["=>3*4+5", "5+4*3 => 5+4*3", "=>17", "=>3*4", "3*4+5", "=>(3+4", "=>__import__('os')"]
    judged = [judge(text, reference, "countdown").right for text in texts]
    assert judged == [True, True, False, False, False, False, False]
    assert describe_reference(reference, "countdown") == "plug-in" and describe_reference("17", "countdown") is None
    assert find_format("countdown").find_prompt() == "{question} End with => formula."


@pytest.mark.parametrize("case", KINDS["judging"], ids=lambda case: case["name"])
def test_a_faulty_plugin_makes_judgements_unknown_and_is_reported_once(case, install, monkeypatch, capsys):
    monkeypatch.setattr(workers, "TIME_LIMIT", 0.2)
    monkeypatch.setenv("A_SECRET", "yes")
    install("mine", case["body"])
    expected = Judgement(case["right"], case.get("answer", "3"), case.get("trouble"))
    assert [judge("=3", "3", "mine") for _ in range(2)] == [expected] * 2
    said = capsys.readouterr().out
    assert said.count("the format mine") == ("says" in case) and case.get("says", "") in said
    assert measure_trouble([expected])["verifier_unknown"] == (expected.right is None)


@pytest.mark.parametrize("case", KINDS["loading"], ids=lambda case: case["name"])
def test_a_plugin_that_cannot_be_loaded_is_one_line_in_plan(case, install, tmp_path):
    install("mine", case["body"], case.get("target", ""))
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"question": "?", "answer": "3", "solution": "=3"}) + "\n")
    with pytest.raises(InputError) as error:
        make_plan(laptop(curate_sft_data="s", curate_sources={"s": {"path": str(path), "format": "mine"}}))
    said = str(error.value)
    assert said.startswith("the format mine (mine 0.1 ") and case["says"] in said and "\n" not in said


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"format": "chekcer"},
            "curate_sources, s: format: .*'chekcer' is not one of word, boxed, letter, exact, python-tests, countdown-steps;",
        ),
        ({"format": "chekcer"}, "install that here .pip install PACKAGE.*in the image"),
        ({"format": 3}, "format must be str, got 3"),
        ({"prompt": "Solve this."}, "'Solve this.' is neither one of word, .* nor a text with {question}"),
    ],
)
def test_a_source_of_no_known_format_or_prompt_is_refused(entry, message):
    with pytest.raises(InputError, match=message):
        read_own({"s": {"path": "x.jsonl"} | entry})


def test_the_rows_of_a_source_get_its_format_and_prompt(countdown):
    row = {"question": "3 4 5: 17", "answer": TASK, "solution": "3*4=12 =>3*4+5", "format": "word"}
    source = Source("s", path="x.jsonl", format="countdown", prompt='In {"braces"}: {question}')
    problem = read_problem(row, True, source)
    assert json.loads(problem["answer"]) == TASK and problem["format"] == "countdown"
    assert write_messages(problem["question"], problem["prompt"])[0]["content"] == 'In {"braces"}: 3 4 5: 17'
    assert read_problem(row, True, Source("s", path="x.jsonl", format="countdown"))["prompt"].startswith("{question} End")
    for change, message in (
        ({"solution": "17"}, "does not end in an answer that the format countdown finds"),
        ({"answer": None}, "no answer"),
    ):
        with pytest.raises(InputError, match=message):
            read_problem(row | change, True, source)
    with pytest.raises(InputError, match="cannot read the answer"):
        read_problem(row | {"answer": {"numbers": "?"}}, False, source)


def test_the_negative_control_is_the_reference_of_another_problem(countdown):
    references = [TASK, TASK | {"target": 12}, TASK]
    rows = [{"answer": json.dumps(reference), "format": "countdown"} for reference in references]
    assert find_control(rows, 0) is rows[1] and find_control(rows, 2) is rows[1]
    words = [{"answer": answer, "format": "exact"} for answer in ("Paris", "paris.", "London")]
    assert find_control(words, 0) is words[2]


def test_nothing_disagrees_with_a_plugin(countdown):
    judged = [judge("=>3*4+5", json.dumps(TASK), "countdown"), judge("=>3", json.dumps(TASK), "countdown")]
    assert count_checks(judged) == 1 and measure_disagreement(judged) is None
    both = [*judged, judge("\\boxed{2}", "2", "boxed")]
    assert count_checks(both) == 2 and measure_disagreement(both) == 0.0


def test_many_samples_are_judged_in_their_order(countdown):
    reference = json.dumps(TASK)
    asked = [(f"=>3*4+{number}", reference, "countdown") for number in range(40)] + [("#a", "a", "word")]
    assert [judgement.right for judgement in judge_all(asked)] == [number == 5 for number in range(40)] + [True]


def test_a_fork_has_its_own_processes(countdown):
    reference = json.dumps(TASK)
    assert judge("=>3*4+5", reference, "countdown").right
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            os._exit(0 if judge("=>5+3*4", reference, "countdown").right else 1)
        os._exit(2)
    assert os.waitpid(child, 0)[1] == 0 and judge("=>4*3+5", reference, "countdown").right


@pytest.mark.parametrize(("completion", "reference", "right"), EXACT)
def test_exact_match(completion, reference, right):
    assert verify(completion, reference, "exact") is right


@pytest.mark.parametrize("code", CODE["right"])
def test_a_function_that_passes_its_tests_is_right(code):
    assert verify(write_block("raise KeyError") + write_block(code), ADD, "python-tests") is True


@pytest.mark.parametrize("code", CODE["wrong"])
def test_a_function_that_fails_or_cheats_is_wrong(code, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("A_SECRET", "yes")
    assert judge(write_block(code), ADD, "python-tests").right is False
    assert not list(tmp_path.iterdir())
    assert judge(write_block(CODE["right"][0]), ADD, "python-tests").right


@pytest.mark.parametrize("code", CODE["idle"])
def test_code_that_sleeps_or_blocks_uses_up_its_own_time_and_is_wrong(code, monkeypatch):
    monkeypatch.setattr(python_tests, "PATIENCE", 0.3)
    tests = [{"args": ["x" * 32_000], "result": number} for number in range(6)]
    assert python_tests.PythonTests().check(code, json.dumps({"function": "f", "tests": tests})) is False


def test_code_that_a_busy_machine_does_not_run_is_unknown_and_a_short_stop_does_not_matter(monkeypatch):
    monkeypatch.setattr(python_tests, "PATIENCE", 0.3)
    monkeypatch.setattr(python_tests, "BUSY", 2.0)
    for seconds, says in ((1.0, contextlib.nullcontext()), (2.5, pytest.raises(TimeoutError))):
        with python_tests.Sandbox(CODE["right"][0], "add") as sandbox, says:
            os.kill(sandbox.process.pid, signal.SIGSTOP)
            timer = threading.Timer(seconds, os.kill, (sandbox.process.pid, signal.SIGCONT))
            timer.start()
            assert sandbox.call([1, 2]) == 3
        timer.cancel()


@pytest.mark.parametrize(("text", "code"), CODE["fences"])
def test_blocks_of_code_are_those_of_commonmark(text, code):
    for end in ("\n", "\r\n"):
        assert python_tests.PythonTests.extract(None, text.replace("\n", end)) == code


def test_text_without_a_block_has_no_answer_and_references_without_tests_are_unreadable():
    for text in ("def add(a, b): return a + b", "```python\ndef add(a, b): return a + b", "```python\n\n```"):
        assert judge(text, ADD, "python-tests") == Judgement(False, None)
    assert describe_reference(ADD, "python-tests") == "plug-in"
    assert [describe_reference(reference, "python-tests") for reference in CODE["unreadable"]] == [None] * len(
        CODE["unreadable"]
    )


def test_results_are_compared_as_plain_data():
    tests = [
        ([[1, 2]], {"a": [1, 2.0, None, "x", True]}, "lambda x: {'a': (*x, None, 'x', True)}", True),
        ([1], 1, "lambda x: True", False),
        ([1], True, "lambda x: 1", False),
        ([1], 10**30, "lambda x: 10**30", True),
        ([1], 10**30, "lambda x: 1e30", False),
        ([1], 2**53 + 1, "lambda x: 2**53", False),
        ([1], 10**9, "lambda x: 1e9 + 1", False),
        ([1], 3, "lambda x: 0.1 * 3 * 10", True),
        ([1], 1.0, "lambda x: 1", True),
        ([1], 1, "lambda x: 1e400", False),
        ([1], 1.5, "lambda x: 10**400", False),
        ([1], [1, 2], "lambda x: [1]", False),
        ([1], {"a": 1}, "lambda x: {'b': 1}", False),
    ]
    for arguments, result, code, right in tests:
        reference = json.dumps({"function": "f", "tests": [{"args": arguments, "result": result}]})
        assert verify(write_block(f"f = {code}"), reference, "python-tests") is right, code


def test_the_version_of_a_plugin_is_in_what_stages_depend_on(install, tmp_path):
    for name, numbers in (("train", range(300)), ("test", range(300, 400))):
        rows = [{"question": f"What is {n}?", "answer": str(n), "solution": f"={n}"} for n in numbers]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    sources = {name: {"path": str(tmp_path / f"{name}.jsonl"), "format": "mine"} for name in ("train", "test")}
    recipe = laptop(
        curate_sft_data="train",
        curate_rl_data="",
        curate_evaluation_data="test",
        curate_sources=sources,
        curate_sft_examples=0,
        curate_heldout_problems=16,
        curate_rl_problems=16,
        curate_predictor_problems=8,
        curate_benchmark_problems=8,
        rl_prompts_per_step=4,
        sweep_examples=[16],
        sweep_candidates=[],
    )
    plans = []
    for version in ("0.1", "0.2"):
        install("mine", "GOOD", version=version)
        for old in tmp_path.glob("mine-*.dist-info"):
            if version not in old.name:
                for file in old.iterdir():
                    file.unlink()
                old.rmdir()
        forget()
        plans.append(make_plan(recipe))
    changed = {stage for stage in plans[0].settings if plans[0].settings[stage] != plans[1].settings[stage]}
    assert changed == {"curate", "predictors", "rl", "benchmark", "gate"}
    assert plans[1].experiment != plans[0].experiment
    assert any(line.startswith("answers     mine, from mine 0.2 ") and "accepts 20 of 20" in line for line in plans[1].texts)
    assert "formats" not in make_plan(laptop()).settings["predictors"]
