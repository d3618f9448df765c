"""What a leader has handed out, and how it gets it back: when an attempt is over for another reason, and from cancelled runs.

What no worker was sent yet is removed from the stream, so nobody will begin it. Who has something of a cancelled run is told
so, again and again, and reports how it ended; what nobody says he has is reported in his place.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence

from provisioning.adapters.nats.connect import Cluster
from provisioning.adapters.nats.holding import Key, key_of
from provisioning.adapters.nats.saying import Saying
from provisioning.adapters.nats.tasks import CANCEL, NatsTasks
from provisioning.core.ports import Outcome, Report, Task
from provisioning.errors import StoreError

AGAIN_S = 0.5
LEADER = "leader"


class Offers:
    """Tasks that were handed out and whose end has not been heard of, by run and step."""

    def __init__(self) -> None:
        self.of: dict[str, dict[str, Task]] = {}
        self._begun: set[Key] = set()

    def offer(self, tasks: Iterable[Task]) -> None:
        """Note what is handed out."""
        for task in tasks:
            self.of.setdefault(task.run, {})[task.step] = task

    def hear(self, report: Report) -> None:
        """Note what a worker says."""
        task = report.task
        if report.outcome is None:
            self._begun.add(key_of(task))
            return
        live = self.of.get(task.run, {}).get(task.step)
        if live is not None and live.epoch == task.epoch:
            self._drop(live)

    def settle(self, run: str, steps: Iterable[str]) -> list[Task]:
        """Note that attempts are over; return those whose end no worker has told."""
        live = self.of.get(run, {})
        gone = [live[step] for step in steps if step in live]
        for task in gone:
            self._drop(task)
        return gone

    def forget(self, run: str) -> list[Task]:
        """Drop a run; return what of it was handed out."""
        return self.settle(run, list(self.of.get(run, {})))

    def begun(self, task: Task) -> bool:
        """Whether a worker has said that it has begun."""
        return key_of(task) in self._begun

    def _drop(self, task: Task) -> None:
        self._begun.discard(key_of(task))
        live = self.of[task.run]
        del live[task.step]
        if not live:
            del self.of[task.run]


class Withdrawing:
    """Takes back what was handed out. `sent` waits until the server has all that was sent to it."""

    def __init__(
        self, cluster: Cluster, saying: Saying, tasks: NatsTasks, sent: Callable[[], Awaitable[None]], *, lease_s: float
    ) -> None:
        self.offers = Offers()
        self._cluster, self._saying, self._tasks, self._sent, self._lease_s = cluster, saying, tasks, sent, lease_s
        self._stopping: dict[str, asyncio.Task[None]] = {}

    async def withdraw(self, tasks: Sequence[Task]) -> None:
        """Remove tasks that nobody is to begin any more."""
        if not tasks:
            return
        await self._sent()
        names = self._cluster.names
        for task in tasks:
            subject = names.task(task.target, task.run, task.step, task.attempt, task.epoch)
            await self._cluster.purge(names.work, subject)

    def stop(self, run: str, tasks: Iterable[Task] = ()) -> None:
        """Have a cancelled run's work stopped, and that of `tasks` which is not known to be handed out, in the background."""
        known = self.offers.of.get(run, {})
        self.offers.offer(task for task in tasks if task.step not in known)
        if run not in self._stopping:
            stopping = asyncio.create_task(self._stop(run))
            self._stopping[run] = stopping
            stopping.add_done_callback(lambda _task: self._stopping.pop(run, None))

    async def resign(self) -> None:
        """Leave all of it to who leads next."""
        self.offers = Offers()
        stopping = list(self._stopping.values())
        for task in stopping:
            task.cancel()
        await asyncio.gather(*stopping, return_exceptions=True)

    # ------------------------------------------------------------ parts

    async def _stop(self, run: str) -> None:
        missed: dict[Key, float] = {}
        purged = False
        while live := self._live(run):
            await self._saying.say(CANCEL, [run])
            try:
                if not purged:
                    await self._remove(run)
                    purged = True
                await self._answer_for(live, missed)
            except StoreError:
                await self._cluster.connected(self._cluster.access.patience_s)
            await asyncio.sleep(AGAIN_S)

    def _live(self, run: str) -> list[Task]:
        """Return what of a run is handed out, target by target."""
        tasks = self.offers.of.get(run, {}).values()
        targets = list(dict.fromkeys(task.target for task in tasks))
        return sorted(tasks, key=lambda task: targets.index(task.target))

    async def _remove(self, run: str) -> None:
        await self._sent()
        names = self._cluster.names
        await self._cluster.purge(names.work, names.tasks_of(run))

    async def _answer_for(self, live: Sequence[Task], missed: dict[Key, float]) -> None:
        """Report what nobody has: as cancelled if nobody had begun it, as lost once its lease is over."""
        held = await self._tasks.holds.held_anywhere(map(key_of, live))
        now_s = time.monotonic()
        reports: list[Report] = []
        for task in live:
            key = key_of(task)
            if key in held:
                missed.pop(key, None)
            elif not self.offers.begun(task) and await self._tasks.begin(task, LEADER):
                reports.append(Report(task=task, worker="", outcome=Outcome.CANCELLED))
            elif now_s - missed.setdefault(key, now_s) > self._lease_s:
                reports.append(Report(task=task, worker="", outcome=Outcome.LOST))
        if reports:
            await self._tasks.reporting.ended(*reports)
            for report in reports:
                missed.pop(key_of(report.task), None)
                self.offers.hear(report)
