"""Who keeps what the streams hold, and how far each has come: streams forget nothing that one of them still needs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from provisioning.adapters.nats.connect import Cluster
from provisioning.adapters.nats.names import token
from provisioning.adapters.nats.streams import bucket, ensure
from provisioning.adapters.nats.wire import Message, Stored
from provisioning.codec import CodecError, decode, encode
from provisioning.core.frozen import dataclass
from provisioning.core.ports import Clock
from provisioning.core.retention import Reader
from provisioning.errors import StoreError

LOG = logging.getLogger("provisioning")
BUCKET = "readers"
EVERY_S = 10.0
PURGED = "purged-upto"
"""The key that says up to which sequence of the work stream runs have been removed. No reader has this name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a reader says of itself: `upto` has by stream up to which sequence it has everything, durably."""

    reader: Reader
    upto: Mapping[str, int]


class Readership:
    """Tells of one reader. `name` is that of what it keeps, such as a replica's file, and stays when it is started again."""

    def __init__(self, cluster: Cluster, clock: Clock, name: str, upto: Callable[[], Mapping[str, int]]) -> None:
        self._cluster, self._clock, self._name, self._upto = cluster, clock, name, upto

    async def serve(self, every_s: float = EVERY_S) -> None:
        """Tell until cancelled. A server that does not answer is told the next time."""
        while True:
            try:
                await self.tell()
            except StoreError as error:
                LOG.warning("the streams are not told what has been read: %s", error)
            await self._clock.sleep(every_s)

    async def tell(self) -> None:
        """Tell now. Raises StoreError."""
        await ensure(self._cluster, bucket(self._cluster, BUCKET))
        said = Told(reader=Reader(name=self._name, seq=0, at=self._clock.now()), upto=dict(self._upto()))
        await self._cluster.publish(Message(subject=self._cluster.names.key(BUCKET, token(self._name)), body=encode(said)))

    async def leave(self) -> None:
        """Be waited for no more: what this reader keeps is not used again. Raises StoreError."""
        await self._cluster.purge(self._cluster.names.bucket(BUCKET), self._cluster.names.key(BUCKET, token(self._name)))


async def readers(cluster: Cluster) -> list[Told]:
    """Return what every registered reader said last. Raises StoreError."""
    await ensure(cluster, bucket(cluster, BUCKET))
    stream, other = cluster.names.bucket(BUCKET), cluster.names.key(BUCKET, PURGED)
    keys = [one for one in await subjects(cluster, stream, ">") if one != other]
    found = await asyncio.gather(*(cluster.last(stream, one) for one in keys))
    return [told for stored in found if stored is not None and (told := _told(stored)) is not None]


def of_stream(told: list[Told], stream: str) -> list[Reader]:
    """Return the readers of one stream, and how far each has come in it."""
    return [Reader(name=one.reader.name, seq=one.upto[stream], at=one.reader.at) for one in told if stream in one.upto]


async def subjects(cluster: Cluster, stream: str, which: str) -> list[str]:
    """Return the subjects of a stream that match a filter and hold messages. Raises StoreError."""
    found: list[str] = []
    while True:
        info = await cluster.ask(f"STREAM.INFO.{stream}", {"subjects_filter": which, "offset": len(found)})
        page = info["state"].get("subjects") or {}
        found += page
        if not page or len(found) >= int(info.get("total", 0)):
            return found


def _told(stored: Stored) -> Told | None:
    try:
        return decode(stored.body, Told, strict=False) if stored.body else None
    except CodecError as error:
        LOG.warning("a reader of the streams is not understood: %s", error)
        return None
