"""What the folder of a store brings along: a workspace has servers that steps may use, and a state file that has to keep up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from provisioning import clusters, wiring
from provisioning.core.frozen import dataclass
from provisioning.core.resources import Actor
from provisioning.engine.actions import Action
from provisioning.engine.recorder import Recorder
from provisioning.engine.runner import Projection
from provisioning.operations.cluster.recording import Recording

if TYPE_CHECKING:
    from provisioning.clusters import Joined
    from provisioning.core.hosts import Hosts

SOURCE = "python"
"""What the state file says of where a change came from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pieces:
    """What an outfit adds to an engine."""

    actions: Mapping[str, Action] = field(default_factory=lambda: MappingProxyType({}))
    projections: Sequence[Projection] = ()
    hidden: Sequence[str] = ()  # values that are kept out of every output


class Outfit(Protocol):
    """Opened when an engine begins to drive a store, closed when it stops."""

    async def open(self, token: int) -> Pieces:
        """Return the pieces, for a runner with this fencing token. Raises ConfigError, StateFileError."""
        ...

    async def close(self) -> None:
        """Let go of what was opened."""
        ...


class Bare:
    """The outfit of a store that is in no workspace."""

    async def open(self, _token: int) -> Pieces:
        """Return nothing."""
        return Pieces()

    async def close(self) -> None:
        """Do nothing."""


class OfCluster:
    """The outfit of whoever decides for a cluster: the states of the workspaces whose taskservs its workers install."""

    def __init__(self, joined: Joined) -> None:
        self._joined = joined

    async def open(self, _token: int) -> Pieces:
        """See `Outfit`."""
        joined = self._joined
        states = Recording(joined.store, wiring.clock(), lambda workspace: clusters.resources(joined, workspace))
        return Pieces(projections=(states,))

    async def close(self) -> None:
        """Do nothing."""


class OfWorkspace:
    """The outfit of a store in a workspace: its servers, its taskservs, its state file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._hosts: Hosts | None = None

    async def open(self, token: int) -> Pieces:
        """See `Outfit`. Connections are made when a step needs them."""
        from provisioning.operations import open_project

        project = open_project(self._folder, None)
        recorder = Recorder(wiring.state_file(self._folder), wiring.clock(), Actor(identity=wiring.identity(), source=SOURCE))
        book = await recorder.load()
        self._hosts = project.connect(self._folder, project.infra.servers, project.settings)
        return Pieces(
            actions=wiring.actions(project.infra, self._folder, self._hosts, lineage=book.lineage, token=token),
            projections=(recorder,),
            hidden=wiring.declared_secrets(project.infra, self._folder),
        )

    async def close(self) -> None:
        """Close the connections. What runs on servers was stopped before."""
        if self._hosts is not None:
            await self._hosts.recorded()
            await self._hosts.close()
            self._hosts = None
