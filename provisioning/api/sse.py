"""Messages to a browser, as server-sent events. A record that many follow is written once."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from provisioning.api import shown
from provisioning.operations.hosting.feeds import Client, Feeds, Message
from provisioning.operations.hosting.topics import Topic, written

HEARTBEAT_S = 10.0
CHECK_S = 5.0  # how often it is asked whether who looks may still do so
STALL_S = 30.0  # how long a client may take nothing
REMEMBERED = 2000  # records
RETRY_MS = 1000

Allowed = Callable[[], Awaitable[bool]]
_bodies: OrderedDict[tuple[str, int], bytes] = OrderedDict()


class EventStream(Response):
    """An answer without end. Ends when the client leaves, takes nothing for too long, or may not look any more."""

    media_type = "text/event-stream"

    def __init__(self, feeds: Feeds, topics: Sequence[Topic], positions: Sequence[int], allowed: Allowed) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._feeds, self._topics, self._positions, self._allowed = feeds, topics, positions, allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 -- as ASGI calls it
        """See ASGI."""
        headers = [(name, value) for name, value in self.raw_headers if name != b"content-length"]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        async with self._feeds.follow(self._topics, self._positions) as client:
            telling = asyncio.create_task(self._tell(client, send))
            leaving = asyncio.create_task(_left(receive))
            try:
                await asyncio.wait({telling, leaving}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (telling, leaving):
                    task.cancel()
                with suppress(asyncio.CancelledError, TimeoutError, OSError):
                    await telling

    async def _tell(self, client: Client, send: Send) -> None:
        loop = asyncio.get_running_loop()
        checked_s = beaten_s = loop.time()
        await _send(send, f"retry: {RETRY_MS}\n\n".encode())
        while not client.over:
            await _wait(client, CHECK_S)
            now_s = loop.time()
            if now_s - checked_s >= CHECK_S:
                checked_s = now_s
                if not await self._allowed():
                    client.end("you may not look any more")
            if client.waiting:
                beaten_s = now_s
                await _send(send, b"".join(map(encoded, client.take())))
            elif now_s - beaten_s >= HEARTBEAT_S:
                beaten_s = now_s
                await _send(send, b": still here\n\n")
        await _send(send, _line("dropped", None, {"reason": client.over}))
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def encoded(message: Message) -> bytes:
    """Return a message as the browser reads it."""
    id = written(message.positions)
    if message.event is not None:
        return f"id: {id}\n".encode() + _event_body(message)
    data: dict[str, object] = {"topic": str(message.topic)}
    if message.kind == "log":
        data |= {"attempt": message.attempt, "at": message.at, "text": message.text, "over": message.over}
    return _line(message.kind, id, data)


def _event_body(message: Message) -> bytes:
    """Return what is the same for all who follow a run."""
    event = message.event
    assert event is not None  # noqa: S101 -- the caller looked
    key = (event.run, event.seq)
    if key not in _bodies:
        data = {"topic": str(message.topic), "event": shown.event(event).model_dump(mode="json")}
        _bodies[key] = _line("event", None, data)
        while len(_bodies) > REMEMBERED:
            _bodies.popitem(last=False)
    return _bodies[key]


def _line(kind: str, id: str | None, data: object) -> bytes:
    head = f"id: {id}\n" if id is not None else ""
    return f"{head}event: {kind}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


async def _wait(client: Client, limit_s: float) -> None:
    if client.waiting or client.over:
        return
    client.woken.clear()
    with suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            await client.woken.wait()


async def _send(send: Send, body: bytes) -> None:
    """Raise TimeoutError when the client takes nothing: its connection is closed, and it may come again."""
    async with asyncio.timeout(STALL_S):
        await send({"type": "http.response.body", "body": body, "more_body": True})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
