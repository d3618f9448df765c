"""Where the output of one attempt goes: masked, into its log, and line by line to whoever watches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from provisioning.core.mask import Masker
from provisioning.core.ports import Clock, LogWriter
from provisioning.core.text import plain_text
from provisioning.errors import StoreError

Watcher = Callable[[str, str], None]  # step, text

SHOW_EVERY_S = 0.1  # a flood of output must not drown the event loop: only its newest lines are shown


class AttemptOutput:
    """The `Context` of one attempt. `write` may be called from a reader thread; everything else from the event loop.

    `hidden` are values that are masked from the beginning. A disk that refuses the log costs the rest of the log, not the
    attempt: what runs on a server does not depend on it.
    """

    def __init__(
        self, step: str, clock: Clock, start_log: Callable[[], LogWriter], watcher: Watcher, hidden: Sequence[str] = ()
    ) -> None:
        """`start_log` is called with the first output, unless `open` was called before."""
        self.clock = clock
        self._step, self._start_log, self._watcher = step, start_log, watcher
        self._log: LogWriter | None = None
        self._hidden = tuple(hidden)
        self._masker: Masker | None = None  # made with the first output
        self._loop = asyncio.get_running_loop()
        self._pending = b""
        self._shown_at = float("-inf")
        self._refusal: StoreError | None = None

    @property
    def path(self) -> str:
        """Where the log is; "" when there is none."""
        return self._log.path if self._log is not None else ""

    @property
    def masks(self) -> bool:
        """Whether any value is masked."""
        return bool(self._hidden)

    def open(self) -> None:
        """Start the log. Raises StoreError."""
        if self._log is None:
            self._log = self._start_log()

    def write(self, data: bytes) -> None:
        """Take output as it comes."""
        if self._masker is None:
            self._masker = Masker(self._hidden)
        self._store(self._masker.feed(data))

    def mask(self, secrets: Mapping[str, str]) -> None:
        """Mask these values too from now on."""
        new = tuple(value for value in secrets.values() if value not in self._hidden)
        if new:
            self._flush()
            self._hidden += new
            self._masker = None

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
        """Write a line of our own."""
        shown = str(self.masked(text)) if self._hidden else text
        self._store(f"-- {shown}\n".encode("utf-8", "backslashreplace"))

    def last_lines(self, count: int = 10) -> list[str]:
        """Return the last lines written."""
        return self._log.tail(count) if self._log is not None else []

    def close(self) -> None:
        """Write what the masker still holds back, show what has not been shown, close the log."""
        self._flush()
        if self._pending:
            self._show(plain_text(self._pending))
            self._pending = b""
        if self._log is not None:
            self._to_log(self._log.close)
        if self._refusal is not None:
            self._show(f"-- the log is not complete: {self._refusal.message}")

    def _flush(self) -> None:
        if self._masker is not None:
            self._store(self._masker.flush())

    def _store(self, data: bytes) -> None:
        if not data:
            return
        if self._refusal is None:
            self._to_log(lambda: self._write(data))
        whole, newline, rest = (self._pending + data).rpartition(b"\n")
        self._pending = rest[-4096:]
        now = self.clock.monotonic_s()
        if newline and now - self._shown_at >= SHOW_EVERY_S:
            self._shown_at = now
            self._show(plain_text(whole[-4096:]))

    def _write(self, data: bytes) -> None:
        self.open()
        if self._log is not None:
            self._log.write(data)

    def _show(self, text: str) -> None:
        self._loop.call_soon_threadsafe(self._watcher, self._step, text)

    def _to_log(self, act: Callable[[], None]) -> None:
        try:
            act()
        except StoreError as error:
            self._refusal = error
