"""What follows a decision: dispatches and schedules, sent at once, and again until the server has them.

Each has a subject of its own and is refused where it is there already, so sending one twice changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence

from provisioning.adapters.nats.batch import LARGEST, Batches
from provisioning.adapters.nats.connect import Cluster
from provisioning.adapters.nats.wire import Message, Refused
from provisioning.errors import StoreError

BATCH_FROM = 24
"""So many messages are stored sooner as a batch than one by one, where the server syncs after each."""
AGAIN_S = 0.25


class Sender:
    """Sends in the order in which it is asked to."""

    def __init__(self, cluster: Cluster, batches: Batches) -> None:
        self._cluster, self._batches = cluster, batches
        self._going: set[asyncio.Task[None]] = set()

    async def send(self, messages: Sequence[Message]) -> None:
        """Send; return once they are under way."""
        for start in range(0, len(messages), LARGEST):
            self._begin(self._deliver(messages[start : start + LARGEST]))
        await asyncio.sleep(0)  # they are written before anything that is sent later

    async def settled(self) -> None:
        """Wait until the server has everything."""
        while self._going:
            await asyncio.wait(list(self._going))

    async def close(self) -> None:
        """Give up what is under way: whoever leads next sends it."""
        for task in self._going:
            task.cancel()
        await asyncio.gather(*self._going, return_exceptions=True)

    # ------------------------------------------------------------ parts

    def _begin(self, delivering: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(delivering)
        self._going.add(task)
        task.add_done_callback(self._going.discard)

    async def _deliver(self, messages: Sequence[Message]) -> None:
        if len(messages) >= BATCH_FROM:
            try:
                await self._batches.publish(messages)
            except StoreError:  # one of them is there already, or nobody can say
                pass
            else:
                return
        await asyncio.gather(*(self._one(message) for message in messages))

    async def _one(self, message: Message) -> None:
        while True:
            try:
                await self._cluster.publish(message)
            except Refused as error:
                if error.conflict:
                    return
            except StoreError:
                await self._cluster.connected(self._cluster.access.patience_s)
            else:
                return
            await asyncio.sleep(AGAIN_S)
