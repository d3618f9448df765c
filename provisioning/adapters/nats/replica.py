"""The history outside NATS: a local database into which every decision is written, in the order of the stream.

How far it has come is in the same transaction, so it goes on where it was, and nothing is in it twice; every replica of a
stream is the same, numbers of rows included. Several processes may follow into one file.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from provisioning.adapters.nats.blobs import WORKFLOWS, Blobs
from provisioning.adapters.nats.connect import Cluster
from provisioning.adapters.nats.messages import Head, events_of, head
from provisioning.adapters.nats.reading import Reading
from provisioning.adapters.nats.wire import Stored
from provisioning.adapters.sqlite import journal as sql
from provisioning.adapters.sqlite.history import SqliteHistory
from provisioning.adapters.sqlite.writer import Writer
from provisioning.codec import CodecError, decode
from provisioning.core.events import Event
from provisioning.core.model import Workflow
from provisioning.core.ports import Commit
from provisioning.errors import NotFoundError, StaleRevision, StoreError

T = TypeVar("T")
LOG = logging.getLogger("provisioning")
AT_ONCE = 500  # messages in one transaction
AGAIN_S = 0.5
CATCH_UP_S = 60.0
_POSITION, _STREAM = "nats_seq", "nats_stream"


@dataclass(slots=True)
class _Found:
    """A message, and what had to be fetched for it."""

    stored: Stored
    head: Head
    body: bytes
    workflow: Workflow | None = None


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
        self._failure: StoreError | None = None
        self._deleted_letters: dict[str, int] = {}

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
        """Wait until the message with this sequence is in. Raises StoreError when the file cannot be written."""
        await self.start()
        async with asyncio.timeout(CATCH_UP_S), self._moved:
            await self._moved.wait_for(lambda: self._position >= seq or self._failure is not None)
        if self._position < seq and self._failure is not None:
            raise self._failure

    async def caught_up(self) -> None:
        """Wait until everything is in that was stored before."""
        newest = await self._cluster.last(self._cluster.names.work, self._cluster.names.decisions)
        if newest is not None:
            await self.reached(newest.seq)

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
            except StoreError as error:
                LOG.warning("the history does not keep up: %s", error)
                async with self._moved:
                    self._failure = error
                    self._moved.notify_all()
            finally:
                if self._reading is not None:
                    await self._reading.close()
            await asyncio.sleep(AGAIN_S)

    async def _follow_stream(self) -> None:
        await self.writer.read(lambda connection: connection.execute("PRAGMA synchronous=NORMAL"))  # it can be made anew
        await self._goes_on_at(await self.writer.read(lambda connection: _meta(connection, _POSITION)))
        names = self._cluster.names
        self._reading = Reading(self._cluster, names.work, [names.decisions], self._position + 1)
        while True:
            messages = await self._reading.next()
            for start in range(0, len(messages), AT_ONCE):
                await self._take([await self._fetched(stored) for stored in messages[start : start + AT_ONCE]])

    async def _take(self, found: Sequence[_Found]) -> None:
        counts = await self.writer.write(lambda connection: self._apply(connection, found))
        self._deleted_letters.update(counts)
        await self._goes_on_at(found[-1].stored.seq)

    async def _goes_on_at(self, seq: int) -> None:
        async with self._moved:
            self._position, self._failure = max(self._position, seq), None
            self._moved.notify_all()

    async def _fetched(self, stored: Stored) -> _Found:
        said = head(stored)
        body = await self._blobs.unpacked(stored.body, stored.headers)
        workflow = await self.workflow(said.workflow) if said.workflow else None
        return _Found(stored=stored, head=said, body=body, workflow=workflow)

    async def _fetch(self, digest: str) -> Workflow:
        try:
            return decode(await self._blobs.get(WORKFLOWS, digest), Workflow, strict=False)
        except NotFoundError:
            raise NotFoundError(f"there is no workflow {digest}") from None
        except CodecError as error:
            raise StoreError(f"nats: workflow {digest} is damaged: {error}") from error

    def _apply(self, connection: sqlite3.Connection, found: Sequence[_Found]) -> dict[str, int]:
        position, counts = _meta(connection, _POSITION), {}
        for one in found:
            if one.stored.seq <= position:
                continue
            if one.head.letters:
                counts[one.head.letters] = _delete_letters(connection, one.head.letters)
            elif one.head.gone:
                sql.delete_run(connection, self.workflows, one.head.run)
            else:
                self._append(connection, one)
        _set_meta(connection, _POSITION, max(position, found[-1].stored.seq))
        return counts

    def _append(self, connection: sqlite3.Connection, one: _Found) -> None:
        events = events_of(one.body, one.stored)
        if one.workflow is not None:
            self.workflows.put(connection, one.workflow)
        commit = Commit(run=one.head.run, expected_seq=one.head.last - len(events), events=events, fence=None)
        try:
            sql.write_commit(connection, self.workflows, commit)
        except StaleRevision as error:
            LOG.warning("the history has a gap or knows better: %s", error)


def _meta(connection: sqlite3.Connection, key: str) -> int:
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return int(row[0]) if row else 0


def _set_meta(connection: sqlite3.Connection, key: str, value: int) -> None:
    connection.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, value))


def _delete_letters(connection: sqlite3.Connection, asked: str) -> int:
    said = decode(asked, dict[str, object], strict=False)
    before = said.get("before")
    until = datetime.fromisoformat(str(before)) if before else None
    return sql.delete_letters(connection, until, waiting=bool(said.get("waiting")))
