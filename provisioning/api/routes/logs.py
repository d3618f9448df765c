"""What steps printed: one stream of an attempt as bytes with ranges, or a whole run as text. Never markup."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Header, Query
from starlette.responses import Response, StreamingResponse

from provisioning.api.parts import TheHost
from provisioning.api.problems import problem
from provisioning.api.ranges import RangeError, span_of
from provisioning.api.routes.runs import RunId, StepRef
from provisioning.api.shapes.runs import Stream
from provisioning.api.table import API, Endpoint, problems
from provisioning.core.access import Role
from provisioning.operations.hosting.logs import RunLog, StepLog

TEXT = "text/plain; charset=utf-8"
Lines = Annotated[int | None, Query(ge=1, le=100_000)]
Number = Annotated[int | None, Query(ge=1)]
Asked = Annotated[str | None, Header(max_length=2000)]
_BYTES = {"content": {"text/plain": {"schema": {"type": "string"}}}}


def get_step_log(
    host: TheHost,
    run: RunId,
    step: StepRef,
    stream: Stream = "stdout",
    attempt: Number = None,
    tail: Lines = None,
    download: bool = False,
    range: Asked = None,
    if_none_match: Asked = None,
) -> Response:
    """Return what an attempt printed on one stream: the newest attempt if none is named.

    Where both streams are in one file, that is `stdout`. `Range: bytes=` is obeyed; `tail` gives the last lines instead. The
    header `Log-Complete` says whether more may come. `If-None-Match` with the ETag of an earlier answer gets 304 if none has.
    """
    log = host.logs.of_step(run, step, stream, attempt)
    headers = _headers(log.tag, complete=log.complete, name=log.file_name if download else "")
    headers["Log-Attempt"] = str(log.attempt)
    if _has(if_none_match, log.tag):
        return Response(status_code=304, headers=headers)
    if tail is not None:
        return Response(log.tail(tail), headers=headers, media_type=TEXT)
    return _part(log, range, headers)


def get_run_log(
    host: TheHost,
    run: RunId,
    tail: Lines = None,
    download: bool = False,
    range: Asked = None,
    if_none_match: Asked = None,
) -> Response:
    """Return the whole run as text: what each attempt printed below a line that says which, in the order of their begin.

    Whoever follows a run keeps the first bytes, as many as the header `Log-Settled` says: they stay as they are. The rest is
    `Range: bytes=SETTLED-`, and `If-None-Match` with the newest ETag gets 304 if nothing has changed. `Log-Complete` says
    whether more may come. `tail` gives only the last lines of each stream.
    """
    log = host.logs.whole(run)
    headers = _headers(log.tag, complete=log.complete, name=f"{run}.log" if download else "")
    headers["Log-Settled"] = str(log.settled)
    if _has(if_none_match, log.tag):
        return Response(status_code=304, headers=headers)
    if tail is not None:
        return StreamingResponse(log.tail(tail), headers=headers, media_type=TEXT)
    return _part(log, range, headers)


def _headers(tag: str, *, complete: bool, name: str) -> dict[str, str]:
    headers = {"Accept-Ranges": "bytes", "ETag": tag, "Log-Complete": "true" if complete else "false"}
    return {**headers, "Content-Disposition": f'attachment; filename="{name}"'} if name else headers


def _has(said: str | None, tag: str) -> bool:
    """Whether a client has this already: `If-None-Match` of RFC 9110."""
    tags = [one.strip().removeprefix("W/") for one in (said or "").split(",")]
    return tag in tags


def _part(log: StepLog | RunLog, range: str | None, headers: dict[str, str]) -> Response:
    """Return the bytes that are asked for."""
    try:
        span = span_of(range, log.size)
    except RangeError as error:
        return problem(416, str(error), headers={**headers, "Content-Range": f"bytes */{log.size}"})
    headers["Content-Length"] = str(span.length)
    if span.partial:
        headers["Content-Range"] = f"bytes {span.start}-{span.end}/{log.size}"
    body = log.chunks(span.start, span.length)
    return StreamingResponse(body, 206 if span.partial else 200, headers=headers, media_type=TEXT)


_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "all of it", **_BYTES},
    206: {"description": "the part that was asked for", **_BYTES},
    304: {"description": "it is what you have"},
    **problems(416),
}
ENDPOINTS = (
    Endpoint(
        method="GET",
        path=f"{API}/runs/{{run}}/steps/{{step:path}}/log",
        handler=get_step_log,
        action="log.read",
        role=Role.VIEWER,
        tag="logs",
        made=Response,
        answers=_ANSWERS,
    ),
    Endpoint(
        method="GET",
        path=f"{API}/runs/{{run}}/log",
        handler=get_run_log,
        action="log.read",
        role=Role.VIEWER,
        tag="logs",
        made=Response,
        answers=_ANSWERS,
    ),
)
