"""The output of an attempt as chunks, each with its place in the log: whoever has a chunk twice, or late, writes the same.

Nothing here knows of a server: what is to be sent goes to a function, from whatever thread writes.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable

from provisioning.adapters.capping import Capped
from provisioning.adapters.files import run_name, slug
from provisioning.adapters.logs import IN_FOLDER, LOOK_BACK_BYTES, last_lines
from provisioning.core.frozen import dataclass

CHUNK_BYTES = 64 * 1024
MAX_LOG_BYTES = 1 << 30  # nobody's settings let a log grow so far: what claims to be beyond is not ours
_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}\.[0-9]{1,9}\.[0-9a-z]{1,40}\.(?:log|out|err)\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A part of a log. `name` is the log's within its run, `at` counts bytes from its beginning."""

    run: str
    name: str
    at: int
    data: bytes

    @property
    def path(self) -> str:
        """Where it is, relative to the folder of logs. Raises ValueError for what no worker of ours would send."""
        if not _NAME.match(self.name) or not 0 <= self.at <= MAX_LOG_BYTES - len(self.data):
            raise ValueError(f"no chunk of a log: {self.name} at {self.at}")
        return f"{run_name(self.run)}/{self.name}"


def log_stem(step: str, attempt: int, mark: str) -> str:
    """Return the name of a log without its kind. `mark` tells apart what is opened twice; later ones sort after earlier."""
    return f"{slug(step)}.{attempt}.{mark}"


class ChunkedLog:
    """One attempt's log while it is written: `send` gets its chunks, `soon` asks for `flush` in a moment.

    Fulfils `ports.LogWriter`. One thread writes; `flush` may come from another.
    """

    def __init__(
        self, run: str, name: str, capped: Capped, send: Callable[[Chunk], None], soon: Callable[[ChunkedLog], None]
    ) -> None:
        self._run, self._name, self._capped, self._send, self._soon = run, name, capped, send, soon
        self._pending = bytearray()
        self._sent = -1  # bytes; -1: not even that there is a log
        self._recent = bytearray()  # the end of the head
        self._closed = False
        self._busy = threading.Lock()

    @property
    def path(self) -> str:
        """Where it is found: in the folder of logs of whoever collects them."""
        return f"{IN_FOLDER}{self._run}/{self._name}"

    def write(self, data: bytes) -> None:
        """Append. Past the cap the middle is dropped. Raises ValueError after `close`."""
        with self._busy:
            if self._closed:
                raise ValueError(f"{self.path} is closed")
            head = self._capped.take(data)
            if not head:
                return
            self._remember(head)
            waits = bool(self._pending)
            self._pending += head
            self._send_whole()
            if self._pending and not waits:
                self._soon(self)

    def tail(self, lines: int = 10) -> list[str]:
        """Return the last lines as safe text; also after `close`."""
        with self._busy:
            recent = self._capped.newest(LOOK_BACK_BYTES)
            if len(recent) < LOOK_BACK_BYTES and not self._capped.is_cut:
                recent = bytes(self._recent[-(LOOK_BACK_BYTES - len(recent)) :]) + recent
        return last_lines(recent, lines)

    def flush(self) -> None:
        """Send what waits to become a whole chunk."""
        with self._busy:
            self._send_rest()

    def close(self) -> None:
        """Send the rest; of a log that nobody wrote to, that it is there. Closing twice is no error."""
        with self._busy:
            if self._closed:
                return
            self._closed = True
            self._pending += self._capped.end()
            self._send_whole()
            self._send_rest()
            if self._sent < 0:
                self._send(Chunk(run=self._run, name=self._name, at=0, data=b""))

    # ------------------------------------------------------------ parts

    def _send_whole(self) -> None:
        while len(self._pending) >= CHUNK_BYTES:
            self._send_one(CHUNK_BYTES)

    def _send_rest(self) -> None:
        if self._pending:
            self._send_one(len(self._pending))

    def _send_one(self, size: int) -> None:
        at = max(0, self._sent)
        self._send(Chunk(run=self._run, name=self._name, at=at, data=bytes(self._pending[:size])))
        del self._pending[:size]
        self._sent = at + size

    def _remember(self, head: bytes) -> None:
        self._recent += head[-LOOK_BACK_BYTES:]
        if len(self._recent) > 2 * LOOK_BACK_BYTES:  # not at every write: it moves bytes
            del self._recent[:-LOOK_BACK_BYTES]
