"""Long payloads and workflows, under the digest of their content.

A stream of our own rather than nats-py's object store: that one names each upload anew and removes the parts of the one
before, so two who store the same content at once take it away from a third who reads it. Here the parts of one content are
the same messages whoever writes them, and one owner's are removed with one purge.
"""

from __future__ import annotations

from collections.abc import Mapping

from provisioning.adapters.nats.connect import Cluster
from provisioning.adapters.nats.messages import INLINE_BYTES, address, blob_header, blob_of
from provisioning.adapters.nats.wire import Message, Refused, expected
from provisioning.errors import NotFoundError, StoreError

PART_BYTES = INLINE_BYTES
WORKFLOWS = "workflows"
"""The owner of all workflows. Runs are the owners of their own payloads."""
MANIFEST = "end"


class Blobs:
    """Bytes by owner and address."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def put(self, owner: str, data: bytes, where: str = "", *, anew: bool = False) -> str:
        """Store bytes, durably, and return their address, `where` if given. Storing them again changes nothing.

        `anew` stores them again even so: whoever removes what was there before does not remove that.
        """
        where = where or address(data)
        parts = [data[start : start + PART_BYTES] for start in range(0, len(data), PART_BYTES)]
        for number, part in enumerate(parts):
            await self._put(owner, where, str(number), part, anew=anew)
        await self._put(owner, where, MANIFEST, str(len(parts)).encode(), anew=anew)
        return where

    async def get(self, owner: str, where: str) -> bytes:
        """Return the bytes. Raises NotFoundError, StoreError when a part is missing."""
        count = await self._part(owner, where, MANIFEST)
        if count is None:
            raise NotFoundError(f"there is no blob {where}")
        parts = [await self._part(owner, where, str(number)) for number in range(int(count))]
        if None in parts:
            raise StoreError(f"nats: blob {where} is incomplete")
        return b"".join(part for part in parts if part is not None)

    async def delete(self, owner: str) -> None:
        """Remove everything of an owner."""
        await self._cluster.purge(self._cluster.names.blobs, self._cluster.names.blobs_of(owner))

    # ------------------------------------------------------------ bodies of messages

    async def packed(self, owner: str, body: bytes) -> tuple[bytes, Mapping[str, str]]:
        """Return what a message has for this body: itself, or nothing and a header that names the blob."""
        if len(body) <= INLINE_BYTES:
            return body, {}
        return b"", blob_header(owner, await self.put(owner, body))

    async def unpacked(self, body: bytes, headers: Mapping[str, str]) -> bytes:
        """Return the body that a message stands for. Raises NotFoundError, StoreError where it is not what was stored."""
        named = blob_of(headers)
        if named is None:
            return body
        data = await self.get(*named)
        if address(data) != named[1]:
            raise StoreError(f"nats: blob {named[1]} was replaced by something else")
        return data

    # ------------------------------------------------------------ parts

    async def _put(self, owner: str, where: str, part: str, data: bytes, *, anew: bool) -> None:
        subject = self._cluster.names.blob(owner, where, part)
        try:
            await self._cluster.publish(Message(subject=subject, body=data, headers={} if anew else expected(0)))
        except Refused as error:
            if not error.conflict:  # it is there: the same content
                raise

    async def _part(self, owner: str, where: str, part: str) -> bytes | None:
        found = await self._cluster.last(self._cluster.names.blobs, self._cluster.names.blob(owner, where, part))
        return found.body if found is not None else None
