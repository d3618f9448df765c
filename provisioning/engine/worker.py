"""The worker: claims tasks, runs their actions, reports. It knows nothing of runs but the steps it was handed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from provisioning.core.ports import Clock, LogStore, Outcome, Report, Task, Tasks
from provisioning.engine.actions import Action, Result
from provisioning.engine.attempt import AttemptOutput, Watcher
from provisioning.errors import ProvisioningError


class Worker:
    """Runs up to `slots` tasks at once, of these targets; of all targets when none are named."""

    def __init__(
        self,
        name: str,
        tasks: Tasks,
        actions: Mapping[str, Action],
        logs: LogStore,
        clock: Clock,
        *,
        slots: int,
        targets: Sequence[str] | None = None,
        watcher: Watcher = lambda _step, _text: None,
    ) -> None:
        self._name, self._tasks, self._actions, self._logs, self._clock = name, tasks, actions, logs, clock
        self._slots, self._targets, self._watcher = slots, targets, watcher
        self._hidden: Sequence[str] = ()
        self._running: dict[asyncio.Task[None], Task] = {}
        self._late: set[asyncio.Task[None]] = set()
        self._one_free = asyncio.Event()

    def hide(self, values: Sequence[str]) -> None:
        """Keep these values out of the output and the verdict of every step, also of those that were not given them."""
        self._hidden = values

    async def serve(self) -> None:
        """Claim and run tasks until cancelled; then stop what runs, and only return when it has stopped."""
        try:
            while True:
                await self._wait_for_slot()
                for task in await self._tasks.claim(self._name, self._targets, self._slots - len(self._running)):
                    self._begin(task)
        finally:
            await self._stop(list(self._running))

    async def cancel(self, run: str) -> None:
        """Stop what runs for `run`, and wait until it has stopped and was reported."""
        await self._stop([job for job, task in self._running.items() if task.run == run])

    # ------------------------------------------------------------ parts

    async def _wait_for_slot(self) -> None:
        while len(self._running) >= self._slots:
            self._one_free.clear()
            await self._one_free.wait()

    def _begin(self, task: Task) -> None:
        job = asyncio.create_task(self._work(task), name=f"{task.run}/{task.step}")
        self._running[job] = task
        job.add_done_callback(self._done)

    def _done(self, job: asyncio.Task[None]) -> None:
        """Free the slot. A job that could not report, because it was stopped before it began or broke, is reported here."""
        task = self._running.pop(job)
        self._one_free.set()
        if job.cancelled():
            result = Result(outcome=Outcome.CANCELLED, error_kind="cancelled", error="stopped")
        elif error := job.exception():
            result = _failed("internal", f"{type(error).__name__}: {error}")
        else:
            return
        late = asyncio.create_task(self._tasks.report(self._final(task, result, "")))
        self._late.add(late)
        late.add_done_callback(self._late.discard)

    def _final(self, task: Task, result: Result, log: str) -> Report:
        return Report(
            task=task,
            worker=self._name,
            outcome=result.outcome,
            exit_code=result.exit_code,
            error_kind=result.error_kind,
            error=result.error.encode("utf-8", "backslashreplace").decode(),  # a journal takes no half characters
            output=result.output,
            log=log,
        )

    async def _stop(self, jobs: Sequence[asyncio.Task[None]]) -> None:
        for job in jobs:
            if not job.cancelling():  # a second blow would hit it while it stops what runs on the server
                job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)

    async def _work(self, task: Task) -> None:
        await self._tasks.report(Report(task=task, worker=self._name))
        try:
            log = self._logs.open(task.run, task.step, task.attempt)
        except ProvisioningError as error:  # nothing has been done yet, and nothing is to be done without a log
            await self._tasks.report(self._final(task, _refused(error), ""))
            return
        output = AttemptOutput(task.step, self._clock, log, self._watcher, self._hidden)
        try:
            result = _masked(await self._act(task, output), output)
        finally:
            output.close()
        await self._tasks.report(self._final(task, result, log.path))

    async def _act(self, task: Task, output: AttemptOutput) -> Result:
        action = self._actions.get(task.action.type)
        if action is None:
            known = ", ".join(sorted(self._actions))
            return _failed("unknown_action", f"no action of type {task.action.type}; this worker has: {known}")
        try:
            return await action.run(task, output)
        except asyncio.CancelledError:
            return Result(outcome=Outcome.CANCELLED, error_kind="cancelled", error="stopped")
        except ProvisioningError as error:
            return _refused(error)
        except Exception as error:  # an action's bug must not take the worker down
            return _failed("internal", f"{type(error).__name__}: {error}")


def _masked(result: Result, output: AttemptOutput) -> Result:
    return replace(result, error=str(output.masked(result.error)), output=output.masked(result.output))


def _failed(kind: str, message: str) -> Result:
    return Result(outcome=Outcome.FAILED, error_kind=kind, error=message)


def _refused(error: ProvisioningError) -> Result:
    return _failed(error.code, f"{error.message}; {error.hint}" if error.hint else error.message)
