"""A server as a process of its own, asked over real sockets as other programs and browsers ask it."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.dagengine import LONG_S, Engine
from support.nursery import Forked
from support.served import PASSWORD, quick_passwords

from provisioning import wiring
from provisioning.core.access import Role
from provisioning.operations.people import People


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back; names of headers in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """Where it is. `tokens` has one for each role."""

    port: int
    pid: int
    tokens: Mapping[Role, str]
    trusted: ssl.SSLContext | None = None  # for TLS

    def ask(self, method: str, path: str, role: Role | None = Role.ADMIN, body: object = None, **headers: str) -> Answer:
        """Call once, on a connection of its own."""
        said = {name.replace("_", "-"): value for name, value in headers.items()}
        if role is not None:
            said["Authorization"] = f"Bearer {self.tokens[role]}"
        data = None
        if body is not None:
            data, said["Content-Type"] = json.dumps(body).encode(), "application/json"
        connection = self._connection()
        try:
            connection.request(method, path, body=data, headers=said)
            got = connection.getresponse()
            return Answer(status=got.status, headers={name.lower(): value for name, value in got.getheaders()}, body=got.read())
        finally:
            connection.close()

    def started(self, dag: str) -> str:
        """Start a run; return its id."""
        answer = self.ask("POST", f"/api/v1/dags/{dag}/runs", body={})
        assert answer.status == 202, answer.body
        return str(answer.json["run_id"])

    def until(self, holds: str, run: str) -> Any:
        """Wait until a run has a status, or any that it keeps for `ended`."""
        end_s = time.monotonic() + 4 * LONG_S
        while True:
            found = self.ask("GET", f"/api/v1/runs/{run}").json
            if found["status"] == holds or (holds == "ended" and found["ended"]):
                return found
            assert time.monotonic() < end_s, found
            time.sleep(0.05)

    def raw(self, *, receive_bytes: int = 0) -> socket.socket:
        """Return a plain connection; with a small window for received bytes if one is given."""
        made = socket.socket()
        if receive_bytes:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        made.settimeout(LONG_S)
        made.connect(("127.0.0.1", self.port))
        return made

    def memory_kib(self) -> int:
        """Return the memory that is the process's own."""
        return int(Path(f"/proc/{self.pid}/status").read_text().split("RssAnon:")[1].split()[0])

    def metric(self, name: str) -> float:
        """Return one of its metrics."""
        text = self.ask("GET", "/metrics").body.decode()
        return float(next(line.split()[1] for line in text.splitlines() if line.startswith(f"{name} ")))

    def _connection(self) -> http.client.HTTPConnection:
        if self.trusted is not None:
            return http.client.HTTPSConnection("localhost", self.port, timeout=LONG_S, context=self.trusted)
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=LONG_S)


def tokens(engine: Engine) -> dict[Role, str]:
    """Make a user of each role where there is none yet, and a token for each."""
    people = People(wiring.people_store(engine.data), quick_passwords(), wiring.clock().now)
    if people.empty():
        for role in Role:
            people.add_user(role.value, PASSWORD, role)
    found = {role: people.add_token(role.value, role)[1] for role in Role}
    people.close()
    return found


@contextmanager
def outside(
    engine: Engine, *words: str, port: int = 0, trusted: ssl.SSLContext | None = None, known: Mapping[Role, str] | None = None
) -> Iterator[Outside]:
    """Serve an engine's folder for as long as the block takes, and end it in order. `known` are tokens of an earlier one."""
    said = engine.folder / "server.log"
    found = dict(known) if known is not None else tokens(engine)
    with said.open("wb") as log, Forked(engine.call("server", "--port", str(port), *words), err=log.fileno()) as running:
        try:
            where = _listening(said, running)
            yield Outside(port=where, pid=running.pid, tokens=found, trusted=trusted)
        finally:
            running.send_signal(signal.SIGTERM)
            try:
                running.wait(LONG_S)
            finally:
                running.kill()


def _listening(said: Path, running: Forked) -> int:
    end_s = time.monotonic() + LONG_S
    while (match := re.search(r"listening on https?://[^\s]*:(\d+)", said.read_text())) is None:
        assert running.poll() is None, said.read_text()
        assert time.monotonic() < end_s, "it never listened"
        time.sleep(0.02)
    return int(match[1])
