"""What a machine that decides for a cluster does beside: say what it keeps, tell other programs, and clear away."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
import uuid
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from provisioning import wiring
from provisioning.adapters.files import private_folder, replace_file, short_lock, store_error
from provisioning.core.publicevents import Origin
from provisioning.core.retention import Keep
from provisioning.errors import NotFoundError, StoreError
from provisioning.settings import NatsSettings

if TYPE_CHECKING:
    from provisioning.adapters.nats.logcollector import LogCollector
    from provisioning.clusters import Joined

LOG = logging.getLogger("provisioning")
LOOK_S = 1.0
AGAIN_S = 5.0
TIDY_S = 3600.0
NAME = "reader"
DEFAULTS = NatsSettings()


async def keep(joined: Joined, collector: LogCollector, leading: Callable[[], bool], settings: NatsSettings = DEFAULTS) -> None:
    """Say what this machine has read; while it leads, publish events and remove what everybody has. Until cancelled.

    For how long the servers keep what, the settings say of whoever leads. What fails is begun anew after a while: no run
    depends on it.
    """
    while True:
        try:
            await _keep(joined, collector, leading, settings)
        except* StoreError as errors:
            LOG.warning("events and what is kept are not seen to now: %s", errors.exceptions[0])
        await asyncio.sleep(AGAIN_S)


async def _keep(joined: Joined, collector: LogCollector, leading: Callable[[], bool], settings: NatsSettings) -> None:
    from provisioning.adapters.nats.logs import stream_name
    from provisioning.adapters.nats.peers import answer
    from provisioning.adapters.nats.readers import Readership

    await _prepare(joined)
    work, logs = joined.cluster.names.work, stream_name(joined.cluster)

    def upto() -> Mapping[str, int]:
        return {work: joined.store.replica.position, logs: collector.position}

    name = reader_name(joined.folder)
    readership = Readership(joined.cluster, wiring.clock(), name, upto)
    async with asyncio.TaskGroup() as group:
        group.create_task(answer(joined.cluster, joined.store.replica, name, readership.serve))
        group.create_task(_while(leading, lambda: publish(joined)))
        group.create_task(_while(leading, lambda: clear_away(joined, settings)))
        group.create_task(_tidy(joined))


async def _prepare(joined: Joined) -> None:
    """Make every stream that clients and workers use, as it is now: they may not be permitted to."""
    from provisioning.adapters.nats.logs import log_stream
    from provisioning.adapters.nats.permissions import BUCKETS
    from provisioning.adapters.nats.publicevents import events_stream
    from provisioning.adapters.nats.streams import blob_stream, bucket, ensure, ensure_limited

    cluster = joined.cluster
    await ensure_limited(cluster, blob_stream(cluster))
    for stream in (log_stream(cluster), events_stream(cluster), *(bucket(cluster, name) for name in BUCKETS)):
        await ensure(cluster, stream)


async def publish(joined: Joined) -> None:
    """Publish the public events until cancelled."""
    from provisioning.adapters.nats.publicevents import PublicEvents

    async def origin(run: str, seq: int) -> Origin:
        await joined.store.replica.reached(seq)
        with suppress(NotFoundError):
            summary = joined.store.history.summary(run)
            return Origin(workspace=summary.labels.get("workspace", ""), workflow=summary.workflow)
        return Origin(workspace="", workflow="")  # deleted meanwhile

    await PublicEvents(joined.cluster, joined.store.blobs, origin).serve()


async def clear_away(joined: Joined, settings: NatsSettings) -> None:
    """Remove from the streams what everybody has, until cancelled."""
    from provisioning.adapters.nats.logs import log_stream
    from provisioning.adapters.nats.publicevents import events_stream
    from provisioning.adapters.nats.retention import Retention
    from provisioning.adapters.nats.streams import ensure_aged

    cluster, kept = joined.cluster, Keep(ended_s=settings.keep_ended_s, forget_s=settings.forget_after_s)
    await ensure_aged(cluster, log_stream(cluster), settings.keep_logs_s)
    await ensure_aged(cluster, events_stream(cluster), settings.keep_events_s)
    await Retention(cluster, joined.store.history, wiring.clock(), kept).serve()


def reader_name(folder: Path) -> str:
    """Return what this copy of the history is called, now and later, whichever process asks. Raises StoreError, LockedError."""
    path = folder / wiring.HIDDEN / NAME
    private_folder(path.parent)
    with short_lock(path.with_name(f"{NAME}.lock")):
        return _name_in(path)


def _name_in(path: Path) -> str:
    with suppress(OSError, UnicodeDecodeError):
        if known := path.read_text("utf-8").strip():
            return known
    name = f"{socket.gethostname()}-{uuid.uuid4().hex[:12]}"
    try:
        replace_file(path, name.encode())
    except OSError as error:
        raise store_error("writing", path, error) from error
    return name


async def _tidy(joined: Joined) -> None:
    """Remove the logs of runs that were deleted elsewhere, now and then."""
    from provisioning.adapters.nats.logcollector import remove_unknown

    def known(run: str) -> bool:
        with suppress(NotFoundError):
            joined.store.history.summary(run)
            return True
        return False

    while True:
        await asyncio.sleep(TIDY_S)
        with suppress(OSError):  # somebody else removes the same
            await asyncio.to_thread(remove_unknown, joined.folder / wiring.HIDDEN / "logs", known, time.time() - TIDY_S)


async def _while(leading: Callable[[], bool], work: Callable[[], Coroutine[None, None, None]]) -> None:
    """Do the work for as long as we lead."""
    while True:
        if not leading():
            await asyncio.sleep(LOOK_S)
            continue
        task = asyncio.create_task(work())
        try:
            while leading() and not task.done():
                await asyncio.wait([task], timeout=LOOK_S)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            raise error
