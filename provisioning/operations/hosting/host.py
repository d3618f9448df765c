"""One engine in a server's process: many runs at once over the store of the DAG files, each under its own lock.

Other processes may drive runs of the same store; those are steered through its inbox, as everybody does it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from provisioning import wiring
from provisioning.core.dagu.compile import compile_dag
from provisioning.core.dagu.declared import DagFile
from provisioning.core.decide import Extent
from provisioning.core.events import Event
from provisioning.core.letters import refuse_replayed
from provisioning.core.model import GateKind
from provisioning.core.plan import Selection
from provisioning.core.run import Run
from provisioning.core.schedules import Schedules
from provisioning.engine.runner import Runner
from provisioning.engine.worker import Place, Worker
from provisioning.operations import RunOptions
from provisioning.operations.dagu.definitions import functions_of, readers
from provisioning.operations.dagu.listing import SOURCE
from provisioning.operations.dagu.places import Places
from provisioning.operations.dagu.queues import turns_of
from provisioning.operations.dagu.running import AT_ONCE, Start, check_params
from provisioning.operations.dagu.times import local_zone
from provisioning.operations.hosting import steering
from provisioning.operations.hosting.backfills import Backfills
from provisioning.operations.hosting.counting import Counting, Counts
from provisioning.operations.hosting.driving import Drivers
from provisioning.operations.hosting.feeds import Feeds
from provisioning.operations.hosting.formulas import Formulas
from provisioning.operations.hosting.library import Library, Shelved
from provisioning.operations.hosting.logs import Logs
from provisioning.operations.hosting.looking import Looker
from provisioning.operations.hosting.places import Workspaces
from provisioning.operations.hosting.reading import FORMULA, Reading
from provisioning.operations.hosting.schedules import HostRuns, Logged
from provisioning.operations.scheduler import Scheduler, pausing, scheduler_of
from provisioning.operations.scheduler.listing import Scheduled, list_schedules
from provisioning.settings import Settings

if TYPE_CHECKING:
    from provisioning.adapters.sqlite.store import SqliteStore
    from provisioning.engine.actions.dagu.tools import Tools
    from provisioning.engine.runner import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The run that events are of: of one of a workspace nothing but its events is known here."""

    run: str
    name: str  # of the workflow, or of the workspace
    started_at: datetime | None = None
    of: Run | None = None


Observe = Callable[[Seen, Sequence[Event]], None]


class Watched:
    """A `Projection` that tells the feeds, and counts."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def binds(self, _run: Run) -> bool:
        """See `Projection`."""
        return False

    async def committed(self, run: Run, events: Sequence[Event]) -> None:
        """See `Projection`."""
        self._host.feeds.nudge()
        for one in self._host.observers:
            one(Seen(run=run.id, name=run.workflow.name, started_at=run.started_at, of=run), events)


class Host:
    """The engine of a server. Make it with `hosted`; all coroutines belong to one event loop."""

    def __init__(
        self,
        places: Places,
        settings: Settings,
        store: SqliteStore,
        tools: Tools,
        *,
        workspaces: Workspaces | None = None,
        reading: Reading | None = None,
    ) -> None:
        self.places, self.settings, self.store = places, settings, store
        self.remembered: Schedules = store.schedules
        self._clock = wiring.clock()
        self._began_s = self._clock.monotonic_s()
        self.workspaces = workspaces or Workspaces()
        self.library = Library(places, settings)
        self.reading = reading or Reading(places.data, store, self.workspaces)
        self.logs = Logs(self.reading)
        self.feeds = Feeds(Looker(self.reading, places.data, places.dags), self._clock)
        self.observers: list[Observe] = []  # of each commit
        self.scheduling: Scheduler | None = None
        self.formulas = Formulas(self.workspaces, lambda folder: self.reading.pages(folder).unended(), self._heard)
        self.failure: BaseException | None = None
        self.failed = asyncio.Event()
        self.counts = Counts()
        counting = Counting(store, self.counts, lambda: self.runner.open_runs(), self.now)  # noqa: PLW0108 - made after it
        self.runner = Runner(
            cast("Store", counting),
            self._clock,
            roll=random.random,
            stop_work=lambda run: self.worker.cancel(run),  # noqa: PLW0108 - the worker is made after the runner
            projections=(Watched(self),),
            fence=None,
        )
        self.worker = Worker(
            "server",
            store,
            wiring.dagu_actions(tools, self.runner, _Definitions(self.library)),
            wiring.log_store(places.data, settings),
            self._clock,
            place=Place(slots=AT_ONCE),
        )
        self.drivers = Drivers(self)
        self.backfills = Backfills(self)

    # ------------------------------------------------------------ the server's own

    def now(self) -> datetime:
        """Return the time, UTC."""
        return self._clock.now()

    def about(self) -> Sequence[str]:
        """Return what whoever starts the server is told beside where it listens."""
        return ()

    def uptime_s(self) -> float:
        """Return how long the server has been there."""
        return self._clock.monotonic_s() - self._began_s

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._clock.sleep(seconds)

    async def ready(self) -> str:
        """Return why the server cannot work; nothing when it can."""
        if self.failure is not None:
            return f"the engine has stopped: {self.failure}"
        await self.store.open_runs()
        return ""

    def driven(self) -> frozenset[str]:
        """Return the ids of the runs that this server drives, those that wait for their turn included."""
        return frozenset(self.drivers.runs) | self.formulas.running()

    def fail(self, error: BaseException) -> None:
        """Remember what stopped the engine, so that somebody can say it and end the process."""
        self.failure = self.failure or error
        self.failed.set()

    async def serve(self) -> None:
        """Work until cancelled. Raises what the store raises."""
        async with asyncio.TaskGroup() as group:
            for part in (
                self.runner.serve(),
                self.worker.serve(),
                self.feeds.serve(),
                self.drivers.adopt(),
                self.drivers.keep_tidy(),
                self.backfills.adopt(),
                self.formulas.adopt(),
            ):
                group.create_task(part)
            if self.scheduling is not None:
                group.create_task(self.scheduling.run())

    def _heard(self, workspace: str, event: Event) -> None:
        """An event of a run of a workspace was committed."""
        self.feeds.nudge()
        for one in self.observers:
            one(Seen(run=event.run, name=workspace), [event])

    # ------------------------------------------------------------ DAG files

    async def start_dag(self, dag: DagFile, asked: Start) -> str:
        """Record a run and have it start as soon as its limits have room; return its id.

        Raises ConfigError for parameters that it does not take, ExistsError for a taken run id.
        """
        check_params(dag, asked.given)
        turns = turns_of(dag, self.places.data, self.settings)
        flow = await asyncio.to_thread(compile_dag, dag)
        labelled = replace(flow, labels={**flow.labels, **asked.labels}) if asked.labels else flow
        return await self.drivers.begin(labelled, asked, turns, dag)

    async def retry(self, run_id: str, actor: str, *, step: str | None = None, extent: Extent = Extent.BELOW) -> None:
        """Run an ended run, or one that has lost its process, again. Raises NotFoundError, UsageError, LockedError."""
        _folder, workspace = await asyncio.to_thread(self.reading.place, run_id)
        summary = await asyncio.to_thread(self.reading.summary, run_id)
        if summary.source == SOURCE:
            await self.drivers.again(summary, actor, step, extent)
        elif summary.source == FORMULA:
            options = RunOptions(actor=actor, source="api", from_step=step)
            await self.formulas.retry(workspace, run_id, options, infra=summary.workflow)
        else:
            await asyncio.to_thread(steering.retry, self.reading, run_id, actor, step)

    async def replay(self, number: int, actor: str, workspace: str | None) -> None:
        """Run a step that failed for good again; formulas have no such steps. Raises NotFoundError, UsageError, LockedError."""
        folder = await asyncio.to_thread(self.reading.folder, workspace)
        letter = await asyncio.to_thread(self.reading.pages(folder).history.dead_letter, number)
        refuse_replayed(letter)
        summary = await asyncio.to_thread(self.reading.summary, letter.run_id)
        if summary.source == SOURCE:
            await self.drivers.replay(summary, letter.step, actor)
        else:
            await asyncio.to_thread(steering.replay, self.reading, folder, letter, actor)

    # ------------------------------------------------------------ steering: whoever drives the run is asked

    async def cancel(self, run_id: str, actor: str, reason: str = "") -> None:
        """Stop a run. Raises NotFoundError, UsageError for one that does not go on."""
        await self._steer(steering.cancel, run_id, actor, reason)

    async def pause(self, run_id: str, actor: str) -> None:
        """Have a run start nothing new. Raises as `cancel`."""
        await self._steer(steering.pause, run_id, actor)

    async def resume(self, run_id: str, actor: str) -> None:
        """Have a paused run go on. Raises as `cancel`."""
        await self._steer(steering.resume, run_id, actor)

    async def open_gate(self, run_id: str, actor: str, kind: GateKind, name: str, payload: object) -> None:
        """Send a signal. Raises as `cancel`."""
        await self._steer(steering.open_gate, run_id, actor, kind, name, payload)

    async def approve(self, run_id: str, actor: str, step: str, inputs: Mapping[str, str]) -> None:
        """Approve a step that waits. Raises as `cancel`, UsageError for one that does not wait."""
        await self._steer(steering.approve, run_id, actor, step, inputs)

    async def reject(self, run_id: str, actor: str, step: str, reason: str) -> None:
        """Reject a step that waits. Raises as `approve`."""
        await self._steer(steering.reject, run_id, actor, step, reason)

    async def delete(self, run_id: str) -> None:
        """Remove an ended run. Raises NotFoundError, UsageError for one that goes on, LockedError for one that is used."""
        await self.drivers.settled(await asyncio.to_thread(self.reading.summary, run_id))
        await asyncio.to_thread(steering.delete, self.reading, run_id)

    async def _steer(self, ask: Any, run_id: str, actor: str, *more: object) -> None:  # noqa: ANN401
        await asyncio.to_thread(ask, self.reading, run_id, actor, *more)

    # ------------------------------------------------------------ workspaces and schedules

    async def schedules(self) -> list[Scheduled]:
        """Return the DAGs that have a schedule, with how far they have been looked at and who has paused them."""
        entries, kept = await asyncio.to_thread(self.library.entries), await self.remembered.kept()
        return await asyncio.to_thread(list_schedules, entries, kept, local_zone())

    async def suspend(self, name: str, actor: str, *, suspended: bool) -> Shelved:
        """Pause the schedule of a DAG, or let it go on: as `schedule pause` and `resume`. Raises NotFoundError, StoreError."""
        entry = (await asyncio.to_thread(self.library.find, name)).entry
        if suspended:
            await pausing.pause(self.places, self.remembered, entry, by=actor, at=self.now())
        else:
            await pausing.resume(self.places, self.remembered, entry, at=self.now())
        self.feeds.nudge()
        return await asyncio.to_thread(self.library.find, name)

    async def provision(self, workspace: str, infra: str | None, selection: Selection, options: RunOptions) -> str:
        """Work on a workspace; return the run's id, nothing where there is nothing to do. Raises as `Project.provision`."""
        return await self.formulas.provision(workspace, infra, selection, options)


class _Definitions:
    """Finds DAGs for steps that run others, in the folder as it is then."""

    def __init__(self, library: Library) -> None:
        self._library = library

    async def find(self, name: str, run: str) -> DagFile:  # noqa: ARG002 - its files lie where every run finds them
        return await self._library.loaded(name)


@asynccontextmanager
async def hosted(places: Places, settings: Settings, *, scheduler: bool = False) -> AsyncIterator[Host]:
    """Have an engine at work for as long as the block lasts, with a scheduler if that is wanted.

    At its end, what runs is stopped; the runs stay open and are taken up by the next server.
    """
    async with AsyncExitStack() as stack:
        store = wiring.open_store(places.data)
        stack.callback(store.close)
        tools = wiring.dagu_tools(places.dags, settings, lambda: functions_of(places), readers())
        stack.push_async_callback(close_tools, tools)
        host = Host(places, settings, store, tools)
        stack.callback(host.reading.close)
        if scheduler:
            kind = settings.dagu.default_type
            host.scheduling = scheduler_of(places, store, HostRuns(host), default_type=kind, observer=Logged())
        serving = asyncio.create_task(guarded(host))
        stack.push_async_callback(_stop, host, serving)
        yield host


async def guarded(host: Host) -> None:
    """Serve until cancelled."""
    try:
        await host.serve()
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        host.fail(error)


async def _stop(host: Host, serving: asyncio.Task[None]) -> None:
    serving.cancel()
    await host.formulas.stop()
    await asyncio.gather(serving, return_exceptions=True)
    await host.backfills.stop()
    await host.drivers.stop()


async def close_tools(tools: Tools) -> None:
    """Close what the tools have opened."""
    if tools.remote.made is not None:
        await tools.remote.made.close()


__all__ = ["Host", "hosted"]
