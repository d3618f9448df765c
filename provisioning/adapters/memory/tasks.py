"""The task queue of one process: whom a task waits for, who has it, what was reported."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from provisioning.adapters.memory.bell import Bell
from provisioning.core.ports import Outcome, Report, Task

Key = tuple[str, str]  # run, step: a step has one live task


class TaskQueue:
    """Fulfils `ports.Tasks`. First come, first served per target; a lease lasts until its final report or `settle`."""

    def __init__(self) -> None:
        self._waiting: dict[str, dict[Key, Task]] = {}
        self._leased: dict[Key, Task] = {}
        self._reports: dict[tuple[str, str, int, bool], Report] = {}
        self._offered = Bell()
        self._reported = Bell()

    async def claim(
        self,
        worker: str,  # noqa: ARG002 - leases end with us
        targets: Sequence[str] | None,
        free: int,
        mutates: Callable[[Task], bool] = lambda _task: False,  # noqa: ARG002 - nothing is handed out twice here
    ) -> list[Task]:
        """Wait for tasks for these targets or for any, and take at most `free` of them. None is every target."""
        while not (taken := self._take(targets, free)):
            await self._offered.heard()
        return taken

    async def extend(self, task: Task) -> None:
        """Do nothing: workers and queue live and die together."""

    async def report(self, report: Report) -> None:
        """Pass a report on."""
        key = (report.task.run, report.task.step)
        if report.outcome is not None and self._leased.get(key) == report.task:
            del self._leased[key]
        # An end says that it began, too; only a cancelled one does not.
        self._reports[(*key, report.task.epoch, report.outcome is Outcome.CANCELLED)] = report
        self._reported.ring()

    async def reports(self) -> list[Report]:
        """Wait for reports and return all there are."""
        while not self._reports:
            await self._reported.heard()
        reports, self._reports = self._reports, {}
        return list(reports.values())

    # ------------------------------------------------------------ for stores

    def offer(self, tasks: Iterable[Task]) -> None:
        """Make committed tasks available. A task that waits or is leased already is not offered twice."""
        for task in tasks:
            key = (task.run, task.step)
            if self._leased.get(key) != task:
                self._waiting.setdefault(task.target, {})[key] = task
        self._offered.ring()

    def settle(self, run: str, steps: Iterable[str]) -> None:
        """Withdraw the tasks of steps whose attempt is over."""
        for step in steps:
            self._leased.pop((run, step), None)
            for waiting in self._waiting.values():
                waiting.pop((run, step), None)

    def withdraw(self, run: str) -> None:
        """Take back the tasks of a run that nobody has claimed, and report them as cancelled."""
        for waiting in self._waiting.values():
            for key in [key for key in waiting if key[0] == run]:
                task = waiting.pop(key)
                self._reports[(*key, task.epoch, True)] = Report(task=task, worker="", outcome=Outcome.CANCELLED)
        self._reported.ring()

    def drop(self, run: str) -> None:
        """Forget every task of a run."""
        steps = [key[1] for tasks in (self._leased, *self._waiting.values()) for key in tasks if key[0] == run]
        self.settle(run, steps)

    def _take(self, targets: Sequence[str] | None, free: int) -> list[Task]:
        taken: list[Task] = []
        for target in self._waiting if targets is None else dict.fromkeys((*targets, "")):
            waiting = self._waiting.get(target, {})
            for key in list(islice(waiting, free - len(taken))):
                self._leased[key] = waiting.pop(key)
                taken.append(self._leased[key])
        return taken
