"""`taskserv create` on a cluster: planned here from the states that the cluster has, done by workers that reach the servers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from provisioning import clusters, wiring
from provisioning.clusters import Joined
from provisioning.core.compile import compile_plan
from provisioning.core.frozen import dataclass
from provisioning.core.history import RunDetail
from provisioning.core.inputs import profile_of
from provisioning.core.model import Action, Step, Workflow
from provisioning.core.plan import Plan, Selection
from provisioning.core.planner import check_selection, make_plan
from provisioning.core.resources import WORKSPACE, Actor, ResourceBook
from provisioning.errors import ConfigError, LockedError, ProvisioningError
from provisioning.operations import Listener, Project, RunOptions, RunResult
from provisioning.operations.audience import Audience
from provisioning.operations.cluster.catching import caught_up, written
from provisioning.operations.cluster.following import follow
from provisioning.operations.cluster.runs import ClusterRuns
from provisioning.operations.cluster.sites import PACKAGE
from provisioning.operations.cluster.turning import Turning, copy_states
from provisioning.operations.failure import explain, resume_command, retry_command
from provisioning.operations.orders import create, order, refuse_retry

if TYPE_CHECKING:
    from provisioning.adapters.nats.connect import Access
    from provisioning.adapters.nats.turns import Turn

ON_SERVERS = frozenset({"taskserv", "probe"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Session:
    """One call that works on a workspace of the cluster."""

    project: Project
    joined: Joined
    audience: Audience
    actor: str

    @property
    def name(self) -> str:
        """The workspace's name."""
        return self.project.infra.workspace.name

    async def book(self) -> ResourceBook:
        """Return the states. Raises ConfigError where only this machine has some, StateFileError, StoreError."""
        resources = clusters.resources(self.joined, self.name)
        if await resources.found() is not None:
            return await caught_up(self.joined.store, resources, self.name, Actor(identity=self.actor))
        if wiring.state_file(self.project.folder).path.exists():
            raise ConfigError(
                f"the cluster has no states of workspace {self.name}, but this machine has",
                hint="`provisioning state push` brings them there, once",
            )
        return await resources.load()

    async def lineage(self, book: ResourceBook) -> None:
        """Have the lineage stored of a workspace that the cluster does not know yet: units on servers are named by it."""
        if not book.serial:
            await clusters.resources(self.joined, self.name).save(book)

    async def overtake(self) -> None:
        """Have servers take what comes now for newer than whatever was begun from this machine alone."""
        begun = wiring.workspace_lock(self.project.folder).given_sync()
        await clusters.fences(self.joined.cluster).exceed(self.name, begun)

    @asynccontextmanager
    async def turn(self, run_id: str, *, wait: bool) -> AsyncIterator[Callable[[], Awaitable[None]]]:
        """Have the workspace for ourselves until the run begins; call what is yielded just before. Raises LockedError."""
        turns = clusters.turns(self.joined)
        turning = Turning(joined=self.joined, workspace=self.name, actor=self.actor)
        mine = await turning.take(run_id, self.audience.on_note, wait=wait)
        begun: list[Turn] = []

        async def begin() -> None:
            taken = await turns.take(self.name, mine, run_id, self.actor, begun=True)
            if taken is None:
                raise LockedError(f"workspace {self.name} was taken by somebody else meanwhile", hint="try again")
            begun.append(taken)

        try:
            yield begin
        except BaseException:
            with suppress(ProvisioningError):
                await turns.give_back(self.name, begun[-1] if begun else mine)
            raise

    async def follow(self, run_id: str, start: Awaitable[None], flow: Workflow, after: int = 0) -> RunDetail:
        """Start a run and show it until it has ended; then this machine's state file is as the cluster's states are."""
        detail = await follow(self.joined, run_id, start, flow, self.audience, self.actor, after)
        await self._copy_states()
        return detail

    async def _copy_states(self) -> None:
        """Copy them once they say how the run has ended: that is written a little later."""
        store, resources = self.joined.store, clusters.resources(self.joined, self.name)
        if not await written(store, resources, self.name, wiring.clock()):
            await caught_up(store, resources, self.name, Actor(identity=self.actor))
        book = await resources.found()
        if book is None:
            return
        await copy_states(self.joined, self.name, self.project.folder, book, self.audience.on_note)


async def provision(
    project: Project,
    access: Access,
    selection: Selection,
    options: RunOptions,
    listener: Listener,
    show: Callable[[Plan], None],
) -> RunResult:
    """Plan and have it run. See `Project.provision`."""
    check_selection(project.infra, selection)
    async with _session(project, access, options, listener) as session:
        run_id = wiring.new_run_id()
        async with session.turn(run_id, wait=options.wait) as begin:
            book = await session.book()
            plan = make_plan(project.infra, selection, book)
            show(plan)
            await session.lineage(book)
            await session.overtake()
            limit = options.max_parallel or project.settings.run.max_parallel
            flow = compile_plan(plan, project.infra, keep_going=options.keep_going, max_parallel=limit)
            packed = await _packed(session, run_id, flow, plan, book.lineage)

            async def start() -> None:
                await begin()
                store = session.joined.store
                await create(store, wiring.clock(), run_id, packed, trigger=options.source, actor=session.actor)

            detail = await session.follow(run_id, start(), packed)
        return _result(detail, f"{resume_command(project.folder, project.infra, selection, options)} {_here(access)}")


async def retry(project: Project, access: Access, run: str, options: RunOptions, listener: Listener) -> RunResult:
    """Reopen an ended run. See `Project.retry`."""
    from provisioning.core.decide import Extent
    from provisioning.engine.runner import load

    async with _session(project, access, options, listener) as session:
        store = session.joined.store
        summary = store.history.run(run).summary
        ended = await load(store, summary.run_id)
        refuse_retry(ended, options.from_step, Extent.NEEDED, wiring.clock())
        before = ended.seq
        asked = {
            "run": summary.run_id,
            "from_step": options.from_step or "",
            "keep_going": options.keep_going,
            "max_parallel": options.max_parallel,
        }
        async with session.turn(summary.run_id, wait=options.wait) as begin:
            await session.overtake()

            async def start() -> None:
                await begin()
                await order(store, "retry", session.actor, asked)
                await ClusterRuns(store, wiring.clock(), session.actor).reopened(summary.run_id, before)

            detail = await session.follow(summary.run_id, start(), ended.workflow, before)
        return _result(detail, f"{retry_command(project.folder, project.infra, summary.run_id)} {_here(access)}")


async def read_book(project: Project, access: Access) -> ResourceBook:
    """Return the states that the cluster has of a workspace; an empty book where it has none. Raises as `provision`."""
    async with _session(project, access, RunOptions(), Listener()) as session:
        return await session.book()


@asynccontextmanager
async def _session(project: Project, access: Access, options: RunOptions, listener: Listener) -> AsyncIterator[_Session]:
    async with AsyncExitStack() as stack:
        joined = await clusters.join(access)
        stack.push_async_callback(joined.aclose)
        await joined.store.replica.caught_up()
        actor = options.actor or wiring.identity()
        yield _Session(project=project, joined=joined, audience=Audience(listener), actor=actor)


async def _packed(session: _Session, run_id: str, flow: Workflow, plan: Plan, lineage: str) -> Workflow:
    """Return the workflow with what its steps need to know of the workspace, and have that where workers find it."""
    infra = session.project.infra
    nodes = [step for step in plan.steps if step.kind == "node" and step.runs and step.taskserv]
    profiles = {(str(s.taskserv), profile_of(infra.taskservs[str(s.taskserv)], str(s.profile)).name) for s in nodes}
    digest, data = clusters.pack_site(infra, profiles, lineage, session.project.folder)
    await session.joined.store.blobs.put(run_id, data, digest)
    return replace(flow, steps=tuple(_with_package(step, digest, session.name) for step in flow.steps))


def _with_package(step: Step, digest: str, workspace: str) -> Step:
    if step.action.type not in ON_SERVERS:
        return step
    settings = {**step.action.settings, PACKAGE: digest, WORKSPACE: workspace}
    return replace(step, action=Action(type=step.action.type, settings=settings))


def _here(access: Access) -> str:
    return f"--nats {clusters.shown_urls(access)}"


def _result(detail: RunDetail, resume: str) -> RunResult:
    return RunResult(detail=detail, failure=explain(detail, resume, wiring.last_lines))
