"""The resource states of a cluster: one key for each workspace, written with compare-and-set. Long books are blobs.

In a cluster this is the truth; the state file of a machine is a copy of it.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace

from provisioning.adapters.nats.blobs import Blobs
from provisioning.adapters.nats.connect import Cluster
from provisioning.adapters.nats.messages import blob_of
from provisioning.adapters.nats.names import token
from provisioning.adapters.nats.streams import blob_stream, bucket, ensure
from provisioning.adapters.nats.wire import Message, Refused, Stored, expected
from provisioning.codec import CodecError, build, decode, encode
from provisioning.core.resources import ResourceBook
from provisioning.core.statedoc import StateDocument, doubts, migrate, superseded, to_book, to_document
from provisioning.errors import ClusterUnreachable, StaleRevision, StateFileError

BUCKET = "state"


class NatsResources:
    """Fulfils `ports.Resources` for one workspace of a namespace. Raises StoreError besides what the port says."""

    def __init__(self, cluster: Cluster, workspace: str) -> None:
        self._cluster, self._workspace, self._blobs = cluster, workspace, Blobs(cluster)
        self._subject = cluster.names.key(BUCKET, token(workspace))
        self._lineage: str | None = None
        self._serial = 0  # the newest that was read or written
        self._ready = False

    async def load(self) -> ResourceBook:
        """Return the book; where there is none an empty one. Raises StateFileError."""
        stored = await self._stored()
        if stored is None:
            self._lineage = self._lineage or str(uuid.uuid4())
            return ResourceBook(lineage=self._lineage)
        book = await self._book(stored)
        if doubt := doubts(book, lineage=self._lineage, serial=self._serial):
            raise self._refusal(doubt.reason, doubt.hint)
        self._know(book)
        return book

    async def save(self, book: ResourceBook) -> ResourceBook:
        """Write the book durably and return it with its serial raised by one.

        Raises StaleRevision when somebody else wrote since it was read, StateFileError for another lineage.
        """
        stored = await self._stored()
        known = await self._book(stored) if stored is not None else None
        lineage, serial = (known.lineage, known.serial) if known is not None else (self._lineage or book.lineage, 0)
        if book.lineage != lineage:
            raise self._refusal(f"its lineage is {lineage}, that of the change {book.lineage}: another workspace's")
        if book.serial != serial:
            raise self._stale(serial, book.serial)
        written = replace(book, serial=book.serial + 1)
        await self._write(stored, written, book.serial)
        return written

    async def put(self, book: ResourceBook, *, force: bool = False) -> bool:
        """Write the book of another keeper as it is, its serial too; return whether this one's was another before.

        Raises StateFileError when what is there is not an older one of the same lineage, unless `force`; StaleRevision.
        """
        stored = await self._stored()
        if stored is not None and not force:
            known = await self._book(stored)
            if known == book:
                return False
            if doubt := superseded(known, book):
                raise self._refusal(doubt.reason, doubt.hint)
        await self._write(stored, book, book.serial)
        return True

    async def found(self) -> ResourceBook | None:
        """Return the book, or None where nothing was ever written. Raises StateFileError."""
        stored = await self._stored()
        return await self._book(stored) if stored is not None else None

    # ------------------------------------------------------------ parts

    async def _stored(self) -> Stored | None:
        if not self._ready:
            for stream in (bucket(self._cluster, BUCKET), blob_stream(self._cluster)):
                await ensure(self._cluster, stream)
            self._ready = True
        return await self._cluster.last(self._cluster.names.bucket(BUCKET), self._subject)

    async def _book(self, stored: Stored) -> ResourceBook:
        try:
            document = decode(await self._blobs.unpacked(stored.body, stored.headers), dict[str, object], strict=False)
            return to_book(build(migrate(document), StateDocument))
        except (CodecError, ValueError) as error:
            raise self._refusal(str(error)) from error

    async def _write(self, before: Stored | None, book: ResourceBook, based_on: int) -> None:
        """Replace `before`. An answer that was lost is looked for: what we wrote has a name of its own."""
        mine = uuid.uuid4().hex
        body, headers = await self._blobs.packed(f"state {mine}", encode(to_document(book)))
        condition = expected(before.seq if before is not None else 0)
        message = Message(subject=self._subject, body=body, headers={**headers, **condition, "State-Write": mine})
        try:
            await self._cluster.publish(message)
        except (Refused, ClusterUnreachable) as error:
            stored = await self._stored()
            if stored is None or stored.headers.get("State-Write") != mine:
                await self._forget(headers)
                if isinstance(error, Refused) and error.conflict and stored is not None:
                    raise self._stale((await self._book(stored)).serial, based_on) from error
                raise
        self._know(book)
        if before is not None:
            await self._forget(before.headers)

    async def _forget(self, headers: Mapping[str, str]) -> None:
        """Remove the blob that such a message names."""
        named = blob_of(headers)
        if named is not None:
            await self._blobs.delete(named[0])

    def _know(self, book: ResourceBook) -> None:
        self._lineage, self._serial = book.lineage, book.serial

    def _stale(self, serial: int, based_on: int) -> StaleRevision:
        return StaleRevision(
            f"the state of {self._workspace} on NATS has changed: it is at serial {serial}, the change is based on {based_on}",
            hint="read it again and repeat the change",
        )

    def _refusal(self, reason: str, hint: str = "") -> StateFileError:
        advice = hint or "`provisioning state push --force` replaces it by the state file of a workspace"
        return StateFileError(f"the state of {self._workspace} on NATS was refused: {reason}", hint=advice)
