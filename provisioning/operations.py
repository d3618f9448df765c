"""What can be asked of a workspace: load, plan, provision, retry, cancel. The command line and the API are its callers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from provisioning.core.declare import Infra
from provisioning.core.events import Event
from provisioning.core.plan import Plan, Selection
from provisioning.core.resources import ResourceBook
from provisioning.errors import ProvisioningError

if TYPE_CHECKING:
    from provisioning.core.history import RunDetail


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How to run a plan."""

    keep_going: bool = False  # independent branches go on after a failure
    max_parallel: int = 0  # steps at once in the whole run; 0: the setting `run.max_parallel`
    wait: bool = False  # wait for the workspace instead of refusing
    actor: str = ""  # user@host
    source: str = "cli"


class Listener:
    """Told what happens in a run, from the event loop's thread. Does nothing; override what you need."""

    def on_run(self, run_id: str) -> None:
        """The run has been created."""

    def on_event(self, event: Event) -> None:
        """An event was committed."""

    def on_output(self, step: str, text: str) -> None:
        """A step printed whole lines; control codes removed, secrets masked."""

    def on_note(self, text: str) -> None:
        """Something worth a line that is not an event: a reconnect, a probe that failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """How a run ended. `failure` is None when it succeeded; else its exit code is the command's, its message F14's."""

    detail: RunDetail
    failure: ProvisioningError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """One infrastructure of a workspace, loaded and valid."""

    infra: Infra
    folder: Path  # the workspace

    def book(self) -> ResourceBook:
        """Read the state file. Raises StateFileError."""
        raise NotImplementedError

    def plan(self, selection: Selection) -> Plan:
        """Plan against the recorded states. Writes nothing, contacts nobody. Raises NotFoundError, UsageError."""
        raise NotImplementedError

    def provision(self, selection: Selection, options: RunOptions, listener: Listener, show: Callable[[Plan], None]) -> RunResult:
        """Take the workspace's lock, plan, `show` the plan, run it, and return how it ended.

        Blocks; Ctrl-C stops what runs on the servers, records it and returns a result with `errors.Interrupted`.
        Raises LockedError, StateFileError, StoreError.
        """
        raise NotImplementedError

    def retry(self, run: str, options: RunOptions, listener: Listener) -> RunResult:
        """Run the failed frontier of an ended run again, in the same run. Raises NotFoundError, UsageError, LockedError."""
        raise NotImplementedError

    def check_connections(self, plan: Plan) -> Mapping[str, str]:
        """Log in to the plan's servers and probe their gates once; hostname or gate id -> "" or what is wrong."""
        raise NotImplementedError


def open_project(workspace: Path | None, infra: str | None) -> Project:
    """Find, load and check a workspace. Raises NotFoundError, UsageError, ConfigError with every fault."""
    raise NotImplementedError
