"""Which workers there are: each says so again and again, and is forgotten when it has been silent for a while."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from provisioning.adapters.nats.connect import Cluster
from provisioning.adapters.nats.names import token
from provisioning.adapters.nats.reading import Reading
from provisioning.adapters.nats.streams import bucket, ensure
from provisioning.adapters.nats.wire import TTL, Message, Refused, Stored, expected
from provisioning.codec import CodecError, decode, encode
from provisioning.core.ports import Clock
from provisioning.core.presence import FRESH_S, Presence
from provisioning.errors import StoreError

LOG = logging.getLogger("provisioning")
BUCKET = "workers"
AGAIN_S = 1.0
BEATS = 3  # in the time after which who is silent is forgotten
_REMOVED = {"KV-Operation": "DEL", TTL: "60s"}


class Beat:
    """Says of one worker that it is there, until it is cancelled; then that it is gone."""

    def __init__(self, cluster: Cluster, clock: Clock, *, ttl_s: float = FRESH_S) -> None:
        self._cluster, self._clock, self._ttl_s = cluster, clock, ttl_s
        self._prepared = False
        self._newest, self._at_s = 0, 0.0  # what we said last: its sequence, 0 where that is not known, and when
        self._told = False

    async def serve(self, said: Callable[[], Presence]) -> None:
        """Ask `said` before every beat. A server that does not answer is tried again with the next one."""
        since = self._clock.now()
        name = said().name
        try:
            while True:
                now = self._clock.now()
                await self._say(replace(said(), since=since, at=now))
                await self._clock.sleep(self._ttl_s / BEATS)
        finally:
            await self._leave(name)

    async def _say(self, presence: Presence) -> None:
        headers = {TTL: f"{max(1, round(self._ttl_s))}s"}
        message = Message(subject=_subject(self._cluster, presence.name), body=encode(presence), headers=headers)
        try:
            if not self._prepared:
                await _prepare(self._cluster)
                self._prepared = True
            self._newest = await self._publish(message, presence.name)
            self._at_s = self._clock.monotonic_s()
        except StoreError as error:
            self._newest = 0
            LOG.warning("others may take worker %s for gone: %s", presence.name, error)

    async def _publish(self, message: Message, name: str) -> int:
        """Say it after what we said last; where somebody else has said something of this name, tell that, once."""
        if not self._newest or self._clock.monotonic_s() - self._at_s >= self._ttl_s:  # it has been forgotten meanwhile
            return await self._cluster.publish(message)
        try:
            return await self._cluster.publish(replace(message, headers={**message.headers, **expected(self._newest)}))
        except Refused as error:
            if not error.conflict:
                raise
        if not self._told:
            LOG.warning("another worker is called %s, too: give each a --name of its own", name)
            self._told = True
        return await self._cluster.publish(message)

    async def _leave(self, name: str) -> None:
        """Say that it is gone, unless another one has this name; where that cannot be said, silence says it."""
        last = expected(self._newest) if self._newest else {}
        message = Message(subject=_subject(self._cluster, name), headers={**_REMOVED, **last})
        try:
            async with asyncio.timeout(1):
                await self._cluster.publish(message)
        except (StoreError, TimeoutError) as error:
            LOG.debug("worker %s left without a word: %s", name, error)


class Workers:
    """Knows the workers that are there, as long as `serve` runs. `changed` is called after each change."""

    def __init__(self, cluster: Cluster, *, changed: Callable[[], None] = lambda: None) -> None:
        self._cluster, self._changed = cluster, changed
        self._known: dict[str, Presence] = {}  # by subject
        self._complete = asyncio.Event()

    def seen(self) -> tuple[Presence, ...]:
        """Return them, by name, as they said it last."""
        return tuple(sorted(self._known.values(), key=lambda one: one.name))

    async def known(self) -> tuple[Presence, ...]:
        """Return them once those that are there have been read."""
        await self._complete.wait()
        return self.seen()

    async def serve(self) -> None:
        """Follow until cancelled; where the server refuses, again after a while: who decides waits for what is known here."""
        while True:
            try:
                await self.follow()
            except StoreError as error:
                LOG.warning("who else is there is not known now: %s", error)
                await asyncio.sleep(AGAIN_S)

    async def follow(self) -> None:
        """Follow until cancelled. Raises StoreError."""
        await _prepare(self._cluster)
        stream, subject = self._cluster.names.bucket(BUCKET), self._cluster.names.key(BUCKET, "*")
        newest = await self._cluster.last(stream, subject)
        if newest is None:
            self._complete.set()
        reading = Reading(self._cluster, stream, [subject])
        try:
            while True:
                messages = await reading.next()
                for stored in messages:
                    self._take(stored)
                if newest is not None and messages[-1].seq >= newest.seq:
                    self._complete.set()
                self._changed()
        finally:
            await reading.close()

    def _take(self, stored: Stored) -> None:
        presence = _presence(stored)
        if presence is None:
            self._known.pop(stored.subject, None)
        else:
            self._known[stored.subject] = presence


async def list_workers(cluster: Cluster) -> tuple[Presence, ...]:
    """Return the workers that are there now, by name. Raises StoreError."""
    workers = Workers(cluster)
    serving = asyncio.create_task(workers.follow())
    complete = asyncio.create_task(workers.known())
    try:
        await asyncio.wait([serving, complete], return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            await serving
        return await complete
    finally:
        for task in (serving, complete):
            task.cancel()
        await asyncio.gather(serving, complete, return_exceptions=True)


async def _prepare(cluster: Cluster) -> None:
    await ensure(cluster, bucket(cluster, BUCKET))


def _subject(cluster: Cluster, worker: str) -> str:
    return cluster.names.key(BUCKET, token(worker))


def _presence(stored: Stored) -> Presence | None:
    """Return what a message says; None for a worker that has left, or been silent for too long."""
    if not stored.body:
        return None
    try:
        return decode(stored.body, Presence, strict=False)
    except CodecError as error:
        LOG.warning("a worker says something that is not understood: %s", error)
        return None
