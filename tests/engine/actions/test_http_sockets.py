"""The action `http` against real servers on loopback."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest
from support.acting import Heard, task_of
from support.web import OK, Web, serving

from provisioning.adapters.clock import SystemClock
from provisioning.adapters.fetch import HttpFetch
from provisioning.core.ports import Outcome
from provisioning.engine.actions import Result
from provisioning.engine.actions.http import HttpAction


async def step(web: Web, path: str = "/", **settings: Any) -> Result:
    """Return how a step ends that asks this server."""
    full = {"url": f"http://127.0.0.1:{web.port}{path}", "allow_private": True, "timeout_s": 20, **settings}
    return await HttpAction(HttpFetch()).run(task_of("http", **full), Heard())


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:{}", "http://localhost:{}", "http://2130706433:{}", "http://127.1:{}", "http://[::ffff:127.0.0.1]:{}"],
)
async def test_this_machine_is_not_reached_unless_allowed(url: str) -> None:
    with serving(OK + b"\r\nhi") as web:
        refused = await step(web, url=url.format(web.port), allow_private=None)
        allowed = await step(web, url=url.format(web.port))

    assert (refused.error_kind, allowed.output, len(web.requests)) == ("refused", "hi", 1)


async def test_A42_redirects_of_a_real_server() -> None:  # noqa: N802 - the case's id
    def answer(client: socket.socket, request: bytes) -> None:
        if request.startswith(b"GET /end "):
            client.sendall(OK + b"Content-Type: application/json\r\n\r\n[1]")
        elif request.startswith(b"GET /loop "):
            client.sendall(b"HTTP/1.1 302 Found\r\nLocation: /loop\r\n\r\n")
        elif request.startswith(b"GET /none "):
            client.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone")
        else:
            client.sendall(b"HTTP/1.1 302 Found\r\nLocation: end\r\nContent-Length: 0\r\n\r\n")

    with serving(answer) as web:
        followed, left, loop, none = [
            await step(web, path, follow_redirects=follow)
            for path, follow in (("/", True), ("/", False), ("/loop", True), ("/none", True))
        ]

    assert followed == Result(outcome=Outcome.OK, exit_code=0, output=[1])
    assert [result.error_kind for result in (left, loop, none)] == ["http_302", "redirects", "http_404"]


async def test_slow_redirects_share_one_deadline() -> None:
    def answer(client: socket.socket, _request: bytes) -> None:
        time.sleep(0.2)
        client.sendall(b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n")

    with serving(answer) as web:
        result = await HttpAction(HttpFetch()).run(
            task_of(
                "http",
                url=f"http://127.0.0.1:{web.port}/",
                allow_private=True,
                follow_redirects=True,
                max_redirects=1000,
                timeout_s=0.5,
            ),
            Heard(SystemClock()),
        )

    assert (result.outcome, result.error_kind) == (Outcome.TIMED_OUT, "timeout")
