"""`provisioning state`: what is recorded of every taskserv on every server, and edits of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from provisioning_cli import complete
from provisioning_cli.clustered import ClusterCommand, access, required
from provisioning_cli.context import App, me, pass_app
from provisioning_cli.groups import Group

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from provisioning.core.resources import Resource, ResourceBook
    from provisioning.core.stateedit import Edited, Mark
    from provisioning.operations.cluster.states import Moved

SERVER = click.argument("server", shell_complete=complete.servers)
TASKSERV = click.argument("taskserv", required=False, shell_complete=complete.taskservs)


@click.group(cls=Group)
def state() -> None:
    """What is recorded of every taskserv on every server."""


@state.command(cls=ClusterCommand)
@click.argument("server", required=False, shell_complete=complete.servers)
@TASKSERV
@pass_app
def show(app: App, server: str | None, taskserv: str | None) -> None:
    """Show the recorded states, of all servers, of one, or of one taskserv there."""
    from provisioning_cli import output

    book = _book(app)
    rows = [
        _document(host, name, resource)
        for host, resources in _narrowed(book, server, taskserv).items()
        for name, resource in resources.items()
    ]
    columns = ["server", "taskserv", "state", "operation", "profile", "ended_at", "run_id", "blocker"]
    document = {"version": book.version, "lineage": book.lineage, "serial": book.serial, "resources": rows}
    app.emit(
        document,
        lambda: output.table(rows, columns, empty="nothing is recorded", spare=["run_id", "profile", "operation", "ended_at"]),
    )


def _book(app: App) -> ResourceBook:
    """Return what the cluster says that is meant, else what the state file says."""
    from provisioning.wiring import state_file

    folder, cluster = app.folder(), access(app)
    if cluster is None:
        return state_file(folder).load_sync()
    from provisioning.operations.cluster.edits import read_state

    return read_state(folder, cluster)


def _document(host: str, name: str, resource: Resource) -> dict[str, object]:
    return {
        "server": host,
        "taskserv": name,
        "state": resource.state.value,
        "operation": resource.operation,
        "profile": resource.profile,
        "digest": resource.digest,
        "run_id": resource.run_id,
        "started_at": resource.started_at,
        "ended_at": resource.ended_at,
        "blocker": resource.blocker,
        "actor": {"identity": resource.actor.identity, "source": resource.actor.source},
    }


def _narrowed(book: ResourceBook, server: str | None, taskserv: str | None) -> dict[str, dict[str, Resource]]:
    from provisioning.core.stateedit import selected

    found: dict[str, dict[str, Resource]] = {}
    for host, name in selected(book, server, taskserv):
        found.setdefault(host, {})[name] = book.servers[host][name]
    return found


@state.command(cls=ClusterCommand)
@SERVER
@TASKSERV
@pass_app
def reset(app: App, server: str, taskserv: str | None) -> None:
    """Set recorded states back to pending, so that the next run installs again."""
    _edit(app, "reset", server, taskserv)


@state.command(cls=ClusterCommand)
@SERVER
@TASKSERV
@pass_app
def forget(app: App, server: str, taskserv: str | None) -> None:
    """Drop what is recorded, of a server or of one taskserv there. Nothing is removed from the server."""
    _edit(app, "forget", server, taskserv)


def _edit(app: App, what: str, server: str, taskserv: str | None) -> None:
    from provisioning.core.stateedit import forget as forgotten
    from provisioning.core.stateedit import reset as set_back

    change = set_back if what == "reset" else forgotten
    _report(app, what, _edited(app, what, lambda book, mark: change(book, server, taskserv, mark)))


def _edited(app: App, what: str, change: Callable[[ResourceBook, Mark], Edited]) -> Edited:
    """Edit what the cluster says that is meant, else what the state file says."""
    from provisioning.operations.states import edit_state, mark_now

    folder, cluster = app.folder(), access(app)
    if cluster is None:
        return edit_state(folder, what, change, me())
    from provisioning.operations.cluster import edits

    return edits.edit_state(folder, cluster, mark_now(what, me()), change, app.say)


@state.command("import", cls=ClusterCommand)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--overwrite", is_flag=True, help="Also where something else is recorded already.")
@pass_app
def import_(app: App, file: Path, overwrite: bool) -> None:
    """Take the states of FILE, a state file of this or an older tool, into this workspace."""
    from provisioning.core.stateedit import merge
    from provisioning.operations.states import read_foreign_state

    foreign = read_foreign_state(file)
    _report(app, "import", _edited(app, "import", lambda book, mark: merge(book, foreign, mark, overwrite=overwrite)))


def _report(app: App, what: str, edited: Edited) -> None:
    from provisioning_cli import output

    rows = [{"server": host, "taskserv": name} for host, name in edited.changed]
    done = {"reset": "set back to pending", "forget": "forgotten", "import": "imported"}[what]
    document = {"edit": what, "serial": edited.book.serial, "resources": rows}
    app.emit(
        document,
        lambda: (
            output.table(rows, ["server", "taskserv"], empty="nothing to change")
            + f"{output.count(len(rows), 'resource')} {done}\n"
        ),
    )


@state.command(cls=ClusterCommand)
@click.option("--force", is_flag=True, help="Also over a newer file, or one of another lineage; it is kept beside.")
@pass_app
def pull(app: App, force: bool) -> None:
    """Have the state file say what the cluster says of this workspace."""
    from provisioning.operations.cluster import states

    _moved(app, "pull", states.pull(app.folder(), required(app), me(), force=force))


@state.command(cls=ClusterCommand)
@click.option("--force", is_flag=True, help="Also over newer states, or those of another lineage.")
@pass_app
def push(app: App, force: bool) -> None:
    """Have the cluster say what the state file of this workspace says."""
    from provisioning.operations.cluster import states

    _moved(app, "push", states.push(app.folder(), required(app), force=force))


def _moved(app: App, what: str, moved: Moved) -> None:
    from provisioning_cli import output

    rows = [{"server": host, "taskserv": name} for host, name in moved.changed]
    document = {
        "edit": what,
        "workspace": moved.workspace,
        "lineage": moved.lineage,
        "serial": moved.serial,
        "written": moved.written,
        "resources": rows,
    }
    done = {"pull": "the state file is", "push": "the cluster is"}[what]
    told = f"{done} at serial {moved.serial}\n" if moved.written else f"nothing to do: both are at serial {moved.serial}\n"
    app.emit(document, lambda: (output.table(rows, ["server", "taskserv"], empty="") if rows else "") + told)


@state.command()
@click.argument("server", required=False, shell_complete=complete.servers)
@TASKSERV
@pass_app
def history(app: App, server: str | None, taskserv: str | None) -> None:
    """Show what happened to the recorded states, oldest first: events of runs and edits by hand."""
    from provisioning.operations.states import read_edits
    from provisioning.wiring import state_file
    from provisioning_cli import output

    folder = app.folder()
    book = state_file(folder).load_sync()
    edits = [edit for edit in read_edits(folder) if server in (None, edit["server"]) and taskserv in (None, edit["taskserv"])]
    found = _narrowed(book, server, taskserv) if not edits else _present(book, server, taskserv)
    logs = [row for row in _logs(found) if not any(_same_event(row, edit) for edit in edits)]
    rows = sorted([*logs, *edits], key=lambda row: str(row["ts"]))
    columns = ["ts", "server", "taskserv", "event", "source", "actor"]
    app.emit({"events": rows}, lambda: output.table(rows, columns, empty="nothing has happened yet", spare=["source", "actor"]))


def _present(book: ResourceBook, server: str | None, taskserv: str | None) -> dict[str, dict[str, Resource]]:
    """Return what is still recorded: a resource that was forgotten has edits, and nothing else."""
    return {
        host: {name: resource for name, resource in resources.items() if taskserv in (None, name)}
        for host, resources in book.servers.items()
        if server in (None, host)
    }


def _logs(found: Mapping[str, Mapping[str, Resource]]) -> list[dict[str, object]]:
    return [
        {"ts": entry.ts, "server": host, "taskserv": name, "event": entry.event, "source": entry.source}
        for host, resources in found.items()
        for name, resource in resources.items()
        for entry in resource.log
    ]


def _same_event(row: Mapping[str, object], edit: Mapping[str, object]) -> bool:
    """An edit stands in the log of its resource too; its own record says more."""
    return all(row[key] == edit[key] for key in ("ts", "server", "taskserv", "event"))


@state.command(cls=ClusterCommand)
@pass_app
def unlock(app: App) -> None:
    """Say who holds the workspace. A dead holder's lock frees itself, so there is nothing to force."""
    from provisioning.errors import LockedError
    from provisioning.wiring import workspace_lock

    _refuse_held(app)
    holder = workspace_lock(app.folder()).holder()
    if holder is None:
        app.emit({"locked": False}, lambda: "not locked\n")
        return
    who = (
        f"{holder.get('user')}@{holder.get('host')}, pid {holder.get('pid')}, since {holder.get('since')}"
        if holder
        else "unknown"
    )
    raise LockedError(
        f"a live runner holds the workspace: {who}",
        hint="stop it there with Ctrl-C or `provisioning run cancel last`; the lock frees itself when the process has ended",
    )


def _refuse_held(app: App) -> None:
    """Raise LockedError while somebody works on the workspace on the cluster that is meant."""
    from provisioning.errors import LockedError

    cluster = access(app)
    if cluster is None:
        return
    from provisioning.operations.cluster.edits import holder

    if who := holder(app.folder(), cluster):
        hint = "`provisioning run cancel RUN` stops a run; who plans is gone after a minute"
        raise LockedError(f"the workspace is locked on the cluster by {who}", hint=hint)
