"""What the engine needs from the outside, as protocols. Adapters fulfil them; fakes of all of them are in `adapters.memory`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from provisioning.core.events import Event
from provisioning.core.frozen import dataclass
from provisioning.core.model import Action, Step, Workflow

if TYPE_CHECKING:  # loading a run needs neither servers nor their states
    from provisioning.core.resources import ResourceBook

# ---------------------------------------------------------------- time


class Clock(Protocol):
    """Time. `now` is UTC wall time for records, `monotonic_s` is for deadlines and never goes back."""

    def now(self) -> datetime:
        """Return the wall time, UTC."""
        ...

    def monotonic_s(self) -> float:
        """Return seconds on a clock that only goes forward."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


# ---------------------------------------------------------------- engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One attempt of one step, handed to a worker. (run, step, attempt, epoch) is its identity."""

    run: str
    step: str
    attempt: int
    epoch: int
    action: Action
    args: object = None  # refs resolved
    target: str = ""  # "" is any worker
    timeout_s: float | None = None
    deadline: datetime | None = None  # of the run: nothing is begun after it
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    tries: int = 1  # how often it has been tried, this time included, since it last succeeded or was begun anew
    rounds: int = 1  # how often a repetition has begun it, this time included
    token: int = field(default=0, compare=False)  # fencing number of this dispatch where the store gives one: only grows


RETURNED = "returned"
"""The error kind of a LOST dispatch that its worker has given back and never began: it counts for no loss."""


class Outcome(StrEnum):
    """How an attempt ended."""

    OK = "ok"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"  # a condition does not hold: nothing was done
    UNKNOWN = "unknown"  # nobody can say; never to be taken for failed or done
    LOST = "lost"  # its worker is gone: another one begins it again, as the same attempt in a new epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a worker says of a task: that it started (`outcome` None) or how it ended."""

    task: Task
    worker: str
    outcome: Outcome | None = None
    exit_code: int | None = None
    error_kind: str = ""  # a stable word: exit, signal, timeout, unreachable, gate, ...
    error: str = ""
    output: object = None
    log: str = ""  # where the attempt's log is
    added: tuple[Step, ...] = ()  # steps that it asks for; they count once it has succeeded
    again: bool | None = None  # what the action says of a repetition; None leaves it to how the attempt ended
    retryable: bool = True  # False: the action says that another attempt cannot help
    wait_s: float | None = None  # the action asks for another attempt after so long: `again` says whether as a repetition
    passes: bool = False  # it failed or was skipped, and its dependents go on as if it had succeeded
    partial: bool = False  # it succeeded, but what it did succeeded in part only
    stops: str = ""  # why the whole run is to be cancelled now
    stdout: str = ""  # the end of what it printed, for the history
    stderr: str = ""
    seq: int = field(default=0, compare=False)  # its place among all that comes in, where the store keeps that


@dataclass(frozen=True, slots=True, kw_only=True)
class Timer:
    """A wake-up. Firing twice or late does no harm: the fold ignores what it has seen."""

    run: str
    step: str
    attempt: int
    kind: str  # retry | timeout | late | late STEP | rerun; of the whole run unless `step` says which
    due: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What an operator asks of a run, from any process: cancel, pause, resume, open_gate, reject, continue."""

    run: str
    kind: str
    actor: str = ""
    data: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    id: int = 0  # given by the store: its place among all that comes in


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """What one decision changes. It happens as a whole or not at all."""

    run: str
    expected_seq: int  # seq of the newest event the decision was based on
    events: Sequence[Event]  # without seq; numbered by the journal from expected_seq + 1
    tasks: Sequence[Task] = ()
    timers: Sequence[Timer] = ()
    fence: int | None = 0  # fencing token of the writer; None is nobody's: good for creating a run, which anybody may
    upto: int = 0  # newest input that it takes into account: what came in for the run until then is decided; 0: none


class Journal(Protocol):
    """The append-only log of every run, and the workflows they run."""

    async def put_workflow(self, workflow: Workflow) -> str:
        """Store a workflow under its digest and return that. Storing it again changes nothing."""
        ...

    async def workflow(self, digest: str) -> Workflow:
        """Return a stored workflow. Raises NotFoundError."""
        ...

    async def commit(self, commit: Commit) -> int:
        """Append, durably, all of it or nothing; return the new last seq.

        Raises StaleRevision when `expected_seq` is not the run's last seq (0 for a new run), Fenced when a higher fence
        was seen, StoreError when the disk refuses.
        """
        ...

    async def events(self, run: str, after: int = 0) -> list[Event]:
        """Return the events of a run with seq > `after`, in order. An unknown run has none."""
        ...

    async def open_runs(self) -> list[str]:
        """Return the ids of runs without `run_finished`, oldest first."""
        ...

    async def delete(self, run: str) -> None:
        """Remove every trace of a run. Removing what is not there is no error."""
        ...


class Inbox(Protocol):
    """Requests to runs, from any process that can reach the store."""

    async def request(self, request: Request) -> None:
        """Store a request, durably."""
        ...

    async def take_requests(self, runs: Sequence[str]) -> list[Request]:
        """Return the requests for these runs, oldest first, each once. A commit's `upto`, or `handled`, removes them."""
        ...

    async def handled(self, requests: Sequence[Request]) -> None:
        """Remove requests that were taken: nothing follows from them any more."""
        ...


class Tasks(Protocol):
    """Hands tasks to workers under a lease and brings reports back. A committed task is offered at least once."""

    async def claim(
        self, worker: str, targets: Sequence[str] | None, free: int, mutates: Callable[[Task], bool] = lambda _task: False
    ) -> list[Task]:
        """Wait for tasks for these targets and return at most `free` of them, at least one.

        "" is always among the targets; None is every target. A task that `mutates` is never handed out twice. Once
        `cancel_requested` was committed for a run, its tasks that nobody has claimed come back as reports: cancelled.
        """
        ...

    async def extend(self, task: Task) -> None:
        """Say that the worker still has it."""
        ...

    async def report(self, report: Report) -> None:
        """Pass a report to the runner. A final report ends the lease."""
        ...

    async def reports(self) -> list[Report]:
        """Wait for reports and return all there are, oldest first."""
        ...


class Timers(Protocol):
    """Fires the timers that were committed."""

    async def due(self) -> list[Timer]:
        """Wait until at least one timer is due; return and remove all that are."""
        ...


class Lease(Protocol):
    """The right to be the one runner. Frees itself when its holder dies."""

    async def acquire(self, *, wait: bool) -> int:
        """Return the fencing token, higher than every one before. Raises LockedError naming the holder, unless `wait`."""
        ...

    async def release(self) -> None:
        """Give it up."""
        ...

    async def lost(self) -> None:
        """Return once it was lost without being given up; one that ends only with its holder's process never is."""
        ...


class Resources(Protocol):
    """The resource states: in the embedded engine, the JSON state file."""

    async def load(self) -> ResourceBook:
        """Return the book; a new one with serial 0 when nothing was ever written. Raises StateFileError."""
        ...

    async def save(self, book: ResourceBook) -> ResourceBook:
        """Write it durably, its serial raised by one, and return that. Raises StoreError; the old file still stands."""
        ...


class LogStore(Protocol):
    """Attempt logs: bytes, capped, with head and tail kept."""

    def open(self, run: str, step: str, attempt: int, *, kind: str = "log") -> LogWriter:
        """Start the log of an attempt. `kind`: log, or out and err (in this order) where the streams are kept apart."""
        ...

    def delete(self, run: str) -> None:
        """Remove the logs of a run. Removing what is not there is no error."""
        ...


class LogWriter(Protocol):
    """One attempt's log while it is written. Not thread-safe: one writer."""

    @property
    def path(self) -> str:
        """Where a person finds it."""
        ...

    def write(self, data: bytes) -> None:
        """Append. Past the cap the middle is dropped and a mark says how much."""
        ...

    def tail(self, lines: int = 10) -> list[str]:
        """Return the last lines, invalid UTF-8 replaced, control codes removed."""
        ...

    def close(self) -> None:
        """Flush and close. Closing twice is no error."""
        ...


# ---------------------------------------------------------------- output and secrets

Output = Callable[[bytes], None]
"""Called with output as it comes, stdout and stderr together, from any thread."""


class Secrets(Protocol):
    """Turns secret references (`env:NAME`, `file:PATH`) into values, at the worker, at the last moment."""

    def resolve(self, reference: str) -> str:
        """Return the value. Raises ConfigError naming the reference, never the value."""
        ...
