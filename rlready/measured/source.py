"""The log of a candidate in a recipe: plan finds and checks it, and the predictors stage counts what plan found."""

import hashlib
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from rlready.errors import InputError
from rlready.measured.log import MeasuredLog
from rlready.measured.loss import MeasuredLoss, is_number, read_loss
from rlready.measured.read import find_files, load_candidates
from rlready.measured.records import fetch
from rlready.records.candidate import LogSource


@dataclass(frozen=True)
class FoundLog:
    """A log that was read, with the loss that belongs to it; None: unknown."""

    source: LogSource  # pinned
    log: MeasuredLog
    loss: MeasuredLoss | None

    def describe(self) -> str:
        """Returns where it is and what was read of it in one line."""
        loss = [f"loss {self.loss.value:.3f} ({self.loss.kind})"] if self.loss else []
        return "; ".join([f"{self.source.location} ({self.source.digest})", self.log.describe(), *loss])


def find_log(source: LogSource) -> FoundLog:
    """Reads a log, from a file, a folder or a URL, and its loss.

    Raises InputError if one cannot be read, has changed since plan pinned it, or the log is of several candidates and
    `source.name` is none of them.
    """
    has_file = source.loss and not is_number(source.loss)
    with fetch(source.location) as path, fetch(source.loss) if has_file else nullcontext(source.loss) as loss:
        digest = hashlib.sha256(source.loss.encode())
        for place in (*find_files(path), *filter(Path.is_file, [Path(loss)])):
            with place.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        logs = load_candidates(path, source.score, source.answer_format, source.judged, source.repeats)
        found = read_loss(str(loss)) if loss else None
    pinned = replace(source, digest=digest.hexdigest()[:16])
    if source.digest and pinned != source:
        raise InputError(f"{source.location} has changed since plan read it; start the run again")
    if len(logs) > 1 and source.name not in logs:
        raise InputError(f"{source.location}: holds the candidates {', '.join(logs)}; name one of them (name:)")
    log = logs[source.name] if len(logs) > 1 else next(iter(logs.values()))
    return FoundLog(pinned, replace(log, path=source.location), found)
