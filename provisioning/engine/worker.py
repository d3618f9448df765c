"""The worker: claims tasks, runs their actions, reports. It knows nothing of runs but the steps it was handed."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import replace
from functools import partial

from provisioning.core.frozen import dataclass
from provisioning.core.model import WAITING_ACTIONS
from provisioning.core.ports import Clock, LogStore, Outcome, Report, Task, Tasks
from provisioning.core.starting import worker_target
from provisioning.core.text import capped
from provisioning.engine.actions import Action, Result
from provisioning.engine.attempt import AttemptOutput, Watcher
from provisioning.errors import ProvisioningError

ERROR_BYTES = 4096  # of a message; the log has all of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which tasks a worker takes: those for its `targets`, all when there are none named, up to `slots` at once.

    One among others gives back what it has when it stops: they begin it again. Else what is stopped is cancelled.
    """

    slots: int
    targets: Sequence[str] | None = None
    among_others: bool = False


class Worker:
    """Runs tasks. What only waits for other runs takes no slot."""

    def __init__(
        self,
        name: str,
        tasks: Tasks,
        actions: Mapping[str, Action],
        logs: LogStore,
        clock: Clock,
        *,
        place: Place,
        watcher: Watcher = lambda _step, _text: None,
        error_bytes: int = ERROR_BYTES,
    ) -> None:
        """Of an error's message `error_bytes` are reported, and with -1 only its kind; the log has all of it."""
        self._name, self._tasks, self._actions, self._logs, self._clock = name, tasks, actions, logs, clock
        self._slots, self._watcher, self._error_bytes = place.slots, watcher, error_bytes
        self._targets = None if place.targets is None else (*place.targets, worker_target(name))
        self._hidden: Sequence[str] = ()
        self._running: dict[asyncio.Task[None], Task] = {}
        self._busy = 0
        self._late: set[asyncio.Task[None]] = set()
        self._one_free = asyncio.Event()
        self._draining = self._leaving = False
        self._among_others = place.among_others
        self._claiming: asyncio.Task[None] | None = None

    @property
    def busy(self) -> int:
        """How many of its slots are taken."""
        return self._busy

    def hide(self, values: Sequence[str]) -> None:
        """Keep these values out of the output and the verdict of every step, also of those that were not given them."""
        self._hidden = values

    async def serve(self) -> None:
        """Claim and run tasks until cancelled; then stop what runs, and only return when it has stopped."""
        try:
            while not self._draining:
                await self._wait_for_slot()
                for task in await self._claimed() if not self._draining else ():
                    self._begin(task)
            while self._running or self._late:
                await asyncio.wait([*self._running, *self._late])
        finally:
            self._leaving = self._among_others
            await self._stop(list(self._running))

    def drain(self) -> None:
        """Take nothing new: `serve` returns once what runs has ended and was reported."""
        self._draining = True
        self._one_free.set()
        if self._claiming is not None:
            self._claiming.cancel()

    async def cancel(self, run: str) -> None:
        """Stop what runs for `run`, and wait until it has stopped and was reported."""
        await self._stop([job for job, task in self._running.items() if task.run == run])

    # ------------------------------------------------------------ parts

    def _mutates(self, task: Task) -> bool:
        action = self._actions.get(task.action.type)
        return action is not None and action.traits.mutates

    async def _wait_for_slot(self) -> None:
        while self._busy >= self._slots and not self._draining:
            self._one_free.clear()
            await self._one_free.wait()

    async def _claimed(self) -> list[Task]:
        """Return tasks to begin; none once we are to take nothing new."""
        mine = self._claiming = asyncio.current_task()
        try:
            return await self._tasks.claim(self._name, self._targets, self._slots - self._busy, self._mutates)
        except asyncio.CancelledError:
            if not self._draining or mine is None or mine.uncancel():  # somebody wants us to stop altogether
                raise
            return []
        finally:
            self._claiming = None

    def _begin(self, task: Task) -> None:
        job = asyncio.create_task(self._work(task))
        self._running[job] = task
        self._busy += task.action.type not in WAITING_ACTIONS
        job.add_done_callback(self._done)

    def _done(self, job: asyncio.Task[None]) -> None:
        """Free the slot. A job that could not report, because it was stopped before it began or broke, is reported here."""
        task = self._running.pop(job)
        self._busy -= task.action.type not in WAITING_ACTIONS
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
            outcome=Outcome.LOST if self._leaving and result.outcome is Outcome.CANCELLED else result.outcome,
            exit_code=result.exit_code,
            error_kind=result.error_kind,
            error=self._told(result.error),
            output=result.output,
            log=log,
            added=result.added,
            again=result.again,
            retryable=result.retryable,
            wait_s=result.wait_s,
            passes=result.passes,
            partial=result.partial,
            stops=result.stops,
            stdout=result.stdout,
            stderr=result.stderr,
        )

    def _told(self, message: str) -> str:
        """Return what is reported of an error's message. A journal takes no half characters."""
        whole = message if message.isascii() else message.encode("utf-8", "backslashreplace").decode()
        return capped(whole, self._error_bytes)

    async def _stop(self, jobs: Sequence[asyncio.Task[None]]) -> None:
        for job in jobs:
            if not job.cancelling():  # a second blow would hit it while it stops what runs on the server
                job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)

    async def _work(self, task: Task) -> None:
        await self._tasks.report(Report(task=task, worker=self._name))
        output = AttemptOutput(
            task.step,
            self._clock,
            partial(self._logs.open, task.run, task.step, task.attempt),
            self._watcher,
            self._hidden,
        )
        action = self._actions.get(task.action.type)
        try:
            result = await self._result(task, action, output)
            if result.error != self._told(result.error):
                output.note(result.error)
        finally:
            output.close()
        await self._tasks.report(self._final(task, result, output.path))

    async def _result(self, task: Task, action: Action | None, output: AttemptOutput) -> Result:
        if action is None:
            known = ", ".join(sorted(self._actions))
            message = f"no action of type {task.action.type}; this worker has: {known}"
            return replace(_failed("unknown_action", message), retryable=False)
        if task.deadline is not None and self._clock.now() >= task.deadline:
            return replace(_failed("deadline", f"the run's time was over at {task.deadline.isoformat()}"), retryable=False)
        if action.traits.eager_log:
            try:
                output.open()
            except ProvisioningError as error:  # nothing has been done yet, and nothing is to be done without a log
                return _refused(error)
        return _masked(await self._act(task, action, output), output)

    async def _act(self, task: Task, action: Action, output: AttemptOutput) -> Result:
        try:
            if action.traits.own_time or task.timeout_s is None:
                return await action.run(task, output)
            return await _within(task.timeout_s, action.run(task, output))
        except asyncio.CancelledError:
            return Result(outcome=Outcome.CANCELLED, error_kind="cancelled", error="stopped")
        except ProvisioningError as error:
            return _refused(error)
        except Exception as error:  # an action's bug must not take the worker down
            return _failed("internal", f"{type(error).__name__}: {error}")


async def _within(limit_s: float, acting: Coroutine[None, None, Result]) -> Result:
    try:
        async with asyncio.timeout(limit_s) as time:
            return await acting
    except TimeoutError:
        if not time.expired():
            raise
        message = f"not ended within {limit_s:g} s; it was stopped"
        return Result(outcome=Outcome.TIMED_OUT, error_kind="timeout", error=message)


def _masked(result: Result, output: AttemptOutput) -> Result:
    if not output.masks:
        return result
    return replace(result, error=str(output.masked(result.error)), output=output.masked(result.output))


def _failed(kind: str, message: str) -> Result:
    return Result(outcome=Outcome.FAILED, error_kind=kind, error=message)


def _refused(error: ProvisioningError) -> Result:
    return _failed(error.code, f"{error.message}; {error.hint}" if error.hint else error.message)
