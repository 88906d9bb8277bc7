"""How a raw row becomes a problem: forms of chats, golds that stand for none, and that nothing is lost without a word."""

import dataclasses
import json
import math
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.rows import make_gsm8k_rows

from rlready.config import Curate, Sampling
from rlready.config.recipes import parse_yaml
from rlready.data.problems import UNNAMED, read_benchmark, read_problem
from rlready.data.proposals import propose
from rlready.data.references import ADDED, REWRITTEN, SEVERAL
from rlready.data.registry import Source, find_source
from rlready.errors import InputError
from rlready.evaluation.evaluate import describe_results, evaluate, plan_evaluation
from rlready.records.outcome import BaseModel
from rlready.stages.curate.curate import curate
from rlready.stages.plan.plan import describe_texts
from rlready.stages.plan.sources import look_at_sources
from rlready.verifier import verify

ASKED = {"role": "user", "content": "What is 1+1?"}
TOLD = {"role": "assistant", "content": "It is \\boxed{2}."}
COUNTS = {"heldout_problems": 10, "rl_problems": 12, "predictor_problems": 5, "benchmark_problems": 6}


def read(row, needs_solution=True, source=UNNAMED):
    noted = []
    return read_problem(row, needs_solution, source, noted.append), noted


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [ASKED, TOLD]},
        {"conversations": [{"from": "human", "value": "What is 1+1?"}, {"from": "gpt", "value": "It is \\boxed{2}."}]},
        # As Arrow pads turns that have other keys.
        {"messages": [ASKED, {"role": None, "content": None, "from": "gpt", "value": "It is \\boxed{2}."}]},
        {"conversations": [{"from": "prompter", "text": "What is 1+1?"}, {"from": "bot", "text": "It is \\boxed{2}."}]},
        {
            "messages": [
                {"role": "user", "content": [{"type": "input_text", "text": "What is 1+1?"}]},
                {"role": "assistant", "content": ["It is ", "\\boxed{2}."]},
            ]
        },
        {"conversation": [ASKED, TOLD], "question": "another"},
        {
            "messages": [
                {**ASKED, "content": [{"type": "text", "text": "What is "}, {"type": "text", "text": "1+1?"}]},
                TOLD,
            ]
        },
        {"prompt": [{"type": "text", "text": "What is 1+1?"}], "completion": [TOLD]},
        {"prompt": json.dumps([ASKED]), "completion": str([TOLD])},
        {"messages": str(np.array([ASKED, TOLD]))},
        {"messages": repr(np.array([ASKED, TOLD]))},
        {"question": "What is 1+1?", "answer": "It is \\boxed{2}."},
    ],
)
def test_every_form_of_a_chat_is_read(row):
    (problem, noted) = read(row)
    assert (problem["question"], problem["answer"], problem["solution"]) == ("What is 1+1?", "2", "It is \\boxed{2}.")
    assert noted == []


@pytest.mark.parametrize(
    ("row", "solution", "noted"),
    [
        ({"messages": [{"role": "system", "content": "Be brief."}, ASKED, TOLD]}, TOLD["content"], "a system turn"),
        ({"messages": [{"role": "system", "content": ""}, ASKED, TOLD]}, TOLD["content"], None),
        ({"question": "1+1?", "response": "So \\boxed{2}.", "reward": 0.0}, "So \\boxed{2}.", "not used: the column reward"),
        (
            {"messages": [ASKED, {**TOLD, "reasoning_content": "One more."}]},
            "<think>\nOne more.\n</think>\n\nIt is \\boxed{2}.",
            None,
        ),
        (
            {"messages": [ASKED, {**TOLD, "content": "<think>1</think>\\boxed{2}", "reasoning_content": "One more."}]},
            "<think>1</think>\\boxed{2}",
            "reasoning next to the text of the assistant's turn",
        ),
        (
            {"prompt": "What is 1+1?", "completion": "It is \\boxed{2}.<|im_end|>\n</s>"},
            "It is \\boxed{2}.",
            "end tokens after the solution",
        ),
        (
            {"prompt": "What is 1+1?", "completion": "It \ud83d is \\boxed{2}."},
            "It \ufffd is \\boxed{2}.",
            "half a character (a lone surrogate)",
        ),
        *(
            ({"prompt": "What is 1+1?", "completion": text}, text, f"{noted}, in the solution")
            for text, noted in (
                ("<p>It is \\boxed{2}.</p>", "HTML, such as &lt;"),
                ("It is\0 \\boxed{2}.", "a control character"),
                ("One more.\\nSo \\boxed{2}.", "line breaks as \\n, two characters"),
                ("<tool_call>\n1+1\n</tool_call> \\boxed{2}", "a tool's call or its output, which no tool gives here"),
            )
        ),
        (
            {"prompt": "What is 1+1?", "solution": ["It is \\boxed{2}.", "\\boxed{2}"]},
            "It is \\boxed{2}.",
            "several solutions, of which the first is used",
        ),
    ],
)
def test_what_is_left_out_of_a_row_is_told(row, solution, noted):
    problem, told = read(row)
    assert problem["solution"] == solution and told == ([noted] if noted else [])


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"messages": [ASKED, {**TOLD, "weight": 0}]}, "weight 0"),
        ({"messages": [TOLD, ASKED]}, "the first turn is not the user's"),
        ({"messages": [ASKED, TOLD, ASKED]}, "2 turns of the user"),
        ({"messages": [ASKED, {"role": "tool", "content": "2"}, TOLD]}, "a turn of 'tool'"),
        ({"messages": [ASKED, {**TOLD, "tool_calls": [{}]}]}, "calls a tool"),
        ({"messages": [{**ASKED, "content": [{"type": "image_url", "image_url": "x"}]}, TOLD]}, "holds image_url"),
        ({"prompt": [TOLD, ASKED], "completion": [TOLD]}, "turns of roles other than the user"),
        (
            {"prompt": "<|im_start|>user\n1+1?<|im_end|>", "completion": "\\boxed{2}"},
            r"the prompt holds <\|im_start\|>",
        ),
        ({"prompt": "[INST] 1+1? [/INST]", "completion": "\\boxed{2}"}, r"the prompt holds \[INST\]"),
        ({"prompt": "1+1?", "completion": "1</s> \\boxed{2}"}, "the solution holds </s>"),
        ({"question": "q", "answer": "proof", "solution": "s"}, "asks for a proof"),
        ({"question": "q", "answer": "notfound", "solution": "s"}, "no answer"),
        ({"question": "q", "answer": math.nan, "solution": "s"}, "no answer"),
        ({"question": "q", "answer": "NaN", "solution": "s"}, "no answer"),
        ({"question": "q", "answer": math.inf, "solution": "s"}, "no answer"),
        *(({"question": "q", "answer": absent, "solution": "s"}, "no answer") for absent in ("None", "NA", "<NA>", " null ")),
        ({"question": "None", "answer": "2", "solution": "s"}, "no question"),
        ({"question": "q", "answer": "2", "solution": "nan"}, "no worked solution"),
        ({"question": "q", "answer": 2.0**60, "solution": "s"}, "has lost digits"),
        ({"messages": [ASKED, {**TOLD, "train": False}]}, "train: false"),
        ({"question": "q", "answer": "\ud83d2", "solution": "s"}, "half a character"),
        ({"question": "q", "answer": "2", "solution": "<think>So it is 1, or"}, "truncated: its <think> block"),
        ({"prompt": "1+1? " + 20 * "So. " + "\\boxed{2}", "completion": 20 * "So. " + "\\boxed{2}"}, "the question holds its"),
        ({"question": "q", "answer": "2", "solution": "s", "solution_is_valid": "Incomplete"}, "marked as wrong"),
        ({"question": "q", "answer": "2", "solution": "s", "is_correct": "False"}, "marked as wrong"),
        ({"question": "q", "answer": "#### Plan\nAdd.\n\n#### Sum\nSo it is two.", "solution": "s"}, "with headings"),
    ],
)
def test_what_makes_a_row_leave_has_its_reason(row, reason):
    with pytest.raises(InputError, match=reason):
        read(row)


def test_backslashes_that_latex_has_lost_are_restored():
    row = {"question": "\x0crac{1}{2} \times 4, not\t2?", "solution": "It is $\x08oxed{\x0crac{4}{2}}$."}
    problem, noted = read(row)
    assert problem["question"] == "\\frac{1}{2} \\times 4, not\t2?" and problem["answer"] == "\\frac{4}{2}"
    assert problem["solution"] == "It is $\\boxed{\\frac{4}{2}}$."
    assert [what[-8:] for what in noted] == ["question", "solution"]


def test_a_row_without_a_subject_makes_a_problem_without_one():
    source = Source("some", path="-", columns={"question": "question", "answer": "answer", "subject": "kind"})
    row = {"question": "1+1?", "answer": "2"}
    assert read(row | {"kind": "sums"}, False, source)[0]["subject"] == "sums"
    assert not any("subject" in read(row | more, False, source)[0] for more in ({}, {"kind": None}))


@pytest.mark.parametrize(
    ("columns", "more", "together"),
    [
        ({}, {"template_id": 0}, True),
        ({}, {"original_question": "How many eggs?"}, True),
        ({}, {"template_id": None}, False),
        ({"question": "question", "answer": "answer"}, {"template_id": 0}, False),
        ({"question": "question", "answer": "answer", "group": "from[page]"}, {"from": {"page": 3}}, True),
        ({"question": "question", "answer": "answer", "group": "from"}, {}, False),
    ],
)
def test_problems_of_one_template_or_document_are_one_group(columns, more, together):
    source = Source("some", path="-", columns=columns)
    one, other = (read_problem({"question": text, "answer": "1"} | more, False, source) for text in ("1 + 0?", "0 + 1?"))
    assert ("group" in one) == together and one.get("group") == other.get("group")


def test_headings_of_markdown_are_no_mark_of_gsm8k():
    told = "#### Step 1\nAdd 1 and 1.\n\n#### Step 2\nSo it is \\boxed{2}."
    assert read({"question": "What is 1+1?", "answer": told})[0] == read({"prompt": "What is 1+1?", "completion": told})[0]
    marked, _ = read({"question": "What is 1+1?", "answer": "### Sum\n1+1=<<1+1=2>>2\n#### 1,002\n"})
    assert marked["answer"] == "1002" and marked["solution"] == "### Sum\n1+1=2\nThe answer is \\boxed{1002}."


def test_inequalities_are_no_tokens_of_a_template():
    question = "If $0<|x|<|y|$ and <<a>> is [1], how many pairs $<s, t>$ are there?"
    assert read({"question": question, "answer": "2", "solution": "s < t"})[0]["question"] == question


@pytest.mark.parametrize(
    ("row", "ending", "noted"),
    [
        ({"question": "q", "answer": "2", "solution": "1+1=2"}, "1+1=2\nThe answer is \\boxed{2}.", [ADDED]),
        ({"question": "q", "answer": "$2$", "solution": "1+1=2"}, "The answer is \\boxed{2}.", [ADDED]),
        ({"question": "q", "answer": "2.0", "solution": "1+1=2"}, "The answer is \\boxed{2}.", [ADDED]),
        ({"question": "q", "answer": "2.0", "solution": "To a tenth, 2.0"}, "The answer is \\boxed{2.0}.", [ADDED]),
        ({"question": "q", "answer": "2", "solution": "So \\boxed{2}"}, "So \\boxed{2}", []),
        ({"question": "q", "answer": "2", "solution": "So \\boxed{3}"}, "So \\boxed{3}", []),
        ({"question": "q", "answer": "2", "solution": "So.\n#### 2"}, "So.\nThe answer is \\boxed{2}.", [REWRITTEN]),
        ({"question": "q", "answer": "2", "solution": "So the answer is 3."}, "The answer is \\boxed{3}.", [REWRITTEN]),
        ({"question": "q", "answer": "2", "solution": "The answer is 2 pens."}, "\\boxed{2}.", [ADDED]),
        ({"question": "q", "answer": "So.\n#### 2"}, "So.\nThe answer is \\boxed{2}.", []),
        ({"prompt": "q", "completion": "So.\n#### 2"}, "So.\nThe answer is \\boxed{2}.", [REWRITTEN]),
        ({"question": "q", "solution": "So. Answer: $2$ I hope it is correct."}, "The answer is \\boxed{2}.", [REWRITTEN]),
        ({"question": "q", "solution": "So. The answer is: 2"}, "So.\nThe answer is \\boxed{2}.", [REWRITTEN]),
        ({"instruction": "q", "input": "1+1", "output": "It is \\boxed{2}."}, "It is \\boxed{2}.", []),
        ({"messages": [ASKED, {**TOLD, "content": "Answer: $2$"}]}, "\\boxed{2}.", [ADDED]),
        ({"question": "q", "answer": "ab", "solution": "UV", "format": "word"}, "UV#ab", [ADDED]),
        ({"question": "q", "answer": "ab", "solution": "UV#ab", "format": "word"}, "UV#ab", []),
    ],
)
def test_a_training_text_ends_in_the_answer_as_evaluation_reads_it(row, ending, noted):
    problem, told = read(row)
    assert problem["solution"].endswith(ending) and told == noted
    assert verify(problem["solution"], problem["answer"], problem["format"]) == ("3" not in ending)


@pytest.mark.parametrize("answer", ["\\frac{1}{", "2 # 3"])
def test_an_answer_that_cannot_be_added_makes_the_row_leave(answer):
    form = "word" if "#" in answer else "boxed"
    with pytest.raises(InputError, match="cannot be added to the solution"):
        read({"question": "q", "answer": answer, "solution": "s", "format": form})


@pytest.mark.parametrize(
    ("answer", "gold"),
    [(32.0, "32"), (-3.0, "-3"), (0.5, "0.5"), (7, "7"), ("Na", "Na"), ("57.0", "57.0"), (1e6, "1000000")],
)
def test_a_whole_number_in_a_float_is_an_integer(answer, gold):
    problem, _ = read({"question": "q", "answer": answer, "solution": "So."})
    added = gold.removesuffix(".0")  # a text stays as it is, but no model learns to write it
    assert problem["answer"] == gold and problem["solution"].endswith(f"\\boxed{{{added}}}.")


@pytest.mark.parametrize(
    ("solution", "answer", "noted"),
    [
        ("First \\boxed{1}. So \\boxed{2}.", "2", [SEVERAL]),
        ("So \\boxed{2}, as said: \\boxed{2}.", "2", []),
        ("So \\boxed{1} and \\boxed{2}", "1, 2", []),
        ("Try \\boxed{3}: no. So \\boxed{1} and \\boxed{2}", "1, 2", [SEVERAL]),
        ("One.\n#### 1\nTwo.\n#### 2", "2", [SEVERAL, REWRITTEN]),
        ("So \\boxed{1}.\n#### 2", "2", [SEVERAL]),
        ("#### Step 1\nAdd.\n#### 2", "2", [REWRITTEN]),
    ],
)
def test_several_answers_in_a_solution_are_counted_and_the_last_is_taken(solution, answer, noted):
    problem, told = read({"prompt": "q", "completion": solution})
    assert (problem["answer"], told) == (answer, noted)


def test_a_system_text_in_a_column_of_its_own_is_told_as_a_turn_is():
    for row in (
        {"system": "Be brief.", "messages": [ASKED, TOLD]},
        {"system_prompt": "Be brief.", "prompt": "q", "completion": "\\boxed{2}"},
    ):
        assert read(row)[1] == ["a system turn"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "a.jsonl",
            '{"question": "q", "answer": "1"}\n{"answer": "1", "answer": "2"}',
            "a.jsonl line 2: the key 'answer' occurs twice",
        ),
        ("a.json", '[{"question": "q"}, {"a": {"b": 1, "b": 2}}]', "a.json row 1: the key 'b' occurs twice"),
        ("a.csv", "question,answer,answer\nq,1,2\n", "a.csv line 1: the header names 'answer' twice"),
    ],
)
def test_a_doubled_key_is_refused_with_its_place(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        read_benchmark(Source("m", path=str(tmp_path / name)))


def test_a_text_of_columns_writes_whole_numbers_and_no_none():
    source = Source("m", path="-", columns={"question": "{a} + {b}?", "answer": "c"})
    assert read({"a": 3.0, "b": 4.5, "c": "7.5"}, False, source)[0]["question"] == "3 + 4.5?"
    with pytest.raises(InputError, match="holds None"):
        read({"a": None, "b": 4.5, "c": "7.5"}, False, source)


def test_what_a_question_is_about_is_part_of_it_or_the_row_leaves():
    told = {"instruction": "How many?", "context": "Ann has 2 pens.", "response": "So \\boxed{2}."}
    assert read(told)[0]["question"] == "How many?\n\nAnn has 2 pens."
    asked = {"question": "How many?", "context": "Ann has 2 pens.", "answer": "So \\boxed{2}."}
    assert read(asked)[0]["question"] == "How many?\n\nAnn has 2 pens."
    named = read(asked, source=Source("m", path="-", columns={"question": "question", "answer": "answer"}))
    assert named[0]["question"] == "How many?" and named[1] == ["not read: the column context, next to the question"]
    with pytest.raises(InputError, match="a history before the question"):
        read(told | {"history": [["Ann?", "Yes."]]})


@pytest.mark.parametrize(
    ("column", "value", "noted"),
    [
        ("rewritten_question", "How many pens has Ann?", 1),
        ("contexts", ["Ann has 2 pens."], 1),
        ("table", {"pens": "2 and a half"}, 1),
        ("source", "a book of old puzzles", 0),
        ("difficulty", "hard", 0),
        ("template", "How many pens has NAME?", 0),
    ],
)
def test_columns_of_several_words_that_no_text_holds_are_noted(column, value, noted):
    row = {"question": "How many pens?", "answer": "2", "solution": "First one, then 2."}
    assert read(row | {column: value}, True)[1].count(f"not read: the column {column}, next to the question") == noted


@pytest.mark.parametrize("name", ["chat_history", "previous_turns", "conversationHistory"])
def test_earlier_turns_in_a_column_make_several_turns(name):
    row = {"question": "q?", "answer": "2", "solution": "So 2."}
    assert read(row | {name: []})[0]["question"] == "q?" and read(row | {name: "None"})
    with pytest.raises(InputError, match="several turns"):
        read(row | {name: [["Hi", "Hello"]]})


def test_an_absent_gold_is_looked_for_in_the_solution():
    assert read({"question": "q", "answer": "notfound", "solution": "It is \\boxed{2}."})[0]["answer"] == "2"


def test_rows_can_be_left_out_by_their_values(tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = [{"question": f"q{n}", "answer": str(n), "kind": {"of": kind}} for n, kind in enumerate("abca")]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    entry = {
        "path": str(path),
        "columns": {"question": "question", "answer": "answer"},
        "drop": {"kind[of]": ["a", "c"]},
    }
    problems, left_out = read_benchmark(find_source("mine", "benchmarks", {"mine": entry}))
    assert [p["question"] for p in problems] == ["q1"] and left_out == {"kind[of] is a": 2, "kind[of] is c": 1}
    with pytest.raises(InputError, match="mine: drop: kind needs a list of values"):
        find_source("mine", "benchmarks", {"mine": entry | {"drop": {"kind": "a"}}})
    # Columns that only the condition needs are read too.
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    problems, _ = read_benchmark(find_source("m", "benchmarks", {"m": entry | {"path": str(tmp_path / "rows.parquet")}}))
    assert len(problems) == 1


def test_the_card_counts_what_leaves_rows_that_stay(tmp_path, gsm8k_file):
    chats = []
    for n, row in enumerate(make_gsm8k_rows(60)):
        system = [{"role": "system", "content": "Think."}] if n % 3 == 0 else []
        told = row["answer"].split("\n")[0] + f" \\boxed{{{row['answer'].split()[-1]}}}" + ("<|im_end|>" if n < 5 else "")
        chats.append({"messages": [*system, {**ASKED, "content": row["question"]}, {**TOLD, "content": told}]})
    chats[7]["messages"][-1]["weight"] = 0
    evaluation = make_gsm8k_rows(20, 1, 100)
    evaluation[3]["question"] += "\ud83d"
    files = gsm8k_file("train.jsonl", chats), gsm8k_file("test.jsonl", evaluation)
    settings = Curate(**COUNTS, sft_data=str(files[0]), evaluation_data=str(files[1]))
    card = curate(settings, look_at_sources(settings).revisions, tmp_path / "data")
    assert {(p["set"], p["reason"]): (p["rows"], p["first"][0]) for p in card["parts"]} == {
        ("evaluation", "half a character (a lone surrogate)"): (1, "test.jsonl line 4"),
        ("sft", "a system turn"): (20, "train.jsonl line 1"),
        ("sft", "end tokens after the solution"): (5, "train.jsonl line 1"),
    }
    assert [(d["reason"], d["first"]) for d in card["dropped"] if d["set"] == "sft"] == [
        ("the assistant's turn has weight 0", ["train.jsonl line 8"])
    ]
    shown = (tmp_path / "data" / "card.md").read_text()
    assert "| sft | a system turn | 20 |" in shown
    assert "put your final answer within \\boxed{}." in shown and card["text"]["solution"] in shown


def test_plan_says_of_each_source_how_many_golds_only_the_same_text_matches(gsm8k_file):
    prose = [
        {
            "question": f"Who wins {n}?",
            "answer": f"The second player in his move number {n}",
            "solution": "So.\n\\boxed{x}",
        }
        for n in range(3)
    ]
    train, test = (str(gsm8k_file(name, make_gsm8k_rows(20) + prose)) for name in ("train.jsonl", "test.jsonl"))
    own, plain = Curate(sft_data=train, evaluation_data=test), str(gsm8k_file("rl.jsonl", make_gsm8k_rows(20, 1, 100)))
    said = "(13%): only the exact text of the reference answer is accepted"
    of_test = f"3 of all 23 rows of {test} {said}; a right answer in other words counts as wrong"
    assert look_at_sources(own).by_text == [f"3 of all 23 rows of {train} {said}; RL leaves these out", of_test]
    # The references of rows that are only trained on do not matter.
    looked = look_at_sources(dataclasses.replace(own, rl_data=plain))
    assert looked.by_text == [of_test]
    assert of_test in describe_texts(BaseModel("m", "", ""), looked)


def test_one_file_is_trained_on_and_evaluated_with_by_shares(tmp_path, gsm8k_file):
    path = str(gsm8k_file("mine.jsonl", make_gsm8k_rows(60)))
    own = {"train": {"path": path, "share": [0, 0.6]}, "test": {"path": path, "share": [0.6, 1]}}
    settings = Curate(**COUNTS, sft_data="train", evaluation_data="test", sources=own)
    seen = look_at_sources(settings)
    train, test = ({row["problem_id"] for row in rows} for rows in seen.samples.values())
    assert len(train) + len(test) == 60 and not train & test and 24 <= len(train) <= 46
    card = curate(settings, seen.revisions, tmp_path / "data")
    assert not card["contamination"]
    with pytest.raises(InputError, match=r"train: share: expected two numbers such as \[0.6, 1\], got \[1, 0.5\]"):
        find_source("train", "datasets", {"train": {"path": path, "share": [1, 0.5]}})


def test_unusual_names_get_a_mapping_that_works(gsm8k_file):
    row = {"id": 3, "ask": "What is 1+1?", "rationale": "1+1=2", "gold": "2"}
    path = str(gsm8k_file("odd.jsonl", [row] * 3))
    with pytest.raises(InputError) as refused:
        look_at_sources(Curate(sft_data=path))
    message = str(refused.value)
    assert 'rationale: "1+1=2", gold: "2"' in message and "Looked for question in question or problem" in message
    proposed = parse_yaml(re.search(r"curate_sources: {mine: .*?}}}", message)[0], "")["curate_sources"]
    assert proposed["mine"]["path"] == path
    assert read(row, True, find_source("mine", "datasets", proposed))[0]["answer"] == "2"
    assert propose([row], False, Source("m", path="-")) == {"question": "ask", "answer": "gold"}


def test_half_a_character_stops_neither_evaluate_nor_its_output(tiny_model, tmp_path):
    path = tmp_path / "odd.jsonl"
    path.write_text('{"question": "RS:abcd? \\ud83d", "answer": "abcd", "format": "word"}\n')
    source = Source("odd", path=str(path))
    planned = plan_evaluation(str(tiny_model), "main", [source], 1, 0, Sampling(max_tokens=4))
    results = evaluate(planned, tmp_path / "out", lambda *_: None)
    assert results.scores[0].problems == 1 and "half a character" in describe_results(planned, results)
