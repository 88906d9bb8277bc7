"""Logs laid out as the tools write them, all of the same samples: RIGHT says which of them are right."""

import io
import json
import struct
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq

# Problem, question, reference, and whether each of its four samples is right.
PROBLEMS = [("0", "2 + 2?", "4", "1010"), ("1", "3 x 3?", "9", "0000"), ("2", "10 / 4?", "2.5", "1110")]
CORRECT = [row[3].count("1") for row in PROBLEMS]


def list_samples():
    """Yields (problem, question, reference, number, completion, right); no two completions of a problem are alike."""
    for problem, question, reference, right in PROBLEMS:
        for number, mark in enumerate(right):
            answer = reference if mark == "1" else str(100 + number)
            yield problem, question, reference, number, f"try {number}: \\boxed{{{answer}}}", mark == "1"


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_lm_eval(folder, temperature=1.0, filters=("none",), task="sums"):
    rows = []
    for name in filters:
        for problem, question, reference, _ in PROBLEMS:
            texts = [completion for one, *_, completion, _ in list_samples() if one == problem]
            row = {"doc_id": int(problem), "doc": {"question": question}, "target": f"so #### {reference}"}
            generation = {"do_sample": temperature > 0, "temperature": temperature, "max_gen_toks": 16, "until": []}
            row |= {"arguments": {"gen_args_0": {"arg_0": f"Q: {question}", "arg_1": generation}}}
            kept = [text.split("{")[1].rstrip("}") for text in texts] if name == "all" else texts[0]
            row |= {"resps": [texts], "filtered_resps": [kept], "filter": name, "metrics": ["exact_match"], "exact_match": 0.0}
            rows.append(row)
    return write_jsonl(folder / f"samples_{task}_2026-11-29T22-52-47.736178.jsonl", rows)


def write_inspect(folder, packed=True, status="success", **changes):
    """Writes an .eval file; packed: compressed by zstd, as Inspect does, which Python's zipfile cannot write."""
    header = {"version": 2, "status": status, "eval": {"model": "m", "model_generate_config": {}}}
    header |= {"results": {"scores": [{"name": name, "scorer": name} for name in ("match", "model_graded")]}}
    header |= {"plan": {"config": {"temperature": 1.0, "max_tokens": 16}}}
    members = {"header.json": header}
    for problem, question, reference, number, completion, right in list_samples():
        message = {"role": "assistant", "content": [{"type": "text", "text": completion}]}
        output = {"choices": [{"message": message, "stop_reason": "stop"}], "usage": {"output_tokens": 7}}
        sample = {"id": int(problem), "epoch": number + 1, "input": question, "target": reference, "output": output}
        sample |= {"scores": {"match": {"value": "C" if right else "I"}, "model_graded": {"value": "P"}}}
        members[f"samples/{problem}_epoch_{number + 1}.json"] = sample | changes
    path = folder / "2026-11-29T22-57-20-00-00_task_2g4B85.eval"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, value in members.items():
            text = json.dumps(value).encode()
            archive.writestr(name, pa.Codec("zstd").compress(text, asbytes=True) if packed else text)
    written = bytearray(buffer.getvalue())
    for mark, place in ((b"PK\3\4", 8), (b"PK\1\2", 10)) if packed else ():
        at = written.find(mark)
        while at >= 0:
            struct.pack_into("<H", written, at + place, 93)
            at = written.find(mark, at + 4)
    path.write_bytes(written)
    return path


def unpack_inspect(folder):
    """Writes a log of Inspect as JSON and returns its file."""
    packed = write_inspect(folder, packed=False)
    with zipfile.ZipFile(packed) as archive:
        header, *samples = [json.loads(archive.read(name)) for name in archive.namelist()]
    packed.unlink()
    (folder / "log.json").write_text(json.dumps(header | {"samples": samples[::-1]}))
    return folder / "log.json"


def write_lighteval(folder):
    rows = []
    for problem, question, reference, _ in PROBLEMS:
        texts = [completion for one, *_, completion, _ in list_samples() if one == problem]
        doc = {
            "query": question,
            "choices": [reference],
            "gold_index": 0,
            "id": problem,
            "task_name": "sums",
            "generation_size": 9,
        }
        response = {"input": f"Q: {question}", "text": texts, "output_tokens": [[*range(9)], *[[*range(3)]] * 3]}
        rows.append({"doc": doc, "model_response": response, "metric": {"pass@k": 1.0}})
    path = folder / "details_sums_2026-11-29.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def write_verl(folder, step=200, wrong=0.0, right=1.0, **more):
    rows = [
        {"input": f"user\n{question}", "output": text, "gts": reference, "score": right if good else wrong, "step": step} | more
        for _, question, reference, _, text, good in list_samples()
    ]
    return write_jsonl(folder / f"{step}.jsonl", rows)


def write_trl(folder, step=10, **more):
    rows = [
        {
            "step": step,
            "prompt": [{"role": "user", "content": question}],
            "completion": [{"role": "assistant", "content": text}],
            "accuracy": float(good),
            "advantage": 0.1,
        }
        | more
        for _, question, _, _, text, good in list_samples()
    ]
    path = folder / f"completions_{step:05d}.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def write_open_instruct(folder, step=3):
    rows = [
        {
            "step": step,
            "sample_idx": number,
            "prompt_idx": int(problem),
            "prompt_tokens": [7, int(problem)],
            "response_tokens": [5, number, 6],
            "reward": 10.0 * good,
            "finish_reason": "stop",
        }
        for problem, *_, number, _, good in list_samples()
    ]
    return write_jsonl(folder / "run_rollouts_000000.jsonl", rows)


def write_plain(folder, name="plain.jsonl", rows=None):
    rows = rows or [{"problem": p, "question": q, "correct": good} for p, q, _, _, _, good in list_samples()]
    return write_jsonl(folder / name, rows)


def write_judged(folder):
    rows = [{"problem": p, "completion": text, "reference": r} for p, _, r, _, text, _ in list_samples()]
    return write_jsonl(folder / "judged.jsonl", rows)


def write_counts(folder, name="counts.csv"):
    lines = [f"{problem},{count},4" for (problem, *_), count in zip(PROBLEMS, CORRECT, strict=True)]
    (folder / name).write_text("\n".join(["problem,correct,samples", *lines]) + "\n")
    return folder / name
