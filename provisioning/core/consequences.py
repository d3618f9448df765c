"""What follows by itself: cascades, the end of waits that make no sense any more, pausing, handlers, the end of the run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from provisioning.core.decision import Decision
from provisioning.core.events import Kind
from provisioning.core.history import blame
from provisioning.core.model import STEP_ENDED, STEP_FAILED, STEP_GOOD, HandlerOn, OnFailure, RunState, StepState
from provisioning.core.ports import Timer
from provisioning.core.retry import delay_s
from provisioning.core.run import Run, StepRun, applies
from provisioning.core.upstream import awaiting

_STOPS = {Kind.RUN_HALTING, Kind.CANCEL_REQUESTED}
_IDLE = {RunState.CREATED, RunState.QUEUED}
_HELD = {RunState.PAUSING, RunState.PAUSED}


def settle(decision: Decision) -> None:
    """Draw every consequence, until nothing follows any more."""
    run = decision.run
    if run.ended or (run.state in _IDLE and not run.cancel_reason):
        return
    _end_doomed(decision)
    if run.cancel_reason or run.halted_by:
        _end_waiting(decision)
    elif run.state is RunState.RUNNING and not run.waiting:
        _tell_waiting(decision)
    if run.state is RunState.PAUSING and not run.active:
        decision.emit(Kind.RUN_PAUSED)
    if run.state not in _HELD or run.cancel_reason:
        _finish(decision)


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
            passes = {"passes": True} if step.spec.skippable else {}
            decision.emit(Kind.STEP_SKIPPED, step, {"reason": cause.reason, "because": root, **passes})
        else:
            reason = f"blocked: needs {cause_id}, {_what_became(run, root, cause_id)}"
            decision.emit(Kind.STEP_SKIPPED, step, {"reason": reason, "because": root, "blocked": True})


def _what_became(run: Run, root: str, cause: str) -> str:
    word = run.steps[root].state.value.replace("_", " ")
    return f"which {word}" if root == cause else f"which is blocked by {root} ({word})"


# ---------------------------------------------------------------- stopping


def _end_waiting(decision: Decision) -> None:
    """End what would start: every step when the run begins to stop, afterwards only what has come nearer to it since."""
    run, looked_at = decision.run, 0
    if any(event.kind in _STOPS for event in decision.events):
        for step in run.steps.values():
            _end_if_waiting(decision, step)
    may_start = []
    while run.became_ready or run.doomed or looked_at < len(decision.events):
        _end_doomed(decision)
        if looked_at < len(decision.events):
            for id, _on in run.out_edges.get(decision.events[looked_at].step, ()):
                _end_if_waiting(decision, run.steps[id])
            looked_at += 1
        if run.became_ready:
            id = run.became_ready.popleft()
            _end_if_waiting(decision, run.steps[id])
            may_start.append(id)
    run.became_ready.extend(id for id in may_start if run.steps[id].state is StepState.READY)


def _end_if_waiting(decision: Decision, step: StepRun) -> None:
    """End a step that would start, unless it is made for that case: what cleans up after a failure, and handlers."""
    run = decision.run
    if step.spec.handler is not None:
        cancelled = run.stop_handlers
        if not cancelled:
            return
    else:
        cancelled = bool(run.cancel_reason)
        if step.spec.after_failure and not cancelled:
            return
    why = run.cancel_reason or f"{run.halted_by} failed"
    if step.state is StepState.RETRY_WAIT:
        _end_wait(decision, step, why)
    elif step.state is StepState.READY or (step.state is StepState.PENDING and (cancelled or _only_gates(run, step))):
        decision.emit(Kind.STEP_CANCELLED, step, {"reason": f"not started: {why}"})


def _only_gates(run: Run, step: StepRun) -> bool:
    """Whether nothing but closed gates keeps a step. None of them is worth waiting for in a run that stops."""
    gates = set(step.spec.gates)
    return bool(gates) and step.remaining == sum((gate.kind.value, gate.name) not in run.opened for gate in gates)


def _end_wait(decision: Decision, step: StepRun, why: str) -> None:
    """End a step that waits for its next attempt. A failure so far is its end, unless the run was cancelled."""
    run = decision.run
    how: dict[str, object] = {"exit_code": step.exit_code, "log": step.log}
    if step.error_kind and not run.cancel_reason:
        decision.emit(Kind.STEP_FAILED, step, {**how, "error": {"kind": step.error_kind, "message": step.error}})
    elif step.error_kind:
        error = {"kind": step.error_kind, "message": step.error}
        decision.emit(Kind.STEP_CANCELLED, step, {**how, "error": error, "reason": f"not tried again: {why}"})
    else:
        decision.emit(Kind.STEP_CANCELLED, step, {**how, "reason": f"not repeated: {why}"})


# ---------------------------------------------------------------- waiting for a person


def _tell_waiting(decision: Decision) -> None:
    """Record that nothing goes on any more but waiting for somebody to approve."""
    run = decision.run
    busy = run.active or run.counts[StepState.READY] or run.counts[StepState.RETRY_WAIT]
    if not busy and (steps := awaiting(run)):
        decision.emit(Kind.RUN_WAITING, data={"steps": [step.spec.id for step in steps]})


# ---------------------------------------------------------------- the end


def _finish(decision: Decision) -> None:
    """End the run when its steps have ended: at once, or after its handlers."""
    run = decision.run
    if run.unended == 0 and run.verdict is None and _runs_again(decision):
        return
    if run.unended == 0 and run.verdict is None and run.handlers_unended and run.state not in _IDLE:
        decision.emit(Kind.RUN_FINISHING, data=_verdict(run))
        for step in run.steps.values():
            handler = step.spec.handler
            if handler is not None and step.state is StepState.PENDING and not applies(handler, run.verdict):
                decision.emit(Kind.STEP_SKIPPED, step, {"reason": _why_not(handler, run)})
        _end_doomed(decision)
    if run.unended == 0 and (run.handlers_unended == 0 or run.state in _IDLE):
        decision.emit(Kind.RUN_FINISHED, data=_with_handlers(run))


def _runs_again(decision: Decision) -> bool:
    """Whether a failed run waits to be run again, or begins to. Not one with a step of which nobody knows how it ended."""
    run, policy = decision.run, decision.run.workflow.policy.rerun
    if policy is None or run.cancel_reason or run.reruns + 1 >= policy.attempts or run.counts[StepState.INTERRUPTED]:
        return False
    verdict = _verdict(run)
    if verdict["state"] != RunState.FAILED:
        return False
    if not run.rerun_due:
        due = decision.now + timedelta(seconds=delay_s(policy, run.reruns + 1, 0.0))
        decision.emit(Kind.RUN_RETRY_WAIT, data={"due": due.isoformat(), "reason": verdict["reason"]})
        decision.timers.append(Timer(run=run.id, step="", attempt=run.reruns, kind="rerun", due=due))
    return True


def _why_not(handler: HandlerOn, run: Run) -> str:
    if handler is HandlerOn.WAIT:
        return "the run did not wait for anybody"
    return f"the run {_PHRASES[run.verdict or RunState.SUCCEEDED]}"


_PHRASES = {
    RunState.SUCCEEDED: "succeeded",
    RunState.PARTIAL: "succeeded in part",
    RunState.FAILED: "failed",
    RunState.CANCELLED: "was cancelled",
    RunState.TIMED_OUT: "timed out",
}


def _with_handlers(run: Run) -> dict[str, str]:
    """Return the steps' verdict; a success whose handler failed is none."""
    verdict = {"state": run.verdict.value, "reason": run.reason} if run.verdict else _verdict(run)
    failed = [step for step in run.steps.values() if step.spec.handler is not None and step.state in STEP_FAILED]
    counts = next((step for step in failed if not (step.spec.optional or step.passes)), None)
    if counts is not None and verdict["state"] in {RunState.SUCCEEDED, RunState.PARTIAL}:
        return {"state": RunState.FAILED.value, "reason": blame(counts.spec.id, counts.state)}
    return verdict


def _verdict(run: Run) -> dict[str, str]:
    if run.cancel_reason:
        state = RunState.TIMED_OUT if run.timed_out else RunState.CANCELLED
        return {"state": state.value, "reason": run.cancel_reason}
    steps = [step for step in run.steps.values() if step.spec.handler is None]
    bad = [step for step in steps if step.state in STEP_FAILED or step.blocked]
    if fatal := _fatal(run, steps, bad):
        earliest = min(fatal, key=lambda step: (step.ended_at is None, step.ended_at, step.index))
        first = run.halted_by or earliest.because or earliest.spec.id
        return {"state": RunState.FAILED.value, "reason": blame(first, run.steps[first].state)}
    partial = any(not step.spec.forgiven for step in bad) or any(step.partial for step in steps)
    return {"state": RunState.PARTIAL.value if partial else RunState.SUCCEEDED.value, "reason": ""}


def _fatal(run: Run, steps: Sequence[StepRun], bad: Sequence[StepRun]) -> list[StepRun]:
    """Return those of the `bad` steps that fail the run."""
    if run.workflow.policy.on_failure is OnFailure.CONTINUE:
        return [step for step in bad if step.spec.critical]
    fatal = [step for step in bad if not (step.spec.optional or step.passes)]
    if fatal or any(step.state is StepState.SUCCEEDED and step.spec.kind == "step" for step in steps):
        return fatal
    return [step for step in bad if step.passes]  # failures may only pass where something has succeeded
