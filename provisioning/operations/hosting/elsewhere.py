"""What the server of a cluster reads and whom it asks: this machine's copy of the cluster's history, and who decides."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from provisioning import clusters
from provisioning.clusters import Joined
from provisioning.core.history import AttemptRecord
from provisioning.core.model import STEP_ENDED
from provisioning.core.presence import Presence
from provisioning.core.resources import ResourceBook
from provisioning.errors import NotFoundError
from provisioning.formats.workspace import load_workspace
from provisioning.operations import Project, open_project
from provisioning.operations.cluster.turning import Turning
from provisioning.operations.hosting.places import Looked, Workspaces
from provisioning.operations.hosting.reading import Reading, Wanted
from provisioning.operations.steering import Store

if TYPE_CHECKING:
    from provisioning.adapters.nats.logcollector import LogCollector
    from provisioning.adapters.sqlite.store import SqliteStore

T = TypeVar("T")
LOGS_WITHIN_S = 5.0
REMEMBERED = 1_000  # runs


class OnLoop:
    """Fulfils `steering.Reach` from any other thread than that of the server's event loop, over its connection."""

    lasting = True

    def __init__(self, joined: Joined, collector: LogCollector) -> None:
        self._joined, self._collector, self._loop = joined, collector, asyncio.get_running_loop()

    def driven(self, _folder: Path) -> bool:
        """Whether a process decides for the cluster now."""
        return self._do(clusters.lease(self._joined).holder()) is not None

    def there(self, _folder: Path) -> Sequence[Presence] | None:
        """See `Reach`."""
        return self._do(clusters.present(self._joined))

    def within(self, _folder: Path, work: Callable[[Store], Coroutine[None, None, T]]) -> T:
        """See `Reach`."""
        return self._do(work(self._joined.store))

    def delete_logs(self, _folder: Path, run_id: str) -> None:
        """Remove the logs of a run, those that were brought here too."""
        self._do(clusters.delete_logs(self._joined, run_id))

    def catch_up(self) -> None:
        """Have all in the copy of the history that anybody has committed until now. Raises StoreError.

        In the server's event loop itself nothing can be waited for: what is here has to do.
        """
        if not self._is_here():
            self._do(self._joined.store.replica.caught_up())

    def bring_logs(self, run_id: str) -> None:
        """Have all here that was stored of the logs of a run until now, as far as that can be soon. See `catch_up`."""
        if self._is_here():
            return
        try:
            self._do(asyncio.wait_for(self._collector.caught_up(run_id), LOGS_WITHIN_S))
        except TimeoutError:  # they come later
            return

    def book(self, workspace: str) -> ResourceBook | None:
        """Return the states of a workspace, None where the cluster has none. Raises StoreError."""
        return self._do(clusters.resources(self._joined, workspace).found())

    def holder(self, workspace: str) -> str:
        """Return who works on a workspace; nothing where nobody does. Raises StoreError."""
        return self._do(Turning(joined=self._joined, workspace=workspace, actor="").holder())

    def _is_here(self) -> bool:
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False

    def _do(self, work: Coroutine[None, None, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


class OfCluster(Workspaces):
    """The workspaces of this machine, whose servers the cluster's workers work on."""

    def __init__(self, joined: Joined, reach: OnLoop) -> None:
        super().__init__(lambda folder, infra: _on_cluster(open_project(folder, infra), joined))
        self._reach = reach

    def look(self, name: str, infra: str | None = None) -> Looked:
        """See `Workspaces`."""
        return replace(super().look(name, infra), busy=self._reach.holder(self._called(name)))

    def book(self, name: str) -> ResourceBook:
        """Return what the cluster has; where it has nothing, what this machine has. Raises as `Workspaces.book`."""
        found = self._reach.book(self._called(name))
        return found if found is not None else super().book(name)

    def _called(self, name: str) -> str:
        return load_workspace(self.folder(name)).name


def _on_cluster(project: Project, joined: Joined) -> Project:
    return replace(project, cluster=joined.cluster.access)


class ReadElsewhere(Reading):
    """Over the copy of a cluster's history, which has the runs of all workspaces. Not for the server's event loop itself."""

    def __init__(self, data: Path, store: SqliteStore, workspaces: OfCluster, reach: OnLoop) -> None:
        super().__init__(data, store, workspaces, reach)
        self._cluster, self._copy = reach, data
        self._brought: OrderedDict[str, frozenset[tuple[str, int, int]]] = OrderedDict()  # by run: attempts whose logs are here

    def folder(self, workspace: str | None) -> Path:  # noqa: ARG002 - one folder has all of them
        """Return the folder of the copy."""
        return self._copy

    def wanted_of(self, wanted: Wanted) -> Wanted:
        """See `Reading`. A workspace may be one that this machine has not."""
        return replace(wanted, labels=(*wanted.labels, f"workspace={wanted.workspace}")) if wanted.workspace else wanted

    def place(self, run_id: str) -> tuple[Path, str]:
        """See `Reading`. What is not here may have been begun at this moment, elsewhere."""
        try:
            folder, name = super().place(run_id)
        except NotFoundError:
            self._cluster.catch_up()
            folder, name = super().place(run_id)
        return folder, name or self.workspace_of(self.pages(folder).history.summary(run_id))

    def attempts(self, run_id: str, step: str | None = None) -> list[AttemptRecord]:
        """See `Reading`. Of an attempt that has ended the whole log is here when this returns."""
        found = super().attempts(run_id, step)
        ended = {(one.step, one.attempt, one.epoch) for one in found if one.state in STEP_ENDED}
        known = self._brought.get(run_id, frozenset())
        if ended <= known:
            return found
        self._cluster.bring_logs(run_id)
        self._brought[run_id] = known | ended
        while len(self._brought) > REMEMBERED:
            self._brought.popitem(last=False)
        return super().attempts(run_id, step)
