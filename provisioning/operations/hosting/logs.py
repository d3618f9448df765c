"""Logs of a server's runs: parts of one stream of one attempt, and a whole run as text.

The text of a run has its attempts in the order in which they began. So what comes is at its end, or behind the first attempt
that goes on: all before that stays as it is, and whoever has it needs only the rest.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256 as digest
from pathlib import Path

from provisioning.adapters.files import slug
from provisioning.adapters.logs import read_log
from provisioning.core.dagu.report import SHOWN
from provisioning.core.history import AttemptRecord, iso
from provisioning.core.model import RUN_ENDED, STEP_ENDED
from provisioning.errors import NotFoundError
from provisioning.operations.dagu.listing import SOURCE
from provisioning.operations.dagu.logs import files_of
from provisioning.operations.hosting.reading import Reading

CHUNK_BYTES = 256 * 1024
SIZES_MOST = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLog:
    """One stream of one attempt. `size` is that of the file now; a log that was never begun has none of both."""

    path: Path | None
    attempt: int
    size: int
    complete: bool
    file_name: str
    tag: str  # another one when anything of it is another

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """What one attempt printed on one stream, below a line that says which. `size` is in bytes, with that line."""

    path: Path
    head: bytes
    size: int

    def text(self, tail: int | None = None) -> bytes:
        """Return all of it, or of what was printed the last lines."""
        return _framed(self.head, self.path, tail)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLog:
    """The text of a run. The first `settled` bytes of `size` stay as they are; `tag` changes with anything else."""

    sections: Sequence[Section]
    size: int
    settled: int
    complete: bool
    tag: str

    def chunks(self, start: int, length: int) -> Iterator[bytes]:
        """Yield bytes from `start` on, exactly `length` of them; of sections outside no file is read."""
        at = 0
        for section in self.sections:
            begin, end = max(start - at, 0), min(start + length - at, section.size)
            if begin < end:
                yield section.text()[: section.size].ljust(section.size)[begin:end]  # a log may be removed meanwhile
            at += section.size

    def tail(self, lines: int) -> Iterator[bytes]:
        """Yield the last lines of each section."""
        return (section.text(lines) for section in self.sections)


class Logs:
    """Looks for logs by what the history says; no name from outside becomes a path."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._sizes: OrderedDict[tuple[object, ...], int] = OrderedDict()  # of sections, by what their files were like
        self._busy = threading.Lock()

    def of_step(self, run: str, step: str, stream: str, attempt: int | None = None) -> StepLog:
        """Return the log of a step's newest attempt, or of one. Raises NotFoundError."""
        attempts = self._reading.attempts(run, step)
        if not attempts:
            folder, _name = self._reading.place(run)
            self._reading.pages(folder).history.step(run, step)  # says so where there is no such step
            return StepLog(path=None, attempt=0, size=0, complete=False, file_name=f"{slug(step)}.log", tag=_tag())
        found = [one for one in attempts if attempt in (None, one.attempt)]
        if not found:
            raise NotFoundError(f"step {step} of run {run} has no attempt {attempt}")
        return _log(found[-1], stream)

    def whole(self, run: str) -> RunLog:
        """Return the text of a run: what each attempt printed, below a line that says which. Raises NotFoundError."""
        found = self._reading.run(run)
        shown = {one.step for one in found.detail.steps if found.detail.summary.source != SOURCE or one.kind in SHOWN}
        attempts = sorted((one for one in self._reading.attempts(run) if one.step in shown), key=_began)
        sections: list[Section] = []
        settled: int | None = None
        marks: list[object] = [found.detail.summary.state]
        for one in attempts:
            if one.state not in STEP_ENDED and settled is None:
                settled = sum(section.size for section in sections)
            for stream, path in files_of(one.log):
                mark = _mark(path)
                marks += (one.step, one.attempt, one.state, stream, *mark)
                if mark and mark[0]:
                    sections.append(self._section(one, stream, path, mark))
        size = sum(section.size for section in sections)
        over = found.detail.summary.state in RUN_ENDED
        return RunLog(
            sections=[section for section in sections if section.size],
            size=size,
            settled=size if settled is None else settled,
            complete=over and settled is None,
            tag=_tag(*marks),
        )

    def _section(self, one: AttemptRecord, stream: str, path: Path, mark: tuple[int, ...]) -> Section:
        at = f", {iso(one.started_at)}" if one.started_at else ""
        head = f"==> {one.step} attempt {one.attempt} {stream} ({one.state.value}{at}) <==\n".encode()
        key = (path, head, *mark)
        with self._busy:
            size = self._sizes.get(key)
        if size is None:
            size = len(_framed(head, path))
            with self._busy:
                self._sizes[key] = size
                while len(self._sizes) > SIZES_MOST:
                    self._sizes.popitem(last=False)
        return Section(path=path, head=head, size=size)


def _began(one: AttemptRecord) -> tuple[bool, datetime | None]:
    return (one.started_at is None, one.started_at)


def _framed(head: bytes, path: Path, tail: int | None = None) -> bytes:
    """Return what a file holds as safe text below its line; nothing of a file without text."""
    try:
        text = read_log(path, lines=tail)
    except NotFoundError:
        return b""
    return b"".join((head, text.encode(), b"\n" if text.endswith("\n") else b"\n\n")) if text else b""


def _log(one: AttemptRecord, stream: str) -> StepLog:
    path = next((path for name, path in files_of(one.log) if name == stream), None)
    mark = _mark(path) if path is not None else ()
    return StepLog(
        path=path if mark else None,
        attempt=one.attempt,
        size=mark[0] if mark else 0,
        complete=one.state in STEP_ENDED,
        file_name=f"{slug(one.step)}.{one.attempt}.{stream}.log",
        tag=_tag(one.attempt, one.state, *mark),
    )


def _mark(path: Path) -> tuple[int, ...]:
    """Return size and times of a file; nothing where it is not there."""
    try:
        found = os.stat(path)  # noqa: PTH116 -- thousands of them
    except OSError:
        return ()
    return (found.st_size, found.st_mtime_ns, found.st_ino)


def _tag(*parts: object) -> str:
    return f'"{digest("|".join(map(str, parts)).encode()).hexdigest()[:32]}"'
