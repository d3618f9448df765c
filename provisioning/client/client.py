"""The client of an engine: in this process, in another one that has the same folder open, or in those of a cluster."""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Self

from provisioning import wiring
from provisioning.builder.workflow import Workflow
from provisioning.client.engine import Engine, Options, Parts
from provisioning.client.records import Debug, Info, run_debug, run_info, summary_info
from provisioning.codec import CodecError, encode, refuse_misfit
from provisioning.core import model
from provisioning.core.decide import Extent
from provisioning.core.declare import NAME_PATTERN
from provisioning.core.events import Event
from provisioning.core.history import DeadLetter, RunSummary, StepRecord
from provisioning.core.letters import refuse_replayed
from provisioning.core.model import NO_LABELS, RUN_ENDED, STEP_ENDED, STEP_GOOD, RunState, StepState
from provisioning.core.ports import Request
from provisioning.core.why import blockers, holders
from provisioning.engine.runner import Runner, load
from provisioning.errors import (
    ExistsError,
    NotFoundError,
    StaleRevision,
    StepCancelled,
    StepFailed,
    StepSkipped,
    UsageError,
    WaitTimeout,
)
from provisioning.operations.orders import create, order, refuse_retry

FIRST_LOOK_S, LONGEST_LOOK_S = 0.005, 0.25


class Client:
    """Submits, watches and steers runs. `async with` it; `connect` makes one."""

    def __init__(self, opening: AbstractAsyncContextManager[Parts], options: Options, *, execute: bool, actor: str) -> None:
        self._opening, self._options, self._execute, self._actor = opening, options, execute, actor
        self._open = AsyncExitStack()
        self._engine: Engine | None = None
        self._opened: Parts | None = None

    async def __aenter__(self) -> Self:
        """Open the store and start the engine, unless another process has it; then we take over when that one is gone.

        Raises StoreError, ConfigError, and ClusterUnreachable where no server of a cluster answers.
        """
        async with AsyncExitStack() as stack:
            self._opened = await stack.enter_async_context(self._opening)
            if self._execute:
                self._engine = Engine(self._opened, self._options)
                stack.push_async_callback(self._engine.stop)
                await self._engine.start()
            self._open = stack.pop_all()
        return self

    async def __aexit__(
        self, type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop. Runs that have not ended go on with the next engine on the same store."""
        try:
            await self._open.__aexit__(type, error, trace)
        finally:
            self._opened, self._engine = None, None

    @property
    def _parts(self) -> Parts:
        if self._opened is None:
            raise RuntimeError("use the client with `async with`, and inside it")
        return self._opened

    # ------------------------------------------------------------ submit

    async def submit(
        self,
        workflow: Workflow | model.Workflow,
        run_id: str | None = None,
        idempotency_key: str | None = None,
        *,
        params: Mapping[str, object] | None = None,
    ) -> str:
        """Start a run, durably, and return its id. The same `idempotency_key` of the same workflow is the same run.

        Raises UsageError for a workflow that cannot be and for what JSON cannot hold, ExistsError for a run id that is taken.
        """
        if params is not None and not (isinstance(params, Mapping) and all(isinstance(name, str) for name in params)):
            raise UsageError(f"params is {params!r:.80}, expected a mapping from names to values")
        _refuse_unstorable("params", params)
        flow = workflow.build() if isinstance(workflow, Workflow) else workflow
        _refuse_misfit(flow)
        if run_id is not None and idempotency_key is not None:
            raise UsageError("a run has either an id or an idempotency key", hint="the key makes the id")
        name = run_id
        if name is None:
            name = wiring.new_run_id() if idempotency_key is None else _keyed(flow.name, idempotency_key)
        _check_run_id(name)
        try:
            await self._create(name, flow, params or {})
        except StaleRevision:
            if idempotency_key is None:
                raise ExistsError(f"run {name} exists already", hint="leave the id out to get a new one") from None
        return name

    async def _create(self, run_id: str, flow: model.Workflow, params: Mapping[str, object]) -> None:
        runner = self._runner()
        if runner is not None:
            await runner.submit(run_id, flow, trigger="client", actor=self._actor, params=params)
            return
        parts = self._parts
        await create(parts.store, parts.clock, run_id, flow, trigger="client", actor=self._actor, params=params)

    # ------------------------------------------------------------ watch

    async def info(self, run_id: str) -> Info:
        """Return a run as it stands. Raises NotFoundError."""
        await self._catch_up()
        history = self._parts.store.history
        detail = history.run(run_id)
        return run_info(detail, history.outputs(detail.run_id))

    async def list(
        self, limit: int = 50, *, status: str | None = None, workflow: str | None = None, labels: Mapping[str, str] = NO_LABELS
    ) -> tuple[Info, ...]:
        """Return the newest runs first, without their steps: those in a status, of a workflow, with all of `labels`."""
        await self._catch_up()
        if status is not None and status not in set(RunState):
            raise UsageError(f"no such status {status!r}; there are: {', '.join(RunState)}")
        found = self._parts.store.history.list_runs(limit, state=status, workflow=workflow, labels=labels)
        return tuple(summary_info(one) for one in found)

    async def watch(self, run_id: str, after: int = 0) -> AsyncIterator[Event]:
        """Yield the events of a run with seq > `after` as they are recorded, until it has ended. Raises NotFoundError."""
        await self._catch_up()
        look_s = FIRST_LOOK_S
        while True:
            summary = self._summary(run_id)
            if summary.last_seq > after:
                for event in await self._parts.store.events(run_id, after):
                    after = event.seq
                    yield event
            elif summary.state in RUN_ENDED:
                return
            else:
                look_s = await self._pause_between(look_s, None, "")

    async def wait(self, run_id: str, timeout_s: float | None = None) -> Info:
        """Wait for the end of a run, and return it. Raises NotFoundError, WaitTimeout."""
        await self._catch_up()
        until, look_s = _until(timeout_s), FIRST_LOOK_S
        if self._engine is not None:
            await self._engine.ended(run_id, timeout_s)
        while self._summary(run_id).state not in RUN_ENDED:
            look_s = await self._pause_between(look_s, until, f"run {run_id} has not ended within {timeout_s or 0:g} s")
        return await self.info(run_id)

    async def result(self, run_id: str, step_id: str, timeout_s: float | None = None) -> object:
        """Wait for a step, and return its result.

        Raises StepFailed, StepSkipped, StepCancelled by what became of it, WaitTimeout, NotFoundError for a run that there is
        not. A step that is not there yet may still be added, until the run has ended.
        """
        await self._catch_up()
        until, look_s = _until(timeout_s), FIRST_LOOK_S
        while True:
            run_ended = self._summary(run_id).state in RUN_ENDED  # looked at first: what it has ended with is there then
            step = self._step(run_id, step_id, or_none=not run_ended)
            if step is not None and step.state in STEP_ENDED:
                return self._value(run_id, step)
            message = f"step {step_id} of run {run_id} has not ended within {timeout_s or 0:g} s"
            look_s = await self._pause_between(look_s, until, message)

    def _step(self, run_id: str, step_id: str, *, or_none: bool) -> StepRecord | None:
        try:
            return self._parts.store.history.step(run_id, step_id)
        except NotFoundError:
            if or_none:
                return None
            raise

    def _value(self, run_id: str, step: StepRecord) -> object:
        if step.state in STEP_GOOD:
            return self._parts.store.history.output(run_id, step.step)
        if step.state is StepState.SKIPPED:
            raise StepSkipped(f"step {step.step} was skipped: {step.reason}", run_id=run_id)
        if step.state is StepState.CANCELLED:
            raise StepCancelled(f"step {step.step} was cancelled: {step.reason}", run_id=run_id)
        word = step.state.value.replace("_", " ")
        raise StepFailed(f"step {step.step} {word}: {step.error_kind}: {step.error}", run_id=run_id)

    async def debug(self, run_id: str) -> Debug:
        """Return where a run stands: counts, durations, and what keeps each step that waits. Raises NotFoundError."""
        await self._catch_up()
        self._summary(run_id)
        store = self._parts.store
        run = await load(store, run_id)
        others = [await load(store, other) for other in await store.open_runs() if other != run_id]
        events = await store.events(run_id)
        now = self._parts.clock.now()
        capacity = self._options.pools if self._parts.there is None else None  # else they are those of whoever decides
        there = await self._parts.there() if self._parts.there is not None else None
        return run_debug(run, events, partial(blockers, held=holders([run, *others]), capacity=capacity, there=there), now)

    async def dead_letters(
        self, limit: int = 50, *, replayed: bool | None = False, workflow: str | None = None, before: int | None = None
    ) -> tuple[DeadLetter, ...]:
        """Return the newest dead letters first; `before` is an id and continues a list after it. `replayed` None: all."""
        await self._catch_up()
        found = self._parts.store.history.dead_letters(limit, replayed=replayed, workflow=workflow, before=before)
        return tuple(found)

    async def purge_dead_letters(self, *, before: datetime | None = None, waiting: bool = False) -> int:
        """Remove dead letters that were replayed, `waiting` ones too; only those that died `before`. Return how many."""
        self._check()
        return await self._parts.store.delete_dead_letters(before=before, waiting=waiting)

    # ------------------------------------------------------------ steer

    async def cancel(self, run_id: str, reason: str = "cancelled") -> None:
        """Stop a run: what runs is stopped, the rest does not start. Raises UsageError for one that has ended."""
        await self._ask(run_id, "cancel", {"reason": reason})

    async def pause(self, run_id: str) -> None:
        """Let what runs finish and start nothing new. Raises UsageError for a run that is not running."""
        await self._catch_up()
        state = self._summary(run_id).state
        if state is not RunState.RUNNING:
            raise UsageError(f"run {run_id} is not running: it is {state.value}")
        await self._ask(run_id, "pause", {})

    async def resume(self, run_id: str) -> None:
        """Go on after a pause; a run that goes on already stays as it is. Raises UsageError for one that has ended."""
        await self._ask(run_id, "resume", {})

    async def signal(self, run_id: str, name: str, payload: object = None) -> None:
        """Deliver a signal. The first delivery counts; it may come before the step that waits for it is there.

        Raises UsageError for a payload that JSON cannot hold, as `approve` does.
        """
        _refuse_unstorable("payload", payload)
        await self._ask(run_id, "open_gate", {"kind": "signal", "name": name, "payload": payload})

    async def approve(self, run_id: str, name: str, payload: object = None) -> None:
        """Open an approval gate."""
        _refuse_unstorable("payload", payload)
        await self._ask(run_id, "open_gate", {"kind": "approval", "name": name, "payload": payload})

    async def release(self, run_id: str, name: str) -> None:
        """Let go of what is held under this name."""
        await self._ask(run_id, "open_gate", {"kind": "hold", "name": name})

    async def continue_(self, run_id: str, step_id: str | None = None) -> None:
        """Go on from the breakpoints at which steps stop now, or at which one step does. They stay armed for a retry.

        Raises NotFoundError for a step that there is not.
        """
        if step_id is not None:
            await self._catch_up()
            self._step(run_id, step_id, or_none=False)
        await self._ask(run_id, "continue", {"step": step_id or ""})

    async def retry(self, run_id: str, from_step: str | None = None) -> None:
        """Run what failed of an ended run again, or a step and all below it. Raises UsageError, NotFoundError."""
        await self._catch_up()
        self._summary(run_id)
        runner = self._runner()
        if runner is not None:
            await runner.retry(run_id, from_step=from_step, actor=self._actor)
            return
        await self._refuse_retry(run_id, from_step)
        await self._order_and_see(run_id, "retry", {"run": run_id, "from_step": from_step or ""})

    async def replay(self, letter_id: int) -> str:
        """Run the step of a dead letter again, and what its failure kept from running; return the run's id.

        Raises NotFoundError, UsageError for one that was replayed before.
        """
        await self._catch_up()
        letter = self._parts.store.history.dead_letter(letter_id)
        refuse_replayed(letter)
        runner = self._runner()
        if runner is not None:
            await runner.replay(letter.run_id, [letter.step], actor=self._actor)
        else:
            await self._order_and_see(letter.run_id, "replay", {"run": letter.run_id, "step": letter.step})
        return letter.run_id

    async def delete(self, run_id: str, *, force: bool = False) -> None:
        """Remove every trace of a run. One that has not ended is refused, or cancelled first with `force`."""
        await self._catch_up()
        if self._summary(run_id).state not in RUN_ENDED:
            if not force:
                raise UsageError(f"run {run_id} has not ended", hint="cancel it first, or delete it with force")
            await self.cancel(run_id, "deleted")
            await self.wait(run_id)
        await self._parts.store.delete(run_id)
        self._parts.logs.delete(run_id)

    # ------------------------------------------------------------ parts

    async def _catch_up(self) -> None:
        """See to it that what anybody has committed until now is seen."""
        self._check()
        if self._parts.catch_up is not None:
            await self._parts.catch_up()

    def _check(self) -> None:
        if self._engine is not None:
            self._engine.check()

    def _runner(self) -> Runner | None:
        self._check()
        return self._engine.runner if self._engine is not None else None

    def _summary(self, run_id: str) -> RunSummary:
        self._check()
        return self._parts.store.history.summary(run_id)

    async def _ask(self, run_id: str, kind: str, data: Mapping[str, object]) -> None:
        await self._catch_up()
        state = self._summary(run_id).state
        if state in RUN_ENDED:
            raise UsageError(f"run {run_id} has ended: {state.value}")
        request = Request(run=run_id, kind=kind, actor=self._actor, data=data)
        runner = self._runner()
        if runner is not None and run_id in runner.open_runs():
            await runner.ask(request)
        else:
            await self._parts.store.request(request)

    async def _order_and_see(self, run_id: str, kind: str, data: Mapping[str, object]) -> None:
        """Order, and wait until something has come of it: whoever drives the store looks several times a second."""
        before = self._summary(run_id).last_seq
        await order(self._parts.store, kind, self._actor, data)
        until, look_s = time.monotonic() + 10, FIRST_LOOK_S
        while self._summary(run_id).last_seq == before:
            message = f"no engine has taken up run {run_id}; it is done when one starts on this store"
            look_s = await self._pause_between(look_s, until, message)

    async def _refuse_retry(self, run_id: str, from_step: str | None) -> None:
        """Raise what the runner would."""
        refuse_retry(await load(self._parts.store, run_id), from_step, Extent.NEEDED, self._parts.clock)

    async def _pause_between(self, look_s: float, until: float | None, message: str) -> float:
        """Wait for a commit of ours, or a while; return how long the next while is. Raises WaitTimeout."""
        left = None if until is None else until - time.monotonic()
        if left is not None and left <= 0:
            raise WaitTimeout(message)
        try:
            async with asyncio.timeout(look_s if left is None else min(look_s, left)):
                await self._parts.bell.heard()
        except TimeoutError:
            return min(look_s * 2, LONGEST_LOOK_S)
        return FIRST_LOOK_S


def _refuse_unstorable(what: str, value: object) -> None:
    """Raise UsageError for what JSON cannot hold."""
    try:
        encode(value)
    except CodecError as error:
        raise UsageError(f"{what} cannot be stored: {error}", hint="give numbers, texts, lists and mappings") from error


def _refuse_misfit(flow: model.Workflow) -> None:
    """Raise UsageError for what could be stored, and not be read again by whoever drives the run."""
    try:
        refuse_misfit(flow)
    except CodecError as error:
        for step in flow.steps:
            _refuse_unstorable(f"an argument of step {step.id}", step.args)
        raise UsageError(f"workflow {flow.name} cannot be: {error}") from error


def _until(timeout_s: float | None) -> float | None:
    return None if timeout_s is None else time.monotonic() + timeout_s


def _keyed(workflow: str, key: str) -> str:
    """Return the run id that a key of a workflow stands for."""
    return "k-" + hashlib.sha256(f"{workflow}\0{key}".encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _check_run_id(run_id: str) -> None:
    if not re.fullmatch(NAME_PATTERN, run_id) or ".." in run_id:
        raise UsageError(f"{run_id!r} is no run id", hint="1 to 128 letters, digits, dots, dashes and underscores")
