"""Users, tokens and the audit log."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query, Request

from provisioning.api.parts import TheCaller, ThePeople
from provisioning.api.routes.runs import Limit
from provisioning.api.shapes.base import Done, Name
from provisioning.api.shapes.people import (
    AuditItem,
    AuditPage,
    MadeToken,
    Me,
    NewToken,
    NewUser,
    PasswordChange,
    Token,
    TokenList,
    User,
    UserChange,
    UserList,
)
from provisioning.api.table import API, Endpoint
from provisioning.core.access import Role
from provisioning.core.accounts import Account, Key
from provisioning.errors import NotFoundError, UsageError

UserName = Annotated[Name, Path(description="the user's name")]
TokenId = Annotated[Name, Path(description="the token's id, not the token")]


def list_users(people: ThePeople) -> UserList:
    """List who may log in."""
    return UserList(users=[_user(one) for one in people.users()])


def add_user(people: ThePeople, body: NewUser) -> User:
    """Add a user."""
    return _user(people.add_user(body.name, body.password.get_secret_value(), body.role))


def change_user(people: ThePeople, name: UserName, body: UserChange) -> User:
    """Change a user's role or password. That ends all sessions of that user."""
    password = body.password.get_secret_value() if body.password is not None else None
    return _user(people.change_user(name, role=body.role, password=password))


def remove_user(people: ThePeople, name: UserName) -> Done:
    """Remove a user with all sessions and tokens."""
    people.remove_user(name)
    return Done()


def get_me(caller: TheCaller) -> Me:
    """Say who asks."""
    return Me(name=caller.name, role=caller.role, by=caller.by)


def change_password(people: ThePeople, caller: TheCaller, request: Request, body: PasswordChange) -> Done:
    """Change one's own password. All other sessions end."""
    if caller.by != "session":
        raise UsageError("only who has logged in has a password", hint="log in, or have an admin change it")
    old, new = body.old.get_secret_value(), body.new.get_secret_value()
    request.app.state.gate.may_try(caller.address, caller.name)
    people.change_password(caller.name, old, new, keep=caller.key)
    return Done()


def list_tokens(people: ThePeople, caller: TheCaller) -> TokenList:
    """List one's own tokens; an admin sees those of all."""
    return TokenList(tokens=[_token(one) for one in people.tokens(_whose(caller))])


def add_token(people: ThePeople, caller: TheCaller, body: NewToken) -> MadeToken:
    """Make a token for a program, of at most one's own role. It is shown this once."""
    if not caller.role.may(body.role):
        raise UsageError(f"a token of the role {body.role.value} is more than {caller.role.value}", hint="ask for less")
    made, secret = people.add_token(caller.name, body.role, purpose=body.purpose, days=body.days)
    return MadeToken(**_token(made).model_dump(), token=secret)


def revoke_token(people: ThePeople, caller: TheCaller, token: TokenId) -> Done:
    """Make a token worthless at once."""
    if all(one.id != token for one in people.tokens(_whose(caller))):
        raise NotFoundError(f"there is no token {token}")
    people.revoke_token(token)
    return Done()


def list_audit(
    people: ThePeople,
    actor: Annotated[str, Query(max_length=200)] = "",
    action: Annotated[str, Query(max_length=100)] = "",
    cursor: Annotated[int | None, Query(ge=1, le=2**62)] = None,
    limit: Limit = 100,
) -> AuditPage:
    """List who did what, the newest first. `action` may be its beginning, such as `run.`."""
    found = [AuditItem.model_validate(one, from_attributes=True) for one in people.audit(limit, actor, action, cursor)]
    return AuditPage(records=found, next=str(found[-1].id) if len(found) == limit else "")


def _whose(caller: TheCaller) -> str | None:
    return None if caller.role is Role.ADMIN else caller.name


def _user(one: Account) -> User:
    return User(name=one.name, role=one.role, created_at=one.created_at)


def _token(one: Key) -> Token:
    return Token(
        id=one.id,
        purpose=one.purpose,
        role=one.role,
        created_by=one.user,
        created_at=one.created_at,
        expires_at=one.expires_at,
        used_at=one.used_at,
    )


_U, _T = f"{API}/users", f"{API}/tokens"
ENDPOINTS = (
    Endpoint(method="GET", path=_U, handler=list_users, action="user.read", role=Role.ADMIN, tag="users"),
    Endpoint(method="POST", path=_U, handler=add_user, action="user.add", role=Role.ADMIN, tag="users", status=201),
    Endpoint(method="PATCH", path=f"{_U}/{{name}}", handler=change_user, action="user.change", role=Role.ADMIN, tag="users"),
    Endpoint(method="DELETE", path=f"{_U}/{{name}}", handler=remove_user, action="user.remove", role=Role.ADMIN, tag="users"),
    Endpoint(method="GET", path=f"{API}/me", handler=get_me, action="user.read", role=Role.VIEWER, tag="users"),
    Endpoint(
        method="POST",
        path=f"{API}/me/password",
        handler=change_password,
        action="password.change",
        role=Role.VIEWER,
        tag="users",
    ),
    Endpoint(method="GET", path=_T, handler=list_tokens, action="token.read", role=Role.OPERATOR, tag="tokens"),
    Endpoint(method="POST", path=_T, handler=add_token, action="token.add", role=Role.OPERATOR, tag="tokens", status=201),
    Endpoint(
        method="DELETE", path=f"{_T}/{{token}}", handler=revoke_token, action="token.revoke", role=Role.OPERATOR, tag="tokens"
    ),
    Endpoint(method="GET", path=f"{API}/audit", handler=list_audit, action="audit.read", role=Role.ADMIN, tag="audit"),
)
