"""What steps printed: one stream of an attempt as bytes with ranges, or a whole run as text. Never markup."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header, Query
from starlette.responses import Response, StreamingResponse

from provisioning.api.parts import TheHost
from provisioning.api.problems import problem
from provisioning.api.ranges import RangeError, span_of
from provisioning.api.routes.runs import RunId, StepRef
from provisioning.api.shapes.runs import Stream
from provisioning.api.table import API, Endpoint
from provisioning.core.access import Role

TEXT = "text/plain; charset=utf-8"
Lines = Annotated[int | None, Query(ge=1, le=100_000)]
Number = Annotated[int | None, Query(ge=1)]
_BYTES = {"content": {"text/plain": {"schema": {"type": "string"}}}}


def get_step_log(
    host: TheHost,
    run: RunId,
    step: StepRef,
    stream: Stream = "stdout",
    attempt: Number = None,
    tail: Lines = None,
    download: bool = False,
    range: Annotated[str | None, Header()] = None,
) -> Response:
    """Return what an attempt printed on one stream: the newest attempt if none is named.

    Where both streams are in one file, that is `stdout`. `Range: bytes=` is obeyed; `tail` gives the last lines instead. The
    header `Log-Complete` says whether more may come.
    """
    log = host.logs.of_step(run, step, stream, attempt)
    headers = {"Accept-Ranges": "bytes", "Log-Complete": "true" if log.complete else "false", "Log-Attempt": str(log.attempt)}
    if download:
        headers["Content-Disposition"] = f'attachment; filename="{log.file_name}"'
    if tail is not None:
        return Response(log.tail(tail), headers=headers, media_type=TEXT)
    try:
        span = span_of(range, log.size)
    except RangeError as error:
        return problem(416, str(error), headers={"Content-Range": f"bytes */{log.size}"})
    headers["Content-Length"] = str(span.length)
    if span.partial:
        headers["Content-Range"] = f"bytes {span.start}-{span.end}/{log.size}"
    body = log.chunks(span.start, span.length)
    return StreamingResponse(body, 206 if span.partial else 200, headers=headers, media_type=TEXT)


def get_run_log(host: TheHost, run: RunId, tail: Lines = None, download: bool = False) -> Response:
    """Return the whole run as text: each step with what it printed, in the order of the file.

    `tail` gives only the last lines of each stream.
    """
    headers = {"Content-Disposition": f'attachment; filename="{run}.log"'} if download else {}
    return StreamingResponse(host.logs.whole(run, tail), headers=headers, media_type=TEXT)


ENDPOINTS = (
    Endpoint(
        method="GET",
        path=f"{API}/runs/{{run}}/steps/{{step:path}}/log",
        handler=get_step_log,
        role=Role.VIEWER,
        tag="logs",
        made=Response,
        answers={200: {"description": "all of it", **_BYTES}, 206: {"description": "the part that was asked for", **_BYTES}},
    ),
    Endpoint(
        method="GET",
        path=f"{API}/runs/{{run}}/log",
        handler=get_run_log,
        role=Role.VIEWER,
        tag="logs",
        made=Response,
        answers={200: {"description": "all of it", **_BYTES}},
    ),
)
