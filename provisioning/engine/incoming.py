"""What comes in for a runner: reports, timers and requests, gathered into one queue.

A store either has a source for each of them, or one ordered source of all but the timers: then what was asked and what was
reported are decided in the order in which they came, and one number says how far that has gone.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Protocol

from provisioning.core.ports import Clock, Inbox, Report, Request, Task, Tasks, Timer, Timers
from provisioning.core.run import Run

GATHER = 2  # times the last turn's duration
LONGEST_GATHER_S = 0.03
Input = Report | Timer | Request
Source = Callable[[Mapping[str, Run]], Awaitable[Sequence[Report | Request]]]
"""Waits for inputs of these runs, and returns all there are, in order."""


class Sources(Inbox, Tasks, Timers, Protocol):
    """Where inputs come from."""

    @property
    def ordered(self) -> Source | None:
        """The one source of reports and requests, where the workers are in other processes and live on without a runner."""
        ...

    async def take_over(self, token: int) -> object:
        """Begin to lead with this fencing token: nothing of an older leader is stored any more. Raises Fenced."""
        ...

    async def resign(self) -> None:
        """Lead no more: what was handed out is for the next leader to look after."""
        ...

    def stop(self, run: str, tasks: Iterable[Task]) -> None:
        """Have what workers in other processes have of a cancelled run stopped: these tasks, handed out by another leader."""
        ...


class Incoming:
    """One queue of inputs for `runs`, which change while it is used."""

    def __init__(self, store: Sources, clock: Clock, runs: Mapping[str, Run], *, poll_s: float) -> None:
        """Without an ordered source, requests are looked for every `poll_s`."""
        self._store, self._clock, self._runs, self._poll_s = store, clock, runs, poll_s
        self._queue: asyncio.Queue[Sequence[Input]] = asyncio.Queue()
        self._not_before_s = float("-inf")

    async def put(self, inputs: Sequence[Input]) -> None:
        """Take inputs that do not come from the store."""
        await self._queue.put(inputs)

    async def pump(self) -> None:
        """Move inputs from the store into the queue until cancelled. Raises what the store raises."""
        ordered = self._store.ordered
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pump(self._store.due))
            if ordered is not None:
                group.create_task(self._pump(lambda: ordered(self._runs)))
            else:
                group.create_task(self._pump(self._store.reports))
                group.create_task(self._poll())

    def took_turn(self, began_s: float) -> None:
        """Learn how long a turn takes: while inputs keep coming, the next one waits for about as long."""
        now_s = self._clock.monotonic_s()
        self._not_before_s = now_s + min(GATHER * (now_s - began_s), LONGEST_GATHER_S)

    async def next(self) -> list[Input]:
        """Wait for input. While it keeps coming, let more of it gather: a commit costs the same for one report as for ten."""
        inputs = list(await self._queue.get())
        wait_s = self._not_before_s - self._clock.monotonic_s()
        if wait_s > 0 and self._more_may_come(inputs):
            await self._clock.sleep(wait_s)
        while not self._queue.empty():
            inputs.extend(self._queue.get_nowait())
        return inputs

    # ------------------------------------------------------------ parts

    async def _pump(self, source: Callable[[], Awaitable[Sequence[Input]]]) -> None:
        while True:
            await self._queue.put(await source())

    async def _poll(self) -> None:
        while True:
            await self._clock.sleep(self._poll_s)
            if self._runs and (requests := await self._store.take_requests(list(self._runs))):
                await self._queue.put(requests)

    def _more_may_come(self, inputs: Sequence[Input]) -> bool:
        """Whether workers have more of the runs that these inputs are about than what they are about."""
        ends = Counter(item.task.run for item in inputs if isinstance(item, Report) and item.outcome is not None)
        touched = {run_of(item) for item in inputs}
        return any(run_id in self._runs and self._runs[run_id].active > ends[run_id] for run_id in touched)


def run_of(item: Input) -> str:
    """Return the id of the run that an input is about."""
    return item.task.run if isinstance(item, Report) else item.run


def place_of(item: Input) -> int:
    """Return the place of an input in the store's order; 0 where it has none."""
    if isinstance(item, Report):
        return item.seq
    return item.id if isinstance(item, Request) else 0
