"""Users, tokens, sessions, audit."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr, StringConstraints

from provisioning.api.shapes.base import Asked, Instant, Name, Shape
from provisioning.core.access import Role

Password = Annotated[SecretStr, Field(min_length=1, max_length=1024)]
NewPassword = Annotated[SecretStr, Field(min_length=10, max_length=1024, description="at least 10 characters")]
Purpose = Annotated[str, StringConstraints(max_length=200)]


class User(Shape):
    """Somebody who may log in."""

    name: str
    role: Role
    created_at: Instant


class UserList(Shape):
    """All of them, in the order of their names."""

    users: list[User]


class NewUser(Asked):
    """Somebody new."""

    name: Name
    password: NewPassword
    role: Role = Role.VIEWER


class UserChange(Asked):
    """What changes of a user. A new password or role ends all sessions of that user."""

    role: Role | None = None
    password: NewPassword | None = None


class Me(Shape):
    """Who asks."""

    name: str
    role: Role
    by: str = Field(description="session, token, or nothing where authentication is off")


class PasswordChange(Asked):
    """One's own password."""

    old: Password
    new: NewPassword


class Token(Shape):
    """A token of a program. What it is itself was shown once, when it was made."""

    id: str
    purpose: str
    role: Role
    created_by: str
    created_at: Instant
    expires_at: Instant | None = None
    used_at: Instant | None = None


class TokenList(Shape):
    """The tokens that may be used."""

    tokens: list[Token]


class NewToken(Asked):
    """A token for a program, of at most the role of who makes it."""

    purpose: Purpose = ""
    role: Role = Role.VIEWER
    days: float | None = Field(
        default=None, gt=0, le=3650, description="how long it may be used; without end if nothing is said"
    )


class MadeToken(Token):
    """A token and the only time that it is shown."""

    token: str


class SetupState(Shape):
    """Whether the server waits for its first user."""

    needed: bool


class Setup(Asked):
    """The first user, an admin. `token` is what the server printed when it started."""

    token: Password
    name: Name
    password: NewPassword


class Login(Asked):
    """Who wants in."""

    name: Annotated[str, StringConstraints(max_length=200)]
    password: Password


class AuditItem(Shape):
    """Something that somebody did, or tried."""

    id: int
    at: Instant
    actor: str
    role: str = ""
    address: str = ""
    action: str = Field(description="noun.verb, such as run.start, session.refuse, user.add")
    target: str = ""
    status: int
    detail: str = ""


class AuditPage(Shape):
    """The audit log, the newest first."""

    records: list[AuditItem]
    next: str = ""


class Status(Shape):
    """How the server is."""

    status: str
    version: str
    uptime_s: float
    authentication: bool
    scheduler: bool
    running: int = Field(description="runs that this server drives")
    folder: str = Field(description="of the DAG files")


class Health(Shape):
    """It lives, or it is ready."""

    status: str
