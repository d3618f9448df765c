"""A scheduler whose runs a cluster's workers do. Any number may look: what each instant starts has one id, and runs once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from provisioning import clusters, wiring
from provisioning.clusters import Joined
from provisioning.core.dagu.declared import DagFile
from provisioning.core.dagu.params import Given
from provisioning.core.model import RUN_ENDED, RunState
from provisioning.errors import ExistsError, NotFoundError, StaleRevision, WaitTimeout
from provisioning.operations.cluster.dagu import send_off, service_of
from provisioning.operations.cluster.runs import ClusterRuns
from provisioning.operations.dagu.catalogue import Catalogue
from provisioning.operations.dagu.places import Places
from provisioning.operations.dagu.records import STOPS_WITHIN_S
from provisioning.operations.dagu.restarting import last_given
from provisioning.operations.dagu.running import Start
from provisioning.operations.scheduler import Observer, scheduler_of
from provisioning.operations.scheduler.serving import stopping
from provisioning.settings import Settings

if TYPE_CHECKING:
    from provisioning.adapters.nats.connect import Access


class Scheduled:
    """Fulfils `scheduler.ports.Runs` with the workers of a cluster."""

    def __init__(self, joined: Joined, places: Places, settings: Settings) -> None:
        self._joined, self._places, self._settings = joined, places, settings
        self._runs = ClusterRuns(joined.store, wiring.clock(), wiring.identity())

    async def start(self, dag: DagFile, asked: Start) -> None:
        """See `Runs`."""
        if await self._state(asked.run_id) is not None:
            raise ExistsError(f"run {asked.run_id} exists already")
        catalogue = Catalogue(self._places, default_type=self._settings.dagu.default_type)
        try:
            await send_off(self._joined, catalogue, dag.file, asked, self._runs, self._settings)
        except StaleRevision as error:
            raise ExistsError(f"run {asked.run_id} exists already") from error

    async def stop(self, run_ids: Sequence[str], actor: str) -> None:
        """See `Runs`. Raises WaitTimeout for a run that does not end."""
        wanted = [run for run in run_ids if await self._state(run) not in {*RUN_ENDED, None}]
        for run in wanted:
            await self._runs.cancel(run, "stopped", actor)
        for run in wanted:
            try:
                await asyncio.wait_for(self.ended(run), STOPS_WITHIN_S)
            except TimeoutError:
                message = f"run {run} has not stopped within {STOPS_WITHIN_S:g} s"
                raise WaitTimeout(message, hint="try again later") from None

    async def ended(self, run_id: str) -> RunState:
        """See `Runs`."""
        try:
            return (await self._runs.ended(run_id)).state
        except NotFoundError:  # it was deleted
            return RunState.FAILED

    async def last_given(self, dag: str) -> tuple[Given, ...]:
        """See `Runs`."""
        await self._joined.store.replica.caught_up()
        return await asyncio.to_thread(last_given, self._joined.folder, dag)

    async def _state(self, run_id: str) -> RunState | None:
        await self._joined.store.replica.caught_up()
        try:
            return (await asyncio.to_thread(self._joined.store.history.summary, run_id)).state
        except NotFoundError:
            return None


@asynccontextmanager
async def scheduled_on(access: Access, places: Places, settings: Settings) -> AsyncIterator[Scheduled]:
    """Give what starts runs of the files in `places` on a cluster. Raises ClusterUnreachable, ConfigError, StoreError."""
    joined = await clusters.join(access)
    try:
        await joined.store.replica.caught_up()
        yield Scheduled(joined, replace(places, data=joined.folder), settings)
    finally:
        await joined.aclose()


async def serve(access: Access, places: Places, settings: Settings, observer: Observer, ready: Callable[[], None]) -> None:
    """Schedule until SIGTERM or SIGINT; workers get the files that they ask for. `ready` is called once signals are heard.

    Raises ClusterUnreachable, ConfigError, StoreError.
    """
    joined = await clusters.join(access)
    try:
        await joined.store.replica.caught_up()
        await joined.store.schedules.kept([])
        here = replace(places, data=joined.folder)
        runs, kind = Scheduled(joined, here, settings), settings.dagu.default_type
        scheduler = scheduler_of(here, joined.store, runs, default_type=kind, observer=observer, alive=lambda _run: True)
        async with asyncio.TaskGroup() as group:
            answering = group.create_task(service_of(joined, places.dags, settings, clusters.worker_name()).serve())
            running = group.create_task(scheduler.run())
            with stopping(running.cancel), suppress(asyncio.CancelledError):
                ready()
                await running
            answering.cancel()
    finally:
        await joined.aclose()
