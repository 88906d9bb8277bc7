"""Compares greedy answers of `rlready evaluate` and lm-evaluation-harness, problem by problem.

Usage: python compare.py OURS/samples.parquet THEIRS/.../samples_gsm8k_200_*.jsonl
"""

import json
import sys

import pyarrow.parquet as pq

ours = [row for row in pq.read_table(sys.argv[1]).to_pylist() if row["temperature"] == 0]
with open(sys.argv[2]) as lines:
    theirs = sorted(map(json.loads, lines), key=lambda row: row["doc_id"])
counts = dict.fromkeys(("prompt", "completion", "answer", "verdict"), 0)
for our, their in zip(ours, theirs, strict=True):
    (arguments,) = their["arguments"].values()
    pairs = {
        "prompt": (our["prompt"], arguments["arg_0"]),
        "completion": (our["completion"], their["resps"][0][0]),
        "answer": (our["answer"] or "[invalid]", their["filtered_resps"][0]),
        "verdict": (our["right"], bool(their["exact_match"])),
    }
    for name, (one, other) in pairs.items():
        counts[name] += one == other
        if one != other:
            print(f"problem {their['doc_id']}: {name}\n--- {one}\n+++ {other}")
print(f"{len(ours)} problems, right {sum(r['right'] for r in ours)} and {int(sum(r['exact_match'] for r in theirs))}")
print("the same: " + ", ".join(f"{name} {count}" for name, count in counts.items()))
