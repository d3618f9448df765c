"""One database file as journal, inbox, tasks and timers of the embedded engine.

Tasks and timers live in memory while the process lives. A restart finds the timers in the file; tasks follow from the events.
Other processes reach a run by leaving requests in the same file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from provisioning.adapters.clock import SystemClock
from provisioning.adapters.memory.tasks import TaskQueue
from provisioning.adapters.memory.timers import TimerHeap
from provisioning.adapters.sqlite import journal
from provisioning.adapters.sqlite.history import SqliteHistory
from provisioning.adapters.sqlite.schedules import SqliteSchedules
from provisioning.adapters.sqlite.writer import Writer
from provisioning.codec import encode
from provisioning.core.events import Event
from provisioning.core.model import Workflow
from provisioning.core.ports import Clock, Commit, Report, Request, Task, Timer

if TYPE_CHECKING:
    from provisioning.adapters.sqlite.backfills import SqliteBackfills


class SqliteStore:
    """Fulfils `ports.Journal`, `Inbox`, `Tasks` and `Timers`; `history` reads what happened, `schedules` keeps marks.

    Nothing is opened before the first call. Every method raises StoreError when the file cannot be used. `close` it.
    """

    ordered: ClassVar[None] = None  # workers are in the same process

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        self.path = path
        self.history = SqliteHistory(path)
        self._writer = Writer(path)
        self.schedules = SqliteSchedules(self._writer)
        self._workflows = journal.Workflows()
        self._tasks = TaskQueue()
        self._clock = clock or SystemClock()
        self._timers = TimerHeap(self._clock)
        self._restored = False
        self._taken: set[int] = set()  # ids of requests that were returned and are still stored

    @cached_property
    def backfills(self) -> SqliteBackfills:
        """Return the backfills, of which only servers know."""
        from provisioning.adapters.sqlite.backfills import SqliteBackfills

        return SqliteBackfills(self._writer)

    def close(self) -> None:
        """Finish what was submitted and close the file."""
        self._writer.close()
        self.history.close()

    # ------------------------------------------------------------ Journal

    async def take_over(self, token: int) -> None:
        """Do nothing: the first commit with a higher fencing token is what older ones are refused by."""

    async def resign(self) -> None:
        """Do nothing: workers die with their leader."""

    def stop(self, run: str, tasks: Iterable[Task]) -> None:
        """Do nothing: whoever drives a run here has its workers, too."""

    async def put_workflow(self, workflow: Workflow) -> str:
        """Store a workflow under its digest and return that."""
        return await self._writer.write(lambda connection: self._workflows.put(connection, workflow))

    async def workflow(self, digest: str) -> Workflow:
        """Return a stored workflow. Raises NotFoundError."""
        return await self._writer.read(lambda connection: self._workflows.get(connection, digest))

    async def commit(self, commit: Commit) -> int:
        """Append, durably, all of it or nothing; return the new last seq. Raises StaleRevision, Fenced, ValueError.

        Commits that arrive while another is being written share the next transaction.
        """

        def work(connection: sqlite3.Connection) -> journal.Written:
            return journal.write_commit(connection, self._workflows, commit)

        return (await self._writer.write(work, lambda done: self._hand_out(commit, done))).last_seq

    async def events(self, run: str, after: int = 0) -> list[Event]:
        """Return the events of a run with seq > `after`, in order."""
        return await self._writer.read(lambda connection: journal.read_events(connection, run, after))

    async def open_runs(self) -> list[str]:
        """Return the ids of runs that have not finished, oldest first."""
        return await self._writer.read(journal.read_open_runs)

    async def expired(self, name: str, *, days: float | None, keep: int | None) -> list[str]:
        """Return the ids of this Dagu workflow's runs that ended more than `days` ago or before its newest `keep` that ended.

        Oldest first, without those inside other runs. None is no such limit. Whoever deletes them deletes their logs, too.
        """
        before = None if days is None else self._clock.now() - timedelta(days=days)
        return await self._writer.read(lambda connection: journal.read_expired(connection, name, before, keep))

    async def delete(self, run: str) -> None:
        """Remove every trace of a run, except its logs."""
        await self._writer.write(lambda connection: journal.delete_run(connection, self._workflows, run))
        self._tasks.drop(run)
        self._timers.drop(run)

    async def delete_dead_letters(self, *, before: datetime | None = None, waiting: bool = False) -> int:
        """Remove dead letters that were replayed, `waiting` ones too; only those that died `before`. Return how many."""
        return await self._writer.write(lambda connection: journal.delete_letters(connection, before, waiting=waiting))

    # ------------------------------------------------------------ Inbox

    async def request(self, request: Request) -> None:
        """Store a request, durably."""
        row = (request.run, encode(request))
        await self._writer.write(lambda connection: connection.execute("INSERT INTO requests (run, body) VALUES (?, ?)", row))

    async def take_requests(self, runs: Sequence[str]) -> list[Request]:
        """Return the requests for these runs that were not returned before, oldest first. Cheap when there are none."""
        wanted = set(runs)
        stored = await self._writer.read(lambda connection: journal.read_requests(connection, wanted))
        fresh = [request for request in stored if request.id not in self._taken]
        self._taken.update(request.id for request in fresh)
        return fresh

    async def handled(self, requests: Sequence[Request]) -> None:
        """See `ports.Inbox`. Costs nothing for what a commit has removed."""
        if left := [(request.id,) for request in requests if request.id in self._taken]:
            await self._writer.write(lambda connection: connection.executemany("DELETE FROM requests WHERE id = ?", left))
            self._taken.difference_update(id for (id,) in left)

    # ------------------------------------------------------------ Tasks and Timers

    async def claim(
        self, worker: str, targets: Sequence[str] | None, free: int, mutates: Callable[[Task], bool] = lambda _task: False
    ) -> list[Task]:
        """See `ports.Tasks`."""
        return await self._tasks.claim(worker, targets, free, mutates)

    async def extend(self, task: Task) -> None:
        """See `ports.Tasks`."""
        await self._tasks.extend(task)

    async def report(self, report: Report) -> None:
        """See `ports.Tasks`. A report is durable once the runner has committed what follows from it."""
        await self._tasks.report(report)

    async def reports(self) -> list[Report]:
        """See `ports.Tasks`."""
        return await self._tasks.reports()

    async def due(self) -> list[Timer]:
        """See `ports.Timers`. Timers of an earlier process are among them; what was due meanwhile comes at once."""
        if not self._restored:
            self._restored = True
            self._timers.add(await self._writer.read(journal.read_timers))
        return await self._timers.due()

    def _hand_out(self, commit: Commit, written: journal.Written) -> None:
        changes = written.changes
        self._taken.difference_update(written.answered)
        for port in (self._tasks, self._timers):
            port.settle(commit.run, changes.settled)
            if changes.finished:
                port.drop(commit.run)
        if changes.cancelled:
            self._tasks.withdraw(commit.run)
        self._tasks.offer(commit.tasks)
        self._timers.add(commit.timers)
