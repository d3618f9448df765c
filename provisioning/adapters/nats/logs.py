"""Logs that leave the machine where a step runs: a worker publishes them in chunks, whoever shows them collects them.

The stream holds them until everybody who is registered has them; see `logcollector` and `retention`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections import deque
from collections.abc import Coroutine
from urllib.parse import quote, unquote

from provisioning.adapters.capping import Capped
from provisioning.adapters.files import run_name
from provisioning.adapters.logs import HEAD_BYTES, TAIL_BYTES
from provisioning.adapters.nats.chunks import Chunk, ChunkedLog, log_stem
from provisioning.adapters.nats.connect import Cluster
from provisioning.adapters.nats.names import token
from provisioning.adapters.nats.streams import SECOND_NS, ensure, file_stream
from provisioning.adapters.nats.wire import Message, Stored

LOG = logging.getLogger("provisioning")
FLUSH_S = 0.2
AT_ONCE = 16  # chunks on their way at a time: 1 MiB
WAITING_BYTES = 64 * 1024 * 1024  # of all logs of this process; beyond, output is lost rather than the worker
KEPT_S = 30 * 24 * 3600  # chunks that nobody came for are dropped after that
AGAIN_S, LONGEST_AGAIN_S = 0.1, 2.0
REMEMBERED = 4096  # attempts whose `out` may still get its `err`
RUN, NAME, AT = "Log-Run", "Log-Name", "Log-At"


def log_stream(cluster: Cluster) -> dict[str, object]:
    """Return the stream of logs. The only one that drops what is old."""
    return {
        **file_stream(cluster, stream_name(cluster), (all_logs(cluster),)),
        "discard": "old",
        "max_age": KEPT_S * SECOND_NS,
    }


def stream_name(cluster: Cluster) -> str:
    """Return its name."""
    return cluster.names.stream("LOG")


def all_logs(cluster: Cluster) -> str:
    """Return a filter of every chunk."""
    return f"{cluster.names.namespace}.wf.log.{cluster.names.shard}.>"


def logs_of(cluster: Cluster, run: str) -> str:
    """Return a filter of the chunks of a run."""
    return f"{cluster.names.namespace}.wf.log.{cluster.names.shard}.{token(run)}.>"


def chunk_message(cluster: Cluster, chunk: Chunk) -> Message:
    """Return a chunk as it travels."""
    subject = f"{logs_of(cluster, chunk.run)[:-1]}{chunk.name}"
    headers = {RUN: quote(chunk.run, safe=""), NAME: chunk.name, AT: str(chunk.at)}
    return Message(subject=subject, body=chunk.data, headers=headers)


def chunk_of(stored: Stored) -> Chunk:
    """Return the chunk in a message. Raises ValueError for what is none."""
    said = stored.headers
    return Chunk(run=unquote(said.get(RUN, "")), name=said.get(NAME, ""), at=int(said.get(AT, "-1")), data=stored.body)


class NatsLogs:
    """Fulfils `ports.LogStore`. `start` it in an event loop; logs are written from any thread, and `aclose` waits for them."""

    def __init__(self, cluster: Cluster, *, head_bytes: int = HEAD_BYTES, tail_bytes: int = TAIL_BYTES) -> None:
        self._cluster, self._head_bytes, self._tail_bytes = cluster, head_bytes, tail_bytes
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: deque[Chunk] = deque()
        self._waiting_bytes = 0
        self._lost_bytes = 0
        self._wake, self._idle = asyncio.Event(), asyncio.Event()
        self._marks: dict[tuple[str, str, int], str] = {}
        self._sending: asyncio.Task[None] | None = None
        self._errands: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to send. Raises StoreError, ConfigError when the stream is not there and cannot be made."""
        self._loop = asyncio.get_running_loop()
        await ensure(self._cluster, log_stream(self._cluster))
        self._sending = asyncio.create_task(self._send_all())

    async def flushed(self) -> None:
        """Wait until everything that was flushed or closed is stored."""
        await asyncio.sleep(0)  # what was closed in this turn of the loop is taken first
        await self._idle.wait()

    async def aclose(self) -> None:
        """Send what waits, as long as there is any hope, and stop."""
        if self._sending is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._cluster.access.patience_s):
                await self.flushed()
                await asyncio.gather(*self._errands, return_exceptions=True)
        self._sending.cancel()
        if self._waiting:
            LOG.warning("%d bytes of logs could not be sent", self._waiting_bytes)

    # ------------------------------------------------------------ fulfils the port, from any thread

    def open(self, run: str, step: str, attempt: int, *, kind: str = "log") -> ChunkedLog:
        """Start the log of an attempt. What is opened twice has two logs; an `err` belongs to the newest `out`."""
        mark = self._mark((run, step, attempt), kind)
        capped = Capped(head_bytes=self._head_bytes, tail_bytes=self._tail_bytes)
        return ChunkedLog(run_name(run), f"{log_stem(step, attempt, mark)}.{kind}", capped, self._send, self._soon)

    def delete(self, run: str) -> None:
        """Have the chunks of a run removed: at once when called from another thread than the loop's, else soon."""
        self._do(self._purge(run))

    def _mark(self, attempt: tuple[str, str, int], kind: str) -> str:
        if kind == "err" and attempt in self._marks:
            return self._marks.pop(attempt)
        mark = f"{time.time_ns() // 1000:014x}{secrets.token_hex(2)}"
        if kind == "out":
            self._marks[attempt] = mark
            if len(self._marks) > REMEMBERED:
                del self._marks[next(iter(self._marks))]
        return mark

    def _do(self, errand: Coroutine[None, None, None]) -> None:
        loop = self._running_loop()
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        if here is not loop:
            asyncio.run_coroutine_threadsafe(errand, loop).result()
            return
        task = loop.create_task(errand)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    def _send(self, chunk: Chunk) -> None:
        self._running_loop().call_soon_threadsafe(self._take, chunk)

    def _soon(self, log: ChunkedLog) -> None:
        loop = self._running_loop()
        loop.call_soon_threadsafe(loop.call_later, FLUSH_S, log.flush)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            raise RuntimeError("the logs were not started")
        return self._loop

    # ------------------------------------------------------------ in the loop

    def _take(self, chunk: Chunk) -> None:
        if self._waiting_bytes + len(chunk.data) > WAITING_BYTES:
            if not self._lost_bytes:
                LOG.warning("logs are written faster than they can be sent: some output is lost")
            self._lost_bytes += len(chunk.data)
            return
        self._waiting.append(chunk)
        self._waiting_bytes += len(chunk.data)
        self._idle.clear()
        self._wake.set()

    async def _send_all(self) -> None:
        again_s = AGAIN_S
        while True:
            if not self._waiting:
                self._idle.set()
                self._wake.clear()
                await self._wake.wait()
            if await self._send_some():
                again_s = AGAIN_S
            else:
                await asyncio.sleep(again_s)
                again_s = min(again_s * 2, LONGEST_AGAIN_S)
                await self._cluster.connected(LONGEST_AGAIN_S)

    async def _send_some(self) -> bool:
        """Send the first chunks; put back what was refused: to have a chunk twice, or in another order, does no harm."""
        chunks = [self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))]
        sends = (self._cluster.publish(chunk_message(self._cluster, chunk)) for chunk in chunks)
        results = await asyncio.gather(*sends, return_exceptions=True)
        failed = [chunk for chunk, result in zip(chunks, results, strict=True) if isinstance(result, Exception)]
        self._waiting.extendleft(reversed(failed))
        self._waiting_bytes = sum(len(chunk.data) for chunk in self._waiting)
        return not failed

    async def _purge(self, run: str) -> None:
        await self._cluster.purge(stream_name(self._cluster), logs_of(self._cluster, run))
