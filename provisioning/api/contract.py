"""The OpenAPI document of an app: what each endpoint takes and answers, its role, and what the audit log calls it."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic.json_schema import models_json_schema

from provisioning.api.gate import EXEMPT
from provisioning.api.shapes.base import Problem

VERSION = "1"
_WHERE = "#/components/schemas/{model}"


def contract(app: FastAPI) -> dict[str, Any]:
    """Return the document of an app whose endpoints are in `app.state.endpoints`. It is made once, when somebody asks."""
    app.openapi_schema = app.openapi_schema or _made(app)
    return app.openapi_schema


def _made(app: FastAPI) -> dict[str, Any]:
    """Return the document with the shape of errors, which no handler returns: every `$ref` leads somewhere."""
    document = get_openapi(title=app.title, version=VERSION, description=app.description, routes=app.routes)
    parts = document["components"]
    _keys, errors = models_json_schema([(Problem, "serialization")], ref_template=_WHERE)
    parts["schemas"] = {**errors["$defs"], **parts["schemas"]}
    parts["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer"},
        "session": {"type": "apiKey", "in": "cookie", "name": "provisioning_session"},
    }
    for route in app.router.routes:
        one = app.state.endpoints.get(id(route))
        if one is None or not one.documented or not isinstance(route, APIRoute):
            continue
        operation = document["paths"][route.path_format][one.method.lower()]
        operation["security"] = [] if one.handler in EXEMPT else [{"token": []}, {"session": []}]
        if one.role is not None:
            operation["x-role"] = one.role.value
        operation["x-action"] = one.action
    return document
