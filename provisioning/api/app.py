"""The app: all endpoints behind the gate."""

from __future__ import annotations

from collections.abc import Collection

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import JSONResponse

from provisioning import __version__, wiring
from provisioning.api import problems
from provisioning.api.contract import contract
from provisioning.api.gate import Gate
from provisioning.api.metrics import Metrics
from provisioning.api.routes import dags, health, letters, logs, pages, people, runs, schedules, sessions, stream, workspaces
from provisioning.api.sites import Sites
from provisioning.api.table import API, Endpoint, mount
from provisioning.core.access import Role
from provisioning.operations.hosting.host import Host
from provisioning.operations.people import People


def get_openapi(request: Request) -> JSONResponse:
    """Return the contract of this API."""
    return JSONResponse(contract(request.app))


ENDPOINTS: tuple[Endpoint, ...] = (
    *dags.ENDPOINTS,
    *runs.ENDPOINTS,
    *logs.ENDPOINTS,
    *schedules.ENDPOINTS,
    *workspaces.ENDPOINTS,
    *letters.ENDPOINTS,
    *people.ENDPOINTS,
    *sessions.ENDPOINTS,
    *stream.ENDPOINTS,
    *health.ENDPOINTS,
    Endpoint(
        method="GET",
        path=f"{API}/openapi.json",
        handler=get_openapi,
        action="server.read",
        role=Role.VIEWER,
        tag="health",
        documented=False,
    ),
    *pages.ENDPOINTS,
)
"""Every endpoint there is. The last one takes what no other does."""

DESCRIPTION = """\
Everything that the pages do, and programs can do. Errors are problems (RFC 9457) with a stable `code` and a `hint`.

Authentication: a session (`POST /api/v1/login` sets its cookie; calls that change something need the header Origin, which
browsers send), or a token as `Authorization: Bearer TOKEN`. Each endpoint says which role it needs: viewer < operator < admin.
"""


def bare_app() -> FastAPI:
    """Return the app without anything behind it: enough for its documentation."""
    app = FastAPI(
        title="provisioning",
        version=__version__.partition("+")[0],
        description=DESCRIPTION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.endpoints = mount(app, ENDPOINTS)
    problems.install(app)
    return app


def make_app(host: Host, people: People, *, authentication: bool = True, names: Collection[str] = ()) -> Gate:
    """Return the app with its gate. `names` are further names that the server may be called by."""
    app = bare_app()
    found = app.state.endpoints
    routes = [(route, found[id(route)]) for route in app.router.routes if isinstance(route, APIRoute) and id(route) in found]
    gate = Gate(app, routes, people, Sites(names), authentication=authentication, clock=wiring.clock())  # type: ignore[arg-type]
    app.state.host, app.state.people, app.state.gate, app.state.metrics = host, people, gate, Metrics(host)
    return gate
