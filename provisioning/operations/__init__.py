"""What can be asked of a workspace: load, plan, provision, retry, cancel. The command line and the API are its callers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING

from provisioning import wiring
from provisioning.core.events import Event
from provisioning.core.frozen import dataclass
from provisioning.errors import ProvisioningError
from provisioning.operations.options import RunOptions
from provisioning.settings import Settings

if TYPE_CHECKING:
    from provisioning.adapters.nats.connect import Access
    from provisioning.core.declare import Infra, Server
    from provisioning.core.history import RunDetail
    from provisioning.core.hosts import Hosts
    from provisioning.core.plan import Plan, Selection
    from provisioning.core.resources import ResourceBook

    Connect = Callable[[Path, Sequence[Server], Settings], Hosts]


class Listener:
    """Told what happens in a run, from the event loop's thread. Does nothing; override what you need.

    What a listener raises does not stop the run: it is told nothing more, and the call raises that at its end.
    """

    def on_run(self, run_id: str) -> None:
        """The run has been created."""

    def on_event(self, event: Event) -> None:
        """An event was committed."""

    def on_output(self, step: str, text: str) -> None:
        """A step printed whole lines; control codes removed, secrets masked."""

    def on_note(self, text: str) -> None:
        """Something worth a line that is not an event: an earlier run that was cut off, what Ctrl-C does."""

    def on_abort(self) -> None:
        """The process is about to leave on the spot, after a second Ctrl-C: give the terminal back."""


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
    settings: Settings = field(default_factory=Settings)
    connect: Connect = wiring.hosts  # how servers are reached: over SSH unless somebody brings another way
    cluster: Access | None = None  # whose workers do it; None: this process does

    def book(self) -> ResourceBook:
        """Return the recorded states: of the cluster, else of the state file. Raises StateFileError, StoreError."""
        if self.cluster is not None:
            from provisioning.operations.cluster.provisioning import read_book
            from provisioning.operations.session import run_blocking

            return run_blocking(read_book(self, self.cluster))
        return wiring.state_file(self.folder).load_sync()

    def plan(self, selection: Selection) -> Plan:
        """Plan against the recorded states. Writes nothing, contacts nobody. Raises NotFoundError, UsageError."""
        from provisioning.core.planner import make_plan

        return make_plan(self.infra, selection, self.book())

    def provision(
        self, selection: Selection, options: RunOptions, listener: Listener, show: Callable[[Plan], None]
    ) -> RunResult:
        """Take the workspace's lock, plan, `show` the plan, run it, and return how it ended.

        Blocks; Ctrl-C stops what runs on the servers, records it and returns a result with `errors.Interrupted`.
        Raises LockedError, StateFileError, StoreError.
        """
        from provisioning.operations.session import provision, run_blocking

        if self.cluster is not None:
            from provisioning.operations.cluster.provisioning import provision as on_cluster

            return run_blocking(on_cluster(self, self.cluster, selection, options, listener, show))
        return run_blocking(provision(self, selection, options, listener, show))

    def retry(self, run: str, options: RunOptions, listener: Listener) -> RunResult:
        """Run the failed frontier of an ended run again, or `from_step` and all below it, in the same run.

        Raises NotFoundError, UsageError, LockedError.
        """
        from provisioning.operations.records import find_run
        from provisioning.operations.session import retry, run_blocking

        if self.cluster is not None:
            from provisioning.operations.cluster.provisioning import retry as on_cluster

            return run_blocking(on_cluster(self, self.cluster, run, options, listener))
        find_run(self.folder, run)  # a name that nothing has leaves no trace
        return run_blocking(retry(self, run, options, listener))

    def check_connections(self, plan: Plan) -> Mapping[str, str]:
        """Log in to the plan's servers and probe their gates once; hostname or gate id -> "" or what is wrong."""
        from provisioning.operations.connections import check_connections
        from provisioning.operations.session import run_blocking

        return run_blocking(check_connections(self, plan))


def open_project(folder: Path, infra: str | None) -> Project:
    """Load and check the workspace in `folder`. Raises NotFoundError, UsageError, ConfigError with every fault."""
    from provisioning.formats.infra import choose_infra, load_infra
    from provisioning.formats.nickel import NickelLimits
    from provisioning.formats.taskserv import catalogue_folders, load_catalogue
    from provisioning.formats.workspace import load_workspace
    from provisioning.settings import load

    workspace = load_workspace(folder)
    name = choose_infra(workspace, infra)
    catalogue = load_catalogue(catalogue_folders(folder, name), folder)
    settings = load(workspace=workspace.settings)
    limits = NickelLimits(wall_s=settings.nickel.timeout_s)
    return Project(infra=load_infra(workspace, name, catalogue, limits=limits), folder=folder, settings=settings)


__all__ = ["Listener", "Project", "RunOptions", "RunResult", "open_project"]
