"""Runs of a cluster as steps see them that start others: recorded here, driven by whoever leads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from provisioning.core.decide import Extent
from provisioning.core.events import Event
from provisioning.core.history import RunSummary
from provisioning.core.model import NO_FIELDS, RUN_ENDED, Workflow
from provisioning.core.ports import Clock, Request
from provisioning.core.run import Run
from provisioning.engine.runner import load
from provisioning.errors import NotFoundError
from provisioning.operations.orders import create, order, refuse_retry

if TYPE_CHECKING:
    from provisioning.adapters.nats.store import NatsStore

FIRST_LOOK_S, LONGEST_LOOK_S = 0.01, 0.25


class ClusterRuns:
    """Fulfils `engine.actions.dagu.runs.Runs`: what a runner offers, over the store of a cluster."""

    def __init__(self, store: NatsStore, clock: Clock, actor: str) -> None:
        self._store, self._clock, self._actor = store, clock, actor

    async def submit(
        self,
        run_id: str,
        workflow: Workflow,
        *,
        trigger: str = "manual",
        actor: str = "",
        params: Mapping[str, object] | None = None,
    ) -> Run:
        """Record a run and have it driven. Raises StaleRevision when the id exists."""
        more = params or NO_FIELDS
        return await create(
            self._store, self._clock, run_id, workflow, trigger=trigger, actor=actor or self._actor, params=more
        )

    async def ended(self, run_id: str) -> Run:
        """Wait until the run has ended. Raises NotFoundError for one that never was."""
        await self._until(run_id, lambda summary: summary.state in RUN_ENDED)
        return await load(self._store, run_id)

    async def cancel(self, run_id: str, reason: str, actor: str = "") -> None:
        """Ask for a run to be cancelled. One that has ended is left as it is."""
        await self._store.request(Request(run=run_id, kind="cancel", actor=actor or self._actor, data={"reason": reason}))

    async def retry(self, run_id: str, *, extent: Extent = Extent.NEEDED) -> Run:
        """Run what failed of an ended run again. Raises UsageError when nothing did."""
        run = await load(self._store, run_id)
        refuse_retry(run, None, extent, self._clock)
        await order(self._store, "retry", self._actor, {"run": run_id, "from_step": "", "extent": extent.value})
        await self.reopened(run_id, run.seq)
        return run

    async def reopened(self, run_id: str, after: int) -> None:
        """Wait until something has come of an order for a run whose newest event was `after`."""
        await self._until(run_id, lambda summary: summary.last_seq > after)

    async def abandon(self, run_id: str, reason: str) -> Run:
        """Have a run ended. None is ever left open by a runner that died: somebody else leads then."""
        await self.cancel(run_id, reason)
        return await self.ended(run_id)

    def open_runs(self) -> Mapping[str, Run]:
        """Return the runs that go on, to be asked whether one is among them."""
        return _Open(self._store)

    async def watch(self, run_id: str, after: int = 0) -> AsyncIterator[Event]:
        """Yield the events of a run with seq > `after` as they are recorded, until it has ended. Raises NotFoundError."""
        look_s = FIRST_LOOK_S
        while True:
            summary = self._store.history.summary(run_id)
            if summary.last_seq > after:
                for event in await self._store.replica.events(run_id, after):
                    after, look_s = event.seq, FIRST_LOOK_S
                    yield event
            elif summary.state in RUN_ENDED:
                return
            else:
                look_s = await self._pause(look_s)

    # ------------------------------------------------------------ parts

    async def _until(self, run_id: str, holds: Callable[[RunSummary], bool]) -> None:
        await self._store.replica.caught_up()
        look_s = FIRST_LOOK_S
        while not holds(self._store.history.summary(run_id)):
            look_s = await self._pause(look_s)

    async def _pause(self, look_s: float) -> float:
        """Wait until something was recorded, or a while: it may have been just before. Return how long the next while is."""
        try:
            async with asyncio.timeout(look_s):
                await self._store.replica.moved()
        except TimeoutError:
            return min(look_s * 2, LONGEST_LOOK_S)
        return FIRST_LOOK_S


class _Open(Mapping[str, Run]):
    """The runs that go on, looked up one by one. Whoever asks has caught up with what he himself did."""

    def __init__(self, store: NatsStore) -> None:
        self._store = store

    def __contains__(self, run_id: object) -> bool:
        try:
            return self._store.history.summary(str(run_id)).state not in RUN_ENDED
        except NotFoundError:
            return False

    def __getitem__(self, run_id: str) -> Run:
        raise KeyError(run_id)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0
