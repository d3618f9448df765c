"""The right to lead a shard: one key with a TTL, written with compare-and-set, and gone when nobody renews it.

A pause of the whole process is no danger: who wakes up too late is refused here, and by the fence in the journal.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from provisioning.adapters.nats.connect import Cluster
from provisioning.adapters.nats.patience import patiently
from provisioning.adapters.nats.reading import Reading
from provisioning.adapters.nats.streams import bucket, ensure
from provisioning.adapters.nats.wire import TTL, Message, Refused, Stored, expected
from provisioning.errors import LockedError, StoreError

TTL_S = 5.0
BUCKET = "lease"
HINT = "`--wait` waits for it; `provisioning worker list` shows who it is. A dead holder's right frees itself"
_OPERATION, _EXPIRED = "KV-Operation", "Nats-Marker-Reason"


class NatsLease:
    """Fulfils `ports.Lease`. The token is a revision of the key, so it only grows."""

    def __init__(self, cluster: Cluster, actor: str, *, ttl_s: float = TTL_S) -> None:
        self._cluster, self._actor, self._ttl_s = cluster, actor, ttl_s
        self._stream = cluster.names.bucket(BUCKET)
        self._subject = cluster.names.key(BUCKET, str(cluster.names.shard))
        self._mine = uuid.uuid4().hex
        self._revision = 0
        self._since_s = 0.0
        self._renewing: asyncio.Task[None] | None = None
        self._gone = asyncio.Event()

    async def acquire(self, *, wait: bool = False) -> int:
        """Return the fencing token, higher than every one before. Raises LockedError naming the holder, unless `wait`."""
        await ensure(self._cluster, bucket(self._cluster, BUCKET))
        while True:
            found = await patiently(self._cluster, lambda: self._cluster.last(self._stream, self._subject))
            if _free(found):
                token = await self._unbroken(found.seq if found is not None else 0)
                if token:
                    return token
            elif not wait or self._renewing is not None:
                raise LockedError(f"workspace is locked by {_value(found).get('actor', 'somebody')}", hint=HINT)
            else:
                await self._changed(found.seq if found is not None else 0)

    async def release(self) -> None:
        """Give it up. Giving up what is not held is no error."""
        renewing, self._renewing = self._renewing, None
        if renewing is None:
            return
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)
        with suppress(StoreError):  # it frees itself
            headers = {_OPERATION: "DEL", **expected(self._revision)}
            await self._cluster.publish(Message(subject=self._subject, headers=headers))

    async def lost(self) -> None:
        """Return when it could not be renewed in time, or somebody else has it: whoever leads must stop deciding."""
        await self._gone.wait()

    async def holder(self) -> dict[str, Any] | None:
        """Return what the holder wrote: actor, token, since (ISO time). None when nobody holds it."""
        await ensure(self._cluster, bucket(self._cluster, BUCKET))
        found = await self._cluster.last(self._stream, self._subject)
        return None if _free(found) else _value(found)

    # ------------------------------------------------------------ taking

    async def _unbroken(self, revision: int) -> int:
        """Take it, and give it up again if we are cancelled while the server decides."""
        taking = asyncio.ensure_future(self._take(revision))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            await asyncio.gather(taking, return_exceptions=True)
            await self.release()
            raise

    async def _take(self, revision: int) -> int:
        """Return the token; 0 when somebody was faster."""
        names = self._cluster.names
        fence = await patiently(self._cluster, lambda: self._cluster.last(names.work, names.fence))
        highest = int(fence.body) if fence is not None else 0
        self._since_s = time.monotonic()
        try:
            self._revision = await self._write(revision, 0)
        except Refused as error:
            if error.conflict:
                return 0
            raise
        # Revisions begin anew when the bucket was lost: the journal's fence does not.
        token = self._revision if self._revision > highest else highest + self._revision
        self._gone = asyncio.Event()
        self._renewing = asyncio.create_task(self._renew(token))
        return token

    async def _write(self, revision: int, token: int) -> int:
        value = {"actor": self._actor, "holder": self._mine, "token": token, "since": datetime.now(UTC).isoformat()}
        headers = {TTL: f"{self._ttl_s:g}s", **expected(revision)}
        message = Message(subject=self._subject, body=json.dumps(value).encode(), headers=headers)
        return await self._cluster.publish(message, timeout_s=self._ttl_s / 3)

    async def _changed(self, revision: int) -> None:
        """Wait until somebody writes the key, or it expires."""
        reading = Reading(self._cluster, self._stream, [self._subject], revision + 1)
        try:
            while not any(_free(stored) for stored in await reading.next()):
                pass
        finally:
            await reading.close()

    # ------------------------------------------------------------ keeping

    async def _renew(self, token: int) -> None:
        while True:
            await asyncio.sleep(max(0.0, self._since_s + self._ttl_s / 3 - time.monotonic()))
            if not await self._renewed(token):
                self._renewing = None
                self._gone.set()
                return

    async def _renewed(self, token: int) -> bool:
        """Renew it, again and again until its time is over; say whether it is ours."""
        while (began_s := time.monotonic()) < self._since_s + self._ttl_s:
            try:
                self._revision = await self._write(self._revision, token)
            except Refused as error:
                if not error.conflict or not await self._was_ours():
                    return False
            except StoreError:
                await self._cluster.connected(self._ttl_s / 10)
                await asyncio.sleep(self._ttl_s / 50)
            else:
                self._since_s = began_s
                return True
        return False

    async def _was_ours(self) -> bool:
        """Say whether what is there now is a renewal of ours whose answer was lost; go on from it, then."""
        with suppress(StoreError):
            found = await self._cluster.last(self._stream, self._subject)
            if found is not None and not _free(found) and _value(found).get("holder") == self._mine:
                self._revision = found.seq
                return True
        return False


def _free(found: Stored | None) -> bool:
    return found is None or _OPERATION in found.headers or _EXPIRED in found.headers


def _value(found: Stored | None) -> dict[str, Any]:
    try:
        return dict(json.loads(found.body)) if found is not None else {}
    except ValueError:
        return {}
