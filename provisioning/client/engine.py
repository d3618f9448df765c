"""The engine in a client's process: takes the right to drive a store as soon as nobody else has it, and drives its runs."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import field
from datetime import datetime
from types import MappingProxyType
from typing import Protocol

from provisioning.client.outfit import Outfit, Pieces
from provisioning.core.attendance import Attendance
from provisioning.core.decide import Extent
from provisioning.core.events import Event, Kind
from provisioning.core.frozen import dataclass
from provisioning.core.history import History
from provisioning.core.letters import Alarm
from provisioning.core.model import Workflow
from provisioning.core.placement import Roster
from provisioning.core.ports import Clock, Lease, LogStore, Request
from provisioning.core.presence import FRESH_S, Presence
from provisioning.core.run import Run
from provisioning.engine.actions import Action
from provisioning.engine.limits import Limits
from provisioning.engine.runner import Projection, Runner, Store
from provisioning.engine.worker import Place, Worker
from provisioning.errors import Fenced, LockedError, ProvisioningError, StoreError
from provisioning.operations.orders import ORDERS

WORKER = "local"
TAKE_OVER_S = 0.3
POLL_S = 0.1
LOG = logging.getLogger("provisioning")
_DEADLY = frozenset({Kind.STEP_FAILED, Kind.STEP_TIMED_OUT})
_COUNTED = _DEADLY | {Kind.RUN_REOPENED}


class HistoryStore(Store, Protocol):
    """A store and what it remembers."""

    @property
    def history(self) -> History:
        """What happened."""
        ...

    async def delete_dead_letters(self, *, before: datetime | None = None, waiting: bool = False) -> int:
        """Remove dead letters that were replayed, `waiting` ones too; only those that died `before`. Return how many."""
        ...


def warn_of_dead_letters(count: int) -> None:
    """Log that so many dead letters wait."""
    waits = "dead letter waits" if count == 1 else "dead letters wait"
    LOG.warning("%d %s: `provisioning deadletter list` shows them", count, waits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How an embedded engine works. `pools` has the slots of pools that all runs share; `runs` is how many go on at once."""

    slots: int = 32
    pools: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    runs: int = 0
    worker: str = WORKER
    targets: Sequence[str] | None = None
    adopt: bool = True  # also what others have submitted, ordered, or left open
    alert_at: int = 0  # dead letters at which `on_alarm` is called with their number; 0 is never
    on_alarm: Callable[[int], None] = field(default=warn_of_dead_letters)


class Bell(Protocol):
    """Is rung after each commit of ours."""

    def ring(self) -> None:
        """Wake who waits."""
        ...

    async def heard(self) -> None:
        """Wait for the next ring."""
        ...


class Crew(Protocol):
    """The workers of a cluster, as they are known here."""

    async def known(self) -> Sequence[Presence]:
        """Return them, once there was time to hear of all."""
        ...

    async def changed(self, within_s: float) -> None:
        """Wait until one of them says something, or none has for so long."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What an engine is made of. `actions` are made for a runner, and the outfit is opened, once we have the right to drive."""

    store: HistoryStore
    lease: Lease
    clock: Clock
    logs: LogStore
    bell: Bell
    actions: Callable[[Runner], Mapping[str, Action]]
    outfit: Outfit
    crew: Crew | None = None  # workers in other processes; None: the engine has its own
    there: Callable[[], Awaitable[Sequence[Presence] | None]] | None = None  # the workers, where they are elsewhere
    catch_up: Callable[[], Awaitable[None]] | None = None  # where the history is a copy: brings it up to this moment


class _Ringing:
    """A projection that only tells that something happened."""

    def __init__(self, bell: Bell) -> None:
        self._bell = bell

    def binds(self, _run: Run) -> bool:
        return False

    async def committed(self, _run: Run, _events: Sequence[Event]) -> None:
        self._bell.ring()


class _Counting:
    """A projection that counts the dead letters after what may have changed their number."""

    def __init__(self, history: History, options: Options) -> None:
        self._history, self._alarm, self._on_alarm = history, Alarm(threshold=options.alert_at), options.on_alarm
        self._alarm.hear(history.count_dead_letters())  # those that are there have been told of

    def binds(self, _run: Run) -> bool:
        return False

    async def committed(self, _run: Run, events: Sequence[Event]) -> None:
        if not any(event.kind in _COUNTED for event in events):
            return
        count, new = self._history.count_dead_letters(), sum(event.kind in _DEADLY and event.attempt > 0 for event in events)
        # Some may have been removed meanwhile, which no event tells: it may have been low just before.
        if self._alarm.hear(count - new) or self._alarm.hear(count):
            try:
                self._on_alarm(count)
            except Exception as error:  # whoever is told cannot stop the engine
                LOG.error("the alarm for dead letters failed: %s", error)


class _Watch:
    """Tells a runner which workers are there. Who has something is not given up because nobody has heard of it yet."""

    def __init__(self, runner: Runner, crew: Crew, roster: Roster, clock: Clock) -> None:
        self._runner, self._crew, self._roster, self._clock = runner, crew, roster, clock
        self._attendance = Attendance()

    async def look(self) -> None:
        """Look once."""
        seen, having = await self._crew.known(), self._roster.workers_named()
        there, lingering = self._attendance.look(seen, self._clock.now(), self._clock.monotonic_s(), having)
        await self._runner.see(there, lingering)

    async def serve(self) -> None:
        """Look again and again until cancelled."""
        while True:
            await self._crew.changed(FRESH_S / 3)
            await self.look()


def _own_projections(parts: Parts, options: Options) -> list[Projection]:
    counting = [_Counting(parts.store.history, options)] if options.alert_at else []
    return [_Ringing(parts.bell), *counting]


class Engine:
    """Contends for the lease from `start` on; `runner` is there while we have it."""

    def __init__(self, parts: Parts, options: Options) -> None:
        self._parts, self._options = parts, options
        self._serving: asyncio.Task[None] | None = None
        self._leading, self._following = asyncio.Event(), asyncio.Event()
        self._worker: Worker | None = None
        self.runner: Runner | None = None

    async def start(self) -> None:
        """Begin to contend; return once we drive the store, or know that somebody else does."""
        tried = asyncio.Event()
        self._serving = asyncio.create_task(self._contend(tried))
        waits = [asyncio.create_task(tried.wait()), self._serving]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        waits[0].cancel()
        self.check()

    async def stop(self) -> None:
        """Stop what runs, and give up the lease. What was stopped is taken up by whoever drives the store next."""
        if self._serving is not None:
            self._serving.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await self._serving

    async def over(self) -> None:
        """Wait until the engine has ended. Raises what ended it."""
        if self._serving is not None:
            await asyncio.wait([self._serving])
        self.check()

    def check(self) -> None:
        """Raise what ended the engine."""
        if self._serving is not None and self._serving.done() and not self._serving.cancelled():
            error = self._serving.exception()
            if error is not None:
                raise _first(error)

    async def ended(self, run_id: str, timeout_s: float | None = None) -> None:
        """Wait until a run that we drive has ended, we drive no more, or the time is over. Another run is not waited for."""
        runner, serving = self.runner, self._serving
        if runner is None or serving is None or run_id not in runner.open_runs():
            return
        waits = [asyncio.ensure_future(runner.ended(run_id)), asyncio.ensure_future(self._following.wait())]
        try:
            await asyncio.wait([*waits, serving], timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()

    async def handed_over(self) -> None:
        """Wait until we drive the store."""
        await self._leading.wait()

    # ------------------------------------------------------------ parts

    async def _contend(self, tried: asyncio.Event) -> None:
        """Take the right and drive. In a cluster that may be over: somebody else has taken over, or no server answers any more.

        Then drop what we thought, and begin again after a while: a cluster that chooses its leader refuses for a moment.
        """
        while True:
            token = await self._take_right(tried)
            try:
                await self._drive(token, await self._parts.outfit.open(token), tried)
            except* StoreError as lost:
                if self._parts.store.ordered is None:  # nobody takes over while a process lives
                    raise
                LOG.warning("no longer driving: %s", _first(lost))
            finally:
                self.runner = None
                self._leading.clear()
                self._following.set()
                await self._parts.store.resign()
                await self._parts.outfit.close()
                await self._parts.lease.release()
            await self._parts.clock.sleep(TAKE_OVER_S)

    async def _take_right(self, tried: asyncio.Event) -> int:
        said = ""
        while True:
            try:
                return await self._parts.lease.acquire(wait=False)
            except LockedError:
                tried.set()
                said = ""
            except StoreError as error:
                if not tried.is_set():  # nobody is to wait for a server that was never there
                    raise
                if error.message != said:  # it is tried several times a second
                    LOG.warning("not driving: %s", error.message)
                said = error.message
            await self._parts.clock.sleep(TAKE_OVER_S)

    async def _drive(self, token: int, pieces: Pieces, tried: asyncio.Event) -> None:
        parts, options, limits = self._parts, self._options, self._limits()
        runner = Runner(
            parts.store,
            parts.clock,
            roll=random.random,
            stop_work=self._stop_work,
            projections=(*pieces.projections, *_own_projections(parts, options)),
            fence=token,
            poll_s=POLL_S,
            limits=limits,
        )
        watch = _Watch(runner, parts.crew, limits.roster, parts.clock) if parts.crew is not None and limits.roster else None
        await parts.store.take_over(token)
        worker = self._worker = self._working(runner, pieces) if parts.store.ordered is None else None
        if options.adopt:
            await runner.resume(self._wanted)
        if watch is not None:
            await watch.look()
        self.runner = runner
        self._leading.set()
        self._following.clear()
        tried.set()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._until_lost())
            group.create_task(runner.serve())
            if worker is not None:
                group.create_task(worker.serve())
            if watch is not None:
                group.create_task(watch.serve())
            if options.adopt:
                group.create_task(self._take_orders(runner))

    def _limits(self) -> Limits:
        """Return the limits: with workers elsewhere, what they can take counts instead of our own slots."""
        options, elsewhere = self._options, self._parts.crew is not None
        slots, roster = (0, Roster()) if elsewhere else (options.slots, None)
        return Limits(slots=slots, runs=options.runs, pools=options.pools, roster=roster)

    def _working(self, runner: Runner, pieces: Pieces) -> Worker:
        """Return the worker that lives and dies with a runner. In a cluster they are apart."""
        parts, options = self._parts, self._options
        worker = Worker(
            options.worker,
            parts.store,
            {**parts.actions(runner), **pieces.actions},
            parts.logs,
            parts.clock,
            place=Place(slots=options.slots, targets=options.targets),
        )
        worker.hide(pieces.hidden)
        return worker

    def _wanted(self, workflow: Workflow) -> bool:
        """Whether an open run is taken up. In a cluster all are: nobody else would."""
        return ours(workflow) or self._parts.store.ordered is not None

    async def _until_lost(self) -> None:
        await self._parts.lease.lost()
        raise Fenced("the lease was lost")

    async def _stop_work(self, run: str) -> None:
        if self._worker is not None:
            await self._worker.cancel(run)

    async def _take_orders(self, runner: Runner) -> None:
        """Do what clients in other processes ask for. They have checked that it makes sense; what does not any more is left."""
        while True:
            orders = await self._parts.store.take_requests([ORDERS])
            for order in orders:
                try:
                    await obey(runner, order, self._wanted)
                except StoreError:  # it was not followed, and may be: it stays, for whoever drives next
                    raise
                except ProvisioningError as error:
                    LOG.info("order %s was not followed: %s", order.kind, error.message)
            if orders:
                await self._parts.store.handled(orders)
            await self._parts.clock.sleep(POLL_S)


async def obey(runner: Runner, order: Request, wanted: Callable[[Workflow], bool]) -> None:
    """Do what an order says; open runs are taken up where they are `wanted`. Raises what the runner raises."""
    data = order.data
    if order.kind == "adopt":
        await runner.resume(wanted)
    elif order.kind == "retry":
        step, most = data.get("from_step"), data.get("max_parallel")
        await runner.retry(
            str(data["run"]),
            from_step=str(step) if step else None,
            keep_going=bool(data.get("keep_going")),
            max_parallel=most if isinstance(most, int) else 0,
            extent=Extent(str(data.get("extent", Extent.NEEDED.value))),
            actor=order.actor,
            upto=order.id,
        )
    elif order.kind == "replay":
        await runner.replay(str(data["run"]), [str(data["step"])], actor=order.actor, upto=order.id)


def ours(workflow: Workflow) -> bool:
    """Whether an open run is taken up again. What a workspace's runner left is for the next plan to look at."""
    return workflow.source is None or workflow.source.kind != "formula"


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
