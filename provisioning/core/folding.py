"""Fold: the events of a run, applied in order, give its state.

What was seen before, or belongs to an older attempt or epoch, changes nothing: events may come more than once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from provisioning.core.events import Event, Kind
from provisioning.core.model import GateKind, HandlerOn, OnFailure, RunState, Step, StepState, Workflow
from provisioning.core.placement import anchor_of
from provisioning.core.ports import RETURNED
from provisioning.core.presence import is_own
from provisioning.core.run import ACTIVE, Run, StepRun, applies, new_run


def apply(run: Run, event: Event) -> None:
    """Fold one event in. What was seen before, or belongs to an older attempt or epoch, changes nothing but `seq`."""
    run.seq = event.seq or run.seq + 1
    _FOLD[event.kind](run, event)


def fold(run_id: str, workflow: Workflow, events: Iterable[Event]) -> Run:
    """Return the state after `events`."""
    run = new_run(run_id, workflow)
    for event in events:
        apply(run, event)
    run.became_ready = deque(id for id, step in run.steps.items() if step.state is StepState.READY)
    return run


# ---------------------------------------------------------------- runs


def _created(run: Run, event: Event) -> None:
    run.state, run.created_at = RunState.QUEUED, event.at
    params = event.data.get("params")
    run.params = params if isinstance(params, Mapping) else run.params


def _started(run: Run, event: Event) -> None:
    if run.state is not RunState.QUEUED:
        return
    run.state, run.started_at = RunState.RUNNING, event.at
    for step in run.steps.values():
        if step.remaining == 0 and step.state is StepState.PENDING and not step.spec.unchanged:
            run.make_ready(step)


def _halting(run: Run, event: Event) -> None:
    run.halted_by = run.halted_by or event.step


def _cancel(run: Run, event: Event) -> None:
    run.stop_handlers = run.state is RunState.FINISHING
    run.cancel_reason = run.cancel_reason or str(event.data.get("reason", "cancelled"))
    run.timed_out = run.timed_out or event.data.get("state") == RunState.TIMED_OUT


def _pause(run: Run, _event: Event) -> None:
    if run.state is RunState.RUNNING:
        run.state = RunState.PAUSING


def _paused(run: Run, _event: Event) -> None:
    run.state = RunState.PAUSED


def _resumed(run: Run, _event: Event) -> None:
    if run.state in {RunState.PAUSING, RunState.PAUSED}:
        run.state = RunState.RUNNING
        run.became_ready.extend(id for id, step in run.steps.items() if step.state is StepState.READY)


def _finishing(run: Run, event: Event) -> None:
    run.state, run.verdict = RunState.FINISHING, RunState(str(event.data["state"]))
    run.reason = str(event.data.get("reason", ""))
    for step in run.steps.values():
        if step.spec.handler is not None and applies(step.spec.handler, run.verdict):
            run.one_less(step)


def _finished(run: Run, event: Event) -> None:
    run.state, run.ended_at = RunState(str(event.data["state"])), event.at
    run.reason = str(event.data.get("reason", ""))


def _run_late(run: Run, _event: Event) -> None:
    run.late = True


def _run_waiting(run: Run, _event: Event) -> None:
    run.waiting = run.has_waited = True
    for step in run.steps.values():
        if step.spec.handler is HandlerOn.WAIT and step.state is StepState.PENDING:
            run.count_again(step)


def _run_retry_wait(run: Run, event: Event) -> None:
    run.rerun_due, run.reason = str(event.data["due"]), str(event.data.get("reason", ""))


def _gate_opened(run: Run, event: Event) -> None:
    name = (str(event.data["kind"]), str(event.data["name"]))
    if name in run.opened:  # the first one counts
        return
    run.opened[name] = event.data.get("payload")
    run.waiting = False
    for id in run.gated.get(name, ()):
        if run.steps[id].state is StepState.PENDING:
            run.one_less(run.steps[id])


def _reopened(run: Run, event: Event) -> None:
    again = event.data.get("steps")
    run.halted_by, run.cancel_reason, run.reason = "", "", ""
    run.timed_out = run.stop_handlers = run.waiting = False
    run.rerun_due, run.reruns = "", run.reruns + 1 if event.data.get("rerun") else 0
    run.nearest.clear()
    if run.ended:
        run.state, run.ended_at, run.verdict, run.has_waited = RunState.RUNNING, None, None, False
    run.doomed.clear()  # what was doomed before has ended, or is looked at again
    run.workflow = _with_policy(run.workflow, event.data)
    names = [str(name) for name in again] if isinstance(again, list | tuple) else []
    for name in names:
        run.wait_again(run.steps[name])
        _arm(run, run.steps[name])
    for name in names:
        _wait_again(run, run.steps[name])


def _arm(run: Run, step: StepRun) -> None:
    """Close the step's breakpoints: it stops at them each time it comes by."""
    for gate in step.spec.gates:
        if gate.kind is GateKind.BREAKPOINT:
            run.opened.pop((gate.kind.value, gate.name), None)


def _with_policy(workflow: Workflow, data: Mapping[str, object]) -> Workflow:
    policy = workflow.policy
    if "on_failure" in data:
        policy = replace(policy, on_failure=OnFailure(str(data["on_failure"])))
    limit = data.get("max_parallel")
    return replace(workflow, policy=replace(policy, max_parallel=limit) if isinstance(limit, int) else policy)


def _wait_again(run: Run, step: StepRun) -> None:
    step.blocked, step.late, step.because, step.reason, step.error_kind, step.error = False, False, "", "", "", ""
    step.passes = step.partial = False
    step.output = None
    step.attempts_before, step.repeats, step.crash_count = step.attempt, 0, 0
    run.count_again(step)


# ---------------------------------------------------------------- steps


def _among(run: Run, event: Event, *states: StepState) -> StepRun | None:
    """Return the event's step if it is in one of `states`."""
    step = run.steps.get(event.step)
    return step if step is not None and step.state in states else None


def _current(run: Run, event: Event, *states: StepState) -> StepRun | None:
    """Return the event's step if it is in one of `states` and the event is of its newest epoch, or of none."""
    step = _among(run, event, *states)
    return step if step is not None and event.epoch in {0, step.epoch} else None


def _added(run: Run, event: Event) -> None:
    spec = event.data.get("spec")
    if isinstance(spec, Step) and spec.id not in run.steps:
        run.count_again(run.add(spec))


def _dispatched(run: Run, event: Event) -> None:
    if step := _among(run, event, StepState.READY):
        run.move(step, StepState.DISPATCHED)
        step.crash_count = step.crash_count if step.lost else 0
        step.attempt, step.epoch, step.lost, step.due = event.attempt, event.epoch, False, ""
        step.target = str(event.data.get("target", ""))
        step.started_at = step.ended_at = None
        if is_own(step.target) and (anchor := anchor_of(run, step)):
            run.homes[anchor] = step.target


def _step_started(run: Run, event: Event) -> None:
    if step := _current(run, event, StepState.DISPATCHED):
        run.move(step, StepState.RUNNING)
        step.started_at, step.worker = event.at, str(event.data.get("worker", ""))
        run.homes.pop(step.spec.id, None)


def _ender(state: StepState, *sources: StepState) -> Callable[[Run, Event], None]:
    def end(run: Run, event: Event) -> None:
        if step := _current(run, event, *sources):
            _record(step, event)
            run.waiting = run.waiting and step.spec.handler is not None  # a person has said no, or the run is cancelled
            run.end(step, state, event.at)

    return end


def _record(step: StepRun, event: Event) -> None:
    """Note how an attempt ended."""
    data = event.data
    step.reason = str(data.get("reason", ""))
    step.because = str(data.get("because", ""))
    step.blocked = bool(data.get("blocked", False))
    exit_code = data.get("exit_code")
    step.exit_code = exit_code if isinstance(exit_code, int) else None
    error = data.get("error")
    told = error if isinstance(error, dict) else {}
    step.error_kind, step.error = str(told.get("kind", "")), str(told.get("message", ""))
    step.output = data.get("output")
    step.passes, step.partial = bool(data.get("passes", False)), bool(data.get("partial", False))
    step.log = str(data.get("log", step.log))


def _retry_wait(run: Run, event: Event) -> None:
    if step := _current(run, event, *ACTIVE, StepState.READY):
        _record(step, event)
        step.due = str(event.data.get("due", ""))
        run.move(step, StepState.RETRY_WAIT)


def _repeat_wait(run: Run, event: Event) -> None:
    if step := _current(run, event, *ACTIVE):
        _record(step, event)
        step.attempts_before, step.repeats = step.attempt, step.repeats + 1
        step.due = str(event.data.get("due", ""))
        run.move(step, StepState.RETRY_WAIT)


def _retry_due(run: Run, event: Event) -> None:
    step = _among(run, event, StepState.RETRY_WAIT)
    if step and step.attempt == event.attempt:
        run.make_ready(step)


def _lease_lost(run: Run, event: Event) -> None:
    if step := _current(run, event, *ACTIVE):
        step.crash_count += event.data.get("reason") != RETURNED
        step.lost = True
        run.make_ready(step)


def _step_late(run: Run, event: Event) -> None:
    if step := run.steps.get(event.step):
        step.late = True


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
    Kind.RUN_FINISHING: _finishing,
    Kind.RUN_FINISHED: _finished,
    Kind.RUN_REOPENED: _reopened,
    Kind.RUN_LATE: _run_late,
    Kind.RUN_WAITING: _run_waiting,
    Kind.RUN_RETRY_WAIT: _run_retry_wait,
    Kind.GATE_OPENED: _gate_opened,
    Kind.STEP_ADDED: _added,
    Kind.STEP_DISPATCHED: _dispatched,
    Kind.STEP_STARTED: _step_started,
    Kind.STEP_SUCCEEDED: _ender(StepState.SUCCEEDED, *ACTIVE, StepState.RETRY_WAIT),
    Kind.STEP_UNCHANGED: _ender(StepState.UNCHANGED, StepState.PENDING, StepState.READY),
    Kind.STEP_FAILED: _ender(StepState.FAILED, *_ANY_UNENDED),
    Kind.STEP_TIMED_OUT: _ender(StepState.TIMED_OUT, *ACTIVE),
    Kind.STEP_CANCELLED: _ender(StepState.CANCELLED, *_ANY_UNENDED),
    Kind.STEP_INTERRUPTED: _ender(StepState.INTERRUPTED, *_ANY_UNENDED),
    Kind.STEP_SKIPPED: _ender(StepState.SKIPPED, *_ANY_UNENDED),
    Kind.STEP_RETRY_WAIT: _retry_wait,
    Kind.STEP_REPEAT_WAIT: _repeat_wait,
    Kind.STEP_RETRY_DUE: _retry_due,
    Kind.STEP_LEASE_LOST: _lease_lost,
    Kind.STEP_LATE: _step_late,
}
