"""The runner: takes what comes in, lets the core decide, commits, and hands out tasks. It never executes a step.

One turn of the loop handles everything that has come in since the last one: fold, settle, commit what happened, project it,
then dispatch. Nothing is dispatched before what led to it is on disk, in the journal and in every projection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Protocol

from provisioning.core import decide
from provisioning.core.decide import Decision
from provisioning.core.events import Event, Kind
from provisioning.core.model import Workflow
from provisioning.core.ports import Clock, Commit, Inbox, Journal, Report, Request, Tasks, Timer, Timers
from provisioning.core.ready import ReadyQueue
from provisioning.core.run import Run, fold, new_run
from provisioning.errors import NotFoundError, UsageError

GIVES_BACK = frozenset(
    {
        Kind.STEP_SUCCEEDED,
        Kind.STEP_FAILED,
        Kind.STEP_TIMED_OUT,
        Kind.STEP_CANCELLED,
        Kind.STEP_INTERRUPTED,
        Kind.STEP_RETRY_WAIT,
        Kind.STEP_LEASE_LOST,
    }
)
GATHER = 2  # times the last turn's duration
LONGEST_GATHER_S = 0.03


class Projection(Protocol):
    """Something derived from the journal that has to keep up with it."""

    async def committed(self, run: Run, events: Sequence[Event]) -> None:
        """Take events that are in the journal. Raises StoreError when the next step must not start."""
        ...


class Store(Journal, Inbox, Tasks, Timers, Protocol):
    """What one backend offers to the runner."""


class Runner:
    """Drives any number of runs over one store."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        roll: Callable[[], float],
        stop_work: Callable[[str], Coroutine[None, None, None]],
        projections: Sequence[Projection] = (),
        fence: int = 0,
        poll_s: float = 0.25,
    ) -> None:
        """`roll` is the dice for jitter; `stop_work` stops what the workers have of a run; requests are read every `poll_s`."""
        self._store, self._clock, self._roll, self._stop_work = store, clock, roll, stop_work
        self._projections, self._fence, self._poll_s = projections, fence, poll_s
        self._queue = ReadyQueue()
        self._runs: dict[str, Run] = {}
        self._ended: dict[str, asyncio.Future[Run]] = {}
        self._inputs: asyncio.Queue[Sequence[Report | Timer | Request]] = asyncio.Queue()
        self._stopping: set[asyncio.Task[None]] = set()
        self._one_turn = asyncio.Lock()
        self._not_before_s = float("-inf")

    # ------------------------------------------------------------ calls

    async def submit(
        self,
        run_id: str,
        workflow: Workflow,
        *,
        trigger: str = "manual",
        actor: str = "",
        params: Mapping[str, object] | None = None,
    ) -> Run:
        """Create a run and start it. Raises StaleRevision when the id exists."""
        async with self._one_turn:
            digest = await self._store.put_workflow(workflow)
            decision = self._decision(new_run(run_id, workflow), actor)
            decide.create(decision, digest, name=workflow.name, trigger=trigger, params=params or {})
            await self._take_turn({run_id: decision})
        return decision.run

    async def retry(
        self, run_id: str, *, from_step: str | None = None, keep_going: bool = False, max_parallel: int = 0, actor: str = ""
    ) -> Run:
        """Run the failed frontier of an ended run again. Raises NotFoundError, UsageError when there is nothing to retry.

        `keep_going` and `max_parallel`, where given, replace what the run was started with.
        """
        async with self._one_turn:
            run = await load(self._store, run_id)
            if not run.ended:
                raise UsageError(f"run {run_id} has not ended: it is {run.state}", hint="cancel it first, or wait for it")
            if from_step is not None and from_step not in run.steps:
                raise NotFoundError(f"run {run_id} has no step {from_step}")
            decision = self._decision(run, actor)
            if not decide.reopen(decision, from_step, keep_going=keep_going, max_parallel=max_parallel):
                raise UsageError(f"run {run_id} has nothing to retry: every step succeeded")
            await self._store.take_requests([run_id])  # what was asked of it before it ended is void
            await self._take_turn({run_id: decision})
        return run

    async def abandon(self, run_id: str, reason: str) -> Run:
        """End a run that a dead runner left open."""
        async with self._one_turn:
            run = await load(self._store, run_id)
            decision = self._decision(run, "")
            decide.abandon(decision, reason)
            await self._take_turn({run_id: decision})
        return run

    async def cancel(self, run_id: str, reason: str, actor: str = "") -> None:
        """Ask for a run of this runner to be cancelled."""
        await self._inputs.put([Request(run=run_id, kind="cancel", actor=actor, data={"reason": reason})])

    async def serve(self) -> None:
        """Take inputs until cancelled. Raises what a projection or the journal raises."""
        async with asyncio.TaskGroup() as group:
            for pump in (self._pump(self._store.reports), self._pump(self._store.due), self._poll()):
                group.create_task(pump)
            while True:
                await self._handle(await self._next_inputs())

    async def ended(self, run_id: str) -> Run:
        """Wait until the run has ended and every projection knows. Raises NotFoundError for one that never was."""
        ending = self._ended.get(run_id)
        return await asyncio.shield(ending) if ending is not None else await load(self._store, run_id)

    # ------------------------------------------------------------ one turn

    async def _handle(self, inputs: Sequence[Report | Timer | Request]) -> None:
        """Decide and take a turn. One at a time: a decision is based on what the one before has committed."""
        async with self._one_turn:
            began_s = self._clock.monotonic_s()
            await self._take_turn(self._decide(inputs))
            now_s = self._clock.monotonic_s()
        self._not_before_s = now_s + min(GATHER * (now_s - began_s), LONGEST_GATHER_S)

    def _decide(self, inputs: Sequence[Report | Timer | Request]) -> Mapping[str, Decision]:
        decisions: dict[str, Decision] = {}
        for item in inputs:
            run_id = item.task.run if isinstance(item, Report) else item.run
            run = self._runs.get(run_id)
            if run is None:
                continue
            decision = decisions.setdefault(run_id, self._decision(run, ""))
            if isinstance(item, Report):
                decide.on_report(decision, item, self._roll())
            elif isinstance(item, Timer):
                decide.on_timer(decision, item)
            else:
                decide.on_request(decision, item)
        return decisions

    async def _take_turn(self, decisions: Mapping[str, Decision]) -> None:
        """Settle, commit, project; then dispatch what may start."""
        for decision in decisions.values():
            decide.settle(decision)
        await self._commit(decisions.values())
        for decision in decisions.values():
            self._open(decision.run)
            self._requeue(decision)
        started: dict[str, Decision] = {}
        for run_id, step in self._queue.take(self._runs):
            decide.dispatch(started.setdefault(run_id, self._decision(self._runs[run_id], "")), step)
        await self._commit(started.values())
        for decision in decisions.values():
            if decision.run.ended:
                self._close(decision.run)

    async def _commit(self, decisions: Iterable[Decision]) -> None:
        changed = [decision for decision in decisions if decision.events]
        await asyncio.gather(*(self._commit_one(decision) for decision in changed))
        for decision in changed:
            for projection in self._projections:
                await projection.committed(decision.run, decision.events)

    async def _commit_one(self, decision: Decision) -> None:
        await self._store.commit(
            Commit(
                run=decision.run.id,
                expected_seq=decision.events[0].seq - 1,
                events=decision.events,
                tasks=decision.tasks,
                timers=decision.timers,
                fence=self._fence,
            )
        )

    def _requeue(self, decision: Decision) -> None:
        """Return slots, queue what became ready, and pass a cancellation on to the workers."""
        run = decision.run
        for event in decision.events:
            if event.kind in GIVES_BACK:
                self._queue.give_back(run.id, event.step)
            elif event.kind is Kind.CANCEL_REQUESTED:
                self._stop(run.id)
            elif event.kind is Kind.RUN_RESUMED:
                run.became_ready.extend(id for id, step in run.steps.items() if step.state == "ready")
        while run.became_ready and run.accepting:
            self._queue.add(run, run.became_ready.popleft())

    def _stop(self, run_id: str) -> None:
        stopping = asyncio.create_task(self._stop_work(run_id))
        self._stopping.add(stopping)
        stopping.add_done_callback(self._stopping.discard)

    # ------------------------------------------------------------ parts

    def _decision(self, run: Run, actor: str) -> Decision:
        return Decision(run=run, now=self._clock.now(), actor=actor)

    def _open(self, run: Run) -> None:
        """Take a run under our care, once it is in the journal."""
        if self._runs.get(run.id) is run:
            return
        self._runs[run.id] = run
        self._ended[run.id] = asyncio.get_running_loop().create_future()
        self._queue.open_run(run)

    def _close(self, run: Run) -> None:
        """Forget a run: the journal has it."""
        del self._runs[run.id]
        self._queue.close_run(run)
        self._ended.pop(run.id).set_result(run)

    async def _pump(self, source: Callable[[], Awaitable[Sequence[Report] | Sequence[Timer]]]) -> None:
        while True:
            await self._inputs.put(await source())

    async def _poll(self) -> None:
        while True:
            await self._clock.sleep(self._poll_s)
            if self._runs and (requests := await self._store.take_requests(list(self._runs))):
                await self._inputs.put(requests)

    async def _next_inputs(self) -> list[Report | Timer | Request]:
        """Wait for input. While it keeps coming, let more of it gather: a commit costs the same for one report as for ten."""
        inputs = list(await self._inputs.get())
        wait_s = self._not_before_s - self._clock.monotonic_s()
        if wait_s > 0:
            await self._clock.sleep(wait_s)
        while not self._inputs.empty():
            inputs.extend(self._inputs.get_nowait())
        return inputs


async def load(journal: Journal, run_id: str) -> Run:
    """Fold a run from its journal. Raises NotFoundError."""
    events = await journal.events(run_id)
    if not events:
        raise NotFoundError(f"no run {run_id}")
    workflow = await journal.workflow(str(events[0].data["workflow"]))
    return fold(run_id, workflow, events)
