"""Logs of a server's runs: parts of one stream of one attempt, and a whole run as text."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from provisioning.adapters.files import slug
from provisioning.adapters.logs import read_log
from provisioning.core.dagu.report import SHOWN
from provisioning.core.history import AttemptRecord, iso
from provisioning.core.model import STEP_ENDED
from provisioning.errors import NotFoundError
from provisioning.operations.dagu.listing import SOURCE
from provisioning.operations.dagu.logs import files_of
from provisioning.operations.hosting.reading import Reading

CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLog:
    """One stream of one attempt. `size` is that of the file now; a log that was never begun has none of both."""

    path: Path | None
    attempt: int
    size: int
    complete: bool
    file_name: str

    def chunks(self, start: int, length: int) -> Iterator[bytes]:
        """Yield bytes from `start` on, exactly `length` of them unless the file shrank."""
        if self.path is None or not length:
            return
        with self.path.open("rb") as file:
            file.seek(start)
            while length and (chunk := file.read(min(CHUNK_BYTES, length))):
                length -= len(chunk)
                yield chunk

    def tail(self, lines: int) -> str:
        """Return the last lines as safe text."""
        return read_log(self.path, lines=lines) if self.path is not None else ""


class Logs:
    """Looks for logs by what the history says; no name from outside becomes a path."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    def of_step(self, run: str, step: str, stream: str, attempt: int | None = None) -> StepLog:
        """Return the log of a step's newest attempt, or of one. Raises NotFoundError."""
        attempts = self._reading.attempts(run, step)
        if not attempts:
            folder, _name = self._reading.place(run)
            self._reading.pages(folder).history.step(run, step)  # says so where there is no such step
            return StepLog(path=None, attempt=0, size=0, complete=False, file_name=f"{slug(step)}.log")
        found = [one for one in attempts if attempt in (None, one.attempt)]
        if not found:
            raise NotFoundError(f"step {step} of run {run} has no attempt {attempt}")
        return _log(found[-1], stream)

    def whole(self, run: str, tail: int | None) -> Iterator[str]:
        """Return the text of a run: what each attempt printed, below a line that says which. Raises NotFoundError."""
        found = self._reading.run(run)
        shown = {one.step for one in found.detail.steps if found.detail.summary.source != SOURCE or one.kind in SHOWN}
        return _text([one for one in self._reading.attempts(run) if one.step in shown], tail)


def _text(attempts: list[AttemptRecord], tail: int | None) -> Iterator[str]:
    for one in attempts:
        for stream, path in files_of(one.log):
            text = _safe(path, tail)
            if text:
                at = f", {iso(one.started_at)}" if one.started_at else ""
                yield f"==> {one.step} attempt {one.attempt} {stream} ({one.state.value}{at}) <==\n"
                yield text if text.endswith("\n") else f"{text}\n"
                yield "\n"


def _log(one: AttemptRecord, stream: str) -> StepLog:
    path = next((path for name, path in files_of(one.log) if name == stream), None)
    try:
        size = os.stat(path).st_size if path is not None else 0  # noqa: PTH116
    except OSError:
        path, size = None, 0
    return StepLog(
        path=path,
        attempt=one.attempt,
        size=size,
        complete=one.state in STEP_ENDED,
        file_name=f"{slug(one.step)}.{one.attempt}.{stream}.log",
    )


def _safe(path: Path, tail: int | None) -> str:
    try:
        return read_log(path, lines=tail)
    except NotFoundError:
        return ""
