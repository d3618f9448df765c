"""Journal, inbox, tasks, timers and history in dicts: for tests, and for runs that nobody needs to remember."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import ClassVar

from provisioning.adapters.clock import SystemClock
from provisioning.adapters.memory.history import MemoryHistory
from provisioning.adapters.memory.schedules import MemorySchedules
from provisioning.adapters.memory.tasks import TaskQueue
from provisioning.adapters.memory.timers import TimerHeap
from provisioning.codec import decode, digest, encode
from provisioning.core.events import Event
from provisioning.core.model import RUN_ENDED, Workflow
from provisioning.core.ports import Clock, Commit, Report, Request, Task, Timer
from provisioning.core.projection import project
from provisioning.errors import Fenced, NotFoundError, StaleRevision


class MemoryStore:
    """Fulfils `ports.Journal`, `Inbox`, `Tasks` and `Timers`; `history` reads what happened, `schedules` keeps marks.

    Events pass through JSON as they would on a disk, so what cannot be stored there is refused here as well.
    """

    ordered: ClassVar[None] = None  # workers are in the same process

    def __init__(self, clock: Clock | None = None) -> None:
        self.history = MemoryHistory()
        self.schedules = MemorySchedules(self.history)
        self._workflows: dict[str, Workflow] = {}
        self._events: dict[str, list[bytes]] = {}
        self._requests: list[Request] = []
        self._request_count = 0
        self._taken: set[int] = set()
        self._fence = 0
        self._tasks = TaskQueue()
        self._timers = TimerHeap(clock or SystemClock())

    # ------------------------------------------------------------ Journal

    async def take_over(self, token: int) -> None:
        """Do nothing: the first commit with a higher fencing token is what older ones are refused by."""

    async def resign(self) -> None:
        """Do nothing: workers die with their leader."""

    def stop(self, run: str, tasks: Iterable[Task]) -> None:
        """Do nothing: whoever drives a run here has its workers, too."""

    async def put_workflow(self, workflow: Workflow) -> str:
        """Store a workflow under its digest and return that."""
        address = digest(workflow)
        self._workflows.setdefault(address, workflow)
        return address

    async def workflow(self, digest: str) -> Workflow:
        """Return a stored workflow. Raises NotFoundError."""
        if digest not in self._workflows:
            raise NotFoundError(f"there is no workflow {digest}")
        return self._workflows[digest]

    async def commit(self, commit: Commit) -> int:
        """Append all of it or nothing; return the new last seq. Raises StaleRevision, Fenced, ValueError."""
        known = self._events.get(commit.run, [])
        if commit.fence is not None and commit.fence < self._fence:
            raise Fenced(f"a runner with fencing number {self._fence} has taken over from {commit.fence}")
        if commit.expected_seq != len(known):
            raise StaleRevision(f"run {commit.run} is at event {len(known)}, the commit is based on {commit.expected_seq}")
        events = [replace(event, seq=seq) for seq, event in enumerate(commit.events, start=len(known) + 1)]
        written = [encode(event) for event in events]
        changes = project(decode(data, Event, strict=False) for data in written)
        self._fence = self._fence if commit.fence is None else commit.fence
        if written:
            self._events.setdefault(commit.run, known).extend(written)
            workflow = self._workflows.get(str(changes.run.get("digest"))) if changes.created else None
            self.history.apply(events[-1], changes, workflow)
        for port in (self._tasks, self._timers):
            port.settle(commit.run, changes.settled)
            if changes.finished:
                port.drop(commit.run)
        if changes.cancelled:
            self._tasks.withdraw(commit.run)
        self._tasks.offer(commit.tasks)
        self._timers.add(commit.timers)
        self._remove(
            [each for each in self._requests if each.id <= commit.upto and commit.run in {each.run, each.data.get("run")}]
        )
        return len(known)

    async def events(self, run: str, after: int = 0) -> list[Event]:
        """Return the events of a run with seq > `after`, in order."""
        return [decode(data, Event, strict=False) for data in self._events.get(run, [])[after:]]

    async def open_runs(self) -> list[str]:
        """Return the ids of runs that have not finished, oldest first."""
        return [run for run in self._events if self.history.state(run) not in RUN_ENDED]

    async def delete(self, run: str) -> None:
        """Remove every trace of a run."""
        self._events.pop(run, None)
        self._requests = [request for request in self._requests if request.run != run]
        self.history.forget(run)
        self._tasks.drop(run)
        self._timers.drop(run)

    async def delete_dead_letters(self, *, before: datetime | None = None, waiting: bool = False) -> int:
        """Remove dead letters that were replayed, `waiting` ones too; only those that died `before`. Return how many."""
        return self.history.delete_letters(before, waiting=waiting)

    # ------------------------------------------------------------ Inbox

    async def request(self, request: Request) -> None:
        """Store a request."""
        self._request_count += 1
        self._requests.append(replace(request, id=self._request_count))

    async def take_requests(self, runs: Sequence[str]) -> list[Request]:
        """Return the requests for these runs that were not returned before, oldest first."""
        wanted = set(runs)
        taken = [request for request in self._requests if request.run in wanted and request.id not in self._taken]
        self._taken.update(request.id for request in taken)
        return taken

    async def handled(self, requests: Sequence[Request]) -> None:
        """See `ports.Inbox`."""
        self._remove(requests)

    def _remove(self, requests: Sequence[Request]) -> None:
        if gone := {request.id for request in requests}:
            self._requests = [request for request in self._requests if request.id not in gone]
            self._taken -= gone

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
        """See `ports.Tasks`."""
        await self._tasks.report(report)

    async def reports(self) -> list[Report]:
        """See `ports.Tasks`."""
        return await self._tasks.reports()

    async def due(self) -> list[Timer]:
        """See `ports.Timers`."""
        return await self._timers.due()
