"""Decide: what happens next in a run. Pure: the clock and the dice come in as arguments.

Each function turns one input into events, folds them into the run at once, and returns them with the tasks and timers they
ask for. `settle` is called after every input: it draws the consequences until nothing follows any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from provisioning.core.events import NO_DATA, Event, Kind
from provisioning.core.history import blame
from provisioning.core.model import (
    STEP_ENDED,
    STEP_FAILED,
    STEP_GOOD,
    OnFailure,
    Retry,
    RunState,
    StepState,
    Workflow,
)
from provisioning.core.ports import Outcome, Report, Request, Task, Timer
from provisioning.core.retry import delay_s, may_retry
from provisioning.core.run import ACTIVE, Run, StepRun
from provisioning.core.values import resolve

CRASH_LIMIT = 5  # dispatches of one attempt that may lose their worker
NO_RETRY = Retry()
_ENDED_BY = {
    Outcome.OK: Kind.STEP_SUCCEEDED,
    Outcome.FAILED: Kind.STEP_FAILED,
    Outcome.TIMED_OUT: Kind.STEP_TIMED_OUT,
    Outcome.CANCELLED: Kind.STEP_CANCELLED,
    Outcome.UNKNOWN: Kind.STEP_INTERRUPTED,
}


@dataclass(slots=True)
class Decision:
    """What one input leads to: events already folded into `run`, and what else the commit has to hold."""

    run: Run
    now: datetime
    actor: str = ""
    events: list[Event] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    timers: list[Timer] = field(default_factory=list)

    def emit(self, kind: Kind, step: StepRun | None = None, data: Mapping[str, object] = NO_DATA) -> None:
        """Record an event of the run or of a step's current attempt, and fold it in."""
        event = Event(
            run=self.run.id,
            kind=kind,
            at=self.now,
            seq=self.run.seq + 1,
            step=step.spec.id if step else "",
            attempt=step.attempt if step else 0,
            epoch=step.epoch if step else 0,
            actor=self.actor,
            data=data,
        )
        self.run.apply(event)
        self.events.append(event)


def create(decision: Decision, workflow_digest: str, *, name: str, trigger: str, params: Mapping[str, object]) -> None:
    """Record that the run exists, and start it."""
    data = {"workflow": workflow_digest, "name": name, "trigger": trigger, "params": dict(params)}
    decision.emit(Kind.RUN_CREATED, data=data)
    decision.emit(Kind.RUN_STARTED)
    for step in decision.run.steps.values():
        if step.spec.unchanged:
            decision.emit(Kind.STEP_UNCHANGED, step)


def settle(decision: Decision) -> None:
    """Draw every consequence: cascades, the end of waits that make no sense any more, pausing, the end of the run."""
    run = decision.run
    if run.ended or run.state in {RunState.CREATED, RunState.QUEUED}:
        return
    _end_doomed(decision)
    if run.cancel_reason or run.halted_by:
        _end_waiting(decision)
    if run.state is RunState.PAUSING and not run.active:
        decision.emit(Kind.RUN_PAUSED)
    if run.unended == 0:
        decision.emit(Kind.RUN_FINISHED, data=_verdict(run))


def dispatch(decision: Decision, step_id: str) -> None:
    """Hand a ready step to the workers. Its slots have been taken."""
    run = decision.run
    step = run.steps[step_id]
    attempt = step.attempt if step.lost else step.attempt + 1
    target = step.spec.placement.target or ""
    event = Event(
        run=run.id,
        kind=Kind.STEP_DISPATCHED,
        at=decision.now,
        seq=run.seq + 1,
        step=step_id,
        attempt=attempt,
        epoch=step.epoch + 1,
        data={"target": target},
    )
    run.apply(event)
    decision.events.append(event)
    decision.tasks.append(_task(run, step, target))


def on_report(decision: Decision, report: Report, roll: float) -> None:
    """Take what a worker says. A report of an older epoch, or of a step that has ended, changes nothing."""
    task = report.task
    step = decision.run.steps.get(task.step)
    if step is None or step.state not in ACTIVE or (step.attempt, step.epoch) != (task.attempt, task.epoch):
        return
    begun = step.state is StepState.RUNNING or report.outcome is not Outcome.CANCELLED
    if begun and step.state is StepState.DISPATCHED:
        decision.emit(Kind.STEP_STARTED, step, {"worker": report.worker})
    if report.outcome is None:
        return
    data = _outcome_data(report)
    if report.outcome in {Outcome.FAILED, Outcome.TIMED_OUT} and _tries_again(decision.run, step, report):
        _retry_later(decision, step, data, roll)
        return
    kind = _ENDED_BY[report.outcome]
    if kind is Kind.STEP_CANCELLED and begun and decision.run.cancel_reason == "interrupted":
        kind = Kind.STEP_INTERRUPTED
    if kind in {Kind.STEP_CANCELLED, Kind.STEP_INTERRUPTED}:
        reason = decision.run.cancel_reason or report.error or "cancelled"
        data["reason"] = reason if begun else f"not started: {reason}"
    decision.emit(kind, step, data)
    _maybe_halt(decision, step)


def on_timer(decision: Decision, timer: Timer) -> None:
    """Take a timer that fired. One that is late or fires twice changes nothing."""
    step = decision.run.steps.get(timer.step)
    waits = step is not None and step.state is StepState.RETRY_WAIT and step.attempt == timer.attempt
    if timer.kind == "retry" and waits:
        decision.emit(Kind.STEP_RETRY_DUE, step)


def on_request(decision: Decision, request: Request) -> None:
    """Take what an operator asks. What makes no sense in the run's state is ignored."""
    run = decision.run
    decision.actor = request.actor
    if run.ended:
        return
    if request.kind == "cancel" and not run.cancel_reason:
        decision.emit(Kind.CANCEL_REQUESTED, data={"reason": str(request.data.get("reason", "cancelled"))})
    elif request.kind == "pause" and run.state is RunState.RUNNING:
        decision.emit(Kind.PAUSE_REQUESTED)
    elif request.kind == "resume" and run.state in {RunState.PAUSING, RunState.PAUSED}:
        decision.emit(Kind.RUN_RESUMED)
    elif request.kind == "open_gate":
        decision.emit(Kind.GATE_OPENED, data=request.data)
    decision.actor = ""


def recover(decision: Decision) -> None:
    """After a restart: what the dead process's workers had goes back to ready, or fails when that happened too often."""
    for step in list(decision.run.steps.values()):
        if step.state not in ACTIVE:
            continue
        if step.crash_count >= CRASH_LIMIT:
            error = {"kind": "worker_lost", "message": f"its worker died {CRASH_LIMIT} times"}
            decision.emit(Kind.STEP_FAILED, step, {"error": error})
            _maybe_halt(decision, step)
        else:
            decision.emit(Kind.STEP_LEASE_LOST, step, {"reason": "runner died"})


def abandon(decision: Decision, reason: str) -> None:
    """End a run whose runner is gone and will not come back: what ran is interrupted, the rest never started."""
    run = decision.run
    if run.ended:
        return
    decision.emit(Kind.CANCEL_REQUESTED, data={"reason": reason})
    settle(decision)
    for step in list(run.steps.values()):
        if step.state in ACTIVE:
            decision.emit(Kind.STEP_INTERRUPTED, step, {"reason": reason})
    if run.state in {RunState.CREATED, RunState.QUEUED}:
        decision.emit(Kind.RUN_FINISHED, data={"state": RunState.CANCELLED.value, "reason": reason})
    settle(decision)


def reopen(decision: Decision, from_step: str | None = None, *, keep_going: bool = False, max_parallel: int = 0) -> list[str]:
    """Open an ended run again from its failed frontier, or from `from_step` and all below it; return the steps run again.

    `keep_going` and `max_parallel`, where given, replace what the run was started with.
    """
    run = decision.run
    again = _below(run, from_step) if from_step else [id for id, step in run.steps.items() if _is_frontier(step)]
    if again:
        on_failure = {"on_failure": OnFailure.SKIP_DOWNSTREAM.value} if keep_going else {}
        limit = {"max_parallel": max_parallel} if max_parallel else {}
        decision.emit(Kind.RUN_REOPENED, data={"steps": again, **on_failure, **limit})
    return again


# ---------------------------------------------------------------- parts


def _task(run: Run, step: StepRun, target: str) -> Task:
    return Task(
        run=run.id,
        step=step.spec.id,
        attempt=step.attempt,
        epoch=step.epoch,
        action=step.spec.action,
        args=resolve(step.spec.args, run.outputs()) if step.spec.args is not None else None,
        target=target,
        timeout_s=step.spec.timeout_s,
        labels=step.spec.labels,
    )


def _outcome_data(report: Report) -> dict[str, object]:
    data: dict[str, object] = {"log": report.log}
    if report.exit_code is not None:
        data["exit_code"] = report.exit_code
    if report.output is not None:
        data["output"] = report.output
    if report.outcome is not Outcome.OK:
        data["error"] = {"kind": report.error_kind, "message": report.error}
    return data


def _retry_policy(workflow: Workflow, step: StepRun) -> Retry:
    return step.spec.retry or workflow.policy.retry or NO_RETRY


def _tries_again(run: Run, step: StepRun, report: Report) -> bool:
    if run.cancel_reason or (run.halted_by and not step.spec.after_failure):
        return False
    return may_retry(_retry_policy(run.workflow, step), step.attempt - step.attempts_before, report.error_kind)


def _retry_later(decision: Decision, step: StepRun, data: dict[str, object], roll: float) -> None:
    wait = delay_s(_retry_policy(decision.run.workflow, step), step.attempt - step.attempts_before, roll)
    due = decision.now + timedelta(seconds=wait)
    decision.emit(Kind.STEP_RETRY_WAIT, step, {**data, "due": due.isoformat()})
    decision.timers.append(Timer(run=decision.run.id, step=step.spec.id, attempt=step.attempt, kind="retry", due=due))


def _maybe_halt(decision: Decision, step: StepRun) -> None:
    """Under the policy `fail`, the first failure that counts stops new steps from starting."""
    run = decision.run
    failed = step.state in STEP_FAILED and not step.spec.optional
    if failed and run.workflow.policy.on_failure is OnFailure.FAIL and not (run.halted_by or run.cancel_reason):
        decision.emit(Kind.RUN_HALTING, step)


def _end_doomed(decision: Decision) -> None:
    """End the steps that can no longer start, and what depends on them: a work list, not recursion."""
    run = decision.run
    while run.doomed:
        id, cause_id = run.doomed.popleft()
        step, cause = run.steps[id], run.steps[cause_id]
        if step.state in STEP_ENDED:
            continue
        root = cause.because or cause_id
        if cause.state is StepState.CANCELLED:
            decision.emit(Kind.STEP_CANCELLED, step, {"reason": cause.reason, "because": root})
        elif cause.state in STEP_GOOD:
            decision.emit(Kind.STEP_SKIPPED, step, {"reason": f"{cause_id} did not fail", "because": cause_id})
        elif cause.state is StepState.SKIPPED and not cause.blocked:
            decision.emit(Kind.STEP_SKIPPED, step, {"reason": cause.reason, "because": root})
        else:
            reason = f"blocked: needs {cause_id}, {_what_became(run, root, cause_id)}"
            decision.emit(Kind.STEP_SKIPPED, step, {"reason": reason, "because": root, "blocked": True})


def _what_became(run: Run, root: str, cause: str) -> str:
    word = run.steps[root].state.value.replace("_", " ")
    return f"which {word}" if root == cause else f"which is blocked by {root} ({word})"


def _end_waiting(decision: Decision) -> None:
    """End what would start: every step when the run begins to stop, afterwards only what has become ready since."""
    run = decision.run
    if any(event.kind in {Kind.RUN_HALTING, Kind.CANCEL_REQUESTED} for event in decision.events):
        for step in run.steps.values():
            _end_if_waiting(decision, step)
    may_start = []
    while run.became_ready or run.doomed:
        _end_doomed(decision)
        if run.became_ready:
            id = run.became_ready.popleft()
            _end_if_waiting(decision, run.steps[id])
            may_start.append(id)
    run.became_ready.extend(id for id in may_start if run.steps[id].state is StepState.READY)


def _end_if_waiting(decision: Decision, step: StepRun) -> None:
    """End a step that would start, unless the run is only halting and the step is made for that case."""
    run = decision.run
    if step.spec.after_failure and not run.cancel_reason:
        return
    why = run.cancel_reason or f"{run.halted_by} failed"
    if step.state is StepState.RETRY_WAIT:
        error = {"kind": step.error_kind, "message": step.error}
        decision.emit(Kind.STEP_FAILED, step, {"error": error, "exit_code": step.exit_code, "log": step.log})
    elif step.state is StepState.READY or (run.cancel_reason and step.state is StepState.PENDING):
        decision.emit(Kind.STEP_CANCELLED, step, {"reason": f"not started: {why}"})


def _verdict(run: Run) -> dict[str, str]:
    if run.cancel_reason:
        return {"state": RunState.CANCELLED.value, "reason": run.cancel_reason}
    policy = run.workflow.policy.on_failure
    bad = [step for step in run.steps.values() if step.state in STEP_FAILED or step.blocked]
    if policy is OnFailure.CONTINUE:
        fatal = [step for step in bad if step.spec.critical]
    else:
        fatal = [step for step in bad if not step.spec.optional]
    if fatal:
        earliest = min(fatal, key=lambda step: (step.ended_at is None, step.ended_at, step.index))
        first = run.halted_by or earliest.because or earliest.spec.id
        return {"state": RunState.FAILED.value, "reason": blame(first, run.steps[first].state)}
    return {"state": RunState.PARTIAL.value if bad else RunState.SUCCEEDED.value, "reason": ""}


def _is_frontier(step: StepRun) -> bool:
    """Whether a retry runs the step again: it did not succeed, and not because a condition did not hold."""
    return step.blocked or step.state in STEP_ENDED - STEP_GOOD - {StepState.SKIPPED}


def _below(run: Run, first: str) -> list[str]:
    seen, rest = {first}, [first]
    while rest:
        for target, _on in run.out_edges[rest.pop()]:
            if target not in seen:
                seen.add(target)
                rest.append(target)
    return [id for id in run.steps if id in seen]
