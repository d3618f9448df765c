"""What follows from the time: another attempt is due, something is late, a run's time is over, a failed run is run again."""

from __future__ import annotations

from provisioning.core.decision import Decision
from provisioning.core.events import Kind
from provisioning.core.model import STEP_ENDED, RunState, StepState
from provisioning.core.ports import Timer
from provisioning.core.requests import rerun


def on_timer(decision: Decision, timer: Timer) -> None:
    """Take a timer that fired. One that is late or fires twice changes nothing."""
    run = decision.run
    if run.ended:
        return
    if timer.step:
        step = run.steps.get(timer.step)
        if step is not None and step.state is StepState.RETRY_WAIT and step.attempt == timer.attempt:
            decision.emit(Kind.STEP_RETRY_DUE, step)
    elif timer.kind == "timeout":
        _time_is_over(decision)
    elif timer.kind == "rerun":
        if timer.due.isoformat() == run.rerun_due:  # not one of an earlier wait, which may fire once more in a later one
            rerun(decision)
    elif timer.kind == "late":
        _run_is_late(decision)
    else:
        _step_is_late(decision, timer.kind.removeprefix("late "))


def _time_is_over(decision: Decision) -> None:
    run = decision.run
    if run.cancel_reason or run.verdict is not None:
        return
    limit_s = run.workflow.policy.timeout_s or 0.0
    reason = f"not ended within {limit_s:g} s"
    decision.emit(Kind.CANCEL_REQUESTED, data={"reason": reason, "state": RunState.TIMED_OUT.value})


def _run_is_late(decision: Decision) -> None:
    if not decision.run.late:
        decision.emit(Kind.RUN_LATE, data={"sla_s": decision.run.workflow.policy.sla_s})


def _step_is_late(decision: Decision, step_id: str) -> None:
    step = decision.run.steps.get(step_id)
    if step is not None and step.state not in STEP_ENDED and not step.late:
        decision.emit(Kind.STEP_LATE, step, {"sla_s": step.spec.sla_s})
