"""One runner at work on a workspace: lock, catch up with what an earlier one left, run, close."""

from __future__ import annotations

import asyncio
import random
import shlex
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

from provisioning import wiring
from provisioning.core.compile import compile_plan
from provisioning.core.frozen import dataclass
from provisioning.core.history import RunDetail
from provisioning.core.plan import Plan, Selection
from provisioning.core.planner import check_selection, make_plan
from provisioning.core.resources import Actor
from provisioning.core.run import Run
from provisioning.engine.recorder import Recorder
from provisioning.engine.runner import Runner
from provisioning.engine.worker import Place, Worker
from provisioning.errors import ProvisioningError, StoreError, UsageError
from provisioning.operations import Listener, Project, RunOptions, RunResult
from provisioning.operations.audience import Audience
from provisioning.operations.catchup import catch_up
from provisioning.operations.driving import drive
from provisioning.operations.failure import explain, resume_command, retry_command

if TYPE_CHECKING:
    from provisioning.adapters.sqlite.store import SqliteStore
    from provisioning.core.hosts import Hosts
    from provisioning.core.ports import Clock

T = TypeVar("T")
_TURNS = 8  # of the event loop, until a connection is asked for
STOPPED = "what ran on the servers was stopped, and the next run goes on from there"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """What there is as soon as we hold the workspace: its states, and the ways to its servers."""

    project: Project
    options: RunOptions
    audience: Audience
    actor: str
    clock: Clock
    token: int  # fencing token of the lock
    recorder: Recorder
    hosts: Hosts

    async def warm(self, plan: Plan) -> None:
        """Open the connections that a plan needs, all at once. What fails is told by the step that needs it."""
        wanted = {step.server for step in plan.steps if step.runs}
        with suppress(ProvisioningError):
            await self.hosts.warm([server for server in self.project.infra.servers if server.hostname in wanted])


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Everything that works while we hold the workspace."""

    project: Project
    options: RunOptions
    audience: Audience
    store: SqliteStore
    recorder: Recorder
    hosts: Hosts
    runner: Runner
    worker: Worker
    actor: str

    async def drive(self, run_id: str, start: Awaitable[Run]) -> RunDetail:
        """Start a run and serve it until it has ended. Raises what stopped us, after stopping what runs.

        What a listener raised comes last: the run has ended then, and is recorded.
        """
        try:
            await drive(self.runner, self.worker, self.audience, run_id, start, lambda: self._interrupt(run_id))
            await self.hosts.recorded()
        except StoreError as error:
            error.hint = "; ".join(filter(None, (error.hint, STOPPED)))
            raise
        if self.audience.failure is not None:
            raise self.audience.failure
        return self.store.history.run(run_id)

    async def _interrupt(self, run_id: str) -> None:
        self.audience.on_note("stopping what runs on the servers; Ctrl-C again leaves at once")
        await self.runner.cancel(run_id, "interrupted", self.actor)


async def provision(
    project: Project, selection: Selection, options: RunOptions, listener: Listener, show: Callable[[Plan], None]
) -> RunResult:
    """Plan and run. See `Project.provision`."""
    check_selection(project.infra, selection)
    async with hold_workspace(project, options, listener) as held:
        book = held.recorder.book
        plan = make_plan(project.infra, selection, book)
        warming = asyncio.create_task(held.warm(plan))
        await _under_way()  # servers take their time to greet: meanwhile the rest is opened
        async with open_session(held) as session:
            if session.recorder.book is not book:  # a killed runner had left something
                plan = make_plan(project.infra, selection, session.recorder.book)
            show(plan)
            limit = options.max_parallel or project.settings.run.max_parallel
            flow = compile_plan(plan, project.infra, keep_going=options.keep_going, max_parallel=limit)
            run_id = wiring.new_run_id()
            start = session.runner.submit(run_id, flow, trigger=options.source, actor=session.actor)
            detail = await session.drive(run_id, start)
            warming.cancel()
            return _result(detail, resume_command(project.folder, project.infra, selection, options))


async def retry(project: Project, run: str, options: RunOptions, listener: Listener) -> RunResult:
    """Reopen an ended run. See `Project.retry`."""
    async with hold_workspace(project, options, listener) as held, open_session(held) as session:
        summary = session.store.history.run(run).summary
        if summary.workflow != project.infra.name:
            message = f"run {summary.run_id} is of infra {summary.workflow!r}, not {project.infra.name!r}"
            raise UsageError(message, hint=f"--infra {shlex.quote(summary.workflow)}")
        start = session.runner.retry(
            summary.run_id,
            from_step=options.from_step,
            keep_going=options.keep_going,
            max_parallel=options.max_parallel,
            actor=session.actor,
        )
        detail = await session.drive(summary.run_id, start)
        return _result(detail, retry_command(project.folder, project.infra, summary.run_id))


@asynccontextmanager
async def hold_workspace(project: Project, options: RunOptions, listener: Listener) -> AsyncIterator[Hold]:
    """Take the lock and read the states."""
    clock = wiring.clock()
    actor = options.actor or wiring.identity()
    async with AsyncExitStack() as stack:
        lease = wiring.workspace_lock(project.folder)
        token = await lease.acquire(wait=options.wait)
        stack.push_async_callback(lease.release)
        states = wiring.state_file(project.folder)
        if not states.path.exists():  # units on servers are named by the lineage: the next runner has to find it
            await states.save(await states.load())
        recorder = Recorder(states, clock, Actor(identity=actor, source=options.source))
        await recorder.load()
        hosts = project.connect(project.folder, project.infra.servers, project.settings)
        stack.push_async_callback(hosts.close)
        yield Hold(
            project=project,
            options=options,
            audience=Audience(listener),
            actor=actor,
            clock=clock,
            token=token,
            recorder=recorder,
            hosts=hosts,
        )


@asynccontextmanager
async def open_session(held: Hold) -> AsyncIterator[Session]:
    """Open the store, and bring the states up to date with what a killed runner left behind."""
    wiring.load_ahead()
    store = wiring.open_store(held.project.folder)
    try:
        worker = _worker(held, store)
        runner = Runner(
            store,
            held.clock,
            roll=random.random,
            stop_work=worker.cancel,
            projections=(held.recorder, held.audience),
            fence=held.token,
        )
        session = Session(
            project=held.project,
            options=held.options,
            audience=held.audience,
            store=store,
            recorder=held.recorder,
            hosts=held.hosts,
            runner=runner,
            worker=worker,
            actor=held.actor,
        )
        await catch_up(store, held.recorder, held.clock, held.token, held.audience.on_note)
        yield session
    finally:
        store.close()


async def _under_way() -> None:
    """Let tasks that were just made come to where they wait for others."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)


def _worker(held: Hold, store: SqliteStore) -> Worker:
    """Return who does the steps, and shows none of the secrets that the workspace names."""
    project = held.project
    lineage = held.recorder.book.lineage
    worker = Worker(
        "local",
        store,
        wiring.actions(project.infra, project.folder, held.hosts, lineage=lineage, token=held.token),
        wiring.log_store(project.folder, project.settings),
        wiring.clock(),
        place=Place(slots=held.options.max_parallel or project.settings.run.max_parallel),
        watcher=held.audience.on_output,
    )
    worker.hide(wiring.declared_secrets(project.infra, project.folder))
    return worker


def _result(detail: RunDetail, resume: str) -> RunResult:
    failure = explain(detail, resume, wiring.last_lines)
    return RunResult(detail=detail, failure=failure)


def run_blocking(work: Coroutine[None, None, T]) -> T:
    """Run a coroutine to its end in an event loop of its own."""
    return asyncio.run(work)
