"""Drives the runs of DAG files that a server has: each under its lock, in its turn, from its start to its end.

A run whose trigger is a server's (see `is_servers`) and that has lost its process is taken up again; one that somebody started
on the command line is not: whoever did so sees that it ended, and retries it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from provisioning import wiring
from provisioning.core import decide
from provisioning.core.dagu.declared import CLEAN_UP_S, DagFile
from provisioning.core.decide import Decision, Extent
from provisioning.core.history import RunSummary
from provisioning.core.model import RUN_ENDED, Workflow
from provisioning.core.ports import Commit
from provisioning.core.run import Run, new_run
from provisioning.errors import ExistsError, LockedError, ProvisioningError, StaleRevision, StoreError, UsageError
from provisioning.operations.dagu.listing import SOURCE
from provisioning.operations.dagu.queues import Turn, turns_of
from provisioning.operations.dagu.records import SUBDAG
from provisioning.operations.dagu.retention import remove_expired
from provisioning.operations.dagu.running import GONE, Start, place_logs

if TYPE_CHECKING:
    from provisioning.adapters.lock import RunLock
    from provisioning.operations.hosting.host import Host

_log = logging.getLogger("provisioning.server")
TRIGGERS = ("api", "schedule", "catchup", "backfill")
ADOPT_S = 15.0  # between two looks for runs that have lost their server
TURN_S = 0.25  # between two tries to get a slot


def is_servers(trigger: str) -> bool:
    """Whether a server started a run: those are taken up again."""
    return trigger.partition(":")[0] in TRIGGERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Driven:
    """One run that this server drives."""

    run_id: str
    lock: RunLock
    turns: Sequence[Turn] = ()
    dag: DagFile | None = None  # None: its file is gone, or says something else now

    def give_back(self) -> None:
        """Let others have what it held."""
        for turn in self.turns:
            turn.release()
        self.lock.release_sync()


@dataclass(slots=True, eq=False)
class Drivers:
    """All runs of one host."""

    host: Host
    runs: dict[str, Driven] = field(default_factory=dict)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def begin(self, flow: Workflow, asked: Start, turns: Sequence[Turn], dag: DagFile) -> str:
        """Record a new run and drive it. Raises ExistsError."""
        run_id = asked.run_id or wiring.new_run_id()
        driven = Driven(run_id=run_id, lock=self._locked(run_id), turns=turns, dag=dag)
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
        if run_id in self.runs:
            await self.host.runner.replay(run_id, [step], actor=actor)
        else:
            await self._reopen(summary, lambda: self.host.runner.replay(run_id, [step], actor=actor))

    async def adopt(self) -> None:
        """Take up what servers have lost: at once, and again and again, until cancelled."""
        while True:
            for summary in await asyncio.to_thread(self._lost):
                try:
                    await self._take_up(summary)
                except LockedError:  # somebody was faster
                    continue
            await self.host.sleep(ADOPT_S)

    async def stop(self) -> None:
        """Let go of all runs, as they are."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    # ------------------------------------------------------------ parts

    def _locked(self, run_id: str) -> RunLock:
        """Return the lock of a run, taken. Raises ExistsError where somebody drives one of this id."""
        lock = wiring.run_lock(self.host.places.data, run_id)
        try:
            lock.acquire_sync()
        except LockedError as error:
            raise ExistsError(f"run {run_id} exists already", hint="leave the run id out to get a new one") from error
        return lock

    async def _record(self, run_id: str, flow: Workflow, asked: Start) -> None:
        """Write a run down, before anything of it happens. Raises ExistsError."""
        store = self.host.store
        decision = Decision(run=new_run(run_id, flow), now=self.host.now(), actor=asked.actor)
        digest = await store.put_workflow(flow)
        decide.create(decision, digest, name=flow.name, trigger=asked.trigger, params=asked.params())
        try:
            await store.commit(Commit(run=run_id, expected_seq=0, events=decision.events, fence=None))
        except StaleRevision as error:
            raise ExistsError(f"run {run_id} exists already", hint="leave the run id out to get a new one") from error
        self.host.feeds.nudge()

    def _drive(self, driven: Driven, start: Awaitable[object]) -> None:
        self.runs[driven.run_id] = driven
        task = asyncio.create_task(self._to_its_end(driven, start), name=f"run {driven.run_id}")
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _to_its_end(self, driven: Driven, start: Awaitable[object]) -> None:
        try:
            await start
            await self.host.runner.ended(driven.run_id)
            if driven.dag is not None:
                store, data, settings = self.host.store, self.host.places.data, self.host.settings
                await remove_expired(store, data, driven.dag, settings, but=driven.run_id)
        except StoreError as error:
            self.host.fail(error)
        except ProvisioningError as error:  # it was removed meanwhile, or is damaged: others go on
            _log.warning("run %s: %s", driven.run_id, error.message)
        finally:
            self.runs.pop(driven.run_id, None)
            driven.give_back()

    async def _in_turn(self, driven: Driven) -> None:
        """Start a run that was recorded, once every limit has room for it; end it if somebody stops it meanwhile."""
        for turn in driven.turns:
            while not turn.try_take():
                requests = await self.host.store.take_requests([driven.run_id])
                if any(request.kind == "cancel" for request in requests):
                    await self.host.runner.abandon(driven.run_id, "stopped")
                    return
                await self.host.sleep(TURN_S)
        await self.host.runner.resume(only=[driven.run_id])

    async def _reopen(self, summary: RunSummary, begin: object) -> None:
        """Take a run that nobody drives, end what is left of it, and begin it again."""
        if summary.run_id in self.runs:
            raise UsageError(f"run {summary.run_id} has not ended", hint="cancel it first, or wait for it")
        lock = wiring.run_lock(self.host.places.data, summary.run_id)
        lock.acquire_sync()
        driven = Driven(run_id=summary.run_id, lock=lock)
        try:
            if summary.state not in RUN_ENDED:
                await self._end_leftovers(summary.run_id)
                await self.host.runner.abandon(summary.run_id, GONE)
            await begin()  # type: ignore[operator]
        except BaseException:
            driven.give_back()
            raise
        self._drive(driven, _nothing())

    async def _take_up(self, summary: RunSummary) -> None:
        """Drive a run on that a server has lost: what ran then is run again. Raises LockedError."""
        lock = wiring.run_lock(self.host.places.data, summary.run_id)
        lock.acquire_sync()
        dag = await self._dag(summary.workflow)
        turns = turns_of(dag, self.host.places.data, self.host.settings) if dag is not None else ()
        driven = Driven(run_id=summary.run_id, lock=lock, turns=turns, dag=dag)
        await self._end_leftovers(summary.run_id)
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


async def _nothing() -> Run | None:
    return None
