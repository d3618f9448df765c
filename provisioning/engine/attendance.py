"""Tells the runner which workers are there: those that were heard of lately, and those that are not given up yet."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence

from provisioning.core.ports import Clock
from provisioning.core.presence import FRESH_S, GIVEN_UP_S, Presence, fresh

LOOK_S = FRESH_S / 3
See = Callable[[Sequence[Presence], Collection[str]], Awaitable[None]]


class Attendance:
    """Looks again and again, and at once after `changed`."""

    def __init__(self, clock: Clock, seen: Callable[[], Sequence[Presence]], see: See) -> None:
        """`seen` returns the workers as they said it last, `see` is the runner's."""
        self._clock, self._seen, self._see = clock, seen, see
        self._last: dict[str, tuple[Presence, float]] = {}  # name -> what it said, and when it was there last
        self._woken = asyncio.Event()

    def changed(self) -> None:
        """Say that there is something new."""
        self._woken.set()

    async def serve(self) -> None:
        """Look until cancelled. Raises what the runner raises."""
        while True:
            self._woken.clear()
            await self.look()
            waiting = asyncio.ensure_future(self._woken.wait())
            sleeping = asyncio.ensure_future(self._clock.sleep(LOOK_S))
            try:
                await asyncio.wait([waiting, sleeping], return_when=asyncio.FIRST_COMPLETED)
            finally:
                waiting.cancel()
                sleeping.cancel()

    async def look(self) -> None:
        """Tell the runner who is there now. One that left in good order has nothing any more, and is given up at once."""
        now_s, seen = self._clock.monotonic_s(), self._seen()
        there = fresh(seen, self._clock.now())
        names = {one.name for one in there}
        self._last |= {one.name: (one, now_s) for one in there}
        for one in seen:
            if one.draining:
                self._last[one.name] = (one, now_s)
        gone = {name for name, (_one, at_s) in self._last.items() if now_s - at_s > GIVEN_UP_S - FRESH_S}
        left = {name for name, (one, at_s) in self._last.items() if one.draining and at_s < now_s}
        for name in gone | left:
            del self._last[name]
        await self._see(there, self._last.keys() - names)
