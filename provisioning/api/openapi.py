"""`python -m provisioning.api.openapi`: the contract as JSON, as it stands in `schemas/openapi.json`."""

from __future__ import annotations

import json
import sys

from fastapi.routing import APIRoute

from provisioning.api.app import bare_app
from provisioning.api.gate import EXEMPT


def contract() -> dict[str, object]:
    """Return the OpenAPI document: what each endpoint takes and answers, and which role it needs."""
    app = bare_app()
    document = app.openapi()
    document["components"]["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer"},
        "session": {"type": "apiKey", "in": "cookie", "name": "provisioning_session"},
    }
    document["info"]["version"] = "1"
    for route in app.router.routes:
        one = app.state.endpoints.get(id(route))
        if one is None or not one.documented or not isinstance(route, APIRoute):
            continue
        operation = document["paths"][route.path_format][one.method.lower()]
        operation["security"] = [] if one.handler in EXEMPT else [{"token": []}, {"session": []}]
        if one.role is not None:
            operation["x-role"] = one.role.value
    return document


def text() -> str:
    """Return the document as it is kept."""
    return json.dumps(contract(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
