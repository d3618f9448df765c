"""HTTP against servers that drip, lie, flood and break off."""

from __future__ import annotations

import asyncio
import gzip
import os
import socket
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from support.remote import until
from support.web import OK, Web, asked, exchange_with, serving

from provisioning.adapters import fetch as module
from provisioning.adapters.fetch import HttpFetch
from provisioning.core.outside import Exchange


def dripping(first: bytes, drop: bytes = b"x") -> Callable[[socket.socket, bytes], None]:
    """Return a server that begins like this and then goes on for ever, a drop every 20 ms."""

    def answer(client: socket.socket, _request: bytes) -> None:
        client.sendall(first)
        while True:
            client.sendall(drop)
            time.sleep(0.02)

    return answer


def flooding(first: bytes, flood: bytes = b"x" * 65536) -> Callable[[socket.socket, bytes], None]:
    """Return a server that begins like this and then never ends."""

    def answer(client: socket.socket, _request: bytes) -> None:
        client.sendall(first)
        while True:
            client.sendall(flood)

    return answer


# ---------------------------------------------------------------- answers


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        pytest.param(OK + b"Content-Length: 5\r\n\r\nhello", b"hello", id="length"),
        pytest.param(OK + b"\r\nhello", b"hello", id="until it closes"),
        pytest.param(
            OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nT: t\r\n\r\n", b"hello", id="chunks"
        ),
        pytest.param(b"HTTP/1.0 200\r\n\r\nhello", b"hello", id="the old version without a reason"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nhi", b"hi", id="100 first"),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", b"", id="none"),
        pytest.param(OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"hello"), b"hello", id="gzip"),
        pytest.param(
            OK + b"Content-Encoding: GZIP\r\n\r\n" + gzip.compress(b"he") + gzip.compress(b"llo"), b"hello", id="two gzips"
        ),
        pytest.param(OK + b"Content-Encoding: deflate\r\n\r\n" + zlib.compress(b"hello"), b"hello", id="deflate"),
        pytest.param(
            OK + b"Content-Encoding: deflate\r\n\r\n" + zlib.compress(b"hello", wbits=-15), b"hello", id="raw deflate"
        ),
        pytest.param(OK + b"Content-Encoding: br\r\n\r\nhello", b"hello", id="one we did not ask for"),
        pytest.param(OK + b"Content-Encoding: gzip\r\n\r\n", b"", id="nothing, compressed"),
    ],
)
async def test_a_body_is_taken_whole(answer: bytes, body: bytes) -> None:
    fetched = await asked(answer)

    assert (fetched.kind, fetched.body) == ("answer", body)


async def test_a_request_says_whom_it_is_for_and_what_it_brings() -> None:
    with serving(OK + b"\r\n") as web:
        await HttpFetch().exchange(exchange_with(web, method="POST", headers=(("X-A", "ä"),), body=b"data"))

    assert web.requests == [
        f"POST /x HTTP/1.1\r\nHost: web.example:{web.port}\r\nX-A: ä\r\n".encode()
        + b"Connection: close\r\nContent-Length: 4\r\n\r\ndata"
    ]


async def test_an_answer_to_head_has_no_body() -> None:
    assert (await asked(OK + b"Content-Length: 5\r\n\r\n", method="HEAD")).kind == "answer"


async def test_a_server_that_refuses_a_body_before_its_end_is_heard() -> None:
    def refuse(client: socket.socket, _request: bytes) -> None:
        client.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")

    with serving(refuse) as web:
        fetched = await HttpFetch().exchange(exchange_with(web, method="POST", body=b"x" * 100_000))

    assert fetched.status == 413


# ---------------------------------------------------------------- limits


@pytest.mark.parametrize(
    "answering",
    [
        pytest.param(flooding(OK + b"\r\n"), id="A42 no end"),
        pytest.param(flooding(OK + b"Content-Length: 1000000000\r\n\r\n"), id="a large length"),
        pytest.param(flooding(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"x" * 65536 + b"\r\n"), id="chunks"),
        pytest.param(flooding(OK + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFF\r\n"), id="one huge chunk"),
        pytest.param(flooding(OK + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n"), id="a chunk below zero"),
        pytest.param(OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(bytes(50_000_000)), id="a bomb of gzip"),
        pytest.param(OK + b"Content-Encoding: deflate\r\n\r\n" + zlib.compress(bytes(50_000_000)), id="a bomb of deflate"),
        pytest.param(OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(bytes(90_000)) * 90, id="many small bombs"),
    ],
)
async def test_a_body_that_is_too_large_is_cut_and_costs_no_memory(answering: Any) -> None:
    tracemalloc.start()
    try:
        fetched = await asked(answering, max_bytes=100_000)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert (fetched.kind, fetched.status, len(fetched.body) <= 100_000) == ("too_large", 200, True)
    assert fetched.message == "the body is larger than 100,000 bytes"
    assert peak_bytes < 4_000_000


@pytest.mark.parametrize(("size", "kind"), [(1000, "answer"), (1001, "too_large")])
@pytest.mark.parametrize("compressed", ["", "gzip"])
async def test_the_limit_is_exact(size: int, kind: str, compressed: str) -> None:
    body = os.urandom(500).hex().encode() + b"x" * (size - 1000)
    sent = b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(body) if compressed else b"\r\n" + body

    assert (await asked(OK + sent, max_bytes=1000)).kind == kind


@pytest.mark.parametrize(
    "answering",
    [
        pytest.param(flooding(OK, b"X-A: b\r\n"), id="endless headers"),
        pytest.param(flooding(OK + b"X-A: "), id="a header without end"),
        pytest.param(flooding(b""), id="a first line without end"),
        pytest.param(flooding(b"HTTP/1.1 100 Continue\r\n\r\n" * 10, b"HTTP/1.1 100 Continue\r\n\r\n"), id="endless promises"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n\r\n", id="another protocol"),
        pytest.param(b"HTTP/1.1 2OO OK\r\n\r\n", id="no number"),
        pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n", id="bad chunks"),
        pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel", id="half a chunk"),
        pytest.param(OK + b"Content-Length: 9\r\n\r\nhello", id="half a body"),
        pytest.param(OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"hello")[:-4], id="half a gzip"),
        pytest.param(OK + b"Content-Encoding: gzip\r\n\r\nhello", id="no gzip"),
    ],
)
async def test_what_is_not_http_is_said_to_be_none(answering: Any) -> None:
    fetched = await asked(answering, max_bytes=10_000)

    assert (fetched.kind, fetched.status, fetched.body) == ("protocol", 0, b"")
    assert fetched.message


@pytest.mark.parametrize(
    "answering",
    [
        pytest.param(dripping(b""), id="a first line"),
        pytest.param(dripping(OK, b"X: y\r\n"), id="headers"),
        pytest.param(dripping(OK + b"\r\n"), id="a body"),
        pytest.param(dripping(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"), id="chunks"),
        pytest.param(dripping(OK + b"Content-Length: 1000000\r\n\r\n"), id="a length"),
        pytest.param(lambda client, _: client.recv(1), id="silence"),
    ],
)
async def test_the_deadline_is_for_all_of_it_however_often_a_drop_comes(answering: Any) -> None:
    fetched = await asked(answering, timeout_s=0.3)

    assert (fetched.kind, fetched.message) == ("timeout", "no complete answer within 0.3 s")


async def test_a_server_that_takes_nothing_is_given_up() -> None:
    def ignore(_client: socket.socket, _request: bytes) -> None:
        raise AssertionError("the request was complete")

    class Deaf(Web):
        def _answer(self, plain: socket.socket) -> None:
            threading.Event().wait(20)
            plain.close()

    web = Deaf(ignore)
    try:
        assert (
            await HttpFetch().exchange(exchange_with(web, method="PUT", body=bytes(50_000_000), timeout_s=0.3))
        ).kind == "timeout"
    finally:
        web.close()


async def test_a_connection_that_is_never_accepted_is_given_up_and_can_be_cancelled() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, socket.socket() as first, socket.socket() as second:
        for waiting in (first, second):
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        facts = {"method": "GET", "scheme": "http", "host": "a", "target": "/", "addresses": ("127.0.0.1",)}
        exchange = Exchange(**facts, port=server.getsockname()[1], timeout_s=0.3)  # type: ignore[arg-type]

        assert (await HttpFetch().exchange(exchange)).kind == "timeout"
        job = asyncio.create_task(HttpFetch().exchange(Exchange(**facts, port=exchange.port, timeout_s=1000)))  # type: ignore[arg-type]
        await asyncio.sleep(0.1)
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(job, 10)


async def test_a_name_that_takes_too_long_to_look_up_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(module, "_look_up", lambda _host: over.wait(20))
    resolved = await HttpFetch().resolve("slow.example", timeout_s=0.05)
    over.set()

    assert resolved.message == "looking up slow.example took longer than 0.05 s"


# ---------------------------------------------------------------- connections


async def test_nobody_there() -> None:
    with serving(b"") as web:
        pass
    fetched = await HttpFetch().exchange(exchange_with(web))

    assert (fetched.kind, fetched.message) == ("connect", "the connection failed: connection refused")


async def test_a_connection_that_is_cut_without_a_word() -> None:
    assert (await asked(b"")).kind == "protocol"


async def test_an_address_that_does_not_answer_is_followed_by_the_next() -> None:
    with serving(OK + b"\r\nhi") as web:
        fetched = await HttpFetch().exchange(exchange_with(web, addresses=("127.0.0.2", "::1", "127.0.0.1")))

    assert fetched.body == b"hi"


async def test_only_the_given_addresses_are_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is for `Host` and the certificate: nothing looks it up a second time."""
    names: list[str] = []
    real = socket.getaddrinfo

    def spy(host: str, *arguments: Any, **more: Any) -> Any:
        names.append(host)
        return real(host, *arguments, **more)

    with serving(OK + b"\r\nhi") as web:
        monkeypatch.setattr(socket, "getaddrinfo", spy)
        await HttpFetch().exchange(exchange_with(web, host="rebound.example"))

    assert names == ["127.0.0.1"]
    assert f"Host: rebound.example:{web.port}".encode() in web.requests[0]


@pytest.mark.parametrize("answering", [dripping(OK + b"\r\n"), dripping(b""), flooding(OK + b"\r\n", b"x")])
async def test_cancelling_closes_the_connection(answering: Any) -> None:
    with serving(answering) as web:
        job = asyncio.create_task(HttpFetch().exchange(exchange_with(web, timeout_s=1000)))
        await until(lambda: web.requests)
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
        await until(web.gone.is_set)


async def test_nothing_stays_open() -> None:
    with serving(OK + b"\r\nhi") as web, serving(dripping(b"")) as slow:
        fetch = HttpFetch()

        async def round_of_everything() -> None:
            await fetch.exchange(exchange_with(web))
            await fetch.exchange(exchange_with(slow, timeout_s=0.05))
            await fetch.exchange(exchange_with(web, scheme="https", timeout_s=5))

        await round_of_everything()
        before = _descriptors()
        for _ in range(10):
            await round_of_everything()
        await until(lambda: _descriptors() <= before)  # the servers, which are in this process too, follow


def _descriptors() -> int:
    return sum(os.path.exists(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd"))  # noqa: PTH110, PTH208 - counted
