"""Curation beside a pipeline of `datasets`: rows per second and peak memory."""

import json
import random
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pairs
import pyarrow as pa
import pyarrow.parquet as pq

EVALUATION_ROWS, FEWEST = 5000, 2000
AT_ONCE = 10_000
SAME, WHOLE = "load, filter, split, write", "with near-duplicates and decontamination"
CURATE = """
import sys
from pathlib import Path
from rlready.config import Curate
from rlready.data.sources import examine
from rlready.data.registry import Source
from rlready.stages.curate.curate import curate
train, test, out, thresholds = sys.argv[1:]
near, ngram = thresholds.split(",")
settings = Curate(sft_data=train, evaluation_data=test, near_duplicates=float(near), contamination_ngram=int(ngram))
curate(settings, {path: examine(Source(path, path=path), 0).digest for path in (train, test)}, Path(out))
"""
PLAIN = """
import hashlib, sys
import datasets
train, test, out = sys.argv[1:]
datasets.disable_progress_bars()
rows = datasets.load_dataset("parquet", data_files=train, split="train", cache_dir=out + "-cache")
known = {row["question"] for row in datasets.load_dataset("parquet", data_files=test, split="train", cache_dir=out + "-cache")}
rows = rows.filter(lambda row: row["answer"] and row["solution"] and row["question"] not in known)
rows = rows.map(lambda row: {"id": hashlib.sha256(row["question"].encode()).hexdigest()[:16], "length": len(row["solution"])})
parts = rows.shuffle(seed=0).train_test_split(test_size=256, seed=0)
for name, part in parts.items():
    part.to_parquet(f"{out}-{name}.parquet")
"""


def write_rows(path: Path, count: int, seed: int) -> None:
    """Writes rows of 2 KB; one in a hundred repeats another but for a few words."""
    rng = random.Random(seed)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))) for _ in range(20_000)]
    text = " ".join(rng.choices(words, k=2_000_000))
    schema = pa.schema([(name, pa.string()) for name in ("question", "answer", "solution")])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, count, AT_ONCE):
            rows = []
            for number in range(start, min(count, start + AT_ONCE)):
                question = f"{' '.join(rng.choices(words, k=40))} {rng.randint(10, 10**6)} and {number}?"
                begin = rng.randrange(len(text) - 1700)
                rows.append({"question": question, "answer": str(number), "solution": text[begin : begin + 1700]})
                if number % 100 == 99:
                    rows[-1] = rows[-2] | {"solution": rows[-2]["solution"] + " more words"}
            writer.write_table(pa.Table.from_pylist(rows, schema))


def curate(rows: int, folder: Path) -> dict[str, pairs.Cost]:
    """Returns the costs of curating this many rows, for the table and for how cost grows."""
    train, test = folder / f"train-{rows}.parquet", folder / "test.parquet"
    if not train.exists():
        write_rows(train, rows, 0)
    if not test.exists():
        write_rows(test, EVALUATION_ROWS, 1)
    costs = {}
    for name, code, arguments in (
        (SAME, CURATE, ["0,0"]),
        ("datasets", PLAIN, []),
        (WHOLE, CURATE, ["0.8,4"]),
    ):
        out = folder / f"out-{len(costs)}"
        costs[name] = pairs.measure_python(code, train, test, out, *arguments, amount=rows)
        print(f"  {rows:,} rows, {name}: {pairs.show_cost([costs[name]])}", file=sys.stderr, flush=True)
        if name == WHOLE:
            card = json.loads((out / "card.json").read_text())
            print({f"{d['set']}, {d['reason']}": d["rows"] for d in card["dropped"]}, file=sys.stderr)
        for left in folder.glob("out-*"):
            shutil.rmtree(left) if left.is_dir() else left.unlink()
    train.unlink()
    return costs


def run(given) -> None:
    """Prints curation beside `datasets`, without and with the checks that only curation has, and how both grow."""
    sizes = sorted({max(FEWEST, given.rows // part) for part in (100, 10, 1)})
    with TemporaryDirectory(dir=given.folder) as folder:
        costs = {size: curate(size, Path(folder)) for size in sizes}
    own, plain, whole = ({size: found[name] for size, found in costs.items()} for name in costs[sizes[-1]])
    for name, ours in ((SAME, own), (WHOLE, whole)):
        what = {f"rlready, {name}": [ours[sizes[-1]]], f"datasets, {SAME}": [plain[sizes[-1]]]}
        pairs.print_pairs(f"rows of curation, of {sizes[-1]:,} of 2 KB", what)
        pairs.print_growth(f"curation, {name}, by rows", ours)
