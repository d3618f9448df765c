"""The logs of one run, brought to this machine while somebody looks at it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from provisioning.adapters.nats.chunks import Chunk
from provisioning.adapters.nats.connect import Cluster
from provisioning.adapters.nats.logcollector import write_chunks
from provisioning.adapters.nats.logs import chunk_of, log_stream, logs_of, stream_name
from provisioning.adapters.nats.reading import Reading
from provisioning.adapters.nats.streams import ensure
from provisioning.adapters.nats.wire import Stored


class RunLogs:
    """Writes the logs of a run below `folder`, as `FileLogs` would; what is there already is written again, the same."""

    def __init__(self, cluster: Cluster, folder: Path, run: str, heard: Callable[[Chunk], None] = lambda _chunk: None) -> None:
        """`heard` is called with each chunk, in order."""
        self._cluster, self._folder, self._run, self._heard = cluster, folder, run, heard
        self._seq = 0
        self._more = asyncio.Condition()

    async def serve(self) -> None:
        """Write chunks as they come, until cancelled. Raises StoreError."""
        await ensure(self._cluster, log_stream(self._cluster))
        reading = Reading(self._cluster, stream_name(self._cluster), [logs_of(self._cluster, self._run)])
        try:
            while True:
                await self._take(await reading.next())
        finally:
            await reading.close()

    async def fetch(self) -> None:
        """Bring what there is now. Raises StoreError."""
        serving = asyncio.create_task(self.serve())
        try:
            await self.caught_up(serving)
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)

    async def caught_up(self, serving: asyncio.Task[None]) -> None:
        """Wait until everything that was stored before is written by `serving`. Raises what ended that."""
        await ensure(self._cluster, log_stream(self._cluster))
        newest = await self._cluster.last(stream_name(self._cluster), logs_of(self._cluster, self._run))
        if newest is None:
            return
        waiting = asyncio.create_task(self._reached(newest.seq))
        await asyncio.wait([waiting, serving], return_when=asyncio.FIRST_COMPLETED)
        if serving.done() and not waiting.done():
            waiting.cancel()
            serving.result()

    async def _reached(self, seq: int) -> None:
        async with self._more:
            await self._more.wait_for(lambda: self._seq >= seq)

    async def _take(self, messages: list[Stored]) -> None:
        chunks = [chunk_of(stored) for stored in messages]
        await asyncio.to_thread(self._write, chunks)
        for chunk in chunks:
            self._heard(chunk)
        async with self._more:
            self._seq = messages[-1].seq
            self._more.notify_all()

    def _write(self, chunks: list[Chunk]) -> None:
        for chunk in chunks:
            write_chunks(self._folder / chunk.path, [chunk])
