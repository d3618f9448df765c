"""An event loop in a thread of its own, for tests that are no coroutines."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from provisioning.adapters.nats.connect import Access, Cluster
from provisioning.adapters.nats.logs import NatsLogs

T = TypeVar("T")
PATIENCE_S = 60.0


class LoopThread:
    """Runs coroutines elsewhere, and waits for them here."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE_S)

    def close(self) -> None:
        self.run(self.loop.shutdown_asyncgens())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(PATIENCE_S)
        self.loop.close()


@contextmanager
def logs_elsewhere(access: Access) -> Iterator[NatsLogs]:
    """Return logs whose loop runs in another thread."""
    thread, cluster = LoopThread(), Cluster(access)
    logs = NatsLogs(cluster)
    thread.run(logs.start())
    try:
        yield logs
    finally:
        thread.run(logs.aclose())
        thread.run(cluster.close())
        thread.close()
