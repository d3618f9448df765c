"""Fencing numbers of what workers do on servers: a dispatch's place in the stream, and an offset for each workspace.

The place alone only grows as long as there is this one stream. A workspace may have been worked on without a cluster before,
or on another one, and servers refuse numbers lower than those that they were shown: so whoever brings a workspace here raises
its offset above the numbers that were given elsewhere, and whoever takes it away goes on above `highest`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from provisioning.adapters.nats.connect import Cluster
from provisioning.adapters.nats.names import text, token
from provisioning.adapters.nats.readers import subjects
from provisioning.adapters.nats.resources import BUCKET
from provisioning.adapters.nats.streams import bucket, ensure
from provisioning.adapters.nats.wire import NOT_FOUND_STREAM, Message, Refused, Stored, expected
from provisioning.errors import StoreError

FENCE = "fence"


class Fences:
    """The offsets of a namespace, by workspace."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def offset(self, workspace: str) -> int:
        """Return what is added to the place of a dispatch. Raises StoreError."""
        return _number(await self._stored(workspace))

    async def highest(self, workspace: str) -> int:
        """Return a number that no dispatch up to now is above. Raises StoreError."""
        return await self.offset(workspace) + await self._newest()

    async def exceed(self, workspace: str, number: int) -> None:
        """Have the number of every later dispatch be above this one. Raises StoreError."""
        await ensure(self._cluster, bucket(self._cluster, BUCKET))
        while True:
            stored, newest = await self._stored(workspace), await self._newest()
            if _number(stored) + newest >= number:
                return
            condition = expected(stored.seq if stored is not None else 0)
            body = str(number - newest).encode()
            try:
                await self._cluster.publish(Message(subject=self._subject(workspace), body=body, headers=condition))
            except Refused as error:
                if not error.conflict:
                    raise
            else:
                return

    async def workspaces(self) -> AsyncIterator[str]:
        """Return the workspaces of which there are states. Raises StoreError."""
        await ensure(self._cluster, bucket(self._cluster, BUCKET))
        before = self._cluster.names.key(BUCKET, "")
        for subject in await subjects(self._cluster, self._cluster.names.bucket(BUCKET), before + "*"):
            name = text(subject.removeprefix(before))
            if name is not None:
                yield name

    # ------------------------------------------------------------ parts

    def _subject(self, workspace: str) -> str:
        return self._cluster.names.key(BUCKET, f"{token(workspace)}.{FENCE}")

    async def _stored(self, workspace: str) -> Stored | None:
        return await self._cluster.last(self._cluster.names.bucket(BUCKET), self._subject(workspace))

    async def _newest(self) -> int:
        """Return the place of the newest message; 0 where no run was ever begun."""
        try:
            info = await self._cluster.ask(f"STREAM.INFO.{self._cluster.names.work}")
        except Refused as error:
            if error.number != NOT_FOUND_STREAM:
                raise
            return 0
        return int(info["state"]["last_seq"])


def _number(stored: Stored | None) -> int:
    if stored is None or not stored.body:
        return 0
    try:
        return int(stored.body)
    except ValueError as error:
        raise StoreError(f"nats: message {stored.seq} ({stored.subject}) is no fencing number") from error
