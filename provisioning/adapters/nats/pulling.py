"""Asks the server for dispatches: one durable consumer for each target, shared by all workers that serve it.

What is asked for and has not come is never more than what the worker has room for, all its targets together: what came beside
that would wait here while another worker idles. Targets that brought something last time get most of the room.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from provisioning.adapters.nats.connect import Cluster
from provisioning.adapters.nats.wire import Message
from provisioning.errors import StoreError

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription

SECOND_NS = 1_000_000_000
EXPIRES_S, IN_TURN_S = 2.0, 0.2
LATE_S = 1.0  # after which an answer that is due will not come any more
SEARCH_S = 2.0
GONE = frozenset({"409", "503"})  # no such consumer any more, or nobody answers


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """A dispatch as it came."""

    subject: str
    body: bytes
    headers: Mapping[str, str]
    reply: str
    seq: int  # of the stream
    deliveries: int  # 1 when nobody was sent it before
    old: bool  # it was there before its consumer: nobody can say any more to whom it was sent
    unsure: bool  # it was there before its server: to whom it was sent, and `deliveries`, may be forgotten
    early: bool  # it was there before we came, who do not know since when there is this server: that may be so, too


@dataclass(slots=True)
class _Asked:
    """A request for messages that has not been answered in full. There is one at a time, or nobody could count."""

    inbox: str
    left: int
    until_s: float


@dataclass(slots=True)
class _Source:
    """A consumer, what it has brought, and what was asked of it."""

    durable: str
    ready: deque[Delivered] = field(default_factory=deque)
    asked: _Asked | None = None
    lively: bool = False
    number: int = 0  # of what was asked of it last
    since_ns: int = 0  # when it was made, by the server's clock
    made: bool = False

    @property
    def outstanding(self) -> int:
        """How many may still come."""
        return self.asked.left if self.asked is not None else 0


class Pulls:
    """Dispatches to any number of targets. `welcome` says whether one that comes is still ours to take."""

    def __init__(
        self, cluster: Cluster, lease_s: float, welcome: Callable[[], bool], unwanted: Callable[[Sequence[Delivered]], None]
    ) -> None:
        """`unwanted` is given what comes after `refuse`."""
        self._cluster, self._lease_s, self._welcome, self._unwanted = cluster, lease_s, welcome, unwanted
        self._sources: dict[str, _Source] = {}
        self._more = asyncio.Event()
        self._client: Client | None = None
        self._subscription: Subscription | None = None  # None while nothing is wanted
        self._leaving: set[asyncio.Task[None]] = set()
        self._inbox = ""
        self._numbers = itertools.count(1)
        self._reconnected_s = float("-inf")
        self._searched_s = float("-inf")
        self._server, self._server_since_ns, self._joined_ns = "", 0, 0

    async def ensure(self, target: str) -> str:
        """See to it that there is a consumer for a target; return its name."""
        durable = self._cluster.names.durable(target)
        source = self._sources.setdefault(durable, _Source(durable=durable))
        if not source.made:
            info = await self._make(durable, self._cluster.names.tasks(target))
            source.made, source.since_ns = True, _nanoseconds(str(info["created"]))
        return durable

    async def everything(self, but: str, *, own: str) -> list[str]:
        """Return all consumers, but those whose names begin with `but` and are not `own`; looked up now and then."""
        now_s = time.monotonic()
        if now_s - self._searched_s > SEARCH_S:
            self._searched_s = now_s
            for durable in await self._search():
                self._sources.setdefault(durable, _Source(durable=durable)).made = True
        return [name for name in self._sources if not name.startswith(but) or name == own]

    async def take(self, durables: Sequence[str], most: int) -> list[Delivered]:
        """Return what has come of these, at most `most`; ask for more where nothing has, and wait for it for a moment."""
        await self._connect()
        if found := self._ready(durables, most):
            return found
        await self._ask(durables, most)
        self._more.clear()
        try:
            async with asyncio.timeout(IN_TURN_S if most < len(durables) else LATE_S):
                await self._more.wait()
        except TimeoutError:
            return []
        return self._ready(durables, most)

    def reconnected(self, within_s: float) -> bool:
        """Whether the connection was lost and is back since so long: others may still be without theirs."""
        return time.monotonic() - self._reconnected_s < within_s

    def wake(self) -> None:
        """Have whoever waits look again: there is more room."""
        self._more.set()

    def refuse(self) -> None:
        """Want nothing, until the next `take`: what has come and nobody has taken is unwanted, and what still comes."""
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            leaving = asyncio.create_task(_left(subscription))
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)
        self._forget_asked()
        if rest := self._left_over():
            self._unwanted(rest)

    async def close(self) -> None:
        """Wait until the server sends nothing more."""
        self.refuse()
        await asyncio.gather(*self._leaving, return_exceptions=True)

    def _left_over(self) -> list[Delivered]:
        """Return, once, what has come and nobody has taken."""
        rest = [delivered for source in self._sources.values() for delivered in source.ready]
        for source in self._sources.values():
            source.ready.clear()
        return rest

    # ------------------------------------------------------------ consumers

    async def _make(self, durable: str, subject: str) -> dict[str, Any]:
        stream = self._cluster.names.work
        config = {
            "durable_name": durable,
            "name": durable,
            "filter_subject": subject,
            "deliver_policy": "all",
            "ack_policy": "explicit",
            "ack_wait": int(self._lease_s * SECOND_NS),
            "max_deliver": -1,
            "max_ack_pending": -1,
            "max_waiting": 4096,
        }
        try:
            asked = {"stream_name": stream, "config": config}
            return await self._cluster.ask(f"CONSUMER.CREATE.{stream}.{durable}.{subject}", asked)
        except StoreError:  # it is there, perhaps, and we may not make one
            return await self._cluster.ask(f"CONSUMER.INFO.{stream}.{durable}")

    async def _search(self) -> list[str]:
        found: list[str] = []
        while True:
            page = await self._cluster.ask(f"CONSUMER.NAMES.{self._cluster.names.work}", {"offset": len(found)})
            names = page.get("consumers") or []
            found += names
            if not names or len(found) >= page.get("total", 0):
                prefix = self._cluster.names.durable("").removesuffix("=_")
                return [name for name in found if name.startswith(prefix)]

    # ------------------------------------------------------------ asking

    async def _connect(self) -> None:
        client = await self._cluster.client()
        await self._meet(str(getattr(client, "_server_info", {}).get("server_id", "")))
        if client is self._client and self._subscription is not None:
            return
        self._forget_asked()
        self._client, self._inbox, self._more = client, client.new_inbox(), asyncio.Event()
        self._cluster.reconnected.add(self._came_back)
        self._subscription = await client.subscribe(f"{self._inbox}.*", cb=self._take)

    async def _meet(self, server: str) -> None:
        """Note since when we know this server process: what one knows of deliveries is not on its disk at once."""
        if server == self._server:
            return
        info = await self._cluster.ask(f"STREAM.INFO.{self._cluster.names.work}")
        if self._server:
            self._server_since_ns = _nanoseconds(str(info["ts"]))
        else:
            self._joined_ns = _nanoseconds(str(info["ts"]))
        self._server = server

    def _came_back(self) -> None:
        self._reconnected_s = time.monotonic()
        self._forget_asked()
        self._more.set()

    def _forget_asked(self) -> None:
        for source in self._sources.values():  # as the server has
            source.asked = None

    async def _ask(self, durables: Sequence[str], most: int) -> None:
        now_s = time.monotonic()
        sources = [self._sources[durable] for durable in durables]
        for source in sources:
            if source.asked is not None and source.asked.until_s < now_s:
                source.asked = None
        room = most - sum(source.outstanding for source in sources)
        quiet = sorted((source for source in sources if not source.outstanding), key=lambda source: source.number)
        busy = any(source.lively for source in sources)
        short = room < len(quiet)
        for left, source in zip(range(len(quiet) - 1, -1, -1), quiet, strict=True):
            if room <= 0:
                return
            batch = max(1, room - left) if source.lively or len(sources) == 1 else 1
            room -= batch
            await self._pull(source, batch, (IN_TURN_S if source.lively or not busy else 0) if short else EXPIRES_S)

    async def _pull(self, source: _Source, batch: int, expires_s: float) -> None:
        """Ask for so many messages; without a time, for those only that are there."""
        source.number = next(self._numbers)
        inbox = f"{self._inbox}.{source.number}"
        source.asked = _Asked(inbox=inbox, left=batch, until_s=time.monotonic() + expires_s + LATE_S)
        how = {"expires": int(expires_s * SECOND_NS)} if expires_s else {"no_wait": True}
        body = json.dumps({"batch": batch, **how}).encode()
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._cluster.names.work}.{source.durable}"
        await self._cluster.send(Message(subject=subject, body=body), reply=inbox)

    def _ready(self, durables: Sequence[str], most: int) -> list[Delivered]:
        found: list[Delivered] = []
        for durable in durables:
            ready = self._sources[durable].ready
            while ready and len(found) < most:
                found.append(ready.popleft())
        return found

    async def _take(self, message: Msg) -> None:
        headers = message.headers or {}
        status = headers.get("Status")
        if status is not None:
            self._close(message.subject, status)
            return
        parts = message.reply.split(".")  # see `reading`; with a domain there are three more
        at = 3 if len(parts) == 9 else 5
        source = self._sources.get(parts[at])
        if source is None or not self._welcome():
            return
        delivered = Delivered(
            subject=message.subject,
            body=message.data,
            headers=headers,
            reply=message.reply,
            seq=int(parts[at + 2]),
            deliveries=int(parts[at + 1]),
            old=int(parts[at + 4]) < source.since_ns,
            unsure=int(parts[at + 4]) < self._server_since_ns,
            early=int(parts[at + 4]) < self._joined_ns,
        )
        if self._subscription is None:
            self._unwanted([delivered])
            return
        source.lively = True
        if source.asked is not None:
            source.asked.left -= 1
            source.asked = source.asked if source.asked.left else None
        source.ready.append(delivered)
        self._more.set()

    def _close(self, inbox: str, status: str) -> None:
        for source in self._sources.values():
            if source.asked is not None and source.asked.inbox == inbox:
                source.asked = None
                source.lively = False
                source.made = source.made and status not in GONE
                self._more.set()


async def _left(subscription: Subscription) -> None:
    """Have the server send nothing more, and take what was on its way."""
    with contextlib.suppress(Exception):  # the link is gone: the server knows by that
        async with asyncio.timeout(LATE_S):
            await subscription.drain()  # type: ignore[no-untyped-call]


def _nanoseconds(time: str) -> int:
    """Return a time of the server's, such as `2026-01-01T00:00:00.123456789Z`, as its messages have it."""
    whole, _, fraction = time.removesuffix("Z").partition(".")
    return int(datetime.fromisoformat(f"{whole}+00:00").timestamp()) * SECOND_NS + int(fraction.ljust(9, "0") or 0)
