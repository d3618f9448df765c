"""HEAD is GET without a body, and a method that a path does not have is told which it has."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from support.served import served

from provisioning.core.access import Role


@pytest.mark.parametrize(
    "path", ["/health", "/ready", "/metrics", "/api/v1/runs", "/api/v1/dags/hello/source", "/api/v1/nothing"]
)
def test_head_is_get_without_a_body(tmp_path: Path, path: str) -> None:
    async def story() -> None:
        async with served(tmp_path, {"hello": "steps: [{command: 'true'}]"}) as here:
            got, head = [await here.call(method, path, Role.VIEWER) for method in ("GET", "HEAD")]
            assert (head.status_code, head.content) == (got.status_code, b"")
            assert head.headers["content-type"] == got.headers["content-type"]
            assert "content-length" in head.headers
            if path == "/api/v1/runs":
                assert (await here.call("HEAD", path, None)).status_code == 401

    asyncio.run(story())


def test_head_of_a_stream_does_not_stream(tmp_path: Path) -> None:
    async def story() -> None:
        async with served(tmp_path) as here:
            assert (await here.call("HEAD", "/api/v1/events/stream?topics=runs", Role.VIEWER)).status_code == 405

    asyncio.run(story())


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PATCH", "/api/v1/runs/x", "DELETE, GET"),
        ("PUT", "/api/v1/users", "GET, POST"),
        ("GET", "/api/v1/login", "POST"),
        ("DELETE", "/health", "GET"),
    ],
)
def test_a_method_that_a_path_does_not_have_is_told_which_it_has(tmp_path: Path, method: str, path: str, allowed: str) -> None:
    async def story() -> None:
        async with served(tmp_path) as here:
            answer = await here.call(method, path)
            assert (answer.status_code, answer.headers["allow"], answer.json()["code"]) == (405, allowed, "method")

    asyncio.run(story())
