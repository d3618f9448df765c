"""Several messages that are stored as a whole or not at all.

A server keeps the messages of a batch in files of their own until the last one: some ten syncs, 3 to 20 ms however short the
batch is, where a single message costs one. So short commits are single messages (see `journal`), long ones are batches.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import replace

from provisioning.adapters.nats.connect import Cluster
from provisioning.adapters.nats.wire import Message, Refused

LARGEST = 900  # messages; a server refuses more than 1,000
AT_ONCE = 16  # open batches of ours; a server refuses more than 50 of a stream
TOO_MANY_OPEN = {10210, 10211}
AGAIN_S = 0.02


class Batches:
    """Publishes atomic batches to one stream."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._room = asyncio.Semaphore(AT_ONCE)

    async def publish(self, messages: Sequence[Message], timeout_s: float | None = None) -> int:
        """Store at most LARGEST messages; return the sequence of the last. Only that one is waited for. Raises Refused."""
        if len(messages) == 1:
            return await self._cluster.publish(messages[0], timeout_s)
        async with self._room:
            while True:
                try:
                    return await self._once(messages, timeout_s)
                except Refused as error:
                    if error.number not in TOO_MANY_OPEN:
                        raise
                await asyncio.sleep(AGAIN_S)  # others have them open: they are short

    async def _once(self, messages: Sequence[Message], timeout_s: float | None) -> int:
        batch = uuid.uuid4().hex
        *others, last = (_numbered(message, batch, number) for number, message in enumerate(messages, start=1))
        for message in others:
            await self._cluster.send(message)
        return await self._cluster.publish(replace(last, headers={**last.headers, "Nats-Batch-Commit": "1"}), timeout_s)


def _numbered(message: Message, batch: str, number: int) -> Message:
    headers = {**message.headers, "Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(number)}
    return Message(subject=message.subject, body=message.body, headers=headers)
