"""The runner: takes what comes in, lets the core decide, commits, and hands out tasks. It never executes a step.

One turn of the loop handles everything that has come in since the last one: fold, settle, commit what happened, project it,
then dispatch. Nothing is dispatched before what led to it is on disk, in the journal and in every projection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from typing import Protocol

from provisioning.core import decide
from provisioning.core.admission import Admission
from provisioning.core.breaker import CIRCUIT_OPEN, Breakers
from provisioning.core.decide import Decision, Extent
from provisioning.core.events import Event, Kind
from provisioning.core.folding import fold
from provisioning.core.model import RunState, Workflow
from provisioning.core.placement import Place
from provisioning.core.ports import Clock, Commit, Journal, Report, Request, Timer
from provisioning.core.posting import Posting
from provisioning.core.presence import Presence
from provisioning.core.ready import GIVES_BACK, ReadyQueue
from provisioning.core.run import ACTIVE, Run, new_run
from provisioning.core.starting import handed_out
from provisioning.core.window import Window
from provisioning.engine.incoming import Incoming, Input, Sources, place_of, run_of
from provisioning.engine.limits import NO_LIMITS, Limits
from provisioning.errors import NotFoundError, UsageError


class Projection(Protocol):
    """Something derived from the journal. It may have to keep up: then nothing starts before it knows what led to it."""

    def binds(self, run: Run) -> bool:
        """Whether the steps of a run wait for it."""
        ...

    async def committed(self, run: Run, events: Sequence[Event]) -> None:
        """Take events that are in the journal. Raises StoreError when the next step must not start."""
        ...


class Store(Journal, Sources, Protocol):
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
        fence: int | None = 0,
        poll_s: float = 0.25,
        limits: Limits = NO_LIMITS,
    ) -> None:
        """`roll` is the dice for jitter; `stop_work` stops what the workers have of a run; requests are read every `poll_s`.

        Without a `fence` somebody else has to see to it that no other runner drives the same runs.
        """
        self._store, self._clock, self._roll, self._stop_work = store, clock, roll, stop_work
        self._projections, self._fence = projections, fence
        self._queue = ReadyQueue(capacity={f"pool:{name}": slots for name, slots in limits.pools.items()})
        self._posting = Posting(window=Window(slots=limits.slots), roster=limits.roster)
        self._admission, self._breakers = Admission(limit=limits.runs), Breakers()
        self._runs: dict[str, Run] = {}
        self._ended: dict[str, asyncio.Future[Run]] = {}
        self._upto: dict[str, int] = {}  # newest input of each run that was decided and is not yet in a commit
        self._incoming = Incoming(store, clock, self._runs, poll_s=poll_s)
        self._stopping: set[asyncio.Task[None]] = set()
        self._one_turn = asyncio.Lock()

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
        """Create a run, and start it unless it has to queue. Raises StaleRevision when the id exists."""
        async with self._one_turn:
            digest = await self._store.put_workflow(workflow)
            decision = self._decision(new_run(run_id, workflow), actor)
            decide.create(decision, digest, name=workflow.name, trigger=trigger, params=params or {})
            await self._take_turn({run_id: decision})
        return decision.run

    async def retry(
        self,
        run_id: str,
        *,
        from_step: str | None = None,
        keep_going: bool = False,
        max_parallel: int = 0,
        extent: Extent = Extent.NEEDED,
        actor: str = "",
        upto: int = 0,
    ) -> Run:
        """Run the failed frontier of an ended run again. Raises NotFoundError, UsageError when there is nothing to retry.

        `keep_going` and `max_parallel`, where given, replace what the run was started with; `upto` is the request's place.
        """
        async with self._one_turn:
            run = await self._load(run_id)
            if not run.ended:
                raise UsageError(f"run {run_id} has not ended: it is {run.state}", hint="cancel it first, or wait for it")
            if from_step is not None and from_step not in run.steps:
                raise NotFoundError(f"run {run_id} has no step {from_step}")
            decision = self._decision(run, actor)
            if not decide.reopen(decision, from_step, keep_going=keep_going, max_parallel=max_parallel, extent=extent):
                raise UsageError(f"run {run_id} has nothing to retry: every step succeeded")
            void = await self._store.take_requests([run_id])  # what was asked of it before it ended
            self._upto[run_id] = max([upto, *(request.id for request in void)])
            await self._take_turn({run_id: decision})
            await self._store.handled(void)
        return run

    async def replay(self, run_id: str, steps: Sequence[str], *, actor: str = "", upto: int = 0) -> Run:
        """Run failed steps again, and what waited for them, in a run that has ended or goes on. Raises as `retry` does."""
        async with self._one_turn:
            run = await self._load(run_id)
            missing = [step for step in steps if step not in run.steps]
            if missing:
                raise NotFoundError(f"run {run_id} has no step {missing[0]}")
            if not run.ended and (run.cancel_reason or run.halted_by or run.verdict is not None):
                raise UsageError(f"run {run_id} is about to end", hint="replay it when it has ended")
            decision = self._decision(run, actor)
            if not decide.replay(decision, steps):
                raise UsageError(f"run {run_id} has nothing to replay: {', '.join(steps)} did not fail, or was run again")
            self._upto[run_id] = max(upto, self._upto.get(run_id, 0))
            await self._take_turn({run_id: decision})
        return run

    async def resume(
        self, wanted: Callable[[Workflow], bool] = lambda _workflow: True, *, only: Collection[str] | None = None
    ) -> list[str]:
        """Take over the runs that nobody drives, or of them `only` these; return their ids.

        What a dead runner's workers had is handed out again, unless they live.
        """
        async with self._one_turn:
            decisions: dict[str, Decision] = {}
            for run_id in await self._store.open_runs():
                asked = run_id not in self._runs and (only is None or run_id in only)
                run = await load(self._store, run_id) if asked else None
                if run is None or not wanted(run.workflow):
                    continue
                decisions[run_id] = decision = self._decision(run, "")
                self._open(run)
                decide.recover(decision, workers_live=self._store.ordered is not None)
                if run.state is RunState.QUEUED:
                    self._admission.offer(run)
            await self._take_turn(decisions)
            for run in [decision.run for decision in decisions.values() if decision.run.cancel_reason]:
                self._store.stop(run.id, [handed_out(run, step) for step in run.steps.values() if step.state in ACTIVE])
        return list(decisions)

    async def abandon(self, run_id: str, reason: str) -> Run:
        """End a run that a dead runner left open."""
        async with self._one_turn:
            run = await load(self._store, run_id)
            decision = self._decision(run, "")
            decide.abandon(decision, reason)
            await self._take_turn({run_id: decision})
        return run

    async def cancel(self, run_id: str, reason: str, actor: str = "") -> None:
        """Ask for a run of this runner to be cancelled, without waiting for anything."""
        await self._incoming.put([Request(run=run_id, kind="cancel", actor=actor, data={"reason": reason})])

    async def ask(self, request: Request) -> None:
        """Take a request without the detour over the store; return when what follows from it is recorded."""
        async with self._one_turn:
            await self._take_turn(self._decide([request]))

    async def see(self, there: Sequence[Presence], lingering: Collection[str] = ()) -> None:
        """Take which workers are there now, and the names of those that are not but may come back.

        What was sent to one by its name, and that is neither, is lost: it is handed out again, and no retry is spent on it.
        """
        async with self._one_turn:
            changed, strays = self._posting.see(there, lingering), self._posting.strays()
            if changed or strays:
                await self._take_turn(self._decide([decide.lost(self._runs[run], step) for run, step in strays]))

    async def serve(self) -> None:
        """Take inputs until cancelled. Raises what a projection or the journal raises."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._incoming.pump())
            while True:
                await self._handle(await self._incoming.next())

    async def ended(self, run_id: str) -> Run:
        """Wait until the run has ended and every projection knows. Raises NotFoundError for one that never was."""
        ending = self._ended.get(run_id)
        return await asyncio.shield(ending) if ending is not None else await load(self._store, run_id)

    def open_runs(self) -> Mapping[str, Run]:
        """Return the runs that go on or are queued, by id. To be looked at, not to be changed."""
        return self._runs

    # ------------------------------------------------------------ one turn

    async def _handle(self, inputs: Sequence[Input]) -> None:
        """Decide and take a turn. One at a time: a decision is based on what the one before has committed."""
        async with self._one_turn:
            began_s = self._clock.monotonic_s()
            await self._take_turn(self._decide(inputs))
            if requests := [item for item in inputs if isinstance(item, Request) and item.id]:
                await self._store.handled(requests)
            self._incoming.took_turn(began_s)

    def _decide(self, inputs: Sequence[Input]) -> dict[str, Decision]:
        decisions: dict[str, Decision] = {}
        for item in inputs:
            run_id = run_of(item)
            run = self._runs.get(run_id)
            if run is None:
                continue
            if place_of(item):
                self._upto[run_id] = max(place_of(item), self._upto.get(run_id, 0))
            decision = decisions.get(run_id) or self._decision_in(decisions, run)
            if isinstance(item, Report):
                self._breakers.hear(run, item, decision.now)
                decide.on_report(decision, item, self._roll())
            elif isinstance(item, Timer):
                decide.on_timer(decision, item)
            else:
                decide.on_request(decision, item)
        return decisions

    async def _take_turn(self, decisions: dict[str, Decision]) -> None:
        """Settle, admit, dispatch, commit; project what was committed.

        Where a projection binds the run, or it is new and the journal has to say whether it may exist, that comes first.
        """
        for decision in decisions.values():
            decide.settle(decision)
        first = {id: decision for id, decision in decisions.items() if self._is_first(decision.run)}
        await self._commit(first.values())
        for decision in decisions.values():
            self._open(decision.run)
            self._requeue(decision)
            self._leave_if_ended(decision.run)
        then = {id: decision for id, decision in decisions.items() if id not in first}
        while self._start_runs(then) or self._start_steps(then):
            pass
        await self._commit(then.values())
        for run in {id: decision.run for id, decision in (*decisions.items(), *then.items())}.values():
            if run.ended:
                self._tell_ended(run)

    def _is_first(self, run: Run) -> bool:
        return self._runs.get(run.id) is not run or any(projection.binds(run) for projection in self._projections)

    def _start_runs(self, decisions: dict[str, Decision]) -> bool:
        """Start queued runs; say whether any was."""
        admitted = self._admission.admit()
        for run in admitted:
            decision = decisions.get(run.id) or self._decision_in(decisions, run)
            decide.start(decision)
            self._draw(decision)
        return bool(admitted)

    def _start_steps(self, decisions: dict[str, Decision]) -> bool:
        """Hand out what may start; say whether some of it failed on the spot, so that others may start now."""
        refused: dict[str, Decision] = {}
        for run_id, step in self._posting.ready():
            if run_id in self._runs:
                self._queue.add(self._runs[run_id], step)
        for run_id, step in self._queue.take(self._runs, self._posting.room()):
            where = self._posting.place(self._runs[run_id], self._runs[run_id].steps[step])
            if where.waits:
                self._queue.give_back(run_id, step)
                continue
            decision = decisions.get(run_id) or self._decision_in(decisions, self._runs[run_id])
            report = self._start_step(decision, step, where)
            if report is None:
                self._posting.began(run_id, decision.run.steps[step].spec, where.target)
            else:
                decide.on_report(decision, report, self._roll())
                self._queue.give_back(run_id, step)
                refused[run_id] = decision
        for decision in refused.values():
            self._draw(decision)
        return bool(refused) or self._posting.has_ready

    def _draw(self, decision: Decision) -> None:
        """Draw the consequences of what was decided after the first commit of a turn."""
        decide.settle(decision)
        self._requeue(decision)
        self._leave_if_ended(decision.run)

    def _start_step(self, decision: Decision, step: str, where: Place) -> Report | None:
        breaker = decision.run.steps[step].spec.breaker
        if breaker is not None:
            problem = self._breakers.refuses(breaker, decision.now)
            if problem:
                return decide.reject(decision, step, CIRCUIT_OPEN, problem)
        refused = decide.dispatch(decision, step, where)
        if refused is not None and breaker is not None:
            self._breakers.release(breaker)
        return refused

    async def _commit(self, decisions: Iterable[Decision]) -> None:
        changed = [decision for decision in decisions if decision.events or decision.tasks or decision.timers]
        await asyncio.gather(*(self._commit_one(decision) for decision in changed))
        for decision in [decision for decision in changed if decision.events]:
            for projection in self._projections:
                await projection.committed(decision.run, decision.events)

    async def _commit_one(self, decision: Decision) -> None:
        await self._store.commit(
            Commit(
                run=decision.run.id,
                expected_seq=decision.run.seq - len(decision.events),
                events=decision.events,
                tasks=decision.tasks,
                timers=decision.timers,
                fence=self._fence,
                upto=self._upto.pop(decision.run.id, 0),
            )
        )

    def _requeue(self, decision: Decision) -> None:
        """Return slots, queue what became ready, and pass a cancellation on to the workers."""
        run = decision.run
        for event in decision.events:
            if event.kind in GIVES_BACK:
                self._queue.give_back(run.id, event.step)
                self._posting.ended(run.id, event.step)
            elif event.kind is Kind.CANCEL_REQUESTED:
                self._stop(run.id)
            elif event.kind is Kind.RUN_CREATED:
                self._admission.offer(run)
        while run.became_ready and run.accepting:
            self._queue.add(run, run.became_ready.popleft())

    def _stop(self, run_id: str) -> None:
        stopping = asyncio.create_task(self._stop_work(run_id))
        self._stopping.add(stopping)
        stopping.add_done_callback(self._stopping.discard)

    # ------------------------------------------------------------ parts

    def _decision(self, run: Run, actor: str) -> Decision:
        return Decision(run=run, now=self._clock.now(), actor=actor)

    def _decision_in(self, decisions: dict[str, Decision], run: Run) -> Decision:
        decisions[run.id] = self._decision(run, "")
        return decisions[run.id]

    async def _load(self, run_id: str) -> Run:
        return self._runs.get(run_id) or await load(self._store, run_id)

    def _open(self, run: Run) -> None:
        """Take a run under our care, once it is in the journal."""
        if self._runs.get(run.id) is run:
            return
        self._runs[run.id] = run
        self._ended[run.id] = asyncio.get_running_loop().create_future()
        self._queue.open_run(run)
        for step in run.steps.values() if run.active else ():
            if step.state in ACTIVE:
                self._posting.began(run.id, step.spec, step.target)
        if run.state not in {RunState.CREATED, RunState.QUEUED}:
            self._admission.enter(run)

    def _leave_if_ended(self, run: Run) -> None:
        """Make room for others once a run has ended."""
        if run.ended and self._runs.pop(run.id, None) is not None:
            self._queue.close_run(run)
            self._posting.forget(run.id)
            self._admission.leave(run.id)

    def _tell_ended(self, run: Run) -> None:
        """Tell who waits for the end of a run: the journal has it."""
        ending = self._ended.pop(run.id, None)
        if ending is not None:
            ending.set_result(run)


async def load(journal: Journal, run_id: str) -> Run:
    """Fold a run from its journal. Raises NotFoundError."""
    events = await journal.events(run_id)
    if not events:
        raise NotFoundError(f"no run {run_id}")
    workflow = await journal.workflow(str(events[0].data["workflow"]))
    return fold(run_id, workflow, events)
