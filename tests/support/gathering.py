"""A runner that is told who is there, over a store in memory, and workers that come and go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from support.engine import Seen

from provisioning.adapters.clock import SystemClock
from provisioning.adapters.memory.store import MemoryStore
from provisioning.core.placement import Roster
from provisioning.core.presence import Presence
from provisioning.engine.limits import Limits
from provisioning.engine.runner import Runner
from provisioning.engine.worker import Worker


@dataclass
class Gathering:
    """Whoever is `there` has been heard of; a worker of `workers` serves, also once it is not heard of any more."""

    store: MemoryStore = field(default_factory=MemoryStore)
    seen: Seen = field(default_factory=Seen)
    workers: dict[str, Worker] = field(default_factory=dict)
    there: dict[str, Presence] = field(default_factory=dict)
    _serving: list[asyncio.Task[None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.runner = Runner(
            self.store,
            SystemClock(),
            roll=lambda: 0.5,
            stop_work=self._stop,
            projections=(self.seen,),
            poll_s=0.01,
            limits=Limits(roster=Roster()),
        )

    async def _stop(self, run: str) -> None:
        for worker in self.workers.values():
            await worker.cancel(run)

    async def welcome(self, presence: Presence, worker: Worker | None = None) -> None:
        """Let a worker come. Without `worker` it is only heard of."""
        if worker is not None:
            self.workers[presence.name] = worker
            self._serving.append(asyncio.create_task(worker.serve()))
        self.there[presence.name] = presence
        await self.runner.see(list(self.there.values()))

    async def gone(self, name: str, *, lingering: bool = False) -> None:
        """Hear of a worker no more; what it has stays with it."""
        del self.there[name]
        await self.runner.see(list(self.there.values()), [name] if lingering else [])

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Have the runner serve; at the end neither it nor a worker goes on."""
        self._serving.append(asyncio.create_task(self.runner.serve()))
        try:
            yield
        finally:
            for task in self._serving:
                task.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)
