"""What commands are given: where the workspace is, what was asked for on the command line, and how to answer."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

import click

if TYPE_CHECKING:
    from pathlib import Path

    from provisioning.core.declare import Workspace
    from provisioning.core.resources import Actor
    from provisioning.formats.nickel import NickelLimits
    from provisioning.operations import Project

    Opener = Callable[[Path | None, str | None], Project]

VARIABLES = {"workspace": "PROVISIONING_WORKSPACE", "infra": "PROVISIONING_INFRA", "output": "PROVISIONING_OUTPUT"}


class App:
    """One call of the program."""

    def __init__(self, open_project: Opener | None = None) -> None:
        """`open_project` replaces `operations.open_project`."""
        self.given: dict[str, str] = {}  # workspace, infra, output, dags, dagu_home, quiet: as options said
        self._open = open_project

    def asked(self, name: str) -> str | None:
        """Return what a common option, else its environment variable, says."""
        return self.given.get(name, os.environ.get(VARIABLES[name]) or None)

    @property
    def json(self) -> bool:
        """Whether results are printed as JSON."""
        return self.asked("output") == "json"

    @property
    def infra(self) -> str | None:
        """The infra that was asked for."""
        return self.asked("infra")

    def folder(self) -> Path:
        """Return the workspace's folder: as asked, else the nearest upward, else the active one. Raises NotFoundError."""
        from pathlib import Path

        from provisioning.errors import NotFoundError, UsageError
        from provisioning.formats.workspace import find_workspace

        named = self.asked("workspace")
        if named == "":  # an unset variable in a script must not mean the current folder
            raise UsageError("-w is empty", hint="give the workspace's folder")
        if named is not None:
            if not os.path.isfile(Path(named) / "workspace.toml"):  # noqa: PTH113 -- never raises, however long the name is
                raise NotFoundError(f"no workspace in {named}: it has no workspace.toml", hint=INIT_HINT)
            return Path(named).absolute()
        found = find_workspace(Path.cwd()) or _active()
        if found is None:
            raise NotFoundError("no workspace here or above, and none is active", hint=f"give one with -w PATH, or {INIT_HINT}")
        return found

    def runs_folder(self) -> Path:
        """Return the folder whose runs are meant: also one that is no workspace, where a program keeps its runs.

        It is meant where -w names it, or where we stand in it. Else as `folder`. Raises NotFoundError.
        """
        from pathlib import Path

        from provisioning.errors import NotFoundError
        from provisioning.wiring import has_history

        named = self.asked("workspace")
        here = Path.cwd() if named is None else Path(named)
        if named != "" and has_history(here):
            return here.absolute()
        try:
            return self.folder()
        except NotFoundError as error:
            if named is None:
                error.hint = f"give the folder that the runs are kept in with -w PATH; for a workspace, {INIT_HINT}"
            elif os.path.isdir(here):  # noqa: PTH112 -- never raises, however long the name is
                raise NotFoundError(f"no runs in {named}: it is no workspace, and no program keeps runs there") from error
            raise

    def workspace(self) -> Workspace:
        """Load the workspace's own file. Raises NotFoundError, ConfigError."""
        from provisioning.formats.workspace import load_workspace

        return load_workspace(self.folder())

    def project(self) -> Project:
        """Load and check everything. Raises NotFoundError, UsageError, ConfigError."""
        if self._open is not None:
            return self._open(None, self.infra)
        from provisioning.operations import open_project

        return open_project(self.folder(), self.infra)

    def limits(self, workspace: Workspace | None = None) -> NickelLimits:
        """Return what an evaluation of Nickel may use. Raises ConfigError for wrong settings."""
        from provisioning.formats.nickel import NickelLimits
        from provisioning.settings import load

        settings = load(workspace=workspace.settings) if workspace else load()
        return NickelLimits(wall_s=settings.nickel.timeout_s)

    def emit(self, document: object, table: Callable[[], str]) -> None:
        """Print a result: the document, or what a function makes of it, as JSON; or the table."""
        from provisioning_cli import output

        if not self.json:
            output.write(table())
        else:
            output.write(output.to_json(document() if callable(document) else document))

    def say(self, text: str) -> None:
        """Print a message, which is not part of the result; nothing with `--quiet`."""
        from provisioning_cli import output

        if "quiet" not in self.given:
            output.message(text)

    def leave(self, code: int) -> NoReturn:
        """End the command with an exit code."""
        raise click.exceptions.Exit(code)


pass_app = click.make_pass_decorator(App, ensure=True)

INIT_HINT = "make one with `provisioning workspace init PATH`"


def _active() -> Path | None:
    from pathlib import Path

    from provisioning.errors import NotFoundError
    from provisioning.userfile import read

    active = read().active
    if active is None:
        return None
    if not (Path(active) / "workspace.toml").is_file():
        raise NotFoundError(f"the active workspace {active} is gone", hint="choose another with `provisioning workspace use`")
    return Path(active)


def me() -> Actor:
    """Return who is at the command line, as user@host."""
    from provisioning.core.resources import Actor
    from provisioning.wiring import identity

    return Actor(identity=identity(), source="cli")
