"""What happens, for many who look: one look at the journal and the logs serves all of them.

Everybody has a position in each topic and is brought from there to where the topic is now. So nobody misses anything, a stream
that was cut off goes on where it was, and one who is slow costs no memory: it is not brought further until it has taken what
it has.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from provisioning.core.events import Event
from provisioning.core.ports import Clock
from provisioning.operations.hosting.looking import Look, Looker
from provisioning.operations.hosting.topics import Topic

LOOK_S = 0.25
PAUSE_S = 0.03  # between two looks, however much happens
ROOM, ROOM_TEXT = 500, 256 * 1024  # messages, and characters of logs, that may wait for one client
CLIENTS_MOST = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One thing that happened. `positions` are those of all topics of the client after it."""

    topic: Topic
    kind: str  # event | log | changed | dropped
    positions: tuple[int, ...]
    event: Event | None = None
    text: str = ""
    attempt: int = 0
    at: int = 0  # byte where a text begins
    over: bool = False  # a log that is complete


@dataclass(slots=True, kw_only=True, eq=False)
class Client:
    """One who looks."""

    topics: tuple[Topic, ...]
    positions: list[int]
    waiting: deque[Message] = field(default_factory=deque)
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    waiting_text: int = 0
    over: str = ""  # why nothing comes any more

    @property
    def has_room(self) -> bool:
        """Whether more may be brought: one that takes nothing costs no more memory than that."""
        return len(self.waiting) < ROOM and self.waiting_text < ROOM_TEXT

    def take(self) -> list[Message]:
        """Return what waits."""
        taken = list(self.waiting)
        self.waiting.clear()
        self.waiting_text = 0
        return taken

    def put(self, index: int, position: int, kind: str, **more: object) -> None:
        """Add a message about a topic and remember how far that is."""
        self.positions[index] = position
        message = Message(topic=self.topics[index], kind=kind, positions=tuple(self.positions), **more)  # type: ignore[arg-type]
        self.waiting.append(message)
        self.waiting_text += len(message.text)
        self.woken.set()

    def end(self, reason: str) -> None:
        """Let nothing more come."""
        self.over = self.over or reason
        self.woken.set()


class Feeds:
    """Serves the clients of one server, in its event loop."""

    def __init__(self, looker: Looker, clock: Clock) -> None:
        self._looker, self._clock = looker, clock
        self._clients: set[Client] = set()
        self._nudged = asyncio.Event()

    @property
    def clients(self) -> int:
        """How many look."""
        return len(self._clients)

    def nudge(self) -> None:
        """Say that something has happened: do not wait for the next look."""
        if self._clients:
            self._nudged.set()

    async def check(self, topics: Iterable[Topic]) -> None:
        """Raise NotFoundError for a topic about a run or step that is not there, UsageError when too many look."""
        await asyncio.to_thread(self._looker.check, tuple(topics), len(self._clients) >= CLIENTS_MOST)

    def end(self, reason: str) -> None:
        """End all streams."""
        for client in self._clients:
            client.end(reason)

    @asynccontextmanager
    async def follow(self, topics: Sequence[Topic], positions: Sequence[int]) -> AsyncIterator[Client]:
        """Give what happens from these positions on to a client, as long as it stays."""
        client = Client(topics=tuple(topics), positions=list(positions))
        self._clients.add(client)
        self._nudged.set()
        try:
            yield client
        finally:
            self._clients.discard(client)

    async def serve(self) -> None:
        """Look again and again until cancelled; then end all streams."""
        try:
            while True:
                await self._rest()
                if self._clients:
                    await self._turn()
                await self._clock.sleep(PAUSE_S)
        finally:
            self.end("the server stops")

    async def _rest(self) -> None:
        """Wait until somebody comes or something happens; while somebody looks, not for long."""
        try:
            async with asyncio.timeout(LOOK_S if self._clients else None):
                await self._nudged.wait()
        except TimeoutError:
            return
        finally:
            self._nudged.clear()

    async def _turn(self) -> None:
        ready = [client for client in self._clients if client.has_room and not client.over]
        wanted = {(topic, client.positions[index]) for client in ready for index, topic in enumerate(client.topics)}
        looks = await asyncio.to_thread(self._looker.look, wanted)
        for client in ready:
            if client in self._clients:
                _bring(client, looks)


def _bring(client: Client, looks: dict[tuple[Topic, int], Look]) -> None:
    """Bring a client to where its topics are now."""
    for index, topic in enumerate(client.topics):
        look = looks.get((topic, client.positions[index]))
        if look is None:
            continue
        for event in look.events:
            client.put(index, event.seq, "event", event=event)
        if look.text or look.ended:
            client.put(index, look.position, "log", text=look.text, attempt=look.attempt, at=look.at, over=look.ended)
        elif look.changed:
            client.put(index, look.position, "changed")
        elif look.gone:
            client.end(f"{topic} is gone")
