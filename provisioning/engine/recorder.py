"""Keeps the resource states up with the journal, without a write per event.

The first change after a quiet time is written at once; while changes keep coming they are gathered, for as long as twenty
writes take. What a crash leaves unwritten is in the journal, and `catch_up` folds it in before the next plan.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from provisioning.core.bookkeeping import record
from provisioning.core.events import Event, Kind
from provisioning.core.model import RUN_ENDED, Step
from provisioning.core.ports import Clock, Resources
from provisioning.core.resources import Actor, ResourceBook
from provisioning.core.run import Run

GATHER = 20  # times the last write's duration
LONGEST_GATHER_S = 2.0


class Recorder:
    """A `Projection` onto the state file. `actor` is written beside every change."""

    def __init__(self, resources: Resources, clock: Clock, actor: Actor) -> None:
        self._resources, self._clock, self._actor = resources, clock, actor
        self._book: ResourceBook | None = None
        self._steps: dict[str, dict[str, Step]] = {}
        self._dirty = False
        self._not_before_s = float("-inf")
        self._later: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()

    @property
    def book(self) -> ResourceBook:
        """The states as they are now, written or not. `load` comes first."""
        if self._book is None:
            raise RuntimeError("the state was not loaded")
        return self._book

    async def load(self) -> ResourceBook:
        """Read the states. Raises StateFileError."""
        self._book = await self._resources.load()
        return self._book

    def binds(self, _run: Run) -> bool:
        """See `Projection`."""
        return True

    async def committed(self, run: Run, events: Sequence[Event]) -> None:
        """Fold events in; write now, soon, or, at the end of a run, before returning. Raises StoreError."""
        if run.id not in self._steps:
            self._steps[run.id] = {id: step.spec for id, step in run.steps.items()}
        before = self.book
        self._book = record(before, self._steps[run.id], events, self._actor)
        reopened = any(event.kind is Kind.RUN_REOPENED for event in events)
        self._dirty = self._dirty or reopened or self._book.servers is not before.servers
        if reopened or run.state in RUN_ENDED:  # which older run goes on is known before any of its steps does
            await self.flush()
            if run.state in RUN_ENDED:
                del self._steps[run.id]
        elif self._dirty:
            await self._write_or_wait()

    async def flush(self) -> None:
        """Write what has not been written. Raises StoreError, also of an earlier write that failed in the background."""
        if self._later is not None:
            if not self._writing.locked():
                self._later.cancel()  # it only waits
            await asyncio.wait([self._later])
            self._end_later()
        await self._write()

    # ------------------------------------------------------------ parts

    async def _write_or_wait(self) -> None:
        """Write at once if it has been quiet. An earlier write that failed in the background is raised here."""
        if self._later is not None:
            if not self._later.done():
                return
            self._end_later()
        wait_s = self._not_before_s - self._clock.monotonic_s()
        if wait_s <= 0:
            await self._write()
        else:
            self._later = asyncio.create_task(self._write_after(wait_s))
            self._later.add_done_callback(_look_at)

    def _end_later(self) -> None:
        later, self._later = self._later, None
        if later is not None and not later.cancelled():
            later.result()

    async def _write_after(self, wait_s: float) -> None:
        await self._clock.sleep(wait_s)
        await self._write()

    async def _write(self) -> None:
        async with self._writing:
            if not self._dirty:
                return
            self._dirty = False  # what is committed from here on is for the next write
            began = self._clock.monotonic_s()
            try:
                written = await self._resources.save(self.book)
            except BaseException:
                self._dirty = True
                raise
            took = self._clock.monotonic_s() - began
            self._not_before_s = began + took + min(GATHER * took, LONGEST_GATHER_S)
            self._book = replace(self.book, serial=written.serial)


def _look_at(task: asyncio.Task[None]) -> None:
    """Keep the loop from printing a failure that nobody was left to be told of: the run had stopped for another one."""
    if not task.cancelled():
        task.exception()
