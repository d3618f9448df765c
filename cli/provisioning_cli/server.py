"""`provisioning server`: the servers of an infra."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from provisioning_cli import complete
from provisioning_cli.context import App, pass_app
from provisioning_cli.groups import Group

if TYPE_CHECKING:
    from provisioning.core.declare import Infra, Server
    from provisioning.operations import Project

HOST = click.argument("host", shell_complete=complete.servers)


@click.group(cls=Group)
def server() -> None:
    """The servers of an infra: list, check, trust, log in."""


@server.command("list")
@pass_app
def list_(app: App) -> None:
    """List the servers."""
    from provisioning_cli import output

    infra = app.project().infra
    rows = [
        {
            "hostname": one.hostname,
            "address": one.address_for(),
            "user": one.ssh.user,
            "port": one.ssh.port,
            "site": one.site,
            "formulas": _formulas(infra, one),
            "labels": dict(one.labels),
        }
        for one in infra.servers
    ]
    columns = ["hostname", "address", "user", "port", "site", "formulas", "labels"]
    app.emit(
        {"infra": infra.name, "servers": rows},
        lambda: output.table(rows, columns, empty="no servers", spare=["labels", "site", "port"]),
    )


def _formulas(infra: Infra, one: Server) -> list[str]:
    return [formula.id for formula in infra.dag.formulas if formula.server == one.hostname] if infra.dag else []


@server.command()
@HOST
@pass_app
def show(app: App, host: str) -> None:
    """Show how HOST is reached and what is recorded of it."""
    from provisioning_cli import output

    project = app.project()
    one = _named(project.infra, host)
    become = one.ssh.become
    facts: dict[str, object] = {
        "hostname": one.hostname,
        "address": one.address,
        "public_ip": one.public_ip,
        "private_ip": one.private_ip,
        "user": one.ssh.user,
        "port": one.ssh.port,
        "key_path": one.ssh.key_path,
        "proxy_jump": one.ssh.proxy_jump,
        "become": become.method if become else None,
        "site": one.site,
        "labels": dict(one.labels),
        "formulas": _formulas(project.infra, one),
    }
    resources = project.book().servers.get(host, {})
    rows = [{"taskserv": name, "state": found.state.value, "ended_at": found.ended_at} for name, found in resources.items()]
    shown = {name: value for name, value in facts.items() if value not in (None, [], {})}
    table = output.table(rows, ["taskserv", "state", "ended_at"], empty="nothing is recorded")
    app.emit(facts | {"taskservs": rows}, lambda: output.record(shown) + table)


@server.command()
@click.argument("hosts", nargs=-1, shell_complete=complete.servers)
@pass_app
def check(app: App, hosts: tuple[str, ...]) -> None:
    """Log in to all servers, or to HOSTS, and say what is wrong. Exit code 7 when one refuses or cannot be reached."""
    from provisioning.operations.servers import check_logins
    from provisioning_cli import output

    project = app.project()
    chosen = [_named(project.infra, host) for host in hosts] or list(project.infra.servers)
    found = check_logins(project, chosen)
    rows = [
        {
            "hostname": one.hostname,
            "address": one.address_for(),
            "ok": found[one.hostname] is None,
            "problem": str(found[one.hostname]) if found[one.hostname] else None,
            "hint": getattr(found[one.hostname], "hint", None) or None,
        }
        for one in chosen
    ]
    app.emit(
        {"servers": rows}, lambda: output.table(rows, ["hostname", "address", "ok", "problem", "hint"], empty="no servers")
    )
    if not all(row["ok"] for row in rows):
        app.leave(7)


@server.command()
@HOST
@click.option("--fingerprint", metavar="SHA256:...", help="Accept the key only if it is this one.")
@click.option("--yes", is_flag=True, help="Accept without asking.")
@pass_app
def trust(app: App, host: str, fingerprint: str | None, yes: bool) -> None:
    """Fetch the host key of HOST and remember it, after you have compared the fingerprint."""
    from provisioning.operations.servers import offered_key
    from provisioning.operations.servers import trust as remember

    project = app.project()
    found = offered_key(project, _named(project.infra, host))
    document = {"hostname": host, "type": found.type, "fingerprint": found.fingerprint}
    if found.trusted:
        app.emit(document | {"added": False}, lambda: f"{host} is trusted already: {found.fingerprint}\n")
        return
    _compare(app, host, found.fingerprint, fingerprint, yes)
    file = remember(project, found)
    app.emit(document | {"added": True, "file": str(file)}, lambda: f"{host} is trusted now: {found.fingerprint}\n")


def _compare(app: App, host: str, found: str, expected: str | None, yes: bool) -> None:
    from provisioning.errors import HostKeyError, UsageError

    if expected is not None and expected != found:
        message = f"{host} shows the key {found}, not {expected}"
        raise HostKeyError(message, hint="somebody may stand between you and the server; nothing was remembered", server=host)
    if expected is not None or yes:
        return
    app.say(f"{host} shows the key {found}")
    if not sys.stdin.isatty():
        raise UsageError(
            "nobody is here to compare the fingerprint", hint=f"repeat it with --fingerprint {found}, or with --yes"
        )
    if not click.confirm("is that its fingerprint", err=True):
        raise HostKeyError(f"{host} is not trusted: its key was not accepted", server=host)


@server.command(context_settings={"allow_interspersed_args": False})
@HOST
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@pass_app
def ssh(app: App, host: str, command: tuple[str, ...]) -> None:
    """Log in to HOST with OpenSSH, or run COMMAND there, with the login its declaration says."""
    from provisioning.errors import NotFoundError

    project = app.project()
    arguments = ssh_arguments(project, _named(project.infra, host), command)
    if app.json:
        app.emit({"command": arguments}, str)
        return
    try:
        os.execvp(arguments[0], arguments)  # noqa: S606 -- ssh takes over this terminal
    except FileNotFoundError as error:
        raise NotFoundError("no program 'ssh' on PATH", hint="install OpenSSH's client") from error


def ssh_arguments(project: Project, one: Server, command: tuple[str, ...] = ()) -> list[str]:
    """Return the call of OpenSSH for a server. Nothing of the declaration can be taken for an option."""
    from provisioning.errors import UsageError
    from provisioning.wiring import known_hosts

    login = one.ssh
    address = one.address_for() or one.hostname
    options = ["-p", str(login.port)] if login.port else []
    options += ["-i", str(project.folder / Path(login.key_path).expanduser())] if login.key_path else []
    options += ["-J", login.proxy_jump] if login.proxy_jump else []
    trusted = known_hosts(project.folder)
    if trusted.exists():
        options += ["-o", f'UserKnownHostsFile=~/.ssh/known_hosts ~/.ssh/known_hosts2 "{str(trusted).replace("%", "%%")}"']
    target = f"{login.user}@{address}" if login.user else address
    for value in (target, login.proxy_jump or ""):
        if value.startswith("-"):
            raise UsageError(f"{value!r} cannot be a login: it starts with a hyphen")
    return ["ssh", *options, "--", target, *command]


def _named(infra: Infra, host: str) -> Server:
    from provisioning.core.suggest import nearest
    from provisioning.errors import NotFoundError

    for one in infra.servers:
        if one.hostname == host:
            return one
    near = nearest(host, [one.hostname for one in infra.servers])
    hint = f"did you mean {near}?" if near else "`provisioning server list` shows the servers"
    raise NotFoundError(f"no server {host!r} in infra {infra.name}", hint=hint)
