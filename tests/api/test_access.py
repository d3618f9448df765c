"""Who may call what: every route of the router, with no credentials and with those of every role."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path

from fastapi.routing import APIRoute
from support.served import BASE, Served, served

from provisioning.api import gate
from provisioning.api.app import ENDPOINTS, bare_app
from provisioning.api.table import Endpoint, mount
from provisioning.core.access import Role

A = "/api/v1"
OPEN, VIEWER, OPERATOR, ADMIN = None, Role.VIEWER, Role.OPERATOR, Role.ADMIN

WHO: dict[tuple[str, str], Role | None] = {
    ("GET", "/health"): OPEN,
    ("GET", "/ready"): OPEN,
    ("GET", f"{A}/setup"): OPEN,
    ("POST", f"{A}/setup"): OPEN,
    ("POST", f"{A}/login"): OPEN,
    ("GET", "/{path:path}"): OPEN,
    ("GET", "/metrics"): VIEWER,
    ("GET", f"{A}/status"): VIEWER,
    ("GET", f"{A}/openapi.json"): VIEWER,
    ("GET", f"{A}/me"): VIEWER,
    ("POST", f"{A}/me/password"): VIEWER,
    ("POST", f"{A}/logout"): VIEWER,
    ("GET", f"{A}/events/stream"): VIEWER,
    ("GET", f"{A}/dags"): VIEWER,
    ("GET", f"{A}/dags/{{name}}"): VIEWER,
    ("GET", f"{A}/dags/{{name}}/source"): VIEWER,
    ("GET", f"{A}/dags/{{name}}/validate"): VIEWER,
    ("GET", f"{A}/dags/{{name}}/graph"): VIEWER,
    ("POST", f"{A}/dags/{{name}}/runs"): OPERATOR,
    ("POST", f"{A}/dags/{{name}}/start"): OPERATOR,
    ("POST", "/api/dags/{name}/run"): OPERATOR,
    ("POST", f"{A}/dags/{{name}}/suspend"): OPERATOR,
    ("POST", f"{A}/dags/{{name}}/resume"): OPERATOR,
    ("GET", f"{A}/runs"): VIEWER,
    ("GET", f"{A}/runs/{{run}}"): VIEWER,
    ("GET", f"{A}/runs/{{run}}/steps"): VIEWER,
    ("GET", f"{A}/runs/{{run}}/attempts"): VIEWER,
    ("GET", f"{A}/runs/{{run}}/events"): VIEWER,
    ("GET", f"{A}/runs/{{run}}/graph"): VIEWER,
    ("GET", f"{A}/runs/{{run}}/log"): VIEWER,
    ("GET", f"{A}/runs/{{run}}/steps/{{step:path}}/log"): VIEWER,
    ("POST", f"{A}/runs/{{run}}/cancel"): OPERATOR,
    ("POST", f"{A}/runs/{{run}}/pause"): OPERATOR,
    ("POST", f"{A}/runs/{{run}}/resume"): OPERATOR,
    ("POST", f"{A}/runs/{{run}}/retry"): OPERATOR,
    ("POST", f"{A}/runs/{{run}}/signal"): OPERATOR,
    ("POST", f"{A}/runs/{{run}}/approve"): OPERATOR,
    ("POST", f"{A}/runs/{{run}}/reject"): OPERATOR,
    ("DELETE", f"{A}/runs/{{run}}"): ADMIN,
    ("GET", f"{A}/schedules"): VIEWER,
    ("GET", f"{A}/schedules/next"): VIEWER,
    ("GET", f"{A}/schedules/backfills"): VIEWER,
    ("GET", f"{A}/schedules/backfills/{{backfill}}"): VIEWER,
    ("POST", f"{A}/schedules/backfills/{{backfill}}/stop"): OPERATOR,
    ("POST", f"{A}/schedules/{{name}}/backfill"): OPERATOR,
    ("GET", f"{A}/workspaces"): VIEWER,
    ("GET", f"{A}/workspaces/{{name}}"): VIEWER,
    ("GET", f"{A}/workspaces/{{name}}/servers"): VIEWER,
    ("GET", f"{A}/workspaces/{{name}}/state"): VIEWER,
    ("GET", f"{A}/workspaces/{{name}}/plan"): VIEWER,
    ("GET", f"{A}/workspaces/{{name}}/graph"): VIEWER,
    ("POST", f"{A}/workspaces/{{name}}/provision"): OPERATOR,
    ("GET", f"{A}/dead-letters"): VIEWER,
    ("POST", f"{A}/dead-letters/{{letter}}/replay"): OPERATOR,
    ("GET", f"{A}/tokens"): OPERATOR,
    ("POST", f"{A}/tokens"): OPERATOR,
    ("DELETE", f"{A}/tokens/{{token}}"): OPERATOR,
    ("GET", f"{A}/users"): ADMIN,
    ("POST", f"{A}/users"): ADMIN,
    ("PATCH", f"{A}/users/{{name}}"): ADMIN,
    ("DELETE", f"{A}/users/{{name}}"): ADMIN,
    ("GET", f"{A}/audit"): ADMIN,
}
"""What each route needs. A new one has to be written here before any test of this file passes."""

NOBODY: list[dict[str, str]] = [
    {},
    {"authorization": "Bearer nothing"},
    {"authorization": "Bearer "},
    {"authorization": "Basic YWRtaW46YWRtaW4="},
    {"cookie": "provisioning_session=nothing"},
    {"cookie": "provisioning_session="},
    {"cookie": '\x00=;;;"provisioning_session'},
]


def routes() -> set[tuple[str, str]]:
    return {
        (method, route.path)
        for route in bare_app().router.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }


def filled(path: str) -> str:
    values = {"letter": "1", "step:path": "none", "path:path": "index.html"}
    return path.format_map(_Filled()) if ":" not in path else path.replace("{step:path}", "none").format_map(_Filled(values))


class _Filled(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "1" if key == "letter" else "nosuch"


def test_every_route_of_the_router_is_classified_here_and_nothing_else() -> None:
    assert routes() == set(WHO)
    assert {(one.method, one.path): one.role for one in ENDPOINTS} == WHO


def test_what_is_open_is_one_list_of_handlers() -> None:
    assert {one.handler for one in ENDPOINTS if one.role is None} == gate.EXEMPT


def test_a_viewer_can_change_nothing() -> None:
    changing = {(method, path) for (method, path), role in WHO.items() if method != "GET" and role is VIEWER}
    assert changing == {("POST", f"{A}/me/password"), ("POST", f"{A}/logout")}, "but its own password and session"


def test_every_route_refuses_who_shows_nothing_and_whose_role_is_not_enough(tmp_path: Path) -> None:
    async def story() -> None:
        async with served(tmp_path) as here:
            for (method, path), needed in WHO.items():
                if path != "/{path:path}":
                    await _check(here, method, filled(path), needed)

    asyncio.run(story())


async def _check(here: Served, method: str, path: str, needed: Role | None) -> None:
    body: object = None if method in {"GET", "DELETE"} else {}
    if needed is not None:
        for shown in NOBODY:
            answer = await here.client.request(method, path, json=body, headers=shown)
            assert answer.status_code == 401, (method, path, shown, answer.text)
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.headers["content-type"] == "application/problem+json"
    for role in Role:
        answer = await here.call(method, path, role, body=body)
        enough = needed is None or role.may(needed)
        assert (answer.status_code == 403) == (not enough), (method, path, role, answer.text)
        assert answer.status_code < 500 or path == "/ready", (method, path, answer.text)


STRANGE = (
    "/api",
    "/api/",
    "/api/v1",
    "/api/v1/",
    "/api/v1/dags/",
    "//api/v1/dags",
    "/api//v1/dags",
    "/api;/v1/dags",
    "/api/v1/dags;a=b",
    "/api/v1/dags/..;/users",
    "/%61pi/v1/dags",
    "/api/v1/%64ags",
    "/API/v1/dags",
    "/api/v2/dags",
    "/api/v1/runs/x/steps/a%2Fb/log",
    "/api/v1/dags/..%2F..%2Fetc%2Fpasswd",
    "/metrics/",
)


METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND")


def test_no_strange_spelling_or_method_gets_data_without_credentials(tmp_path: Path) -> None:
    async def story() -> None:
        async with served(tmp_path, {"secret-name": "steps: [{command: 'true'}]"}) as here:
            for method, path in product(METHODS, STRANGE):
                answer = await here.client.request(method, BASE + path)
                page = method in {"GET", "HEAD"} and not path.lstrip("/").startswith("api") and "%61pi" not in path
                assert answer.status_code in ({200} if page else {401}), (method, path, answer.text)
                assert "secret-name" not in answer.text

    asyncio.run(story())


def test_a_route_that_nobody_classified_is_refused_to_an_admin(tmp_path: Path) -> None:
    async def forgotten() -> str:
        return "secret"

    async def story() -> None:
        async with served(tmp_path) as here:
            app = bare_app()
            found = mount(
                app, [Endpoint(method="GET", path="/api/forgotten", handler=forgotten, action="x.read", role=None, tag="x")]
            )
            here.app._routes.insert(0, (app.router.routes[-1], next(iter(found.values()))))  # type: ignore[arg-type]
            assert (await here.call("GET", "/api/forgotten")).status_code == 403
            assert (await here.call("GET", "/api/forgotten", None)).status_code == 401

    asyncio.run(story())


def test_a_token_counts_until_it_is_revoked_or_expires_and_never_for_more_than_its_user(tmp_path: Path) -> None:
    async def story() -> None:
        async with served(tmp_path) as here:
            people, me = here.people, "/api/v1/me"
            people.add_user("ann", "long enough", ADMIN)
            people.add_user("bob", "long enough", ADMIN)
            key, secret = people.add_token("bob", OPERATOR)

            async def role(secret: str) -> str | None:
                answer = await here.client.get(me, headers={"authorization": f"Bearer {secret}"})
                return answer.json()["role"] if answer.status_code == 200 else None

            assert await role(secret) == "operator"
            people.change_user("bob", role=VIEWER)
            assert await role(secret) == "viewer", "the user has less now"
            people.revoke_token(key.id)
            assert await role(secret) is None
            _key, short = people.add_token("bob", VIEWER, days=1)
            people._now = lambda: datetime.now(UTC) + timedelta(days=1, seconds=1)
            assert await role(short) is None
            people._now = lambda: datetime.now(UTC)
            _key, other = people.add_token("bob", VIEWER)
            people.remove_user("bob")
            assert await role(other) is None

    asyncio.run(story())


def test_neither_tokens_nor_passwords_are_in_any_file(tmp_path: Path) -> None:
    async def story() -> None:
        async with served(tmp_path) as here:
            secrets = [here.token(role) for role in Role]
            session = here.people.open_session("viewer")
            data = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
            for secret in (*secrets, session, "correct horse battery"):
                assert secret.encode() not in data
            assert b"$argon2id$" in data

    asyncio.run(story())
