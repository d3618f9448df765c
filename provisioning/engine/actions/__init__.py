"""What each kind of step does. An action is looked up by the type in `core.model.Action`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from provisioning.core.frozen import dataclass
from provisioning.core.model import Step
from provisioning.core.ports import Clock, Outcome, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How an action ended. `error_kind` is a stable word, `error` one line for people."""

    outcome: Outcome
    exit_code: int | None = None
    error_kind: str = ""
    error: str = ""
    output: object = None
    added: tuple[Step, ...] = ()  # steps that it asks for
    again: bool | None = None  # what it says of a repetition; None leaves it to how it ended
    retryable: bool = True  # False: another attempt cannot help
    wait_s: float | None = None  # another attempt is asked for after so long: `again` says whether as a repetition
    passes: bool = False  # it failed or was skipped, and its dependents go on as if it had succeeded
    partial: bool = False  # it succeeded, but what it did succeeded in part only
    stops: str = ""  # why the whole run is to be cancelled now
    stdout: str = ""  # the end of what it printed, for the history
    stderr: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """How a worker treats an action."""

    own_time: bool = False  # keeps the step's time limit itself, where the work is
    eager_log: bool = True  # has a log even if nothing is printed
    mutates: bool = False  # changes something elsewhere: it is never begun by two workers, also not when messages come twice


OK = Result(outcome=Outcome.OK, exit_code=0)


class Context(Protocol):
    """What an action is given besides its task."""

    clock: Clock

    def write(self, data: bytes) -> None:
        """Take output as it comes, from any thread, one thread at a time: for the log and, by lines, for the listener."""
        ...

    @property
    def path(self) -> str:
        """Where the log is, or that of standard output; "" when there is none."""
        ...

    @property
    def err_path(self) -> str:
        """Where the log of standard error is; "" when there is none of its own."""
        ...

    def open(self) -> None:
        """Start the log. Raises StoreError."""
        ...

    def apart(self) -> None:
        """Start a log for `out` and one for `err`, before anything was written. Raises StoreError."""
        ...

    def out(self, data: bytes) -> None:
        """Take standard output, as `write` does."""
        ...

    def err(self, data: bytes) -> None:
        """Take standard error, as `write` does."""
        ...

    def tail(self, kind: str) -> str:
        """Return the end of a stream that has ended, `out` or `err`, as safe text."""
        ...

    def mask(self, secrets: Mapping[str, str]) -> None:
        """Keep these values (by name) out of everything that is written from now on."""
        ...

    def note(self, text: str) -> None:
        """Write a line of our own into the log, and show it."""
        ...

    def last_lines(self, count: int = 10) -> list[str]:
        """Return the last lines written."""
        ...


class Action(Protocol):
    """Does one kind of step."""

    @property
    def traits(self) -> Traits:
        """How a worker treats it."""
        ...

    async def run(self, task: Task, context: Context) -> Result:
        """Do it. When cancelled, stop what runs, everywhere, and only then raise CancelledError."""
        ...
