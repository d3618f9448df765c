"""The journal on NATS: one message for each commit, in the run's own subject, stored if the one before is still the newest.

That compare-and-set makes every run one line of decisions, whoever writes them. A leader writes the first of its decisions on
a run together with a check of the fence, as a batch; after that the newest message is its own, and a leader that comes later
marks every open run first (`take_over`), so a plain message is fenced by the compare-and-set alone: one sync, not ten.

Dispatches and schedules are sent when the decision is stored. What a crash keeps from being sent is in the events: the next
leader sends it.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from provisioning.adapters.nats.batch import Batches
from provisioning.adapters.nats.blobs import Blobs
from provisioning.adapters.nats.connect import Cluster
from provisioning.adapters.nats.fences import Fences
from provisioning.adapters.nats.messages import Head, events_body, head, task_body
from provisioning.adapters.nats.sending import Sender
from provisioning.adapters.nats.wire import TTL, Message, NobodyAnswers, Refused, Stored, expected
from provisioning.core.events import Event, Kind
from provisioning.core.ports import Commit, Task, Timer
from provisioning.core.resources import WORKSPACE
from provisioning.errors import ClusterUnreachable, Fenced, StaleRevision

REMEMBERED = 10_000  # runs
GUARD_KEPT = "1m"
MARK_KEPT = "720h"
AGAIN_S = 0.1


@dataclass(slots=True)
class _Line:
    """Where a run's subject stands, as far as we know."""

    seq: int = 0  # of its newest message in the stream
    last: int = 0  # of its newest event
    fence: int | None = None  # of who wrote that
    cursor: int = 0
    known: bool = False
    ours: bool = False  # we wrote it, and have not lost sight of it since: a newer leader marks the run before it decides
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(slots=True)
class _Fence:
    number: int = 0
    seq: int = 0
    known: bool = False


class NatsJournal:
    """Fulfils the writing half of `ports.Journal`; `replica` has the reading half."""

    def __init__(
        self,
        cluster: Cluster,
        blobs: Blobs,
        schedules: Callable[[Sequence[Timer]], Sequence[Message]] = lambda _timers: (),
        ended_at: Callable[[str], int] = lambda _run: 0,
    ) -> None:
        """`schedules` returns what is to be sent for timers.

        `ended_at` returns the last seq of a run that has ended, as far as the history knows: the stream may have removed it.
        """
        self._ended_at = ended_at
        self._cluster, self._blobs, self._schedules = cluster, blobs, schedules
        self._batches, self._fences = Batches(cluster), Fences(cluster)
        self.sender = Sender(cluster, self._batches)
        self._lines: OrderedDict[str, _Line] = OrderedDict()
        self._fence = _Fence()

    async def commit(self, commit: Commit) -> tuple[int, int]:
        """Append all of it or nothing; return the run's new last seq, and the message's sequence in the stream.

        Raises StaleRevision, Fenced, ValueError for what JSON cannot hold, ClusterUnreachable when no server has answered for
        a while: then nobody knows whether it was stored.
        """
        line = self._line(commit.run)
        async with line.turn:
            await self._look_up(commit, line)
            if not commit.events and line.last == 0:
                return 0, line.seq
            message, said = await self._message(commit, line)
            tasks = [await self._dispatch(task) for task in commit.tasks]
            line.seq = await self._store(commit, line, message, said)
            line.last, line.fence, line.cursor, line.ours = said.last, said.fence, said.cursor, commit.fence is not None
            await self.sender.send([*tasks, *self._schedules(commit.timers)])
        if any(event.kind is Kind.RUN_FINISHED for event in commit.events):
            self._forget(commit.run)
        return line.last, line.seq

    async def take_over(self, token: int, runs: Iterable[str]) -> None:
        """Raise the fence and mark open runs as ours: nothing of an older leader is stored after that. Raises Fenced.

        `runs` are asked for by the caller after `raise_fence`, so that none is missing.
        """
        await self.raise_fence(token)
        await asyncio.gather(*(self._mark(run, token) for run in runs))

    async def raise_fence(self, token: int) -> None:
        """Make `token` the highest fencing number. Raises Fenced when there is a higher one."""
        while True:
            await self._look_at_fence()
            if self._fence.number > token:
                raise self._fenced(token)
            if self._fence.number == token and self._fence.seq:
                return
            try:
                self._fence.seq = await self._cluster.publish(self._fence_message(token))
                self._fence.number = token
            except Refused as error:
                if not error.conflict:
                    raise

    async def decided_upto(self, run: str) -> int:
        """Return the sequence in the stream up to which what came in for a run is decided; before it began, nothing did."""
        line = self._line(run)
        if not line.known:
            await self._look_at(run, line)
        if line.cursor:
            return line.cursor
        first = await self._cluster.first_from(self._cluster.names.work, 1, self._cluster.names.decision(run))
        return first.seq if first is not None else 0

    async def told_gone(self, run: str) -> int:
        """Say that a run was deleted; return the sequence of that in the stream, before which all of it may be removed."""
        line = self._line(run)
        async with line.turn:
            said = Head(run=run, last=0, gone=True)
            subject = self._cluster.names.decision(run)
            seq = await self._cluster.publish(Message(subject=subject, headers={**said.headers(), TTL: MARK_KEPT}))
            self._forget(run)
        return seq

    # ------------------------------------------------------------ what we know

    def _line(self, run: str) -> _Line:
        line = self._lines.setdefault(run, _Line())
        self._lines.move_to_end(run)
        if len(self._lines) > REMEMBERED:
            oldest = next(iter(self._lines))
            if not self._lines[oldest].turn.locked():
                del self._lines[oldest]
        return line

    def _forget(self, run: str) -> None:
        self._lines.pop(run, None)

    async def _look_up(self, commit: Commit, line: _Line) -> None:
        """See to it that the line is known, and that the commit is based on it. Raises StaleRevision, Fenced."""
        if not self._fence.known:
            await self._look_at_fence()
        if commit.fence is not None and commit.fence < self._fence.number:
            raise self._fenced(commit.fence)
        if not line.known or line.last != commit.expected_seq:
            await self._look_at(commit.run, line)
        if line.last != commit.expected_seq:
            raise StaleRevision(f"run {commit.run} is at event {line.last}, the commit is based on {commit.expected_seq}")

    async def _look_at(self, run: str, line: _Line) -> Stored | None:
        found = await self._cluster.last(self._cluster.names.work, self._cluster.names.decision(run))
        if found is None:
            line.seq = line.cursor = 0
            line.last, line.fence = self._ended_at(run), None
        else:
            said = head(found)
            line.seq, line.last, line.fence, line.cursor = found.seq, said.last, said.fence, said.cursor
        line.known, line.ours = True, False
        return found

    async def _look_at_fence(self) -> None:
        found = await self._cluster.last(self._cluster.names.work, self._cluster.names.fence)
        self._fence = _Fence(known=True) if found is None else _Fence(number=int(found.body), seq=found.seq, known=True)

    def _fenced(self, token: int) -> Fenced:
        return Fenced(f"a runner with fencing number {self._fence.number} has taken over from {token}")

    # ------------------------------------------------------------ what is written

    async def _message(self, commit: Commit, line: _Line) -> tuple[Message, Head]:
        numbered = enumerate(commit.events, start=line.last + 1)
        events = [event if event.seq == seq else replace(event, seq=seq) for seq, event in numbered]
        body, more = await self._blobs.packed(commit.run, events_body(events))
        said = Head(
            run=commit.run,
            last=line.last + len(events),
            cursor=max(line.cursor, int(getattr(commit, "upto", 0))),
            fence=commit.fence,
            commit=uuid.uuid4().hex,
            workflow=_workflow(events),
        )
        subject = self._cluster.names.decision(commit.run)
        return Message(subject=subject, body=body, headers={**said.headers(), **more}), said

    async def _dispatch(self, task: Task) -> Message:
        subject = self._cluster.names.task(task.target, task.run, task.step, task.attempt, task.epoch)
        workspace = str(task.action.settings.get(WORKSPACE, ""))
        if workspace:
            task = replace(task, token=await self._fences.offset(workspace))
        body, more = await self._blobs.packed(task.run, task_body(task))
        return Message(subject=subject, body=body, headers={**expected(0), **more})

    def _fence_message(self, token: int) -> Message:
        return Message(subject=self._cluster.names.fence, body=str(token).encode(), headers=expected(self._fence.seq))

    def _checked(self, commit: Commit, line: _Line, message: Message) -> list[Message]:
        """Return the message, on condition that the line is where we think, and what checks or raises the fence before it."""
        last = replace(message, headers={**message.headers, **expected(line.seq)})
        if commit.fence is None:
            return [last]
        if commit.fence > self._fence.number:
            return [self._fence_message(commit.fence), last]
        if line.ours and line.fence == commit.fence:
            return [last]
        check = expected(self._fence.seq, self._cluster.names.fence)
        return [Message(subject=self._cluster.names.guard, headers={**check, TTL: GUARD_KEPT}), last]

    async def _store(self, commit: Commit, line: _Line, message: Message, said: Head) -> int:
        until = time.monotonic() + self._cluster.access.patience_s
        while True:
            try:
                messages = self._checked(commit, line, message)
                seq = await self._batches.publish(messages)
            except Refused as error:
                if not (error.conflict or error.passing):
                    raise
                seq = await self._after_conflict(commit, line, said)
            except (ClusterUnreachable, NobodyAnswers):
                seq = await self._after_loss(commit, line, said, until)
            else:
                if len(messages) > 1 and messages[0].subject == self._cluster.names.fence:
                    self._fence = _Fence(number=commit.fence or 0, seq=seq - 1, known=True)
            if seq:
                return seq

    async def _after_conflict(self, commit: Commit, line: _Line, said: Head) -> int:
        """Somebody else wrote. Return the sequence if it was us, 0 to try again; else raise StaleRevision, Fenced."""
        found = await self._look_at(commit.run, line)
        if found is not None and head(found).commit == said.commit:
            return found.seq
        await self._look_at_fence()
        if commit.fence is not None:
            if commit.fence < self._fence.number:
                raise self._fenced(commit.fence)
            if line.fence is not None and line.fence > commit.fence:
                self._fence.number = line.fence
                raise self._fenced(commit.fence)
        if line.last != commit.expected_seq:
            raise StaleRevision(f"run {commit.run} is at event {line.last}, the commit is based on {commit.expected_seq}")
        return 0

    async def _after_loss(self, commit: Commit, line: _Line, said: Head, until: float) -> int:
        """The connection was lost, or the stream has no leader: wait, and see whether it had been stored."""
        while True:
            left_s = until - time.monotonic()
            line.known = False
            if left_s <= 0 or not await self._cluster.connected(left_s):
                raise ClusterUnreachable(
                    f"no NATS server has answered for {self._cluster.access.patience_s:g} s",
                    hint="what was being recorded may be recorded or not: the next leader goes by what is there",
                )
            try:
                return await self._after_conflict(commit, line, said)
            except (ClusterUnreachable, NobodyAnswers):
                await asyncio.sleep(AGAIN_S)
            except Refused as error:
                if not error.passing:
                    raise
                await asyncio.sleep(AGAIN_S)

    async def _mark(self, run: str, token: int) -> None:
        """Write a message without events that makes a run ours."""
        line = self._line(run)
        async with line.turn:
            await self._look_at(run, line)
            while line.last and not (line.ours and line.fence == token):
                if line.fence is not None and line.fence > token:
                    raise Fenced(f"a runner with fencing number {line.fence} has taken over from {token}")
                said = Head(run=run, last=line.last, cursor=line.cursor, fence=token, commit=uuid.uuid4().hex)
                subject = self._cluster.names.decision(run)
                try:
                    headers = {**said.headers(), **expected(line.seq)}
                    line.seq = await self._cluster.publish(Message(subject=subject, headers=headers))
                    line.fence, line.ours = token, True
                except Refused as error:
                    if not error.conflict:
                        raise
                    await self._look_at(run, line)


def _workflow(events: Sequence[Event]) -> str:
    created = events and events[0].seq == 1 and events[0].kind is Kind.RUN_CREATED
    return str(events[0].data.get("workflow", "")) if created else ""
