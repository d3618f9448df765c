"""What workers say, on its way to whoever leads: ends are kept, beginnings are only told.

What has come together while the last message was being stored goes as one message for each run and target: a server syncs once
for each. An end is sent until the server has it, however long that takes.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import defaultdict
from collections.abc import Sequence

from provisioning.adapters.nats.blobs import Blobs
from provisioning.adapters.nats.connect import Cluster
from provisioning.adapters.nats.messages import INLINE_BYTES, reports_body
from provisioning.adapters.nats.saying import Saying
from provisioning.adapters.nats.wire import MESSAGE_ID, Message
from provisioning.codec import parse
from provisioning.core.ports import Outcome, Report
from provisioning.errors import StoreError

SLOW_S, SLOWER, SLOWEST_S = 0.05, 6.0, 60.0
"""A step that takes longer than the first is said to have begun; and again after times that grow: nobody may have heard it."""
AGAIN_S = 0.25
BEGAN = "began"
AT_ONCE = 4  # messages that are being stored


class Reporting:
    """Sends reports."""

    def __init__(self, cluster: Cluster, blobs: Blobs, saying: Saying) -> None:
        self._cluster, self._blobs, self._saying = cluster, blobs, saying
        self._waiting: list[tuple[Report, bytes, asyncio.Future[None]]] = []
        self._sending: set[asyncio.Task[None]] = set()
        self._telling: dict[tuple[str, str, int], asyncio.TimerHandle] = {}
        self._began: list[Report] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def ended(self, *reports: Report) -> None:
        """Keep ends, durably. Raises ValueError for what JSON cannot hold."""
        bodies = [self._said(report) for report in reports]
        loop = asyncio.get_running_loop()
        kept = [(report, body, loop.create_future()) for report, body in zip(reports, bodies, strict=True)]
        self._waiting += kept
        loop.call_soon(self._send)
        await asyncio.gather(*(future for _report, _body, future in kept))

    def began(self, report: Report) -> None:
        """Tell that a step has begun, unless it ends first."""
        loop = asyncio.get_running_loop()
        self._telling[_step_of(report)] = loop.call_later(SLOW_S, self._tell, report, SLOW_S * SLOWER)

    def _said(self, report: Report) -> bytes:
        """Return an end. What was cancelled does not say by itself that it had begun, as every other end does."""
        telling = self._telling.pop(_step_of(report), None)
        if telling is None:
            return reports_body([report])[1:-1]
        telling.cancel()
        began = [Report(task=report.task, worker=report.worker)] if report.outcome is Outcome.CANCELLED else []
        return reports_body([*began, report])[1:-1]

    async def close(self) -> None:
        """Give up what is not stored: it is told by whoever asks for its worker."""
        for telling in self._telling.values():
            telling.cancel()
        self._telling.clear()
        going = [*self._sending, *self._tasks]
        for task in going:
            task.cancel()
        await asyncio.gather(*going, return_exceptions=True)

    # ------------------------------------------------------------ parts

    def _send(self) -> None:
        """Begin to store what waits, while not too much is under way: what comes then goes together."""
        if not self._waiting or len(self._sending) >= AT_ONCE:
            return
        waiting, self._waiting = self._waiting, []
        task = asyncio.create_task(self._store(waiting))
        self._sending.add(task)
        task.add_done_callback(self._sent)

    def _sent(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        self._send()

    async def _store(self, waiting: Sequence[tuple[Report, bytes, asyncio.Future[None]]]) -> None:
        groups: dict[tuple[str, str], list[tuple[Report, bytes, asyncio.Future[None]]]] = defaultdict(list)
        for item in waiting:
            groups[item[0].task.run, item[0].task.target].append(item)
        await asyncio.gather(*(self._store_one(part) for group in groups.values() for part in _cut(group)))

    async def _store_one(self, part: Sequence[tuple[Report, bytes, asyncio.Future[None]]]) -> None:
        task = part[0][0].task
        body = b"[%b]" % b",".join(body for _report, body, _future in part)
        subject = self._cluster.names.end(task.run, task.step, task.attempt, task.epoch, task.target)
        headers = {MESSAGE_ID: uuid.uuid4().hex}  # for the case that it is stored, and nobody tells us
        while True:
            try:
                packed, more = await self._blobs.packed(task.run, body)
                await self._cluster.publish(Message(subject=subject, body=packed, headers={**headers, **more}))
                break
            except StoreError:
                await asyncio.sleep(AGAIN_S)
                await self._cluster.connected(self._cluster.access.patience_s)
        for _report, _body, future in part:
            if not future.done():
                future.set_result(None)

    def _tell(self, report: Report, again_s: float) -> None:
        loop = asyncio.get_running_loop()
        self._telling[_step_of(report)] = loop.call_later(again_s, self._tell, report, min(again_s * SLOWER, SLOWEST_S))
        self._began.append(report)
        if len(self._began) == 1:
            task = asyncio.create_task(self._say())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _say(self) -> None:
        await asyncio.sleep(SLOW_S / 5)  # others begin at the same time
        began, self._began = self._began, []
        for start in range(0, len(began), 500):
            await self._saying.say(BEGAN, parse(reports_body(began[start : start + 500])))


def _step_of(report: Report) -> tuple[str, str, int]:
    return report.task.run, report.task.step, report.task.epoch


def _cut(
    group: Sequence[tuple[Report, bytes, asyncio.Future[None]]],
) -> list[list[tuple[Report, bytes, asyncio.Future[None]]]]:
    """Return the reports of a run in parts that each fit into a message, where that can be."""
    parts: list[list[tuple[Report, bytes, asyncio.Future[None]]]] = [[]]
    size = 0
    for item in group:
        if parts[-1] and size + len(item[1]) > INLINE_BYTES // 2:
            parts.append([])
            size = 0
        parts[-1].append(item)
        size += len(item[1])
    return parts
