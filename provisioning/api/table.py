"""One table of all endpoints: what the router has, what the documentation says, and who may call what."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from fastapi import FastAPI
from fastapi.datastructures import Default
from fastapi.routing import APIRoute
from starlette.responses import JSONResponse, Response

from provisioning.api.shapes.base import Problem
from provisioning.core.access import Role

API = "/api/v1"
PROBLEM = "application/problem+json"
NO_EXTRAS: Mapping[int | str, dict[str, Any]] = MappingProxyType({})
_MEANINGS = {
    400: "the call is wrong",
    401: "no credentials, or wrong ones",
    403: "the role is not enough, or the call comes from another site",
    404: "nothing has this name",
    405: "not this method",
    409: "what it is about does not allow it now",
    413: "the body is too large",
    415: "the body is not JSON",
    416: "the range is outside of the log",
    421: "the server does not have this name",
    422: "a value is not what it has to be; `faults` has all of them",
    429: "too many calls",
    500: "the server failed; its log says more",
    502: "a server could not be reached",
    503: "the server cannot do it now",
}
COMMON = (400, 401, 403, 404, 409, 413, 415, 421, 422, 429, 500, 502, 503)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One method of one path. Without a `role` nobody may call it, unless `access.EXEMPT` names its handler.

    `action` is what the audit log calls it, noun.verb: what does the same has the same.
    """

    method: str
    path: str
    handler: Callable[..., Any]
    action: str
    role: Role | None
    tag: str
    status: int = 200
    made: type[Response] = JSONResponse
    answers: Mapping[int | str, dict[str, Any]] = field(default_factory=lambda: NO_EXTRAS)  # besides errors
    documented: bool = True

    @property
    def endless(self) -> bool:
        """Whether its answer is a stream."""
        return self.made.media_type == "text/event-stream"


def mount(app: FastAPI, endpoints: Sequence[Endpoint]) -> dict[int, Endpoint]:
    """Add endpoints to an app; return them by the identity of their route."""
    found: dict[int, Endpoint] = {}
    for one in endpoints:
        app.add_api_route(
            one.path,
            one.handler,
            methods=[one.method],
            status_code=one.status,
            tags=[one.tag],
            name=one.handler.__name__,
            operation_id=f"{one.handler.__name__}{'' if one.path.startswith(API) else '_short'}",
            responses={**problems(*COMMON), **one.answers},
            response_class=Default(JSONResponse) if one.made is JSONResponse else one.made,  # the default is written faster
            include_in_schema=one.documented,
            description=(one.handler.__doc__ or "").strip(),
            summary=(one.handler.__doc__ or "").strip().partition("\n")[0].rstrip("."),
        )
        route = app.router.routes[-1]
        assert isinstance(route, APIRoute)  # noqa: S101 -- what add_api_route adds
        found[id(route)] = one
    return found


def problems(*codes: int) -> dict[int | str, dict[str, Any]]:
    """Return the documentation of errors."""
    schema = {"$ref": f"#/components/schemas/{Problem.__name__}"}
    return {code: {"description": _MEANINGS[code], "content": {PROBLEM: {"schema": schema}}} for code in codes}
