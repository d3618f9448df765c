"""Connections that are slow on purpose: each is given up in time, and nobody else waits for them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn

from provisioning.api import patience
from provisioning.api.patience import Patience, tune

LIMIT_S = 0.3
LONG_S = 30.0
HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n"
QUICK = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


async def answers(scope: Any, receive: Any, send: Any) -> None:
    """Say how many bytes came, once all have."""
    count, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        count, more = count + len(message["body"]), message.get("more_body", False)
    if scope["path"] == "/slow":
        await asyncio.sleep(3 * LIMIT_S)
    body = str(count).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def listening(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    monkeypatch.setattr(patience, "REQUEST_S", LIMIT_S)
    bound = socket.create_server(("127.0.0.1", 0))
    tune(bound)
    server = uvicorn.Server(uvicorn.Config(answers, http=Patience, ws="none", lifespan="off", log_config=None))
    serving = asyncio.create_task(server._serve([bound]))
    try:
        yield bound.getsockname()[1]
    finally:
        server.should_exit = True
        await serving


async def said(port: int, *pieces: bytes, until: bytes = b"") -> bytes:
    """Send pieces; return what came until something, or until the connection was closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    came = b""
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        async with asyncio.timeout(LONG_S):
            while (more := await reader.read(65536)) and not (until and until in came + more):
                came += more
            return came + more
    except ConnectionError:
        return came
    finally:
        writer.close()


@pytest.mark.parametrize(
    "pieces",
    [
        (b"G",),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ",),
        (HEAD,),
        (HEAD, b"123"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n123",),
        (b"",),
    ],
    ids=["a byte", "half a head", "no body", "half a body", "half a chunk", "nothing"],
)
def test_a_request_that_is_not_there_in_time_is_given_up(pieces: tuple[bytes, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with listening(monkeypatch) as port:
            assert await said(port, *pieces) == b""

    asyncio.run(story())


def test_half_a_request_after_a_whole_one_is_given_up_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with listening(monkeypatch) as port:
            came = await said(port, QUICK + b"GET / HT")
            assert came.count(b"200 OK") == 1

    asyncio.run(story())


def test_an_answer_may_take_as_long_as_it_likes_and_others_are_served_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with listening(monkeypatch) as port:
            stuck = [asyncio.create_task(said(port, b"GET / HTTP/1.1\r\n")) for _ in range(200)]
            slow = asyncio.create_task(said(port, QUICK.replace(b"/ ", b"/slow "), until=b"\r\n\r\n0"))
            assert b"200 OK" in await said(port, QUICK, until=b"\r\n\r\n0")
            assert b"200 OK" in await slow
            assert set(await asyncio.gather(*stuck)) == {b""}

    asyncio.run(story())


def test_connections_send_at_once_and_notice_who_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        tune(bound)
        with socket.create_connection(bound.getsockname()), bound.accept()[0] as made:
            assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == patience.TAKEN_MS
