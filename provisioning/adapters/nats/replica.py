"""The history outside NATS: a local database into which every decision is written, in the order of the stream.

How far it has come is in the same transaction, so it goes on where it was, and nothing is in it twice; every replica of a
stream is the same, numbers of rows included. Several processes may follow into one file.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from provisioning.adapters.nats import replicarows as rows
from provisioning.adapters.nats.blobs import WORKFLOWS, Blobs
from provisioning.adapters.nats.connect import Cluster
from provisioning.adapters.nats.messages import Unreadable, events_of, head
from provisioning.adapters.nats.patience import passes, patiently
from provisioning.adapters.nats.reading import Reading
from provisioning.adapters.nats.wire import Stored
from provisioning.adapters.sqlite import journal as sql
from provisioning.adapters.sqlite.history import SqliteHistory
from provisioning.adapters.sqlite.writer import Writer
from provisioning.codec import CodecError, decode
from provisioning.core.events import Event
from provisioning.core.model import Workflow
from provisioning.errors import ClusterUnreachable, NotFoundError, ProvisioningError

LOG = logging.getLogger("provisioning")
AT_ONCE = 500  # messages in one transaction
AGAIN_S = 0.5
CATCH_UP_S = 60.0


class Replica:
    """Follows the stream of decisions from `start` on. `history` reads it; `close` it."""

    def __init__(self, cluster: Cluster, blobs: Blobs, path: Path) -> None:
        self._cluster, self._blobs, self.path = cluster, blobs, path
        self.history = SqliteHistory(path)
        self.writer = Writer(path)
        self.workflows = sql.Workflows()
        self._following: asyncio.Task[None] | None = None
        self._reading: Reading | None = None
        self._position = 0
        self._moved = asyncio.Condition()
        self._failure: ProvisioningError | None = None
        self._deleted_letters: dict[str, int] = {}
        self.fill: Callable[[int], Awaitable[None]] | None = None  # brings what the stream has removed after a position
        self.others: Callable[[str], Awaitable[bytes | None]] | None = None  # asks other replicas for a workflow

    # ------------------------------------------------------------ following

    async def start(self) -> None:
        """Begin to follow in this event loop, if that is not so already. Raises StoreError."""
        following = self._following
        if following is not None and following.get_loop() is asyncio.get_running_loop() and not following.done():
            return
        self._moved, self._failure = asyncio.Condition(), None
        self._following = asyncio.create_task(self._follow())
        await asyncio.sleep(0)

    async def close(self) -> None:
        """Stop following, and close the file."""
        following, self._following = self._following, None
        if following is not None and following.get_loop() is asyncio.get_running_loop():
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
        self.close_file()

    def close_file(self) -> None:
        """Close the file alone, where no event loop runs any more."""
        self.writer.close()
        self.history.close()

    async def reached(self, seq: int) -> None:
        """Wait until the message with this sequence is in.

        Raises StoreError when the file cannot be written, ClusterUnreachable when it does not come within a minute.
        """
        await self.start()
        try:
            async with asyncio.timeout(CATCH_UP_S), self._moved:
                await self._moved.wait_for(lambda: self._position >= seq or self._failure is not None)
        except TimeoutError as error:
            message = f"the history does not come: {self._position:,} of {seq:,} after {CATCH_UP_S:g} s"
            raise ClusterUnreachable(message, hint="try again: it goes on from there") from error
        if self._position < seq and self._failure is not None:
            raise self._failure

    async def moved(self) -> None:
        """Wait until it has come further than it is now."""
        await self.start()
        before = self._position
        async with self._moved:
            await self._moved.wait_for(lambda: self._position > before)

    async def caught_up(self) -> None:
        """Wait until everything is in that was stored before."""
        names = self._cluster.names
        newest = await patiently(self._cluster, lambda: self._cluster.last(names.work, names.decisions))
        if newest is not None:
            await self.reached(newest.seq)

    @property
    def position(self) -> int:
        """Up to which sequence of the stream everything is in."""
        return self._position

    # ------------------------------------------------------------ reading

    async def events(self, run: str, after: int) -> list[Event]:
        """Return the events of a run with seq > `after` that are in, in order."""
        return await self.writer.read(lambda connection: sql.read_events(connection, run, after))

    async def open_runs(self) -> list[str]:
        """Return the runs that have not ended, oldest first."""
        return await self.writer.read(sql.read_open_runs)

    async def workflow(self, digest: str) -> Workflow:
        """Return a workflow. Raises NotFoundError."""
        found = await self.writer.read(lambda connection: self.workflows.find(connection, digest))
        return found if found is not None else await self._fetch(digest)

    def letters_deleted(self, asked: str) -> int:
        """Return how many dead letters went when a message that asked for it (see `Head.letters`) came in."""
        return self._deleted_letters.pop(asked, 0)

    # ------------------------------------------------------------ parts

    async def _follow(self) -> None:
        while True:
            try:
                await self._follow_stream()
            except ProvisioningError as error:
                if not passes(error):  # who waits for what follows waits on
                    self._tell(error)
                    await self._goes_on_at(0, error)
            finally:
                if self._reading is not None:
                    await self._reading.close()
            await asyncio.sleep(AGAIN_S)

    def _tell(self, error: ProvisioningError) -> None:
        """Log what keeps us from following, once, though it is tried again and again; not that a connection was lost."""
        known = self._failure.message if self._failure is not None else ""
        if error.message != known and not isinstance(error, ClusterUnreachable):
            LOG.warning("the history does not keep up: %s", error)

    async def _follow_stream(self) -> None:
        await self.writer.read(lambda connection: connection.execute("PRAGMA synchronous=NORMAL"))  # it can be made anew
        names = self._cluster.names
        stream = await self._cluster.ask(f"STREAM.INFO.{names.work}")
        position = await self.writer.write(lambda connection: rows.position_in(connection, stream, self.path))
        if self.fill is not None:
            await self.fill(position)
        await self._goes_on_at(position)
        self._reading = Reading(self._cluster, names.work, [names.decisions], position + 1)
        while True:
            messages = await self._reading.next()
            for start in range(0, len(messages), AT_ONCE):
                await self._take(messages[start : start + AT_ONCE])

    async def _take(self, messages: Sequence[Stored]) -> None:
        found = [one for stored in messages if (one := await self._fetched(stored)) is not None]
        counts = await self.writer.write(lambda connection: rows.take(connection, self.workflows, found, messages[-1].seq))
        self._deleted_letters.update(counts)
        await self._goes_on_at(messages[-1].seq)

    async def _goes_on_at(self, seq: int, failure: ProvisioningError | None = None) -> None:
        async with self._moved:
            self._position, self._failure = max(self._position, seq), failure
            self._moved.notify_all()

    async def _fetched(self, stored: Stored) -> rows.Found | None:
        """Return what a message says; None, with a warning, when it cannot be read: the others are not to wait for it."""
        try:
            said = head(stored)
            body = await self._blobs.unpacked(stored.body, stored.headers)
            workflow = await self.workflow(said.workflow) if said.workflow else None
            return rows.Found(seq=stored.seq, head=said, events=events_of(body, stored), workflow=workflow)
        except (Unreadable, NotFoundError) as error:
            LOG.warning("the history goes on without a decision: %s", error)
            return None

    async def _fetch(self, digest: str) -> Workflow:
        try:
            return decode(await self._encoded(digest), Workflow, strict=False)
        except CodecError as error:
            raise Unreadable(f"nats: workflow {digest} is damaged: {error}") from error

    async def _encoded(self, digest: str) -> bytes:
        try:
            return await self._blobs.get(WORKFLOWS, digest)
        except NotFoundError:
            found = await self.others(digest) if self.others is not None else None
            if found is None:
                raise NotFoundError(f"there is no workflow {digest}") from None
            return found
