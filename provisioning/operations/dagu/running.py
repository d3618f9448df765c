"""Runs Dagu files in this process: one that somebody starts, or one that has ended, once more.

Each process drives its own run and holds that run's lock; a run that is open and whose lock is free has lost its process.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from provisioning import wiring
from provisioning.core import decide
from provisioning.core.dagu.compile import compile_dag
from provisioning.core.dagu.declared import CLEAN_UP_S, DagFile
from provisioning.core.dagu.params import Given, resolve
from provisioning.core.dagu.patterns import finds
from provisioning.core.dagu.text import Scope, expand
from provisioning.core.decide import Decision, Extent
from provisioning.core.frozen import dataclass
from provisioning.core.history import BY_SIGNAL, RunDetail
from provisioning.core.model import Workflow
from provisioning.core.ports import Commit
from provisioning.core.run import Run, new_run
from provisioning.core.schedules import SCHEDULED_AT
from provisioning.engine.runner import Runner
from provisioning.engine.worker import Place, Worker
from provisioning.errors import ConfigError, ExistsError, StaleRevision
from provisioning.operations import Listener
from provisioning.operations.audience import Audience
from provisioning.operations.dagu.catalogue import Catalogue
from provisioning.operations.dagu.definitions import Files, functions_of, readers
from provisioning.operations.dagu.otherwise import AS_IT_SAYS, Otherwise
from provisioning.operations.dagu.params import declared
from provisioning.operations.dagu.queues import Turn, turns_of
from provisioning.operations.dagu.retention import remove_expired
from provisioning.operations.driving import drive
from provisioning.settings import Settings

if TYPE_CHECKING:
    from provisioning.adapters.sqlite.store import SqliteStore
    from provisioning.engine.actions.dagu.tools import Tools

AT_ONCE = 100
"""Steps of a run at once, where the file sets no limit."""
POLL_S = 0.1
GONE = "its process is gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """How a run is started. `given` are the parameters; `otherwise` is for those who read the file again before it runs."""

    given: Sequence[Given] = ()
    run_id: str = ""
    trigger: str = "manual"
    actor: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    scheduled_at: datetime | None = None  # the instant of its schedule that it is for
    otherwise: Otherwise = AS_IT_SAYS

    def params(self) -> dict[str, object]:
        """Return what the run keeps of it: the parameters, and the instant."""
        given = [[one.name, one.value] for one in self.given]
        at = self.scheduled_at
        return {"params": given, **({SCHEDULED_AT: at.astimezone(UTC).isoformat()} if at is not None else {})}


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """How much of an ended run is run again."""

    step: str | None = None
    extent: Extent = Extent.BELOW


async def start(catalogue: Catalogue, dag: DagFile, asked: Start, settings: Settings, listener: Listener) -> RunDetail:
    """Run a DAG to its end. Raises ConfigError for parameters that it does not take, ExistsError for a taken run id."""
    check_params(dag, asked.given)
    run_id = asked.run_id or wiring.new_run_id()
    flow = _labelled(compile_dag(dag), asked.labels)
    params = asked.params()
    async with _session(catalogue, run_id, settings, listener) as session:
        place_logs(dag, catalogue.places.data, run_id)
        turns = turns_of(dag, catalogue.places.data, settings)
        if turns:
            await session.create(flow, asked, params)
            begin = session.begin_in_turn(turns)
        else:
            begin = session.runner.submit(run_id, flow, trigger=asked.trigger, actor=session.actor, params=params)
        try:
            ended = await session.drive(begin)
        except StaleRevision as error:
            raise _taken(run_id) from error
        await remove_expired(session.store, catalogue.places.data, dag, settings, but=run_id)
        return ended


async def retry(catalogue: Catalogue, run_id: str, again: Again, settings: Settings, listener: Listener) -> RunDetail:
    """Run an ended run, or one that has lost its process, again. Raises NotFoundError, UsageError, LockedError."""
    async with _session(catalogue, run_id, settings, listener) as session:
        await session.tidy_up()
        begin = session.runner.retry(run_id, from_step=again.step, extent=again.extent, actor=session.actor)
        return await session.drive(begin)


def place_logs(dag: DagFile, data: Path, run_id: str) -> None:
    """Have the logs of a run where its DAG wants them. Raises StoreError."""
    if dag.log_dir is not None:
        folder = expand(dag.log_dir.raw, Scope(variables=os.environ))
        wiring.place_logs(data, run_id, Path(folder).expanduser() / dag.name)


def check_params(dag: DagFile, given: Sequence[Given]) -> None:
    """Refuse parameters that the DAG does not take, before anything runs. Raises ConfigError with every fault."""
    known = [replace(one, required=one.required and one.default is None and one.evaluated is None) for one in declared(dag)]
    faults = resolve(known, [None] * len(known), given, finds).faults
    if faults:
        shown = [replace(one, file=Path(dag.file).name) for one in faults]
        raise ConfigError(f"{dag.name} cannot be run with these parameters", faults=shown)


# ---------------------------------------------------------------- one run


@dataclass(frozen=True, slots=True, kw_only=True)
class _Session:
    catalogue: Catalogue
    run_id: str
    store: SqliteStore
    runner: Runner
    worker: Worker
    audience: Audience
    actor: str
    stopped: asyncio.Event = field(default_factory=asyncio.Event)  # by a signal to this process

    async def drive(self, begin: Awaitable[Run]) -> RunDetail:
        """Serve the run until it has ended."""
        await drive(self.runner, self.worker, self.audience, self.run_id, begin, self._interrupt)
        if self.audience.failure is not None:
            raise self.audience.failure
        return self.store.history.run(self.run_id)

    async def _interrupt(self) -> None:
        self.audience.on_note("stopping what runs; Ctrl-C again leaves at once")
        self.stopped.set()
        await self.runner.cancel(self.run_id, BY_SIGNAL, self.actor)

    async def create(self, flow: Workflow, asked: Start, params: Mapping[str, object]) -> None:
        """Record the run, so that it is seen while it waits for its turn."""
        decision = Decision(run=new_run(self.run_id, flow), now=wiring.clock().now(), actor=self.actor)
        digest = await self.store.put_workflow(flow)
        decide.create(decision, digest, name=flow.name, trigger=asked.trigger, params=params)
        try:
            await self.store.commit(Commit(run=self.run_id, expected_seq=0, events=decision.events, fence=None))
        except StaleRevision as error:
            raise _taken(self.run_id) from error
        self.audience.on_run(self.run_id)

    async def begin_in_turn(self, turns: Sequence[Turn]) -> Run:
        """Start the run that was created, once every limit has room for it."""
        reason = await self._wait_for(turns)
        if reason:
            return await self.runner.abandon(self.run_id, reason)
        await self.runner.resume(only=[self.run_id])
        if self.stopped.is_set():  # since the last look: nobody drove the run then
            await self.runner.cancel(self.run_id, BY_SIGNAL, self.actor)
        return self.runner.open_runs().get(self.run_id) or await self.runner.ended(self.run_id)

    async def _wait_for(self, turns: Sequence[Turn]) -> str:
        """Take all slots; return why the run is not to run any more, if somebody stopped it meanwhile."""
        for turn in turns:
            told = False
            while not turn.try_take():
                if not told:
                    self.audience.on_note(f"queued: {turn.reason}")
                    told = True
                if self.stopped.is_set():
                    return BY_SIGNAL
                requests = await self.store.take_requests([self.run_id])
                await self.store.handled(requests)
                if any(request.kind == "cancel" for request in requests):
                    return "stopped"
                await asyncio.sleep(POLL_S)
        return ""

    async def tidy_up(self) -> None:
        """End what a process that is gone has left: its programs, and the run, which it could not end."""
        summary = self.store.history.summary(self.run_id)
        if summary.ended_at is None:
            for run_id in (*self.store.history.inside(self.run_id), self.run_id):
                await wiring.end_leftovers(run_id, CLEAN_UP_S)
            await self.runner.abandon(self.run_id, GONE)


@asynccontextmanager
async def _session(catalogue: Catalogue, run_id: str, settings: Settings, listener: Listener) -> AsyncIterator[_Session]:
    """Take the run's lock and open its store."""
    data, audience = catalogue.places.data, Audience(listener)
    async with AsyncExitStack() as stack:
        lock = wiring.run_lock(data, run_id)
        lock.acquire_sync()
        stack.callback(lock.release_sync)
        store = wiring.open_store(data)
        stack.callback(store.close)
        tools = wiring.dagu_tools(catalogue.places.dags, settings, lambda: functions_of(catalogue.places), readers())
        stack.push_async_callback(_close, tools)
        runner, worker = _engine(catalogue, settings, store, tools, audience)
        yield _Session(
            catalogue=catalogue,
            run_id=run_id,
            store=store,
            runner=runner,
            worker=worker,
            audience=audience,
            actor=wiring.identity(),
        )


def _engine(
    catalogue: Catalogue, settings: Settings, store: SqliteStore, tools: Tools, audience: Audience
) -> tuple[Runner, Worker]:
    """Return what decides of a run, and what does its steps."""
    clock = wiring.clock()
    at_hand: list[Worker] = []
    runner = Runner(
        store,
        clock,
        roll=random.random,
        stop_work=lambda run: at_hand[0].cancel(run),  # noqa: PLW0108 - the worker is made after the runner
        projections=(audience,),
        fence=None,
        poll_s=POLL_S,
    )
    actions = wiring.dagu_actions(tools, runner, Files(catalogue))
    logs = wiring.log_store(catalogue.places.data, settings)
    worker = Worker("local", store, actions, logs, clock, place=Place(slots=AT_ONCE), watcher=audience.on_output)
    at_hand.append(worker)
    return runner, worker


async def _close(tools: Tools) -> None:
    if tools.remote.made is not None:
        await tools.remote.made.close()


def _taken(run_id: str) -> ExistsError:
    return ExistsError(f"run {run_id} exists already", hint="leave the run id out to get a new one")


def _labelled(flow: Workflow, labels: Mapping[str, str]) -> Workflow:
    return replace(flow, labels={**flow.labels, **labels}) if labels else flow
