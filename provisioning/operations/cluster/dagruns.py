"""`dag run` and `retry` on a cluster: started from here, done by its workers, shown until they have ended."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from provisioning import clusters, wiring
from provisioning.clusters import Joined
from provisioning.core.history import RunDetail
from provisioning.core.model import Workflow
from provisioning.engine.runner import load
from provisioning.errors import ExistsError, StaleRevision
from provisioning.operations import Listener
from provisioning.operations.audience import Audience
from provisioning.operations.cluster.dagu import send_off
from provisioning.operations.cluster.following import follow
from provisioning.operations.cluster.runs import ClusterRuns
from provisioning.operations.dagu.catalogue import Catalogue
from provisioning.operations.dagu.running import Again, Start
from provisioning.operations.orders import order, refuse_retry
from provisioning.settings import Settings

if TYPE_CHECKING:
    from provisioning.adapters.nats.connect import Access


async def start(
    access: Access, catalogue: Catalogue, ref: str, asked: Start, settings: Settings, flow: Workflow, listener: Listener
) -> RunDetail:
    """Have a run of the DAG that a name or a path means done, and return how it ended. `flow` is for showing it.

    Raises NotFoundError, UsageError, ConfigError, TooLarge, ExistsError for a run id that is taken, StoreError.
    """
    named = _named(asked)
    async with _joined(access) as joined:
        begin = _send(joined, catalogue, ref, named, settings)
        return await follow(joined, named.run_id, begin, flow, Audience(listener), named.actor)


async def enqueue(access: Access, catalogue: Catalogue, ref: str, asked: Start, settings: Settings) -> str:
    """Have a run of the DAG that a name or a path means done when there is room for it; return its id. Raises as `start`."""
    named = _named(asked)
    async with _joined(access) as joined:
        await _send(joined, catalogue, ref, named, settings)
    return named.run_id


async def retry(access: Access, run_id: str, again: Again, listener: Listener) -> RunDetail:
    """Have an ended run done again, and return how it ended. Raises NotFoundError, UsageError, StoreError."""
    actor = wiring.identity()
    async with _joined(access) as joined:
        ended = await load(joined.store, run_id)
        refuse_retry(ended, again.step, again.extent, wiring.clock())
        before = ended.seq
        asked = {"run": run_id, "from_step": again.step or "", "extent": again.extent.value}

        async def begin() -> None:
            await order(joined.store, "retry", actor, asked)
            await ClusterRuns(joined.store, wiring.clock(), actor).reopened(run_id, before)

        return await follow(joined, run_id, begin(), ended.workflow, Audience(listener), actor, before)


def _named(asked: Start) -> Start:
    return replace(asked, run_id=asked.run_id or wiring.new_run_id(), actor=asked.actor or wiring.identity())


async def _send(joined: Joined, catalogue: Catalogue, ref: str, named: Start, settings: Settings) -> None:
    runs = ClusterRuns(joined.store, wiring.clock(), named.actor)
    try:
        await send_off(joined, catalogue, ref, named, runs, settings)
    except StaleRevision as error:
        raise ExistsError(f"run {named.run_id} exists already", hint="leave the run id out to get a new one") from error


@asynccontextmanager
async def _joined(access: Access) -> AsyncIterator[Joined]:
    joined = await clusters.join(access)
    try:
        await joined.store.replica.caught_up()
        yield joined
    finally:
        await joined.aclose()
