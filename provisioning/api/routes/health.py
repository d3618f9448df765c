"""How the server is: for probes, for people, for Prometheus."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

from provisioning import __version__
from provisioning.api.parts import TheHost
from provisioning.api.problems import problem
from provisioning.api.shapes.people import Health, Status
from provisioning.api.table import API, Endpoint
from provisioning.core.access import Role


async def get_health() -> Health:
    """Say that the server lives."""
    return Health(status="ok")


async def get_ready(host: TheHost) -> Response:
    """Say whether the server can work: its engine runs and its store can be read."""
    wrong = await host.ready()
    if wrong:
        return problem(503, wrong, code="not_ready")
    return Response(Health(status="ready").model_dump_json(), media_type="application/json")


def get_status(host: TheHost, request: Request) -> Status:
    """Say how the server is."""
    return Status(
        status="ok",
        version=__version__,
        uptime_s=round(host.uptime_s(), 3),
        authentication=request.app.state.gate.authentication,
        scheduler=host.scheduling is not None,
        running=len(host.driven()),
        folder=str(host.places.dags),
    )


def get_metrics(request: Request) -> Response:
    """Return the metrics as Prometheus reads them."""
    text, kind = request.app.state.metrics.text()
    return Response(text, media_type=kind)


ENDPOINTS = (
    Endpoint(method="GET", path="/health", handler=get_health, action="server.read", role=None, tag="health"),
    Endpoint(
        method="GET",
        path="/ready",
        handler=get_ready,
        action="server.read",
        role=None,
        tag="health",
        answers={200: {"model": Health}},
    ),
    Endpoint(method="GET", path=f"{API}/status", handler=get_status, action="server.read", role=Role.VIEWER, tag="health"),
    Endpoint(
        method="GET",
        path="/metrics",
        handler=get_metrics,
        action="server.read",
        role=Role.VIEWER,
        tag="health",
        made=Response,
        answers={200: {"description": "the metrics", "content": {"text/plain": {"schema": {"type": "string"}}}}},
    ),
)
