"""A process of a cluster: a worker, and one of those who contend for the right to decide for all runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import field, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from provisioning import __version__, clusters, userfile, wiring
from provisioning.builder.running import Functions
from provisioning.client.engine import Engine, Options, Parts
from provisioning.client.outfit import OfCluster
from provisioning.clusters import Joined
from provisioning.core.frozen import dataclass
from provisioning.core.model import NO_LABELS
from provisioning.core.ports import LogStore
from provisioning.core.presence import Presence
from provisioning.engine.actions import Action
from provisioning.engine.actions.python import PythonAction
from provisioning.engine.actions.workflow import WorkflowAction
from provisioning.engine.worker import Place, Worker
from provisioning.operations.cluster.dagu import AtWorker, at_worker, catalogue_at, service_of
from provisioning.operations.cluster.keeping import keep
from provisioning.operations.cluster.runs import ClusterRuns
from provisioning.operations.cluster.sites import Sites
from provisioning.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """What a process does for its cluster."""

    name: str
    slots: int
    targets: Sequence[str] | None = ()  # besides those that every worker has; None: all
    labels: Mapping[str, str] = field(default_factory=lambda: NO_LABELS)
    decides: bool = True  # contends for the right to decide
    home: Path = field(default_factory=Path.cwd)  # where relative paths of secrets begin
    dags: Path | None = None  # its own folder of DAG files; where it decides, others get what they lack from there


class Node:
    """Works from `async with` on. `drain` it, then wait for `done`."""

    def __init__(self, joined: Joined, duty: Duty, settings: Settings, options: Options) -> None:
        self._joined, self._duty, self._settings, self._options = joined, duty, settings, options
        self._actor = wiring.identity()
        self._open = AsyncExitStack()
        self._jobs: list[asyncio.Task[None]] = []
        self._stopping: set[asyncio.Task[None]] = set()
        self._worker: Worker | None = None
        self._working: asyncio.Task[None] | None = None
        self._draining = False
        self._runs = ClusterRuns(joined.store, wiring.clock(), self._actor)
        self.engine: Engine | None = None

    async def __aenter__(self) -> Self:
        """Begin to work. Raises StoreError, ConfigError."""
        async with AsyncExitStack() as stack:
            logs = clusters.logs(self._joined, self._settings)
            await logs.start()
            stack.push_async_callback(logs.aclose)
            sites = Sites(self._joined.store.blobs, userfile.cache_folder() / "sites", self._duty.home, self._settings)
            stack.push_async_callback(sites.close)
            dagu = self._dagu()
            stack.push_async_callback(dagu.close)
            store, clock = self._joined.store, wiring.clock()
            place = Place(slots=self._duty.slots, targets=self._duty.targets, among_others=True)
            worker = self._worker = Worker(self._duty.name, store, self._actions(sites, dagu), logs, clock, place=place)
            store.tasks.cancelled = self._stop_run
            stack.push_async_callback(self._end)
            self._working = self._do(worker.serve())
            self._do(clusters.beat(self._joined).serve(self.presence))
            if self._duty.decides:
                crew = KnownCrew(self._joined)
                self._do(crew.serve())
                collector = clusters.collector(self._joined)
                self._do(collector.serve())
                self._do(keep(self._joined, collector, self._leads, self._settings.nats))
                if self._duty.dags is not None:
                    self._do(service_of(self._joined, self._duty.dags, self._settings, self._duty.name).serve())
                self.engine = Engine(replace(parts_of(self._joined, logs), crew=crew), self._options)
                stack.push_async_callback(self.engine.stop)
                await self.engine.start()
                self._do(self.engine.over())
            self._open = stack.pop_all()
        return self

    async def __aexit__(
        self, type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop what runs, give up the right to decide, and say that we are gone."""
        await self._open.__aexit__(type, error, trace)

    @property
    def busy(self) -> int:
        """How many steps run here."""
        return self._worker.busy if self._worker is not None else 0

    def presence(self) -> Presence:
        """Return what this worker says of itself."""
        duty = self._duty
        targets = None if duty.targets is None else tuple(duty.targets)
        return Presence(
            name=duty.name,
            targets=targets,
            labels=duty.labels,
            capacity=duty.slots,
            in_use=self.busy,
            draining=self._draining,
            version=__version__,
        )

    def drain(self) -> None:
        """Take nothing new; what runs goes on."""
        self._draining = True
        if self._worker is not None:
            self._worker.drain()
            self._joined.store.tasks.leave()

    async def done(self, within_s: float | None = None) -> bool:
        """Wait until what ran here after `drain` has ended; return whether it has.

        Raises what ended the worker, or anything beside it without which it would be of no use, or in the way.
        """
        if self._working is None:
            return True
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while not self._working.done():
                    await asyncio.wait([job for job in self._jobs if not job.done()], return_when=asyncio.FIRST_COMPLETED)
                    self._check()
        self._check()
        return self._working.done()

    # ------------------------------------------------------------ parts

    def _leads(self) -> bool:
        return self.engine is not None and self.engine.runner is not None

    def _actions(self, sites: Sites, dagu: AtWorker) -> Mapping[str, Action]:
        return {
            "python": PythonAction(Functions(), self._duty.name),
            "workflow": WorkflowAction(self._runs),
            **wiring.local_actions(),
            **sites.actions(),
            **dagu.actions,
        }

    def _dagu(self) -> AtWorker:
        duty = self._duty
        own = catalogue_at(duty.dags, self._settings) if duty.dags is not None else None
        return at_worker(self._joined, duty.name, self._runs, self._settings, duty.home, own)

    def _stop_run(self, run: str) -> None:
        if self._worker is not None:
            stopping = asyncio.ensure_future(self._worker.cancel(run))
            self._stopping.add(stopping)
            stopping.add_done_callback(self._stopping.discard)

    def _check(self) -> None:
        for job in self._jobs:
            if job.done() and not job.cancelled():
                job.result()

    def _do(self, work: Awaitable[None]) -> asyncio.Task[None]:
        job = asyncio.ensure_future(work)
        self._jobs.append(job)
        return job

    async def _end(self) -> None:
        for job in self._jobs:
            job.cancel()
        await asyncio.gather(*self._jobs, *self._stopping, return_exceptions=True)


class KnownCrew:
    """Fulfils `engine.Crew`, as long as `serve` runs."""

    def __init__(self, joined: Joined) -> None:
        self._said = asyncio.Event()
        self._workers = clusters.workers(joined, self._said.set)

    async def serve(self) -> None:
        """Follow what the workers say, until cancelled."""
        await self._workers.serve()

    async def known(self) -> Sequence[Presence]:
        """See `Crew`."""
        return await self._workers.known()

    async def changed(self, within_s: float) -> None:
        """See `Crew`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._said.wait()
        self._said.clear()


class _Moves:
    """Fulfils `engine.Bell`: what anybody commits moves the copy of the history, and rings."""

    def __init__(self, joined: Joined) -> None:
        self._joined = joined

    def ring(self) -> None:
        """Do nothing: who commits need not say so."""

    async def heard(self) -> None:
        """See `Bell`."""
        await self._joined.store.replica.moved()


def parts_of(joined: Joined, logs: LogStore) -> Parts:
    """Return what an engine or a client of a cluster is made of. The workers are apart."""
    return Parts(
        store=joined.store,
        lease=clusters.lease(joined),
        clock=wiring.clock(),
        logs=logs,
        bell=_Moves(joined),
        actions=lambda _runner: {},
        outfit=OfCluster(joined),
        there=lambda: clusters.present(joined),
        catch_up=joined.store.replica.caught_up,
    )
