"""Timers of one process, on a heap."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Iterable
from datetime import datetime

from provisioning.adapters.memory.bell import Bell
from provisioning.core.ports import Clock, Timer

LONGEST_SLEEP_S = 60.0
"""Timers are due by wall time, which can jump (suspend, NTP): nobody sleeps longer than this without looking again."""


class TimerHeap:
    """Fulfils `ports.Timers`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[datetime, int, Timer]] = []
        self._live: dict[tuple[str, str], list[Timer]] = {}
        self._count = itertools.count()
        self._added = Bell()

    async def due(self) -> list[Timer]:
        """Wait until at least one timer is due; return and remove all that are, earliest first."""
        while not (due := self._take()):
            await self._wait()
        return due

    # ------------------------------------------------------------ for stores

    def add(self, timers: Iterable[Timer]) -> None:
        """Start committed timers. One that runs already is not started twice."""
        for timer in timers:
            if self._is_live(timer):
                continue
            heapq.heappush(self._heap, (timer.due, next(self._count), timer))
            self._live.setdefault((timer.run, timer.step), []).append(timer)
            self._added.ring()

    def settle(self, run: str, steps: Iterable[str]) -> None:
        """Forget the timers of steps whose attempt is over."""
        for step in steps:
            self._live.pop((run, step), None)

    def drop(self, run: str) -> None:
        """Forget every timer of a run."""
        self.settle(run, [key[1] for key in self._live if key[0] == run])

    def clear(self) -> None:
        """Forget all of them."""
        self._live.clear()

    def _take(self) -> list[Timer]:
        now, due = self._clock.now(), []
        while self._heap and (self._heap[0][0] <= now or not self._is_live(self._heap[0][2])):
            timer = heapq.heappop(self._heap)[2]
            if self._is_live(timer):
                due.append(timer)
                self._live[(timer.run, timer.step)].remove(timer)
        return due

    def _is_live(self, timer: Timer) -> bool:
        return timer in self._live.get((timer.run, timer.step), ())

    async def _wait(self) -> None:
        waits = [asyncio.ensure_future(self._added.heard())]
        if self._heap:
            left_s = (self._heap[0][0] - self._clock.now()).total_seconds()
            waits.append(asyncio.ensure_future(self._clock.sleep(min(left_s, LONGEST_SLEEP_S))))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
