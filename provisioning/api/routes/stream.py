"""One connection for all that somebody looks at: events of runs, changes of lists, growing logs."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header, Query, Request
from starlette.responses import Response

from provisioning.api.parts import TheHost
from provisioning.api.sse import EventStream
from provisioning.api.table import API, Endpoint
from provisioning.core.access import Role
from provisioning.operations.hosting.topics import parse_positions, parse_topics

KIND = "text/event-stream"


async def stream_events(
    host: TheHost,
    request: Request,
    topics: Annotated[str, Query(min_length=1, max_length=8000, description="with commas between")],
    last_event_id: Annotated[str | None, Header(max_length=2000)] = None,
    cursor: Annotated[
        str | None, Query(max_length=2000, description="as Last-Event-ID, for clients that cannot set it")
    ] = None,
) -> Response:
    """Follow topics: `run:ID`, `log:RUN/STEP` (also `log:RUN/STEP@stderr`), `runs`, `dags`.

    The name of a step is percent-encoded in its topic, as `encodeURIComponent` does it, before all topics are encoded as a
    parameter: `,`, `%` and `@` may stand in it. Each message names its topic as it was asked for.

    Each message has the topic as `topic` in its JSON data. Its id holds how far each topic is, in the order of `topics`, with
    commas between: of a run the number of the event, of a log the byte. With `Last-Event-ID` the stream goes on there, without
    a gap or a repetition. `event: event` is a record of the journal, `event: log` a piece of text, `event: changed` says that a
    list is not what it was, `event: dropped` says why the server ends the stream.
    """
    wanted = parse_topics(topics)
    positions = parse_positions(last_event_id or cursor or "", len(wanted))
    await host.feeds.check(wanted)
    return EventStream(host.feeds, wanted, positions, request.app.state.gate.still_allowed(request.scope))


ENDPOINTS = (
    Endpoint(
        method="GET",
        path=f"{API}/events/stream",
        handler=stream_events,
        action="run.read",
        role=Role.VIEWER,
        tag="events",
        made=EventStream,
        answers={200: {"description": "messages without end", "content": {KIND: {"schema": {"type": "string"}}}}},
    ),
)
