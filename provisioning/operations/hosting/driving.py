"""Drives the runs of DAG files that a server has: each under its lock, in its turn, from its start to its end.

A run whose trigger is a server's (see `is_servers`) and that has lost its process is taken up again; one that somebody started
on the command line is not: whoever did so sees that it ended, and retries it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from provisioning import wiring
from provisioning.core import decide
from provisioning.core.dagu.declared import CLEAN_UP_S, DagFile
from provisioning.core.decide import Decision, Extent
from provisioning.core.history import RunSummary
from provisioning.core.model import RUN_ENDED, Workflow
from provisioning.core.ports import Commit
from provisioning.core.run import Run, new_run
from provisioning.errors import (
    ExistsError,
    LockedError,
    NotFoundError,
    ProvisioningError,
    StaleRevision,
    StoreError,
    UsageError,
)
from provisioning.operations.dagu.listing import SOURCE
from provisioning.operations.dagu.queues import Turn, turns_of
from provisioning.operations.dagu.records import SUBDAG
from provisioning.operations.dagu.retention import remove_expired
from provisioning.operations.dagu.running import GONE, Start, place_logs
from provisioning.operations.hosting.losses import end_as_failed, end_lost

if TYPE_CHECKING:
    from provisioning.adapters.lock import RunLock
    from provisioning.operations.hosting.host import Host

_log = logging.getLogger("provisioning.server")
TRIGGERS = ("api", "schedule", "catchup", "backfill")
TIDY_AFTER_S, TIDY_S = 30.0, 3600.0  # until the first look for runs beyond their retention, and between two looks
TIDY_MOST, TIDY_PAUSE_S = 20, 0.5  # how many are removed at once, and the pause after that
ADOPT_S = 15.0  # between two looks for runs that have lost their server
TURN_S = 0.25  # between two tries to get a slot, or a lock
FREED_WITHIN_S = 5.0  # how long who has ended a run may take to let go of it


def is_servers(trigger: str) -> bool:
    """Whether a server started a run: those are taken up again."""
    return trigger.partition(":")[0] in TRIGGERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Driven:
    """One run that this server drives, and the limits that it counts in."""

    run_id: str
    lock: RunLock
    turns: Sequence[Turn] = ()
    dag: DagFile | None = None  # None: its file is gone, or says something else now
    over: asyncio.Event = field(default_factory=asyncio.Event)  # it is let go of
    stale: asyncio.Event = field(default_factory=asyncio.Event)  # somebody else has written to its journal
    lost: asyncio.Event = field(default_factory=asyncio.Event)  # and so it was ended
    taken: list[str] = field(default_factory=list)  # the pools of the turns that it has

    def give_back(self) -> None:
        """Let others have what it held."""
        for turn in self.turns:
            turn.release()
        self.lock.release_sync()
        self.over.set()


@dataclass(slots=True, eq=False)
class Drivers:
    """All runs of one host."""

    host: Host
    runs: dict[str, Driven] = field(default_factory=dict)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Hear of runs that are lost."""
        self.host.counts.alone = self.runs.__contains__
        self.host.counts.on_lost.append(self._hear_of_loss)

    async def begin(self, flow: Workflow, asked: Start, turns: Sequence[Turn], dag: DagFile) -> str:
        """Record a new run and drive it. Raises ExistsError, LockedError where somebody is starting one of this id."""
        run_id = asked.run_id or wiring.new_run_id()
        driven = Driven(run_id=run_id, lock=await self._locked_to_begin(run_id), turns=turns, dag=dag)
        try:
            await asyncio.to_thread(place_logs, dag, self.host.places.data, run_id)
            await self._record(run_id, flow, asked)
        except BaseException:
            driven.give_back()
            raise
        self._drive(driven, self._in_turn(driven))
        return run_id

    async def again(self, summary: RunSummary, actor: str, step: str | None, extent: Extent) -> None:
        """Run an ended run again, or one that has lost its process. Raises UsageError, LockedError, NotFoundError."""
        run_id = self._top(summary)
        runner = self.host.runner
        await self._reopen(summary, lambda: runner.retry(run_id, from_step=step, extent=extent, actor=actor))

    async def replay(self, summary: RunSummary, step: str, actor: str) -> None:
        """Run one step that failed for good again. Raises as `again`."""
        run_id = self._top(summary)
        await self.settled(summary)
        if run_id in self.runs:
            await self.host.runner.replay(run_id, [step], actor=actor)
        else:
            await self._reopen(summary, lambda: self.host.runner.replay(run_id, [step], actor=actor))

    async def settled(self, summary: RunSummary) -> None:
        """Wait until whoever drove a run that has ended has let go of it: the journal says so a moment before."""
        driven = self.runs.get(summary.run_id)
        if driven is not None and summary.state in RUN_ENDED:
            await driven.over.wait()

    async def adopt(self) -> None:
        """Take up what servers have lost: at once, and again and again, until cancelled."""
        while True:
            for summary in await asyncio.to_thread(self._lost):
                await self._try_to_take_up(summary)
            await self.host.sleep(ADOPT_S)

    async def keep_tidy(self) -> None:
        """Remove what is beyond the retention of each DAG, a little at a time: soon, and again and again, until cancelled.

        The end of a run does the same for its DAG; days go by also where nothing runs.
        """
        await self.host.sleep(TIDY_AFTER_S)
        while True:
            for entry in await asyncio.to_thread(self.host.library.entries):
                if entry.reading.dag is not None:
                    while await self._tidy(entry.reading.dag, most=TIDY_MOST):
                        await self.host.sleep(TIDY_PAUSE_S)
            await self.host.sleep(TIDY_S)

    async def stop(self) -> None:
        """Let go of all runs, as they are."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    # ------------------------------------------------------------ locks

    async def _locked_to_begin(self, run_id: str) -> RunLock:
        """Return the lock of a new run, taken. A lock alone is no run yet: whoever has it may fail to record one.

        Raises ExistsError where there is a run of this id, LockedError where nobody has recorded one in time.
        """
        try:
            return await self._locked(run_id)
        except LockedError as error:
            if await asyncio.to_thread(self.host.reading.pages(self.host.places.data).has, run_id):
                raise _taken(run_id) from error
            raise

    async def _locked(self, run_id: str) -> RunLock:
        """Return the lock of a run, taken. Whoever has just ended it has the lock for a moment more.

        Raises LockedError.
        """
        lock, last = wiring.run_lock(self.host.places.data, run_id), self.host.uptime_s() + FREED_WITHIN_S
        while True:
            try:
                lock.acquire_sync()
            except LockedError:
                if self.host.uptime_s() > last or await asyncio.to_thread(self._goes_on, run_id):
                    raise
            else:
                return lock
            await self.host.sleep(TURN_S)

    def _goes_on(self, run_id: str) -> bool:
        pages = self.host.reading.pages(self.host.places.data)
        return pages.has(run_id) and pages.history.summary(run_id).state not in RUN_ENDED

    # ------------------------------------------------------------ parts

    async def _record(self, run_id: str, flow: Workflow, asked: Start) -> None:
        """Write a run down, before anything of it happens. Raises ExistsError."""
        store = self.host.store
        decision = Decision(run=new_run(run_id, flow), now=self.host.now(), actor=asked.actor)
        digest = await store.put_workflow(flow)
        decide.create(decision, digest, name=flow.name, trigger=asked.trigger, params=asked.params())
        try:
            await store.commit(Commit(run=run_id, expected_seq=0, events=decision.events, fence=None))
        except StaleRevision as error:
            raise _taken(run_id) from error
        self.host.feeds.nudge()

    def _drive(self, driven: Driven, start: Awaitable[object]) -> None:
        self.runs[driven.run_id] = driven
        self._spawn(self._to_its_end(driven, start), f"run {driven.run_id}")

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _to_its_end(self, driven: Driven, start: Awaitable[object]) -> None:
        try:
            await self._followed(driven, start)
        finally:
            self.runs.pop(driven.run_id, None)
            driven.give_back()
        if driven.dag is not None:
            await self._tidy(driven.dag, but=driven.run_id)

    async def _followed(self, driven: Driven, start: Awaitable[object]) -> None:
        """Start a run and wait for its end. What goes wrong ends this run, and no other."""
        try:
            await start
            await self._over(driven)
        except StaleRevision as error:
            await self._broken(driven.run_id, error)
        except StoreError as error:
            self.host.fail(error)
        except NotFoundError as error:  # it was removed meanwhile
            _log.warning("run %s: %s", driven.run_id, error.message)
        except Exception as error:
            await self._broken(driven.run_id, error)

    async def _over(self, driven: Driven) -> None:
        """Wait for the end of a run, or until it was lost and ended. Raises NotFoundError.

        The end of a lost run is recorded under its lock, also where the runner, whose word does not count, is there before.
        """
        ways = [asyncio.ensure_future(each) for each in (self.host.runner.ended(driven.run_id), driven.lost.wait())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            if driven.stale.is_set():
                await driven.lost.wait()
            if ways[0].done():
                ways[0].result()
        finally:
            for way in ways:
                way.cancel()

    def _hear_of_loss(self, run_id: str, error: StaleRevision) -> None:
        self.runs[run_id].stale.set()
        self._spawn(self._lose(run_id, error), f"end {run_id}")

    async def _lose(self, run_id: str, error: StaleRevision) -> None:
        """End a run that somebody else has written to. Where not even that can be recorded, it is not about one run."""
        try:
            await end_lost(self.host, run_id, error)
        except Exception as second:
            self.host.fail(second)
        if run_id in self.runs:
            self.runs[run_id].lost.set()

    async def _broken(self, run_id: str, error: Exception) -> None:
        """End a run that cannot go on as failed, with the reason."""
        reason = error.message if isinstance(error, ProvisioningError) else f"{type(error).__name__}: {error}"
        _log.error("run %s: %s", run_id, reason)
        try:
            await self._end_as_failed(run_id, reason)
        except Exception as second:  # nothing can be recorded any more: that is not about one run
            self.host.fail(second)

    async def _end_as_failed(self, run_id: str, reason: str) -> None:
        if run_id in self.host.runner.open_runs():
            await self.host.runner.cancel(run_id, reason)
            await self.host.runner.ended(run_id)
            return
        await end_as_failed(self.host, run_id, reason)

    async def _tidy(self, dag: DagFile, *, but: str = "", most: int | None = None) -> bool:
        """Remove what is beyond a DAG's retention; return whether anything was."""
        store, data, settings = self.host.store, self.host.places.data, self.host.settings
        try:
            return bool(await remove_expired(store, data, dag, settings, but=but, most=most))
        except StoreError as error:
            self.host.fail(error)
        except Exception as error:  # a log that cannot be removed, for example
            _log.warning("old runs of %s stay: %s", dag.name, error)
        return False

    async def _in_turn(self, driven: Driven) -> None:
        """Start a run that was recorded, once every limit has room for it; end it if somebody stops it meanwhile."""
        for turn in driven.turns:
            while not turn.try_take():
                requests = await self.host.store.take_requests([driven.run_id])
                await self.host.store.handled(requests)
                if any(request.kind == "cancel" for request in requests):
                    await self.host.runner.abandon(driven.run_id, "stopped")
                    return
                await self.host.sleep(TURN_S)
            driven.taken.append(turn.pool)
        await self.host.runner.resume(only=[driven.run_id])

    async def _reopen(self, summary: RunSummary, begin: Callable[[], Awaitable[object]]) -> None:
        """Take a run that nobody drives, end what is left of it, and begin it again."""
        await self.settled(summary)
        if summary.run_id in self.runs:
            raise UsageError(f"run {summary.run_id} has not ended", hint="cancel it first, or wait for it")
        driven = Driven(run_id=summary.run_id, lock=await self._locked(summary.run_id), dag=await self._dag(summary.workflow))
        try:
            if summary.state not in RUN_ENDED:
                await self._end_leftovers(summary.run_id)
                await self.host.runner.abandon(summary.run_id, GONE)
            await begin()
        except BaseException:
            driven.give_back()
            raise
        self._drive(driven, _nothing())

    async def _try_to_take_up(self, summary: RunSummary) -> None:
        try:
            await self._take_up(summary)
        except LockedError:  # somebody was faster
            return
        except StoreError:
            raise
        except ProvisioningError as error:
            _log.warning("run %s is not taken up: %s", summary.run_id, error.message)

    async def _take_up(self, summary: RunSummary) -> None:
        """Drive a run on that a server has lost: what ran then is run again. Raises LockedError."""
        lock = wiring.run_lock(self.host.places.data, summary.run_id)
        lock.acquire_sync()
        try:
            dag = await self._dag(summary.workflow)
            turns = turns_of(dag, self.host.places.data, self.host.settings) if dag is not None else ()
            driven = Driven(run_id=summary.run_id, lock=lock, turns=turns, dag=dag)
            await self._end_leftovers(summary.run_id)
        except BaseException:
            lock.release_sync()
            raise
        self._drive(driven, self._in_turn(driven))

    async def _end_leftovers(self, run_id: str) -> None:
        for each in (*await asyncio.to_thread(self.host.store.history.inside, run_id), run_id):
            await wiring.end_leftovers(each, CLEAN_UP_S)

    async def _dag(self, name: str) -> DagFile | None:
        try:
            return await self.host.library.loaded(name)
        except ProvisioningError:
            return None

    def _lost(self) -> list[RunSummary]:
        """Return the runs of servers that are open and that nobody drives. Blocks."""
        pages = self.host.reading.pages(self.host.places.data)
        found = pages.unended()
        wanted = [one for one in found if one.source == SOURCE and is_servers(one.trigger) and one.run_id not in self.runs]
        return [one for one in wanted if self.host.reading.is_lost(self.host.places.data, one)]

    def _top(self, summary: RunSummary) -> str:
        """Return the id of a run that is driven by itself. Raises UsageError for one inside another."""
        if summary.trigger.startswith(SUBDAG):
            raise UsageError(f"run {summary.run_id} is a part of another", hint=f"retry {summary.trigger.removeprefix(SUBDAG)}")
        return summary.run_id


def _taken(run_id: str) -> ExistsError:
    return ExistsError(f"run {run_id} exists already", hint="leave the run id out to get a new one")


async def _nothing() -> Run | None:
    return None
