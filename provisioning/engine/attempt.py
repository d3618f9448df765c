"""Where the output of one attempt goes: masked, into its logs, and line by line to whoever watches."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from typing import Protocol

from provisioning.core.mask import Masker
from provisioning.core.ports import Clock, LogWriter
from provisioning.core.text import plain_text
from provisioning.errors import StoreError

Watcher = Callable[[str, str], None]  # step, text

SHOW_EVERY_S = 0.1  # a flood of output must not drown the event loop: only its newest lines are shown
KEPT_BYTES = 8 * 1024  # of each stream, for the history
_SHOWN_BYTES = 4096


class StartLog(Protocol):
    """`LogStore.open` of one attempt."""

    def __call__(self, *, kind: str = "log") -> LogWriter:
        """Start its log."""
        ...


class AttemptOutput:
    """The `Context` of one attempt. All goes into one log, unless `apart` is called first.

    `write`, `out` and `err` may be called from a reader thread, one at a time; everything else from the event loop. `hidden`
    are values that are masked from the beginning. A disk that refuses a log costs the rest of the logs, not the attempt: what
    runs on a server does not depend on it.
    """

    def __init__(self, step: str, clock: Clock, start_log: StartLog, watcher: Watcher, hidden: Sequence[str] = ()) -> None:
        """`start_log` is called with the first output, unless `open` or `apart` was called before."""
        self.clock = clock
        self._step, self._start_log, self._watcher = step, start_log, watcher
        self._hidden = tuple(hidden)
        self._out = self._err = _Stream()  # one and the same while they are together
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
        self._refusal: StoreError | None = None

    @property
    def path(self) -> str:
        """Where the log is, or that of standard output; "" when there is none."""
        return self._out.path

    @property
    def err_path(self) -> str:
        """Where the log of standard error is; "" when there is none of its own."""
        return self._err.path if self._are_apart else ""

    @property
    def masks(self) -> bool:
        """Whether any value is masked."""
        return bool(self._hidden)

    def open(self) -> None:
        """Start the log. Raises StoreError."""
        if self._out.log is None:
            self._out.log = self._start_log()

    def apart(self) -> None:
        """Start a log for `out` and one for `err`. Raises StoreError, ValueError when there is a log already."""
        if self._out.log is not None:
            raise ValueError(f"{self.path} has been begun for both")
        out = self._start_log(kind="out")
        try:
            err = self._start_log(kind="err")
        except BaseException:
            out.close()
            raise
        self._err = _Stream()
        self._out.log, self._err.log = out, err

    def write(self, data: bytes) -> None:
        """Take output as it comes."""
        self.out(data)

    def out(self, data: bytes) -> None:
        """Take standard output as it comes."""
        self._take(self._out, data)

    def err(self, data: bytes) -> None:
        """Take standard error as it comes."""
        self._err.spoke = True
        self._take(self._err, data)

    def mask(self, secrets: Mapping[str, str]) -> None:
        """Mask these values too from now on."""
        new = tuple(value for value in secrets.values() if value not in self._hidden)
        if new:
            for stream in self._streams:
                self._flush(stream)
                stream.masker = None
            self._hidden += new

    def masked(self, value: object) -> object:
        """Return a verdict, or a part of one, with the values masked in all its texts."""
        if isinstance(value, str):
            masker = Masker(self._hidden)
            data = masker.feed(value.encode("utf-8", "surrogatepass"))
            return (data + masker.flush()).decode("utf-8", "surrogatepass")
        if isinstance(value, Mapping):
            return {self.masked(key): self.masked(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.masked(inner) for inner in value]
        return value

    def note(self, text: str) -> None:
        """Write a line of our own, beside standard error."""
        shown = str(self.masked(text)) if self._hidden else text
        self._store(self._err, f"-- {shown}\n".encode("utf-8", "backslashreplace"))

    def last_lines(self, count: int = 10) -> list[str]:
        """Return the last lines written: where the streams are apart those of standard error, if there are any."""
        said = self._err.lines(count) if self._err.spoke else []
        return said or self._out.lines(count)

    def tail(self, kind: str, limit_bytes: int = KEPT_BYTES) -> str:
        """Return the end of a stream, `out` or `err`, as safe text of at most `limit_bytes` and never more than KEPT_BYTES.

        While both are together, all of it is `out`. To be asked when the stream has ended: what the masker holds back is in it.
        """
        if kind == "err" and not self._are_apart:
            return ""
        stream = self._err if kind == "err" else self._out
        self._flush(stream)
        return stream.end(limit_bytes)

    def close(self) -> None:
        """Write what the maskers still hold back, show what has not been shown, close the logs."""
        for stream in self._streams:
            self._flush(stream)
            if stream.pending:
                self._show(plain_text(stream.pending))
                stream.pending = b""
            if stream.log is not None:
                self._to_log(stream.log.close)
        if self._refusal is not None:
            self._show(f"-- the log is not complete: {self._refusal.message}")

    @property
    def _are_apart(self) -> bool:
        return self._err is not self._out

    @property
    def _streams(self) -> tuple[_Stream, ...]:
        return (self._out, self._err) if self._are_apart else (self._out,)

    def _take(self, stream: _Stream, data: bytes) -> None:
        if stream.masker is None:
            stream.masker = Masker(self._hidden)
        self._store(stream, stream.masker.feed(data))

    def _flush(self, stream: _Stream) -> None:
        if stream.masker is not None:
            self._store(stream, stream.masker.flush())

    def _store(self, stream: _Stream, data: bytes) -> None:
        if not data:
            return
        if self._refusal is None:
            self._to_log(lambda: self._write(stream, data))
        if shown := stream.take(data, self.clock.monotonic_s()):
            self._show(plain_text(shown))

    def _write(self, stream: _Stream, data: bytes) -> None:
        self.open()
        if stream.log is not None:
            stream.log.write(data)

    def _show(self, text: str) -> None:
        here = threading.get_ident() == self._thread  # then nobody has to be woken
        soon = self._loop.call_soon if here else self._loop.call_soon_threadsafe
        soon(self._watcher, self._step, text)

    def _to_log(self, act: Callable[[], None]) -> None:
        try:
            act()
        except StoreError as error:
            self._refusal = error


class _Stream:
    """What goes into one log: what of it has not been shown, and its end."""

    def __init__(self) -> None:
        self.log: LogWriter | None = None
        self.masker: Masker | None = None  # made with the first output
        self.pending = b""  # of the line that has not ended
        self.spoke = False  # standard error came this way, not only our own lines
        self._newest = bytearray()
        self._shown_at = float("-inf")

    @property
    def path(self) -> str:
        return self.log.path if self.log is not None else ""

    def take(self, data: bytes, now_s: float) -> bytes:
        """Remember it; return what is to be shown of it now."""
        self._newest += data[-KEPT_BYTES:]
        if len(self._newest) > 2 * KEPT_BYTES:  # not at every piece: it moves bytes
            del self._newest[:-KEPT_BYTES]
        whole, newline, rest = (self.pending + data).rpartition(b"\n")
        self.pending = rest[-_SHOWN_BYTES:]
        if not newline or now_s - self._shown_at < SHOW_EVERY_S:
            return b""
        self._shown_at = now_s
        return whole[-_SHOWN_BYTES:]

    def lines(self, count: int) -> list[str]:
        """Return its last lines as safe text."""
        return self.log.tail(count) if self.log is not None else []

    def end(self, limit_bytes: int) -> str:
        """Return its last bytes as safe text, whole characters only."""
        newest = bytes(self._newest)
        return _last(plain_text(_last(newest, min(limit_bytes, KEPT_BYTES))).encode(), limit_bytes).decode()


def _last(data: bytes, limit_bytes: int) -> bytes:
    """Return the last bytes, without the rest of a character that was cut."""
    if len(data) <= limit_bytes:
        return data
    end = data[len(data) - limit_bytes :]
    cut = sum(1 for _ in takewhile(lambda byte: 0x80 <= byte < 0xC0, end[:3]))
    return end[cut:]
