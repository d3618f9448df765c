"""The pages of the user interface: the files that `web/` was built into. Anybody may have them; they hold no data."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from provisioning.api.problems import problem
from provisioning.api.table import Endpoint

FOLDER = Path(__file__).resolve().parent.parent / "ui"
INDEX = "index.html"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; font-src 'self';"
    " manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""What a page may do: load what is ours, and nothing else."""
MISSING = "The pages are not built. The API is at /api/v1; to build the pages: make ui\n"


@lru_cache(maxsize=1)
def files(folder: Path = FOLDER) -> Mapping[str, Path]:
    """Return the files there are by their paths: what a browser asks for is looked up, never joined to a path."""
    return {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()} if folder.is_dir() else {}


def get_page(request: Request) -> Response:
    """Return a file of the pages. A path that is none belongs to the page, which shows what is meant."""
    path = request.path_params["path"]
    found = files().get(path)
    if found is None and path.startswith("assets/"):
        return problem(404, "there is nothing here")
    if found is None or path == INDEX:
        return _index()
    kind = mimetypes.guess_type(found.name)[0] or "application/octet-stream"
    headers = {"Cache-Control": "public, max-age=31536000, immutable" if path.startswith("assets/") else "no-cache"}
    return Response(found.read_bytes(), headers=headers, media_type=kind)


def _index() -> Response:
    found = files().get(INDEX)
    if found is None:
        return Response(MISSING, 200, media_type="text/plain")
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-store"}
    return Response(found.read_bytes(), headers=headers, media_type="text/html")


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/{path:path}",
        handler=get_page,
        action="page.read",
        role=None,
        tag="pages",
        made=Response,
        documented=False,
    ),
)
