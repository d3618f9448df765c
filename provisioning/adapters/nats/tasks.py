"""Tasks for the workers of a cluster: a message for each dispatch, handed out under a lease, answered when its end is stored.

A worker that dies leaves its messages to others. They come a second time then, and are not simply run again: what was begun is
reported as lost, and the leader dispatches it anew with a higher epoch, so that nothing the dead worker may still say counts.
Where an action changes something elsewhere, whoever begins it first says so by compare-and-set, and nobody else does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from provisioning.adapters.nats.blobs import Blobs
from provisioning.adapters.nats.connect import Cluster
from provisioning.adapters.nats.holding import BACK, DONE, LEASE_S, Holds, Key, key_of
from provisioning.adapters.nats.messages import task_of
from provisioning.adapters.nats.pulling import Delivered, Pulls
from provisioning.adapters.nats.reporting import Reporting
from provisioning.adapters.nats.saying import Saying
from provisioning.adapters.nats.wire import Message, Refused, Stored, expected
from provisioning.core.model import WAITING_ACTIONS
from provisioning.core.ports import RETURNED, Outcome, Report, Task
from provisioning.errors import StoreError

LOG = logging.getLogger("provisioning")
AGAIN_S = 0.5
RETURN_S = 2.0  # within which a process that ends gives back what it has not begun, if a server answers
RECOVERY_LEASES = 3
"""For so many leases after a lost connection is back, whoever does not answer is asked once more a lease later."""
CANCEL = "cancel"
OWN = "w."
"""How the names of targets begin that one worker alone serves."""


class NatsTasks:
    """Fulfils the workers' half of `ports.Tasks`. `cancelled` is called with runs that are to be stopped here."""

    def __init__(self, cluster: Cluster, blobs: Blobs, saying: Saying, *, lease_s: float = LEASE_S) -> None:
        self._cluster, self._blobs, self._saying, self._lease_s = cluster, blobs, saying, lease_s
        self.holds = Holds(cluster, saying, lease_s)
        self.reporting = Reporting(cluster, blobs, saying)
        self.pulls = Pulls(cluster, lease_s, lambda: not self.holds.frozen(), self._return)
        self.cancelled: Callable[[str], object] | None = None
        self._doubts: set[asyncio.Task[None]] = set()
        self._returning: set[asyncio.Task[None]] = set()
        self._ended = 0
        self._before_us: set[Key] | None = None  # None: not asked yet
        self._me = uuid.uuid4().hex

    async def claim(
        self, worker: str, targets: Sequence[str] | None, free: int, mutates: Callable[[Task], bool] = lambda _task: False
    ) -> list[Task]:
        """Wait for tasks for these targets and return at most `free` of them, at least one. Goes on without a server.

        What is reported meanwhile makes room for more. Cancelled, it leaves what nobody has begun to others.
        """
        free -= self._ended
        try:
            return await self._claimed(worker, targets, free, mutates)
        except BaseException:
            self.leave()
            raise

    def leave(self) -> None:
        """Leave what was sent here and nobody has begun to others, at once, and what is on its way too."""
        self.pulls.refuse()

    async def _claimed(
        self, worker: str, targets: Sequence[str] | None, free: int, mutates: Callable[[Task], bool]
    ) -> list[Task]:
        while True:
            try:
                await self._start()
                durables = await self._durables(worker, targets)
                delivered = await self.pulls.take(durables, free + self._ended) if durables else []
                if tasks := await self._accept(delivered, worker, mutates):
                    return tasks
                if not durables:
                    await asyncio.sleep(AGAIN_S)
            except StoreError:
                await asyncio.sleep(AGAIN_S)
                await self._cluster.connected(self._cluster.access.patience_s)

    async def extend(self, task: Task) -> None:
        """Say that the worker still has it. That is said by itself, too."""
        await self.holds.prolong(key_of(task))

    async def report(self, report: Report) -> None:
        """Pass a report on: an end durably, and the task is answered for; a beginning only if it is not over soon."""
        if report.outcome is None:
            self.reporting.began(report)
            return
        await self.reporting.ended(report)
        await self.holds.let_go(key_of(report.task))
        if report.task.action.type not in WAITING_ACTIONS:
            self._ended += 1
            self.pulls.wake()

    async def close(self) -> None:
        """Give back what nobody has begun, and stop."""
        await self.pulls.close()
        if self._returning:
            await asyncio.wait(self._returning, timeout=RETURN_S)
        for task in self._returning:
            task.cancel()
        for task in list(self._doubts):
            task.cancel()
        await asyncio.gather(*self._doubts, return_exceptions=True)
        await self.reporting.close()
        await self.holds.close()

    # ------------------------------------------------------------ parts

    async def _start(self) -> None:
        await self.holds.start()
        await self._saying.hear(CANCEL, self._hear_cancel)

    async def _hear_cancel(self, runs: Sequence[str]) -> None:
        if self.cancelled is not None:
            for run in runs:
                self.cancelled(str(run))

    async def _durables(self, worker: str, targets: Sequence[str] | None) -> list[str]:
        if targets is not None:
            return [await self.pulls.ensure(target) for target in dict.fromkeys(("", *targets))]
        await self.pulls.ensure("")
        names = self._cluster.names
        return await self.pulls.everything(names.durable(OWN), own=names.durable(OWN + worker))

    async def _accept(self, delivered: Sequence[Delivered], worker: str, mutates: Callable[[Task], bool]) -> list[Task]:
        """Return those that are ours to begin."""
        tasks: list[Task] = []
        doubtful: dict[Key, tuple[Task, str]] = {}
        rest = deque(delivered)
        try:
            others = await self._others(delivered, mutates)
            while rest:
                await self._accept_one(rest[0], worker, mutates, tasks, doubtful, others)
                rest.popleft()
        except BaseException:  # whoever claims has stopped: nobody would begin them
            self._return(rest, tasks)
            raise
        if doubtful:
            self._doubt(doubtful)
        return tasks

    async def _accept_one(
        self,
        one: Delivered,
        worker: str,
        mutates: Callable[[Task], bool],
        tasks: list[Task],
        doubtful: dict[Key, tuple[Task, str]],
        others: Collection[Key],
    ) -> None:
        try:
            task = await self._task(one)
            key = key_of(task)
            if self.holds.has(key):  # it has come again to who has it: the sign of life was late
                self.holds.hold(key, one.reply)
            elif key not in others and await self._is_ours(task, one, worker, mutates):
                tasks.append(task)
            else:
                doubtful[key] = (task, one.reply)
        except StoreError as error:  # it comes again when its lease is over
            LOG.warning("a task could not be taken: %s", error)

    async def _others(self, delivered: Sequence[Delivered], mutates: Callable[[Task], bool]) -> Collection[Key]:
        """Return what others have of what was there before we came. The claim tells by itself where there is one."""
        for one in delivered:
            if one.early and one.deliveries == 1 and self._before_us is None:
                with contextlib.suppress(StoreError):  # it is told where it is to be begun
                    if not mutates(await self._task(one)):
                        with self.holds.kept([each.reply for each in delivered]):
                            return await self._held_before_us()
        return self._before_us or ()

    async def _held_before_us(self) -> Collection[Key]:
        """Ask once what others have: what is delivered later of what was there before, is known to have been."""
        if self._before_us is None:
            self._before_us = await self.holds.all_held()
        return self._before_us

    def _return(self, rest: Iterable[Delivered], taken: Iterable[Task] = ()) -> None:
        """Leave to others what nobody has begun here, what is `taken` but not begun too."""
        returning = asyncio.create_task(self._give_back(list(rest), list(taken)))
        self._returning.add(returning)
        returning.add_done_callback(self._returning.discard)

    async def _give_back(self, rest: Sequence[Delivered], taken: Sequence[Task]) -> None:
        """Have them dispatched anew: who gets the same message again cannot know that it was not begun."""
        found = {key_of(task): (task, "") for task in taken}
        early: dict[Key, tuple[Task, str]] = {}
        for one in rest:
            with contextlib.suppress(StoreError):
                task = await self._task(one)
                if one.deliveries > 1 or one.old or one.unsure:  # who had it before may have begun it
                    await self._cluster.send(Message(subject=one.reply, body=BACK))
                else:
                    (early if one.early else found)[key_of(task)] = (task, one.reply)
        with contextlib.suppress(StoreError):  # they come again when their lease is over
            held = await self._held_before_us() if early else ()
            found |= {key: value for key, value in early.items() if key not in held}
        await self.reporting.ended(
            *(Report(task=task, worker="", outcome=Outcome.LOST, error_kind=RETURNED) for task, _reply in found.values())
        )
        for key, (_task, reply) in found.items():
            await self.holds.let_go(key)
            if reply:
                with contextlib.suppress(StoreError):
                    await self._cluster.send(Message(subject=reply, body=DONE))

    async def _is_ours(self, task: Task, one: Delivered, worker: str, mutates: Callable[[Task], bool]) -> bool:
        key, ours = key_of(task), False
        self.holds.hold(key, one.reply)
        try:
            if not one.old:
                ours = await self.begin(task, worker) if mutates(task) else one.deliveries == 1 and not one.unsure
        finally:
            if not ours:
                self.holds.forget(key)
        return ours

    async def _task(self, one: Delivered) -> Task:
        body = await self._blobs.unpacked(one.body, one.headers)
        task = task_of(body, Stored(subject=one.subject, seq=one.seq))
        return replace(task, token=task.token + one.seq)

    async def begin(self, task: Task, worker: str) -> bool:
        """Say, durably, that a task is begun; return whether nobody has said so before. Raises StoreError."""
        subject = self._cluster.names.claim(*key_of(task))
        body = f"{worker} {self._me}".encode()
        try:
            await self._cluster.publish(Message(subject=subject, body=body, headers=expected(0)))
        except Refused as error:
            if not error.conflict:
                raise
            return (await self._cluster.there(self._cluster.names.work, subject)).body == body
        return True

    def _doubt(self, doubtful: Mapping[Key, tuple[Task, str]]) -> None:
        doubting = asyncio.create_task(self._resolve(doubtful))
        self._doubts.add(doubting)
        doubting.add_done_callback(self._doubts.discard)

    async def _resolve(self, doubtful: Mapping[Key, tuple[Task, str]]) -> None:
        """Find out what became of tasks that somebody else was sent before: unless he says that he has them, he is gone."""
        try:
            lost = doubtful.keys() - await self.holds.held_anywhere(doubtful)
            if lost and self.pulls.reconnected(RECOVERY_LEASES * self._lease_s):
                await asyncio.sleep(self._lease_s)  # who has them may not be back yet
                lost -= await self.holds.held_anywhere(lost)
            await self.reporting.ended(*(Report(task=doubtful[key][0], worker="", outcome=Outcome.LOST) for key in lost))
            for key in lost:
                await self._cluster.send(Message(subject=doubtful[key][1], body=DONE))
        except StoreError as error:  # they come once more
            LOG.warning("what became of some tasks could not be asked: %s", error)
