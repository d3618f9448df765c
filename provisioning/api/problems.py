"""Errors as answers: RFC 9457, one line for people, a stable word for programs, and what to do."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from math import ceil

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from provisioning.api.limits import TooMany
from provisioning.api.shapes.base import Fault, Problem, fault
from provisioning.api.table import PROBLEM
from provisioning.errors import (
    ConfigError,
    ExistsError,
    HostError,
    LockedError,
    NotFoundError,
    ProvisioningError,
    StaleRevision,
    StoreError,
    UsageError,
    WaitTimeout,
)
from provisioning.operations.people import Refused

FAULTS_MOST = 200
CODES = {400: "usage", 401: "unauthorised", 403: "forbidden", 404: "not_found", 405: "method", 413: "too_large", 416: "range"}
_STATUSES: tuple[tuple[type[ProvisioningError], int], ...] = (
    (Refused, 401),
    (TooMany, 429),
    (NotFoundError, 404),
    (ExistsError, 409),
    (StaleRevision, 409),
    (LockedError, 409),
    (UsageError, 400),
    (ConfigError, 422),
    (HostError, 502),
    (WaitTimeout, 503),
    (StoreError, 503),
)
_log = logging.getLogger("provisioning.server")


def problem(
    status: int,
    detail: str,
    *,
    code: str = "",
    hint: str = "",
    faults: tuple[Fault, ...] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return an error as an answer."""
    body = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        code=code or CODES.get(status, "failed"),
        hint=hint,
        faults=list(faults),
    )
    return Response(body.model_dump_json(), status, headers=dict(headers or {}), media_type=PROBLEM)


def status_of(error: ProvisioningError) -> int:
    """Return the status that an error of ours amounts to."""
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), 409)


def of_ours(error: ProvisioningError) -> Response:
    """Return the answer for an error of ours."""
    found = error.faults[:FAULTS_MOST] if isinstance(error, ConfigError) else ()
    faults = tuple(fault(one) for one in found)
    headers = {"Retry-After": str(ceil(error.wait_s))} if isinstance(error, TooMany) else {}
    return problem(status_of(error), error.message, code=error.code, hint=error.hint, faults=faults, headers=headers)


def install(app: FastAPI) -> None:
    """Have an app answer every error as a problem. What is nobody's fault but ours is logged, never shown."""

    @app.exception_handler(ProvisioningError)
    async def _ours(_request: Request, error: ProvisioningError) -> Response:
        return of_ours(error)

    @app.exception_handler(RequestValidationError)
    async def _invalid(_request: Request, error: RequestValidationError) -> Response:
        faults = tuple(_wrong(one) for one in error.errors()[:FAULTS_MOST])
        return problem(422, "a value is not what it has to be", code="invalid_value", faults=faults)

    @app.exception_handler(HTTPException)
    async def _http(_request: Request, error: HTTPException) -> Response:
        return problem(error.status_code, str(error.detail), headers=error.headers)

    @app.exception_handler(Exception)
    async def _bug(request: Request, error: Exception) -> Response:
        _log.error("%s %s: %s: %s", request.method, request.scope["path"], type(error).__name__, error)
        return problem(500, "the server failed; its log says more", code="internal")


def _wrong(error: Mapping[str, object]) -> Fault:
    """Return what pydantic found; never the value itself, which may be a secret."""
    where = error.get("loc")
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where) if isinstance(where, tuple) else ""
    return Fault(code=str(error.get("type", "invalid")), severity="error", message=str(error.get("msg", "")), path=f"${path}")
