"""Many who follow a server's streams over real sockets, each with what it has seen and how late that was."""

from __future__ import annotations

import asyncio
import json
import time
from bisect import bisect_left
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

AGAIN_S = 0.2  # before a connection that broke is made again


@dataclass(slots=True, kw_only=True)
class Follower:
    """One who follows. It comes again with `Last-Event-ID` whenever its stream ends."""

    port: int
    token: str
    topics: str
    position: str = ""
    seen: dict[str, list[int]] = field(default_factory=dict)  # topic -> numbers of events
    text: dict[str, str] = field(default_factory=dict)  # topic -> what a log said
    over: set[str] = field(default_factory=set)  # runs and logs that have ended
    late: list[tuple[float, float]] = field(default_factory=list)  # when an event happened, when it came
    connections: int = 0
    writer: asyncio.StreamWriter | None = None

    async def follow(self, until: int) -> None:
        """Follow until so many topics have ended."""
        while len(self.over) < until:
            with suppress(OSError, asyncio.IncompleteReadError):
                async for id, kind, data in self._messages():
                    self.position = id or self.position
                    self._take(kind, data)
                    if len(self.over) >= until:
                        break
            self.leave()
            await asyncio.sleep(AGAIN_S)

    def leave(self) -> None:
        """Break the connection off."""
        if self.writer is not None:
            self.writer.transport.abort()

    def _take(self, kind: str, data: Any) -> None:
        topic = data.get("topic", "")
        if kind == "event":
            event = data["event"]
            self.seen.setdefault(topic, []).append(event["seq"])
            self.late.append((datetime.fromisoformat(event["at"]).timestamp(), time.time()))
            if event["kind"] == "run_finished":
                self.over.add(topic)
        elif kind == "log":
            self.text[topic] = self.text.get(topic, "") + data["text"]
            if data["over"]:
                self.over.add(topic)

    async def _messages(self) -> AsyncIterator[tuple[str, str, Any]]:
        reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.connections += 1
        again = f"Last-Event-ID: {self.position}\r\n" if self.position else ""
        head = f"GET /api/v1/events/stream?topics={self.topics} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
        self.writer.write(f"{head}Authorization: Bearer {self.token}\r\n{again}\r\n".encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in answer:
            return
        rest = b""
        while (size := int(await reader.readuntil(b"\r\n"), 16)) > 0:
            rest += (await reader.readexactly(size + 2))[:-2]
            *blocks, rest = rest.split(b"\n\n")
            for block in blocks:
                fields = dict(line.split(": ", 1) for line in block.decode().splitlines() if ": " in line)
                if "data" in fields:
                    yield fields.get("id", ""), fields.get("event", ""), json.loads(fields["data"])


class Waits:
    """How long processes were ready while others had the cores: on a busy machine that is nobody's delay."""

    def __init__(self, *pids: int) -> None:
        self._pids = pids
        self._at_s: list[float] = []
        self._waited_s: list[float] = []

    async def watch(self) -> None:
        """Look again and again until cancelled."""
        while True:
            self._at_s.append(time.time())
            self._waited_s.append(sum(map(_waited_s, self._pids)))
            await asyncio.sleep(0.1)

    def unhindered_s(self, began_s: float, ended_s: float) -> float:
        """Return how long something took without that."""
        first = max(0, bisect_left(self._at_s, began_s) - 1)
        last = min(len(self._at_s) - 1, bisect_left(self._at_s, ended_s))
        waited_s = self._waited_s[last] - self._waited_s[first]
        return ended_s - began_s - min(waited_s, ended_s - began_s)


def _waited_s(pid: int) -> float:
    """Return for how long the process's first thread has waited: there the event loops are."""
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text("ascii").split()[1]) / 1e9


def quantile(numbers: Sequence[float], part: float) -> float:
    """Return the number below which that part of them is."""
    return sorted(numbers)[min(len(numbers) - 1, int(part * len(numbers)))]
