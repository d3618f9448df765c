"""What comes in for whoever leads: one reading of what workers say, operators ask and timers bring, in the stream's order.

Each input has its sequence in the stream as its place. A decision carries the newest place it took into account, so whoever
takes over reads on from the lowest of the open runs, and drops of each run what is decided already.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from provisioning.adapters.nats.blobs import Blobs
from provisioning.adapters.nats.connect import Cluster
from provisioning.adapters.nats.holding import Key, key_of
from provisioning.adapters.nats.messages import head, reports_of, request_body, request_of, timer_of
from provisioning.adapters.nats.names import token
from provisioning.adapters.nats.reading import Reading
from provisioning.adapters.nats.reporting import BEGAN
from provisioning.adapters.nats.saying import Saying
from provisioning.adapters.nats.timers import NatsTimers
from provisioning.adapters.nats.wire import Message, Refused, Stored
from provisioning.codec import CodecError, decode, encode
from provisioning.core.ports import Report, Request
from provisioning.errors import StoreError

LOG = logging.getLogger("provisioning")
LOOK_S = 0.2
"""How often requests are looked through again whose run was not driven when they came."""
CATCH_UP_S = 30.0
REMEMBERED = 10_000  # beginnings
FAR = 50_000  # messages: what came in for a run that has stood still for so long is read by itself


class Inputs:
    """Reports and requests. `begin` before each time of leading; without it, reading begins at the oldest message."""

    def __init__(
        self, cluster: Cluster, blobs: Blobs, saying: Saying, timers: NatsTimers, listener: Callable[[Report], None]
    ) -> None:
        """`listener` hears every report, too."""
        self._cluster, self._blobs, self._saying, self._timers = cluster, blobs, saying, timers
        self._listener = listener
        self._reports: deque[Report | Request] = deque()
        self._requests: dict[int, Request] = {}  # by place: those of runs that nobody drives here
        self._cursors: dict[str, int] = {}
        self._began: dict[Key, None] = {}
        self._reading: asyncio.Task[None] | None = None
        self._removing: set[asyncio.Task[None]] = set()
        self._newest = self._read = 0
        self._moved = asyncio.Event()

    # ------------------------------------------------------------ asking

    async def request(self, request: Request) -> None:
        """Store a request, durably."""
        body, more = await self._blobs.packed(request.run, request_body(request))
        message = Message(subject=self._cluster.names.request(request.run), body=body, headers=more)
        self._newest = max(self._newest, await self._cluster.publish(message))

    async def handled(self, requests: Sequence[Request]) -> None:
        """Remove requests, soon."""
        for request in requests:
            if request.id:
                self._later(self._remove(request.id))

    def forget(self, run: str) -> None:
        """Drop what was asked of a run that was deleted."""
        for place in [place for place, request in self._requests.items() if request.run == run]:
            del self._requests[place]

    # ------------------------------------------------------------ reading

    async def begin(self, cursors: Mapping[str, int]) -> None:
        """Read anew: `cursors` say, for each open run, up to where its inputs are decided."""
        await self.end()
        self._cursors, self._moved = dict(cursors), asyncio.Event()
        self._reports.clear()
        self._requests.clear()
        self._began.clear()
        names = self._cluster.names
        newest = int((await self._cluster.ask(f"STREAM.INFO.{names.work}"))["state"]["last_seq"])
        start = min((cursor for cursor in cursors.values() if newest - cursor <= FAR), default=newest) + 1
        for stored in await self._older_requests(start):
            await self._classify(stored)
        for run, cursor in cursors.items():
            if cursor + 1 < start:
                await self._catch_up(run, cursor + 1, start)
        last = await self._cluster.last(names.work, names.requests)
        self._newest, self._read = last.seq if last is not None else 0, start - 1
        await self._saying.hear(BEGAN, self._hear_began)
        self._reading = asyncio.create_task(self._follow(start))

    async def end(self) -> None:
        """Stop reading."""
        reading, self._reading = self._reading, None
        if reading is not None and reading.get_loop() is asyncio.get_running_loop():
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def close(self) -> None:
        """Stop reading, once what was to be removed is."""
        await self.end()
        await asyncio.gather(*self._removing, return_exceptions=True)

    async def ordered(self, runs: Collection[str]) -> list[Report | Request]:
        """Wait for inputs of these runs and return all there are, in order. Requests to other runs are kept for later."""
        while True:
            for place in [place for place, request in self._requests.items() if request.run in runs]:
                self._reports.append(self._requests.pop(place))
            if self._reports:
                taken, self._reports = self._reports, deque()
                return [item for item in taken if isinstance(item, Report) or self._is_driven(item, runs)]
            await self._wait(LOOK_S if self._requests else None)

    async def reports(self) -> list[Report]:
        """Wait for reports, whatever run they are of, and return all there are."""
        await self._started()
        while True:
            taken, self._reports = self._reports, deque()
            self._requests.update({item.id: item for item in taken if isinstance(item, Request)})
            if reports := [item for item in taken if isinstance(item, Report)]:
                return reports
            await self._wait(None)

    async def take(self, runs: Collection[str]) -> list[Request]:
        """Return the requests for these runs that were stored before, oldest first."""
        await self._started()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CATCH_UP_S):
                while self._read < self._newest:
                    last = await self._cluster.last(self._cluster.names.work, self._cluster.names.requests)
                    self._newest = last.seq if last is not None else 0
                    if self._read < self._newest:
                        await self._wait(LOOK_S)
        self._requests.update({item.id: item for item in self._reports if isinstance(item, Request)})
        self._reports = deque(item for item in self._reports if isinstance(item, Report))
        wanted = sorted(place for place, request in self._requests.items() if request.run in runs)
        return [request for place in wanted if await self._is_open(request := self._requests.pop(place))]

    # ------------------------------------------------------------ parts

    async def _started(self) -> None:
        if self._reading is None or self._reading.get_loop() is not asyncio.get_running_loop():
            await self.begin({"": 0})

    def _is_driven(self, request: Request, runs: Collection[str]) -> bool:
        if request.run in runs:
            return True
        self._requests[request.id] = request
        return False

    async def _is_open(self, request: Request) -> bool:
        """Whether what is asked of a run, through its driver, is not decided already."""
        about = request.data.get("run")
        if request.run or not about:
            return True
        found = await self._cluster.last(self._cluster.names.work, self._cluster.names.decision(str(about)))
        if found is None or head(found).cursor < request.id:
            return True
        self._later(self._remove(request.id))
        return False

    async def _wait(self, seconds: float | None) -> None:
        self._moved.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._moved.wait()

    async def _older_requests(self, before: int) -> list[Stored]:
        """Return the requests before a place that nobody has removed: to runs that have ended, or to whoever leads."""
        names, found, place = self._cluster.names, [], 1
        while stored := await self._cluster.first_from(names.work, place, names.requests):
            if stored.seq >= before:
                break
            found.append(stored)
            place = stored.seq + 1
        return found

    async def _catch_up(self, run: str, start: int, end: int) -> None:
        """Take what workers have said of a run between two places."""
        names = self._cluster.names
        last = await self._cluster.last(names.work, names.events_of(run))
        if last is None or last.seq < start:
            return
        reading = Reading(self._cluster, names.work, [names.events_of(run)], start)
        place = start
        while place <= min(last.seq, end - 1):
            for stored in await reading.next():
                place = stored.seq + 1
                if stored.seq < end:
                    await self._classify(stored)
        await reading.close()

    async def _follow(self, start: int) -> None:
        names = self._cluster.names
        reading = Reading(self._cluster, names.work, [names.events, names.requests, names.fires], start)
        try:
            while True:
                for stored in await reading.next():
                    await self._classify(stored)
                    self._read = stored.seq
                self._moved.set()
        finally:
            await reading.close()

    async def _classify(self, stored: Stored) -> None:
        """Put a message where it belongs. One that is damaged is left out: the others go on."""
        kind = stored.subject.removeprefix(f"{self._cluster.names.namespace}.wf.").partition(".")[0]
        try:
            body = await self._blobs.unpacked(stored.body, stored.headers)
            if kind == "run":
                self._take_request(request_of(body, stored))
            elif kind == "fire":
                self._timers.add([timer_of(body, stored)])
            elif (target := self._cluster.names.target_of(stored.subject)) is not None:
                self._take_reports(reports_of(body, stored), stored.seq, target)
        except StoreError as error:
            LOG.warning("an input was left out: %s", error)

    def _take_request(self, request: Request) -> None:
        if request.id <= self._cursors.get(request.run, 0):
            self._later(self._remove(request.id))
        else:
            self._reports.append(request)

    def _take_reports(self, reports: Sequence[Report], place: int, target: str) -> None:
        """Take what workers of a target (its token) may say: the server has seen to it that nobody else said it."""
        for report in reports:
            if token(report.task.target) != target:
                run, step, *_ = key_of(report.task)
                LOG.warning("an end of step %s of run %s was left out: it was told for another target", step, run)
            elif place > self._cursors.get(report.task.run, 0):
                self._listener(report)
                self._reports.append(replace(report, seq=place))

    async def _hear_began(self, said: Any) -> None:  # noqa: ANN401 - what somebody said
        with contextlib.suppress(CodecError):
            for report in decode(encode(said), list[Report], strict=False):
                if (key := key_of(report.task)) not in self._began:  # it is told more than once
                    self._began[key] = None
                    self._listener(report)
                    self._reports.append(report)
            while len(self._began) > REMEMBERED:
                del self._began[next(iter(self._began))]
            self._moved.set()

    def _later(self, removing: Any) -> None:  # noqa: ANN401 - a coroutine
        task = asyncio.create_task(removing)
        self._removing.add(task)
        task.add_done_callback(self._removing.discard)

    async def _remove(self, place: int) -> None:
        with contextlib.suppress(StoreError, Refused):  # it is not there any more, or it is dropped by its place next time
            await self._cluster.ask(f"STREAM.MSG.DELETE.{self._cluster.names.work}", {"seq": place, "no_erase": True})
