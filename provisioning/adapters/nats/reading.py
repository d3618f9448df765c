"""An ordered reading of a stream: every message once, in order, also across lost connections and restarted servers.

The consumer on the server is one that forgets: where it was is known here, and it is made anew from there whenever a message
is missing or nothing, not even a heartbeat, has come for a while.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from provisioning.adapters.nats.connect import Cluster
from provisioning.adapters.nats.heeding import heeded
from provisioning.adapters.nats.wire import Message, Stored
from provisioning.errors import StoreError

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

HEARTBEAT_S = 2.0
SILENT_S = 3 * HEARTBEAT_S
SECOND_NS = 1_000_000_000
AGAIN_S = 0.25
CONTROL = "100"


class Reading:
    """Messages of some subjects of a stream, with sequences of at least `start`."""

    def __init__(self, cluster: Cluster, stream: str, subjects: Sequence[str], start: int = 1) -> None:
        self._cluster, self._stream, self._subjects, self._next = cluster, stream, list(subjects), max(1, start)
        self._inbox: deque[Stored] = deque()
        self._more = asyncio.Event()
        self._delivered = 0  # of this consumer
        self._broken = True
        self._heard_s = 0.0
        self._client: Client | None = None
        self._consumer = ""
        self._sid: object = None

    async def next(self) -> list[Stored]:
        """Wait for messages, and return all that have come. Goes on for as long as there is no server."""
        while not self._inbox:
            self._more.clear()
            if self._broken or (self._client is not None and self._client.is_closed):
                await self._begin()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SILENT_S):
                    await self._more.wait()
            if time.monotonic() - self._heard_s > SILENT_S:
                self._broken = True
        taken = list(self._inbox)
        self._inbox.clear()
        return taken

    async def close(self) -> None:
        """Stop reading."""
        self._broken = True
        self._cluster.reconnected.discard(self._breaks)
        if self._sid is not None:
            with contextlib.suppress(Exception):
                await heeded(self._sid.unsubscribe())  # type: ignore[attr-defined]
            self._sid = None
        if self._consumer:
            with contextlib.suppress(StoreError):
                await self._cluster.send(Message(subject=f"$JS.API.CONSUMER.DELETE.{self._stream}.{self._consumer}"))
            self._consumer = ""

    # ------------------------------------------------------------ parts

    async def _begin(self) -> None:
        while self._broken:
            try:
                await self.close()
                await self._subscribe()
            except StoreError:
                self._broken = True
                await asyncio.sleep(AGAIN_S)
                await self._cluster.connected(SILENT_S)

    async def _subscribe(self) -> None:
        client = await self._cluster.client()
        inbox, self._consumer = client.new_inbox(), f"r-{uuid.uuid4().hex}"
        self._client, self._delivered, self._broken, self._heard_s = client, 0, False, time.monotonic()
        self._cluster.reconnected.add(self._breaks)
        consumer = self._consumer

        async def take(message: Msg) -> None:
            if consumer == self._consumer:
                await self._take(message)

        self._sid = await heeded(client.subscribe(inbox, cb=take, pending_msgs_limit=0, pending_bytes_limit=0))
        config: dict[str, object] = {
            "name": consumer,
            "deliver_subject": inbox,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": self._next,
            "ack_policy": "none",
            "max_deliver": 1,
            "flow_control": True,
            "idle_heartbeat": int(HEARTBEAT_S * SECOND_NS),
            "inactive_threshold": 30 * SECOND_NS,
            "num_replicas": 1,
            "mem_storage": True,
        }
        config["filter_subjects" if len(self._subjects) > 1 else "filter_subject"] = (
            self._subjects if len(self._subjects) > 1 else self._subjects[0]
        )
        what = f"CONSUMER.CREATE.{self._stream}.{consumer}"
        if len(self._subjects) == 1:
            what = f"{what}.{self._subjects[0]}"
        await self._cluster.ask(what, {"stream_name": self._stream, "config": config})

    async def _take(self, message: Msg) -> None:
        self._heard_s = time.monotonic()
        headers = message.headers or {}
        if headers.get("Status") == CONTROL:
            await self._control(message, headers)
            return
        said = message.reply.split(".")  # $JS.ACK.stream.consumer.deliveries.seq.delivered.time.pending, perhaps with a domain
        seq, delivered, pending = int(said[-4]), int(said[-3]), int(said[-1])
        if delivered != self._delivered + 1:
            self._breaks()
            return
        self._delivered, self._next = delivered, seq + 1
        self._inbox.append(Stored(subject=message.subject, seq=seq, body=message.data, headers=headers, pending=pending))
        self._more.set()

    async def _control(self, message: Msg, headers: dict[str, str]) -> None:
        answer = message.reply or headers.get("Nats-Consumer-Stalled", "")
        if answer:
            await self._cluster.send(Message(subject=answer))
        last = headers.get("Nats-Last-Consumer")
        if last is not None and int(last) != self._delivered:
            self._breaks()

    def _breaks(self) -> None:
        self._broken = True
        self._consumer = ""
        self._more.set()
