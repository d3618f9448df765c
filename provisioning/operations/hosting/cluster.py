"""The server of a cluster: it shows the copy of the cluster's history, asks who decides, and runs nothing itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from provisioning import clusters, wiring
from provisioning.clusters import Joined
from provisioning.core.dagu.declared import DagFile
from provisioning.core.decide import Extent
from provisioning.core.letters import refuse_replayed
from provisioning.core.run import Run
from provisioning.engine.runner import load
from provisioning.errors import ExistsError, LockedError, StaleRevision, StoreError
from provisioning.operations.cluster.dagu import send_off, service_of
from provisioning.operations.cluster.keeping import keep
from provisioning.operations.cluster.runs import ClusterRuns
from provisioning.operations.cluster.scheduling import Scheduled
from provisioning.operations.cluster.turning import Turning
from provisioning.operations.dagu.catalogue import Catalogue
from provisioning.operations.dagu.definitions import functions_of, readers
from provisioning.operations.dagu.listing import SOURCE
from provisioning.operations.dagu.places import Places
from provisioning.operations.dagu.running import Start
from provisioning.operations.hosting import steering
from provisioning.operations.hosting.elsewhere import OfCluster, OnLoop, ReadElsewhere
from provisioning.operations.hosting.host import Host, close_tools, guarded
from provisioning.operations.hosting.schedules import Logged
from provisioning.operations.orders import order, refuse_retry
from provisioning.operations.scheduler import scheduler_of
from provisioning.settings import Settings

if TYPE_CHECKING:
    from provisioning.adapters.nats.connect import Access
    from provisioning.engine.actions.dagu.tools import Tools

_log = logging.getLogger("provisioning.server")


class ClusterHost(Host):
    """Shows and asks; whoever decides for the cluster, and its workers, do the rest."""

    def __init__(self, places: Places, settings: Settings, joined: Joined, tools: Tools) -> None:
        store = wiring.open_store(joined.folder)
        self.collector = clusters.collector(joined)
        reach = OnLoop(joined, self.collector)
        workspaces = OfCluster(joined, reach)
        reading = ReadElsewhere(places.data, store, workspaces, reach)
        super().__init__(places, settings, store, tools, workspaces=workspaces, reading=reading)
        self.remembered = joined.store.schedules
        self.joined = joined
        self.runs = ClusterRuns(joined.store, wiring.clock(), wiring.identity())
        self.catalogue = Catalogue(places, default_type=settings.dagu.default_type)

    def about(self) -> Sequence[str]:
        """See `Host`."""
        access, dags = self.joined.cluster.access, self.places.dags
        found = "" if dags.is_dir() else ", a folder that is not there: name another one with --dags"
        return (
            f"cluster {clusters.shown_urls(access)}, namespace {access.namespace}: its workers run what is started here",
            f"DAG files of {dags}{found}",
        )

    async def serve(self) -> None:
        """Bring history and logs here, say what we have, and answer workers that lack a file, until cancelled."""
        service = service_of(self.joined, self.places.dags, self.settings, clusters.worker_name())
        async with asyncio.TaskGroup() as group:
            kept = keep(self.joined, self.collector, lambda: False)
            for part in (self.collector.serve(), kept, service.serve(), self.feeds.serve(), self.backfills.adopt()):
                group.create_task(part)
            if self.scheduling is not None:
                group.create_task(self.scheduling.run())

    async def start_dag(self, dag: DagFile, asked: Start) -> str:
        """Have a run done; return its id. Raises as `Host.start_dag`."""
        catalogue = Catalogue(self.places, default_type=self.settings.dagu.default_type)
        try:
            return await send_off(self.joined, catalogue, dag.file, asked, self.runs, self.settings)
        except StaleRevision as error:
            raise ExistsError(f"run {asked.run_id} exists already", hint="leave the run id out to get a new one") from error

    async def retry(self, run_id: str, actor: str, *, step: str | None = None, extent: Extent = Extent.BELOW) -> None:
        """Have an ended run done again. Raises NotFoundError, UsageError, LockedError where somebody works on its workspace."""
        run = await load(self.joined.store, run_id)
        summary = await asyncio.to_thread(self.reading.summary, run_id)
        extent = extent if summary.source == SOURCE else Extent.NEEDED
        refuse_retry(run, step, extent, wiring.clock())
        asked = {"run": run_id, "from_step": step or "", "extent": extent.value}
        workspace = self.reading.workspace_of(summary)
        if not workspace:
            await self._reopen(run, asked, actor)
            return
        turns, turning = clusters.turns(self.joined), Turning(joined=self.joined, workspace=workspace, actor=actor)
        mine = await turning.take(run_id, _log.info, wait=False)
        begun = await turns.take(workspace, mine, run_id, actor, begun=True)
        if begun is None:
            raise LockedError(f"workspace {workspace} was taken by somebody else meanwhile", hint="try again")
        try:
            await self._reopen(run, asked, actor)
        except BaseException:
            with suppress(StoreError):
                await turns.give_back(workspace, begun)
            raise

    async def _reopen(self, run: Run, asked: Mapping[str, object], actor: str) -> None:
        await order(self.joined.store, "retry", actor, asked)
        await self.runs.reopened(run.id, run.seq)

    async def replay(self, number: int, actor: str, workspace: str | None) -> None:
        """Have a step that failed for good done again. Raises NotFoundError, UsageError."""
        await self.joined.store.replica.caught_up()
        folder = await asyncio.to_thread(self.reading.folder, workspace)
        letter = await asyncio.to_thread(self.reading.pages(folder).history.dead_letter, number)
        refuse_replayed(letter)
        await asyncio.to_thread(steering.replay, self.reading, folder, letter, actor)

    async def delete(self, run_id: str) -> None:
        """Remove an ended run from the cluster. Raises NotFoundError, UsageError for one that goes on."""
        await self.joined.store.replica.caught_up()
        await asyncio.to_thread(steering.delete, self.reading, run_id)

    async def _steer(self, ask: Any, run_id: str, actor: str, *more: object) -> None:  # noqa: ANN401
        """Ask, knowing what anybody has done until now."""
        await self.joined.store.replica.caught_up()
        await super()._steer(ask, run_id, actor, *more)


@asynccontextmanager
async def hosted_on(access: Access, places: Places, settings: Settings, *, scheduler: bool = False) -> AsyncIterator[Host]:
    """Serve a cluster for as long as the block lasts, with a scheduler if that is wanted. What runs goes on after it.

    Raises ClusterUnreachable, ConfigError, StoreError.
    """
    async with AsyncExitStack() as stack:
        joined = await clusters.join(access)
        stack.push_async_callback(joined.aclose)
        await joined.store.replica.start()  # also of a cluster in which nothing has run yet
        await joined.store.replica.caught_up()
        here = replace(places, data=joined.folder)
        tools = wiring.dagu_tools(places.dags, settings, lambda: functions_of(places), readers())
        stack.push_async_callback(close_tools, tools)
        host = ClusterHost(here, settings, joined, tools)
        stack.callback(host.store.close)
        stack.callback(host.reading.close)
        if scheduler:
            runs, kind = Scheduled(joined, here, settings), settings.dagu.default_type
            host.scheduling = scheduler_of(
                here, joined.store, runs, default_type=kind, observer=Logged(), alive=lambda _run: True
            )
        serving = asyncio.create_task(guarded(host))
        stack.push_async_callback(_stop, host, serving)
        yield host


async def _stop(host: Host, serving: asyncio.Task[None]) -> None:
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    await host.backfills.stop()
