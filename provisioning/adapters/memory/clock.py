"""A clock that moves only when told, or when nothing else is left to do."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from datetime import UTC, datetime, timedelta

START = datetime(2026, 1, 1, tzinfo=UTC)


class FakeClock:
    """Fulfils `ports.Clock` without waiting.

    By hand, time stands still until `advance`. With `auto`, it jumps to the next sleeper whenever the event loop has nothing
    else to run, so hours of waiting pass at once and in order. Work in other threads is not seen by the loop: with a store
    that has a thread of its own give `grace_s`, the real seconds to wait for such work before each jump.
    """

    def __init__(self, *, auto: bool = False, start: datetime = START, grace_s: float = 0.0) -> None:
        self._start = start
        self._elapsed_s = 0.0
        self._auto = auto
        self._grace_s = grace_s
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = itertools.count()
        self._watched: asyncio.AbstractEventLoop | None = None

    def now(self) -> datetime:
        """Return the fake wall time, UTC."""
        return self._start + timedelta(seconds=self._elapsed_s)

    def monotonic_s(self) -> float:
        """Return the seconds since the clock was made."""
        return self._elapsed_s

    @property
    def sleepers(self) -> int:
        """How many wait."""
        return sum(not future.done() for _due, _number, future in self._sleepers)

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has moved that far."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        heapq.heappush(self._sleepers, (self._elapsed_s + seconds, next(self._count), future))
        if self._auto and self._watched is not loop:
            self._watched = loop
            loop.call_soon(self._look, loop, False)
        await future

    def advance(self, seconds: float) -> None:
        """Move the clock and wake those whose time has come, earliest first."""
        self._elapsed_s += seconds
        while self._sleepers and self._sleepers[0][0] <= self._elapsed_s:
            _wake(heapq.heappop(self._sleepers)[2])

    async def idle(self) -> None:
        """Return when every task of this event loop waits for something."""
        loop, calm = asyncio.get_running_loop(), 0
        while calm < 2:
            await asyncio.sleep(0)
            calm = 0 if _busy(loop) else calm + 1

    # ------------------------------------------------------------ jumping

    def _look(self, loop: asyncio.AbstractEventLoop, calm: bool) -> None:  # noqa: FBT001 - called by the loop
        """Jump when the loop is found idle twice in a row: in between it has looked for IO and finished threads."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        if not self._sleepers:
            self._watched = None
        elif _busy(loop):
            loop.call_soon(self._look, loop, False)
        elif not calm:
            loop.call_later(self._grace_s, self._look, loop, True)
        else:
            self.advance(self._sleepers[0][0] - self._elapsed_s)
            loop.call_soon(self._look, loop, False)


def _busy(loop: asyncio.AbstractEventLoop) -> bool:
    # There is no public way to ask; every loop in the standard library keeps what is ready to run here.
    return bool(getattr(loop, "_ready", ()))


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done() and not future.get_loop().is_closed():
        future.set_result(None)
