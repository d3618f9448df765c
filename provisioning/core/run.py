"""Fold: the events of a run, applied in order, give its state.

Edges and `remaining` counters are built once; a terminal event walks only the out-edges of its step, so a whole run costs
O(V + E). Nothing here recurses, reads a clock or rolls a dice.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from provisioning.core.events import Event, Kind
from provisioning.core.model import (
    RUN_ENDED,
    STEP_ENDED,
    STEP_FAILED,
    STEP_GOOD,
    On,
    OnFailure,
    RunState,
    Step,
    StepState,
    Workflow,
)

ACTIVE = frozenset({StepState.DISPATCHED, StepState.RUNNING})


@dataclass(slots=True)
class StepRun:
    """A step in a run. Only `Run.apply` changes it."""

    spec: Step
    index: int  # declaration order
    remaining: int  # dependencies not yet satisfied, plus gates not yet open
    rank: int = 0  # steps on the longest path from here to an end, this one included
    state: StepState = StepState.PENDING
    attempt: int = 0
    attempts_before: int = 0  # the run was opened again: these do not count for the retry policy
    epoch: int = 0
    crash_count: int = 0
    lost: bool = False  # the next dispatch repeats the attempt instead of starting a new one
    blocked: bool = False  # skipped because something it needs failed, not because a condition did not hold
    because: str = ""  # the step at the root of a skip
    reason: str = ""
    worker: str = ""
    exit_code: int | None = None
    error_kind: str = ""
    error: str = ""
    output: object = None
    log: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass(slots=True)
class Run:
    """The state of one run: fold of its events over its workflow."""

    id: str
    workflow: Workflow
    steps: dict[str, StepRun]
    out_edges: dict[str, list[tuple[str, On]]]
    state: RunState = RunState.CREATED
    reason: str = ""
    seq: int = 0
    counts: Counter[StepState] = field(default_factory=Counter)
    opened: set[tuple[str, str]] = field(default_factory=set)  # gates by (kind, name)
    halted_by: str = ""  # the step whose failure stops new ones from starting
    cancel_reason: str = ""
    became_ready: deque[str] = field(default_factory=deque)  # not yet taken by the dispatcher
    doomed: deque[tuple[str, str]] = field(default_factory=deque)  # (step, cause): can no longer start
    created_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def ended(self) -> bool:
        """Whether the run is in a terminal state."""
        return self.state in RUN_ENDED

    @property
    def active(self) -> int:
        """How many steps a worker has."""
        return self.counts[StepState.DISPATCHED] + self.counts[StepState.RUNNING]

    @property
    def unended(self) -> int:
        """How many steps are not in a terminal state."""
        return len(self.steps) - sum(self.counts[state] for state in STEP_ENDED)

    @property
    def accepting(self) -> bool:
        """Whether new steps may be dispatched, halting aside."""
        return self.state is RunState.RUNNING and not self.cancel_reason

    def outputs(self) -> dict[str, object]:
        """Return the outputs of the steps that succeeded, by id."""
        return {id: step.output for id, step in self.steps.items() if step.state in STEP_GOOD}

    def apply(self, event: Event) -> None:
        """Fold one event in. What was seen before, or belongs to an older attempt or epoch, changes nothing but `seq`."""
        self.seq = event.seq or self.seq + 1
        _FOLD[event.kind](self, event)

    # ------------------------------------------------------------ parts of apply

    def _move(self, step: StepRun, state: StepState) -> None:
        self.counts[step.state] -= 1
        self.counts[state] += 1
        step.state = state

    def _ready(self, step: StepRun) -> None:
        self._move(step, StepState.READY)
        self.became_ready.append(step.spec.id)

    def _one_less(self, step: StepRun) -> None:
        step.remaining -= 1
        if step.remaining == 0 and step.state is StepState.PENDING:
            self._ready(step)

    def _end(self, step: StepRun, state: StepState, event: Event) -> None:
        """Put a step into a terminal state and walk its out-edges."""
        self._move(step, state)
        step.ended_at = event.at
        self._record(step, event)
        for target_id, on in self.out_edges[step.spec.id]:
            target = self.steps[target_id]
            if target.state in STEP_ENDED:
                continue
            if satisfied(on, state):
                self._one_less(target)
            else:
                self.doomed.append((target_id, step.spec.id))

    def _record(self, step: StepRun, event: Event) -> None:
        data = event.data
        step.reason = str(data.get("reason", ""))
        step.because = str(data.get("because", ""))
        step.blocked = bool(data.get("blocked", False))
        exit_code = data.get("exit_code")
        step.exit_code = exit_code if isinstance(exit_code, int) else None
        error = data.get("error")
        if isinstance(error, dict):
            step.error_kind, step.error = str(error.get("kind", "")), str(error.get("message", ""))
        step.output = data.get("output")
        step.log = str(data.get("log", step.log))


def satisfied(on: On, state: StepState) -> bool:
    """Whether an edge is satisfied by the terminal `state` of the step it comes from."""
    if on is On.SUCCESS:
        return state in STEP_GOOD
    return on is On.DONE or state in STEP_FAILED


def new_run(run_id: str, workflow: Workflow) -> Run:
    """Build a run before its first event: counters, out-edges, ranks. O(V + E)."""
    steps = {
        spec.id: StepRun(spec=spec, index=index, remaining=len(set(spec.deps)) + len(set(spec.gates)))
        for index, spec in enumerate(workflow.steps)
    }
    out_edges: dict[str, list[tuple[str, On]]] = {id: [] for id in steps}
    for spec in workflow.steps:
        for dep in dict.fromkeys(spec.deps):
            out_edges[dep.step].append((spec.id, dep.on))
    run = Run(id=run_id, workflow=workflow, steps=steps, out_edges=out_edges)
    run.counts[StepState.PENDING] = len(steps)
    _set_ranks(run)
    return run


def _set_ranks(run: Run) -> None:
    """Longest remaining path, in steps, by peeling the DAG from its ends."""
    open_edges = {id: len(edges) for id, edges in run.out_edges.items()}
    peeled = deque(id for id, count in open_edges.items() if count == 0)
    while peeled:
        step = run.steps[peeled.popleft()]
        step.rank += 1
        for dep in dict.fromkeys(step.spec.deps):
            before = run.steps[dep.step]
            before.rank = max(before.rank, step.rank)
            open_edges[dep.step] -= 1
            if open_edges[dep.step] == 0:
                peeled.append(dep.step)


def fold(run_id: str, workflow: Workflow, events: Iterable[Event]) -> Run:
    """Return the state after `events`."""
    run = new_run(run_id, workflow)
    for event in events:
        run.apply(event)
    return run


# ---------------------------------------------------------------- one function per event kind


def _among(run: Run, event: Event, *states: StepState) -> StepRun | None:
    """Return the event's step if it is in one of `states`."""
    step = run.steps.get(event.step)
    return step if step is not None and step.state in states else None


def _current(run: Run, event: Event, *states: StepState) -> StepRun | None:
    """Return the event's step if it is in one of `states` and the event is of its newest epoch, or of none."""
    step = _among(run, event, *states)
    return step if step is not None and event.epoch in {0, step.epoch} else None


def _created(run: Run, event: Event) -> None:
    run.state, run.created_at = RunState.QUEUED, event.at


def _started(run: Run, event: Event) -> None:
    run.state, run.started_at = RunState.RUNNING, event.at
    for step in run.steps.values():
        if step.remaining == 0 and step.state is StepState.PENDING and not step.spec.unchanged:
            run._ready(step)


def _halting(run: Run, event: Event) -> None:
    run.halted_by = run.halted_by or event.step


def _cancel(run: Run, event: Event) -> None:
    run.cancel_reason = run.cancel_reason or str(event.data.get("reason", "cancelled"))


def _pause(run: Run, _event: Event) -> None:
    if run.state is RunState.RUNNING:
        run.state = RunState.PAUSING


def _paused(run: Run, _event: Event) -> None:
    run.state = RunState.PAUSED


def _resumed(run: Run, _event: Event) -> None:
    if run.state in {RunState.PAUSING, RunState.PAUSED}:
        run.state = RunState.RUNNING


def _finished(run: Run, event: Event) -> None:
    run.state, run.ended_at = RunState(str(event.data["state"])), event.at
    run.reason = str(event.data.get("reason", ""))


def _gate_opened(run: Run, event: Event) -> None:
    name = (str(event.data["kind"]), str(event.data["name"]))
    if name in run.opened:
        return
    run.opened.add(name)
    for step in run.steps.values():
        if any((gate.kind.value, gate.name) == name for gate in step.spec.gates) and step.state is StepState.PENDING:
            run._one_less(step)


def _dispatched(run: Run, event: Event) -> None:
    if step := _among(run, event, StepState.READY):
        run._move(step, StepState.DISPATCHED)
        step.attempt, step.epoch, step.lost = event.attempt, event.epoch, False
        step.started_at = step.ended_at = None


def _step_started(run: Run, event: Event) -> None:
    if step := _current(run, event, StepState.DISPATCHED):
        run._move(step, StepState.RUNNING)
        step.started_at, step.worker = event.at, str(event.data.get("worker", ""))


def _ender(state: StepState, *sources: StepState) -> Callable[[Run, Event], None]:
    def end(run: Run, event: Event) -> None:
        if step := _current(run, event, *sources):
            run._end(step, state, event)

    return end


def _retry_wait(run: Run, event: Event) -> None:
    if step := _current(run, event, *ACTIVE):
        run._record(step, event)
        run._move(step, StepState.RETRY_WAIT)


def _retry_due(run: Run, event: Event) -> None:
    step = _among(run, event, StepState.RETRY_WAIT)
    if step and step.attempt == event.attempt:
        run._ready(step)


def _lease_lost(run: Run, event: Event) -> None:
    if step := _current(run, event, *ACTIVE):
        step.crash_count += 1
        step.lost = True
        run._ready(step)


def _reopened(run: Run, event: Event) -> None:
    again = event.data.get("steps")
    run.state, run.halted_by, run.cancel_reason, run.reason, run.ended_at = RunState.RUNNING, "", "", "", None
    run.doomed.clear()  # what was doomed before has ended, or is looked at again
    run.workflow = _with_policy(run.workflow, event.data)
    names = [str(name) for name in again] if isinstance(again, list | tuple) else []
    for name in names:
        run._move(run.steps[name], StepState.PENDING)
    for name in names:
        _wait_again(run, run.steps[name])


def _with_policy(workflow: Workflow, data: Mapping[str, object]) -> Workflow:
    policy = workflow.policy
    if "on_failure" in data:
        policy = replace(policy, on_failure=OnFailure(str(data["on_failure"])))
    limit = data.get("max_parallel")
    return replace(workflow, policy=replace(policy, max_parallel=limit) if isinstance(limit, int) else policy)


def _wait_again(run: Run, step: StepRun) -> None:
    """Count what a reopened step waits for. An edge that can no longer be satisfied dooms it again."""
    step.blocked, step.because, step.reason, step.error_kind, step.error = False, "", "", "", ""
    step.attempts_before, step.crash_count = step.attempt, 0
    step.remaining = sum((gate.kind.value, gate.name) not in run.opened for gate in set(step.spec.gates))
    for dep in dict.fromkeys(step.spec.deps):
        state = run.steps[dep.step].state
        if state in STEP_ENDED and satisfied(dep.on, state):
            continue
        step.remaining += 1
        if state in STEP_ENDED:
            run.doomed.append((step.spec.id, dep.step))
    if step.remaining == 0:
        run._ready(step)


def _nothing(_run: Run, _event: Event) -> None:
    """An event that is a record only."""


_WAITING = (StepState.PENDING, StepState.READY, StepState.RETRY_WAIT)
_ANY_UNENDED = (*_WAITING, *ACTIVE)
_FOLD: dict[Kind, Callable[[Run, Event], None]] = {
    Kind.RUN_CREATED: _created,
    Kind.RUN_STARTED: _started,
    Kind.RUN_HALTING: _halting,
    Kind.CANCEL_REQUESTED: _cancel,
    Kind.PAUSE_REQUESTED: _pause,
    Kind.RUN_PAUSED: _paused,
    Kind.RUN_RESUMED: _resumed,
    Kind.RUN_FINISHED: _finished,
    Kind.RUN_REOPENED: _reopened,
    Kind.GATE_OPENED: _gate_opened,
    Kind.STEP_ADDED: _nothing,
    Kind.STEP_DISPATCHED: _dispatched,
    Kind.STEP_STARTED: _step_started,
    Kind.STEP_SUCCEEDED: _ender(StepState.SUCCEEDED, *ACTIVE),
    Kind.STEP_UNCHANGED: _ender(StepState.UNCHANGED, StepState.PENDING, StepState.READY),
    Kind.STEP_FAILED: _ender(StepState.FAILED, *_ANY_UNENDED),
    Kind.STEP_TIMED_OUT: _ender(StepState.TIMED_OUT, *ACTIVE),
    Kind.STEP_CANCELLED: _ender(StepState.CANCELLED, *_ANY_UNENDED),
    Kind.STEP_INTERRUPTED: _ender(StepState.INTERRUPTED, *_ANY_UNENDED),
    Kind.STEP_SKIPPED: _ender(StepState.SKIPPED, *_WAITING),
    Kind.STEP_RETRY_WAIT: _retry_wait,
    Kind.STEP_RETRY_DUE: _retry_due,
    Kind.STEP_LEASE_LOST: _lease_lost,
}


def order(step: StepRun) -> tuple[int, int, int]:
    """Return the key of the ready heap: priority, then longest remaining path, then declaration order."""
    return (-step.spec.priority, -step.rank, step.index)


__all__ = ["ACTIVE", "Run", "StepRun", "fold", "new_run", "order", "satisfied"]
