"""The one way in. Everything that comes is checked here before anything of it is read: host, origin, credentials, role, size.

What is not said to be allowed is refused: an endpoint without a role may be called by nobody, unless `EXEMPT` names it. The
same gate stands before REST, streams, logs and pages. What changes something is written into the audit log.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING

from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from provisioning.api.limits import FREE_OF_NAME, LONGEST_WAIT_OF_NAME_S, Buckets, Sparing, TooMany, Tries
from provisioning.api.parts import Caller
from provisioning.api.problems import of_ours, problem
from provisioning.api.routes import health, pages, sessions
from provisioning.api.sites import Sites
from provisioning.api.table import API, Endpoint
from provisioning.core.access import Role
from provisioning.core.accounts import AuditRecord
from provisioning.core.ports import Clock
from provisioning.errors import ProvisioningError

if TYPE_CHECKING:
    from starlette.responses import Response

    from provisioning.operations.people import People

EXEMPT = frozenset(
    {
        health.get_health,
        health.get_ready,
        sessions.get_setup,
        sessions.set_up,
        sessions.log_in,
        pages.get_page,
    }
)
"""The handlers that anybody may call. Nothing else is open."""

BODY_BYTES = 1024 * 1024
CALLS_AT_ONCE, CALLS_PER_S = 2000, 400.0  # of one address, one user, one token or session
UNKNOWN = "unknown.call"  # the action of a call that no endpoint takes
READING = frozenset({"GET", "HEAD", "OPTIONS"})
ANYBODY = Caller(name="anybody", role=Role.ADMIN)
HEADERS: Mapping[bytes, bytes] = {
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"permissions-policy": b"camera=(), geolocation=(), microphone=()",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'; sandbox",
    b"cache-control": b"no-store",
}
"""On every answer that does not say otherwise. Pages have a policy of their own: see `routes.pages`."""


_log = logging.getLogger("provisioning.server")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal(Exception):
    """Why something may not come in."""

    status: int
    detail: str
    code: str = ""
    hint: str = ""

    def answer(self) -> Response:
        """Return it as a problem."""
        headers = {"WWW-Authenticate": "Bearer"} if self.status == 401 else {}
        return problem(self.status, self.detail, code=self.code, hint=self.hint, headers=headers)


class Gate:
    """ASGI middleware around the app. `routes` says what each route of it needs."""

    def __init__(
        self,
        app: ASGIApp,
        routes: list[tuple[Route, Endpoint]],
        people: People,
        sites: Sites,
        *,
        authentication: bool,
        clock: Clock,
    ) -> None:
        """`authentication` off is for a server that only this machine can reach."""
        self._app, self._routes, self._people, self._sites = app, routes, people, sites
        self.authentication = authentication
        self._clock, self._trying = clock, threading.Lock()
        self._addresses, self._names = Tries(), Tries(FREE_OF_NAME, LONGEST_WAIT_OF_NAME_S)
        self._calls, self._sparing = Buckets(CALLS_PER_S, CALLS_AT_ONCE), Sparing()

    def may_try(self, address: str, name: str) -> None:
        """Count a try to prove to be somebody. Raises TooMany for the address, or the name."""
        with self._trying:
            now_s = self._clock.monotonic_s()
            self._addresses.may_try(address, now_s)
            self._names.may_try(name, now_s)

    def passed(self, address: str, name: str) -> None:
        """A try went well."""
        with self._trying:
            self._addresses.passed(address)
            self._names.passed(name)

    def still_allowed(self, scope: Scope) -> Callable[[], Awaitable[bool]]:
        """Return something that says, later, whether who asked may still look."""

        async def ask() -> bool:
            try:
                return (await self._caller(scope)).role.may(Role.VIEWER)
            except Refusal:
                return False

        return ask

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            asked_head = scope["method"] == "HEAD"
            await self._http({**scope, "method": "GET"} if asked_head else scope, receive, _Answer(send, head=asked_head))
        else:
            await send({"type": "websocket.close", "code": 1008})

    # ------------------------------------------------------------ parts

    async def _http(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        endpoint = self._endpoint(scope)
        try:
            caller = await self._let_in(scope, endpoint)
        except Refusal as refusal:
            await refusal.answer()(scope, receive, answer)
            await self._tell_refused(scope, endpoint, refusal)
            return
        except ProvisioningError as error:
            await of_ours(error)(scope, receive, answer)
            return
        if endpoint is None or (answer.head and endpoint.endless):
            await self._nothing(scope, answer)(scope, receive, answer)
        else:
            await self._app(scope, _limited(receive), answer)
        if scope["method"] not in READING and caller.name:
            await self._record(_audit(scope, caller, endpoint, answer.status))

    def _nothing(self, scope: Scope, answer: _Answer) -> Response:
        """Return that nothing has this path, or that it is not for this method."""
        methods = sorted(self._methods(scope))
        if not methods:
            return problem(404, "there is nothing here")
        return problem(405, f"not with {'HEAD' if answer.head else scope['method']}", headers={"Allow": ", ".join(methods)})

    async def _let_in(self, scope: Scope, endpoint: Endpoint | None) -> Caller:
        """Return who asks. Raises Refusal, TooMany."""
        self._count(_address(scope))
        headers = _headers(scope)
        self._check_origin(scope, headers)
        caller = await self._admitted(scope, endpoint)
        self._check_body(headers)
        return caller

    def _count(self, *keys: str) -> None:
        """Count a call for an address, a user, a token or a session. Raises TooMany."""
        now_s = self._clock.monotonic_s()
        wait_s = max(self._calls.take(key, now_s) for key in keys)
        if wait_s:
            raise TooMany(wait_s, "calls")

    async def _tell_refused(self, scope: Scope, endpoint: Endpoint | None, refusal: Refusal) -> None:
        """Write down who was refused; not all of them, so that nobody can fill the disk with that."""
        if refusal.status not in {401, 403}:
            return
        left_out = self._sparing.worth(_address(scope), self._clock.monotonic_s())
        if left_out is not None:
            caller = scope.get("caller") or Caller(name="", role=Role.VIEWER, address=_address(scope))
            told = f"{refusal.detail}; {left_out} more were refused before" if left_out else refusal.detail
            await self._record(replace(_audit(scope, caller, endpoint, refusal.status), detail=told))

    async def _record(self, record: AuditRecord) -> None:
        try:
            await asyncio.to_thread(self._people.record, record)
        except ProvisioningError as error:
            _log.error("audit: %s", error.message)

    def _endpoint(self, scope: Scope) -> Endpoint | None:
        """Return what the router will call. Below /api pages are not meant."""
        for route, endpoint in self._routes:
            if route.matches(scope)[0] is Match.FULL:
                below = scope["path"].lstrip("/").startswith(("api/", "api;")) or scope["path"].rstrip("/") == "/api"
                return None if endpoint.handler is pages.get_page and below else endpoint
        return None

    def _methods(self, scope: Scope) -> set[str]:
        """Return the methods that a path is for."""
        known = (
            one
            for route, one in self._routes
            if one.handler is not pages.get_page and route.matches(scope)[0] is not Match.NONE
        )
        return {one.method for one in known}

    def _check_origin(self, scope: Scope, headers: Mapping[str, str]) -> None:
        host = headers.get("host", "")
        if not self._sites.knows(host):
            raise Refusal(status=421, detail="the server is not called like this", code="host", hint="see --allow-host")
        if scope["method"] in READING:
            return
        origin = headers.get("origin")
        if origin is not None and not self._sites.same(origin, host):
            raise Refusal(status=403, detail="the call comes from another site", code="origin")
        if headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
            raise Refusal(status=403, detail="the call comes from another site", code="origin")

    async def _admitted(self, scope: Scope, endpoint: Endpoint | None) -> Caller:
        """Return who asks, if that is allowed."""
        if endpoint is not None and endpoint.role is None and endpoint.handler in EXEMPT:
            scope["caller"] = Caller(name="", role=Role.VIEWER, address=_address(scope))
            return scope["caller"]  # type: ignore[no-any-return]
        caller = scope["caller"] = await self._caller(scope)
        if caller.key:
            self._count(f"user {caller.name}", f"{caller.by} {caller.key}")
        if endpoint is not None and endpoint.role is None:
            raise Refusal(status=403, detail="nobody may do this", code="forbidden")
        needed = endpoint.role if endpoint is not None and endpoint.role is not None else Role.VIEWER
        if not caller.role.may(needed):
            raise Refusal(status=403, detail=f"this needs the role {needed.value}; you are {caller.role.value}", code="role")
        return caller

    async def _caller(self, scope: Scope) -> Caller:
        if not self.authentication:
            return ANYBODY
        headers, address = _headers(scope), _address(scope)
        kind, secret = _credentials(headers)
        found = await asyncio.to_thread(self._people.who, secret, kind) if secret else None
        if found is None:
            raise Refusal(status=401, detail="log in, or send a token", code="unauthorised")
        if kind == "session" and scope["method"] not in READING and "origin" not in headers:
            raise Refusal(status=403, detail="a session needs the header Origin", code="origin", hint="programs use tokens")
        key, role = found
        return Caller(name=key.user, role=role, by=kind, key=key.id, address=address)

    def _check_body(self, headers: Mapping[str, str]) -> None:
        length = headers.get("content-length", "")
        if length.isdecimal() and (len(length) > 12 or int(length) > BODY_BYTES):
            raise Refusal(status=413, detail=f"at most {BODY_BYTES} bytes", code="too_large")
        some = "transfer-encoding" in headers or (length.isdecimal() and int(length) > 0)
        if some and headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise Refusal(status=415, detail="the body has to be JSON", code="not_json")


class _Answer:
    """Passes an answer on with our headers, and remembers its status. Of one to `head` only the headers."""

    def __init__(self, send: Send, *, head: bool = False) -> None:
        self._send, self.head = send, head
        self.status = 500

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            given = {name.lower() for name, _value in message.get("headers", ())}
            more = [(name, value) for name, value in HEADERS.items() if name not in given]
            message = {**message, "headers": [*message.get("headers", ()), *more]}
        elif self.head:
            message = {**message, "body": b""}
        await self._send(message)


def _limited(receive: Receive) -> Receive:
    """Return a `receive` that takes no body past the limit, whatever its headers said."""
    seen = 0

    async def limited() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > BODY_BYTES:
            from starlette.exceptions import HTTPException

            raise HTTPException(413, f"at most {BODY_BYTES} bytes")
        return message

    return limited


def _headers(scope: Scope) -> dict[str, str]:
    """Return the headers; of one that comes twice, where it may not, nothing is believed."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        key = name.decode("latin-1").lower()
        if key in found and key in {"host", "origin", "authorization", "content-length"}:
            raise Refusal(status=400, detail=f"the header {key} comes twice", code="usage")
        found[key] = value.decode("latin-1")
    return found


def _credentials(headers: Mapping[str, str]) -> tuple[str, str]:
    """Return what somebody shows: (session | token, secret). A token counts before a cookie."""
    kind, _, secret = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return "token", secret.strip()
    try:
        cookies = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return "session", ""
    morsel = cookies.get(sessions.COOKIE)
    return "session", morsel.value if morsel is not None else ""


def _address(scope: Scope) -> str:
    return str(scope["client"][0]) if scope.get("client") else ""


def _audit(scope: Scope, caller: Caller, endpoint: Endpoint | None, status: int) -> AuditRecord:
    path = str(scope["path"])
    return AuditRecord(
        at=datetime.now(UTC),
        actor=caller.name,
        role=caller.role.value if caller.name else "",
        address=caller.address,
        action=endpoint.action if endpoint is not None else UNKNOWN,
        target=path.removeprefix(API)[:500],
        status=status,
    )
