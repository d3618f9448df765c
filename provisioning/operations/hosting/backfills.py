"""Past times of schedules that a server runs. What is asked for is kept, and how far it is follows from the runs: when a server
ends, or dies, the next one goes on with them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from provisioning import wiring
from provisioning.core.backfill import SUCCEEDED, Action, Item, Order, Phase, Reprocess, instants, plan
from provisioning.core.dagu.declared import DagFile
from provisioning.core.dagu.params import Given
from provisioning.core.instants import timing_of
from provisioning.core.model import RUN_ENDED, RunState
from provisioning.errors import LockedError, NotFoundError, ProvisioningError, StoreError, UsageError
from provisioning.operations.dagu.running import check_params
from provisioning.operations.dagu.times import local_zone, zone
from provisioning.operations.hosting.schedules import HostRuns
from provisioning.operations.scheduler.backfilling import ALREADY, Backfill, Keeper, states

if TYPE_CHECKING:
    from provisioning.adapters.lock import RunLock
    from provisioning.operations.hosting.host import Host

GOING_MOST = 10  # backfills at once
ADOPT_S = 15.0  # between two looks for backfills that have lost their server
_log = logging.getLogger("provisioning.server")


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Which times, and what of those that have a run already."""

    start: datetime
    end: datetime
    dry_run: bool = False
    reprocess_failed: bool = False
    reprocess_successful: bool = False
    parallel: int = 1
    limit: int = 1000
    newest_first: bool = False
    given: tuple[Given, ...] = ()

    @property
    def reprocess(self) -> Reprocess:
        """Which times are run anew."""
        both = {
            (False, False): Reprocess.NONE,
            (True, False): Reprocess.FAILED,
            (False, True): Reprocess.SUCCESSFUL,
            (True, True): Reprocess.COMPLETED,
        }
        return both[self.reprocess_failed, self.reprocess_successful]


class Backfills:
    """Those of one host, in its event loop."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._works: dict[str, Backfill] = {}

    # ------------------------------------------------------------ calls

    async def begin(self, name: str, actor: str, asked: Range) -> Mapping[str, object]:
        """Begin, or with `dry_run` only say what would be run. Raises NotFoundError, UsageError, ConfigError."""
        if len(self._tasks) >= GOING_MOST and not asked.dry_run:
            raise UsageError(f"{GOING_MOST} backfills are going on", hint="wait until one has ended")
        dag = await self._host.library.loaded(name)
        check_params(dag, asked.given)
        order = Order(
            id=wiring.new_run_id(),
            name=dag.name,
            actor=actor,
            asked_at=self._host.now(),
            items=await asyncio.to_thread(self._items, dag, asked),
            parallel=asked.parallel,
            given=asked.given,
            phase=Phase.OVER if asked.dry_run else Phase.GOING,
        )
        if asked.dry_run:
            return {**_document(order, {}), "dry_run": True}
        lock = self._locked(order.id)
        await self._host.store.backfills.add(order)
        self._drive(order, lock, resumed=False)
        return await self._shown(order)

    async def newest(self, limit: int) -> Sequence[Mapping[str, object]]:
        """Return how far they are, the newest first."""
        return [await self._shown(order) for order in await self._host.store.backfills.newest(limit)]

    async def one(self, id: str) -> Mapping[str, object]:
        """Return how far one is. Raises NotFoundError."""
        return await self._shown(await self._find(id))

    async def end(self, id: str) -> Mapping[str, object]:
        """Start nothing more of one, and stop what goes on. Raises NotFoundError, UsageError for one that is over."""
        order = await self._find(id)
        if not await self._host.store.backfills.end(id, Phase.STOPPED):
            raise UsageError(f"backfill {id} is {order.phase.value} already")
        if id in self._works:  # who else has it sees it before the next start
            await self._works[id].stop()
        return await self.one(id)

    # ------------------------------------------------------------ the server's own

    async def adopt(self) -> None:
        """Go on with those that have lost their server: at once, and again and again, until cancelled."""
        while True:
            for order in await self._host.store.backfills.going():
                if order.id not in self._tasks:
                    try:
                        self._drive(order, self._locked(order.id), resumed=True)
                    except LockedError:  # another server has it
                        continue
            await self._host.sleep(ADOPT_S)

    async def stop(self) -> None:
        """Start nothing more. The next server goes on."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    # ------------------------------------------------------------ parts

    def _locked(self, id: str) -> RunLock:
        lock = wiring.run_lock(self._host.places.data, id)
        lock.acquire_sync()
        return lock

    def _drive(self, order: Order, lock: RunLock, *, resumed: bool) -> None:
        task = asyncio.create_task(self._to_its_end(order, lock, resumed=resumed), name=f"backfill {order.id}")
        self._tasks[order.id] = task
        task.add_done_callback(lambda _task: self._tasks.pop(order.id, None))

    async def _to_its_end(self, order: Order, lock: RunLock, *, resumed: bool) -> None:
        kept = self._host.store.backfills
        try:
            await self._run(order, resumed=resumed)
            await kept.end(order.id, Phase.OVER)
        except StoreError as error:
            self._host.fail(error)
        except Exception as error:  # its file is gone, for example
            message = error.message if isinstance(error, ProvisioningError) else f"{type(error).__name__}: {error}"
            _log.error("backfill of %s: %s", order.name, message)
            for item in order.wanted:
                await kept.failed(order.id, item.run_id, message)
            await kept.end(order.id, Phase.OVER)
        finally:
            self._works.pop(order.id, None)
            lock.release_sync()

    async def _run(self, order: Order, *, resumed: bool) -> None:
        dag = await self._host.library.loaded(order.name)
        known = await asyncio.to_thread(self._states, order)
        rest = [item for item in order.wanted if known.get(item.run_id) not in RUN_ENDED and item.run_id not in order.errors]
        work = Backfill(
            dag,
            rest,
            HostRuns(self._host),
            parallel=order.parallel,
            given=order.given,
            actor=order.actor,
            keeper=_Keeper(self._host, order.id, resumed=resumed),
        )
        self._works[order.id] = work
        await work.run()

    async def _find(self, id: str) -> Order:
        order = await self._host.store.backfills.find(id)
        if order is None:
            raise NotFoundError(f"there is no backfill {id}")
        return order

    async def _shown(self, order: Order) -> Mapping[str, object]:
        return _document(order, await asyncio.to_thread(self._states, order))

    def _states(self, order: Order) -> Mapping[str, RunState]:
        return self._host.reading.pages(self._host.places.data).states([item.run_id for item in order.wanted])

    def _items(self, dag: DagFile, asked: Range) -> tuple[Item, ...]:
        timing = timing_of(dag, local_zone(), zone)
        if timing is None or not (timing.starts.lines or timing.starts.at):
            raise UsageError(f"{dag.name} has no schedule that starts it", hint="start it once instead")
        due = instants(timing.starts, asked.start, min(asked.end, self._host.now()), most=asked.limit)
        data = self._host.places.data
        state_of = states(self._host.reading.pages(data).history, data)
        return plan(dag.name, due, state_of, reprocess=asked.reprocess, newest_first=asked.newest_first)


class _Keeper(Keeper):
    """Keeps it in the store of a host."""

    def __init__(self, host: Host, id: str, *, resumed: bool) -> None:
        self._host, self._id, self.resumed = host, id, resumed

    async def may_start(self) -> bool:
        order = await self._host.store.backfills.find(self._id)
        return order is not None and order.phase is Phase.GOING

    async def failed(self, item: Item, message: str) -> None:
        await self._host.store.backfills.failed(self._id, item.run_id, message)


def _document(order: Order, known: Mapping[str, RunState]) -> dict[str, object]:
    """Return how far a backfill is: what `known` says of its runs."""
    over = [state for state in known.values() if state in RUN_ENDED]
    refused = {run: why for run, why in order.errors.items() if run not in known}
    return {
        "id": order.id,
        "name": order.name,
        "actor": order.actor,
        "asked_at": order.asked_at,
        "dry_run": False,
        "parallel": order.parallel,
        "total": len(order.items),
        "skipped": len(order.items) - len(order.wanted) + sum(why == ALREADY for why in order.errors.values()),
        "started": len(known),
        "ended": len(over),
        "failed": sum(state not in SUCCEEDED for state in over) + sum(why != ALREADY for why in refused.values()),
        "stopped": order.phase is Phase.STOPPED,
        "over": order.phase is Phase.OVER or (order.phase is Phase.STOPPED and len(over) == len(known)),
        "items": [_item(one, order, known) for one in order.items],
    }


def _item(one: Item, order: Order, known: Mapping[str, RunState]) -> dict[str, object]:
    state = known.get(one.run_id) if one.action is not Action.SKIP else None
    return {
        "at": one.at,
        "run_id": one.run_id,
        "action": one.action.value,
        "because": order.errors.get(one.run_id, one.because),
        "status": state.value if state is not None else "",
    }
