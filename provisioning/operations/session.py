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

T = TypeVar("T")
STOPPED = "what ran on the servers was stopped, and the next run goes on from there"


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
    async with open_session(project, options, listener) as session:
        plan = make_plan(project.infra, selection, session.recorder.book)
        show(plan)
        limit = options.max_parallel or project.settings.run.max_parallel
        flow = compile_plan(plan, project.infra, keep_going=options.keep_going, max_parallel=limit)
        warming = asyncio.create_task(_warm(session, plan))
        run_id = wiring.new_run_id()
        start = session.runner.submit(run_id, flow, trigger=options.source, actor=session.actor)
        detail = await session.drive(run_id, start)
        warming.cancel()
        return _result(detail, resume_command(project.folder, project.infra, selection, options))


async def retry(project: Project, run: str, options: RunOptions, listener: Listener) -> RunResult:
    """Reopen an ended run. See `Project.retry`."""
    async with open_session(project, options, listener) as session:
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
async def open_session(project: Project, options: RunOptions, listener: Listener) -> AsyncIterator[Session]:
    """Take the lock, open the stores, and bring the books up to date with what a killed runner left behind."""
    wiring.load_ahead()
    clock = wiring.clock()
    actor = options.actor or wiring.identity()
    audience = Audience(listener)
    async with AsyncExitStack() as stack:
        lease = wiring.workspace_lock(project.folder)
        token = await lease.acquire(wait=options.wait)
        stack.push_async_callback(lease.release)
        states = wiring.state_file(project.folder)
        if not states.path.exists():  # units on servers are named by the lineage: the next runner has to find it
            await states.save(await states.load())
        recorder = Recorder(states, clock, Actor(identity=actor, source=options.source))
        book = await recorder.load()
        store = wiring.open_store(project.folder)
        stack.callback(store.close)
        hosts = project.connect(project.folder, project.infra.servers, project.settings)
        stack.push_async_callback(hosts.close)
        worker = _worker(project, options, store, hosts, audience, lineage=book.lineage, token=token)
        runner = Runner(
            store,
            clock,
            roll=random.random,
            stop_work=worker.cancel,
            projections=(recorder, audience),
            fence=token,
        )
        session = Session(
            project=project,
            options=options,
            audience=audience,
            store=store,
            recorder=recorder,
            hosts=hosts,
            runner=runner,
            worker=worker,
            actor=actor,
        )
        await catch_up(store, recorder, clock, token, audience.on_note)
        yield session


def _worker(
    project: Project,
    options: RunOptions,
    store: SqliteStore,
    hosts: Hosts,
    audience: Audience,
    *,
    lineage: str,
    token: int,
) -> Worker:
    """Return who does the steps, and shows none of the secrets that the workspace names."""
    worker = Worker(
        "local",
        store,
        wiring.actions(project.infra, project.folder, hosts, lineage=lineage, token=token),
        wiring.log_store(project.folder, project.settings),
        wiring.clock(),
        place=Place(slots=options.max_parallel or project.settings.run.max_parallel),
        watcher=audience.on_output,
    )
    worker.hide(wiring.declared_secrets(project.infra, project.folder))
    return worker


async def _warm(session: Session, plan: Plan) -> None:
    """Open the connections that the plan needs, all at once. What fails is told by the step that needs it."""
    wanted = {step.server for step in plan.steps if step.runs}
    with suppress(ProvisioningError):
        await session.hosts.warm([server for server in session.project.infra.servers if server.hostname in wanted])


def _result(detail: RunDetail, resume: str) -> RunResult:
    failure = explain(detail, resume, wiring.last_lines)
    return RunResult(detail=detail, failure=failure)


def run_blocking(work: Coroutine[None, None, T]) -> T:
    """Run a coroutine to its end in an event loop of its own."""
    return asyncio.run(work)
