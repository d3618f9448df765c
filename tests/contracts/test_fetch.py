"""What everything that speaks HTTP promises: this machine, and the fake that other tests use."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from support.web import Web

from provisioning.adapters.fetch import HttpFetch
from provisioning.adapters.memory.fetch import FakeFetch
from provisioning.core.outside import Exchange, Fetch, Fetched

HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello"


def _silent(client: socket.socket, _request: bytes) -> None:
    client.recv(1)


@dataclass
class Asked:
    """Something that speaks, and what to ask it."""

    fetch: Fetch
    exchange: Exchange


@pytest.fixture(params=["fake", "real"])
def asking(request: pytest.FixtureRequest) -> Iterator[Callable[[bytes | None], Asked]]:
    """Return a maker of something that is answered with these bytes, or never."""
    webs: list[Web] = []

    def make(answer: bytes | None) -> Asked:
        web = Web(_silent if answer is None else answer)
        webs.append(web)
        exchange = Exchange(
            method="GET", scheme="http", host="web.example", port=web.port, target="/", addresses=("127.0.0.1",)
        )
        if request.param == "real":
            return Asked(HttpFetch(), exchange)
        fake = FakeFetch({"localhost": ["127.0.0.1"]})
        body = Fetched(kind="answer", status=200, reason="OK", headers=(("Content-Length", "5"), ("X-A", "b")), body=b"hello")
        fake.on("GET", f"http://web.example:{web.port}/", body if answer is not None else None)
        return Asked(fake, exchange)

    yield make
    for web in webs:
        web.close()


async def test_an_answer_is_taken_as_it_is(asking: Callable[[bytes | None], Asked]) -> None:
    asked = asking(HELLO)
    fetched = await asked.fetch.exchange(asked.exchange)

    assert (fetched.kind, fetched.status, fetched.reason, fetched.body) == ("answer", 200, "OK", b"hello")
    assert fetched.headers == (("Content-Length", "5"), ("X-A", "b"))
    assert (fetched.header("x-a"), fetched.header("x-b")) == ("b", "")


async def test_an_exchange_can_be_cancelled(asking: Callable[[bytes | None], Asked]) -> None:
    asked = asking(None)
    job = asyncio.create_task(asked.fetch.exchange(asked.exchange))
    await asyncio.wait([job], timeout=0.1)
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job


async def test_a_name_is_looked_up_or_why_not_is_said(asking: Callable[[bytes | None], Asked]) -> None:
    fetch = asking(HELLO).fetch

    assert "127.0.0.1" in (await fetch.resolve("localhost", timeout_s=10)).addresses
    unknown = await fetch.resolve("no such name", timeout_s=10)
    assert unknown.addresses == ()
    assert unknown.message.startswith("no such name cannot be looked up: ")
