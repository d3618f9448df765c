"""`provisioning user` and `provisioning token`: who may use the server of this machine's DAG files."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from provisioning_cli.context import App, pass_app
from provisioning_cli.groups import Group

if TYPE_CHECKING:
    from provisioning.operations.people import People

ROLES = click.Choice(["viewer", "operator", "admin"])
LEAST = 10  # characters of a password
PASSWORD_STDIN = click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")


@click.group(cls=Group)
def user() -> None:
    """Add, list, change and remove the users of the server."""


@user.command("add")
@click.argument("name")
@click.option("--role", type=ROLES, default="viewer", show_default=True, help="What the user may do.")
@PASSWORD_STDIN
@pass_app
def add_user(app: App, name: str, role: str, password_stdin: bool) -> None:
    """Add the user NAME."""
    from provisioning.core.access import Role
    from provisioning_cli.writing import valid_name

    name = valid_name("user", name)
    password = _password(from_stdin=password_stdin)
    with _people() as people:
        made = people.add_user(name, password, Role(role))
    app.emit({"name": made.name, "role": made.role.value}, lambda: f"added {made.name}, {made.role.value}\n")


@user.command("list")
@pass_app
def list_users(app: App) -> None:
    """List who may log in."""
    from provisioning.core.history import iso
    from provisioning_cli import output

    with _people() as people:
        rows = [{"name": one.name, "role": one.role.value, "created": iso(one.created_at)} for one in people.users()]
    app.emit({"users": rows}, lambda: output.table(rows, ["name", "role", "created"], empty="no users yet"))


@user.command("passwd")
@click.argument("name")
@PASSWORD_STDIN
@pass_app
def change_password(app: App, name: str, password_stdin: bool) -> None:
    """Give the user NAME another password; all sessions end."""
    password = _password(from_stdin=password_stdin)
    with _people() as people:
        people.change_user(name, password=password)
    app.emit({"name": name}, lambda: f"{name} has a new password\n")


@user.command("role")
@click.argument("name")
@click.argument("role", type=ROLES)
@pass_app
def change_role(app: App, name: str, role: str) -> None:
    """Give the user NAME another role; all sessions end."""
    from provisioning.core.access import Role

    with _people() as people:
        changed = people.change_user(name, role=Role(role))
    app.emit({"name": name, "role": changed.role.value}, lambda: f"{name} is {changed.role.value} now\n")


@user.command("remove")
@click.argument("name")
@pass_app
def remove_user(app: App, name: str) -> None:
    """Remove the user NAME with all sessions and tokens."""
    with _people() as people:
        people.remove_user(name)
    app.emit({"removed": name}, lambda: f"removed {name}\n")


@click.group(cls=Group)
def token() -> None:
    """Make, list and revoke the tokens of programs."""


@token.command("create")
@click.argument("purpose", default="")
@click.option("--user", "name", required=True, metavar="NAME", help="Whose token it is.")
@click.option("--role", type=ROLES, default="viewer", show_default=True, help="At most that of the user.")
@click.option("--days", type=click.FloatRange(min=0, min_open=True), help="How long it may be used.")
@pass_app
def create_token(app: App, purpose: str, name: str, role: str, days: float | None) -> None:
    """Make a token, for example for monitoring, and print it this once."""
    from provisioning.core.access import Role

    with _people() as people:
        made, secret = people.add_token(name, Role(role), purpose=purpose, days=days)
    app.say(f"token {made.id} is shown this once")
    app.emit({"id": made.id, "role": made.role.value, "token": secret}, lambda: f"{secret}\n")


@token.command("list")
@pass_app
def list_tokens(app: App) -> None:
    """List the tokens that may be used."""
    from provisioning.core.history import iso
    from provisioning_cli import output

    with _people() as people:
        rows = [
            {
                "id": one.id,
                "user": one.user,
                "role": one.role.value,
                "purpose": one.purpose,
                "created": iso(one.created_at),
                "expires": iso(one.expires_at),
                "used": iso(one.used_at),
            }
            for one in people.tokens()
        ]
    columns = ["id", "user", "role", "purpose", "created", "expires", "used"]
    app.emit({"tokens": rows}, lambda: output.table(rows, columns, empty="no tokens yet"))


@token.command("revoke")
@click.argument("which", metavar="ID")
@pass_app
def revoke_token(app: App, which: str) -> None:
    """Make the token ID worthless at once."""
    with _people() as people:
        people.revoke_token(which)
    app.emit({"revoked": which}, lambda: f"revoked {which}\n")


@contextmanager
def _people() -> Iterator[People]:
    from provisioning import wiring
    from provisioning.operations.dagu.places import find_places
    from provisioning.operations.people import open_people

    people = open_people(wiring.people_store(find_places().data))
    try:
        yield people
    finally:
        people.close()


def _password(*, from_stdin: bool) -> str:
    """Ask for a password twice, or read one line. Raises UsageError for a short one."""
    from provisioning.errors import UsageError

    if from_stdin:
        password = sys.stdin.readline().rstrip("\n")
    else:
        password = click.prompt("password", hide_input=True, confirmation_prompt=True, err=True)
    if len(password) < LEAST:
        raise UsageError(f"a password has at least {LEAST} characters", hint="a sentence is easy to remember")
    return password
