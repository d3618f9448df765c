"""The logs of a run of a Dagu file: standard output and standard error of each attempt, whole, their ends, or as they grow."""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from provisioning import wiring
from provisioning.core.frozen import dataclass
from provisioning.core.history import AttemptRecord
from provisioning.core.model import RUN_ENDED
from provisioning.core.text import plain_text
from provisioning.errors import NotFoundError
from provisioning.operations.dagu.records import is_lost, opened

STREAMS = ("stdout", "stderr")
LOOK_S = 0.1
CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Printed:
    """What one attempt printed on one stream. `found` is False for a log that is gone."""

    attempt: AttemptRecord
    stream: str  # stdout | stderr
    path: str
    text: str
    found: bool = True


def files_of(log: str) -> Sequence[tuple[str, Path]]:
    """Return the files behind a log, by stream. A log that holds both is standard output; no log has none."""
    if not log:
        return ()
    path = Path(log)
    apart = path.suffix == ".out"
    return [("stdout", path), *([("stderr", path.with_suffix(".err"))] if apart else [])]


def read_logs(
    data: Path, run_id: str, steps: Collection[str], *, streams: Collection[str] = STREAMS, tail: int | None = None
) -> Iterator[Printed]:
    """Yield what the attempts of these steps printed, in the order of the file. Empty streams are left out."""
    for one in _attempts(data, run_id, steps):
        for stream, path in files_of(one.log):
            if stream in streams:
                text = _read(path, tail)
                if text is None and stream == "stdout":
                    yield Printed(attempt=one, stream=stream, path=str(path), text="", found=False)
                elif text:
                    yield Printed(attempt=one, stream=stream, path=str(path), text=text)


def tail_of(log: str, count: int) -> list[str]:
    """Return the last lines of what a step printed as errors, or where it printed none, at all."""
    files = [path for _stream, path in files_of(log)]
    return next((lines for path in reversed(files) if (lines := wiring.last_lines(str(path), count))), [])


async def _nothing() -> None:
    """All is here that was printed: the files are those of the process that runs the steps."""


async def follow_logs(
    data: Path,
    run_id: str,
    steps: Collection[str],
    tell: Callable[[str, str, str], None],
    *,
    streams: Collection[str] = STREAMS,
    complete: Callable[[], Awaitable[None]] = _nothing,
) -> None:
    """Tell what is printed, (step, stream, text), from the beginning and until the run has ended or its process is gone.

    `complete` brings what is missing here of a run that has ended.
    """
    at: dict[Path, _Growing] = {}
    over = False
    while True:
        for one in _attempts(data, run_id, steps):
            for stream, path in files_of(one.log):
                if stream in streams:
                    for text in at.setdefault(path, _Growing(path)).more():
                        tell(one.step, stream, text)
        if over:
            return
        with opened(data) as store:
            summary = store.history.summary(run_id)
        over = summary.state in RUN_ENDED or is_lost(data, summary)  # one more look: its last words
        await (complete() if over else asyncio.sleep(LOOK_S))


class _Growing:
    """A log that somebody is writing. Characters that are cut in two by a look are whole again with the next."""

    def __init__(self, path: Path) -> None:
        self._path, self._offset = path, 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def more(self) -> Iterator[str]:
        """Yield what has come since the last look, as safe text."""
        with suppress(OSError), self._path.open("rb") as file:
            file.seek(self._offset)
            while chunk := file.read(CHUNK_BYTES):
                self._offset += len(chunk)
                yield plain_text(self._decoder.decode(chunk).encode())


def _attempts(data: Path, run_id: str, steps: Collection[str]) -> list[AttemptRecord]:
    with opened(data) as store:
        found = [one for one in store.history.attempts(run_id) if one.step in steps]
    return [one if one.log else replace(one, log=wiring.find_log(data, run_id, one.step, one.attempt)) for one in found]


def _read(path: Path, tail: int | None) -> str | None:
    from provisioning.adapters.logs import read_log

    try:
        return read_log(path, lines=tail)
    except NotFoundError:
        return None
