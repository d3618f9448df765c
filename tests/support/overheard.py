"""All that a server says: every answer that it gives, and a stream from its beginning, kept as they came."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import quote

from support.canaries import hits
from support.outside import Answer, Outside

from provisioning.core.access import Role


@dataclass(slots=True, kw_only=True)
class Overheard:
    """Ask a server through this. `said` is what it was asked, and what it said."""

    server: Outside
    said: list[tuple[str, bytes]] = field(default_factory=list)

    def __call__(self, method: str, path: str, role: Role | None = Role.ADMIN, body: object = None, **headers: str) -> Answer:
        answer = self.server.ask(method, f"/api/v1{path}", role, body, **headers)
        assert answer.status < 500, (method, path, answer.body)
        told = b"\n".join([answer.body, *(value.encode() for value in answer.headers.values())])
        self.said.append((f"{method} {path}", told))
        return answer

    def all_of(self, run: str, steps: Iterable[str]) -> None:
        """Ask for everything that there is about a run, whoever may see it."""
        parts = ["", "/steps", "/events?limit=1000", "/graph", "/log", "/attempts"]
        logs = [f"/steps/{quote(step, safe='')}/log{stream}" for step in steps for stream in ("", "?stream=stderr")]
        for part in (*parts, *logs):
            self("GET", f"/runs/{run}{part}", Role.VIEWER)

    def everything_else(self, *paths: str) -> None:
        """Ask for all lists, and for these."""
        lists = ["/audit", "/users", "/tokens", "/me", "/status", "/setup", "/runs", "/dags", "/dead-letters", "/schedules"]
        for path in (*lists, "/schedules/next", "/schedules/backfills", "/workspaces", *paths):
            self("GET", path)
        self.said += [(path, self.server.ask("GET", path).body) for path in ("/metrics", "/health")]

    @contextmanager
    def stream(self, topics: Sequence[str]) -> Iterator[None]:
        """Listen to a stream for as long as the block takes."""
        told, query = bytearray(), quote(",".join(topics), safe="")
        with self.server.raw() as connection:
            head = f"GET /api/v1/events/stream?topics={query} HTTP/1.1\r\nHost: 127.0.0.1:{self.server.port}\r\n"
            connection.sendall(f"{head}Authorization: Bearer {self.server.tokens[Role.VIEWER]}\r\n\r\n".encode())
            listening = threading.Thread(target=_listen, args=(connection, told))
            listening.start()
            try:
                yield
            finally:
                connection.shutdown(socket.SHUT_RDWR)
                listening.join()
        assert told.startswith(b"HTTP/1.1 200"), bytes(told[:300])
        self.said.append((f"stream of {len(topics)} topics", bytes(told)))

    def with_secrets(self, secrets: Mapping[str, str]) -> list[str]:
        """Return which answers hold a secret, and its name."""
        return [f"{asked}: {name}" for asked, told in self.said for name in hits(told, secrets)]

    @property
    def origin(self) -> str:
        """Where its pages are."""
        return f"http://127.0.0.1:{self.server.port}"

    @property
    def size_bytes(self) -> int:
        """How much it has said."""
        return sum(len(told) for _asked, told in self.said)


def _listen(connection: socket.socket, told: bytearray) -> None:
    with suppress(OSError):
        while data := connection.recv(65536):
            told.extend(data)
