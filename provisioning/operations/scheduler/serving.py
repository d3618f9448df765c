"""A scheduler without a server: what it starts are processes of their own, which go on when it ends."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING

from provisioning import wiring
from provisioning.core.schedules import Kept
from provisioning.operations.dagu.places import Places
from provisioning.operations.scheduler import scheduler_of
from provisioning.operations.scheduler.ports import Observer
from provisioning.operations.scheduler.processes import Processes
from provisioning.settings import Settings

if TYPE_CHECKING:
    from provisioning.adapters.sqlite.store import SqliteStore


async def serve(places: Places, settings: Settings, observer: Observer, ready: Callable[[], None]) -> None:
    """Schedule until SIGTERM or SIGINT; `ready` is called once they are heard.

    Raises StoreError where the store cannot be opened at all.
    """
    async with processes(places, settings) as (store, runs):
        await store.schedules.kept([])
        kind = settings.dagu.default_type
        scheduler = scheduler_of(places, store, runs, default_type=kind, observer=observer)
        running = asyncio.create_task(scheduler.run())
        with stopping(running.cancel), suppress(asyncio.CancelledError):
            ready()
            await running


@asynccontextmanager
async def processes(places: Places, settings: Settings) -> AsyncIterator[tuple[SqliteStore, Processes]]:
    """Open the store and give what starts processes."""
    store = wiring.open_store(places.data)
    try:
        yield store, Processes(places, store, default_type=settings.dagu.default_type)
    finally:
        store.close()


@contextmanager
def stopping(stop: Callable[[], object]) -> Iterator[None]:
    """Call `stop` at each SIGTERM and SIGINT, in the event loop."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def kept_of(places: Places) -> Mapping[str, Kept]:
    """Return what is remembered of all schedules; nothing, and nothing is made, where nothing ever ran. Raises StoreError."""
    if not wiring.has_history(places.data):
        return {}

    async def work() -> Mapping[str, Kept]:
        store = wiring.open_store(places.data)
        try:
            return await store.schedules.kept()
        finally:
            store.close()

    return asyncio.run(work())
