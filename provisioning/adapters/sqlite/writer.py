"""One thread that owns the connection and commits in groups.

Work that arrives while a transaction is being written waits and shares the next one, so many commits cost one fsync. Each
piece is refused or accepted on its own, inside a savepoint.
"""

from __future__ import annotations

import asyncio
import copy
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from provisioning.adapters.files import store_error as file_error
from provisioning.adapters.files import sync_folder
from provisioning.adapters.sqlite.database import ERRORS, DatabaseError, connect, failed_for_good, store_error
from provisioning.errors import StoreError

T = TypeVar("T")


@dataclass(slots=True)
class _Job(Generic[T]):
    work: Callable[[sqlite3.Connection], T]
    after: Callable[[T], None] | None  # called in the caller's loop once it is durable, even if nobody waits any more
    writes: bool
    future: asyncio.Future[T]
    result: T | None = None
    error: BaseException | None = None

    def deliver(self) -> None:
        if self.error is None and self.after is not None:
            self.after(self.result)  # type: ignore[arg-type]
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)  # type: ignore[arg-type]


class Writer:
    """Runs functions on the connection for coroutines. Starts with the first of them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._jobs: queue.SimpleQueue[_Job[object] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._broken: StoreError | None = None
        self._named = False  # the files' names are on the disk

    async def write(self, work: Callable[[sqlite3.Connection], T], after: Callable[[T], None] | None = None) -> T:
        """Return what `work` returns once that is durable. What it raises undoes its own changes only."""
        return await self._submit(work, after, writes=True)

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Return what `work` returns; it sees every commit that was awaited before."""
        return await self._submit(work, None, writes=False)

    def close(self) -> None:
        """Finish what was submitted and close the file. The next call opens it again."""
        with self._starting:
            thread, self._thread = self._thread, None
            if thread is not None:
                self._jobs.put(None)
                thread.join()

    async def _submit(self, work: Callable[[sqlite3.Connection], T], after: Callable[[T], None] | None, *, writes: bool) -> T:
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="history", daemon=True)
                self._thread.start()
            self._jobs.put(_Job(work=work, after=after, writes=writes, future=future))  # type: ignore[arg-type]
        return await future

    # ------------------------------------------------------------ in the thread

    def _run(self) -> None:
        connection: sqlite3.Connection | None = None
        try:
            while (job := self._jobs.get()) is not None:
                group, last = self._drain(job)
                try:
                    connection = connection or connect(self._path)
                    self._serve(connection, group)
                except Exception as error:
                    _fail(group, error)
                    _close(connection)
                    connection, self._named = None, False
                _deliver(group)
                if last:
                    return
        finally:
            _close(connection)
            self._named = False

    def _drain(self, first: _Job[object]) -> tuple[list[_Job[object]], bool]:
        """Return everything that waits, and whether the end was among it."""
        group = [first]
        try:
            while (job := self._jobs.get_nowait()) is not None:
                group.append(job)
        except queue.Empty:
            return group, False
        return group, True

    def _serve(self, connection: sqlite3.Connection, group: Sequence[_Job[object]]) -> None:
        writes = [job for job in group if job.writes]
        if writes:
            self._transaction(connection, writes)
        for job in group:
            if not job.writes:
                self._attempt(job, connection)

    def _transaction(self, connection: sqlite3.Connection, jobs: Sequence[_Job[object]]) -> None:
        if self._broken is not None:
            _fail(jobs, self._broken)
            return
        try:
            connection.execute("BEGIN IMMEDIATE")
            for job in jobs:
                connection.execute("SAVEPOINT job")
                self._attempt(job, connection)
                if job.error is not None:
                    connection.execute("ROLLBACK TO job")
                connection.execute("RELEASE job")
            connection.execute("COMMIT")
            self._sync_names()
        except (*ERRORS, OSError) as error:
            failure = self._failure(error)
            for job in jobs:
                job.error = None
            raise failure from error

    def _sync_names(self) -> None:
        """Make the name of the write-ahead log durable, once it is there: SQLite tries too, and keeps quiet when that fails."""
        if not self._named:
            sync_folder(self._path.parent)
            self._named = True

    def _failure(self, error: DatabaseError | OSError) -> StoreError:
        """Return what is to be told, and remember it if nothing may be written any more."""
        if isinstance(error, OSError):
            self._broken = file_error("syncing the folder of", self._path, error)
            return self._broken
        failure = store_error(self._path, error)
        self._broken = failure if failed_for_good(error) else None
        return failure

    def _attempt(self, job: _Job[object], connection: sqlite3.Connection) -> None:
        try:
            job.result = job.work(connection)
        except (sqlite3.IntegrityError, sqlite3.DataError) as error:
            job.error = store_error(self._path, error)
        except ERRORS as error:
            if job.writes:
                raise
            job.error = store_error(self._path, error)
        except Exception as error:
            job.error = error


def _fail(jobs: Sequence[_Job[object]], error: Exception) -> None:
    for job in jobs:
        job.error = job.error or copy.copy(error)  # each caller gets its own: raising one adds to its traceback


def _close(connection: sqlite3.Connection | None) -> None:
    """Close; an open transaction is undone."""
    if connection is not None:
        connection.close()


def _deliver(group: Sequence[_Job[object]]) -> None:
    """Hand the results over, in order, with one wake-up per event loop."""
    loops = {id(job.future.get_loop()): job.future.get_loop() for job in group}
    for loop in loops.values():
        mine = [job for job in group if job.future.get_loop() is loop]
        try:
            loop.call_soon_threadsafe(_deliver_each, mine)
        except RuntimeError:  # the loop is closed: nobody is left to tell
            continue


def _deliver_each(jobs: Sequence[_Job[object]]) -> None:
    for job in jobs:
        job.deliver()
