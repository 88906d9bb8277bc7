"""Rows a second of curation by step, and its memory, against a plain datasets.map pipeline: printed, never asserted.

RLREADY_BENCH_ROWS sets the number of rows (2 KB each); `make bench-curation` takes two million.
"""

import json
import os
import random
import resource
import shutil
import subprocess
import sys
import time

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytestmark = pytest.mark.bench
ROWS = int(os.environ.get("RLREADY_BENCH_ROWS", "100000"))
EVALUATION_ROWS = 5000
AT_ONCE = 10_000
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
train, test, out, _ = sys.argv[1:]
datasets.disable_progress_bars()
rows = datasets.load_dataset("parquet", data_files=train, split="train", cache_dir=out + "-cache")
known = {row["question"] for row in datasets.load_dataset("parquet", data_files=test, split="train", cache_dir=out + "-cache")}
rows = rows.filter(lambda row: row["answer"] and row["solution"] and row["question"] not in known)
rows = rows.map(lambda row: {"id": hashlib.sha256(row["question"].encode()).hexdigest()[:16], "length": len(row["solution"])})
parts = rows.shuffle(seed=0).train_test_split(test_size=256, seed=0)
for name, part in parts.items():
    part.to_parquet(f"{out}-{name}.parquet")
"""


def write_rows(path, count, seed):
    """Writes rows of 2 KB; one in a hundred repeats another but for a few words."""
    rng = random.Random(seed)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))) for _ in range(20_000)]
    schema = pa.schema([(name, pa.string()) for name in ("question", "answer", "solution")])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, count, AT_ONCE):
            rows = []
            for number in range(start, min(count, start + AT_ONCE)):
                question = f"{' '.join(rng.choices(words, k=40))} {rng.randint(10, 10**6)} and {number}?"
                rows.append({"question": question, "answer": str(number), "solution": " ".join(rng.choices(words, k=260))})
                if number % 100 == 99:
                    rows[-1] = rows[-2] | {"solution": rows[-2]["solution"] + " more words"}
            writer.write_table(pa.Table.from_pylist(rows, schema))


def measure(code, *arguments):
    """Returns (seconds, core-seconds, GB at most) of a process; the memory is the sum over it and its children.

    What they share by the fork is counted in each of them, so the sum is an upper bound.
    """
    os.sync()  # what the process before left to be written is not this one's work
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    process = psutil.Popen([sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.DEVNULL)
    most = 0
    while process.poll() is None:
        try:
            family = [process, *process.children(recursive=True)]
            most = max(most, sum(member.memory_info().rss for member in family))
        except psutil.NoSuchProcess:
            pass
        time.sleep(0.2)
    assert process.returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cores = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - begun, cores, most / 2**30


def test_rows_a_second_by_step(tmp_path):
    train, test = tmp_path / "train.parquet", tmp_path / "test.parquet"
    write_rows(train, ROWS, 0)
    write_rows(test, EVALUATION_ROWS, 1)
    size = train.stat().st_size / ROWS
    steps = {}
    for name, code, thresholds in (
        ("datasets: load, filter, split, write", PLAIN, ""),
        ("curate: load, filter, split, write", CURATE, "0,0"),
        ("curate: all", CURATE, "0.8,4"),
    ):
        out = tmp_path / f"out-{len(steps)}"
        steps[name] = measure(code, train, test, out, thresholds)
        shutil.rmtree(f"{out}-cache", ignore_errors=True)
    (bare, bare_cores, _), (whole, cores, memory) = list(steps.values())[1:]
    steps["near-duplicates and decontamination alone"] = (whole - bare, cores - bare_cores, memory)
    print(f"\n{ROWS:,} rows, {size:,.0f} bytes each in Parquet")
    for name, (seconds, used, memory) in steps.items():
        print(f"{name:<42} {ROWS / seconds:>9,.0f} rows/s {ROWS / used:>9,.0f} rows/core-s {memory:6.2f} GB at most")
    card = json.loads((tmp_path / "out-2" / "card.json").read_text())
    print({f"{d['set']}, {d['reason']}": d["rows"] for d in card["dropped"]})
