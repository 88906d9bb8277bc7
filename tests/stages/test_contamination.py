"""What leaves the training data: evaluation problems, exactly or nearly, and near-duplicates; and what must not leave."""

import json
import os
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.rows import WORDS, make_gsm8k_rows, write_json, write_problem

from rlready.config import SUBSETS, Curate, parse_parameters, read_settings, write_settings
from rlready.config.recipes import load_recipe
from rlready.data.identity import identify
from rlready.errors import InputError
from rlready.models.load import load_token_counter
from rlready.stages.curate.curate import curate
from rlready.stages.curate.duplicates.contamination import Contamination, Text, list_operators, list_words
from rlready.stages.curate.duplicates.near_duplicates import HASHES, Signatures, sign
from rlready.stages.curate.pool import Spool
from rlready.stages.curate.split import rank_subsets
from rlready.stages.plan.plan import make_plan
from rlready.stages.plan.sources import look_at_sources

DATA = Path(os.environ.get("RLREADY_DATA", "absent"))
COUNTS = {"heldout_problems": 10, "rl_problems": 12, "predictor_problems": 5, "benchmark_problems": 6}
CUBE = (
    "Three vertices of a cube are $P=(7,12,10)$, $Q=(8,8,1)$, and $R=(11,3,9)$. What is the surface area of the cube that has"
    " these three points among its eight vertices?"
)


def run(tmp_path, train, evaluation=None, **changes):
    """Curates and returns the card and the rows of each set."""
    evaluation = evaluation or make_gsm8k_rows(20, 1, 100)
    files = {"sft_data": write_json(tmp_path / "train.jsonl", train)}
    files["evaluation_data"] = write_json(tmp_path / "test.jsonl", evaluation)
    settings = Curate(**{**COUNTS, **files, **changes})
    out = tmp_path / f"data-{random.random()}"
    card = curate(settings, look_at_sources(settings).revisions, out, lambda texts: [len(text.split()) for text in texts])
    return card, {path.stem: pq.read_table(path).to_pylist() for path in out.glob("*.parquet")}


def count(card):
    """Returns how many rows were left out by set and reason, without those that nothing asked for."""
    return {(d["set"], d["reason"]): d["rows"] for d in card["dropped"] if not d["reason"].startswith(("not drawn", "another"))}


@pytest.mark.parametrize(
    ("question", "found"),
    [
        (CUBE.replace("$", "").replace(", ", ",  ").upper(), True),
        (CUBE.replace("What is", "Find") + " Give your answer in the form m + n.", True),
        (CUBE.replace("surface area", "side length"), True),
        ("Here is a problem. " + CUBE, True),
        (CUBE.replace("(7,12,10)", "(7,13,10)"), False),
        ("Three vertices of a cube are given. What is the surface area of the cube?", False),
        ("", False),
    ],
)
def test_the_same_problem_is_found_in_other_words_and_not_with_other_numbers(question, found):
    evaluated = Contamination(ngram=4, overlap=0.6)
    evaluated.add("cubes", [{"problem_id": identify(CUBE), "question": CUBE}])
    match = evaluated.find(identify(question), Text(question))
    assert bool(match) is found
    assert not match or (match.benchmark, match.question) == ("cubes", CUBE)


SUM = (
    "A calculator shows a number. Anna enters 12, and then works out 12 {} 34 {} 5 on it without using any brackets."
    " Which number does the display of her calculator show at the end?"
)
SAME_SUM = [("+", "-"), ("plus", "minus"), ("+", "\u2212")]
OTHER_SUMS = [
    ("-", "+"),
    ("+", "+"),
    ("\\times", "-"),
    ("*", "/"),
    ("+", "\\div"),
    ("minus", "plus"),
    ("^", "-"),
    ("<", ">"),
]


def test_problems_that_differ_in_a_sign_or_operator_are_others(tmp_path):
    evaluated = Contamination(ngram=4, overlap=0.6)
    evaluated.add("sums", [{"problem_id": "s", "question": SUM.format("+", "-")}])
    asked = {signs: SUM.format(*signs).replace("Which", "Tell me: which") for signs in SAME_SUM + OTHER_SUMS}
    assert {signs for signs, question in asked.items() if evaluated.find("", Text(question))} == set(SAME_SUM)
    assert evaluated.find("", Text(asked["+", "-"].replace("12 +", "-12 +"))) is None
    # The same words three times over, so that one word makes no difference of its own.
    texts = [" ".join([SUM.format(*signs)] * 3) for signs in [("+", "-"), *OTHER_SUMS]]
    pool = Signatures(tmp_path / "signatures")
    pool.add(*sign(texts, list(map(list_words, texts)), ["7"] * len(texts)))
    assert pool.find(np.arange(len(texts)), 0.5) == {}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("\\frac{1}{2}x-\\dfrac34", "1/2 x \u2212 3/4", True),
        ("3 \\cdot 4", "3 × 4", True),
        ("a 10-sided, two-digit x-axis at 90^\\circ", "a 10 sided two digit x axis at 90°", True),
        ("7+3", "7-3", False),
        ("-7+3", "7+3", False),
        ("7 \\times 3", "7 \\div 3", False),
        ("x \\le 3", "x \\ge 3", False),
        ("2^3", "2*3", False),
    ],
)
def test_operators_are_told_from_their_looks(one, other, same):
    assert (list_operators(one) == list_operators(other)) is same


def test_short_problems_and_no_ngrams_leave_exact_matches_only():
    short = "What is the value of $x$ in $x+1=2$?"
    for evaluated in (Contamination(4, 0.6), Contamination(0, 0.6)):
        evaluated.add("short", [{"problem_id": identify(q), "question": q} for q in (short, CUBE)])
        assert evaluated.find(identify(short.upper()), Text(short.upper())).overlap == 1.0
        assert evaluated.find("", Text(short + " Say it.")) is None
    assert evaluated.find("", Text(CUBE + " Say it.")) is None


@pytest.mark.parametrize(("kept", "overlap"), [(9, 0.6), (8, None)])
def test_the_share_of_ngrams_that_is_asked_for_is_enough(kept, overlap):
    words = ["12", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "34"]  # ten n-grams
    evaluated = Contamination(ngram=4, overlap=0.6)
    evaluated.add("words", [{"problem_id": "w", "question": " ".join(words)}])
    match = evaluated.find("", Text(" ".join([*words[:kept], *["z"] * (12 - kept), "34"])))
    assert (match and match.overlap) == overlap


def test_figures_that_differ_tell_problems_apart_and_a_lacking_one_does_not():
    told = "In the figure below lines m and n are parallel to one another. Find the measure of angle x in degrees."
    evaluated = Contamination(4, 0.6)
    evaluated.add("figures", [{"problem_id": "f", "question": told + " [asy] draw((0,0)--(5,1)); [/asy]"}])
    assert evaluated.find("", Text(told)) is not None
    assert evaluated.find("", Text(told + " [asy] draw((0,0)--(7,2)); [/asy]")) is None


def test_contaminated_rows_leave_with_a_report_of_examples(tmp_path):
    rng = random.Random(0)
    train, evaluation = [write_problem(n, rng) for n in range(60)], [write_problem(n, rng) for n in range(900, 920)]
    near = [row | {"question": "Please read. " + row["question"] + " Explain."} for row in evaluation[:3]]
    other = [row | {"question": row["question"].replace(f"Item {n}", "Item 7")} for n, row in enumerate(evaluation, 900)]
    card, sets = run(tmp_path, train + evaluation[:2] + near + other, evaluation)
    assert count(card) == {("sft", "also an evaluation problem"): 2, ("sft", "nearly an evaluation problem"): 3}
    assert {m["rows"]: m["reason"] for m in card["contamination"]} == {
        2: "also an evaluation problem",
        3: "nearly an evaluation problem",
    }
    (entry,) = (d for d in card["dropped"] if d["reason"] == "nearly an evaluation problem")
    assert entry["first"] == [f"train.jsonl line {n}" for n in (63, 64, 65)]
    shown = entry["examples"][0]
    assert shown["text"] == near[0]["question"] and shown["other"] == evaluation[0]["question"] and shown["overlap"] > 0.9
    assert sum(map(len, sets.values())) == 60 + 20 + 11


def test_more_evaluation_sets_are_kept_out_of_sft_and_rl(tmp_path):
    rng = random.Random(1)
    train, other = [write_problem(n, rng) for n in range(60)], [write_problem(n, rng) for n in range(900, 930)]
    own = {"mine": {"path": write_json(tmp_path / "mine.jsonl", other[:10])}}
    rl = write_json(tmp_path / "rl.jsonl", other)
    card, _ = run(tmp_path, train + other[:4], rl_data=rl, sources=own, decontaminate=["mine"])
    assert count(card) == {("sft", "also an evaluation problem"): 4, ("rl", "also an evaluation problem"): 10}
    assert card["sources"]["mine"]["rows"] == 10 and card["sources"]["mine"]["revision"]


def test_near_duplicates_leave_and_a_split_never_comes_between_near_questions(tmp_path):
    rng = random.Random(2)
    train = [write_problem(n, rng) for n in range(60)]
    retold = [row | {"answer": row["answer"].replace("Count: ", "Count them: ")} for row in train[:20]]
    changed = [row | {"answer": row["answer"].replace("####", "So 5.\n####")} for row in train[:20]]
    asked = [
        row | {"question": row["question"].replace(": ", ": now ", 1), "answer": " ".join(WORDS) + row["answer"][-8:]}
        for row in train
    ]
    card, sets = run(tmp_path, train + retold + changed + asked)
    assert count(card) == {("sft", "near-duplicate"): 20}
    (entry,) = (d for d in card["dropped"] if d["reason"] == "near-duplicate")
    assert len(entry["examples"]) == 3 and entry["examples"][0]["text"] == entry["examples"][0]["other"]
    side = {}
    for name in ("sft", "heldout", "rl"):
        for row in sets[name]:
            side.setdefault(row["answer"], set()).add(name)
    assert all(len(names) == 1 for names in side.values())
    card, _ = run(tmp_path, train + retold + changed + asked, near_duplicates=0.0, contamination_ngram=0)
    assert count(card) == {}


def test_what_stays_of_near_duplicates_is_near_to_none_that_stays(tmp_path):
    rng = random.Random(3)
    words = [f"w{chr(97 + n % 26)}{chr(97 + n // 26)}" for n in range(400)]
    texts = []
    for _ in range(30):
        told = rng.sample(words, 100)
        for _ in range(6):
            told = told[:-1] + ["other"] if rng.random() < 0.5 else told[1:] + ["more"]
            texts.append(" ".join(told))
    signatures = Signatures(tmp_path / "signatures")
    signatures.add(*sign(texts, list(map(list_words, texts)), ["1"] * len(texts)))
    order = np.array(rng.sample(range(len(texts)), len(texts)))
    leaves = signatures.find(order, 0.8)

    def compare(one, other):
        one, other = (set(zip(*(text.split()[n:] for n in range(5)), strict=False)) for text in (texts[one], texts[other]))
        return len(one & other) / len(one | other)

    stay = [row for row in range(len(texts)) if row not in leaves]
    assert leaves and all(kept in stay and compare(row, kept) > 0.65 for row, kept in leaves.items())
    assert all(compare(a, b) < 0.9 for i, a in enumerate(stay) for b in stay[i + 1 :])
    assert signatures.find(order, 1.01) == {}


def make_signatures(path, rng, copies):
    """Returns signatures of texts in chains of near copies, and their Jaccard similarities by the signatures themselves."""
    words = [f"w{chr(97 + n % 26)}{chr(97 + n // 26)}" for n in range(600)]
    texts = []
    for _ in range(12):
        told = rng.sample(words, 60)
        for _ in range(rng.choice(copies)):
            told = told[rng.randint(0, 4) :] + rng.sample(words, rng.randint(0, 3))
            texts.append(" ".join(told))
    rng.shuffle(texts)
    signatures = Signatures(path)
    signatures.add(*sign(texts, list(map(list_words, texts)), [str(n % 2) for n in range(len(texts))]))
    kept = np.memmap(path, np.uint16, "r", shape=(len(texts), HASHES))
    return signatures, (kept[:, None] == kept[None]).mean(2)


@pytest.mark.parametrize("seed", range(4))
def test_groups_and_what_leaves_are_those_of_holding_every_text_against_every_other(tmp_path, seed):
    rng = random.Random(seed)
    signatures, similar = make_signatures(tmp_path / "signatures", rng, (1, 2, 9))
    near = similar >= 0.8
    order = np.array(rng.sample(range(len(near)), len(near)))
    groups = signatures.group(order, 0.8)
    leaders = []
    for place, row in enumerate(order.tolist()):
        leader = next((first for first in leaders if near[row, order[first]]), place)
        leaders += [place] if leader == place else []
        assert groups[place] == leader
    half = len(order) // 2
    copied = signatures.find_copies(order[:half], order[half:], 0.8)
    assert ((copied >= 0) == near[np.ix_(order[half:], order[:half])].any(1)).all()
    assert all(near[row, order[one]] for row, one in zip(order[half:], copied, strict=True) if one >= 0)
    # What leaves: the rows that are near to an earlier one that stays, with the same answer.
    same = near & (np.arange(len(near))[:, None] % 2 == np.arange(len(near))[None] % 2)
    stay, instead = [], {}
    for row in order.tolist():
        first = next((kept for kept in stay if same[row, kept]), None)
        stay += [row] if first is None else []
        instead |= {} if first is None else {row: first}
    assert signatures.find(order, 0.8) == instead and len(instead) > 5


def test_many_copies_of_one_text_are_one_group_at_once(tmp_path):
    words = [f"w{number}" for number in range(40)]
    texts = [" ".join([*words, "x" * (1 + number % 3)]) for number in range(3000)]
    signatures = Signatures(tmp_path / "signatures")
    signatures.add(*sign(texts, list(map(str.split, texts)), ["1"] * len(texts)))
    assert len(set(signatures.group(np.arange(3000), 0.8).tolist())) == 1
    assert len(signatures.find(np.arange(3000), 0.8)) == 2999


def retell(row):
    """Returns a near-duplicate of a problem, with another answer, as another source may give it."""
    return {"question": row["question"].replace(": ", ": now ", 1), "answer": f"{row['answer'].split()[-1]}.0"}


def test_near_copies_of_sft_and_heldout_questions_leave_an_rl_source_of_its_own(tmp_path):
    rng = random.Random(10)
    train, other = [write_problem(n, rng) for n in range(60)], [write_problem(n, rng) for n in range(200, 230)]
    rl = write_json(tmp_path / "rl.jsonl", [retell(row) for row in train[:20]] + train[20:25] + other)
    card, sets = run(tmp_path, train, rl_data=rl)
    assert count(card) == {("rl", "nearly an SFT example"): 20, ("rl", "also an SFT example"): 5}
    assert {row["question"] for row in sets["rl"]} <= {row["question"] for row in other}
    card, _ = run(tmp_path, train, rl_data=rl, near_duplicates=0.0, contamination_ngram=0)
    assert count(card) == {("rl", "also an SFT example"): 5}


def test_near_duplicates_of_an_evaluation_problem_leave_even_where_its_ngrams_do_not_tell(tmp_path):
    rng = random.Random(11)
    # Without numbers 95% of the n-grams must be the same; 4 of 72 are not.
    texts = [rng.choices(WORDS, k=75) for _ in range(20)]
    evaluation = [{"question": " ".join(words), "answer": f"#### {n}"} for n, words in enumerate(texts)]
    near = [{"question": " ".join([*words[:37], "end", *words[38:]]), "answer": "It is.\n#### 0"} for words in texts[:6]]
    card, _ = run(tmp_path, [write_problem(n, rng) for n in range(60)] + near, evaluation)
    assert count(card) == {("sft", "nearly an evaluation problem"): 6}
    assert sum(match["rows"] for match in card["contamination"]) == 6


def test_no_split_comes_between_near_problems_of_the_evaluation_sets(tmp_path):
    rng = random.Random(12)
    asked = [write_problem(n, rng) for n in range(900, 912)]
    train = [write_problem(n, rng) for n in range(60)]
    card, sets = run(tmp_path, train, asked + [retell(row) for row in asked], benchmark_problems=14)

    def name(row):
        return row["question"].split(":")[0]

    predicting, scored = ({name(row) for row in sets[use]} for use in ("predictors", "benchmark"))
    assert len(predicting) == len(sets["predictors"]) == 5 and len(scored) == 7 and not predicting & scored
    assert count(card) == {("benchmark", "nearly a predictor problem"): 5}
    own = write_json(tmp_path / "own.jsonl", [retell(row) for row in asked] + [write_problem(n, rng) for n in range(5)])
    card, sets = run(tmp_path, train, asked, predictor_data=own, benchmark_problems=12)
    assert count(card) == {("predictors", "nearly an evaluation problem"): 12}
    assert not {name(row) for row in sets["predictors"]} & {name(row) for row in asked}


def test_the_order_of_rows_changes_no_byte_and_the_card_says_what_went_in(tmp_path):
    rng = random.Random(4)
    train = [write_problem(n, rng) for n in range(60)]
    train += [row | {"question": row["question"].upper()} for row in train[:30]]
    train += [row | {"answer": row["answer"].replace("Count: ", "Count it: ")} for row in train[:30]]
    outputs = []
    for name in ("one", "two", "two"):
        folder = tmp_path / f"{name}-{len(outputs)}"
        folder.mkdir()
        card, _ = run(folder, train if name == "one" else rng.sample(train, len(train)))
        (data,) = folder.glob("data-*")
        outputs.append({path.name: path.read_bytes() for path in data.glob("*.parquet")})
        assert card["sources"][str(folder / "train.jsonl")]["rows"] == 120
        assert not list(folder.glob("*.partial")) and not list(data.glob("spool*"))
    assert outputs[0] == outputs[1] == outputs[2]


def test_other_processes_change_no_byte(tmp_path, monkeypatch):
    rng, outputs = random.Random(8), []
    rows = [write_problem(n, rng) for n in range(3000)]
    files = {"sft_data": write_json(tmp_path / "train.jsonl", rows + rows[:500])}
    files["evaluation_data"] = write_json(tmp_path / "test.jsonl", rows[:20])
    settings = Curate(**COUNTS, **files, max_tokens=100_000)
    for here in (100, 1):
        monkeypatch.setattr("rlready.stages.curate.refine.CHUNKS_HERE", here)
        out = tmp_path / f"out-{here}"
        count_tokens = load_token_counter("builtin:list-machine", "")
        curate(settings, look_at_sources(settings).revisions, out, count_tokens)
        outputs.append({path.name: path.read_bytes() for path in out.iterdir()})
    assert outputs[0] == outputs[1]
    assert json.loads(outputs[0]["card.json"])["sources"][files["sft_data"]]["rows"] == 3500


def test_rows_beyond_memory_come_back_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr("rlready.stages.curate.pool.BYTES_IN_MEMORY", 500)
    rng, spool = random.Random(5), Spool(tmp_path)
    keys = [rng.getrandbits(64) if number % 7 else 1 << 63 for number in range(700)]
    for first in range(0, 700, 10):
        texts = pa.RecordBatch.from_pydict({"text": [f"text {number}" for number in range(first, first + 10)]})
        spool.add(np.array(keys[first : first + 10], np.uint64), texts)
    rows = [row for table in spool.read() for row in table.to_pylist()]
    assert [row["row"] for row in rows] == sorted(range(700), key=lambda n: (keys[n], n))
    assert all(row["text"] == f"text {row['row']}" for row in rows)
    assert len(list(tmp_path.glob("*.arrow"))) > 32


@pytest.mark.parametrize(
    ("train", "evaluation", "message"),
    [
        (lambda rows: rows[:20], lambda rows: rows[:20], "no usable sft row .20 x also an evaluation problem"),
        (lambda rows: rows[:5] * 9, lambda rows: rows[30:], "23 SFT rows wanted .* 5 usable .40 x duplicate"),
    ],
)
def test_data_that_is_all_duplicate_or_contaminated_is_one_line(tmp_path, train, evaluation, message):
    rng = random.Random(6)
    rows = [write_problem(n, rng) for n in range(60)]
    with pytest.raises(InputError, match=message):
        run(tmp_path, train(rows), evaluation(rows))
    assert not list(tmp_path.glob("data-*"))


def test_a_source_that_changes_after_plan_is_an_error(tmp_path):
    train, evaluation = tmp_path / "train.jsonl", tmp_path / "test.jsonl"
    write_json(train, make_gsm8k_rows(60))
    write_json(evaluation, make_gsm8k_rows(20, 1, 100))
    settings = Curate(**COUNTS, sft_data=str(train), evaluation_data=str(evaluation))
    revisions = look_at_sources(settings).revisions
    write_json(train, make_gsm8k_rows(61))
    with pytest.raises(InputError, match="train.jsonl: has changed since plan read it"):
        curate(settings, revisions, tmp_path / "data")


def test_traces_are_verified_and_limited_in_tokens(tmp_path):
    rows = [
        {
            "question": f"What is {n}+{n}?",
            "answer": f"{2 * n}",
            "solution": f"{'so ' * (n % 10)}\\boxed{{{2 * n + (n < 5)}}}",
        }
        for n in range(60)
    ]
    card, _ = run(tmp_path, rows, traces="verified", min_tokens=3, max_tokens=9)
    assert count(card) == {
        ("sft", "the trace does not end in the answer"): 5,
        ("sft", "shorter than curate_min_tokens"): 10,
        ("sft", "longer than curate_max_tokens"): 6,
    }


def test_a_trace_that_the_verifier_cannot_judge_leaves_under_a_name_of_its_own(tmp_path):
    rows = [{"question": f"What is {n}+{n}?", "answer": f"{2 * n}", "solution": f"\\boxed{{{2 * n}}}"} for n in range(60)]
    prose = "Petya, whatever Vasya does in any of his moves"
    rows[7] |= {"answer": prose, "solution": "\\boxed{\\text{it is always Petya who will win in the end}}"}
    rows[8] |= {"answer": prose, "solution": f"\\boxed{{{prose}}}"}
    card, _ = run(tmp_path, rows, traces="verified")
    left = {reason: rows for (use, reason), rows in count(card).items() if use == "sft"}
    assert left == {"the verifier cannot tell whether the trace ends in the answer": 1}


def test_subsets_matched_by_tokens_have_as_many_tokens_as_the_random_one(tmp_path):
    lengths = np.array(random.Random(7).choices(range(10, 200), k=400))
    ranks = rank_subsets(lengths, by_tokens=True)
    for size in (20, 100, 399, 400):
        budget = lengths[:size].sum()
        for subset in SUBSETS:
            tokens = lengths[ranks[subset] < size].sum()
            assert budget - 200 < tokens <= budget, (subset, size)
    assert (ranks["longest"] < 100).sum() < 100 < (ranks["shortest"] < 100).sum()
    _, sets = run(tmp_path, make_gsm8k_rows(60), match="tokens")
    assert sorted(row["rank_random"] for row in sets["sft"]) == list(range(38))


def test_plan_gives_curate_the_base_model_only_where_tokens_are_counted():
    recipe = load_recipe("laptop", [])
    assert not hasattr(read_settings(make_plan(recipe).settings["curate"]), "base")
    settings = read_settings(make_plan(recipe | {"curate_max_tokens": 60}).settings["curate"])
    assert settings.base.model == "builtin:list-machine" and settings.base.revision
    assert "base" not in json.loads(write_settings(parse_parameters(recipe), "curate"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"curate_traces": "good"}, "'good' is not one of all, verified"),
        ({"curate_match": "bytes"}, "'bytes' is not one of examples, tokens"),
        ({"curate_contamination_overlap": 1.5}, r"curate_contamination_overlap: 1.5 lies outside \[0, 1\]"),
        ({"curate_near_duplicates": -0.1}, r"curate_near_duplicates: -0.1 lies outside \[0, 1\]"),
        ({"curate_contamination_ngram": -1}, "must be 0 or more"),
        ({"curate_min_tokens": 9, "curate_max_tokens": 8}, "9 is more than curate_max_tokens, 8"),
        ({"curate_decontaminate": ["math_500", "math_500"]}, "^curate_decontaminate: math_500 is given twice$"),
        ({"curate_off_target": ["gsm8k", "gsm8k"]}, "^curate_off_target: gsm8k is given twice$"),
        ({"curate_off_target": [" "]}, "^curate_off_target: an empty text names no evaluation set; remove it$"),
        ({"curate_decontaminate": ["math_5000"]}, "did you mean math_500"),
    ],
)
def test_plan_refuses(changes, message):
    with pytest.raises(InputError, match=message):
        make_plan(load_recipe("laptop", []) | changes)


# (training set, evaluation set): the problems that the folder's README says they share.
SHARED = {
    ("dapo_math_17k", "math_500"): 7,
    ("dapo_math_17k", "math"): 976,
    ("dapo_math_17k", "amc_2023"): 8,
    ("dapo_math_17k", "olympiadbench"): 10,
    ("dapo_math_17k", "aime_1983_2024"): 610,
    ("math", "math_500"): 1,
    ("math", "aime_1983_2024"): 301,
    ("aime_1983_2023_solutions", "math_500"): 6,
    ("aime_1983_2024", "aime_2024"): 14,
    ("math", "aime_2025"): 0,
    ("dapo_math_17k", "aime_2025"): 0,
    ("dapo_math_17k", "gsm8k"): 0,
}


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason="RLREADY_DATA names no folder")
def test_every_known_overlap_of_the_real_files_is_found():
    from rlready.data.problems import read_problem
    from rlready.data.registry import find_source
    from rlready.data.sources import read_rows

    own = {"aime_1983_2023_solutions": {"path": str(DATA / "aime_1983_2023_solutions")}}

    def read(name, registry):
        source = find_source(name, registry, own, str(DATA))
        problems = {}
        for _, row in read_rows(source, "evaluation", 0):
            try:
                problem = read_problem(row, False, source)
            except InputError:
                continue
            problems[problem["problem_id"]] = problem
        return list(problems.values())

    training = {name: read(name, "datasets") for name in {name for name, _ in SHARED}}
    for (name, benchmark), shared in SHARED.items():
        evaluated = Contamination(4, 0.6)
        evaluated.add(benchmark, read(benchmark, "benchmarks"))
        matches = [
            (problem, match)
            for problem in training[name]
            if (match := evaluated.find(problem["problem_id"], Text(problem["question"])))
        ]
        exact = sum(problem["problem_id"] in evaluated.same for problem, _ in matches)
        print(f"{name} {benchmark}: {exact} the same, {len(matches) - exact} nearly, {shared} known")
        assert len(matches) >= shared and (shared or not matches)
