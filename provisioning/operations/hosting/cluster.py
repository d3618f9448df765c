"""The server of a cluster: it shows the copy of the cluster's history, asks who decides, and runs nothing itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from provisioning import clusters, wiring
from provisioning.clusters import Joined
from provisioning.core.dagu.declared import DagFile
from provisioning.core.decide import Extent
from provisioning.core.letters import refuse_replayed
from provisioning.core.presence import Presence
from provisioning.engine.runner import load
from provisioning.errors import ExistsError, StaleRevision
from provisioning.operations import Project
from provisioning.operations.cluster.dagu import send_off, service_of
from provisioning.operations.cluster.keeping import keep
from provisioning.operations.cluster.runs import ClusterRuns
from provisioning.operations.cluster.scheduling import Scheduled
from provisioning.operations.dagu.catalogue import Catalogue
from provisioning.operations.dagu.definitions import functions_of, readers
from provisioning.operations.dagu.places import Places
from provisioning.operations.dagu.running import Start
from provisioning.operations.hosting import steering
from provisioning.operations.hosting.host import Host, close_tools, guarded
from provisioning.operations.hosting.places import Workspaces
from provisioning.operations.hosting.schedules import Logged
from provisioning.operations.orders import order, refuse_retry
from provisioning.operations.scheduler import scheduler_of
from provisioning.operations.steering import Store
from provisioning.settings import Settings

if TYPE_CHECKING:
    from provisioning.adapters.nats.connect import Access
    from provisioning.engine.actions.dagu.tools import Tools

T = TypeVar("T")


class OnLoop:
    """Fulfils `steering.Reach` from any other thread than that of the server's event loop, over its connection."""

    lasting = True

    def __init__(self, joined: Joined) -> None:
        self._joined, self._loop = joined, asyncio.get_running_loop()

    def driven(self, _folder: Path) -> bool:
        """Whether a process decides for the cluster now."""
        return self._do(clusters.lease(self._joined).holder()) is not None

    def there(self, _folder: Path) -> Sequence[Presence] | None:
        """See `Reach`."""
        return self._do(clusters.present(self._joined))

    def within(self, _folder: Path, work: Callable[[Store], Coroutine[None, None, T]]) -> T:
        """See `Reach`."""
        return self._do(work(self._joined.store))

    def delete_logs(self, _folder: Path, run_id: str) -> None:
        """Remove the logs of a run, those that were brought here too."""
        self._do(clusters.delete_logs(self._joined, run_id))

    def _do(self, work: Coroutine[None, None, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


class OfCluster(Workspaces):
    """The workspaces of this machine, whose servers the cluster's workers work on."""

    def __init__(self, access: Access) -> None:
        super().__init__()
        self._access = access

    def open(self, name: str, infra: str | None = None) -> Project:
        """See `Workspaces`."""
        return replace(super().open(name, infra), cluster=self._access)


class ClusterHost(Host):
    """Shows and asks; whoever decides for the cluster, and its workers, do the rest."""

    def __init__(self, places: Places, settings: Settings, joined: Joined, tools: Tools) -> None:
        store = wiring.open_store(joined.folder)
        workspaces = OfCluster(joined.cluster.access)
        super().__init__(places, settings, store, tools, workspaces=workspaces, reach=OnLoop(joined))
        self.remembered = joined.store.schedules
        self.joined = joined
        self.runs = ClusterRuns(joined.store, wiring.clock(), wiring.identity())
        self.catalogue = Catalogue(places, default_type=settings.dagu.default_type)

    async def serve(self) -> None:
        """Bring history and logs here, say what we have, and answer workers that lack a file, until cancelled."""
        collector = clusters.collector(self.joined)
        service = service_of(self.joined, self.places.dags, self.settings, clusters.worker_name())
        async with asyncio.TaskGroup() as group:
            kept = keep(self.joined, collector, lambda: False)
            for part in (collector.serve(), kept, service.serve(), self.feeds.serve()):
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
        """Have an ended run done again. Raises NotFoundError, UsageError."""
        run = await load(self.joined.store, run_id)
        refuse_retry(run, step, extent, wiring.clock())
        await order(self.joined.store, "retry", actor, {"run": run_id, "from_step": step or "", "extent": extent.value})
        await self.runs.reopened(run_id, run.seq)

    async def replay(self, number: int, actor: str, workspace: str | None) -> None:
        """Have a step that failed for good done again. Raises NotFoundError, UsageError."""
        folder = await asyncio.to_thread(self.reading.folder, workspace)
        letter = await asyncio.to_thread(self.reading.pages(folder).history.dead_letter, number)
        refuse_replayed(letter)
        await asyncio.to_thread(steering.replay, self.reading, folder, letter, actor)

    async def delete(self, run_id: str) -> None:
        """Remove an ended run from the cluster. Raises NotFoundError, UsageError for one that goes on."""
        await asyncio.to_thread(steering.delete, self.reading, run_id)


@asynccontextmanager
async def hosted_on(access: Access, places: Places, settings: Settings, *, scheduler: bool = False) -> AsyncIterator[Host]:
    """Serve a cluster for as long as the block lasts, with a scheduler if that is wanted. What runs goes on after it.

    Raises ClusterUnreachable, ConfigError, StoreError.
    """
    async with AsyncExitStack() as stack:
        joined = await clusters.join(access)
        stack.push_async_callback(joined.aclose)
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
