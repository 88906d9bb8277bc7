"""Every form of source gives the same rows, every registry entry reads rows of its hub form, and bad input is one line."""

import bz2
import csv
import gzip
import http.server
import json
import lzma
import os
import subprocess
import sys
import threading
from pathlib import Path

import datasets
import fsspec
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
import yaml

from rlready.config.recipes import load_recipe
from rlready.data import files, sources
from rlready.data.problems import read_benchmark, read_problem
from rlready.data.proposals import read_some
from rlready.data.registry import Source, find_source, read_registry
from rlready.data.sources import examine, read_rows
from rlready.errors import InputError
from rlready.models.prompts import INSTRUCTIONS

DATA = Path(os.environ.get("RLREADY_DATA", "absent"))
ROWS = [{"question": f"What is {n}+{n}?", "answer": f"{2 * n}", "solution": f"It is \\boxed{{{2 * n}}}."} for n in range(9)]


def read(text, registry="datasets", needs_solution=False, **options):
    source = find_source(text, registry, **options)
    contents = examine(source, 0)
    problems = [read_problem(row, needs_solution, source) for _, row in read_rows(source, "sft", 0)]
    return contents, problems


def write_json(path, rows=ROWS):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_every_form_of_file_gives_the_same_problems(tmp_path):
    table = pa.Table.from_pylist(ROWS)
    pq.write_table(table, tmp_path / "a.parquet")
    pa.feather.write_feather(table, tmp_path / "file.arrow", compression="uncompressed")
    with pa.ipc.new_stream(tmp_path / "stream.arrow", table.schema) as stream:
        stream.write_table(table)
    write_json(tmp_path / "folder" / "1.jsonl", ROWS[:5])
    write_json(tmp_path / "folder" / "2.jsonl", ROWS[5:])
    with fsspec.open("memory://bucket/rows.jsonl", "w") as file:
        file.write("".join(json.dumps(row) + "\n" for row in ROWS))
    _, expected = read(write_json(tmp_path / "a.jsonl"))
    assert len(expected) == 9 and expected[3]["answer"] == "6"
    (tmp_path / "list.json").write_text(json.dumps(ROWS, indent=1))
    with open(tmp_path / "sheet.csv", "w", newline="", encoding="utf-8-sig") as file:  # as spreadsheets write it
        sheet = csv.DictWriter(file, ROWS[0].keys())
        sheet.writeheader()
        sheet.writerows(ROWS)
    forms = (
        "a.parquet",
        "file.arrow",
        "stream.arrow",
        "list.json",
        "sheet.csv",
        "folder",
        "memory://bucket/rows.jsonl",
    )
    for text in forms:
        contents, problems = read(text if "://" in text else str(tmp_path / text))
        assert problems == expected and contents.rows == 9, text


def test_a_remote_file_is_not_replaced_by_a_local_one_of_the_same_path(tmp_path):
    here, there = pa.Table.from_pylist(ROWS[:4]), pa.Table.from_pylist(ROWS[4:])
    path = str(tmp_path / "rows.arrow")
    pa.feather.write_feather(here, path, compression="uncompressed")
    with fsspec.open(f"memory://{path}", "wb") as file:
        pa.feather.write_feather(there, file, compression="uncompressed")
    for text, rows in ((path, ROWS[:4]), (f"memory://{path}", ROWS[4:])):
        contents, problems = read(text)
        assert [problem["answer"] for problem in problems] == [row["answer"] for row in rows]
        assert contents.rows == len(rows)


@pytest.mark.parametrize(
    "name",
    [
        "openai/gsm8k/main/train-00000-of-00001.jsonl",
        "openai/gsm8k/train.jsonl",
        "gsm8k/train.jsonl",
        "gsm8k/data/train/0.jsonl",
        "gsm8k/everything.jsonl",
    ],
)
def test_a_mirror_is_read_instead_of_the_hub(tmp_path, name):
    rows = [{"question": "q", "answer": f"It is.\n#### {n}"} for n in range(7473)]
    write_json(tmp_path / name, rows)
    contents, problems = read("gsm8k", mirror=str(tmp_path))
    assert contents.rows == 7473 and problems[-1]["answer"] == "7472"


def test_configurations_and_splits_of_a_mirror(tmp_path):
    row = {"question": "q", "choices": ["a", "b"], "answer": 1}
    for subject in ("one", "two"):
        write_json(tmp_path / "cais/mmlu" / subject / "dev.jsonl", [row | {"question": subject}])
        write_json(tmp_path / "cais/mmlu" / subject / "test.jsonl", [row] * 3)
    own = {"mine": {"like": "mmlu", "config": ["two", "one"], "split": "dev", "rows": 2}}
    _, problems = read("mine", sources=own, mirror=str(tmp_path))
    assert [p["question"].splitlines()[0] for p in problems] == ["two", "one"]
    with pytest.raises(InputError, match="no .jsonl, .* file of the split validation"):
        read("mine", sources={"mine": own["mine"] | {"split": "validation"}}, mirror=str(tmp_path))
    with pytest.raises(InputError, match="the mirror has neither .*openai/gsm8k nor .*gsm8k"):
        read("gsm8k", mirror=str(tmp_path))


# One row of each dataset in the fields that it has on the hub, and what must come out of it.
TURNS = [{"role": "user", "content": "What is 1+1?"}, {"role": "assistant", "content": "It is \\boxed{2}."}]
SHAPES = {
    "datasets": {
        "gsm8k": ({"question": "q", "answer": "So <<1+1=2>>2.\n#### 1,002"}, "q", "1002"),
        "math": ({"problem": "p", "level": "Level 1", "type": "A", "solution": "\\boxed{3}"}, "p", "3"),
        "acereason": ({"category": "math", "source": "s", "input": "i", "output": "<think>1</think>\\boxed{4}"}, "i", "4"),
        "nemotron_math": ({"input": TURNS[:1], "output": "\\boxed{2}", "system_prompt": ""}, "What is 1+1?", "2"),
        "deepscaler": ({"problem": "p", "answer": "5", "solution": "s"}, "p", "5"),
        "dapo_math_17k": (
            {
                "prompt": [{"role": "user", "content": 'p?\n\nRemember to put your answer on its own line after "Answer:".'}],
                "reward_model": {"ground_truth": "34", "style": "rule"},
            },
            "p?",
            "34",
        ),
    },
    "benchmarks": {
        "math_500": ({"problem": "p", "solution": "s", "answer": "\\frac12", "subject": "Algebra"}, "p", "\\frac12"),
        "math": ({"problem": "p", "solution": "\\boxed{3}", "type": "Algebra"}, "p", "3"),
        "gsm8k": ({"question": "q", "answer": "Two.\n#### 2"}, "q", "2"),
        "aime_1983_2024": ({"ID": "1983-1", "Question": "Q", "Answer": "60", "Problem Number": 1}, "Q", "60"),
        "aime_2024": ({"id": 60, "problem": "p", "solution": "s", "answer": "025"}, "p", "025"),
        "aime_2025": ({"problem": "p", "answer": "70", "id": "0"}, "p", "70"),
        "amc_2023": ({"id": 0, "question": "q", "answer": "27.0", "url": "u"}, "q", "27.0"),
        "aimo_validation_amc": ({"id": 0, "problem": "p", "answer": 142.0}, "p", "142"),
        "olympiadbench": (
            {"question": "q", "solution": ["s"], "final_answer": ["1", "2"], "subfield": "Algebra"},
            "q",
            "1, 2",
        ),
        "minerva_math": ({"question": "q", "answer": "1.6"}, "q", "1.6"),
        "imo_answerbench": ({"Problem ID": "i", "Problem": "P", "Short Answer": "3", "Category": "Algebra"}, "P", "3"),
        "mmlu": ({"question": "q", "subject": "s", "choices": ["x", "y"], "answer": 1}, "q\nA. x\nB. y", "B"),
        "tal_scq5k_en": (
            {"problem": "p", "answer_option_list": [[{"aoVal": "A", "content": "7 "}], [{"aoVal": "B", "content": "8"}]],
             "answer_value": "B"},
            "p\nA. 7\nB. 8", "B",
        ),
        "mathvista": (
            {"question": "", "query": "q", "choices": None, "answer": "1.2", "metadata": {"source": "SciBench"}}, "q", "1.2",
        ),
    },
}  # fmt: skip


@pytest.mark.parametrize(("name", "key"), [(name, key) for name in SHAPES for key in SHAPES[name]])
def test_every_entry_reads_the_rows_of_its_dataset(name, key):
    row, question, answer = SHAPES[name][key]
    problem = read_problem(row, False, read_registry(name)[key])
    assert (problem["question"], problem["answer"]) == (question, answer)
    assert problem.get("subject") in (None, "Algebra", "s")
    assert problem.get("prompt", "boxed") in INSTRUCTIONS


def test_every_entry_has_a_shape_a_licence_and_no_invented_revision():
    for name, shapes in SHAPES.items():
        assert shapes.keys() == read_registry(name).keys()
        for entry in read_registry(name).values():
            assert entry.licence and entry.rows != 0 and (entry.revision is None or len(entry.revision) == 40)


def test_what_an_entry_leaves_out_has_its_reason():
    pictured = SHAPES["benchmarks"]["mathvista"][0] | {"metadata": {"source": "GeoQA+"}}
    with pytest.raises(InputError, match="needs the picture"):
        read_problem(pictured, False, read_registry("benchmarks")["mathvista"])
    with pytest.raises(InputError, match="not math"):
        read_problem({"category": "code", "input": "i", "output": "o"}, True, read_registry("datasets")["acereason"])


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "What is 1+1?", "completion": "It is \\boxed{2}."},
        {"prompt": TURNS[:1], "completion": TURNS[1:]},
        {"messages": [{"role": "system", "content": "Be brief."}, *TURNS]},
    ],
)
def test_prompt_and_completion_and_messages_are_read_without_an_entry(row):
    problem = read_problem(row, True)
    assert problem["question"] == "What is 1+1?" and problem["answer"] == "2" and "boxed" in problem["solution"]


def test_a_recipe_adds_a_source_with_templates(tmp_path):
    row = {"head": "Add.", "body": {"text": "1+1"}, "final": [["2"]], "steps": "So \\boxed{2}."}
    path = write_json(tmp_path / "mine.jsonl", [row] * 3)
    columns = {"question": "{head}\n{body[text]}", "answer": "final[0][0]", "solution": "steps"}
    recipe = {"parameters": {"curate_sources": {"mine": {"path": path, "columns": columns, "rows": 3}}}}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    own = load_recipe(str(tmp_path / "recipe.yaml"), [])["curate_sources"]
    _, problems = read("mine", sources=own, needs_solution=True)
    assert problems[0]["question"] == "Add.\n1+1" and problems[0]["answer"] == "2"
    # A hub id that the registry knows is read as its entry says.
    assert find_source("openai/gsm8k:main:test", "benchmarks").rows == 1319
    assert find_source("openai/gsm8k", "datasets").split == "train"
    assert find_source("owner/name:config:dev", "datasets").split == "dev"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"pth": "x"}, "mine: unknown key 'pth'; did you mean path"),
        ({"rows": 3}, "give either hub"),
        ({"hub": "a/b", "path": "x"}, "give either hub"),
        ({"path": "x.jsonl", "revision": "v1"}, "revision 'v1' is of a hub dataset, and path is given"),
        ({"path": "x", "rows": "many"}, "rows must be int or list or null, got 'many'"),
        ({"path": "x", "columns": {"problem": "p"}}, "'problem' is not one of question"),
        ({"path": "x", "columns": {"answer": "a"}}, r"question \(or messages\) is missing"),
        ({"path": "x", "columns": {"question": "a]["}}, "neither a column"),
        ({"path": "x", "columns": {"question": "{a"}}, "neither a column"),
        ({"path": "x", "rows": ["7"]}, "rows must be a list of int, got '7' in it"),
        ({"path": "x", "config": [2024]}, "config must be a list of str, got 2024 in it"),
        ({"path": "x", "remove": [5]}, "remove must be a list of str, got 5 in it"),
        ({"path": "x", "keep": {"a": "b"}}, "needs a list"),
        ({"like": "gsm9k"}, "'gsm9k' is not one of"),
        ("x", "expected an object"),
    ],
)
def test_a_bad_entry_is_one_line(entry, message):
    with pytest.raises(InputError, match=message):
        find_source("mine", "datasets", {"mine": entry})


def test_two_sources_of_one_name_are_an_error(tmp_path):
    with pytest.raises(InputError, match="gsm8k is in the registry already"):
        find_source("gsm8k", "datasets", {"gsm8k": {"path": "x.jsonl"}})
    (tmp_path / "recipe.yaml").write_text("parameters:\n  curate_sources: {a: {path: x.jsonl}, a: {path: y.jsonl}}\n")
    with pytest.raises(InputError, match="recipe.yaml: not YAML: duplicate key 'a'"):
        load_recipe(str(tmp_path / "recipe.yaml"), [])
    with pytest.raises(InputError, match="did you mean gsm8k"):
        find_source("gsm8", "datasets")


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return str(path)


def test_damaged_files_are_one_line_before_anything_starts(tmp_path, monkeypatch):
    table = pa.Table.from_pylist(ROWS * 2000)
    pq.write_table(table, tmp_path / "cut.parquet")
    pa.feather.write_feather(table, tmp_path / "cut.arrow", compression="uncompressed")
    with pa.ipc.new_stream(tmp_path / "cut_stream.arrow", table.schema) as stream:
        stream.write_table(table, max_chunksize=1000)
    for name in ("cut.parquet", "cut.arrow", "cut_stream.arrow"):
        with pytest.raises(InputError, match=f"{name}: .*truncated"):
            examine(find_source(cut(tmp_path / name), "datasets"), 0)
    # Whole at the end and damaged inside: found when the rows are read.
    pq.write_table(table, tmp_path / "hole.parquet", compression="gzip", use_dictionary=False)
    content = bytearray((tmp_path / "hole.parquet").read_bytes())
    content[200:2000] = bytes(1800)
    (tmp_path / "hole.parquet").write_bytes(content)
    with pytest.raises(InputError, match="hole.parquet row 0 or later: damaged"):
        read(str(tmp_path / "hole.parquet"))
    monkeypatch.setattr(files, "LONGEST_LINE", 1 << 10)
    (tmp_path / "long.jsonl").write_text(json.dumps(ROWS[0]) + "\n" + "x" * 5000)
    with pytest.raises(InputError, match="long.jsonl line 2: longer than"):
        examine(find_source(str(tmp_path / "long.jsonl"), "datasets"), 0)
    (tmp_path / "bytes.jsonl").write_bytes(b'{"question": "a"}\n{"question": "\xff"}\n')
    with pytest.raises(InputError, match="bytes.jsonl line 2: not UTF-8"):
        examine(find_source(str(tmp_path / "bytes.jsonl"), "datasets"), 0)


def test_json_beside_a_dataset_is_about_it_and_not_of_it(tmp_path):
    write_json(tmp_path / "both" / "train.jsonl")
    (tmp_path / "both" / "dataset_infos.json").write_text("{}")
    assert read(str(tmp_path / "both"))[0].rows == 9
    (tmp_path / "list").mkdir()
    (tmp_path / "list" / "train.json").write_text(json.dumps(ROWS))
    assert read(str(tmp_path / "list"))[0].rows == 9


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("cut.json", '[{"question": "a"}', "cut.json: not JSON .*fetch it again if it is truncated"),
        ("splits.json", '{"train": [{"a": 1}], "test": [{"a": 2}]}', "splits.json: lists of objects under train, test"),
        ("sizes.json", '{"a": [1], "b": [1, 2]}', "sizes.json: expected rows, got an object of a, b"),
        ("prose.csv", "How many is one and one and one more?,3\n1+1?,2\n", "prose.csv line 1: no header: 'How many"),
        ("headless.csv", f"{'What is 1 + 1? ' * 9},2\n", "headless.csv line 1: no header: 'What is"),
        ("pretty.jsonl", '{\n"question": "a"}\n', "pretty.jsonl line 1: .* not one per line, name the file .json"),
        ("wide.csv", "question,answer\n".encode("utf-16"), "wide.csv is in UTF-16; convert it to UTF-8"),
        (
            "python.jsonl",
            "{'question': 'a'}\n",
            "python.jsonl line 1: not JSON .*Python's notation; write each row with json.dumps",
        ),
        ("mixed.json", '[{"question": "a"}, 3]', "mixed.json row 1: expected an object, got int"),
        ("deep.json", "[" * 100_000, "deep.json: not JSON"),
        ("latin.jsonl", '{"question": "caf\u00e9"}\n'.encode("latin-1"), "latin.jsonl line 1: not UTF-8 .* convert the file"),
        (
            "footer.csv",
            "question,answer\na,1\nTotal\n",
            "footer.csv row 1: 1 cells, .*; remove lines before and after the table",
        ),
        ("late.jsonl", '{"question": "a"}\n' * 1110 + '{"question": \n', "late.jsonl line 1111: not JSON"),
        ("long.csv", "question,answer\na,1\nb,2,3\n", "long.csv row 1: 3 cells, the header has 2; quote cells"),
        ("short.csv", "question,answer\na\n", "short.csv row 0: 1 cells, the header has 2"),
        ("open.csv", 'question,answer\n"a,1\n', "open.csv line 2: not CSV"),
        ("bytes.csv", b"question\n\xff\n", "bytes.csv: not UTF-8"),
        ("large.csv", "question\n" + "a" * 2000, "large.csv: larger than 0 MB; convert it to .jsonl"),
    ],
)
def test_damaged_json_and_csv_are_said_with_their_place(tmp_path, monkeypatch, name, content, message):
    if name == "large.csv":
        monkeypatch.setattr(sources, "LARGEST", 1000)
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message):
        examine(find_source(str(tmp_path / name), "datasets"), 0)


def test_absent_and_foreign_files_are_one_line(tmp_path):
    (tmp_path / "table.xlsx").write_text("a,b\n")
    (tmp_path / "empty").mkdir()
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "data.zip").write_bytes(b"PK")
    write_json(tmp_path / "both" / "a.jsonl")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "both" / "a.parquet")
    for text, message in {
        "nowhere.jsonl": "no such file or folder",
        "table.xlsx": "neither a folder nor a .jsonl",
        "empty": "no .jsonl, .ndjson, .parquet, .arrow, .json, .csv, .tsv file",
        "packed": "file; there is data.zip: rename, unpack or convert it",
        "both": "more than one form",
    }.items():
        with pytest.raises(InputError, match=message):
            examine(find_source(str(tmp_path / text), "datasets"), 0)
    with pytest.raises(InputError, match=r"nosuch://a/b.jsonl: cannot be opened \(Protocol not known"):
        examine(find_source("nosuch://a/b.jsonl", "datasets"), 0)


def test_rows_that_differ_from_the_registry_and_a_changed_digest_are_errors(tmp_path):
    path = write_json(tmp_path / "gsm8k" / "train.jsonl")
    with pytest.raises(InputError, match="gsm8k: 9 rows, the registry expects 7,473"):
        examine(find_source("gsm8k", "datasets", mirror=str(tmp_path)), 0)
    digest = examine(Source("x", path=path), 0).digest
    assert examine(Source("x", path=path, digest=digest), 0).rows == 9
    write_json(tmp_path / "gsm8k" / "train.jsonl", ROWS[1:])
    with pytest.raises(InputError, match=f"x: has changed: .* the registry's {digest}"):
        examine(Source("x", path=path, digest=digest), 0)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"question": "q", "answer": [["1"]], "solution": "s"}, "the answer is a list, not text"),
        ({"question": 7, "answer": "1", "solution": "s"}, "the question is a number, not text"),
        ({"query": "q", "answer": "1"}, "no question; the columns are query, answer"),
        ({"question": "q", "answer": {"a": 1}, "solution": "s"}, "the answer is an object"),
        ({"text": "q", "test_list": ["assert f(1) == 2"]}, "the column test_list holds code tests; .* python-tests"),
        ({"prompt": "q", "test": "\ndef check(f):\n    assert f(1) == 2"}, "the column test holds code tests"),
        ({"question": "q", "input_output": '{"inputs": ["1"], "outputs": ["2"]}'}, "the column input_output holds code tests"),
        ({"text": "q", "public_tests": {"input": ["1"], "output": ["2"]}}, "the column public_tests holds code tests"),
        ({"question": "q", "answer": "assert f(1) == 2\nassert f(2) == 3"}, "the answer is code tests"),
        ({"question": "q" * 600_000, "answer": "#### 2"}, "the question has more than 524,288 characters"),
        ("text", "a text, not an object; write each row as"),
        ({"messages": [*TURNS, *TURNS]}, "2 turns of the user; only one can be used"),
    ],
)
def test_rows_of_which_none_can_be_used_are_one_line_of_plan(tmp_path, row, message):
    path = write_json(tmp_path / "rows.jsonl", [row] * 20)
    with pytest.raises(InputError, match=f"rows.jsonl: no usable sft row among the first 20 .20 x {message}"):
        read_some(find_source(path, "datasets"), "sft", 0, 5)


def test_other_answers_to_the_same_question_are_said_with_a_row_of_each(tmp_path):
    rows = [{"question": f"What is {n} plus {n}?", "answer": str(2 * n)} for n in range(10)]
    other = [{"question": "What is 3 plus 3 ?", "answer": "7"}, {"question": "What is 4 plus 4?", "answer": "8.0"}]
    path = write_json(tmp_path / "rows.jsonl", rows + other)
    _, changed, _ = read_some(find_source(path, "benchmarks"), "evaluation", 0, 100)
    said = "another reference answer than an earlier row with the same question, such as 6 in rows.jsonl line 4 and 7 in"
    assert changed == {f"{said} rows.jsonl line 11": 1}
    counts = read_benchmark(find_source(path, "benchmarks"))[1]
    assert counts == {"duplicate": 1, "duplicate, with another reference answer": 1}


def test_mixed_types_lose_the_row_and_a_missing_column_the_source(tmp_path):
    path = write_json(tmp_path / "mixed.jsonl", [ROWS[0], ROWS[1] | {"answer": [["2"]]}, ROWS[2] | {"question": 5}])
    assert len(read_some(find_source(path, "datasets"), "sft", 0, 5)[0]) == 1
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    own = {"mine": {"path": str(tmp_path / "a.parquet"), "columns": {"question": "problem"}}}
    with pytest.raises(InputError, match=r"a.parquet: no column 'problem' \(the columns are question, answer, solution\)"):
        read("mine", sources=own)


class Hub(http.server.BaseHTTPRequestHandler):
    """The hub as it answers for a dataset or model that is gated, absent, or has lost a revision."""

    def do_GET(self):
        code = next((code for name, code in self.errors.items() if name in self.path), "RepoNotFound")
        self.send_response(403 if code == "GatedRepo" else 404)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    errors = {"gated": "GatedRepo", "revision": "RevisionNotFound"}

    def log_message(self, *args):
        pass


def test_what_the_hub_refuses_is_one_line(tmp_path):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    code = (
        "from rlready.data.registry import Source\n"
        "from rlready.data.sources import examine\n"
        "from rlready.errors import InputError\n"
        "for hub, revision in (('a/gated', None), ('a/absent', None), ('a/known', 'f' * 40)):\n"
        "    try: examine(Source(hub, hub=hub, revision=revision and 'revision' + revision), 0)\n"
        "    except InputError as error: print(error)\n"
        "from rlready.models.load import find_model\n"
        "try: find_model('a/known', 'revision-v1')\n"
        "except InputError as error: print(type(error).__name__, error)\n"
    )

    def ask(address):
        kept = os.environ | {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.run([sys.executable, "-c", code], env=kept, capture_output=True, text=True, check=True).stdout

    gated, absent, changed, model = ask(f"http://127.0.0.1:{server.server_port}").splitlines()
    server.shutdown()
    server.server_close()
    assert gated == "a/gated: gated; ask for access at https://huggingface.co/datasets/a/gated and set HF_TOKEN"
    assert absent == "a/absent: the hub has no dataset a/absent (or it is private: set HF_TOKEN)"
    assert changed.startswith("a/known: the hub has no revision") and changed.endswith("it has changed")
    assert model.startswith("InputError the hub has no revision revision-v1 of a/known")
    lines = ask(f"http://127.0.0.1:{server.server_port}").splitlines()
    assert len(lines) == 4 and all("the hub could not be asked" in line and "curate_mirror" in line for line in lines[:3])
    assert lines[3].startswith("Unreachable could not reach the hub for a/known")


# What the folder lacks of the hub's files, and what the registry leaves out of them.
PARTS = {"minerva_math": 40, "imo_answerbench": 40, "mathvista": 100, "tal_scq5k_en": 3000, "mmlu": 115}
LEFT_OUT = {"mathvista": 99}


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason="RLREADY_DATA names no folder")
@pytest.mark.parametrize("name", read_registry("benchmarks"))
def test_the_real_files_are_read_whole(name):
    entry = read_registry("benchmarks")[name]
    own = {"mine": {"like": name, "path": str(DATA / name), "rows": PARTS.get(name, entry.rows)}}
    own["mine"]["split"] = {"tal_scq5k_en": "train", "mmlu": "validation"}.get(name, entry.split)
    own["mine"] |= {"config": entry.config} if name == "mmlu" else {}
    source = find_source("mine", "benchmarks", own)
    examine(source, 0)
    lost = []
    for place, row in read_rows(source, "evaluation", 0):
        try:
            read_problem(row, False, source)
        except InputError as error:
            lost.append((place, str(error)))
    assert len(lost) == LEFT_OUT.get(name, 0), lost[:5]


def write_lines(path, rows, compress=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(compress(content) if compress else content)


def compress_zstd(content):
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()


COMPRESSORS = {"gz": gzip.compress, "bz2": bz2.compress, "zst": compress_zstd, "xz": lzma.compress}


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("\n".join(map(json.dumps, ROWS)), ""),
        ("\n".join(json.dumps(row, indent=1) for row in ROWS), ""),
        (json.dumps({"version": 1, "data": ROWS}), "rows are the list under 'data'"),
        (json.dumps({key: [row[key] for row in ROWS] for key in ROWS[0]}), "every key is a column"),
        (json.dumps({key: {n: row[key] for n, row in enumerate(ROWS)} for key in ROWS[0]}), "every key is a column"),
    ],
)
def test_rows_of_json_are_found_whatever_is_around_them(tmp_path, text, note):
    (tmp_path / "a.json").write_text(text)
    contents, problems = read(str(tmp_path / "a.json"))
    assert problems == read(write_json(tmp_path / "b.jsonl"))[1] and "".join(contents.notes) == note


def test_a_folder_may_have_one_json_file_per_row(tmp_path):
    chat = [{"role": "user", "content": "1+1?"}, {"role": "assistant", "content": "\\boxed{2}"}]
    for name, row in (("a", ROWS[0]), ("b", {"messages": chat}), ("metadata", {"rows": 2}), ("~$a", {})):
        (tmp_path / f"{name}.json").write_text(json.dumps(row))
    contents, problems = read(str(tmp_path))
    assert [problem["answer"] for problem in problems] == ["0", "2"] and contents.notes[0].startswith("left out 2 hidden")


def test_files_are_decompressed_by_their_content(tmp_path):
    write_json(tmp_path / "plain.jsonl.gz")
    write_lines(tmp_path / "packed.jsonl", ROWS, gzip.compress)
    assert read(str(tmp_path / "plain.jsonl.gz"))[1] == read(str(tmp_path / "packed.jsonl"))[1]


@pytest.mark.parametrize("suffix", COMPRESSORS)
def test_compressed_files_are_those_inside(tmp_path, suffix):
    compress = COMPRESSORS[suffix]
    expected = read(write_json(tmp_path / "a.jsonl"))
    for name in ("a.jsonl", "a.ndjson"):
        write_lines(tmp_path / f"{name}.{suffix}", ROWS, compress)
    assert read(str(tmp_path / f"a.jsonl.{suffix}")) == read(str(tmp_path / f"a.ndjson.{suffix}")) == expected
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    (tmp_path / f"a.parquet.{suffix}").write_bytes(compress((tmp_path / "a.parquet").read_bytes()))
    (tmp_path / f"a.json.{suffix}").write_bytes(compress(json.dumps(ROWS).encode()))
    for name in ("parquet", "json"):
        assert read(str(tmp_path / f"a.{name}.{suffix}"))[1] == expected[1]
    assert find_source(f"x/a.v2.jsonl.{suffix}", "datasets").benchmark == "a.v2"
    with pytest.raises(InputError, match=f"a.jsonl.{suffix}: cannot be read"):
        examine(find_source(cut(tmp_path / f"a.jsonl.{suffix}"), "datasets"), 0)


@pytest.mark.parametrize(
    ("name", "separator", "told"), [("a.csv", ";", 1), ("a.csv", "\t", 1), ("a.csv", "|", 1), ("a.tsv", "\t", 0)]
)
def test_separators_are_told_by_the_header(tmp_path, name, separator, told):
    with open(tmp_path / name, "w", newline="") as file:
        sheet = csv.DictWriter(file, ROWS[0], delimiter=separator)
        sheet.writeheader()
        sheet.writerows(ROWS)
    contents, problems = read(str(tmp_path / name))
    assert len(problems) == 9 and len(contents.notes) == told


def test_whole_numbers_that_a_table_made_floats_are_whole_again(tmp_path):
    (tmp_path / "a.csv").write_text("question, answer ,rate\n1+1?,2.0,0.5\n2+2?,,1.0\n3+3?,6.0,\n")
    rows = [row for _, row in read_rows(find_source(str(tmp_path / "a.csv"), "datasets"), "sft", 0)]
    assert [row["answer"] for row in rows] == ["2", "", "6"] and [row["rate"] for row in rows] == ["0.5", "1.0", ""]


def test_hidden_files_caches_and_what_a_state_does_not_list_are_left_out_and_counted(tmp_path):
    write_lines(tmp_path / "f" / "train.jsonl", ROWS)
    for name in (".ipynb_checkpoints/train-checkpoint.jsonl", "__MACOSX/train.jsonl", "._train.jsonl", ".cache/x.jsonl"):
        write_lines(tmp_path / "f" / name, ROWS[:2])
    contents, problems = read(str(tmp_path / "f"))
    assert len(problems) == 9 and contents.notes[0].startswith("left out 4 hidden or cache files, such as .")
    saved = datasets.Dataset.from_list(ROWS)
    saved.save_to_disk(tmp_path / "saved")
    for name in ("cache-0123.arrow", "data-00000-of-00002.arrow"):
        (tmp_path / "saved" / name).write_bytes((tmp_path / "saved" / "data-00000-of-00001.arrow").read_bytes())
    contents, problems = read(str(tmp_path / "saved"))
    assert len(problems) == contents.rows == 9 and "left out 2 " in contents.notes[0]


@pytest.mark.parametrize(
    ("names", "trained", "evaluated"),
    [
        (("train-0.jsonl", "test-0.jsonl"), "train-0.jsonl", "test-0.jsonl"),
        (("data/train-0.jsonl", "data/valid-0.jsonl"), "data/train-0.jsonl", "data/valid-0.jsonl"),
        (("train/0.jsonl", "dev/0.jsonl", "test/0.jsonl"), "train/0.jsonl", "test/0.jsonl"),
        (("mine.jsonl", "mine_test.jsonl"), "mine.jsonl", "mine_test.jsonl"),
        (("math-training.jsonl", "math-eval.jsonl"), "math-training.jsonl", "math-eval.jsonl"),
        (("trainset.jsonl", "testset.jsonl"), "trainset.jsonl", "testset.jsonl"),
        (("gsmTrain1.jsonl", "gsmTest1.jsonl"), "gsmTrain1.jsonl", "gsmTest1.jsonl"),
        (("a_train.jsonl", "a_holdout.jsonl"), "a_train.jsonl", "a_holdout.jsonl"),
    ],
)
def test_splits_of_a_folder_are_kept_apart(tmp_path, names, trained, evaluated):
    for number, name in enumerate(names):
        write_lines(tmp_path / "f" / name, [{"question": f"{number}?", "answer": "1"}])
    keys = set()
    for registry, name in (("datasets", trained), ("benchmarks", evaluated)):
        source = find_source(str(tmp_path / "f"), registry)
        keys.add(source.key)
        assert [row["question"] for _, row in read_rows(source, "sft", 0)] == [f"{names.index(name)}?"]
        own = {"mine": {"path": str(tmp_path / "f")}}
        assert find_source("mine", registry, own).split == source.split
    assert len(keys) == 2


def test_a_file_that_exists_is_not_looked_for_on_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.xlsx").write_text("")
    with pytest.raises(InputError, match="data/mine.xlsx: neither a folder nor a .jsonl"):
        examine(find_source("data/mine.xlsx", "datasets"), 0)


def test_a_folder_of_data_precedes_the_registry_and_a_folder_without_does_not(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("gsm8k", "math", "mine"):
        Path(name).mkdir()
    for name in ("gsm8k", "mine"):
        Path(name, "train.jsonl").write_text('{"question": "1+1?", "answer": "#### 2"}\n')
    Path("math/sums.py").write_text("")
    assert find_source("gsm8k", "datasets").path == "gsm8k" and not find_source("math", "datasets").path
    assert "gsm8k is the folder ./gsm8k, not the registry's openai/gsm8k" in capsys.readouterr().out
    assert find_source("mine", "datasets", {"mine": {"path": "mine.jsonl"}}).path == "mine.jsonl"


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet", "a.json"])
def test_a_git_lfs_pointer_is_said_of_every_form(tmp_path, name):
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")
    with pytest.raises(InputError, match=f"{name} is a Git LFS pointer, not the data; run git lfs pull"):
        examine(find_source(str(tmp_path / name), "datasets"), 0)


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_a_row_may_be_a_list_of_turns(tmp_path, name):
    turns = [{"role": "user", "content": "1+1?"}, {"role": "assistant", "content": "\\boxed{2}"}]
    (tmp_path / name).write_text(f"{json.dumps(turns)}\n" * 2)
    assert [row for _, row in read_rows(find_source(str(tmp_path / name), "datasets"), "sft", 0)] == [{"messages": turns}] * 2


def test_spaces_and_empty_lines_of_a_table_are_not_read(tmp_path):
    (tmp_path / "a.csv").write_text('\n\nquestion, answer\n\n"1+1, or 2?", "2"\n')
    rows = [row for _, row in read_rows(find_source(str(tmp_path / "a.csv"), "datasets"), "sft", 0)]
    assert rows == [{"question": "1+1, or 2?", "answer": "2"}]


def test_a_list_in_jsonl_is_said(tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps(ROWS))
    with pytest.raises(InputError, match="line 1: a list, not an object; if the file is one list, name it .json"):
        read(str(tmp_path / "a.jsonl"))


def test_files_that_name_no_split_beside_files_that_do_are_counted(tmp_path):
    for name in ("train.jsonl", "test.jsonl", "extra.jsonl"):
        write_json(tmp_path / "f" / name)
    contents, _ = read(str(tmp_path / "f"))
    assert contents.notes == ["left out 1 files that name no split, such as extra.jsonl"]


def test_files_of_several_folders_that_may_be_datasets_are_counted(tmp_path):
    for name in ("main/train.jsonl", "socratic/train.jsonl", "socratic/test.jsonl"):
        write_json(tmp_path / "f" / name)
    contents, problems = read(str(tmp_path / "f"))
    said = "files of 2 folders (main, socratic); name one of them if it is a dataset of its own"
    assert contents.notes == [said] and len(problems) == 18
    assert read(str(tmp_path / "f" / "main"))[0].notes == []


def test_a_folder_with_a_file_missing_or_of_several_forms_is_refused(tmp_path):
    for name in ("a/train-00000-of-00003.jsonl", "a/train-00002-of-00003.jsonl", "b/1.jsonl"):
        write_json(tmp_path / name)
    (tmp_path / "b" / "2.csv").write_text("question,answer\n1+1?,2\n")
    datasets.Dataset.from_list(ROWS).save_to_disk(tmp_path / "c", num_shards=3)
    (tmp_path / "c" / "data-00001-of-00003.arrow").unlink()
    for folder, message in (
        ("a", "2 of 3 files are there"),
        ("b", "more than one form"),
        ("c", "is missing, but state.json"),
    ):
        with pytest.raises(InputError, match=message):
            read(str(tmp_path / folder))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\3\4...", "a zip archive or a spreadsheet"),
        (b"PAR1....", "a Parquet file"),
        (b"<!DOCTYPE html><html>404</html>", "a web page"),
        ("question\n".encode("utf-16-le"), "UTF-16"),
        (bytes(99), "filled with zeros"),
        (gzip.compress(b"PK\3\4...", mtime=0), "a zip archive or a spreadsheet"),
        (gzip.compress(gzip.compress(b"question\n", mtime=0), mtime=0), "compressed twice"),
    ],
)
def test_files_that_are_something_else_are_refused_as_what_they_are(tmp_path, content, message):
    for name in ("a.jsonl", "a.csv"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=message):
            read(str(tmp_path / name))


def test_a_table_of_a_spreadsheet_may_say_its_separator_and_decimal_commas_are_noted(tmp_path):
    (tmp_path / "a.csv").write_text("sep=;\r\nquestion;answer\r\n1/2+1?;1,5\r\n1+1?;2\r\n")
    contents, problems = read(str(tmp_path / "a.csv"))
    assert len(problems) == 2 and "answer: 1,5 is read as two numbers" in contents.notes[1]


def test_formulas_and_errors_of_a_spreadsheet_are_no_answers(tmp_path):
    (tmp_path / "a.csv").write_text('question,answer\n1+1?,="2"\n1+2?,#REF!\n')
    problems, counts = read_benchmark(find_source(str(tmp_path / "a.csv"), "benchmarks"))
    assert [problem["answer"] for problem in problems] == ["2"] and counts == {"no answer": 1}


def test_cells_of_a_table_may_hold_chats(tmp_path):
    turns = [{"role": "user", "content": "1+1?"}, {"role": "assistant", "content": "\\boxed{2}"}]
    for name, cell in (("json.csv", json.dumps(turns)), ("python.csv", str(turns))):
        with open(tmp_path / name, "w", newline="") as file:
            csv.writer(file).writerows([["messages"], [cell]])
        _, problems = read(str(tmp_path / name))
        assert problems[0]["question"] == "1+1?" and problems[0]["answer"] == "2"


def test_bytes_that_are_texts_are_read(tmp_path):
    table = pa.table({"question": [b"1+1?"], "answer": [b"2"], "image": [b"\x89PNG\xff"]})
    pq.write_table(table, tmp_path / "a.parquet")
    assert [row for _, row in read_rows(find_source(str(tmp_path / "a.parquet"), "datasets"), "rl", 0)] == [
        {"question": "1+1?", "answer": "2", "image": b"\x89PNG\xff"}
    ]


def test_a_page_of_the_dataset_viewer_is_read_unless_it_truncated_cells(tmp_path):
    rows = [{"row_idx": n, "row": row, "truncated_cells": []} for n, row in enumerate(ROWS)]
    page = {"features": [{"name": "question"}], "rows": rows, "num_rows_total": 70}
    (tmp_path / "a.json").write_text(json.dumps(page))
    contents, problems = read(str(tmp_path / "a.json"))
    assert len(problems) == 9 and contents.notes == ["9 rows of the dataset viewer, of 70"]
    rows[3]["truncated_cells"] = ["question"]
    (tmp_path / "a.json").write_text(json.dumps(page))
    with pytest.raises(InputError, match="the viewer truncated cells of row 3"):
        read(str(tmp_path / "a.json"))


def test_an_object_of_rows_by_their_names_is_read(tmp_path):
    for ask in ("question", "Q"):
        rows = {f"row{n}": {ask: row["question"], "answer": row["answer"]} for n, row in enumerate(ROWS)}
        (tmp_path / "a.json").write_text(json.dumps(rows))
        assert len(list(read_rows(find_source(str(tmp_path / "a.json"), "datasets"), "rl", 0))) == 9


def test_two_revisions_in_the_hubs_cache_are_not_one_dataset(tmp_path):
    for revision in ("aaa", "bbb"):
        write_json(tmp_path / "datasets--o--n" / "snapshots" / revision / "data" / "train.jsonl")
    with pytest.raises(InputError, match="holds 2 revisions .*snapshots/bbb"):
        read(str(tmp_path / "datasets--o--n"))
    assert len(read(str(tmp_path / "datasets--o--n" / "snapshots" / "aaa"))[1]) == 9


@pytest.mark.parametrize("name", ["a::b.jsonl", "a b#1[2].jsonl", "a%20b,c.jsonl"])
def test_names_of_files_are_no_patterns(tmp_path, name):
    assert len(read(write_json(tmp_path / name))[1]) == 9


def test_floats_are_written_without_the_digits_of_their_error(tmp_path):
    for name, kind in (("double.parquet", pa.float64()), ("single.parquet", pa.float32())):
        answers = pa.array([64.6 + 1.4e-14, 95.8, 0.5, 3.0], kind)
        pq.write_table(pa.table({"question": list("abcd"), "answer": answers}), tmp_path / name)
        assert [problem["answer"] for problem in read(str(tmp_path / name))[1]] == ["64.6", "95.8", "0.5", "3"]
