"""The half of the store that work goes through: requests, tasks, reports, timers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from provisioning.adapters.nats.blobs import Blobs
from provisioning.adapters.nats.connect import Cluster
from provisioning.adapters.nats.inputs import Inputs
from provisioning.adapters.nats.saying import Saying
from provisioning.adapters.nats.tasks import NatsTasks
from provisioning.adapters.nats.timers import NatsTimers
from provisioning.adapters.nats.withdrawing import Withdrawing
from provisioning.core.events import Kind
from provisioning.core.ports import Clock, Commit, Report, Request, Task, Timer
from provisioning.core.ready import GIVES_BACK

SETTLES = GIVES_BACK | {Kind.STEP_RETRY_DUE, Kind.STEP_UNCHANGED}
"""Events after which nothing that was handed out or set for an attempt counts any more."""


class NatsWork:
    """Fulfils `ports.Inbox`, `Tasks` and `Timers`. For workers, `tasks` is all they need."""

    def __init__(self, cluster: Cluster, blobs: Blobs, clock: Clock, lease_s: float) -> None:
        self.saying = Saying(cluster)
        self.timers = NatsTimers(clock, cluster.names)
        self.tasks = NatsTasks(cluster, blobs, self.saying, lease_s=lease_s)
        self.withdrawing = Withdrawing(cluster, self.saying, self.tasks, self._sent, lease_s=lease_s)
        self.inputs = Inputs(cluster, blobs, self.saying, self.timers, self._heard)

    async def ordered(self, runs: Mapping[str, object]) -> Sequence[Report | Request]:
        """Wait for what comes in for these runs; return all there is, in order. See `engine.incoming`."""
        return await self.inputs.ordered(runs)

    def stop(self, run: str, tasks: Iterable[Task] = ()) -> None:
        """Have what workers have of a cancelled run stopped; `tasks` is that where another leader has handed it out."""
        self.withdrawing.stop(run, tasks)

    # ------------------------------------------------------------ Inbox

    async def request(self, request: Request) -> None:
        """Store a request, durably."""
        await self.inputs.request(request)

    async def take_requests(self, runs: Sequence[str]) -> list[Request]:
        """See `ports.Inbox`."""
        return await self.inputs.take(runs) if runs else []

    async def handled(self, requests: Sequence[Request]) -> None:
        """See `ports.Inbox`."""
        await self.inputs.handled(requests)

    # ------------------------------------------------------------ Tasks and Timers

    async def claim(
        self, worker: str, targets: Sequence[str] | None, free: int, mutates: Callable[[Task], bool] = lambda _task: False
    ) -> list[Task]:
        """See `ports.Tasks`."""
        return await self.tasks.claim(worker, targets, free, mutates)

    async def extend(self, task: Task) -> None:
        """See `ports.Tasks`."""
        await self.tasks.extend(task)

    async def report(self, report: Report) -> None:
        """See `ports.Tasks`."""
        await self.tasks.report(report)

    async def reports(self) -> list[Report]:
        """See `ports.Tasks`."""
        return await self.inputs.reports()

    async def due(self) -> list[Timer]:
        """See `ports.Timers`."""
        return await self.timers.due()

    # ------------------------------------------------------------ for the store

    async def _sent(self) -> None:
        """Wait until the server has all that was sent to it."""
        raise NotImplementedError

    async def _before(self, commit: Commit) -> None:
        """See to it that what is handed out can be fetched."""
        for target in {task.target for task in commit.tasks}:
            await self.tasks.pulls.ensure(target)

    async def _after(self, commit: Commit) -> None:
        """Do what follows from a commit: start its timers, take back what is over."""
        kinds = {event.kind for event in commit.events}
        over = list(dict.fromkeys(event.step for event in commit.events if event.kind in SETTLES))
        offers = self.withdrawing.offers
        self.timers.settle(commit.run, over)
        gone = offers.settle(commit.run, over)
        if Kind.RUN_FINISHED in kinds:
            self.timers.drop(commit.run)
            gone += offers.forget(commit.run)
        offers.offer(commit.tasks)
        self.timers.begin(commit.timers)
        await self.withdrawing.withdraw(gone)
        if Kind.CANCEL_REQUESTED in kinds:
            self.stop(commit.run)

    def _forget(self, run: str) -> None:
        self.inputs.forget(run)
        self.withdrawing.offers.forget(run)
        self.timers.drop(run)

    def _heard(self, report: Report) -> None:
        self.withdrawing.offers.hear(report)

    async def resign(self) -> None:
        """Lead no more: nothing is taken back and nothing comes in."""
        await self.withdrawing.resign()
        await self.inputs.end()
        self.timers.clear()

    async def _lead(self, cursors: Mapping[str, int]) -> None:
        await self.inputs.begin(cursors)

    async def _end_work(self) -> None:
        await self.withdrawing.resign()
        await self.tasks.close()
        await self.inputs.close()
        await self.saying.close()
