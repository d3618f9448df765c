"""What this process has of tasks: kept by a sign of life to the server, and told to whoever asks who has them.

A lease is the consumer's wait for an acknowledgement. Every third of it, all that is held is prolonged. A message that comes a
second time belongs to a worker that is gone, unless somebody answers that he has it: a server that was restarted, for example,
sends again what live workers have. And an answer can get lost: what comes again to who has answered for it is answered again.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable, Iterator
from typing import Any

from provisioning.adapters.nats.connect import Cluster
from provisioning.adapters.nats.saying import Saying
from provisioning.adapters.nats.wire import Message
from provisioning.core.ports import Task
from provisioning.errors import StoreError

Key = tuple[str, str, int, int]  # run, step, attempt, epoch
LEASE_S = 10.0
ANSWER_S, ASKED = 0.6, 2
"""In this time a worker that lives answers; one that is just making its connection anew hears the second question."""
REMEMBERED = 10_000  # tasks that were answered for
PROLONG, DONE, BACK = b"+WPI", b"+ACK", b"-NAK"
WHO, ALL = "who", "*"
TOLD = 2000  # tasks that were answered for, in an answer to ALL: it has to fit into a message


def key_of(task: Task) -> Key:
    """Return what a dispatch is known by."""
    return (task.run, task.step, task.attempt, task.epoch)


class Holds:
    """The messages that this process has, by what they dispatch."""

    def __init__(self, cluster: Cluster, saying: Saying, lease_s: float) -> None:
        self._cluster, self._saying, self._lease_s = cluster, saying, lease_s
        self._held: dict[Key, str] = {}  # where to answer
        self._kept: set[str] = set()  # where to answer for what is only kept from others for now
        self._over: dict[Key, None] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self._beating: asyncio.Task[None] | None = None
        self._awake_s = time.monotonic()

    async def start(self) -> None:
        """Begin to give signs of life, and to answer. Costs nothing when that is so already."""
        await self._saying.hear(WHO, self._answer)
        beating = self._beating
        if beating is None or beating.done() or beating.get_loop() is not asyncio.get_running_loop():
            self._awake_s = time.monotonic()
            self._beating = asyncio.create_task(self._beat())

    async def close(self) -> None:
        """Stop giving signs of life."""
        beating, self._beating = self._beating, None
        if beating is not None and beating.get_loop() is asyncio.get_running_loop():
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)

    def frozen(self) -> bool:
        """Whether this process has just stood still for so long that others have taken over what it was sent."""
        return time.monotonic() - self._awake_s > self._lease_s / 2

    def has(self, key: Key) -> bool:
        """Whether we have it, or had it and have answered for it."""
        return key in self._held or key in self._over

    def hold(self, key: Key, reply: str) -> None:
        """Keep it alive from now on; answer again for what is over."""
        if key not in self._over:
            self._held[key] = reply
            return
        answering = asyncio.create_task(self._tell(reply, DONE))
        self._answering.add(answering)
        answering.add_done_callback(self._answering.discard)

    @contextlib.contextmanager
    def kept(self, replies: Iterable[str]) -> Iterator[None]:
        """Keep messages from being sent to others meanwhile; nobody is told that we have them."""
        mine = set(replies)
        self._kept |= mine
        try:
            yield
        finally:
            self._kept -= mine

    async def prolong(self, key: Key) -> None:
        """Give a sign of life now."""
        if key in self._held:
            await self._tell(self._held[key], PROLONG)

    async def let_go(self, key: Key, how: bytes = DONE) -> None:
        """Answer for good."""
        reply = self._held.pop(key, "")
        if reply and how == DONE:
            self._over[key] = None
            if len(self._over) > REMEMBERED:
                del self._over[next(iter(self._over))]
        if reply:
            await self._tell(reply, how)

    def forget(self, key: Key) -> None:
        """Leave it to others, without an answer."""
        self._held.pop(key, None)

    async def held_anywhere(self, keys: Iterable[Key]) -> set[Key]:
        """Return those that a process which lives has, or has answered for. Raises StoreError when that cannot be asked."""
        wanted = set(keys)
        found = {key for key in wanted if self.has(key)}
        for _ in range(ASKED):
            if missing := wanted - found:
                found |= await self._ask(missing)
        return found

    async def all_held(self) -> set[Key]:
        """Return whatever processes which live have, or have lately answered for. Raises StoreError."""
        found: set[Key] = set()
        for _ in range(ASKED):
            found |= _keys(await self._saying.ask(WHO, ALL, ANSWER_S, lambda _answers: False))
        return found

    # ------------------------------------------------------------ parts

    async def _ask(self, missing: set[Key]) -> set[Key]:
        """Ask once; return those that somebody has."""
        began_s = time.monotonic()
        answers = await self._saying.ask(WHO, sorted(missing), ANSWER_S, lambda answers: _keys(answers) >= missing)
        found = _keys(answers) & missing
        if found != missing:  # where nobody listens at all, that is known at once
            await asyncio.sleep(max(0.0, began_s + ANSWER_S - time.monotonic()))
        return found

    async def _answer(self, asked: Any) -> list[Key]:  # noqa: ANN401 - what somebody said
        if asked == ALL:
            return [*self._held, *list(self._over)[-TOLD:]]
        return [key for key in _keys([asked]) if self.has(key)]

    async def _beat(self) -> None:
        prolonged_s = time.monotonic()
        while True:
            self._awake_s = time.monotonic()
            if self._awake_s - prolonged_s >= self._lease_s / 3:
                prolonged_s = self._awake_s
                for reply in [*self._held.values(), *self._kept]:
                    await self._tell(reply, PROLONG)
            await asyncio.sleep(self._lease_s / 12)

    async def _tell(self, reply: str, how: bytes) -> None:
        with contextlib.suppress(StoreError):  # the link is lost: what is not prolonged in time is asked for
            await self._cluster.send(Message(subject=reply, body=how))


def _keys(answers: Iterable[Any]) -> set[Key]:
    return {(str(run), str(step), int(attempt), int(epoch)) for answer in answers for run, step, attempt, epoch in answer}
