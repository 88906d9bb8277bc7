"""Logs of Inspect: .eval files, which are zip archives, and .json files; one sample per problem and epoch."""

import json
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlready.errors import InputError
from rlready.measured.log import SETTINGS, Reading, Sample
from rlready.measured.records import Row, open_text, parse_json, read_score, read_target

KEYS = {"eval", "plan", "version"}
ZSTD = 93  # a zip method that Python's zipfile does not decompress before 3.14


def read_inspect(files: list[Path], score: str | None) -> Reading:
    """Reads the log of one evaluation, one file, with the scorer of this name or the first.

    Raises InputError if there are several files, the evaluation did not end well, no scorer has that name, or a score is
    neither right nor wrong.
    """
    if len(files) > 1:
        raise InputError(f"{files[0].parent}: holds {len(files)} logs of Inspect; name one file")
    (file,) = files
    header, samples = _open(file)
    if header.get("status") not in ("success", None):
        raise InputError(f"{file}: the evaluation did not end well (status {header['status']}); run it to its end")
    config = header["eval"].get("model_generate_config") or {}
    config = {**config, **((header.get("plan") or {}).get("config") or {})}
    settings = tuple((name, config[name]) for name in SETTINGS if config.get(name) is not None)
    names = [scorer["name"] for scorer in header["eval"].get("scorers") or []]
    if score and names and score not in names:
        raise InputError(f"{file}: no scorer {score!r}; there are {', '.join(names)}")
    chosen = score or (names[0] if names else None)
    notes = [f"scorer {chosen}" if chosen else "no scorer; judged by rlready's verifier"]
    return Reading("Inspect", (_read_sample(sample, where, chosen, settings) for where, sample in samples), notes)


def _open(file: Path) -> tuple[Row, Iterator[tuple[str, Row]]]:
    """Returns the header, and (where, sample) of each sample."""
    if file.suffix != ".eval":
        with open_text(file) as text:
            whole = parse_json(text.read(), str(file))
        return whole, ((f"{file} sample {s.get('id')}", s) for s in whole.get("samples") or [])
    try:
        archive = zipfile.ZipFile(file)
        header = _read_member(archive, "header.json")
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{file}: not a whole log of Inspect ({error}); let the evaluation end") from error
    names = sorted(name for name in archive.namelist() if name.startswith("samples/") and name.endswith(".json"))
    return header, ((f"{file} {name}", _read_member(archive, name)) for name in names)


def _read_member(archive: zipfile.ZipFile, name: str) -> Row:
    import pyarrow as pa

    member = archive.getinfo(name)
    if member.compress_type != ZSTD:
        return json.loads(archive.read(name))
    with open(str(archive.filename), "rb") as file:
        file.seek(member.header_offset + 26)  # of the lengths of name and extra field in the member's own header
        file.seek(sum(struct.unpack("<HH", file.read(4))), 1)
        return json.loads(pa.CompressedInputStream(pa.BufferReader(file.read(member.compress_size)), "zstd").read())


def _read_sample(sample: Row, where: str, scorer: str | None, settings: tuple[tuple[str, Any], ...]) -> Sample:
    output, scores, attached = (sample.get(name) or {} for name in ("output", "scores", "attachments"))
    choice = (output.get("choices") or [{}])[0]
    stopped, target, asked = choice.get("stop_reason"), sample["target"], sample["input"]
    target = target if isinstance(target, str) else " or ".join(map(str, target))
    asked = asked if isinstance(asked, str) else json.dumps([_read_text(message, attached) for message in asked])
    failed = bool(sample.get("error"))
    return Sample(
        problem=str(sample["id"]),
        where=where,
        right=None if failed or scorer not in scores else read_score(scores[scorer].get("value"), where),
        scored=failed or scorer is not None,  # an error says nothing of the answer
        text=asked,
        completion=_read_text(choice.get("message") or {}, attached),
        reference=read_target(target),
        finished=None if stopped is None else stopped not in ("max_tokens", "model_length"),
        tokens=(output.get("usage") or {}).get("output_tokens"),
        settings=settings,
    )


def _read_text(message: Row, attached: Row) -> str:
    """Returns the text of a message; a long one may be among the sample's attachments."""
    content = message.get("content", "")
    text = content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
    return attached.get(text.removeprefix("attachment://"), text)
