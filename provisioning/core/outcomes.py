"""What follows from what workers say: the end of a step, another attempt, new steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from provisioning.core.authoring import stopped_behind
from provisioning.core.decision import Decision
from provisioning.core.events import Kind
from provisioning.core.model import STEP_FAILED, OnFailure, Repeat, Retry, Step, StepState, While
from provisioning.core.ports import RETURNED, Outcome, Report, Timer
from provisioning.core.retry import delay_s, may_retry
from provisioning.core.run import ACTIVE, Run, StepRun

NO_RETRY = Retry()
CRASH_LIMIT = 5  # dispatches of one attempt that may lose their worker
WORKER_LOST = "worker_lost"
"""The reason of a dispatch whose worker is gone, and the error kind of a step that has lost too many."""
LONGEST_WAIT_S = 10 * 365 * 86_400.0  # what an action asks for may be any number, a date has its limits
_ENDED_BY = {
    Outcome.OK: Kind.STEP_SUCCEEDED,
    Outcome.FAILED: Kind.STEP_FAILED,
    Outcome.TIMED_OUT: Kind.STEP_TIMED_OUT,
    Outcome.CANCELLED: Kind.STEP_CANCELLED,
    Outcome.SKIPPED: Kind.STEP_SKIPPED,
    Outcome.UNKNOWN: Kind.STEP_INTERRUPTED,
}
_TOLD = ("log", "stdout", "stderr")  # where there is something to tell
_PASSING = {Outcome.FAILED, Outcome.TIMED_OUT, Outcome.SKIPPED}  # what is unknown or was stopped never passes
_JUDGED = {Outcome.OK, Outcome.FAILED, Outcome.TIMED_OUT}  # after these there may be another attempt


def on_report(decision: Decision, report: Report, roll: float) -> None:
    """Take what a worker says. One of an older epoch, of another target, or of a step that has ended, changes nothing."""
    task = report.task
    step = decision.run.steps.get(task.step)
    if step is None or step.state not in ACTIVE:
        return
    if (step.attempt, step.epoch, step.target) != (task.attempt, task.epoch, task.target):
        return
    if report.outcome is Outcome.LOST and report.error_kind == RETURNED:
        decision.emit(Kind.STEP_LEASE_LOST, step, {"reason": RETURNED})
        return
    if report.outcome is Outcome.LOST:
        lose(decision, step, WORKER_LOST)
        return
    begun = step.state is StepState.RUNNING or (report.outcome is not Outcome.CANCELLED and bool(report.worker))
    if begun and step.state is StepState.DISPATCHED:
        decision.emit(Kind.STEP_STARTED, step, {"worker": report.worker})
    if report.outcome is None:
        return
    report = _with_new_steps(decision, step, report)
    data = _outcome_data(report)
    if report.stops:
        _end(decision, step, report, data, begun=begun)
    elif _repeats(decision.run, step, report):
        _wait(decision, step, Kind.STEP_REPEAT_WAIT, data, _interval_s(step) if report.wait_s is None else report.wait_s)
    elif report.outcome in {Outcome.FAILED, Outcome.TIMED_OUT} and _tries_again(decision.run, step, report):
        retry = _retry_policy(decision.run, step)
        wait_s = delay_s(retry, step.attempt - step.attempts_before, roll) if report.wait_s is None else report.wait_s
        _wait(decision, step, Kind.STEP_RETRY_WAIT, data, wait_s)
    else:
        _end(decision, step, report, data, begun=begun)


def lose(decision: Decision, step: StepRun, reason: str) -> None:
    """Take back what a worker had that is gone; it is no try for the retry policy. Lost too often, the step fails."""
    if step.crash_count >= CRASH_LIMIT:
        error = {"kind": WORKER_LOST, "message": f"its worker died {CRASH_LIMIT} times"}
        decision.emit(Kind.STEP_FAILED, step, {"error": error})
        maybe_halt(decision, step)
    else:
        decision.emit(Kind.STEP_LEASE_LOST, step, {"reason": reason})


# ---------------------------------------------------------------- ends


def _end(decision: Decision, step: StepRun, report: Report, data: dict[str, Any], *, begun: bool) -> None:
    run = decision.run
    kind = _ENDED_BY[report.outcome or Outcome.OK]
    if kind is Kind.STEP_CANCELLED and begun and run.cancel_reason == "interrupted":
        kind = Kind.STEP_INTERRUPTED
    if kind in {Kind.STEP_CANCELLED, Kind.STEP_INTERRUPTED}:
        reason = run.cancel_reason or report.error or "cancelled"
        data["reason"] = reason if begun else f"not started: {reason}"
    if kind is Kind.STEP_SKIPPED:
        data["reason"] = data.pop("error")["message"]
    decision.emit(kind, step, data)
    if report.stops and not run.cancel_reason and run.verdict is None:
        decision.emit(Kind.CANCEL_REQUESTED, data={"reason": report.stops})
    maybe_halt(decision, step)


def _outcome_data(report: Report) -> dict[str, Any]:
    data: dict[str, Any] = {name: value for name in _TOLD if (value := getattr(report, name))}
    if report.passes and report.outcome in _PASSING:
        data["passes"] = True
    if report.partial and report.outcome is Outcome.OK:
        data["partial"] = True
    if report.exit_code is not None:
        data["exit_code"] = report.exit_code
    if report.output is not None:
        data["output"] = report.output
    if report.outcome is not Outcome.OK:
        data["error"] = {"kind": report.error_kind, "message": report.error}
    return data


def maybe_halt(decision: Decision, step: StepRun) -> None:
    """Under the policy `fail`, the first failure that counts stops new steps from starting."""
    run = decision.run
    failed = step.state in STEP_FAILED and not (step.spec.optional or step.passes) and step.spec.handler is None
    if failed and run.workflow.policy.on_failure is OnFailure.FAIL and not (run.halted_by or run.cancel_reason):
        decision.emit(Kind.RUN_HALTING, step)


# ---------------------------------------------------------------- another attempt


def _tries_again(run: Run, step: StepRun, report: Report) -> bool:
    policy = _retry_policy(run, step)
    if _stopping(run, step):
        return False
    if report.wait_s is not None:
        return not report.again  # a repetition that is asked for and over is no reason to try again
    if not (report.retryable or report.error_kind in policy.only):
        return False
    return may_retry(policy, step.attempt - step.attempts_before, report.error_kind)


def _retry_policy(run: Run, step: StepRun) -> Retry:
    return step.spec.retry or run.workflow.policy.retry or NO_RETRY


def _stopping(run: Run, step: StepRun) -> bool:
    """Whether nothing of this step is to start any more."""
    if step.spec.handler is not None:
        return run.stop_handlers
    return bool(run.cancel_reason or (run.halted_by and not step.spec.after_failure))


def _repeats(run: Run, step: StepRun, report: Report) -> bool:
    repeat = step.spec.repeat
    if report.outcome not in _JUDGED or _stopping(run, step):
        return False
    if repeat is None:
        return bool(report.again) and report.wait_s is not None
    if repeat.limit and step.repeats + 1 >= repeat.limit:
        return False
    if report.again is not None:
        return report.again
    if repeat.again is While.ALWAYS:
        return True
    return _succeeded(repeat, report) is (repeat.again is While.SUCCESS)


def _succeeded(repeat: Repeat, report: Report) -> bool:
    return report.exit_code in repeat.exit_codes if repeat.exit_codes else report.outcome is Outcome.OK


def _interval_s(step: StepRun) -> float:
    repeat = step.spec.repeat or Repeat()
    try:
        return min(repeat.interval_s * repeat.factor**step.repeats, repeat.max_interval_s)
    except OverflowError:
        return repeat.max_interval_s


def _wait(decision: Decision, step: StepRun, kind: Kind, data: dict[str, object], wait_s: float) -> None:
    due = decision.now + timedelta(seconds=min(max(0.0, wait_s), LONGEST_WAIT_S))
    decision.emit(kind, step, {**data, "due": due.isoformat()})
    decision.timers.append(Timer(run=decision.run.id, step=step.spec.id, attempt=step.attempt, kind="retry", due=due))


# ---------------------------------------------------------------- new steps


def _with_new_steps(decision: Decision, step: StepRun, report: Report) -> Report:
    """Add the steps that a successful attempt asks for; where that cannot be, return a report that says so instead."""
    run = decision.run
    if not report.added or report.outcome is not Outcome.OK or run.cancel_reason:
        return report
    problem = _wrong_among(run, report.added)
    if problem:
        return Report(
            task=report.task, worker=report.worker, outcome=Outcome.FAILED, error_kind="steps", error=problem, log=report.log
        )
    for spec in report.added:
        if spec.id not in run.steps:
            breaking = {dep.step for dep in spec.deps if run.steps[dep.step].spec.break_after}
            decision.emit(Kind.STEP_ADDED, data={"spec": stopped_behind(spec, breaking), "by": step.spec.id})
    return report


def _wrong_among(run: Run, added: Sequence[Step]) -> str:
    """Return what is wrong with new steps, or "". Each may need those that are there and those before it."""
    known = dict.fromkeys(run.steps)
    for spec in added:
        if spec.id in run.steps and replace(run.steps[spec.id].spec, gates=spec.gates) != spec:
            return f"the run has another step {spec.id} already"
        missing = next((dep.step for dep in spec.deps if dep.step not in known), None)
        if missing is not None:
            return f"new step {spec.id} needs {missing}, which the run does not have"
        known[spec.id] = None
    return ""
