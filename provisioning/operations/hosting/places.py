"""The workspaces of this user, as a server offers them: those that `workspace init`, `use` and `dag server` have met."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from provisioning import userfile, wiring
from provisioning.core.faults import Fault
from provisioning.core.resources import ResourceBook
from provisioning.core.suggest import nearest
from provisioning.errors import ConfigError, NotFoundError
from provisioning.operations import Project, open_project

if TYPE_CHECKING:
    Opener = Callable[[Path, str | None], Project]


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """A workspace. Without a project its files have faults."""

    folder: Path
    infras: Sequence[str]
    project: Project | None
    faults: Sequence[Fault] = ()
    busy: str = ""


class Workspaces:
    """By name only: no path comes from outside."""

    def __init__(self, opener: Opener = open_project) -> None:
        """`opener` replaces `open_project`."""
        self._opener = opener

    def known(self) -> list[dict[str, object]]:
        """Return name, path, active and exists of each."""
        mine = userfile.read()
        return [
            {"name": name, "path": path, "active": path == mine.active, "exists": (Path(path) / "workspace.toml").is_file()}
            for name, path in mine.workspaces.items()
        ]

    def folders(self) -> list[tuple[Path, str]]:
        """Return the folder and name of each that is there."""
        return [(Path(str(one["path"])), str(one["name"])) for one in self.known() if one["exists"]]

    def folder(self, name: str) -> Path:
        """Return the folder of a workspace. Raises NotFoundError."""
        mine = userfile.read().workspaces
        if name not in mine or not (Path(mine[name]) / "workspace.toml").is_file():
            near = nearest(name, [one for one in mine if one != name])
            hint = f"did you mean {near}?" if near else "`provisioning workspace list` shows those that can be used"
            raise NotFoundError(f"there is no workspace {name}", hint=hint)
        return Path(mine[name])

    def open(self, name: str, infra: str | None = None) -> Project:
        """Load and check a workspace. Raises NotFoundError, UsageError, ConfigError with every fault."""
        return self._opener(self.folder(name), infra)

    def look(self, name: str, infra: str | None = None) -> Looked:
        """Return a workspace, or its faults. Raises NotFoundError."""
        from provisioning.formats.infra import list_infras
        from provisioning.formats.workspace import load_workspace

        folder = self.folder(name)
        infras: Sequence[str] = ()
        try:
            infras = list(list_infras(load_workspace(folder)))
            project = self._opener(folder, infra)
        except ConfigError as error:
            faults = error.faults or (Fault(code=error.code, message=error.message, hint=error.hint),)
            return Looked(folder=folder, infras=infras, project=None, faults=faults, busy=busy(folder))
        return Looked(folder=folder, infras=infras, project=project, busy=busy(folder))

    def book(self, name: str) -> ResourceBook:
        """Read the state file of a workspace. Raises NotFoundError, StateFileError."""
        return wiring.state_file(self.folder(name)).load_sync()


def busy(folder: Path) -> str:
    """Return who works on a workspace; nothing when nobody does."""
    holder = wiring.workspace_lock(folder).holder()
    return "" if holder is None else f"{holder.get('user', 'somebody')}@{holder.get('host', '')}, pid {holder.get('pid', '')}"
