"""The action `http` in a web that a test writes, answer by answer."""

from __future__ import annotations

from typing import Any

from support.acting import Heard, task_of

from provisioning.adapters.memory.fetch import FakeFetch
from provisioning.core.outside import Fetched
from provisioning.engine.actions import Result
from provisioning.engine.actions.http import HttpAction

URL = "https://a.example/x"
NAMES = {"a.example": ["8.8.8.8", "2606:4700::1"], "b.example": ["9.9.9.9"], "inner.example": ["8.8.8.8", "10.0.0.5"]}
SECRET = "hunter2-hunter2"


def answer(status: int = 200, body: bytes = b"", kind: str = "answer", **headers: str) -> Fetched:
    pairs = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Fetched(kind=kind, status=status, reason={200: "OK", 404: "Not Found"}.get(status, ""), headers=pairs, body=body)


def web_of(*answers: Fetched | None, method: str = "GET", url: str = URL, proxy: str = "") -> FakeFetch:
    web = FakeFetch(dict(NAMES), proxy=proxy)
    web.on(method, url, *answers)
    return web


async def ask(web: FakeFetch, context: Heard | None = None, args: object = None, **settings: Any) -> Result:
    return await HttpAction(web).run(task_of("http", args=args, **{"url": URL, **settings}), context or Heard())
