"""Getting in and out: the first user, log in, log out."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import Request
from starlette.responses import Response

from provisioning.api.parts import TheCaller, ThePeople
from provisioning.api.shapes.base import Done
from provisioning.api.shapes.people import Login, Me, Setup, SetupState
from provisioning.api.table import API, Endpoint
from provisioning.core.access import Role
from provisioning.core.accounts import SESSION_S, Account, AuditRecord
from provisioning.operations.people import People

COOKIE = "provisioning_session"


def get_setup(people: ThePeople, request: Request) -> SetupState:
    """Say whether the server waits for its first user."""
    return SetupState(needed=request.app.state.gate.authentication and people.empty())


def set_up(people: ThePeople, request: Request, response: Response, body: Setup) -> Me:
    """Make the first user, an admin, with the token that the server printed; and log in."""
    gate = request.app.state.gate
    gate.may_try(_address(request), body.name)
    user = people.set_up(body.token.get_secret_value(), body.name, body.password.get_secret_value())
    gate.passed(_address(request), body.name)
    _let_in(people, request, response, user, "server.set_up")
    return Me(name=user.name, role=user.role, by="session")


def log_in(people: ThePeople, request: Request, response: Response, body: Login) -> Me:
    """Log in. The answer sets the cookie of the session."""
    gate = request.app.state.gate
    gate.may_try(_address(request), body.name)
    user = people.check_password(body.name, body.password.get_secret_value(), _address(request))
    gate.passed(_address(request), body.name)
    _let_in(people, request, response, user, "session.open")
    return Me(name=user.name, role=user.role, by="session")


def log_out(people: ThePeople, caller: TheCaller, response: Response) -> Done:
    """End the session."""
    if caller.by == "session":
        people.close_session(caller.key)
    response.delete_cookie(COOKIE, path="/")
    return Done()


def _let_in(people: People, request: Request, response: Response, user: Account, action: str) -> None:
    """Open a session, and write down whose: the gate did not know who came."""
    address = _address(request)
    secret = people.open_session(user.name, address)
    people.record(
        AuditRecord(at=datetime.now(UTC), actor=user.name, role=user.role.value, address=address, action=action, status=200)
    )
    secure = request.url.scheme == "https"
    response.set_cookie(COOKIE, secret, max_age=int(SESSION_S), path="/", httponly=True, samesite="strict", secure=secure)


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


ENDPOINTS = (
    Endpoint(method="GET", path=f"{API}/setup", handler=get_setup, action="server.read", role=None, tag="sessions"),
    Endpoint(method="POST", path=f"{API}/setup", handler=set_up, action="server.set_up", role=None, tag="sessions", status=201),
    Endpoint(method="POST", path=f"{API}/login", handler=log_in, action="session.open", role=None, tag="sessions"),
    Endpoint(method="POST", path=f"{API}/logout", handler=log_out, action="session.close", role=Role.VIEWER, tag="sessions"),
)
