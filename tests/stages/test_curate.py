"""The splits share no problem, the subsets are nested, and bad rows are counted and lost in no silence."""

import hashlib
import json
import random
import re
import statistics

import hypothesis
import hypothesis.strategies as st
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.rows import make_gsm8k_rows

from rlready.config import SUBSETS, Curate
from rlready.data.identity import identify
from rlready.data.problems import read_problem
from rlready.data.registry import find_source, list_sources
from rlready.data.sources import examine
from rlready.errors import InputError
from rlready.evaluation.suite import list_groups
from rlready.stages.curate import split
from rlready.stages.curate.card import RowsDigest, describe_card
from rlready.stages.curate.curate import curate
from rlready.stages.curate.duplicates.contamination import compile_eraser, list_words
from rlready.stages.curate.split import BY_TEXT
from rlready.verifier import describe_reference

COUNTS = {"heldout_problems": 10, "rl_problems": 12, "validation_problems": 0, "predictor_problems": 5, "benchmark_problems": 6}


def run(tmp_path, train, evaluation, **changes):
    out = tmp_path / f"data-{random.random()}"
    settings = Curate(**{**COUNTS, "sft_data": str(train), "evaluation_data": str(evaluation), **changes})
    sources = [find_source(text, registry) for text, registry in list_sources(settings).values()]
    card = curate(settings, {source.key: examine(source, 0).digest for source in sources}, out)
    return card, {path.stem: pq.read_table(path).to_pylist() for path in out.glob("*.parquet")}


def test_sets_share_no_problem_and_have_the_sizes_asked_for(tmp_path, gsm8k_file):
    train = gsm8k_file("train.jsonl", make_gsm8k_rows(60))
    evaluation = gsm8k_file("test.jsonl", make_gsm8k_rows(20, seed=1, start=100))
    card, sets = run(tmp_path, train, evaluation, validation_problems=8)
    ids = {name: {row["problem_id"] for row in rows} for name, rows in sets.items()}
    assert {name: len(i) for name, i in ids.items()} == {
        "sft": 38, "heldout": 10, "rl": 9, "validation": 3, "predictors": 5, "benchmark": 6,
    }  # fmt: skip
    names = list(ids)
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            assert not ids[one] & ids[other], (one, other)
    assert sets["sft"][0]["solution"].endswith(f"\\boxed{{{sets['sft'][0]['answer']}}}.")
    assert "<<" not in sets["sft"][0]["solution"]
    assert card["sets"]["sft"]["rows"] == 38
    for name, text in (("sft", "solution"), ("rl", "question")):
        shown = card["sets"][name]["characters"]["p50"]
        assert shown == statistics.median(len(row[text]) for row in sets[name])


def test_problems_of_one_template_are_one_group_and_may_predict_and_be_scored(tmp_path, gsm8k_file):
    rows = make_gsm8k_rows(20, seed=1, start=100)
    asked = [row | {"template_id": number % 3} for number, row in enumerate(rows)]
    train = gsm8k_file("train.jsonl", make_gsm8k_rows(60))
    card, sets = run(tmp_path, train, gsm8k_file("test.jsonl", asked), benchmark_problems=12)
    kinds = {identify(row["question"]): row["template_id"] for row in asked}
    for name in ("predictors", "benchmark"):
        groups = list_groups(sets[name])
        assert len(set(zip(groups, (kinds[row["problem_id"]] for row in sets[name]), strict=True))) == len(set(groups))
        said = card["groups"][name]
        assert said["groups"] == len(set(groups)) <= 3 and said["groups"] >= said["effective"] > 1
    alone, sets = run(tmp_path, train, gsm8k_file("test.jsonl", [row | {"template_id": 0} for row in rows]))
    assert alone["groups"]["benchmark"] == {"problems": 6, "groups": 6, "largest": 1, "effective": 6}
    assert list_groups(sets["benchmark"]) is None


def test_a_problem_in_train_and_evaluation_leaves_the_training_data(tmp_path, gsm8k_file):
    shared = make_gsm8k_rows(11, seed=1, start=100)
    respaced = [{**row, "question": row["question"].upper().replace(" ", "  ")} for row in shared]
    train = gsm8k_file("train.jsonl", make_gsm8k_rows(60) + respaced)
    card, sets = run(tmp_path, train, gsm8k_file("test.jsonl", shared))
    trained = {row["problem_id"] for name in ("sft", "heldout", "rl") for row in sets[name]}
    assert not trained & {row["problem_id"] for name in ("predictors", "benchmark") for row in sets[name]}
    assert [d["rows"] for d in card["dropped"] if d["reason"] == "also an evaluation problem"] == [11]


def test_questions_with_different_answers_are_counted_in_the_card(tmp_path, gsm8k_file):
    rows = make_gsm8k_rows(60)
    respaced = [row | {"question": row["question"].replace(" ", "  ")} for row in rows[40:50]]
    contrary = [{"question": row["question"], "answer": "It is less.\n#### 100001"} for row in rows[:4]]
    card, _ = run(
        tmp_path, gsm8k_file("train.jsonl", rows + respaced + contrary), gsm8k_file("t.jsonl", make_gsm8k_rows(20, 1, 99))
    )
    (found,) = [part for part in card["parts"] if part["reason"].startswith("a question that has")]
    assert (found["set"], found["rows"], len(found["first"])) == ("sft", 8, 3)


def test_several_benchmarks_are_kept_apart_and_all_of_them_leave_the_training_data(tmp_path, gsm8k_file):
    first, second = make_gsm8k_rows(9, seed=1, start=100), make_gsm8k_rows(30, seed=1, start=200)
    names = [gsm8k_file("first.jsonl", first), gsm8k_file("second.jsonl", second + first[:2])]
    train = gsm8k_file("train.jsonl", make_gsm8k_rows(60) + first[:3] + second[:4])
    card, sets = run(tmp_path, train, f"{names[0]}, {names[1]}")
    asked = {name: [row["problem_id"] for row in sets[name]] for name in ("predictors", "benchmark")}
    assert len(asked["predictors"]) == 5 and not set(asked["predictors"]) & set(asked["benchmark"])
    found = {name: [row["question"] for row in sets["benchmark"] if row["benchmark"] == name] for name in ("first", "second")}
    assert 1 <= len(found["first"]) <= 6 and len(found["second"]) == 6
    assert set(found["first"]) <= {row["question"] for row in first}
    trained = {row["question"] for name in ("sft", "heldout", "rl") for row in sets[name]}
    assert not trained & {row["question"] for row in first + second}
    assert [d["rows"] for d in card["dropped"] if d["reason"] == "also an evaluation problem"] == [7]
    balance = {some["use"]: some for some in card["balance"]}
    assert all(some["read"] == sum(some["sets"].values()) + some["left_out"] for some in balance.values())
    assert [balance[f"evaluation, {name}"]["read"] for name in names] == [9, 32] and balance["evaluation"]["read"] == 41
    assert f"| evaluation, {names[1]} | 32 | " in describe_card(card)
    # The order in which the benchmarks are named changes which are scored first, and nothing else.
    _, turned = run(tmp_path, train, f"{names[1]}, {names[0]}")
    assert all(turned[name] == sets[name] for name in ("sft", "heldout", "rl", "predictors"))


def test_a_benchmark_that_the_predictors_use_up_is_one_line(tmp_path, gsm8k_file):
    rows = make_gsm8k_rows(21, seed=1, start=100)
    names = [gsm8k_file("many.jsonl", rows[1:]), gsm8k_file("one.jsonl", rows[:1])]
    train = gsm8k_file("train.jsonl", make_gsm8k_rows(60))
    with pytest.raises(InputError, match="one.jsonl: 1 evaluation rows wanted"):
        run(tmp_path, train, f"{names[0]}, {names[1]}", predictor_problems=20)


def test_malformed_and_duplicate_rows_are_counted_with_their_place(tmp_path, gsm8k_file):
    rows = make_gsm8k_rows(60)
    rows[3] = {"question": "no answer here"}
    rows[4] = {"question": "", "answer": "#### 1"}
    rows[5] = "text"
    rows[6] = rows[7]
    card, _ = run(tmp_path, gsm8k_file("train.jsonl", rows), gsm8k_file("t.jsonl", make_gsm8k_rows(20, 1, 100)))
    found = {d["reason"]: (d["rows"], d["first"]) for d in card["dropped"] if d["set"] == "sft"}
    assert found == {
        "no answer": (1, ["train.jsonl line 4"]),
        "no question": (1, ["train.jsonl line 5"]),
        'a text, not an object; write each row as {"question": ...}': (1, ["train.jsonl line 6"]),
        "duplicate": (1, ["train.jsonl line 8"]),
    }


def test_the_order_of_the_input_and_the_size_of_subsets_change_nothing(tmp_path, gsm8k_file):
    rows = make_gsm8k_rows(60)
    shuffled = random.Random(5).sample(rows, len(rows))
    evaluation = gsm8k_file("test.jsonl", make_gsm8k_rows(20, 1, 100))
    first, _ = run(tmp_path, gsm8k_file("a.jsonl", rows), evaluation)
    second, _ = run(tmp_path, gsm8k_file("b.jsonl", shuffled), evaluation)
    digests = [{name: entry["digest"] for name, entry in card["sets"].items()} for card in (first, second)]
    assert digests[0] == digests[1]


def test_subsets_are_what_their_names_say(tmp_path, gsm8k_file):
    train = gsm8k_file("train.jsonl", make_gsm8k_rows(60))
    _, sets = run(tmp_path, train, gsm8k_file("test.jsonl", make_gsm8k_rows(20, 1, 100)))
    pool = sets["sft"]
    lengths = sorted(len(row["solution"]) for row in pool)

    def subset(kind, n):
        return sorted(len(row["solution"]) for row in pool if row[f"rank_{kind}"] < n)

    assert subset("shortest", 8) == lengths[:8]
    assert subset("longest", 8) == lengths[-8:]
    assert subset("mixed", 8) == lengths[:4] + lengths[-4:]
    for kind in SUBSETS:
        assert sorted(row[f"rank_{kind}"] for row in pool) == list(range(len(pool)))


def test_rl_data_of_its_own_leaves_out_what_sft_has(tmp_path, gsm8k_file):
    rows = make_gsm8k_rows(60)
    rl = gsm8k_file("rl.jsonl", rows[:20] + make_gsm8k_rows(15, 2, 200))
    evaluation = gsm8k_file("test.jsonl", make_gsm8k_rows(20, 1, 100))
    card, sets = run(tmp_path, gsm8k_file("train.jsonl", rows), evaluation, rl_data=str(rl))
    assert [d["rows"] for d in card["dropped"] if d["reason"] == "also an SFT example"] == [20]
    assert len(sets["rl"]) == 12 and len(sets["sft"]) == 50


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no usable sft row .the source is empty"),
        (json.dumps({"question": "q"}) + "\n", "no usable sft row .1 x no answer"),
        ("".join(json.dumps(row) + "\n" for row in make_gsm8k_rows(16)) + '{"question": \n', "line 17: not JSON"),
        ("".join(json.dumps(row) + "\n" for row in make_gsm8k_rows(20)), "23 SFT rows wanted .* 20 usable"),
        ("\udcff", "line 1: not UTF-8"),
    ],
)
def test_unusable_input_is_one_line_and_leaves_no_output(tmp_path, gsm8k_file, text, message):
    train = tmp_path / "train.jsonl"
    train.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=message):
        run(tmp_path, train, gsm8k_file("test.jsonl", make_gsm8k_rows(20, 1, 100)))
    assert not list(tmp_path.glob("data-*"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda rows, evaluation: rows[:1] * 40, "23 SFT rows wanted .* 1 usable .39 x duplicate"),
        (lambda rows, evaluation: evaluation * 3, "no usable sft row .60 x also an evaluation problem"),
    ],
)
def test_data_that_is_all_duplicates_or_all_contaminated_is_one_line(tmp_path, gsm8k_file, make, message):
    evaluation = make_gsm8k_rows(20, 1, 100)
    train = gsm8k_file("train.jsonl", make(make_gsm8k_rows(60), evaluation))
    with pytest.raises(InputError, match=message):
        run(tmp_path, train, gsm8k_file("test.jsonl", evaluation))
    assert not list(tmp_path.glob("data-*"))


def test_a_spool_on_disk_gives_what_one_in_memory_gives(tmp_path, gsm8k_file, monkeypatch):
    rows = [row | {"question": f'{row["question"]} "Ünï\\\\x"\t\u2028'} for row in make_gsm8k_rows(60)]
    files = gsm8k_file("train.jsonl", rows + rows[:7]), gsm8k_file("test.jsonl", make_gsm8k_rows(20, 1, 100))
    in_memory, sets = run(tmp_path, *files)
    monkeypatch.setattr("rlready.stages.curate.pool.BYTES_IN_MEMORY", 100)
    monkeypatch.setattr("rlready.stages.curate.card.ROWS_AT_ONCE", 7)
    assert run(tmp_path, *files) == (in_memory, sets)
    assert in_memory["sets"]["sft"]["digest"] == digest_rows(sets["sft"], list(sets["sft"][0]))[:16]


def digest_rows(rows, names):
    """Returns what RowsDigest says, computed row by row."""
    columns = []
    for name in sorted(names):
        lengths, contents = hashlib.sha256(), hashlib.sha256()
        is_text = any(isinstance(row[name], str) for row in rows)
        for value in (row[name] for row in rows):
            written = (value or "").encode() if is_text else (value or 0).to_bytes(8, "little")
            lengths.update((-1 if value is None else len(written)).to_bytes(8, "little", signed=True))
            contents.update(written)
        columns.append((name, lengths.hexdigest(), contents.hexdigest()))
    return hashlib.sha256(repr(columns).encode()).hexdigest()


TEXTS, NUMBERS = st.none() | st.text(), st.none() | st.integers(0, 2**40)
SCHEMA = pa.schema({"question": pa.string(), "answer": pa.string(), "options": pa.int64()})


@hypothesis.given(st.lists(st.tuples(st.text(min_size=1), TEXTS, NUMBERS), min_size=1), st.integers(1, 5))
def test_the_digest_is_that_of_the_rows_however_many_come_at_once(values, size):
    rows = [dict(zip(SCHEMA.names, row, strict=True)) for row in values]
    whole, digest = pa.Table.from_pylist(rows, SCHEMA), RowsDigest()
    for start in range(0, len(rows), size):
        parts = [whole.slice(start, 2), whole.slice(start + 2, size - 2)] if size > 2 else [whole.slice(start, size)]
        digest.update(pa.concat_tables(parts).select(["options", "answer", "question"]))
    if any(answer is not None for _, answer, _ in values):
        assert digest.hexdigest() == digest_rows(rows, SCHEMA.names)
    again = RowsDigest()
    again.update(whole)
    assert again.hexdigest() == digest.hexdigest()


def test_the_digest_tells_apart_what_reads_the_same_in_a_row():
    def digest(*rows):
        digest = RowsDigest()
        digest.update(pa.Table.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in rows], SCHEMA))
        return digest.hexdigest()

    different = [
        [("ab", "c", 1), ("d", "e", 2)],
        [("a", "bc", 1), ("d", "e", 2)],
        [("a", "c", 1), ("bd", "e", 2)],
        [("d", "e", 2), ("ab", "c", 1)],
        [("ab", "c", 1), ("d", "e", None)],
        [("ab", "c", 1), ("d", "e", 0)],
        [("ab", "c", 1), ("d", "", 2)],
        [("ab", "c", 1), ("d", None, 2)],
        [("ab", "c", 1)],
    ]
    assert len({digest(*rows) for rows in different}) == len(different)


@hypothesis.given(st.text(), st.sampled_from([r"[\W_]", r"\D", r"[^\d+*/^=<>-]"]))
def test_what_is_taken_out_of_a_text_is_what_re_takes_out(text, characters):
    assert compile_eraser(characters)(text) == re.sub(characters, "", text)


@hypothesis.given(st.text(st.sampled_from("aZ9 _-.é\n[]{}1x")))
def test_the_words_of_ascii_are_those_of_any_text(text):
    # A letter outside ASCII sends the same text the other way.
    assert [*list_words(text), "é"] == list_words(f"{text} é")


def test_bytes_in_parquet_that_are_no_text_are_one_line(tmp_path, gsm8k_file):
    broken = pa.array([b"\xff"]).view(pa.string())
    table = pa.table({"question": broken, "answer": pa.array(["1"]), "solution": pa.array(["s"])})
    pq.write_table(table, tmp_path / "bytes.parquet")
    with pytest.raises(InputError, match="bytes.parquet row 0 or later: not UTF-8"):
        run(tmp_path, tmp_path / "bytes.parquet", gsm8k_file("test.jsonl", make_gsm8k_rows(20, 1, 100)))


def test_an_answer_that_the_verifier_cannot_read_is_reported_by_row_and_asked_of_nobody(tmp_path, gsm8k_file):
    train, bad = make_gsm8k_rows(60), "\\frac{1}{"
    broken = [{"question": f"Broken {n}?", "solution": "\\boxed{2}", "answer": bad} for n in range(30)]
    evaluation = [*make_gsm8k_rows(20, 1, 100), {"question": "What?", "answer": bad}]
    card, sets = run(tmp_path, gsm8k_file("t.jsonl", train + broken), gsm8k_file("e.jsonl", evaluation))
    found = {(d["set"], d["reason"]): d for d in card["dropped"]}
    assert found["evaluation", "the verifier cannot read the answer"]["first"] == ["e.jsonl line 21"]
    assert found["rl", "the verifier cannot read the answer"]["rows"] >= 1
    assert all(row["answer"] != bad for name in ("rl", "predictors", "benchmark") for row in sets[name])


PROSE = "The second player, whatever the first one does in move number {}"


def test_golds_that_only_the_same_text_matches_are_left_out_of_rl_and_counted_elsewhere(tmp_path, gsm8k_file):
    def write(number):
        return {
            "question": f"Who wins game {number}?",
            "answer": PROSE.format(number),
            "solution": "So it is \\boxed{x}.",
        }

    train = gsm8k_file("t.jsonl", make_gsm8k_rows(60) + [write(n) for n in range(60)])
    test = gsm8k_file("e.jsonl", make_gsm8k_rows(6, 1, 900) + [write(n) for n in range(900, 918)])
    card, sets = run(tmp_path, train, test)
    assert all(row["answer"].isdecimal() for row in sets["rl"])
    (left,) = (d for d in card["dropped"] if d["set"] == "rl")
    assert left["reason"] == BY_TEXT and left["rows"] >= 1 and left["first"]
    prose = {name: sum("player" in row["answer"] for row in sets[name]) for name in ("predictors", "benchmark")}
    counted = {some["set"]: (some["problems"], some["by_text"]) for some in card["golds"]}
    assert counted == {name: (len(sets[name]), count) for name, count in prose.items()} and min(prose.values()) > 0
    assert f"| benchmark | 6 | {prose['benchmark']} | {prose['benchmark'] / 6:.1%} |" in describe_card(card)
    # From a source of its own, too.
    card, sets = run(tmp_path, gsm8k_file("s.jsonl", make_gsm8k_rows(60, 3, 200)), test, rl_data=str(train))
    assert all(row["answer"].isdecimal() for row in sets["rl"]) and len(sets["rl"]) == 12
    with pytest.raises(InputError, match=f"70 RL rows wanted .*, 60 usable .*60 x {BY_TEXT}"):
        run(tmp_path, gsm8k_file("s.jsonl", make_gsm8k_rows(60, 3, 200)), test, rl_data=str(train), rl_problems=70)


def test_golds_are_understood_only_where_rl_may_ask_them(tmp_path, gsm8k_file, monkeypatch):
    asked = []
    monkeypatch.setattr(split, "describe_reference", lambda gold, form: asked.append(gold) or describe_reference(gold, form))
    rows = [{"question": f"What is the root of {n}?", "solution": f"\\boxed{{\\sqrt{{{n}}}}}"} for n in range(1000)]
    plain = gsm8k_file("e.jsonl", make_gsm8k_rows(20, 1, 5000))
    _, sets = run(tmp_path, gsm8k_file("t.jsonl", rows), plain)
    assert len(sets["rl"]) == 12 and len(asked) <= 64 + len(sets["predictors"]) + len(sets["benchmark"])


def test_multiple_choice_keeps_its_options_and_predictors_can_come_from_elsewhere(tmp_path, gsm8k_file):
    choices = [{"question": f"{n}+{n}", "choices": [str(2 * n), "x", "y"], "answer": 0} for n in range(20)]
    others = gsm8k_file("p.jsonl", make_gsm8k_rows(9, 2, 300))
    card, sets = run(tmp_path, gsm8k_file("t.jsonl", make_gsm8k_rows(60)), gsm8k_file("c.jsonl", choices),
                     predictor_data=str(others))  # fmt: skip
    assert len(sets["benchmark"]) == 6 and len(sets["predictors"]) == 5
    assert all((row["format"], row["options"], row["answer"]) == ("letter", 3, "A") for row in sets["benchmark"])
    assert "A. " in sets["benchmark"][0]["question"] and sets["predictors"][0]["format"] == "boxed"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"question": "q", "choices": ["a", "b"], "answer": 2}, "the answer is none of the options"),
        ({"question": "q", "choices": ["a", "b"], "answer": "A"}, "the answer is none of the options"),
        ({"question": "", "choices": ["a", "b"], "answer": 1}, "no question"),
        ({"problem": "p", "answer_option_list": [[{"aoVal": "A", "content": "1"}]], "answer_value": "C"}, "none of"),
    ],
)
def test_malformed_multiple_choice_is_a_reason(row, reason):
    with pytest.raises(InputError, match=reason):
        read_problem(row, needs_solution=False)


def test_an_off_target_benchmark_predicts_nothing_and_is_marked(tmp_path, gsm8k_file):
    train = gsm8k_file("train.jsonl", make_gsm8k_rows(60))
    one = gsm8k_file("one.jsonl", make_gsm8k_rows(20, seed=1, start=100))
    other = gsm8k_file("other.jsonl", make_gsm8k_rows(20, seed=2, start=200))
    _, sets = run(tmp_path, train, one, off_target=[str(other)])
    assert len(sets["predictors"]) == 5 and all("Item 1" in row["question"] for row in sets["predictors"])
    marked = {bool(row["off_target"]): set() for row in sets["benchmark"]}
    for row in sets["benchmark"]:
        marked[bool(row["off_target"])].add(row["question"][:6])
    assert marked == {False: {"Item 1"}, True: {"Item 2"}}
