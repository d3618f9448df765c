"""What is said and not kept: who listens hears it, nobody else. Subjects are `Names.signal`s, bodies are JSON."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from provisioning.adapters.nats.connect import Cluster
from provisioning.adapters.nats.wire import Message
from provisioning.codec import CodecError, encode, parse
from provisioning.errors import StoreError

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription

Handler = Callable[[Any], Awaitable[object]]
"""Takes what was said; what it returns, unless that is None or empty, is the answer."""


class Saying:
    """Says and hears. A handler stays over lost connections, until `close`."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._heard: dict[str, tuple[Client, Subscription]] = {}

    async def hear(self, what: str, handler: Handler) -> None:
        """Have `handler` called with whatever is said of `what`. Costs nothing when that is so already."""
        client = await self._cluster.client()
        there = self._heard.get(what)
        if there is not None and there[0] is client:
            return

        async def take(message: Msg) -> None:
            with contextlib.suppress(CodecError, StoreError):  # nobody of us said that, or the link is gone again
                answer = await handler(parse(message.data))
                if answer and message.reply:
                    await self._cluster.send(Message(subject=message.reply, body=encode(answer)))

        subscription = await client.subscribe(self._cluster.names.signal(what), cb=take)
        self._heard[what] = (client, subscription)

    async def say(self, what: str, said: object) -> None:
        """Say it to whoever listens now. Without a connection nobody does."""
        with contextlib.suppress(StoreError):
            await self._cluster.send(Message(subject=self._cluster.names.signal(what), body=encode(said)))

    async def ask(self, what: str, said: object, within_s: float, enough: Callable[[list[Any]], bool]) -> list[Any]:
        """Ask everybody; return the answers that came within the time, or once they are `enough`. Raises StoreError."""
        client = await self._cluster.client()
        answers: list[Any] = []
        done = asyncio.Event()

        async def take(message: Msg) -> None:
            if message.headers and message.headers.get("Status") == "503":  # nobody listens at all
                done.set()
                return
            with contextlib.suppress(CodecError):
                answers.append(parse(message.data))
            if enough(answers):
                done.set()

        inbox = client.new_inbox()
        subscription = await client.subscribe(inbox, cb=take)
        try:
            await self._cluster.send(Message(subject=self._cluster.names.signal(what), body=encode(said)), reply=inbox)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await done.wait()
        finally:
            with contextlib.suppress(Exception):
                await subscription.unsubscribe()
        return answers

    async def close(self) -> None:
        """Hear nothing any more."""
        heard, self._heard = self._heard, {}
        for client, subscription in heard.values():
            if not client.is_closed:
                with contextlib.suppress(Exception):
                    await subscription.unsubscribe()
