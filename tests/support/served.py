"""A server in the test's own process: its engine at work, its API called without a socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from provisioning import wiring
from provisioning.adapters.passwords import Argon2Passwords
from provisioning.api.app import make_app
from provisioning.api.gate import Gate
from provisioning.core.access import Role
from provisioning.errors import ExistsError
from provisioning.operations.dagu.places import Places
from provisioning.operations.hosting.host import Host, hosted
from provisioning.operations.people import People
from provisioning.settings import Settings

BASE = "http://127.0.0.1:8090"
PASSWORD = "correct horse battery"
SLOW_S = 60.0  # nothing takes that long


def quick_passwords() -> Argon2Passwords:
    return Argon2Passwords(passes=1, memory_kib=64)


def places_of(folder: Path) -> Places:
    (folder / "dags").mkdir(parents=True, exist_ok=True)
    return Places(dags=folder / "dags", named=True, base=None, suspended=folder / "suspend", data=folder / "data")


@dataclass(slots=True, kw_only=True)
class Served:
    """`call` as a role with its token, or as nobody."""

    folder: Path
    host: Host
    people: People
    app: Gate
    client: httpx.AsyncClient
    tokens: dict[Role, str] = field(default_factory=dict)

    def dag(self, name: str, text: str) -> None:
        (self.folder / "dags" / f"{name}.yaml").write_text(text, "utf-8")

    def token(self, role: Role) -> str:
        if role not in self.tokens:
            with suppress(ExistsError):  # an earlier server over this folder has made it
                self.people.add_user(role.value, PASSWORD, role)
            self.tokens[role] = self.people.add_token(role.value, role)[1]
        return self.tokens[role]

    async def call(
        self, method: str, path: str, role: Role | None = Role.ADMIN, *, body: object = None, **headers: str
    ) -> httpx.Response:
        said = {name.replace("_", "-"): value for name, value in headers.items()}
        if role is not None:
            said["authorization"] = f"Bearer {self.token(role)}"
        return await self.client.request(method, path, json=body, headers=said)

    async def get(self, path: str, role: Role | None = Role.ADMIN, **headers: str) -> Any:
        answer = await self.call("GET", f"/api/v1{path}", role, **headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, body: object = None, role: Role | None = Role.ADMIN) -> httpx.Response:
        return await self.call("POST", f"/api/v1{path}", role, body=body)

    async def started(self, name: str, **params: str) -> str:
        answer = await self.post(f"/dags/{name}/runs", {"params": params})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["run_id"])

    async def until(self, run: str, *words: str) -> dict[str, Any]:
        """Wait until a run has one of these statuses, or has ended, and return it."""

        async def look() -> dict[str, Any] | None:
            found: dict[str, Any] = await self.get(f"/runs/{run}")
            return found if found["status"] in words or (not words and found["ended"]) else None

        found: dict[str, Any] = await eventually(look)
        return found

    def stream(self, topics: str, *, position: str = "", role: Role = Role.VIEWER) -> Stream:
        return Stream(self, topics, position, self.token(role))


class Stream:
    """One SSE connection, as ASGI has it. Nothing is taken from it but by `next`."""

    def __init__(self, served: Served, topics: str, position: str, token: str) -> None:
        headers = [(b"host", b"127.0.0.1:8090"), (b"authorization", f"Bearer {token}".encode())]
        if position:
            headers.append((b"last-event-id", position.encode()))
        self._scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": "/api/v1/events/stream",
            "raw_path": b"/api/v1/events/stream",
            "root_path": "",
            "query_string": str(httpx.QueryParams({"topics": topics})).encode(),
            "headers": headers,
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8090),
        }
        self._app = served.app
        self.status = 0
        self.may_send = asyncio.Event()
        self.may_send.set()
        self._parts: asyncio.Queue[bytes] = asyncio.Queue()
        self._gone = asyncio.Event()
        self._rest = b""
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Stream:
        async def receive() -> dict[str, Any]:
            if not getattr(self, "_asked", False):
                self._asked = True
                return {"type": "http.request", "body": b"", "more_body": False}
            await self._gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                self.status = message["status"]
                return
            await self.may_send.wait()
            self._parts.put_nowait(message.get("body", b""))

        self._task = asyncio.create_task(self._app(self._scope, receive, send))
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._gone.set()
        assert self._task is not None
        await asyncio.wait_for(self._task, SLOW_S)

    @property
    def over(self) -> bool:
        return self._task is not None and self._task.done() and self._parts.empty()

    async def next(self) -> tuple[str, str, Any]:
        """Return (id, event, data) of the next message."""
        while True:
            while b"\n\n" not in self._rest:
                self._rest += await asyncio.wait_for(self._parts.get(), SLOW_S)
            block, _, self._rest = self._rest.partition(b"\n\n")
            fields = dict(
                line.split(": ", 1) for line in block.decode().splitlines() if not line.startswith(":") and ": " in line
            )
            if "data" in fields:
                return fields.get("id", ""), fields.get("event", ""), json.loads(fields["data"])

    async def events(self, until: str = "run_finished") -> list[tuple[str, Any]]:
        """Return (id, event) of the records of a run up to one of a kind."""
        found: list[tuple[str, Any]] = []
        while not found or found[-1][1]["kind"] != until:
            id, kind, data = await self.next()
            if kind == "event":
                found.append((id, data["event"]))
        return found


async def eventually(look: Callable[[], Any]) -> Any:
    """Return what `look` returns once it returns something."""
    async with asyncio.timeout(SLOW_S):
        while not (found := await look()):  # noqa: ASYNC110 -- nobody tells when it holds
            await asyncio.sleep(0.02)
        return found


@asynccontextmanager
async def served(
    folder: Path, dags: Mapping[str, str] | None = None, *, authentication: bool = True, scheduler: bool = False
) -> AsyncIterator[Served]:
    """Have a server over a folder of DAG files."""
    places = places_of(folder)
    for name, text in (dags or {}).items():
        (places.dags / f"{name}.yaml").write_text(text, "utf-8")
    people = People(wiring.people_store(places.data), quick_passwords(), wiring.clock().now)
    async with hosted(places, Settings(), scheduler=scheduler) as host:
        app = make_app(host, people, authentication=authentication)
        transport = httpx.ASGITransport(app=app, client=("127.0.0.1", 4711))
        async with httpx.AsyncClient(transport=transport, base_url=BASE, timeout=SLOW_S) as client:
            try:
                yield Served(folder=folder, host=host, people=people, app=app, client=client)
            finally:
                people.close()
                assert host.failure is None, host.failure
