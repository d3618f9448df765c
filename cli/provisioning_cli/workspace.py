"""`provisioning workspace`: make, choose and check workspaces."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from provisioning_cli import complete
from provisioning_cli.context import App, pass_app
from provisioning_cli.groups import Group

if TYPE_CHECKING:
    from provisioning.core.faults import Fault

IGNORE = ".gitignore"  # one that is there already stays as it is


@click.group(cls=Group)
def workspace() -> None:
    """Make, choose and check workspaces."""


@workspace.command()
@click.argument("path", type=click.Path(path_type=Path, file_okay=False))
@click.option("--name", help="Its name; the folder's, if nothing is said.")
@pass_app
def init(app: App, path: Path, name: str | None) -> None:
    """Make a workspace in the folder PATH, with an example to start from."""
    from provisioning import userfile
    from provisioning.formats.scaffold import workspace_files
    from provisioning_cli import output, writing

    folder = path.absolute()
    name = writing.valid_name("workspace", name or folder.name)
    wanted = {file: text for file, text in workspace_files(name).items() if file != IGNORE or not (folder / IGNORE).exists()}
    files = writing.write_new(folder, wanted, besides=("infra", "servers.ncl", "dag.ncl"))
    mine = userfile.read()
    userfile.write(replace(mine, workspaces={**mine.workspaces, name: str(folder)}))
    app.say(f"made workspace {name}; choose it with `provisioning workspace use {name}`, then try `provisioning dag show`")
    app.emit(
        {"name": name, "path": str(folder), "files": files},
        lambda: "".join(f"{output.cell(str(path / file))}\n" for file in files),
    )


@workspace.command("list")
@pass_app
def list_(app: App) -> None:
    """List the workspaces you have made or used."""
    from provisioning import userfile
    from provisioning_cli import output

    mine = userfile.read()
    rows = [
        {"name": name, "path": path, "active": path == mine.active, "exists": (Path(path) / "workspace.toml").is_file()}
        for name, path in mine.workspaces.items()
    ]
    app.emit({"workspaces": rows}, lambda: output.table(rows, ["name", "path", "active", "exists"], empty="no workspaces yet"))


@workspace.command()
@click.argument("which", metavar="NAME|PATH", shell_complete=complete.workspaces)
@pass_app
def use(app: App, which: str) -> None:
    """Make a workspace the active one: it is meant where no other is given or found."""
    from provisioning import userfile
    from provisioning.formats.workspace import load_workspace

    mine = userfile.read()
    found = load_workspace(_folder_of(which, mine.workspaces))
    userfile.write(replace(mine, active=found.path, workspaces={**mine.workspaces, found.name: found.path}))
    app.emit({"name": found.name, "path": found.path}, lambda: f"{found.name} is active: {found.path}\n")


def _folder_of(which: str, known: object) -> Path:
    from collections.abc import Mapping

    from provisioning.core.suggest import nearest
    from provisioning.errors import NotFoundError

    names: Mapping[str, str] = known if isinstance(known, Mapping) else {}
    folder = Path(names.get(which, which)).absolute()
    if os.path.isfile(folder / "workspace.toml"):  # noqa: PTH113 -- never raises, however long the name is
        return folder
    near = nearest(which, names)
    hint = f"did you mean {near}?" if near else "`provisioning workspace list` shows those you have used"
    raise NotFoundError(f"no workspace {which!r}", hint=hint)


@workspace.command()
@pass_app
def show(app: App) -> None:
    """Show the workspace in use: where it is and what it holds."""
    from provisioning.formats.infra import list_infras
    from provisioning_cli import output

    found = app.workspace()
    facts = {
        "name": found.name,
        "path": found.path,
        "default_infra": found.default_infra,
        "infras": list(list_infras(found)),
        "settings": dict(found.settings),
        "params": dict(found.params),
        "secrets": sorted(found.secrets),
    }
    shown = {name: value for name, value in facts.items() if value not in (None, [], {})}
    app.emit(facts, lambda: output.record(shown))


@workspace.command()
@pass_app
def validate(app: App) -> None:
    """Check every file of every infra, and report all faults at once."""
    from provisioning.errors import ConfigError
    from provisioning.formats.infra import choose_infra, list_infras
    from provisioning_cli import output, results

    faults: dict[Fault, None] = {}
    names: list[str] = []
    try:
        found = app.workspace()
        limits = app.limits(found)
        names = [] if app.infra else list(list_infras(found))
        names = names or [choose_infra(found, app.infra)]
        for name in names:
            faults |= dict.fromkeys(results.inspected(found, name, limits).faults)
    except ConfigError as error:
        faults |= dict.fromkeys(results.faults_of(error))
    results.report_faults(app, list(faults), output.count(len(names), "infra"))
