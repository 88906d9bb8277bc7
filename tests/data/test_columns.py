"""Columns that are not named: what they are taken for, what is refused instead of guessed, and that each guess is printed."""

import json
import re

import pytest

from rlready.data.problems import read_problem
from rlready.data.proposals import propose, read_some
from rlready.data.registry import Source, find_source
from rlready.errors import InputError
from rlready.verifier import describe_reference, is_other, judge, verify

PLAIN = Source("m", path="-")


def make_rows(**columns):
    """Returns rows in which every column differs from row to row; {n} is the row's number, {a} its answer."""

    def write(value, n):
        return value.format(n=n, a=n + 3) if isinstance(value, str) else value(n)

    return [{name: write(value, n) for name, value in columns.items()} for n in range(8)]


OPTIONS = [{"label": "A", "text": "3"}, {"label": "B", "text": "4"}]
ASKED, WORKED = "What is {n} plus 3?", "{n} and 3 are {a}."


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"id": "q-{n}", "ask": ASKED, "rationale": WORKED, "gold": "{a}"}, ("ask", "gold", "rationale")),
        ({"question_id": "q {n}", "question_text": ASKED, "why": "", "steps": WORKED, "key": "", "gold": "{a}"},
         ("question_text", "gold", "steps")),
        ({"problem_source": "a b", "problem": ASKED, "generated_solution": WORKED, "expected_answer": "{a}"},
         ("problem", "expected_answer", "generated_solution")),
        ({"ask": ASKED, "cot": WORKED, "answer_type": "number {n}", "answerLength": lambda n: n, "truth": lambda n: n + 3},
         ("ask", "truth", "cot")),
        ({"query": ASKED, "original_question": "Say {n}, what then?", "response": WORKED + " The answer is {a}."},
         ("query", None, "response")),
        ({"ask": ASKED, "input": "Read {n}.", "gold": "{a}", "cot": WORKED}, ("{ask}\n\n{input}", "gold", "cot")),
        ({"previous_question": "Say {n}?", "query": ASKED, "wrong_answer": "{n}", "right_answer": "{a}", "cot": WORKED},
         ("query", "right_answer", "cot")),
        ({"seed_question": "Say {n}, what then?", "augmented_question": ASKED, "answer": "{a}", "response": WORKED},
         ("augmented_question", "answer", "response")),
    ],
)  # fmt: skip
def test_names_remind_of_parts_and_identifiers_and_types_are_none(columns, expected):
    found = propose(make_rows(**columns), True, PLAIN)
    assert (found["question"], found.get("answer"), found["solution"]) == expected


@pytest.mark.parametrize(
    ("columns", "needs_solution", "expected"),
    [  # no prose as an answer, and no bare answer as a solution
        ({"question": ASKED, "solution": "It is said {n} times that it rains.", "answer": lambda n: n > 3}, False, {}),
        ({"problem": ASKED, "answer": "{a}", "generations": lambda n: [f"So {n}.", "No."]}, True, {}),
        ({"prompt": ASKED, "chosen": WORKED + " The answer is {a}.", "rejected": "No."}, True,
         {"question": "prompt", "solution": "chosen"}),
        ({"question": ASKED, "answers": lambda n: {"text": [str(n + 3)], "start": [3]}}, False,
         {"question": "question", "answer": "answers[text]"}),
        ({"data": lambda n: {"ask": f"What is {n}?", "gold": n}}, False, {"question": "data[ask]", "answer": "data[gold]"}),
        ({"ask": ASKED, "truth": lambda n: f'{{"value": {n}}}'}, False, {"question": "ask", "answer": "truth[value]"}),
        ({"turns": lambda n: [{"from": "human", "value": f"{n}?"}, {"from": "gpt", "ground_truth": {"value": f"{n}"}}]}, False,
         {"messages": "turns", "answer": "turns[1][ground_truth][value]"}),  # ORZ
        ({"input": lambda n: [{"role": "user", "content": f"{n}?"}], "output": "\\boxed{{{n}}}"}, True,
         {"question": "input", "solution": "output"}),  # Nemotron
        ({"question": ASKED, "solution": "{a}", "attempt": WORKED}, True,
         {"question": "question", "answer": "solution", "solution": "attempt"}),  # s1K
    ],
)  # fmt: skip
def test_proposals_look_into_objects_and_at_what_columns_hold(columns, needs_solution, expected):
    assert propose(make_rows(**columns), needs_solution, PLAIN) == expected


def test_messages_of_another_name_are_found():
    rows = make_rows(chat=lambda n: [{"role": "user", "content": f"{n}?"}, {"role": "assistant", "content": f"\\boxed{{{n}}}"}])
    assert propose(rows, True, PLAIN) == {"messages": "chat"}


def test_nothing_is_learned_from_what_is_rejected():
    def talk(answer):
        return lambda n: [{"role": "User", "content": f"{n}?"}, {"role": "Assistant", "content": f"\\boxed{{{answer}}}"}]

    assert propose(make_rows(rejected=talk(0), chosen=talk(1)), True, PLAIN) == {"messages": "chosen"}


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("label", False, "the solution is marked as wrong .label: false"),
        ("weight", 0.0, "its weight is 0"),
        ("past_messages", ["What is 1?", "1"], "several turns: a history"),
    ],
)
def test_columns_may_say_that_a_row_is_not_to_be_trained_on(name, value, reason):
    row = {"prompt": "1+1?", "completion": "It is \\boxed{2}.", name: value}
    with pytest.raises(InputError, match=reason):
        read_problem(row, True)
    assert read_problem(row, True, Source("m", path="-", columns={"question": "prompt"}, keep={name: [value]}))


@pytest.mark.parametrize(
    ("column", "noted"),
    [
        ({"weight": 0.5}, "not used: the column weight"),
        ({"split": "Validation"}, "the column split says validation; keep: .*"),
        ({"code": "print(2)"}, "not read: the column code, next to the question"),
        ({"image": {"path": "2.png", "bytes": None}}, "not read: the column image, next to the question"),
        ({"paragraphs": ["One and one."]}, "not read: the column paragraphs, next to the question"),
        ({"prompt": "Human: 1+1?\n\nAssistant:"}, "the prompt ends in Assistant:, the role of another template"),
    ],
)
def test_columns_that_are_not_read_are_said(column, noted):
    notes = []
    read_problem({"prompt": "1+1?", "completion": "It is \\boxed{2}."} | column, True, note=notes.append)
    assert len(notes) == 1 and re.fullmatch(noted, notes[0])


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"0": ASKED, "1": "{a}"}, {"question": "0", "answer": "1"}),
        ({"0": lambda n: {"from": "human", "value": f"What is {n} plus 3?"},
          "1": lambda n: {"from": "assistant", "ground_truth": {"value": str(n + 3)}}},
         {"question": "0[value]", "answer": "1[ground_truth][value]"}),
        ({"Q": ASKED, "A": lambda n: n + 3, "Explanation": WORKED}, {"question": "Q", "answer": "A"}),
        ({"question": lambda n: {"stem": f"What is {n} plus 3?", "choices": OPTIONS}, "answerKey": lambda n: "AB"[n % 2]},
         {"question": "question[stem]", "choices": "question[choices]", "answer": "answerKey"}),  # ARC's own files
        ({"0": ASKED, "1": "{a}", "2": "{n}"}, {}),
        ({"0": ASKED, "1": WORKED, "2": "{a}"}, {}),
    ],
)  # fmt: skip
def test_names_that_remind_of_nothing_are_told_by_their_only_prose_and_value(columns, expected):
    assert propose(make_rows(**columns), False, PLAIN) == expected


@pytest.mark.parametrize("answer", ["$\\boxed{{{a}}}$", "The answer is {a}"])
def test_an_answer_alone_is_no_solution(answer):
    assert propose(make_rows(question=ASKED, answer=answer), True, PLAIN) == {}


def test_a_list_of_steps_is_not_read_as_its_first_step():
    rows = make_rows(question=ASKED, steps=lambda n: [f"Take {n}.", f"Add 3, so {n + 3}."], answer="{a}")
    assert propose(rows, True, PLAIN) == {}
    assert propose(rows, True, PLAIN, {"solution": "steps"})["solution"] == "steps"


def test_a_named_solution_needs_no_name_that_reminds_of_one():
    rows = make_rows(ask=ASKED, notes=WORKED, gold="{a}")
    assert propose(rows, True, PLAIN, {"solution": "notes"}) == {"question": "ask", "answer": "gold", "solution": "notes"}
    assert propose(rows, False, PLAIN, {"solution": "notes"})["answer"] == "gold"


def test_a_list_of_names_of_the_answer_is_no_solution():
    rows = make_rows(question=ASKED, answer=lambda n: {"value": str(n + 3), "aliases": [str(n + 3)]})
    assert propose(rows, True, PLAIN) == {}
    assert propose(rows, False, PLAIN) == {"question": "question", "answer": "answer[value]"}


def test_named_columns_leave_the_rest_to_be_guessed():
    rows = make_rows(ask=ASKED, cot=WORKED, gold="{a}", other="{n}")
    assert propose(rows, True, PLAIN, {"question": "ask"}) == {"question": "ask", "answer": "gold", "solution": "cot"}
    source = Source("m", path="-", columns={"question": "ask", "answer": "gold"})
    problem = read_problem(rows[0] | {"solution": "It is 3."}, True, source)
    assert (problem["answer"], problem["solution"]) == ("3", "It is 3.\nThe answer is \\boxed{3}.")


@pytest.mark.parametrize("names", [("answer", "target"), ("gold", "truth"), ("final_answer", "label")])
def test_two_columns_that_could_be_the_answer_are_asked_about(names):
    rows = make_rows(**{"ask": ASKED, "cot": WORKED, names[0]: "{a}", names[1]: "{n}"})
    with pytest.raises(InputError, match="two columns could be the answer: .*choose one under columns: answer") as refused:
        propose(rows, True, PLAIN)
    assert all(f"{name} ('" in str(refused.value) for name in names)
    same = make_rows(**{"ask": ASKED, "cot": WORKED, names[0]: "{a}", names[1]: lambda n: float(n + 3)})
    assert propose(same, True, PLAIN)["answer"] in names
    assert propose(rows, True, PLAIN, {"answer": names[1]})["answer"] == names[1]


def test_rows_with_two_answers_are_counted_as_one_reason(tmp_path):
    rows = make_rows(question=ASKED, answer="{a}", target="{n}")
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    reason = r"\(8 x two columns could be the answer: answer and target; choose one .*answer \('3'\) and target \('0'\)"
    with pytest.raises(InputError, match=reason):
        read_some(find_source(str(tmp_path / "rows.jsonl"), "benchmarks"), "evaluation", 0, 8)


def test_two_usual_names_with_two_answers_make_the_row_leave_and_prose_is_a_solution():
    row = {"question": "1+1?", "answer": "3", "ground_truth": 2}
    with pytest.raises(InputError, match="two columns could be the answer: answer and ground_truth; choose one"):
        read_problem(row, False)
    assert read_problem(row | {"answer": "2.0"}, False)["answer"] == "2.0"  # another tool's float of the same number
    worked = read_problem(row | {"answer": "One and one more.\nThat makes two."}, True)
    assert (worked["answer"], worked["solution"].split("\n")[0]) == ("2", "One and one more.")
    assert read_problem(row | {"answer": "So.\n#### 2"}, True)["solution"] == "So.\nThe answer is \\boxed{2}."


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": [{"role": "user", "content": "1+1?"}], "reward_model": {"ground_truth": "2", "style": "rule"}},
        *(
            {"question": "1+1?", name: 2.0}
            for name in ("ground_truth", "target", "label", "gold", "expected_answer", "correct")
        ),
        {"question": "1+1?", "answer": "2", "correct": True},
        {"question": "1+1?", "answer": ["2", None]},
        {"question": ["1+1?"], "answer": "['2']", "gold": ["2"]},
    ],
)
def test_other_usual_names_of_answers_are_read(row):
    assert read_problem(row, False)["answer"] == "2"


def test_tests_are_the_answer_of_code():
    tests = {"function": "add", "tests": [{"args": [1, 2], "result": 3}]}
    assert read_problem({"prompt": "Write add.", "tests": tests}, False)["format"] == "python-tests"


@pytest.mark.parametrize(
    ("row", "columns", "form"),
    [
        ({"question": "1+1?", "choices": ["1", "2"], "answer": 1}, {}, ""),
        ({"question": "1+1?", "options": ["A) 1", "B) 2"], "answer": "B"}, {}, ""),
        ({"question": "1+1?", "options": {"A": "1", "B": "2"}, "answer": "2"}, {}, ""),
        ({"question": "1+1?", "choices": {"text": ["1", "2"], "label": ["A", "B"]}, "answer": "B"}, {}, ""),
        ({"question": "1+1?", "choices": {"text": ["1", "2"], "label": ["1", "2"]}, "answerKey": "2"}, {}, ""),
        ({"ask": "1+1?", "A": 1, "B": 2.0, "key": "B"}, {"question": "ask", "choices": ["A", "B"], "answer": "key"}, ""),
        ({"question": "1+1?\nA. 1\nB. 2", "answer": "(b)"}, {}, "letter"),
        ({"question": "1+1?\nA. 1\nB. 2", "answer": "B"}, {}, ""),
        ({"question": "1+1?", "A": 1, "B": 2, "answer": "B"}, {}, ""),
        ({"question": "1+1?", "B": 2, "A": 1, "answer": "B"}, {}, ""),  # letters are read, not their order
        ({"question": "1+1?", "options": {"b": "2", "a": "1"}, "answer": "b"}, {}, ""),
        ({"question": "1+1?", "options": {"A": "1", "B": "2", "C": None}, "answer": "B"}, {}, ""),  # as Arrow pads it
        ({"question": "1+1?", "option_a": 1, "option_b": 2, "answer": "b"}, {}, ""),
        ({"question": "1+1?", "choices": "['1' '2']", "answerKey": "B"}, {}, ""),  # as a table has what numpy writes
    ],
)
def test_multiple_choice_of_many_shapes(row, columns, form):
    problem = read_problem(row, False, Source("m", path="-", columns=columns, format=form))
    assert (problem["question"], problem["answer"]) == ("1+1?\nA. 1\nB. 2", "B")
    assert (problem["format"], problem["options"]) == ("letter", 2)


def test_only_choices_are_a_list_of_columns():
    with pytest.raises(InputError, match="columns: answer: only choices can be a list of columns"):
        find_source("m", "datasets", {"m": {"path": "x.jsonl", "columns": {"question": "q", "answer": ["a", "b"]}}})


def test_any_of_a_list_of_acceptable_answers_is_right():
    problem = read_problem({"question": "Half?", "answer": ["1/2", 50.0], "solution": "So."}, True)
    reference, noted = problem["answer"], []
    assert read_problem({"question": "Half?", "answer": "['1/2', '50']"}, False)["answer"] == reference
    read_problem({"question": "Half?", "answer": ["1/2", 50.0]}, False, note=noted.append)
    assert noted == ["several acceptable answers, of which any is right"]
    assert reference == '["1/2", "50"]' and problem["solution"].endswith("\\boxed{1/2}.")
    right = [verify(f"\\boxed{{{answer}}}", reference, "boxed") for answer in ("0.5", "50", "0.7", "1/2, 50")]
    assert right == [True, True, False, False] and describe_reference(reference, "boxed") == "value"
    assert judge("\\boxed{7}", '["1/2", "8"]', "boxed").answer == "7"
    assert is_other(reference, "7", "boxed") and not is_other(reference, "0.5", "boxed")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (True, "the answer is true or false, not text"),
        ({"value": 2, "unit": "kg"}, r"an object with the keys value, unit; name one: COLUMN\[KEY\]"),
        ('{"value": 2}', "an object with the keys value;"),
    ],
)
def test_true_and_false_and_objects_are_no_answer_and_have_a_reason(answer, said):
    with pytest.raises(InputError, match=said):
        read_problem({"question": "Is 2 even?", "answer": answer}, False)


def test_a_key_reads_an_object_in_a_text_and_never_a_character():
    row = {"question": "1+1?", "truth": '{"value": [2]}', "answer": "23"}
    assert (
        read_problem(row, False, Source("m", path="-", columns={"question": "question", "answer": "truth[value][0]"}))["answer"]
        == "2"
    )
    with pytest.raises(InputError, match="'answer' has no '0'"):
        read_problem(row, False, Source("m", path="-", columns={"question": "question", "answer": "answer[0]"}))


def test_operands_are_no_options():
    assert read_problem({"question": "1+1?", "a": 1, "b": 2, "answer": "2"}, False)["format"] == "boxed"
